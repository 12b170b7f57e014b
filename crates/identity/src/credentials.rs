//! Credentials for upstreams, from the configuration.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;

use doorward_core::{Audience, BoxFuture, CallError, Credential, Credentials, Cx};

/// The credentials of each upstream and server, the same for every caller. Names that are not
/// among them want none. An upstream may have several, to choose from.
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
    upstreams: HashMap<String, Vec<Credential>>,
    servers: HashMap<String, Credential>,
}

impl StaticCredentials {
    /// Adds one of a model upstream's.
    #[must_use]
    pub fn with_upstream(mut self, name: impl Into<String>, credential: Credential) -> Self {
        self.upstreams.entry(name.into()).or_default().push(credential);
        self
    }

    /// Adds an MCP server's.
    #[must_use]
    pub fn with_server(mut self, name: impl Into<String>, credential: Credential) -> Self {
        self.servers.insert(name.into(), credential);
        self
    }

    /// The first credential for an audience, if it wants one.
    pub fn find(&self, audience: Audience<'_>) -> Option<&Credential> {
        match audience {
            Audience::Upstream(name) => self.upstreams.get(name)?.first(),
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

    fn choices(&self, _cx: &Cx, audience: Audience<'_>) -> usize {
        match audience {
            Audience::Upstream(name) => self.upstreams.get(name).map_or(1, Vec::len),
            Audience::Server(_) => 1,
        }
    }

    fn choice<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
        place: usize,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        match audience {
            Audience::Upstream(name) => {
                let list = self.upstreams.get(name);
                let chosen = list.and_then(|list| list.get(place).or_else(|| list.first()));
                Box::pin(ready(Ok(chosen.cloned())))
            }
            Audience::Server(_) => self.credential(cx, audience),
        }
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

#[cfg(test)]
mod tests {
    use doorward_core::Secret;

    use super::*;

    #[test]
    fn an_upstream_has_as_many_choices_as_it_has_credentials() {
        let key = |text: &str| Credential::Key(Secret::new(text));
        let credentials = StaticCredentials::default()
            .with_upstream("openai", key("one"))
            .with_upstream("openai", key("two"));
        let list = credentials.upstreams.get("openai").map(Vec::len);
        assert_eq!(list, Some(2));
        let first = credentials.find(Audience::Upstream("openai"));
        assert!(matches!(first, Some(Credential::Key(key)) if key.expose() == "one"));
    }
}
