//! The broker's own side towards servers: one question, one answer, whatever lies between.

#[cfg(feature = "http")]
mod address;
pub(crate) mod child;
#[cfg(feature = "openapi")]
pub(crate) mod described;
mod ear;
mod handshake;
mod hearing;
pub(crate) mod mirror;
#[cfg(feature = "http")]
pub(crate) mod origin;
pub(crate) mod pages;
mod past;
mod pool;
mod question;
#[cfg(feature = "http")]
pub(crate) mod reach;
mod rounds;
#[cfg(feature = "http")]
mod sse;
#[cfg(feature = "http")]
mod streamable;
mod tasks;
mod turns;
#[cfg(feature = "http")]
mod two_ways;
mod watch;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{
    BoxFuture, CallError, Client, Code, Credential, Exchange, RpcFault, Stage, ToolReply,
    TraceContext,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;

use crate::edit;
use crate::envelope::RpcError;
use crate::launch::LaunchError;
use crate::protocol::{self, RequestMeta};
use crate::{Era, State};

/// In whose name a server is asked. It decides which connection is used: no connection serves two
/// of them, unless the server is declared [`shared`](crate::Server::shared).
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    /// The principal's id.
    pub(crate) principal: Arc<str>,
    /// What is shown to the server.
    pub(crate) credential: Option<Credential>,
}

impl Whose {
    /// The gateway's own name: in it lists are read, and heard of on whatever connection there is.
    pub(crate) fn gateway() -> Self {
        Self { principal: pool::GATEWAY.into(), credential: None }
    }
}

/// One question to a server, in the server's own names.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    /// The tool, prompt, URI or task id that it is about (`Mcp-Name`).
    pub(crate) name: Option<&'a str>,
    /// The parameters, a JSON object, without `_meta` and what `exchange` brings.
    pub(crate) params: Option<&'a RawValue>,
    /// `_meta` as the client wrote it.
    pub(crate) meta: Option<&'a RawValue>,
    pub(crate) trace: Option<&'a TraceContext>,
    pub(crate) whose: &'a Whose,
    /// The client, and what is continued.
    pub(crate) exchange: Option<&'a Exchange>,
    /// Arguments that a modern HTTP server wants in headers too.
    #[cfg(feature = "http")]
    pub(crate) mirrors: &'a [mirror::Mirror],
    /// Whether the server may make a task of it although the client takes none: it is polled to
    /// its end here.
    pub(crate) polled: bool,
}

impl<'a> Ask<'a> {
    /// A question without parameters.
    pub(crate) fn new(method: &'a str, whose: &'a Whose) -> Self {
        Self {
            method,
            name: None,
            params: None,
            meta: None,
            trace: None,
            whose,
            exchange: None,
            #[cfg(feature = "http")]
            mirrors: &[],
            polled: false,
        }
    }

    /// The client behind the question.
    fn client(&self) -> Option<&'a Arc<dyn Client>> {
        self.exchange?.client.as_ref()
    }

    /// The parameters for a server of this era; `token` is what its progress is told under.
    fn params(&self, era: Era, token: Option<u64>) -> String {
        let mut pieces: Vec<Cow<'_, str>> = Vec::with_capacity(4);
        if let Some(inner) = self.params.and_then(|params| edit::inner(params.get())) {
            pieces.push(Cow::Borrowed(inner));
        }
        let mut add = |name: &str, value: &str| {
            pieces.push(Cow::Owned(["\"", name, "\":", value].concat()));
        };
        let task = self.exchange.and_then(|exchange| exchange.task.as_ref());
        match (era, task) {
            (Era::Legacy, Some(task)) => add("task", task.get()),
            (Era::Legacy, None) if self.polled && self.method == "tools/call" => add("task", "{}"),
            _ => {}
        }
        if let Some(exchange) = self.exchange.filter(|_| era == Era::Modern) {
            let (responses, state) = match &exchange.resume {
                Some(resume) => (&resume.responses, &resume.state),
                None => (&exchange.offered, &None),
            };
            let members = [("inputResponses", responses), ("requestState", state)];
            for (name, value) in members {
                if let Some(value) = value {
                    add(name, value.get());
                }
            }
        }
        let client = self.client();
        let modern = client.filter(|_| era == Era::Modern);
        let capabilities = (era == Era::Modern)
            .then(|| rounds::capabilities(modern.map(|client| &**client), self.polled));
        let meta = RequestMeta {
            client: self.meta,
            trace: self.trace,
            progress: token.filter(|_| client.is_some_and(|client| client.wants_progress())),
            capabilities: capabilities.as_deref(),
            log_level: modern.and_then(|client| client.log_level()),
        };
        if let Some(meta) = protocol::request_meta(era, &meta) {
            add("_meta", &meta);
        }
        edit::object(pieces.into_iter())
    }
}

/// What a server answered, and how it is to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Box<RawValue>,
    pub(crate) era: Era,
}

/// Who a server is and what it offers, as it told in its handshake.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) era: Era,
    /// The revision that is spoken.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP asks"))]
    pub(crate) version: &'static str,
    /// Its capabilities, a JSON object.
    pub(crate) capabilities: Box<RawValue>,
    /// Its `serverInfo`, where it told.
    pub(crate) server_info: Option<Box<RawValue>>,
    pub(crate) instructions: Option<String>,
}

/// What a server tells by itself, in its own names.
#[derive(Debug, Clone)]
pub(crate) enum Rumour {
    Tools,
    Prompts,
    Resources,
    /// A followed resource changed: the parameters of `notifications/resources/updated`.
    Updated(Arc<RawValue>),
    /// A task changed: the parameters of its notification.
    Task(Arc<RawValue>),
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) state: State,
    pub(crate) era: Option<Era>,
    pub(crate) restarts: u64,
    /// How many connections are open.
    pub(crate) connections: usize,
    pub(crate) last_failure: Option<String>,
}

impl Default for Condition {
    fn default() -> Self {
        Self { state: State::Idle, era: None, restarts: 0, connections: 0, last_failure: None }
    }
}

/// A way to one server. Dropping the future of [`ask`](Link::ask) cancels the request there.
pub(crate) trait Link: Send + Sync {
    /// Asks, connecting first where needed.
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Who the server is and what it offers, connecting first where needed.
    fn hello<'a>(&'a self, whose: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>>;

    /// What the server tells by itself, in this name, from now on. Connects in the background;
    /// goes on over restarts.
    fn rumours(&self, whose: &Whose) -> broadcast::Receiver<Rumour>;

    /// Whether updates of a resource, by its own URI, are wanted in this name. Counted: each
    /// `true` wants its `false`.
    fn follow<'a>(
        &'a self,
        whose: &'a Whose,
        uri: &'a str,
        on: bool,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// Ends the connection for good.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// What is known of it.
    fn condition(&self) -> Condition;
}

/// Why a question brought no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("refused with code {}", .0.code)]
    Rpc(RpcError),
    #[error("went away")]
    Gone,
    #[error("could not be started")]
    Launch(#[from] LaunchError),
    #[error("failed lately and is left alone for {} ms", .0.as_millis())]
    Resting(Duration),
    #[error("did not answer in time")]
    Slow,
    #[error("answered more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Nonsense(&'static str),
    #[cfg(feature = "http")]
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// It did not take the credential. What it wants instead is for
    /// [`Credentials`](doorward_core::Credentials) only: a client must never see it.
    #[cfg(feature = "http")]
    #[error("answered with HTTP status {status}")]
    Refused {
        /// 401 or 403.
        status: u16,
        /// What was asked, without its query.
        url: String,
        /// The values of `WWW-Authenticate`.
        challenges: Vec<String>,
    },
    /// It knew nothing of the connection any more; nothing ran.
    #[error("forgot the connection")]
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP has sessions"))]
    Lost,
    #[error("has no connection to spare")]
    Full,
    #[cfg(feature = "http")]
    #[error("could not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("is being shut down")]
    Closed,
}

impl Failure {
    /// The failure for a caller. Holds nothing that the server wrote: its words reach a model
    /// only as a labelled result.
    pub(crate) fn told(self, server: &str) -> CallError {
        let code = match &self {
            Self::Slow => Code::Timeout,
            Self::Resting(_) | Self::Closed | Self::Full => Code::Overloaded,
            _ => Code::Upstream,
        };
        let rest = if let Self::Resting(rest) = &self { Some(*rest) } else { None };
        let mut error = CallError::new(code, format!("server `{server}` {self}"));
        error.retry_after = rest;
        error.with_source(self)
    }
}

/// The members of a call's result that say how it is to be read.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default, rename = "resultType")]
    result_type: Option<Cow<'a, str>>,
    #[serde(default, rename = "isError")]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A request's result, freed of what only one era knows.
pub(crate) fn neutral(result: Box<RawValue>) -> Result<ToolReply, Failure> {
    const WRONG: Failure = Failure::Nonsense("answered with something that is no tool result");

    let text = result.get();
    let kind: Kind<'_> = edit::read(text.as_bytes()).map_err(|_| WRONG)?;
    let is_error = kind.is_error.unwrap_or(false);
    let stage = match kind.result_type.as_deref() {
        // A server with a handshake tells a task by its member alone (`CreateTaskResult`).
        None if kind.task.is_some() && kind.content.is_none() => Stage::Task,
        None => Stage::Complete,
        Some("complete") => {
            let plain = edit::without(text, &["resultType"]).ok_or(WRONG)?.into_owned();
            let result = RawValue::from_string(plain).map_err(|_| WRONG)?;
            return Ok(ToolReply::complete(result, is_error));
        }
        Some("input_required") => Stage::InputRequired,
        Some("task") => Stage::Task,
        Some(_) => return Err(WRONG),
    };
    Ok(ToolReply { result, is_error, stage })
}

impl RpcError {
    /// The same in the words of core.
    pub(crate) fn fault(&self) -> RpcFault {
        let (code, message) = (self.code, self.message.clone());
        RpcFault { code, message, data: self.data.clone() }
    }

    /// An error of ours, in a server's place.
    fn own(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status: None }
    }
}

#[cfg(test)]
mod tests;
