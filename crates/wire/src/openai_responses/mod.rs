//! `OpenAI` Responses (<https://platform.openai.com/docs/api-reference/responses>).
//!
//! Two things are decided here that the API leaves to its server. Issuers' state
//! (`encrypted_content`) is told to every client, asked for or not: whoever keeps an answer's
//! items, the client or the gateway, has the state with them, and a conversation goes on by either
//! way. And an answer without a count of tokens has no `usage` rather than one of zeros (trap 3).

mod called;
mod choice;
mod compose;
mod echo;
mod event;
mod items;
mod kept;
mod mend;
mod output;
mod params;
mod pieces;
mod place;
mod reader;
mod request;
mod sift;
mod state;
mod telling;
mod turns;
mod whole;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall};
use serde::Deserialize;

use crate::emit::{self, Object};
use crate::error;
use crate::json::{Count, Source};
use crate::{
    Counting, Destination, Dialect, OpenAiChat, Quirks, ReadError, Reader, WriteError, Writer,
    WriterOptions, Written, custom_tools, status,
};

pub use kept::{continue_from, items_of, output_items, resolve_references, tell_previous};

/// `OpenAI` Responses.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::{Destination, Dialect, OpenAiChat, OpenAiResponses};
///
/// let body = br#"{"model":"fast","instructions":"Be brief.","input":"Hi"}"#;
/// let call = OpenAiResponses.read_call(Bytes::from_static(body))?;
/// let chat = OpenAiChat.write_call(&call, &Destination::new("m"))?;
/// let expected = r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}"#;
/// assert_eq!(chat.body, expected);
///
/// // What is not kept here cannot be meant by its id.
/// let body = br#"{"model":"fast","input":[{"type":"item_reference","id":"msg_1"}]}"#;
/// let error = OpenAiResponses.read_call(Bytes::from_static(body)).unwrap_err();
/// assert_eq!(error.to_string(), "input[0]: items are not kept here, send the item itself");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAiResponses;

const ID: DialectId = DialectId::OPENAI_RESPONSES;

impl Dialect for OpenAiResponses {
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

    /// The answer repeats its request's fields. One that goes on from an earlier answer has lost
    /// that answer's id by now: whoever put the earlier items in front appends
    /// `("previous_response_id", …)` to [`WriterOptions::echo`], where the last word counts.
    fn options(&self, call: &ModelCall) -> WriterOptions {
        WriterOptions {
            streaming: call.stream,
            stream_usage: true,
            model: call.model.clone(),
            custom_tools: custom_tools(call),
            echo: echo::of(call),
            tell_cost: call.preferences.tell_cost,
            ..WriterOptions::default()
        }
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn counting(&self) -> Option<&'static dyn Counting> {
        Some(&Self)
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
        OpenAiChat.write_models(models)
    }

    fn write_model(&self, model: &Model) -> Bytes {
        OpenAiChat.write_model(model)
    }
}

/// Token counts of `POST /v1/responses/input_tokens`.
impl Counting for OpenAiResponses {
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write_count(call, to)
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError> {
        #[derive(Deserialize)]
        struct Counted {
            input_tokens: Count,
        }
        Ok(Source::new(body)?.whole::<Counted>()?.input_tokens.0)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.str("object", "response.input_tokens");
            body.value("input_tokens", tokens);
        });
        out.freeze()
    }
}

/// Writes the `error` member. Its `code` is the rule that refused, if one did.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.object("error", |body| {
        body.str("message", &error.public);
        body.str("type", error_type(error.code));
        body.raw("param", "null");
        body.str("code", error_code(error));
    });
}

fn error_code(error: &CallError) -> &str {
    error.rule.as_deref().unwrap_or(error.code.as_str())
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

/// The API's own word in `response.error.code`. Agents read it: they ask again after a
/// `server_error`, and must not after a refusal.
const fn failure_code(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest
        | Code::NotFound
        | Code::TooLarge
        | Code::Unauthenticated
        | Code::Forbidden => "invalid_prompt",
        Code::BudgetExhausted => "insufficient_quota",
        Code::RateLimited => "rate_limit_exceeded",
        Code::Overloaded => "server_is_overloaded",
        Code::Upstream | Code::Timeout | Code::Cancelled | Code::Internal => "server_error",
    }
}

/// The common form of an answer's end: its `incomplete_details.reason` or its status.
fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "max_output_tokens" | "max_tokens" | "length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        _ if any_calls => Finish::ToolCalls,
        "completed" | "" => Finish::Stop,
        _ => Finish::Other,
    }
}

/// Why an answer is incomplete, if it is.
const fn incomplete_word(reason: Finish) -> Option<&'static str> {
    match reason {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
        Finish::Stop | Finish::ToolCalls | Finish::Pause | Finish::Other => None,
    }
}

#[cfg(test)]
mod tests;
