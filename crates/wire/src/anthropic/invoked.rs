//! Claude's own events within Bedrock's `InvokeModelWithResponseStream`: each message of the
//! binary stream holds one event of Anthropic Messages, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use doorward_core::{CallError, Code};
use serde::Deserialize;

use super::write_error;
use crate::ReadError;
use crate::emit;
use crate::error::Problem;
use crate::eventstream::{Message, exception_code};
use crate::framed::{Binary, Unit, kind_of};
use crate::json::{Text, Word};

/// The framing of such a stream. Its units' bytes are the server-sent events that Anthropic
/// itself would have sent, for a client that speaks Messages.
pub(super) fn framing() -> Binary {
    Binary::rewritten(unit)
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: Text<'a>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
}

fn unit(message: &Message) -> Result<Unit, ReadError> {
    let payload = message.payload();
    let kind = kind_of(message).unwrap_or_default();
    if let Some(code) = exception_code(kind) {
        return Ok(failure(code, message, &payload));
    }
    if kind != "chunk" {
        return Ok(Unit { raw: Bytes::new(), name: None, data: None });
    }
    let broken = |problem: &'static str| ReadError::field("bytes", problem);
    let text = std::str::from_utf8(&payload).map_err(|_| broken("expected JSON"))?;
    let chunk = serde_json::from_str::<Chunk<'_>>(text)
        .map_err(|_| broken("missing, expected an event in base64"))?;
    let event =
        STANDARD.decode(chunk.bytes.as_str()).map_err(|_| broken("expected an event in base64"))?;
    let name = std::str::from_utf8(&event)
        .ok()
        .and_then(|event| serde_json::from_str::<Kind<'_>>(event).ok())
        .map(|event| event.kind.0.into_owned())
        .ok_or_else(|| broken("expected an event that is JSON"))?;
    Ok(written(&name, event))
}

/// An exception, as Anthropic would tell it.
fn failure(code: Code, message: &Message, payload: &Bytes) -> Unit {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    let told = message.header(":error-message").map(str::to_owned);
    let told = told.or_else(|| Problem::read(text).map(|problem| problem.message));
    let told = told.filter(|told| !told.is_empty());
    let told = told.unwrap_or_else(|| "the provider reported an error".to_owned());
    let mut out = BytesMut::new();
    emit::object(&mut out, |body| write_error(body, &CallError::new(code, told)));
    written("error", out.to_vec())
}

/// The event as bytes of a stream of server-sent events. Its JSON has no line ends but those
/// between its tokens, which may be blanks as well.
fn written(name: &str, mut event: Vec<u8>) -> Unit {
    for byte in &mut event {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    let name = name.replace(['\n', '\r'], " ");
    let mut raw = BytesMut::with_capacity(event.len() + name.len() + 20);
    raw.put_slice(b"event: ");
    raw.put_slice(name.as_bytes());
    raw.put_slice(b"\ndata: ");
    raw.put_slice(&event);
    raw.put_slice(b"\n\n");
    Unit { raw: raw.freeze(), name: Some(name), data: Some(Bytes::from(event)) }
}
