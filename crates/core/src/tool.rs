//! A call to a tool, and the plane that runs it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    BoxFuture, BoxStream, CallError, Code, Cx, Exchange, Fetch, FetchCall, Interest, ItemKind,
    ItemList, News, Offers, RpcFault, hex,
};

/// A tool's federated name, `server__tool`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolName(Arc<str>);

impl ToolName {
    /// Takes the name as it is.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, &self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode(&self.0, &mut text);
        serializer.serialize_str(hex::as_text(&text))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("expected 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// Which part of the catalogue a client is looking at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// All servers, names prefixed (`/mcp`).
    #[default]
    All,
    /// A profile from the config, or one server by its name (`/mcp/{profile}`).
    Profile(Arc<str>),
}

/// One call to a tool.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool's federated name.
    pub tool: ToolName,
    /// The arguments: a JSON object, as the client wrote it.
    pub arguments: Box<RawValue>,
    /// MCP `_meta` of the request, as the client wrote it.
    pub meta: Option<Box<RawValue>>,
    /// Who can be asked while it runs, and what it continues.
    pub exchange: Exchange,
    /// Where the client looks from: the names and URIs in the result are those of this scope.
    pub scope: Scope,
}

impl ToolCall {
    /// A call of this tool with these arguments, from the whole catalogue, and nothing else.
    pub fn new(tool: ToolName, arguments: Box<RawValue>) -> Self {
        Self { tool, arguments, meta: None, exchange: Exchange::default(), scope: Scope::All }
    }
}

/// What a tool gave back.
#[derive(Debug, Clone)]
pub struct ToolReply {
    /// The MCP `CallToolResult`, unknown fields and all.
    pub result: Box<RawValue>,
    /// Whether the tool says that it failed (`isError`).
    pub is_error: bool,
    /// Whether that is the end of the call.
    pub stage: Stage,
}

/// How far an answer brings its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stage {
    /// To its end: the result is whole.
    #[default]
    Complete,
    /// The server wants something first: the result holds `inputRequests` and `requestState`
    /// (MCP 2026-07-28). Only where the client takes [`Rounds`](crate::Manner::Rounds).
    InputRequired,
    /// It goes on as a task: the result holds the task (`CreateTaskResult`).
    Task,
    /// The server refused with a JSON-RPC error: the result holds its `code`, `message` and
    /// `data`.
    Fault,
}

impl ToolReply {
    /// A whole result.
    pub fn complete(result: Box<RawValue>, is_error: bool) -> Self {
        Self { result, is_error, stage: Stage::Complete }
    }

    /// A server's refusal, as it told it.
    pub fn fault(fault: &RpcFault) -> Self {
        let data = fault.data.as_deref();
        let mut told = serde_json::json!({ "code": fault.code, "message": fault.message });
        if let (Some(data), Some(told)) = (data, told.as_object_mut()) {
            told.insert("data".into(), serde_json::json!(data));
        }
        let result = serde_json::value::to_raw_value(&told).unwrap_or_default();
        Self { result, is_error: true, stage: Stage::Fault }
    }

    /// A refusal or failure told as a tool result, so that the model's turn goes on.
    pub fn error(text: &str) -> Self {
        let result = serde_json::json!({
            "content": [{ "type": "text", "text": text }],
            "isError": true,
        });
        let result = serde_json::value::to_raw_value(&result).unwrap_or_default();
        Self::complete(result, true)
    }
}

/// One tool of the catalogue.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// The federated name.
    pub name: ToolName,
    /// The server that has it.
    pub server: Arc<str>,
    /// The definition to show: the server's own, with only `name` changed.
    pub definition: Box<RawValue>,
}

/// The tools of a catalogue, in a stable order.
#[derive(Debug, Clone, Default)]
pub struct ToolList {
    /// The tools.
    pub tools: Vec<Arc<ToolSpec>>,
    /// Servers that could not be asked.
    pub gaps: Vec<Gap>,
}

/// A server whose tools are missing from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The server.
    pub server: Arc<str>,
    /// Why, in words fit for a client.
    pub reason: String,
    /// Where the caller gives the consent that is missing, where it is that
    /// ([`CallError::consent`]).
    pub consent: Option<Arc<str>>,
}

/// The tool plane: lists tools and runs calls; where the plane has more than tools, prompts and
/// resources too. Whoever has tools only leaves the other methods as they are.
pub trait Tools: Send + Sync {
    /// The tools in a scope, before policy.
    fn list<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>>;

    /// The federated name of what a client calls `name` in a scope.
    fn resolve<'a>(
        &'a self,
        cx: &'a Cx,
        scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>>;

    /// Runs one call. A tool's own failure is a [`ToolReply`] with `is_error`; an error here
    /// means that no reply came.
    fn call<'a>(
        &'a self,
        cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>>;

    /// What a scope offers: capabilities and instructions of its servers.
    fn offers<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        Box::pin(async { Ok(Offers::default()) })
    }

    /// The prompts, resources or templates in a scope, before policy.
    fn items<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        _kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        Box::pin(async { Ok(ItemList::default()) })
    }

    /// The server that a request is for, by what its parameters name: a URI, a prompt, a
    /// completion's `ref`, a task.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] where the scope has no such thing.
    fn locate<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        _fetch: Fetch,
        _params: &'a RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotFound, "there is no such thing here")) })
    }

    /// Asks for a resource, a prompt, a completion or a task's state. The reply's `result` is the
    /// method's own result.
    ///
    /// # Errors
    ///
    /// Where no reply came. A server's own refusal is a reply at [`Stage::Fault`].
    fn fetch<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        _call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotFound, "there is no such thing here")) })
    }

    /// News of a scope as the principal sees it, from now on, until the stream is dropped. What of
    /// the interest cannot be served is left out of it.
    fn listen<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        _interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        Box::pin(async {
            let nothing: BoxStream<'static, News> = Box::pin(Nothing);
            Ok((Interest::default(), nothing))
        })
    }
}

/// A stream that is over.
struct Nothing;

impl futures_core::Stream for Nothing {
    type Item = News;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<News>> {
        Poll::Ready(None)
    }
}

/// Tells which tools run through the broker, for a guard that sees only names.
pub trait Names: Send + Sync {
    /// The federated name behind the one a client declared to the model, if the broker has it.
    /// Clients put their own prefix before it (`mcp__doorward__tracker__get_issue`).
    fn brokered(&self, declared: &str) -> Option<ToolName>;

    /// The tool that a call is really of, and its arguments where they are not the call's own: a
    /// call of [`CALL_TOOL`] is one of the tool that it names.
    fn meant(&self, declared: &str, _arguments: &str) -> Option<(ToolName, Option<Box<RawValue>>)> {
        self.brokered(declared).map(|name| (name, None))
    }
}

/// The gateway's own tool that finds tools by words. What it tells are definitions of tools.
pub const SEARCH_TOOLS: &str = "doorward__search_tools";

/// The gateway's own tool that runs another by its name.
pub const CALL_TOOL: &str = "doorward__call_tool";
