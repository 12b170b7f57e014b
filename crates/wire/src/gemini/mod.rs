//! Gemini `generateContent` (<https://ai.google.dev/api/generate-content>), as the Gemini API
//! (`v1beta`, `v1`) and Vertex AI speak it. Requests may be spelled in camel or snake case, as
//! protobuf's JSON may.

mod array;
mod chunk;
mod compose;
mod count;
mod embed;
mod forward;
mod grounding;
mod history;
mod media;
mod model;
mod params;
mod partial;
mod predict;
mod reader;
mod request;
mod schema;
mod section;
mod state;
mod turns;
mod writer;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall};
use serde_json::value::RawValue;

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Counting, Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer,
    WriterOptions, Written, status,
};

pub use count::{GeminiCounting, VertexCounting};
pub use embed::{GeminiEmbedContent, GeminiEmbeddings};
pub use predict::VertexEmbeddings;

/// Gemini `generateContent` and `streamGenerateContent`.
///
/// Model and kind of answer stand in the address. A stream comes as server-sent events
/// (`alt=sse`) or as one JSON array; the reader tells them apart, the writer is told by
/// [`WriterOptions::array`].
///
/// ```
/// use bytes::Bytes;
/// use doorward_core::{CallError, Code};
/// use doorward_wire::{Dialect, Gemini};
///
/// let body = Bytes::from_static(br#"{"contents":[{"parts":[{"text":"hi"}]}]}"#);
/// let call = Gemini.read_addressed(body, "models/gemini-3-pro", true)?;
/// assert_eq!((call.model.as_str(), call.stream), ("gemini-3-pro", true));
///
/// let error = CallError::new(Code::Forbidden, "not this tool");
/// let (status, body) = Gemini.write_error(&error, "req_1");
/// assert_eq!(status, 403);
/// let expected = r#"{"error":{"code":403,"message":"not this tool","status":"PERMISSION_DENIED"}}"#;
/// assert_eq!(body, expected);
/// # Ok::<(), doorward_wire::ReadError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Gemini;

const ID: DialectId = DialectId::GEMINI;

impl Dialect for Gemini {
    fn id(&self) -> DialectId {
        ID
    }

    /// Reads a body alone: the model is the body's own `model`, mostly absent. A request of
    /// `countTokens` that wraps one (`generateContentRequest`) is read as what it wraps.
    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError> {
        request::read(&body)
    }

    fn read_addressed(
        &self,
        body: Bytes,
        model: &str,
        stream: bool,
    ) -> Result<ModelCall, ReadError> {
        let mut call = request::read(&body)?;
        model::bare(model).clone_into(&mut call.model);
        call.stream = stream;
        Ok(call)
    }

    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write(call, to)
    }

    /// A stream without `alt=sse` comes as JSON.
    fn is_stream(&self, content_type: Option<&str>) -> bool {
        content_type.is_none_or(|kind| {
            let kind = kind.trim_start().to_ascii_lowercase();
            kind.starts_with("text/event-stream") || kind.starts_with("application/json")
        })
    }

    fn reader(&self, streaming: bool, _quirks: &Quirks) -> Box<dyn Reader> {
        reader::new(streaming)
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn stream_type(&self, options: &WriterOptions) -> &'static str {
        if options.array { "application/json" } else { "text/event-stream" }
    }

    /// A line feed: white space in an array, and an empty event elsewhere. Google's older
    /// clients take no comments between events.
    fn keep_alive(&self, _options: &WriterOptions) -> &'static [u8] {
        b"\n"
    }

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&GeminiEmbeddings)
    }

    fn counting(&self) -> Option<&'static dyn Counting> {
        Some(&GeminiCounting)
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
        // Google answers 400 where the key is refused; everyone else 401, and so it is treated.
        let refused = memchr::memmem::find(&body, b"\"API_KEY_INVALID\"").is_some();
        error::read_error(ID, if refused { 401 } else { status }, body)
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

fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("name", &format!("models/{}", model.id));
    item.str("displayName", &model.id);
    item.array("supportedGenerationMethods", |methods| {
        methods.str("generateContent");
        methods.str("countTokens");
    });
}

/// Writes the `error` member (<https://google.aip.dev/193>): the rule that refused is an
/// `ErrorInfo`, the wait a `RetryInfo`.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.object("error", |body| {
        body.value("code", status(error.code));
        body.str("message", &error.public);
        body.str("status", status_word(error.code));
        if error.rule.is_none() && error.retry_after.is_none() {
            return;
        }
        body.array("details", |details| {
            if let Some(rule) = &error.rule {
                details.object(|item| {
                    item.str("@type", "type.googleapis.com/google.rpc.ErrorInfo");
                    item.str("reason", rule);
                    item.str("domain", "doorward");
                });
            }
            if let Some(wait) = error.retry_after {
                details.object(|item| {
                    item.str("@type", "type.googleapis.com/google.rpc.RetryInfo");
                    item.str("retryDelay", &format!("{}s", wait.as_secs_f64()));
                });
            }
        });
    });
}

/// The canonical code of `google.rpc.Code`.
const fn status_word(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest | Code::TooLarge => "INVALID_ARGUMENT",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Forbidden => "PERMISSION_DENIED",
        Code::NotFound => "NOT_FOUND",
        Code::BudgetExhausted | Code::RateLimited => "RESOURCE_EXHAUSTED",
        Code::Overloaded => "UNAVAILABLE",
        Code::Timeout => "DEADLINE_EXCEEDED",
        Code::Cancelled => "CANCELLED",
        Code::Upstream | Code::Internal => "INTERNAL",
    }
}

/// Whether the reason is the model's failure and not an end.
fn is_failure(native: &str) -> bool {
    matches!(
        native,
        "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "MALFORMED_RESPONSE"
            | "MISSING_THOUGHT_SIGNATURE"
    )
}

/// Whether the reason, or a prompt's block reason, is a filter's.
fn is_filter(native: &str) -> bool {
    matches!(
        native,
        "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR"
    )
}

/// The common form of a finish reason. `STOP` beside calls means calls: Gemini has no word for
/// them.
fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "MAX_TOKENS" => Finish::Length,
        _ if is_filter(native) => Finish::ContentFilter,
        _ if any_calls => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        _ => Finish::Other,
    }
}

/// The word for a finish reason: the provider's own where it is one of Gemini's.
fn finish_word(reason: Finish, native: &str) -> &str {
    match reason {
        Finish::Stop | Finish::ToolCalls | Finish::Pause => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter if is_filter(native) => native,
        Finish::ContentFilter => "SAFETY",
        Finish::Other if matches!(native, "LANGUAGE" | "NO_IMAGE" | "TOO_MANY_TOOL_CALLS") => {
            native
        }
        Finish::Other => "OTHER",
    }
}

/// A call's arguments as the object that `args` must be, byte for byte where they are one.
/// Otherwise the text is wrapped, and `false` says so.
fn args_of(arguments: &str) -> (Cow<'_, str>, bool) {
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
