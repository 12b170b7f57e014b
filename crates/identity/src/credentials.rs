//! Credentials for upstreams, from the configuration.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;

use doorward_core::{Audience, BoxFuture, CallError, Credential, Credentials, Cx};

/// One credential for each upstream and server, the same for every caller. Names that are not
/// among them want none.
///
/// ```
/// use doorward_core::{Audience, Credential, Secret};
/// use doorward_identity::StaticCredentials;
/// let credentials =
///     StaticCredentials::default().with_upstream("openai", Credential::Key(Secret::new("sk-1")));
/// assert!(credentials.find(Audience::Upstream("openai")).is_some());
/// assert!(credentials.find(Audience::Server("openai")).is_none());
/// assert!(!format!("{credentials:?}").contains("sk-1"));
/// ```
#[derive(Clone, Default)]
pub struct StaticCredentials {
    upstreams: HashMap<String, Credential>,
    servers: HashMap<String, Credential>,
}

impl StaticCredentials {
    /// Adds a model upstream's.
    #[must_use]
    pub fn with_upstream(mut self, name: impl Into<String>, credential: Credential) -> Self {
        self.upstreams.insert(name.into(), credential);
        self
    }

    /// Adds an MCP server's.
    #[must_use]
    pub fn with_server(mut self, name: impl Into<String>, credential: Credential) -> Self {
        self.servers.insert(name.into(), credential);
        self
    }

    /// The credential for an audience, if it wants one.
    pub fn find(&self, audience: Audience<'_>) -> Option<&Credential> {
        match audience {
            Audience::Upstream(name) => self.upstreams.get(name),
            Audience::Server(name) => self.servers.get(name),
        }
    }
}

impl Credentials for StaticCredentials {
    fn credential<'a>(
        &'a self,
        _cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(ready(Ok(self.find(audience).cloned())))
    }
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticCredentials")
            .field("upstreams", &self.upstreams.keys())
            .field("servers", &self.servers.keys())
            .finish()
    }
}
