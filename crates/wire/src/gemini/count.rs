//! Token counts: `countTokens` (<https://ai.google.dev/api/tokens>).

use bytes::{BufMut, Bytes, BytesMut};
use doorward_core::ModelCall;
use serde::Deserialize;

use super::{ID, compose, model};
use crate::emit;
use crate::json::{Count, Source};
use crate::{Counting, Destination, ReadError, WriteError, Written};

/// `countTokens` of the Gemini API. The whole call goes wrapped in `generateContentRequest`, so
/// that system text and tools are counted too.
#[derive(Debug, Clone, Copy, Default)]
pub struct GeminiCounting;

impl Counting for GeminiCounting {
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let Written { body, dropped } = compose::write(call, to)?;
        let inner = body.trim_ascii();
        let mut out = BytesMut::with_capacity(body.len() + 64);
        out.put_slice(br#"{"generateContentRequest":"#);
        let kept = |raw: &&doorward_core::RawCall| raw.dialect == ID && !raw.model.is_empty();
        let named = call.raw.as_ref().filter(kept).is_some_and(|raw| !raw.body.is_empty());
        if named {
            out.put_slice(inner);
        } else {
            // Here, unlike elsewhere, the model must stand in the body.
            let members = inner.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
            out.put_slice(br#"{"model":"#);
            emit::string(&mut out, &format!("models/{}", model::bare(to.model)));
            if !members.starts_with(b"}") {
                out.put_u8(b',');
            }
            out.put_slice(members);
        }
        out.put_u8(b'}');
        Ok(Written { body: out.freeze(), dropped })
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError> {
        read_count(body)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        write_count(tokens)
    }
}

/// `countTokens` of Vertex AI: the request is the call itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct VertexCounting;

impl Counting for VertexCounting {
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write(call, to)
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError> {
        read_count(body)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        write_count(tokens)
    }
}

#[derive(Deserialize)]
struct CountIn {
    #[serde(rename = "totalTokens")]
    total_tokens: Option<Count>,
}

fn read_count(body: &[u8]) -> Result<u64, ReadError> {
    let counted = Source::new(body)?.whole::<CountIn>()?;
    let missing = || ReadError::field("totalTokens", "missing, expected a number");
    counted.total_tokens.map(|Count(tokens)| tokens).ok_or_else(missing)
}

fn write_count(tokens: u64) -> Bytes {
    let mut out = BytesMut::new();
    emit::object(&mut out, |body| body.value("totalTokens", tokens));
    out.freeze()
}
