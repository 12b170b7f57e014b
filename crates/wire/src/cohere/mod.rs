//! Cohere Chat, version 2 (<https://docs.cohere.com/reference/chat>).

mod compose;
pub(crate) mod embed;
mod event;
mod history;
mod reader;
mod request;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, DialectId, Finish, Model, ModelCall};

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

pub use embed::CohereEmbeddings;

/// Cohere Chat, version 2.
///
/// ```
/// use doorward_core::{CallError, Code};
/// use doorward_wire::{CohereChat, Dialect};
///
/// let error = CallError::new(Code::NotFound, "no model `x`");
/// let (status, body) = CohereChat.write_error(&error, "req_1");
/// assert_eq!((status, body.as_ref()), (404, br#"{"id":"req_1","message":"no model `x`"}"# as &[u8]));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CohereChat;

const ID: DialectId = DialectId::COHERE_CHAT;

impl Dialect for CohereChat {
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

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&CohereEmbeddings)
    }

    fn write_error(&self, error: &CallError, request_id: &str) -> (u16, Bytes) {
        if let Some(relayed) = error::relay(ID, error) {
            return relayed;
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.str("id", request_id);
            write_error(body, error);
        });
        (status(error.code), out.freeze())
    }

    fn read_error(&self, status: u16, body: Bytes) -> CallError {
        error::read_error(ID, status, body)
    }

    /// As `GET /v1/models` gives it.
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
        emit::object(&mut out, |item| write_model(item, model));
        out.freeze()
    }
}

fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("name", &model.id);
    item.array("endpoints", |list| list.str("chat"));
}

/// Writes an error: its sentence.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.str("message", &error.public);
}

fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "TOOL_CALL" => Finish::ToolCalls,
        "MAX_TOKENS" => Finish::Length,
        "ERROR" | "TIMEOUT" => Finish::Other,
        "ERROR_TOXIC" => Finish::ContentFilter,
        _ if any_calls => Finish::ToolCalls,
        "COMPLETE" | "STOP_SEQUENCE" | "" => Finish::Stop,
        _ => Finish::Other,
    }
}

/// The word for a finish reason: the provider's own where it means the same.
fn finish_word(reason: Finish, native: &str) -> &'static str {
    match (reason, native) {
        (Finish::Stop, "STOP_SEQUENCE") => "STOP_SEQUENCE",
        (Finish::ContentFilter, "ERROR_TOXIC") => "ERROR_TOXIC",
        (Finish::Length, _) => "MAX_TOKENS",
        (Finish::ToolCalls, _) => "TOOL_CALL",
        (Finish::Stop | Finish::ContentFilter | Finish::Pause | Finish::Other, _) => "COMPLETE",
    }
}

#[cfg(test)]
mod tests;
