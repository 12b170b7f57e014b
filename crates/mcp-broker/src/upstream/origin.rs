//! A server reached by HTTP: which era and transport it speaks, found out once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use doorward_core::{BoxFuture, Clock};
use http::Uri;

use super::address::{Peer, SESSION, Session};
use super::ear::Ear;
use super::pool::{Connection, Dial, Pool};
use super::reach::{self, Client, Reach};
use super::streamable::{self, Streamable};
use super::turns::Manners;
use super::{Failure, Whose, handshake, two_ways};
use crate::Server;
use crate::builder::BuildError;
use crate::envelope;
use crate::protocol;

/// An HTTP endpoint as a server.
pub(crate) struct Origin {
    name: Arc<str>,
    uri: Uri,
    client: Client,
    max_result: usize,
    manners: Arc<Manners>,
    /// What it was found to speak, so that it is asked for that first.
    known: AtomicU8,
}

/// What an endpoint speaks.
mod speaks {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const LEGACY: u8 = 1;
    pub(super) const TWO_WAYS: u8 = 2;
}

impl Origin {
    /// The connections to one endpoint.
    #[expect(clippy::new_ret_no_self, reason = "only the pool is of use")]
    pub(crate) fn new(
        server: &Server,
        url: &str,
        changes: Arc<AtomicU64>,
    ) -> Result<Pool, BuildError> {
        let uri: Uri = url.parse().map_err(|_| BuildError::Url(server.name.clone()))?;
        let secure = match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some(_)) => false,
            _ => return Err(BuildError::Url(server.name.clone())),
        };
        let client = reach::client(secure)
            .map_err(|reason| BuildError::Tls { server: server.name.clone(), reason })?;
        let origin = Self {
            name: server.name.as_str().into(),
            uri,
            client,
            max_result: server.max_result,
            manners: Arc::default(),
            known: AtomicU8::new(speaks::UNKNOWN),
        };
        Ok(Pool::new(server, Box::new(origin), changes))
    }

    /// Finds the era out: `server/discover`; `initialize` where that leads nowhere; a stream of
    /// the first revision where that is not even understood.
    async fn shake(&self, whose: &Whose, ear: Arc<Ear>) -> Result<Box<dyn Connection>, Failure> {
        let (client, uri) = (self.client.clone(), self.uri.clone());
        let reach = Reach { client, uri, credential: whose.credential.clone() };
        let known = self.known.load(Ordering::Relaxed);
        if known == speaks::UNKNOWN {
            let mut found = self.discover(&reach, whose).await;
            if found.as_ref().is_err_and(handshake::is_modern_refusal) {
                found = self.discover(&reach, whose).await;
            }
            match found {
                Ok(Some(hello)) => return Ok(self.streamable(reach, Peer::Modern, hello, ear)),
                Err(failure @ (Failure::Unreachable(_) | Failure::Refused { .. })) => {
                    return Err(failure);
                }
                Ok(None) | Err(_) => {}
            }
        }
        // Should it not speak that any more, all is asked again the next time.
        self.known.store(speaks::UNKNOWN, Ordering::Relaxed);
        if known == speaks::TWO_WAYS {
            let opened = self.two_ways(reach, ear).await?;
            self.known.store(speaks::TWO_WAYS, Ordering::Relaxed);
            return Ok(opened);
        }
        match self.initialize(&reach).await {
            Ok((peer, hello)) => {
                self.known.store(speaks::LEGACY, Ordering::Relaxed);
                Ok(self.streamable(reach, peer, hello, ear))
            }
            Err(refused @ Failure::Status(400 | 404 | 405)) => {
                // MCP 2025-03-26, "Backwards Compatibility".
                let opened = self.two_ways(reach, ear).await.map_err(|_| refused)?;
                self.known.store(speaks::TWO_WAYS, Ordering::Relaxed);
                Ok(opened)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn discover(
        &self,
        reach: &Reach,
        whose: &Whose,
    ) -> Result<Option<super::Hello>, Failure> {
        let message = envelope::request(0, "server/discover", &handshake::probe());
        let ask = super::Ask::new("server/discover", whose);
        let sent = reach.post(&Peer::Modern, Some(&ask), message).await;
        let (result, _) = streamable::only_answer(sent, 0, self.max_result).await?;
        Ok(handshake::discovered(&result))
    }

    async fn initialize(&self, reach: &Reach) -> Result<(Peer, super::Hello), Failure> {
        let nobody = Arc::new(Session { id: None, version: protocol::DATED[0] });
        let message = envelope::request(0, "initialize", &protocol::initialize_params());
        let whose = Whose { principal: Arc::default(), credential: None };
        let ask = super::Ask::new("initialize", &whose);
        let sent = reach.post(&Peer::Legacy(nobody), Some(&ask), message).await;
        let (result, headers) = streamable::only_answer(sent, 0, self.max_result).await?;
        let hello = handshake::initialized(&result)?;
        let id = headers.get(SESSION).cloned();
        let peer = Peer::Legacy(Arc::new(Session { id, version: hello.version }));
        let message = envelope::notification("notifications/initialized", None);
        reach.post(&peer, None, message).await?;
        Ok((peer, hello))
    }

    fn streamable(
        &self,
        reach: Reach,
        peer: Peer,
        hello: super::Hello,
        ear: Arc<Ear>,
    ) -> Box<dyn Connection> {
        let (name, manners) = (self.name.clone(), self.manners.clone());
        Box::new(Streamable::new(name, reach, peer, hello, self.max_result, ear, manners))
    }

    async fn two_ways(&self, reach: Reach, ear: Arc<Ear>) -> Result<Box<dyn Connection>, Failure> {
        let (name, manners) = (self.name.clone(), self.manners.clone());
        let wired = two_ways::open(name, reach, self.max_result, ear, manners).await?;
        Ok(Box::new(wired))
    }
}

impl Dial for Origin {
    fn rests(&self) -> Option<&dyn Clock> {
        None
    }

    fn dial<'a>(
        &'a self,
        whose: &'a Whose,
        ear: Arc<Ear>,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, Failure>> {
        Box::pin(self.shake(whose, ear))
    }
}
