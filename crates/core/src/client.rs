//! The MCP client behind a request, as a server may see it: what it can be asked and told while
//! the request runs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::BoxFuture;

/// The client that sent a request. A server's own questions and news reach it through this, and
/// nobody else.
pub trait Client: Send + Sync {
    /// Tells clients apart: the same for all requests of one session, or of one principal's
    /// stateless requests that need not be told apart.
    fn id(&self) -> &str;

    /// Its capabilities, a JSON object (`initialize`, or `_meta` since 2026-07-28).
    fn capabilities(&self) -> &RawValue;

    /// How questions reach it.
    fn manner(&self) -> Manner;

    /// The least severe log message that it wants of this request; `None`: none at all.
    fn log_level(&self) -> Option<LogLevel>;

    /// Whether it wants progress of this request.
    fn wants_progress(&self) -> bool;

    /// Asks it: `sampling/createMessage`, `elicitation/create` or `roots/list`. The caller has
    /// seen to it that the client has the capability. Dropping the future takes the question
    /// back.
    ///
    /// # Errors
    ///
    /// The client's own refusal, or that it cannot be asked.
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Box<RawValue>, RpcFault>>;

    /// It was not asked because it lacks a capability; the server was refused. `needed` is what
    /// it would have had to declare: a `ClientCapabilities` object. Should the request fail, this
    /// may be why.
    fn lacks(&self, needed: &'static str) {
        let _ = needed;
    }

    /// Tells it something that belongs to this request. Never waits: a client too slow to take
    /// it goes without.
    fn tell(&self, remark: Remark);
}

/// How questions reach a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// As requests of their own, while the call runs (MCP until 2025-11-25).
    Live,
    /// As an answer (`input_required`) that the client comes back to (since 2026-07-28). A
    /// server of the same era hands its own rounds through; for others, [`Client::ask`] holds the
    /// call while the client is away.
    Rounds,
}

/// A server's question to the client.
#[derive(Debug, Clone)]
pub struct Question {
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: String,
    /// Its parameters, as the server wrote them.
    pub params: Option<Box<RawValue>>,
}

/// What a server says while a request runs.
#[derive(Debug, Clone)]
pub enum Remark {
    /// `notifications/progress`, its parameters without `progressToken`.
    Progress(Box<RawValue>),
    /// `notifications/message`: its level, and its parameters as the server wrote them.
    Log(LogLevel, Box<RawValue>),
}

/// A JSON-RPC error object, as one side told it.
#[derive(Debug, Clone)]
pub struct RpcFault {
    /// The code.
    pub code: i64,
    /// The message.
    pub message: String,
    /// Anything else it said.
    pub data: Option<Box<RawValue>>,
}

impl fmt::Display for RpcFault {
    /// Without the message, which is another's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON-RPC error {}", self.code)
    }
}

impl std::error::Error for RpcFault {}

impl RpcFault {
    /// An error of ours.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

/// How severe a log message is (RFC 5424 §6.2.1), from the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For finding faults.
    Debug,
    /// Worth knowing.
    Info,
    /// Normal but significant.
    Notice,
    /// A warning.
    Warning,
    /// An error.
    Error,
    /// Critical.
    Critical,
    /// To be acted on at once.
    Alert,
    /// Unusable.
    Emergency,
}

/// What a request brings beside its parameters: who can be asked, and what it continues.
#[derive(Clone, Default)]
pub struct Exchange {
    /// The client, where there is one that can be asked or told anything.
    pub client: Option<Arc<dyn Client>>,
    /// The round that this request continues.
    pub resume: Option<Resume>,
    /// `inputResponses` of a request that continues nothing (2026-07-28), as the client wrote it:
    /// answers to questions not asked yet. They prove nothing; the request is judged like any
    /// other, and a server of that era may make use of them.
    pub offered: Option<Box<RawValue>>,
    /// The `task` parameter, where the client wants a task (2025-11-25), as it wrote it.
    pub task: Option<Box<RawValue>>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("client", &self.client.as_ref().map(|client| client.id()))
            .field("resumed", &self.resume.is_some())
            .field("offered", &self.offered.is_some())
            .field("task", &self.task.is_some())
            .finish()
    }
}

/// What a client brings back to an `input_required` answer (MCP 2026-07-28, "Multi Round-Trip
/// Requests"). Whoever makes one has proved that it continues a call that was admitted, with the
/// same parameters and for the same principal.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// `inputResponses`, a JSON object, as the client wrote it.
    pub responses: Option<Box<RawValue>>,
    /// The server's own `requestState`, a JSON string, verbatim.
    pub state: Option<Box<RawValue>>,
}
