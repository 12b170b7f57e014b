//! Clients: who may ask for tokens, and how they prove who they are.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use doorward_core::{PrincipalKind, Scopes, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redirect::RedirectUri;
use super::store::{SecretHash, Subject};
use crate::jwt::{Algorithm, Jwks, KeySet};

/// The purpose of the hashes of clients' secrets.
pub(crate) const SECRET: &str = "client secret";
/// The longest name that a person is shown of a client, in characters.
const NAME_MOST: usize = 64;

/// A way to get a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantType {
    /// A person's consent (RFC 6749 §4.1).
    AuthorizationCode,
    /// A refresh token (RFC 6749 §6).
    RefreshToken,
    /// The client's own authority (RFC 6749 §4.4).
    ClientCredentials,
    /// An identity assertion of a trusted issuer (RFC 7523 §2.1, with an ID-JAG).
    JwtBearer,
    /// Somebody else's token (RFC 8693).
    TokenExchange,
}

impl GrantType {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let all = [
            Self::AuthorizationCode,
            Self::RefreshToken,
            Self::ClientCredentials,
            Self::JwtBearer,
            Self::TokenExchange,
        ];
        all.into_iter().find(|known| known.as_str() == text)
    }
}

/// How a client proves who it is.
#[derive(Clone)]
pub struct ClientAuth(pub(crate) Proof);

#[derive(Clone)]
pub(crate) enum Proof {
    Public,
    Secrets(Vec<SecretHash>),
    Keys(Arc<KeySet>),
    KeysAt(Arc<str>),
    Certificates(Vec<Arc<str>>),
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method())
    }
}

impl ClientAuth {
    /// Not at all: anybody can say to be this client.
    pub fn public() -> Self {
        Self(Proof::Public)
    }

    /// By one of these secrets (`client_secret_basic`, `client_secret_post`): two, while one takes
    /// the other's place. Only their hashes are kept.
    pub fn secrets<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let hashes = secrets.into_iter().map(|secret| SecretHash::of(SECRET, secret.expose()));
        Self(Proof::Secrets(hashes.collect()))
    }

    /// By assertions signed with one of the private keys to these public ones
    /// (`private_key_jwt`): a JSON Web Key Set.
    ///
    /// `None` where no key in it can be used.
    pub fn keys(jwks: &str) -> Option<Self> {
        Self::key_set(&serde_json::from_str(jwks).ok()?)
    }

    /// By assertions signed with one of the private keys to those published there, which are
    /// fetched within the server's reach.
    pub fn keys_at(url: impl Into<Arc<str>>) -> Self {
        Self(Proof::KeysAt(url.into()))
    }

    /// By a certificate in TLS (`self_signed_tls_client_auth`): the SHA-256 hashes of those that
    /// it may show, as base64url.
    pub fn certificates<S: Into<Arc<str>>>(hashes: impl IntoIterator<Item = S>) -> Self {
        Self(Proof::Certificates(hashes.into_iter().map(Into::into).collect()))
    }

    pub(crate) fn key_set(jwks: &Jwks) -> Option<Self> {
        let keys = KeySet::read(jwks, &Algorithm::USUAL);
        (keys.len() > 0).then(|| Self(Proof::Keys(Arc::new(keys))))
    }

    pub(crate) fn method(&self) -> &'static str {
        match &self.0 {
            Proof::Public => "none",
            Proof::Secrets(_) => "client_secret_basic",
            Proof::Keys(_) | Proof::KeysAt(_) => "private_key_jwt",
            Proof::Certificates(_) => "self_signed_tls_client_auth",
        }
    }
}

/// Where what is known of a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration: somebody here vouches for it.
    Configured,
    /// A document at the URL that is its id: the URL's host vouches for it.
    Document,
    /// Its own registration: nobody vouches for it.
    Registered,
}

/// A client.
///
/// ```
/// use doorward_core::Secret;
/// use doorward_identity::oauth_server::{Client, ClientAuth, GrantType};
/// let inspector = Client::new("inspector", ClientAuth::public())
///     .with_redirects(["http://127.0.0.1/oauth/callback"]);
/// let build = Client::new("build", ClientAuth::secrets([&Secret::new("s3cret")]))
///     .with_grants([GrantType::ClientCredentials])
///     .with_scopes(["tools"])
///     .with_team("platform");
/// assert!(!format!("{build:?}").contains("s3cret"));
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) auth: ClientAuth,
    pub(crate) origin: Origin,
    pub(crate) redirects: Vec<String>,
    pub(crate) uris: Vec<RedirectUri>,
    pub(crate) grants: BTreeSet<GrantType>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) resources: Option<Vec<String>>,
    pub(crate) subject: Subject,
    pub(crate) implied: bool,
    pub(crate) introspects: bool,
    pub(crate) bound: bool,
}

impl Client {
    /// With this id and proof: for the authorization code and refresh tokens, unless said
    /// otherwise.
    pub fn new(id: impl Into<Arc<str>>, auth: ClientAuth) -> Self {
        let id = id.into();
        let subject = Subject {
            id: id.clone(),
            kind: PrincipalKind::Service,
            team: None,
            groups: None,
            roles: Vec::new(),
            limits: Scopes::default(),
            key: None,
        };
        Self {
            name: id.clone(),
            id,
            auth,
            origin: Origin::Configured,
            redirects: Vec::new(),
            uris: Vec::new(),
            grants: [GrantType::AuthorizationCode, GrantType::RefreshToken].into(),
            scopes: None,
            resources: None,
            subject,
            implied: false,
            introspects: false,
            bound: false,
        }
    }

    /// Shows people this name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sends answers to one of these.
    #[must_use]
    pub fn with_redirects<S: Into<String>>(mut self, uris: impl IntoIterator<Item = S>) -> Self {
        self.redirects = uris.into_iter().map(Into::into).collect();
        self
    }

    /// Gets tokens in these ways only.
    #[must_use]
    pub fn with_grants(mut self, grants: impl IntoIterator<Item = GrantType>) -> Self {
        self.grants = grants.into_iter().collect();
        self
    }

    /// Gets these scopes at most.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Gets tokens for these resources only, by their URLs.
    #[must_use]
    pub fn with_resources<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.resources = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// The principal's id that it is, where it acts for itself. Without it, the client's id.
    #[must_use]
    pub fn with_principal(mut self, id: impl Into<Arc<str>>) -> Self {
        self.subject.id = id.into();
        self
    }

    /// The team that it works for, where it acts for itself.
    #[must_use]
    pub fn with_team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.subject.team = Some(team.into());
        self
    }

    /// The roles that it has, where it acts for itself.
    #[must_use]
    pub fn with_roles<S: Into<Arc<str>>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.subject.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// What it may use at most, where it acts for itself.
    #[must_use]
    pub fn with_limits(mut self, limits: Scopes) -> Self {
        self.subject.limits = limits;
        self
    }

    /// Asks nobody for consent: the organisation has given it. Only where answers go to the web
    /// over `https`; an app on somebody's machine could be any.
    #[must_use]
    pub fn with_consent_implied(mut self) -> Self {
        self.implied = true;
        self
    }

    /// Lets it ask about tokens of others (RFC 7662): a resource server.
    #[must_use]
    pub fn with_introspection(mut self) -> Self {
        self.introspects = true;
        self
    }

    /// Gives it tokens that are bound to its key or its certificate only (RFC 9449 §5.2
    /// `dpop_bound_access_tokens`, RFC 8705 §3.4).
    #[must_use]
    pub fn with_bound_tokens(mut self) -> Self {
        self.bound = true;
        self
    }

    pub(crate) fn is_public(&self) -> bool {
        matches!(self.auth.0, Proof::Public)
    }

    pub(crate) fn may(&self, grant: GrantType) -> bool {
        self.grants.contains(&grant)
    }

    /// The redirect URI that was registered and that the asked one is.
    pub(crate) fn redirect(&self, asked: &str) -> Option<&RedirectUri> {
        self.uris.iter().find(|known| known.matches(asked))
    }
}

/// What a client says of itself (RFC 7591 §2), as far as it is listened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMetadata {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Where answers may go.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// How it gets tokens; the authorization code alone unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    /// What it asks the authorization endpoint for: `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_types: Option<Vec<String>>,
    /// How it proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// The scopes that it may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Its public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where its public keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Whether its tokens are bound to its key always (RFC 9449 §5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
}

impl ClientMetadata {
    /// The ways in which a client that nobody here vouches for may get tokens.
    pub(crate) fn grants(&self) -> BTreeSet<GrantType> {
        let Some(named) = &self.grant_types else { return [GrantType::AuthorizationCode].into() };
        let known = named.iter().filter_map(|name| GrantType::read(name));
        known
            .filter(|grant| matches!(grant, GrantType::AuthorizationCode | GrantType::RefreshToken))
            .collect()
    }

    pub(crate) fn scopes(&self) -> Option<Vec<String>> {
        self.scope.as_deref().map(crate::oauth_client::scopes)
    }
}

/// A stranger's name for itself, fit to be shown: one line, short, and read in one direction only.
pub(crate) fn plain_name(text: &str) -> Option<Arc<str>> {
    let shown = |letter: &char| {
        let turns = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{2028}' | '\u{2029}');
        !letter.is_control() && !turns
    };
    let name: String = text.chars().filter(shown).take(NAME_MOST).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_name_is_one_short_line() {
        assert_eq!(plain_name(" A\u{202e}b\n\u{200b}c ").as_deref(), Some("Abc"));
        assert_eq!(plain_name("\u{202e}\n"), None);
        assert_eq!(plain_name(&"x".repeat(500)).unwrap().len(), NAME_MOST);
    }

    #[test]
    fn a_stranger_acts_for_people_only() {
        let metadata = ClientMetadata {
            grant_types: Some(vec![
                "authorization_code".into(),
                "client_credentials".into(),
                GrantType::JwtBearer.as_str().into(),
                GrantType::TokenExchange.as_str().into(),
                "implicit".into(),
            ]),
            ..ClientMetadata::default()
        };
        assert_eq!(metadata.grants(), [GrantType::AuthorizationCode].into());
    }
}
