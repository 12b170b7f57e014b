//! How tokens of MCP servers are got, and what the gateway says of itself where it gets them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretRef;

/// `oauth`: how access tokens for a server are got.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OAuthConfig {
    /// For whom. Where left out: `enterprise` with an identity provider, `workload` with an assertion, `client-credentials` with a secret
    /// or a private key, else `consent`.
    pub grant: Option<OAuthGrant>,
    /// The authorization server, exactly as it names itself; the server may name no other. Needed
    /// with `client_id`.
    pub issuer: Option<String>,
    /// The client's id there, where one was registered by hand. Else the gateway is known by its
    /// metadata document, or registers itself.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<SecretRef>,
    /// A private key in PEM form instead, for `private_key_jwt`.
    pub private_key: Option<SecretRef>,
    /// What the platform says of the gateway, a JWT for the authorization server, for `workload`:
    /// read anew each time.
    pub assertion: Option<SecretRef>,
    /// Who vouches for principals, for `enterprise`.
    pub identity_provider: Option<IdentityProviderConfig>,
    /// Scopes to ask for where the server's challenge names none.
    pub scopes: Vec<String>,
    /// Whether the first who consents does so for everybody: one token for all.
    pub shared: bool,
    /// Whether loopback and private addresses may be asked, over plain HTTP too.
    pub allow_private: bool,
}

/// For whom tokens are got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OAuthGrant {
    /// For each principal, with their consent, given once in a browser (authorization code with
    /// PKCE, then refresh).
    Consent,
    /// For the gateway itself (RFC 6749 §4.4): one token for all.
    #[serde(alias = "client_credentials")]
    ClientCredentials,
    /// For each principal, vouched for by the identity provider whose ID token they called with
    /// (Enterprise-Managed Authorization, ID-JAG): nobody is asked.
    Enterprise,
    /// For the gateway itself, by what its platform says of it (RFC 7523 §2.1): one token for all.
    Workload,
}

impl OAuthConfig {
    /// For whom tokens are got.
    pub fn grant(&self) -> OAuthGrant {
        let proves = self.client_secret.is_some() || self.private_key.is_some();
        let usual = match (&self.identity_provider, &self.assertion) {
            (Some(_), _) => OAuthGrant::Enterprise,
            (None, Some(_)) => OAuthGrant::Workload,
            (None, None) if proves => OAuthGrant::ClientCredentials,
            (None, None) => OAuthGrant::Consent,
        };
        self.grant.unwrap_or(usual)
    }

    /// Whether people are asked for their consent.
    pub fn asks_people(&self) -> bool {
        self.grant() == OAuthGrant::Consent
    }
}

/// `identity_provider`: who vouches for principals at a server's authorization server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProviderConfig {
    /// The provider, exactly as it names itself: the `url` of an `[[issuer]]`.
    pub issuer: String,
    /// Where it exchanges tokens (RFC 8693).
    pub token_endpoint: String,
    /// The gateway's client there: the one that the principals' ID tokens are for.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Option<SecretRef>,
    /// A private key in PEM form instead, for `private_key_jwt`.
    pub private_key: Option<SecretRef>,
}

/// `[connect]`: people sign in at tools.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectConfig {
    /// The name that authorization servers show when they ask for consent.
    pub client_name: String,
    /// The https URL of the gateway's client metadata document, which is its client id where an
    /// authorization server takes such; `off`: none. Where left out: the document that is served
    /// at `/oauth/client-metadata.json` below `listen.public_url`, if that is https.
    pub client_metadata: Option<String>,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self { client_name: "Doorward".to_owned(), client_metadata: None }
    }
}

impl ConnectConfig {
    /// What [`client_metadata`](Self::client_metadata) says to turn it off.
    pub const OFF: &str = "off";

    /// The client metadata document's URL, for a gateway at this public URL.
    pub fn metadata_url(&self, public_url: &str) -> Option<String> {
        match self.client_metadata.as_deref() {
            Some(Self::OFF) => None,
            Some(url) => Some(url.to_owned()),
            None => public_url
                .starts_with("https://")
                .then(|| format!("{public_url}/oauth/client-metadata.json")),
        }
    }
}
