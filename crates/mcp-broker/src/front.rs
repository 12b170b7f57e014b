//! The server side towards MCP clients: all revisions on one URL, without the listener.

mod body;
mod call;
mod caller;
mod dated;
mod era;
mod limits;
mod list;
mod listen;
mod mirrors;
mod offers;
mod pair;
mod params;
mod post;
mod reply;
mod revision;
mod rounds;
mod run;
mod session;
mod tape;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{Clock, Cx, Entropy, PooledEntropy, Scope, SystemClock, Timestamp, Tools};
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::value::RawValue;

pub use body::FrontBody;
pub use limits::Limits;
pub use session::{Ended, EndedHere, SessionKey};

use crate::ServerInfo;
use crate::seal::{Purpose, Seal, SealKeys};
use body::bare;
use era::Refusal;
use listen::Seats;
use mirrors::Annotated;
use revision::Revision;
use rounds::Parking;
use session::{Sessions, Ticket};

/// How many ended sessions are remembered in this process.
const MOST_ENDED: usize = 100_000;
/// The header that names a session.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The MCP server side, without a listener: one HTTP exchange in, one out. Clones share
/// everything.
///
/// Serves all revisions from 2024-11-05 to 2026-07-28. Clients with a handshake get a session,
/// whose id is a sealed text: any replica with the same [keys](Front::sessions) serves it. The
/// caller checks `Origin`, `Host` and who asks; the front never looks at credentials, and a
/// session id is none.
///
/// ```
/// use std::sync::Arc;
/// use doorward_mcp_broker::{Broker, Front, SealKey, SealKeys, ServerInfo};
///
/// let broker = Broker::builder().build()?;
/// let front = Front::new(Arc::new(broker), ServerInfo::new("gateway", "1.0"))
///     .sessions(&SealKeys::new(SealKey::new(1, [7; 32])));
/// assert_eq!(front.sessions_known(), 0);
/// # Ok::<_, doorward_mcp_broker::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Front {
    settings: Arc<Settings>,
    hall: Arc<Hall>,
}

/// What the front was told.
#[derive(Clone)]
struct Settings {
    tools: Arc<dyn Tools>,
    info: ServerInfo,
    page: usize,
    stream_after: Duration,
    keep_alive: Duration,
    retry: Duration,
    seal: Arc<Seal>,
    epoch: Arc<AtomicU64>,
    ended: Arc<dyn Ended>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
}

/// What goes on in this process.
struct Hall {
    sessions: Sessions,
    parking: Parking,
    /// Streams that clients may come back to.
    tapes: AtomicUsize,
    listens: Seats,
    annotated: Annotated,
    serial: AtomicU64,
    /// The capabilities of a client that has declared none.
    nothing: Arc<RawValue>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("info", &self.settings.info).finish_non_exhaustive()
    }
}

impl Front {
    /// A front over these tools, under this name. Lists have 250 entries a page; a request that
    /// takes more than 3 s becomes a stream with a sign of life every 10 s; sessions are sealed
    /// with a random key, and end with the process.
    pub fn new(tools: Arc<dyn Tools>, info: ServerInfo) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(PooledEntropy::default());
        let hall = Hall {
            sessions: Sessions::default(),
            parking: Parking::new(&*entropy),
            tapes: AtomicUsize::new(0),
            listens: Seats::default(),
            annotated: Annotated::default(),
            serial: AtomicU64::new(0),
            nothing: RawValue::from_string("{}".into()).unwrap_or_default().into(),
        };
        let settings = Settings {
            tools,
            info,
            page: 250,
            stream_after: Duration::from_secs(3),
            keep_alive: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            seal: Arc::new(Seal::new(&SealKeys::random(&*entropy))),
            epoch: Arc::default(),
            ended: Arc::new(EndedHere::new(MOST_ENDED)),
            clock: Arc::new(SystemClock),
            entropy,
            limits: Limits::default(),
        };
        Self { settings: Arc::new(settings), hall: Arc::new(hall) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// How many entries a page of a list has; at least one.
    #[must_use]
    pub fn page(self, entries: usize) -> Self {
        self.with(|settings| settings.page = entries.max(1))
    }

    /// After how long an answer becomes a stream, where the client takes one.
    #[must_use]
    pub fn stream_after(self, wait: Duration) -> Self {
        self.with(|settings| settings.stream_after = wait)
    }

    /// How often a stream shows a sign of life.
    #[must_use]
    pub fn keep_alive(self, every: Duration) -> Self {
        self.with(|settings| settings.keep_alive = every)
    }

    /// After how long a client of 2025-11-25 that has lost its stream should come back.
    #[must_use]
    pub fn retry(self, after: Duration) -> Self {
        self.with(|settings| settings.retry = after)
    }

    /// The keys that session ids, request states and cursors are sealed with.
    #[must_use]
    pub fn sessions(self, keys: &SealKeys) -> Self {
        self.with(|settings| settings.seal = Arc::new(Seal::new(keys)))
    }

    /// The policy epoch: when the number changes, all sessions of before are over.
    #[must_use]
    pub fn epoch(self, epoch: Arc<AtomicU64>) -> Self {
        self.with(|settings| settings.epoch = epoch)
    }

    /// Where ended sessions are remembered, instead of the last 100,000 in this process.
    #[must_use]
    pub fn ended(self, ended: Arc<dyn Ended>) -> Self {
        self.with(|settings| settings.ended = ended)
    }

    /// The clock that sessions expire by.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// Where ids and nonces come from.
    #[must_use]
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        self.with(|settings| settings.entropy = entropy)
    }

    /// How much it keeps, and for how long.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|settings| settings.limits = limits)
    }

    /// How many sessions have a state in this process. Handles without one are as valid.
    pub fn sessions_known(&self) -> usize {
        self.hall.sessions.count()
    }

    /// How many calls wait for clients that are away.
    pub fn parked(&self) -> usize {
        self.hall.parking.count()
    }

    /// How many streams are kept for clients that may come back.
    pub fn streams(&self) -> usize {
        self.hall.tapes.load(Ordering::Acquire)
    }

    /// Forgets the state of sessions that have been idle. Happens by itself while sessions come
    /// and go.
    pub fn sweep(&self) {
        self.hall.sessions.sweep(self.now(), self.settings.limits.idle_after);
    }

    /// Answers one HTTP request to `/mcp` or `/mcp/{profile}`, and what clients of the HTTP+SSE
    /// pair post to their endpoint (their session is in the query).
    ///
    /// Dropping the future, or the answer's body, cancels what runs upstream; only for a session
    /// whose answer has become a stream it goes on, and the client may come back to it.
    pub async fn exchange(
        &self,
        cx: &Cx,
        scope: &Scope,
        request: Request<Bytes>,
    ) -> Response<FrontBody> {
        if pair::is_of_pair(&request) {
            return self.post_of_pair(cx, scope, &request).await;
        }
        match *request.method() {
            Method::POST => self.post(cx, scope, request).await,
            Method::GET => self.get(cx, scope, request.headers()),
            Method::DELETE => self.delete(cx, scope, request.headers()),
            _ => not_allowed("GET, POST, DELETE"),
        }
    }

    fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// The session that a request names; `None` where it names none.
    fn ticket(
        &self,
        cx: &Cx,
        scope: &Scope,
        headers: &HeaderMap,
    ) -> Result<Option<Ticket>, Refusal> {
        let mut values = headers.get_all(SESSION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                let text = value.to_str().map_err(|_| Refusal::no_session())?;
                self.admit(cx, scope, text.trim()).map(Some)
            }
            _ => Err(Refusal::no_session()),
        }
    }

    /// Opens a session id: only what we made for this principal and scope, in this epoch, and
    /// neither expired nor ended.
    fn admit(&self, cx: &Cx, scope: &Scope, text: &str) -> Result<Ticket, Refusal> {
        let settings = &self.settings;
        let plain = settings.seal.open(Purpose::Session, text);
        let ticket =
            plain.and_then(|plain| Ticket::read(&plain)).ok_or_else(Refusal::no_session)?;
        let valid = ticket.principal == cx.principal.id
            && ticket.scope == *scope
            && ticket.epoch == settings.epoch.load(Ordering::Acquire)
            && ticket.expires > self.now()
            && !settings.ended.is_ended(&ticket.key);
        if valid { Ok(ticket) } else { Err(Refusal::no_session()) }
    }

    /// Makes a session's handle. Keeps nothing.
    fn mint(
        &self,
        cx: &Cx,
        scope: &Scope,
        revision: Option<Revision>,
        capabilities: &Arc<RawValue>,
    ) -> Option<(SessionKey, String)> {
        let settings = &self.settings;
        let mut key = [0; 16];
        settings.entropy.fill(&mut key);
        let ticket = Ticket {
            key,
            principal: cx.principal.id.clone(),
            scope: scope.clone(),
            revision,
            capabilities: capabilities.clone(),
            epoch: settings.epoch.load(Ordering::Acquire),
            expires: self.now().after(settings.limits.session_for),
        };
        let plain = ticket.write()?;
        let sealed = settings.seal.close(&*settings.entropy, Purpose::Session, plain.as_bytes())?;
        Some((key, sealed))
    }

    fn delete(&self, cx: &Cx, scope: &Scope, headers: &HeaderMap) -> Response<FrontBody> {
        match self.of_session(cx, scope, headers) {
            Ok(ticket) => {
                self.settings.ended.end(ticket.key, ticket.expires, self.now());
                self.hall.sessions.remove(&ticket.key);
                bare(StatusCode::NO_CONTENT)
            }
            Err(response) => response,
        }
    }

    /// The session of a request that makes sense in one only.
    fn of_session(
        &self,
        cx: &Cx,
        scope: &Scope,
        headers: &HeaderMap,
    ) -> Result<Ticket, Response<FrontBody>> {
        match era::named(headers) {
            // Without sessions there is nothing to listen to and nothing to end.
            Ok(Some(Revision::Modern)) => return Err(not_allowed("POST")),
            Ok(_) => {}
            Err(refusal) => return Err(refusal.response(None)),
        }
        match self.ticket(cx, scope, headers) {
            Ok(Some(ticket)) => Ok(ticket),
            Ok(None) => Err(not_allowed("POST")),
            Err(refusal) => Err(refusal.response(None)),
        }
    }
}

fn not_allowed(allowed: &'static str) -> Response<FrontBody> {
    let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
