//! `OpenAI` Chat Completions (<https://platform.openai.com/docs/api-reference/chat>).

mod body;
mod chunk;
mod compose;
mod embeddings;
mod history;
mod mend;
mod params;
mod reader;
mod request;
mod state;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall};

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

/// `OpenAI` Chat Completions.
///
/// ```
/// use doorward_core::{CallError, Code};
/// use doorward_wire::{Dialect, OpenAiChat};
///
/// let error = CallError::new(Code::Forbidden, "not this tool").with_rule("deny-mail");
/// let (status, body) = OpenAiChat.write_error(&error, "req_1");
/// assert_eq!(status, 403);
/// let expected = r#"{"error":{"message":"not this tool","type":"permission_error","param":null,"code":"deny-mail"}}"#;
/// assert_eq!(body, expected);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAiChat;

const ID: DialectId = DialectId::OPENAI_CHAT;

impl Dialect for OpenAiChat {
    fn id(&self) -> DialectId {
        ID
    }

    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError> {
        request::read(&body)
    }

    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write(call, to)
    }

    fn reader(&self, streaming: bool, quirks: &Quirks) -> Box<dyn Reader> {
        reader::new(streaming, quirks)
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&embeddings::EmbeddingsV1)
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
            body.str("object", "list");
            body.array("data", |data| {
                for model in models {
                    data.object(|item| write_model(item, model));
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

fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("id", &model.id);
    item.str("object", "model");
    item.value("created", 0);
    item.str("owned_by", &model.owner);
}

/// Writes the `error` member. Its `code` is the rule that refused, if one did.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.object("error", |body| {
        body.str("message", &error.public);
        body.str("type", error_type(error.code));
        body.raw("param", "null");
        body.str("code", error.rule.as_deref().unwrap_or(error.code.as_str()));
    });
}

const fn error_type(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest | Code::NotFound | Code::TooLarge => "invalid_request_error",
        Code::Unauthenticated => "authentication_error",
        Code::BudgetExhausted => "insufficient_quota",
        Code::Forbidden => "permission_error",
        Code::RateLimited => "rate_limit_error",
        Code::Upstream => "api_error",
        Code::Overloaded => "overloaded_error",
        Code::Timeout | Code::Cancelled => "timeout_error",
        Code::Internal => "server_error",
    }
}

/// The common form of a finish reason. A reason that says nothing of tools, beside tool calls,
/// means tool calls: several providers, and `OpenAI` itself with a forced tool, say `stop`.
fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => Finish::Length,
        "content_filter" | "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT"
        | "SPII" => Finish::ContentFilter,
        _ if any_calls => Finish::ToolCalls,
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "STOP" | "COMPLETE" => {
            Finish::Stop
        }
        _ => Finish::Other,
    }
}

/// The word for a finish reason: the provider's own where it means the same.
fn finish_word(reason: Finish, native: &str) -> &'static str {
    match reason {
        Finish::ToolCalls if native == "function_call" => "function_call",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
        Finish::Stop | Finish::Pause | Finish::Other => "stop",
    }
}

#[cfg(test)]
mod tests;
