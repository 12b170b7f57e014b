//! The server side towards MCP clients: both eras of Streamable HTTP on one URL, without the
//! listener.

mod body;
mod era;
mod rpc;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{Cx, Scope, Tools};
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::value::RawValue;

pub use body::FrontBody;

use crate::Era;
use crate::ServerInfo;
use crate::envelope::{Message, NoMessage};
use crate::protocol::{UNSAID, code};
use body::{bare, stream, whole};
use era::{Client, Refusal};
use rpc::{Job, Params};

/// The most messages of one batch.
const MOST_BATCHED: usize = 64;

/// The MCP server side, without a listener: one HTTP exchange in, one out. Stateless; clones
/// share everything.
///
/// Serves the `tools` capability in all revisions from 2024-11-05 to 2026-07-28. The caller
/// checks `Origin`, `Host` and who asks; the front never looks at credentials.
///
/// ```
/// use std::sync::Arc;
/// use doorward_mcp_broker::{Broker, Front, ServerInfo};
///
/// let broker = Broker::builder().build()?;
/// let front = Front::new(Arc::new(broker), ServerInfo::new("gateway", "1.0"));
/// # Ok::<_, doorward_mcp_broker::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Front {
    tools: Arc<dyn Tools>,
    info: ServerInfo,
    page: usize,
    stream_after: Duration,
    keep_alive: Duration,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Front {
    /// A front over these tools, under this name. Lists have 250 tools a page; a call that takes
    /// more than 3 s becomes a stream with a sign of life every 10 s.
    pub fn new(tools: Arc<dyn Tools>, info: ServerInfo) -> Self {
        Self {
            tools,
            info,
            page: 250,
            stream_after: Duration::from_secs(3),
            keep_alive: Duration::from_secs(10),
        }
    }

    /// How many tools a page of `tools/list` has; at least one.
    #[must_use]
    pub fn page(mut self, tools: usize) -> Self {
        self.page = tools.max(1);
        self
    }

    /// After how long a call's answer becomes a stream, where the client takes one.
    #[must_use]
    pub fn stream_after(mut self, wait: Duration) -> Self {
        self.stream_after = wait;
        self
    }

    /// How often a stream shows a sign of life.
    #[must_use]
    pub fn keep_alive(mut self, every: Duration) -> Self {
        self.keep_alive = every;
        self
    }

    /// Answers one HTTP request. Dropping the future, or the answer's body, cancels what runs
    /// upstream.
    pub async fn exchange(
        &self,
        cx: &Cx,
        scope: &Scope,
        request: Request<Bytes>,
    ) -> Response<FrontBody> {
        if request.method() != Method::POST {
            // No sessions to end, no stream of our own to listen to.
            let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !is_json(request.headers()) {
            return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let (head, body) = request.into_parts();
        let exchange = Exchange { front: self, cx, scope, headers: &head.headers };
        if body.trim_ascii_start().first() == Some(&b'[') {
            return exchange.batch(&body).await;
        }
        match Message::read(&body) {
            Ok(Message::Request { id, method, params }) => {
                exchange.request(id, &method, params).await
            }
            Ok(Message::Notification { .. } | Message::Reply { .. }) => exchange.aside(),
            Err(NoMessage::Json) => Refusal::bad(code::PARSE, "not JSON").response(None),
            Err(NoMessage::Shape) => no_message().response(None),
        }
    }
}

fn no_message() -> Refusal {
    Refusal::bad(code::INVALID_REQUEST, "not one JSON-RPC message")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// One HTTP request on its way.
struct Exchange<'a> {
    front: &'a Front,
    cx: &'a Cx,
    scope: &'a Scope,
    headers: &'a HeaderMap,
}

impl Exchange<'_> {
    async fn request(
        &self,
        id: &RawValue,
        method: &str,
        params: Option<&RawValue>,
    ) -> Response<FrontBody> {
        let Some(params) = Params::read(params) else {
            let refusal = Refusal::bad(code::INVALID_PARAMS, "parameters of the wrong kind");
            return refusal.response(Some(id));
        };
        match era::classify(self.headers, method, &params) {
            Ok(client) => self.answer(client, id, method, &params).await,
            Err(refusal) => refusal.response(Some(id)),
        }
    }

    async fn answer(
        &self,
        client: Client,
        id: &RawValue,
        method: &str,
        params: &Params<'_>,
    ) -> Response<FrontBody> {
        let job = match self.job(client.era(), id, method, params) {
            Ok(job) => job,
            Err(refusal) => return refusal.response(Some(id)),
        };
        if method != "tools/call" || !self.takes_stream() {
            let (status, message) = job.await;
            return whole(status, message);
        }
        let mut job = job;
        match tokio::time::timeout(self.front.stream_after, &mut job).await {
            Ok((status, message)) => whole(status, message),
            Err(_) => stream(job, self.front.keep_alive),
        }
    }

    fn job(
        &self,
        era: Era,
        id: &RawValue,
        method: &str,
        params: &Params<'_>,
    ) -> Result<Job, Refusal> {
        rpc::job(self.front, self.cx, self.scope, era, id, method, params)
    }

    /// A notification or a reply: nothing that we do depends on one. A client that cancels closes
    /// its connection.
    fn aside(&self) -> Response<FrontBody> {
        match era::named(self.headers) {
            Ok(_) => bare(StatusCode::ACCEPTED),
            Err(refusal) => refusal.response(None),
        }
    }

    /// A batch, which servers of 2025-03-26 must take and all others must not.
    async fn batch(&self, body: &[u8]) -> Response<FrontBody> {
        match era::named(self.headers) {
            Ok(None | Some(UNSAID)) => {}
            Ok(_) => return no_message().response(None),
            Err(refusal) => return refusal.response(None),
        }
        let messages: Vec<&RawValue> = match serde_json::from_slice(body) {
            Ok(messages) => messages,
            Err(_) => return Refusal::bad(code::PARSE, "not JSON").response(None),
        };
        if messages.is_empty() || messages.len() > MOST_BATCHED {
            return no_message().response(None);
        }
        let all = messages.into_iter().map(|message| self.batched(message));
        let answers: Vec<_> = futures_util::future::join_all(all).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        if answers.is_empty() {
            return bare(StatusCode::ACCEPTED);
        }
        whole(StatusCode::OK, format!("[{}]", answers.join(",")))
    }

    async fn batched(&self, message: &RawValue) -> Option<String> {
        let (id, method, params) = match Message::read(message.get().as_bytes()) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            Ok(_) => return None,
            Err(_) => return Some(no_message().message(None)),
        };
        let params = Params::read(params).filter(|params| params.version().is_none());
        let Some(params) = params.filter(|_| method != "initialize") else {
            return Some(no_message().message(Some(id)));
        };
        match self.job(Era::Legacy, id, &method, &params) {
            Ok(job) => Some(job.await.1),
            Err(refusal) => Some(refusal.message(Some(id))),
        }
    }

    fn takes_stream(&self) -> bool {
        let values = self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/event-stream")
        })
    }
}
