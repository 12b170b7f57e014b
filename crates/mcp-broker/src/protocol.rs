//! What the Model Context Protocol fixes: versions, error codes, reserved keys, and the results
//! that a server makes itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use doorward_core::{LogLevel, ToolReply, TraceContext};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Era;
use crate::edit;

/// The revision in which every request stands alone.
pub(crate) const MODERN: &str = "2026-07-28";
/// The revisions with a handshake, newest first.
pub(crate) const DATED: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Error codes: JSON-RPC 2.0 §5.1, then those of MCP 2026-07-28.
pub(crate) mod code {
    pub(crate) const PARSE: i64 = -32700;
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INTERNAL: i64 = -32603;
    pub(crate) const HEADER_MISMATCH: i64 = -32020;
    pub(crate) const MISSING_CAPABILITY: i64 = -32021;
    pub(crate) const VERSION_NOT_SERVED: i64 = -32022;
    /// Until 2025-11-25: there is no such resource.
    pub(crate) const NO_RESOURCE: i64 = -32002;
    /// In 2025-11-25: the user has to go to a URL first.
    pub(crate) const URL_ELICITATION: i64 = -32042;
}

/// Reserved keys of `_meta`.
pub(crate) const META_PREFIX: &str = "io.modelcontextprotocol/";
pub(crate) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_LOG: &str = "io.modelcontextprotocol/logLevel";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// Who a server says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerInfo {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its version.
    pub version: Cow<'static, str>,
}

impl ServerInfo {
    /// This name and version.
    pub fn new(name: impl Into<Cow<'static, str>>, version: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), version: version.into() }
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into())
    }
}

/// Who we are towards servers.
fn client_info() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(r#"{{"name":"doorward","version":"{version}"}}"#)
}

/// The result of `initialize`: the version asked for where it is served, else the newest dated.
pub(crate) fn initialized(info: &ServerInfo, asked: &str) -> String {
    let version = DATED.iter().find(|version| **version == asked).unwrap_or(&DATED[0]);
    let info = info.json();
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{info}}}"#
    )
}

/// The result of `server/discover`.
pub(crate) fn discovered(info: &ServerInfo) -> String {
    let info = info.json();
    format!(
        r#"{{"resultType":"complete","supportedVersions":["{MODERN}"],"capabilities":{{"tools":{{}}}},"ttlMs":0,"cacheScope":"private","_meta":{{"{META_SERVER}":{info}}}}}"#
    )
}

/// The result of `tools/list`: written definitions, where the next page starts, and `meta`, a
/// written member of `_meta`.
pub(crate) fn listed<'a>(
    info: &ServerInfo,
    era: Era,
    definitions: impl Iterator<Item = Cow<'a, str>>,
    next: Option<&str>,
    meta: Option<&str>,
) -> String {
    let mut text = String::from(r#"{"tools":["#);
    for (at, definition) in definitions.enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&definition);
    }
    text.push(']');
    if let Some(next) = next {
        let _ = write!(text, r#","nextCursor":{}"#, edit::quote(next));
    }
    let server = (era == Era::Modern).then(|| format!(r#""{META_SERVER}":{}"#, info.json()));
    let mut metas = server.as_deref().into_iter().chain(meta).peekable();
    if metas.peek().is_some() {
        let _ = write!(text, r#","_meta":{{{}}}"#, metas.collect::<Vec<_>>().join(","));
    }
    if era == Era::Modern {
        // What is filtered by who asks is nobody else's; what policy may change is stale at once.
        text.push_str(r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#);
    }
    text.push('}');
    text
}

/// A call's result as a client of this era reads it.
pub(crate) fn told<'a>(info: &ServerInfo, era: Era, reply: &'a ToolReply) -> Cow<'a, str> {
    let result = reply.result.get();
    match era {
        Era::Legacy => legacy_result(result),
        Era::Modern => modern_result(info, result).map_or(Cow::Borrowed(result), Cow::Owned),
    }
}

/// Before 2026-07-28 `structuredContent` had to be an object; anything else breaks its readers.
fn legacy_result(result: &str) -> Cow<'_, str> {
    let wrong = edit::mentions(result, "structuredContent")
        && edit::member(result, "structuredContent").is_some_and(|value| !value.starts_with('{'));
    let less = wrong.then(|| edit::without(result, &["structuredContent"])).flatten();
    less.unwrap_or(Cow::Borrowed(result))
}

fn modern_result(info: &ServerInfo, result: &str) -> Option<String> {
    let server = format!(r#""{META_SERVER}":{}"#, info.json());
    // The quick look spares most results a second reading.
    let meta = edit::mentions(result, "\"_meta\"").then(|| edit::member(result, "_meta")).flatten();
    let Some(meta) = meta else {
        return edit::with(result, &format!(r#""resultType":"complete","_meta":{{{server}}}"#));
    };
    if meta.contains(META_SERVER) {
        return edit::with(result, r#""resultType":"complete""#);
    }
    let result = edit::replace(result, "_meta", &edit::with(meta, &server)?)?;
    edit::with(&result, r#""resultType":"complete""#)
}

/// The parameters of `initialize`. Connections are opened for an identity and not for one client,
/// so all is declared that any client may be asked; what the client of a call cannot do is refused
/// when it is asked for.
pub(crate) fn initialize_params() -> String {
    const CAPABILITIES: &str =
        r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#;
    let (version, client) = (DATED[0], client_info());
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{CAPABILITIES},"clientInfo":{client}}}"#
    )
}

/// What `_meta` of a request to a server is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestMeta<'a> {
    /// `_meta` as the client wrote it.
    pub(crate) client: Option<&'a RawValue>,
    pub(crate) trace: Option<&'a TraceContext>,
    /// The token under which progress is told to us, where the client wants any.
    pub(crate) progress: Option<u64>,
    /// What the client can do, a JSON object. None at all where `None`.
    pub(crate) capabilities: Option<&'a str>,
    pub(crate) log_level: Option<LogLevel>,
}

/// The `_meta` of a request to a server: the client's own keys, without those that belong to the
/// client's connection; the trace; what a modern server must be told. `None` where empty.
pub(crate) fn request_meta(era: Era, of: &RequestMeta<'_>) -> Option<String> {
    let mut pieces: Vec<Cow<'_, str>> = Vec::new();
    let text = of.client.map_or("", RawValue::get);
    for member in edit::members(text).unwrap_or_default() {
        let name = &*member.name;
        let ours = name.starts_with(META_PREFIX)
            || name == "progressToken"
            || (of.trace.is_some() && matches!(name, "traceparent" | "tracestate"));
        if !ours {
            pieces.push(edit::written(text, &member));
        }
    }
    if let Some(trace) = of.trace {
        pieces.push(format!(r#""traceparent":{}"#, edit::quote(&trace.traceparent)).into());
        if let Some(state) = &trace.tracestate {
            pieces.push(format!(r#""tracestate":{}"#, edit::quote(state)).into());
        }
    }
    if let Some(token) = of.progress {
        pieces.push(format!(r#""progressToken":{token}"#).into());
    }
    if era == Era::Modern {
        let (client, can) = (client_info(), of.capabilities.unwrap_or("{}"));
        let told = format!(
            r#""{META_VERSION}":"{MODERN}","{META_CLIENT}":{client},"{META_CAPABILITIES}":{can}"#
        );
        pieces.push(told.into());
        if let Some(level) = of.log_level.and_then(|level| serde_json::to_string(&level).ok()) {
            pieces.push(format!(r#""{META_LOG}":{level}"#).into());
        }
    }
    (!pieces.is_empty()).then(|| edit::object(pieces.into_iter()))
}
