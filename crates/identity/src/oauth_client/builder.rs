//! Putting an [`OAuthClient`] together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use doorward_core::{Clock, Entropy};

use super::address::{AddressError, Reach, literal};
use super::client::{Inner, OAuthClient, Server};
use super::discovery::Discovery;
use super::http::Http;
use super::registration::{KnownClient, Profile};
use super::server::{Grant, Protected};
use super::tokens::TokenStore;

/// What an [`OAuthClient`] works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Asks authorization servers.
    pub http: Arc<dyn Http>,
    /// Keeps tokens.
    pub store: Arc<dyn TokenStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes states, verifiers and handles.
    pub entropy: Arc<dyn Entropy>,
}

/// Puts an [`OAuthClient`] together.
#[derive(Debug)]
pub struct Builder {
    base: String,
    parts: Parts,
    reach: Reach,
    name: String,
    document: Option<String>,
    clients: Vec<KnownClient>,
    servers: Vec<(String, Protected)>,
}

/// A client cannot be put together like this.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The gateway's own URL.
    #[error("the gateway's own URL `{0}` must be https, or http on this machine, without a query")]
    Base(String),
    /// The metadata document's URL.
    #[error("a client id `{0}` must be an https URL with a path")]
    Document(String),
    /// A server's URL.
    #[error("the server `{name}` cannot be asked")]
    Server {
        /// The server.
        name: String,
        /// What is wrong with its URL.
        #[source]
        cause: AddressError,
    },
    /// Two of a name.
    #[error("there are two servers `{0}`")]
    Twice(String),
    /// A grant without a person's consent, shared.
    #[error("the server `{0}` is vouched for each principal and cannot be shared")]
    Shared(String),
}

impl OAuthClient {
    /// A client of the gateway at this URL: `{base}/connect/{handle}` is where people are sent,
    /// `{base}/connect/callback` where they come back.
    pub fn builder(base: impl Into<String>, parts: Parts) -> Builder {
        Builder {
            base: base.into(),
            parts,
            reach: Reach::default(),
            name: "Doorward".to_owned(),
            document: None,
            clients: Vec::new(),
            servers: Vec::new(),
        }
    }
}

impl Builder {
    /// How far requests may reach: the same as the [`Http`] has.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// The name that consent pages show.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The https URL where [`OAuthClient::client_metadata`] is served, to be our client id where
    /// an authorization server takes such.
    #[must_use]
    pub fn metadata_document(mut self, url: impl Into<String>) -> Self {
        self.document = Some(url.into());
        self
    }

    /// Adds a client that was registered by hand, for every server with its issuer.
    #[must_use]
    pub fn client(mut self, client: KnownClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Adds a server.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>, server: Protected) -> Self {
        self.servers.push((name.into(), server));
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// [`BuildError`], by what is wrong with the configuration.
    pub fn build(self) -> Result<OAuthClient, BuildError> {
        let base = own(&self.base)?;
        if let Some(url) = &self.document {
            let parsed = Reach::default().endpoint(url);
            if !parsed.is_ok_and(|url| !url.path().is_empty()) {
                return Err(BuildError::Document(url.clone()));
            }
        }
        let profile = Profile {
            name: self.name,
            redirect_uri: format!("{base}/connect/callback").into(),
            document: self.document.map(Into::into),
        };
        let mut servers = BTreeMap::new();
        for (name, options) in self.servers {
            let url = self.reach.endpoint(&options.url);
            let url = url.map_err(|cause| BuildError::Server { name: name.clone(), cause })?;
            if options.shared && matches!(options.grant, Grant::Enterprise(_)) {
                return Err(BuildError::Shared(name));
            }
            let server = Server { name: name.as_str().into(), url, options };
            if servers.insert(name.clone(), Arc::new(server)).is_some() {
                return Err(BuildError::Twice(name));
            }
        }
        let Parts { http, store, clock, entropy } = self.parts;
        let clients = self.clients.into_iter().map(|client| (client.issuer.clone(), client));
        let inner = Inner {
            base,
            profile,
            servers,
            clients: clients.collect(),
            discovery: Discovery::new(http, self.reach, clock.clone()),
            store,
            clock,
            entropy,
            memory: Mutex::default(),
        };
        Ok(OAuthClient { inner: Arc::new(inner) })
    }
}

/// Our own URL: codes come back to it, so it is https wherever another machine could listen.
fn own(base: &str) -> Result<String, BuildError> {
    let wrong = || BuildError::Base(base.to_owned());
    let uri: http::Uri = base.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let here = host == "localhost" || literal(host).is_some_and(|address| address.is_loopback());
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => here,
        _ => false,
    };
    if !secure || uri.query().is_some() || base.contains(['#', '@']) {
        return Err(wrong());
    }
    Ok(base.trim_end_matches('/').to_owned())
}
