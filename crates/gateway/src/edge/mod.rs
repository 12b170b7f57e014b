//! The data listener's edge: who is served, and by which plane.

mod beside;
mod body;
mod connect;
mod events;
mod kept;
mod models;
mod path;
mod relayed;
mod request;
mod serve;
mod tools;

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{
    Authenticator, CallError, Clock, Code, DialectId, Entropy, Models, RequestId, Scope, Tools,
};
use doorward_mcp_broker::{Disclosure, Front, SealKeys, ServerInfo};
use doorward_wire::Dialect;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

pub use self::body::ResponseBody;
pub use self::connect::{Connect, ConnectParts, KeySignIn, SignIn, SignedIn};
pub use self::request::is_loopback_host;
pub use self::serve::{Drained, serve, serve_connection};

use self::body::Hold;
use self::kept::KeptAnswers;
use self::path::Path;
use self::tools::Speaks;
use crate::enforced::Enforced;
use crate::metrics::Metrics;

/// What an edge needs beside the two planes.
pub struct EdgeParts {
    /// Who calls?
    pub authenticator: Arc<dyn Authenticator>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The names of the model upstreams.
    pub upstreams: Arc<[String]>,
    /// How much is taken in, and from whom.
    pub limits: EdgeLimits,
    /// The MCP side towards clients.
    pub mcp: EdgeMcp,
    /// The pages where people connect tools, where a tool asks for it.
    pub connect: Option<Connect>,
}

/// What the MCP side towards clients needs to know.
#[derive(Debug, Clone)]
pub struct EdgeMcp {
    /// The keys that sessions are sealed with.
    pub keys: SealKeys,
    /// Sessions of another epoch are not valid any more: it changes with what they were made for.
    pub epoch: u64,
    /// How long a session may be used.
    pub session_for: Duration,
    /// How many things a page of a list has.
    pub page: usize,
    /// Where tools are searched for instead of listed.
    pub search: Vec<Scope>,
}

impl fmt::Debug for EdgeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// How much an edge takes in, and from whom.
#[derive(Debug, Clone)]
pub struct EdgeLimits {
    /// The largest request body, in bytes.
    pub body: usize,
    /// The most requests at once.
    pub in_flight: usize,
    /// How long a request may take in all.
    pub timeout: Duration,
    /// Host names that requests may be addressed to; `None`: any.
    pub hosts: Option<Vec<String>>,
    /// Browser origins that may call.
    pub origins: Vec<String>,
    /// Whether requests that no dialect has words for are sent on as they are.
    pub relay: bool,
    /// How many bytes of answers are kept for `previous_response_id`; 0: none.
    pub kept: usize,
}

/// The data listener's edge. Takes only planes behind the policy.
pub struct Edge {
    models: Enforced<dyn Models>,
    front: Front,
    kept: KeptAnswers,
    parts: EdgeParts,
    in_flight: Arc<Semaphore>,
    ready: AtomicBool,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Edge {
    /// An edge over both planes.
    pub fn new(
        models: Enforced<dyn Models>,
        tools: Enforced<dyn Tools>,
        parts: EdgeParts,
    ) -> Arc<Self> {
        Arc::new(Self {
            models,
            front: front(Arc::new(tools), &parts),
            kept: KeptAnswers::new(parts.limits.kept),
            in_flight: Arc::new(Semaphore::new(parts.limits.in_flight)),
            ready: AtomicBool::new(true),
            parts,
        })
    }

    /// Says that no more requests should be sent here: `/readyz` answers 503 from now on.
    pub fn retire(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Serves one request. A panic inside is an answer with status 500.
    pub async fn handle(
        self: Arc<Self>,
        source: std::net::IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let id = RequestId::random(&*self.parts.entropy);
        let path = Path::of(request.method(), request.uri(), request.headers());
        let dialect = path.dialect();
        let served = AssertUnwindSafe(self.route(id, source, path, request)).catch_unwind().await;
        let mut response = served.unwrap_or_else(|panic| {
            tracing::error!(request = %id, panic = words(&*panic), "a request panicked");
            failure(dialect, &CallError::new(Code::Internal, "internal error"), id)
        });
        request::name(response.headers_mut(), id, dialect);
        Ok(response)
    }

    async fn route(
        self: &Arc<Self>,
        id: RequestId,
        source: std::net::IpAddr,
        path: Path,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let dialect = path.dialect();
        if let Some(plain) = self.health(&path) {
            return plain;
        }
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else {
            self.parts.metrics.refuse();
            let error = CallError::new(Code::Overloaded, "too many requests at once")
                .with_retry_after(Duration::from_secs(1));
            return failure(dialect, &error, id);
        };
        let hold = Hold { _permit: permit, _serving: self.parts.metrics.serving() };
        // Browsers come without a key: the pages find out themselves who is there.
        if let (Path::Page(place), Some(connect)) = (&path, &self.parts.connect) {
            return match request::addressed_here(&self.parts.limits, &request) {
                Ok(()) => connect.serve(place.clone(), source, request).await,
                Err(error) => failure(dialect, &error, id),
            };
        }
        if let Err(error) = request::admissible(&self.parts.limits, &request) {
            self.parts.metrics.refuse();
            return failure(dialect, &error, id);
        }
        let principal = match self.authenticate(source, &request).await {
            Ok(principal) => principal,
            Err(error) => {
                self.parts.metrics.refuse();
                return challenge(failure(dialect, &error, id));
            }
        };
        let cx = request::circumstances(&self.parts, id, principal, source, request.headers());
        match path {
            Path::Complete { dialect, at } => self.complete(cx, dialect, at, request, hold).await,
            Path::Count { dialect, at } => self.count(cx, dialect, at, request).await,
            Path::Embed { dialect, at } => self.embed(cx, dialect, at, request).await,
            Path::Relay { dialect, path } => self.relay(cx, dialect, path, request, hold).await,
            Path::Kept { id, part } => self.kept_answer(&cx, &id, part),
            Path::Models { dialect, one } => self.list_models(&cx, dialect, one.as_deref()),
            Path::WebSocket { dialect } => no_web_socket(dialect, id),
            Path::Mcp(scope) => self.exchange(cx, scope, Speaks::Http, request, hold).await,
            Path::Sse(scope) => self.exchange(cx, scope, Speaks::Sse, request, hold).await,
            Path::WrongMethod { dialect, allowed } => not_allowed(dialect, allowed, id),
            Path::Health | Path::Ready | Path::Hello | Path::Page(_) | Path::Unknown { .. } => {
                let public = "no such route; see POST /v1/chat/completions, /v1/responses, \
                              /v1/messages, /v1/embeddings, GET /v1/models and /mcp";
                failure(dialect, &CallError::new(Code::NotFound, public), id)
            }
        }
    }

    /// Routes that tell nothing and need no credential.
    fn health(&self, path: &Path) -> Option<Response<ResponseBody>> {
        let (status, text) = match path {
            Path::Health => (StatusCode::OK, "ok\n"),
            Path::Ready if self.ready.load(Ordering::Relaxed) => (StatusCode::OK, "ready\n"),
            Path::Ready => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            Path::Hello => (StatusCode::OK, ""),
            _ => return None,
        };
        let mut response = Response::new(ResponseBody::whole(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        Some(response)
    }

    async fn authenticate(
        &self,
        source: std::net::IpAddr,
        request: &Request<Incoming>,
    ) -> Result<Arc<doorward_core::Principal>, CallError> {
        let presented =
            request::presented(source, (request.method(), request.uri()), request.headers());
        self.parts.authenticator.authenticate(&presented).await
    }
}

fn front(tools: Arc<Enforced<dyn Tools>>, parts: &EdgeParts) -> Front {
    let EdgeMcp { keys, epoch, session_for, page, search } = &parts.mcp;
    // Before the policy: only what the caller may call is found, and the call is judged as one of
    // the tool that was found.
    let tools: Arc<dyn Tools> = match search.as_slice() {
        [] => tools,
        scopes => {
            let disclosure = Disclosure::new(tools.clone()).witness(tools);
            Arc::new(scopes.iter().cloned().fold(disclosure, Disclosure::search))
        }
    };
    let limits = doorward_mcp_broker::Limits { session_for: *session_for, ..Default::default() };
    Front::new(tools, ServerInfo::new("doorward", env!("CARGO_PKG_VERSION")))
        .sessions(keys)
        .epoch(Arc::new(AtomicU64::new(*epoch)))
        .limits(limits)
        .page(*page)
        .clock(parts.clock.clone())
        .entropy(parts.entropy.clone())
}

/// What a panic was raised with.
fn words(panic: &(dyn Any + Send)) -> &str {
    let told = panic.downcast_ref::<&str>().copied();
    told.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// An error in a dialect's own words.
fn failure(
    dialect: &'static dyn Dialect,
    error: &CallError,
    id: RequestId,
) -> Response<ResponseBody> {
    if error.code == Code::Internal {
        tracing::error!(request = %id, error = %error, source = ?error.source, "internal error");
    } else if let Some(source) = &error.source {
        tracing::debug!(request = %id, error = %error, %source, "refused");
    }
    let (status, body) = dialect.write_error(error, &id.to_string());
    let mut response = Response::new(ResponseBody::whole(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    // The SDKs retry 408, 409, 429 and 5xx by themselves; a policy does not change by asking again.
    if error.rule.is_some() && error.retry_after.is_none() {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// RFC 6750 §3: a refused credential is answered with a challenge.
fn challenge(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if response.status() == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer realm=\"doorward\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}

fn not_allowed(
    dialect: &'static dyn Dialect,
    allowed: &'static str,
    id: RequestId,
) -> Response<ResponseBody> {
    let error = CallError::new(Code::InvalidRequest, format!("this route takes {allowed} only"));
    let mut response = failure(dialect, &error, id);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// RFC 9110 §15.5.22: clients go on over HTTP.
fn no_web_socket(dialect: &'static dyn Dialect, id: RequestId) -> Response<ResponseBody> {
    let public = "no WebSocket here: POST to this address, with `stream` for events";
    let mut response = failure(dialect, &CallError::new(Code::InvalidRequest, public), id);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let http = HeaderValue::from_static("HTTP/1.1");
    response.headers_mut().insert(header::UPGRADE, http);
    response
}

/// Whether a dialect's clients read `request-id`.
fn reads_request_id(dialect: DialectId) -> bool {
    dialect == DialectId::ANTHROPIC_MESSAGES
}
