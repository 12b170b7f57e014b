//! The JSON-RPC 2.0 envelope over raw JSON: ids, method and error are read, payloads are carried.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::edit;

/// One message, payloads still raw. Reading fails where a member stands twice, so that no two
/// readers can see different messages.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What kind of message it is.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Request { id: &'a RawValue, method: Cow<'a, str>, params: Option<&'a RawValue> },
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    Reply { id: Option<&'a RawValue>, outcome: Result<&'a RawValue, RpcError> },
}

/// Why some JSON is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// It is no JSON at all.
    Json,
    /// It is JSON, yet not one JSON-RPC message.
    Shape,
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) data: Option<Box<RawValue>>,
    /// The HTTP status it came with, where that was an error's too.
    #[serde(skip)]
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP has a status"))]
    pub(crate) status: Option<u16>,
}

/// `null` is a value too: an id of `null` is not the same as no id.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&'de RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// Reads one message.
    pub(crate) fn read(json: &'a [u8]) -> Result<Self, NoMessage> {
        let envelope: Envelope<'a> = edit::read(json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => NoMessage::Shape,
            _ => NoMessage::Json,
        })?;
        Self::sort(envelope).ok_or(NoMessage::Shape)
    }

    fn sort(envelope: Envelope<'a>) -> Option<Self> {
        let Envelope { jsonrpc, id, method, params, result, error } = envelope;
        if jsonrpc.as_deref() != Some("2.0") {
            return None;
        }
        match (method, id) {
            (Some(_), _) if result.is_some() || error.is_some() => None,
            (Some(method), Some(id)) => is_id(id).then_some(Self::Request { id, method, params }),
            (Some(method), None) => Some(Self::Notification { method, params }),
            (None, id) => {
                let outcome = match (result, error) {
                    (Some(result), None) => Ok(result),
                    (None, Some(error)) => Err(edit::read(error.get().as_bytes()).ok()?),
                    _ => return None,
                };
                Some(Self::Reply { id, outcome })
            }
        }
    }
}

/// Whether it may be a request's id: a string or an integer (MCP basic, "Requests").
fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    match text.as_bytes().first() {
        Some(b'"') => true,
        Some(b'-' | b'0'..=b'9') => !text.contains(['.', 'e', 'E']),
        _ => false,
    }
}

/// A request, ready to be sent.
pub(crate) fn request(id: u64, method: &str, params: &str) -> String {
    let (method, params) = (edit::quote(method), edit::one_line(params));
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
}

/// A notification, ready to be sent.
pub(crate) fn notification(method: &str, params: Option<&str>) -> String {
    let method = edit::quote(method);
    match params.map(edit::one_line) {
        Some(params) => format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","method":{method}}}"#),
    }
}

/// The reply to a request.
pub(crate) fn reply(id: &RawValue, result: &str) -> String {
    [r#"{"jsonrpc":"2.0","id":"#, id.get(), r#","result":"#, result, "}"].concat()
}

/// The refusal of a request; `id` is `None` where it could not be read.
pub(crate) fn refusal(
    id: Option<&RawValue>,
    code: i64,
    message: &str,
    data: Option<&str>,
) -> String {
    let (id, message) = (id.map_or("null", RawValue::get), edit::quote(message));
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}{data}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (json, kind) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{}}"#, "request"),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "reply"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}"#, "reply"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "shape"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "shape"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "shape"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, "shape"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#, "shape"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "shape"),
            (r#"{"id":1,"method":"ping"}"#, "shape"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "shape"),
            ("[]", "shape"),
            (r#"["2.0",1,"ping"]"#, "shape"),
            ("3", "shape"),
            ("{", "json"),
            ("", "json"),
            ("not json", "json"),
        ] {
            let read = match Message::read(json.as_bytes()) {
                Ok(Message::Request { .. }) => "request",
                Ok(Message::Notification { .. }) => "notification",
                Ok(Message::Reply { .. }) => "reply",
                Err(NoMessage::Shape) => "shape",
                Err(NoMessage::Json) => "json",
            };
            assert_eq!(read, kind, "{json}");
        }
    }

    #[test]
    fn what_is_written_is_one_line() {
        let written = request(1, "tools/call", "{\"arguments\":[\n{\"jsonrpc\":\"2.0\"}\n]}");
        assert!(!written.contains('\n'), "{written}");
    }
}
