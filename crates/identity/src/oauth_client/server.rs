//! Which servers want OAuth tokens, and how they are got.

use std::fmt;
use std::sync::Arc;

use doorward_core::{BoxFuture, CallError, Principal, Secret};

use super::registration::KnownClient;

/// An MCP server (or another protected resource) whose tokens are got by OAuth.
///
/// ```
/// use doorward_identity::oauth_client::Protected;
/// let crm = Protected::new("https://crm.example/mcp").with_scopes(["contacts.read"]);
/// assert!(!crm.is_shared());
/// ```
#[derive(Debug, Clone)]
pub struct Protected {
    pub(crate) url: String,
    pub(crate) grant: Grant,
    pub(crate) shared: bool,
    pub(crate) client: Option<KnownClient>,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) scopes: Option<Vec<String>>,
}

/// How tokens of a server are got.
#[derive(Debug, Clone, Default)]
pub enum Grant {
    /// A person consents in a browser: authorization code with PKCE, then refresh.
    #[default]
    Consent,
    /// The gateway as itself (RFC 6749 §4.4), with a client registered by hand. One token for all
    /// principals: it says nothing about any of them.
    ClientCredentials,
    /// The platform that the gateway runs on vouches for the gateway itself, in a secret's place
    /// (workload identity federation, RFC 7523 §2.1), with a client registered by hand. One token
    /// for all principals.
    Workload(Arc<dyn Assertions>),
    /// The enterprise's identity provider vouches for the principal (Enterprise-Managed
    /// Authorization: RFC 8693 for an ID-JAG, then RFC 7523), with a client registered by hand.
    Enterprise(IdentityProvider),
}

/// The identity provider that the gateway's people sign in with.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Its token endpoint.
    pub token_endpoint: String,
    /// The gateway's client there.
    pub client: KnownClient,
    /// Where the principals' ID tokens come from.
    pub subjects: Arc<dyn Subjects>,
}

/// Has what the gateway's platform says of it: a JWT for the authorization server. Platforms
/// exchange it often, so it is asked for anew each time.
pub trait Assertions: Send + Sync + fmt::Debug {
    /// The platform's assertion as it is now.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    fn assertion(&self) -> BoxFuture<'_, Result<Secret, CallError>>;
}

/// Knows the ID tokens with which principals signed in at the gateway.
pub trait Subjects: Send + Sync + fmt::Debug {
    /// The principal's ID token, issued to the gateway's own client, if there is one that holds.
    fn id_token<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> BoxFuture<'a, Result<Option<Secret>, CallError>>;
}

impl Protected {
    /// The server at this URL, with consent of each user.
    pub fn new(url: impl Into<String>) -> Self {
        let (url, grant) = (url.into(), Grant::default());
        Self { url, grant, shared: false, client: None, issuer: None, scopes: None }
    }

    /// Gets tokens another way than by consent.
    #[must_use]
    pub fn with_grant(mut self, grant: Grant) -> Self {
        self.grant = grant;
        self
    }

    /// Shows one token for all principals: whoever consents does so for everybody.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Uses a client that was registered by hand, where this server's authorization server is
    /// its issuer.
    #[must_use]
    pub fn with_client(mut self, client: KnownClient) -> Self {
        self.client = Some(client);
        self
    }

    /// Takes this authorization server, exactly as it names itself, and no other that the server
    /// may name.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Asks for these scopes where the server's challenge names none.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Whether all principals use one token.
    pub fn is_shared(&self) -> bool {
        self.shared || matches!(self.grant, Grant::ClientCredentials | Grant::Workload(_))
    }
}
