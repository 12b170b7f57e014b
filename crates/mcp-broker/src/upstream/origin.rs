//! A server reached by Streamable HTTP: one POST a question, answered by JSON or by a stream that
//! belongs to the question.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{BoxFuture, Credential};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde_json::value::RawValue;

use super::address::{Peer, SESSION, Session, address, show};
use super::sse::Events;
use super::{Answer, Ask, Condition, Failure, Hello, Link, Rumour, Whose, handshake, wire};
use crate::builder::BuildError;
use crate::envelope::{self, Message};
use crate::protocol::{self, code};
use crate::shelf::Holder;
use crate::{Era, Server, State};

/// The most legacy sessions held with one server, one for each credential.
const MOST_SESSIONS: usize = 1024;
/// How much of an error's body is read.
const LONGEST_ERROR: usize = 64 << 10;
/// What an envelope adds to a result, generously.
const ENVELOPE: usize = 4096;
/// How long small things may take that nobody waits for: cancelling, ending sessions.
const ASIDE: Duration = Duration::from_secs(5);

/// An HTTP endpoint as a server.
pub(crate) struct Origin {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    connect_timeout: Duration,
    max_result: usize,
    next: AtomicU64,
    changes: Arc<AtomicU64>,
    /// Held while shaking hands, so that one does it for all.
    gate: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    condition: Condition,
    sessions: HashMap<Holder, Arc<Session>>,
    closed: bool,
}

impl Origin {
    pub(crate) fn new(
        server: &Server,
        url: &str,
        changes: Arc<AtomicU64>,
    ) -> Result<Self, BuildError> {
        let uri: Uri = url.parse().map_err(|_| BuildError::Url(server.name.clone()))?;
        let secure = match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some(_)) => false,
            _ => return Err(BuildError::Url(server.name.clone())),
        };
        let client = client(secure)
            .map_err(|reason| BuildError::Tls { server: server.name.clone(), reason })?;
        Ok(Self {
            uri,
            client,
            connect_timeout: server.connect_timeout,
            max_result: server.max_result,
            next: AtomicU64::new(1),
            changes,
            gate: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        })
    }

    fn with_known<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn peer_known(&self, credential: Option<&Credential>) -> Result<Option<Peer>, Failure> {
        self.with_known(|known| match known.condition.era {
            _ if known.closed => Err(Failure::Closed),
            Some(Era::Modern) => Ok(Some(Peer::Modern)),
            _ => {
                let holder = Holder(credential.cloned());
                Ok(known.sessions.get(&holder).cloned().map(Peer::Legacy))
            }
        })
    }

    async fn peer(&self, credential: Option<&Credential>) -> Result<Peer, Failure> {
        if let Some(peer) = self.peer_known(credential)? {
            return Ok(peer);
        }
        let _gate = self.gate.lock().await;
        if let Some(peer) = self.peer_known(credential)? {
            return Ok(peer);
        }
        let shaken = tokio::time::timeout(self.connect_timeout, self.shake(credential)).await;
        let peer = shaken.unwrap_or(Err(Failure::Slow))?;
        self.with_known(|known| match &peer {
            Peer::Modern => known.condition.era = Some(Era::Modern),
            Peer::Legacy(session) => {
                known.condition.era = Some(Era::Legacy);
                if known.sessions.len() >= MOST_SESSIONS {
                    known.sessions.clear();
                }
                known.sessions.insert(Holder(credential.cloned()), session.clone());
            }
        });
        Ok(peer)
    }

    /// Finds the era out: `server/discover`, and `initialize` where that leads nowhere.
    async fn shake(&self, credential: Option<&Credential>) -> Result<Peer, Failure> {
        let known_legacy = self.with_known(|known| known.condition.era == Some(Era::Legacy));
        if !known_legacy {
            let whose = only(credential);
            let ask = Ask::new("server/discover", &whose);
            match self.exchange(&Peer::Modern, &ask).await {
                Ok((result, _)) if handshake::is_modern(&result).is_some() => {
                    return Ok(Peer::Modern);
                }
                Err(failure @ (Failure::Unreachable(_) | Failure::Status(401 | 403))) => {
                    return Err(failure);
                }
                _ => {}
            }
        }
        self.initialize(credential).await
    }

    async fn initialize(&self, credential: Option<&Credential>) -> Result<Peer, Failure> {
        let nobody = Arc::new(Session { id: None, version: protocol::DATED[0] });
        let whose = only(credential);
        let ask = Ask::new("initialize", &whose);
        let (result, headers) = self.exchange(&Peer::Legacy(nobody), &ask).await?;
        let version = handshake::dated(&result)?;
        let id = headers.get(SESSION).cloned();
        let peer = Peer::Legacy(Arc::new(Session { id, version }));
        let message = envelope::notification("notifications/initialized", None);
        let response = self.send(&peer, None, message, credential).await?;
        match response.status() {
            status if status.is_success() => Ok(peer),
            status => Err(Failure::Status(status.as_u16())),
        }
    }

    /// One question and its answer.
    async fn exchange(
        &self,
        peer: &Peer,
        ask: &Ask<'_>,
    ) -> Result<(Box<RawValue>, HeaderMap), Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.exchange_as(id, peer, ask).await
    }

    async fn exchange_as(
        &self,
        id: u64,
        peer: &Peer,
        ask: &Ask<'_>,
    ) -> Result<(Box<RawValue>, HeaderMap), Failure> {
        let params = match peer {
            _ if ask.method == "initialize" => protocol::initialize_params(),
            Peer::Modern => ask.params(Era::Modern),
            Peer::Legacy(_) => ask.params(Era::Legacy),
        };
        let message = envelope::request(id, ask.method, &params);
        let response = self.send(peer, Some(ask), message, ask.whose.credential.as_ref()).await?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !head.status.is_success() {
            return Err(refused(head.status, body).await);
        }
        let outcome = match kind.to_ascii_lowercase().as_str() {
            "text/event-stream" => {
                self.read_stream(peer, ask.whose.credential.as_ref(), id, body).await
            }
            "application/json" => self.read_whole(id, body).await,
            _ => Err(Failure::Nonsense("answered with a content type that is not MCP's")),
        };
        Ok((outcome?, head.headers))
    }

    async fn send(
        &self,
        peer: &Peer,
        ask: Option<&Ask<'_>>,
        message: String,
        credential: Option<&Credential>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(Bytes::from(message)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        address(headers, peer, ask)?;
        show(headers, credential)?;
        self.client.request(request).await.map_err(|error| Failure::Unreachable(error.into()))
    }

    async fn read_whole(&self, id: u64, body: Incoming) -> Result<Box<RawValue>, Failure> {
        let body = collect(body, self.max_result + ENVELOPE).await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::TooLarge(self.max_result)
            } else {
                Failure::Gone
            }
        })?;
        let own = Failure::Nonsense("answered with something that is no answer to the question");
        self.outcome(&body, id).unwrap_or(Err(own))
    }

    async fn read_stream(
        &self,
        peer: &Peer,
        credential: Option<&Credential>,
        id: u64,
        mut body: Incoming,
    ) -> Result<Box<RawValue>, Failure> {
        let mut events = Events::new(self.max_result + ENVELOPE);
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|_| Failure::Gone)?.into_data() else { continue };
            let too_long = |_| Failure::TooLarge(self.max_result);
            for data in events.feed(&bytes).map_err(too_long)? {
                if let Some(outcome) = self.outcome(&data, id) {
                    return outcome;
                }
                self.hear(peer, credential, &data).await;
            }
        }
        Err(Failure::Gone)
    }

    /// The answer to question `id`, if the message is that.
    fn outcome(&self, message: &[u8], id: u64) -> Option<Result<Box<RawValue>, Failure>> {
        let Ok(Message::Reply { id: of, outcome }) = Message::read(message) else { return None };
        match outcome {
            _ if of.is_some_and(|of| of.get() != id.to_string()) => None,
            Ok(_) if of.is_none() => None,
            Ok(result) if result.get().len() > self.max_result => {
                Some(Err(Failure::TooLarge(self.max_result)))
            }
            Ok(result) => Some(Ok(result.to_owned())),
            Err(error) => Some(Err(Failure::Rpc(error))),
        }
    }

    /// What else a server says on a stream: pings are answered, other questions refused.
    async fn hear(&self, peer: &Peer, credential: Option<&Credential>, message: &[u8]) {
        match Message::read(message) {
            Ok(Message::Request { id, method, .. }) => {
                let respond = wire::respond(id, &method);
                let sent = self.send(peer, None, respond, credential);
                tokio::time::timeout(ASIDE, sent).await.ok();
            }
            Ok(Message::Notification { method, .. })
                if method == "notifications/tools/list_changed" =>
            {
                self.changes.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Asks, and sets a lost session or a wrong assumption right once.
    async fn ask_twice(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut again = true;
        loop {
            let peer = self.peer(ask.whose.credential.as_ref()).await?;
            let era = if matches!(peer, Peer::Modern) { Era::Modern } else { Era::Legacy };
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let mut flight = Flight::new(self, &peer, ask, id);
            let outcome = self.exchange_as(id, &peer, ask).await;
            flight.open = None;
            let forget = match (&outcome, &peer) {
                // Neither ran the call: the session was unknown, or the version was.
                (Err(Failure::Status(404)), Peer::Legacy(session)) => session.id.is_some(),
                (Err(Failure::Rpc(error)), Peer::Legacy(session)) if session.id.is_some() => {
                    error.status == Some(404)
                }
                (Err(Failure::Rpc(error)), Peer::Modern) => error.code == code::VERSION_NOT_SERVED,
                _ => false,
            };
            if !(forget && std::mem::take(&mut again)) {
                return outcome.map(|(result, _)| Answer { result, era });
            }
            self.with_known(|known| {
                known.condition.restarts += 1;
                known.sessions.remove(&Holder(ask.whose.credential.clone()));
                if era == Era::Modern {
                    known.condition.era = None;
                }
            });
        }
    }
}

fn only(credential: Option<&Credential>) -> Whose {
    Whose { principal: Arc::default(), credential: credential.cloned() }
}

fn client(secure: bool) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if secure {
        builder.with_provider_and_native_roots(provider).map_err(|error| error.to_string())?
    } else {
        // Nothing to trust is needed for plain HTTP, and hosts without certificates exist.
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let connector = builder.https_or_http().enable_http1().enable_http2().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

async fn collect(
    body: Incoming,
    most: usize,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, most).collect().await?.to_bytes())
}

/// What an answer with an error status says: a JSON-RPC error if it holds one.
async fn refused(status: StatusCode, body: Incoming) -> Failure {
    let plain = Failure::Status(status.as_u16());
    if matches!(status.as_u16(), 401 | 403) || status.is_redirection() {
        return plain;
    }
    let Ok(body) = collect(body, LONGEST_ERROR).await else { return plain };
    match Message::read(&body) {
        Ok(Message::Reply { outcome: Err(mut error), .. }) => {
            error.status = Some(status.as_u16());
            Failure::Rpc(error)
        }
        _ => plain,
    }
}

/// A question to a legacy server under way: dropped before the answer, the server is told. A
/// modern server sees the connection close.
struct Flight<'a> {
    open: Option<(&'a Arc<Origin>, Arc<Session>, Option<&'a Credential>)>,
    id: u64,
}

impl<'a> Flight<'a> {
    fn new(origin: &'a Arc<Origin>, peer: &Peer, ask: &Ask<'a>, id: u64) -> Self {
        let Peer::Legacy(session) = peer else { return Self { open: None, id } };
        Self { open: Some((origin, session.clone(), ask.whose.credential.as_ref())), id }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some((origin, session, credential)) = self.open.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let params = format!(r#"{{"requestId":{},"reason":"the caller went away"}}"#, self.id);
        let message = envelope::notification("notifications/cancelled", Some(&params));
        let (origin, credential) = (origin.clone(), credential.cloned());
        runtime.spawn(async move {
            let peer = Peer::Legacy(session);
            let sent = origin.send(&peer, None, message, credential.as_ref());
            tokio::time::timeout(ASIDE, sent).await.ok();
        });
    }
}

impl Link for Arc<Origin> {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let outcome = self.ask_twice(&ask).await;
            self.with_known(|known| match &outcome {
                Ok(_) | Err(Failure::Rpc(_) | Failure::TooLarge(_)) => {
                    known.condition.state = State::Up;
                }
                Err(Failure::Closed) => {}
                Err(failure) => {
                    known.condition.state = State::Down;
                    known.condition.last_failure = Some(failure.to_string());
                }
            });
            outcome
        })
    }

    fn hello<'a>(&'a self, _whose: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>> {
        Box::pin(async { Err(Failure::Nonsense("has not introduced itself")) })
    }

    fn rumours(&self, _whose: &Whose) -> tokio::sync::broadcast::Receiver<Rumour> {
        tokio::sync::broadcast::channel(1).1
    }

    fn follow<'a>(
        &'a self,
        _whose: &'a Whose,
        _uri: &'a str,
        _on: bool,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Err(Failure::Nonsense("cannot be followed")) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let sessions = self.with_known(|known| {
                known.closed = true;
                std::mem::take(&mut known.sessions)
            });
            let ends = sessions.into_iter().filter_map(|(holder, session)| {
                let mut request = Request::new(Full::default());
                *request.method_mut() = Method::DELETE;
                *request.uri_mut() = self.uri.clone();
                session.id.as_ref()?;
                address(request.headers_mut(), &Peer::Legacy(session), None).ok()?;
                show(request.headers_mut(), holder.0.as_ref()).ok()?;
                Some(self.client.request(request))
            });
            let all = futures_util::future::join_all(ends);
            tokio::time::timeout(ASIDE, all).await.ok();
        })
    }

    fn condition(&self) -> Condition {
        self.with_known(|known| known.condition.clone())
    }
}
