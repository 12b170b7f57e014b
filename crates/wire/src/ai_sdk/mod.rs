//! The AI SDK's own gateway protocol: what `createGateway({ baseURL })` speaks below `/v4/ai`
//! (<https://github.com/vercel/ai>, `packages/gateway` and `packages/provider`).
//!
//! The model's name and whether to stream stand in headers, so a request is read with
//! [`Dialect::read_addressed`] and an upstream's headers are the router's part. Bodies of `/v3/ai`
//! are read too; answers are version 4, which differs from 3 only in how files are given.

mod body;
mod compose;
mod embeddings;
mod options;
mod part;
mod prompt;
mod reader;
mod request;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall};

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

/// The AI SDK's gateway protocol.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::{AiSdk, Dialect};
///
/// let body = Bytes::from(r#"{"prompt":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#);
/// let call = AiSdk.read_addressed(body, "openai/gpt-5-mini", true)?;
/// assert_eq!((call.model.as_str(), call.stream), ("openai/gpt-5-mini", true));
///
/// let wrong = Bytes::from(r#"{"prompt":"Hi"}"#);
/// let error = AiSdk.read_addressed(wrong, "m", false).unwrap_err();
/// assert!(error.to_string().starts_with("prompt: "));
/// # Ok::<(), doorward_wire::ReadError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct AiSdk;

const ID: DialectId = DialectId::AI_SDK;

impl Dialect for AiSdk {
    fn id(&self) -> DialectId {
        ID
    }

    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError> {
        request::read(&body, "", false)
    }

    fn read_addressed(
        &self,
        body: Bytes,
        model: &str,
        stream: bool,
    ) -> Result<ModelCall, ReadError> {
        request::read(&body, model, stream)
    }

    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write(call, to)
    }

    fn reader(&self, streaming: bool, _quirks: &Quirks) -> Box<dyn Reader> {
        reader::new(streaming)
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&embeddings::EmbeddingModel)
    }

    fn write_error(&self, error: &CallError, _request_id: &str) -> (u16, Bytes) {
        if let Some(relayed) = error::relay(ID, error) {
            return relayed;
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| write_error(body, error));
        (status(error.code), out.freeze())
    }

    fn read_error(&self, status: u16, body: Bytes) -> CallError {
        error::read_error(ID, status, body)
    }

    fn write_models(&self, models: &[Model]) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("models", |list| {
                for model in models {
                    list.object(|item| write_model(item, model));
                }
            });
        });
        out.freeze()
    }

    fn write_model(&self, model: &Model) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| write_model(body, model));
        out.freeze()
    }
}

/// The kind of a model is left open: the client takes it for any then.
fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("id", &model.id);
    item.str("name", &model.id);
    item.object("specification", |specification| {
        specification.str("specificationVersion", "v4");
        specification.str("provider", &model.owner);
        specification.str("modelId", &model.id);
    });
}

fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.object("error", |body| {
        body.str("message", &error.public);
        body.str("type", error_type(error.code));
        match &error.rule {
            Some(rule) => body.object("param", |param| param.str("ruleId", rule)),
            None => body.raw("param", "null"),
        }
        body.str("code", error.rule.as_deref().unwrap_or(error.code.as_str()));
    });
}

/// The types that the client has an error class for.
const fn error_type(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest | Code::TooLarge | Code::BudgetExhausted => "invalid_request_error",
        Code::Unauthenticated => "authentication_error",
        Code::Forbidden => "forbidden",
        Code::NotFound => "model_not_found",
        Code::RateLimited => "rate_limit_exceeded",
        Code::Upstream | Code::Overloaded | Code::Timeout | Code::Cancelled | Code::Internal => {
            "internal_server_error"
        }
    }
}

/// The unified word for a finish reason.
const fn finish_word(reason: Finish) -> &'static str {
    match reason {
        Finish::Stop | Finish::Pause => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool-calls",
        Finish::ContentFilter => "content-filter",
        Finish::Other => "other",
    }
}

fn finish_of(word: &str, any_calls: bool) -> Finish {
    match word {
        "length" => Finish::Length,
        "tool-calls" => Finish::ToolCalls,
        "content-filter" => Finish::ContentFilter,
        _ if any_calls => Finish::ToolCalls,
        "stop" => Finish::Stop,
        _ => Finish::Other,
    }
}

#[cfg(test)]
mod tests;
