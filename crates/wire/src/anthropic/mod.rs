//! Anthropic Messages (<https://docs.anthropic.com/en/api/messages>).

mod blocks;
mod compose;
mod count;
mod event;
mod history;
mod invoked;
mod mend;
mod reader;
mod request;
mod thinking;
mod turns;
mod writer;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall, Usage};
use serde_json::value::RawValue;

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Counting, Destination, Dialect, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

/// Anthropic Messages, as of `anthropic-version` `2023-06-01` and `2026-10-21`.
///
/// ```
/// use doorward_core::{CallError, Code};
/// use doorward_wire::{AnthropicMessages, Dialect};
///
/// let error = CallError::new(Code::RateLimited, "slow down");
/// let (status, body) = AnthropicMessages.write_error(&error, "req_1");
/// assert_eq!(status, 429);
/// let expected = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down","details":{"error_code":"rate_limited"}},"request_id":"req_1"}"#;
/// assert_eq!(body, expected);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct AnthropicMessages;

const ID: DialectId = DialectId::ANTHROPIC_MESSAGES;

/// The tool whose call is an answer of a given shape, where that cannot be asked for otherwise.
const JSON_TOOL: &str = "doorward_json";

impl Dialect for AnthropicMessages {
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
        if streaming && quirks.aws_event_stream {
            return reader::framed(invoked::framing());
        }
        reader::new(streaming, quirks)
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn counting(&self) -> Option<&'static dyn Counting> {
        Some(&count::CountTokens)
    }

    fn write_error(&self, error: &CallError, request_id: &str) -> (u16, Bytes) {
        if let Some(relayed) = error::relay(ID, error) {
            return relayed;
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            write_error(body, error);
            body.str("request_id", request_id);
        });
        // The clients of this dialect know 529 as an overload that is not theirs.
        let told = error.relayed.as_ref().map(|relayed| relayed.status);
        let status = match error.code {
            Code::Overloaded if told == Some(529) => 529,
            code => status(code),
        };
        (status, out.freeze())
    }

    fn read_error(&self, status: u16, body: Bytes) -> CallError {
        error::read_error(ID, status, body)
    }

    fn write_models(&self, models: &[Model]) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("data", |data| {
                for model in models {
                    data.object(|item| write_model(item, model));
                }
            });
            body.value("has_more", false);
            for (name, model) in [("first_id", models.first()), ("last_id", models.last())] {
                match model {
                    Some(model) => body.str(name, &model.id),
                    None => body.raw(name, "null"),
                }
            }
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
    item.str("type", "model");
    item.str("id", &model.id);
    item.str("display_name", &model.id);
    item.str("created_at", "1970-01-01T00:00:00Z");
}

/// Writes the members `type` and `error`. `error_code` is the rule that refused, if one did.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.str("type", "error");
    body.object("error", |body| {
        body.str("type", error_type(error.code));
        body.str("message", &error.public);
        body.object("details", |details| {
            details.str("error_code", error.rule.as_deref().unwrap_or(error.code.as_str()));
        });
    });
}

const fn error_type(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest => "invalid_request_error",
        Code::Unauthenticated => "authentication_error",
        Code::BudgetExhausted => "billing_error",
        Code::Forbidden => "permission_error",
        Code::NotFound => "not_found_error",
        Code::TooLarge => "request_too_large",
        Code::RateLimited => "rate_limit_error",
        Code::Overloaded => "overloaded_error",
        Code::Timeout | Code::Cancelled => "timeout_error",
        Code::Upstream | Code::Internal => "api_error",
    }
}

fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "tool_use" => Finish::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::ContentFilter,
        "pause_turn" => Finish::Pause,
        _ if any_calls => Finish::ToolCalls,
        "end_turn" | "stop_sequence" => Finish::Stop,
        _ => Finish::Other,
    }
}

/// The word for a finish reason: the provider's own where it means the same.
fn finish_word(reason: Finish, native: &str) -> &'static str {
    match (reason, native) {
        (Finish::Stop, "stop_sequence") => "stop_sequence",
        (Finish::Length, "model_context_window_exceeded") => "model_context_window_exceeded",
        (Finish::Stop | Finish::Other, _) => "end_turn",
        (Finish::Length, _) => "max_tokens",
        (Finish::ToolCalls, _) => "tool_use",
        (Finish::ContentFilter, _) => "refusal",
        (Finish::Pause, _) => "pause_turn",
    }
}

/// Writes usage; input here is without what the cache read and wrote.
fn write_usage(body: &mut Object<'_>, usage: &Usage) {
    let fresh = usage.input.saturating_sub(usage.cache_read).saturating_sub(usage.cache_write);
    body.value("input_tokens", fresh);
    body.value("cache_creation_input_tokens", usage.cache_write);
    body.value("cache_read_input_tokens", usage.cache_read);
    if usage.cache_write_1h > 0 {
        body.object("cache_creation", |written| {
            let short = usage.cache_write.saturating_sub(usage.cache_write_1h);
            written.value("ephemeral_5m_input_tokens", short);
            written.value("ephemeral_1h_input_tokens", usage.cache_write_1h);
        });
    }
    body.value("output_tokens", usage.output);
    if usage.searches > 0 {
        body.object("server_tool_use", |tools| {
            tools.value("web_search_requests", usage.searches);
        });
    }
}

/// A call's arguments as the object that `input` must be, byte for byte where they are one.
/// Otherwise the text is wrapped, and `false` says so.
fn input_of(arguments: &str) -> (Cow<'_, str>, bool) {
    let text = arguments.trim();
    if text.is_empty() {
        return (Cow::Borrowed("{}"), true);
    }
    if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        return (Cow::Borrowed(text), true);
    }
    (Cow::Owned(format!(r#"{{"arguments":"{}"}}"#, emit::escape(arguments))), false)
}

#[cfg(test)]
mod tests;
