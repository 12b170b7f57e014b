//! What an HTTP answer is as the result of a tool.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use doorward_core::ToolReply;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::next;
use super::operation::Operation;
use super::tool::is_json;
use crate::edit;

/// How much of an error's body is told, in characters.
const LONGEST_ERROR: usize = 4_000;
/// The largest binary result that is carried, in bytes.
const LARGEST_BINARY: usize = 4 << 20;
/// Where a result says how to get the next page.
const NEXT: &str = "doorward/next";

/// The result for an answer.
pub(super) fn reply(
    operation: &Operation,
    tool: &str,
    arguments: &RawValue,
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
) -> ToolReply {
    if !status.is_success() {
        return failure(status, headers, body);
    }
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if body.is_empty() {
        let note =
            if operation.method == Method::HEAD { head(status, headers) } else { line(status) };
        return result(vec![text(&note)], None, None);
    }
    let read = is_json(&essence) || essence.is_empty();
    let json = if read { std::str::from_utf8(body).ok().and_then(json_of) } else { None };
    if let Some((raw, value)) = json {
        let given = serde_json::from_str(arguments.get()).unwrap_or_default();
        let next = next::arguments(operation, &given, headers, Some(&value));
        let structured = value.is_object().then_some(raw.as_str());
        return result(vec![text(&raw)], structured, next);
    }
    if let Some(words) = decoded(&essence, media, body) {
        let given = serde_json::from_str(arguments.get()).unwrap_or_default();
        let next = next::arguments(operation, &given, headers, None);
        return result(vec![text(&words)], None, next);
    }
    result(vec![binary(tool, &essence, body)], None, None)
}

/// JSON as written, and read.
fn json_of(body: &str) -> Option<(String, Value)> {
    let value: Value = serde_json::from_str(body).ok()?;
    Some((edit::one_line(body.trim()).into_owned(), value))
}

/// A text, where the answer is one.
fn decoded<'a>(essence: &str, media: &str, body: &'a Bytes) -> Option<Cow<'a, str>> {
    let is_text = essence.starts_with("text/")
        || ["+xml", "+json", "+yaml"].iter().any(|end| essence.ends_with(end))
        || matches!(
            essence,
            "" | "application/json"
                | "application/xml"
                | "application/yaml"
                | "application/x-yaml"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/ndjson"
                | "application/graphql"
                | "application/toml"
                | "application/sql"
                | "application/x-www-form-urlencoded"
                | "application/jsonl"
        )
        || essence == "image/svg+xml";
    if !is_text || (essence.is_empty() && std::str::from_utf8(body).is_err()) {
        return None;
    }
    let media = media.to_ascii_lowercase();
    let charset = media.split("charset=").nth(1).map(|rest| rest.trim_matches('"'));
    Some(match charset {
        Some(charset) if charset.starts_with("iso-8859-1") || charset.starts_with("latin1") => {
            Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => String::from_utf8_lossy(body),
    })
}

/// A picture, a sound, or bytes of another kind; a note where they are too many.
fn binary(tool: &str, essence: &str, body: &Bytes) -> Value {
    let media = if essence.is_empty() { "application/octet-stream" } else { essence };
    if body.len() > LARGEST_BINARY {
        return text(&format!(
            "The answer is {} bytes of {media}: too large to be passed on.",
            body.len()
        ));
    }
    let data = STANDARD.encode(body);
    match media.split('/').next() {
        Some("image") => json!({ "type": "image", "data": data, "mimeType": media }),
        Some("audio") => json!({ "type": "audio", "data": data, "mimeType": media }),
        // The URL that was called may hold a credential: it is not told.
        _ => json!({
            "type": "resource",
            "resource": { "uri": format!("doorward:result/{tool}"), "mimeType": media, "blob": data },
        }),
    }
}

fn text(words: &str) -> Value {
    json!({ "type": "text", "text": words })
}

fn line(status: StatusCode) -> String {
    format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// What a `HEAD` tells.
fn head(status: StatusCode, headers: &HeaderMap) -> String {
    let mut words = line(status);
    for name in [CONTENT_TYPE, CONTENT_LENGTH, ETAG, LAST_MODIFIED] {
        if let Some(value) = headers.get(&name).and_then(|value| value.to_str().ok()) {
            words.extend(["\n", name.as_str(), ": ", value]);
        }
    }
    words
}

/// An answer that is no success: its status, and what it says, cut.
fn failure(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> ToolReply {
    let mut words = line(status);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection()
        && let Some(location) = header(LOCATION)
    {
        words.extend([
            "
It leads to ",
            location,
            "; redirects are not followed.",
        ]);
    }
    if let Some(seconds) = header(RETRY_AFTER) {
        words.extend([
            "
Retry-After: ",
            seconds,
        ]);
    }
    let said = std::str::from_utf8(body).unwrap_or_default().trim();
    if !said.is_empty() {
        words.push('\n');
        match said.char_indices().nth(LONGEST_ERROR) {
            Some((at, _)) => words.extend([&said[..at], "…"]),
            None => words.push_str(said),
        }
    }
    ToolReply::error(&words)
}

fn result(
    mut content: Vec<Value>,
    structured: Option<&str>,
    next: Option<Map<String, Value>>,
) -> ToolReply {
    let mut members = Vec::new();
    if let Some(next) = next {
        let next = Value::Object(next);
        content.push(text(&format!(
            "There is more. For the next page, call this tool again with {next}"
        )));
        members.push(format!(r#""_meta":{{"{NEXT}":{next}}}"#));
    }
    members.insert(0, format!(r#""content":{}"#, Value::Array(content)));
    if let Some(structured) = structured {
        members.push(format!(r#""structuredContent":{structured}"#));
    }
    let json = ["{", &members.join(","), "}"].concat();
    match RawValue::from_string(json).or_else(|_| to_raw_value(&json!({ "content": [] }))) {
        Ok(result) => ToolReply::complete(result, false),
        Err(_) => ToolReply::error("the answer could not be written as a result"),
    }
}
