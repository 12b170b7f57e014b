//! Amazon Bedrock Converse and `ConverseStream`
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! The model stands in the address (`/model/{modelId}/converse-stream`) and a stream is AWS's
//! binary event stream.

mod compose;
mod embed;
mod event;
mod family;
mod fields;
mod history;
mod media;
mod reader;
mod request;
mod turns;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, DialectId, Finish, Model, ModelCall};

use crate::emit::{self, Object};
use crate::error;
use crate::eventstream;
use crate::{
    Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

pub use embed::{BedrockEmbeddings, CohereOnBedrock, TitanEmbeddings};

/// Amazon Bedrock Converse.
///
/// A body holds no model: [`read_addressed`](Dialect::read_addressed) takes it from the address.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::{BedrockConverse, Destination, Dialect};
///
/// let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
/// let call = BedrockConverse.read_addressed(Bytes::from_static(body.as_bytes()), "fast", true)?;
/// assert_eq!((call.model.as_str(), call.stream), ("fast", true));
///
/// // Same dialect: byte for byte, and the router writes the model into the address.
/// let to = Destination::new("amazon.nova-pro-v1:0");
/// assert_eq!(BedrockConverse.write_call(&call, &to)?.body, body);
///
/// let broken = r#"{"messages":[{"role":"user","content":[{"text":7}]}]}"#;
/// let error = BedrockConverse.read_call(Bytes::from_static(broken.as_bytes())).unwrap_err();
/// assert!(error.to_string().starts_with("messages[0].content[0].text: "), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct BedrockConverse;

const ID: DialectId = DialectId::BEDROCK_CONVERSE;

impl Dialect for BedrockConverse {
    fn id(&self) -> DialectId {
        ID
    }

    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError> {
        request::read(&body)
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

    fn stream_type(&self, _options: &WriterOptions) -> &'static str {
        eventstream::MEDIA_TYPE
    }

    /// Nothing: clients take a message of any type for an event.
    fn keep_alive(&self, _options: &WriterOptions) -> &'static [u8] {
        b""
    }

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&BedrockEmbeddings)
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
        let mut error = error::read_error(ID, status, body);
        if status == 424 {
            // ModelErrorException: the model failed, not the request.
            error.code = Code::Upstream;
        }
        error
    }

    /// As `ListFoundationModels` gives it.
    fn write_models(&self, models: &[Model]) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("modelSummaries", |list| {
                for model in models {
                    list.object(|item| write_model(item, model));
                }
            });
        });
        out.freeze()
    }

    /// As `GetFoundationModel` gives it.
    fn write_model(&self, model: &Model) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.object("modelDetails", |item| write_model(item, model));
        });
        out.freeze()
    }
}

fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("modelArn", "");
    item.str("modelId", &model.id);
    item.str("modelName", &model.id);
    item.str("providerName", &model.owner);
    item.value("responseStreamingSupported", true);
}

/// Writes an error's members. Clients find its type in the header `x-amzn-errortype` or here.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.str("__type", error_type(error.code));
    body.str("message", &error.public);
}

const fn error_type(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest | Code::TooLarge => "ValidationException",
        Code::Unauthenticated | Code::Forbidden => "AccessDeniedException",
        Code::NotFound => "ResourceNotFoundException",
        Code::BudgetExhausted => "ServiceQuotaExceededException",
        Code::RateLimited => "ThrottlingException",
        Code::Overloaded => "ServiceUnavailableException",
        Code::Timeout | Code::Cancelled => "ModelTimeoutException",
        Code::Upstream => "ModelErrorException",
        Code::Internal => "InternalServerException",
    }
}

/// The exception of a stream, of those that `ConverseStream` has.
const fn exception(code: Code) -> &'static str {
    match code {
        Code::RateLimited | Code::BudgetExhausted => "throttlingException",
        Code::Overloaded => "serviceUnavailableException",
        Code::Internal => "internalServerException",
        Code::Upstream | Code::Timeout | Code::Cancelled => "modelStreamErrorException",
        Code::InvalidRequest
        | Code::TooLarge
        | Code::NotFound
        | Code::Unauthenticated
        | Code::Forbidden => "validationException",
    }
}

fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "tool_use" => Finish::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "guardrail_intervened" | "content_filtered" | "refusal" => Finish::ContentFilter,
        "pause_turn" => Finish::Pause,
        "malformed_model_output" | "malformed_tool_use" => Finish::Other,
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
        (Finish::ContentFilter, "guardrail_intervened") => "guardrail_intervened",
        (Finish::Other, "malformed_model_output") => "malformed_model_output",
        (Finish::Other, "malformed_tool_use") => "malformed_tool_use",
        (Finish::Stop | Finish::Other | Finish::Pause, _) => "end_turn",
        (Finish::Length, _) => "max_tokens",
        (Finish::ToolCalls, _) => "tool_use",
        (Finish::ContentFilter, _) => "content_filtered",
    }
}

#[cfg(test)]
mod tests;
