//! Ollama's own `/api/chat` (<https://github.com/ollama/ollama/blob/main/docs/api.md>).
//!
//! A stream is a line of JSON for each piece. Calls of tools are told whole, their arguments as
//! objects, and older servers give them no ids.

mod compose;
mod embed;
mod history;
mod reader;
mod request;
mod time;
mod writer;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, DialectId, Finish, Model, ModelCall};

use crate::emit::{self, Object};
use crate::error;
use crate::{
    Destination, Dialect, Embeddings, Quirks, ReadError, Reader, WriteError, Writer, WriterOptions,
    Written, status,
};

pub use embed::OllamaEmbeddings;

/// Ollama's own chat.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::{Dialect, OllamaChat};
///
/// // A stream unless said otherwise.
/// let body = r#"{"model":"qwen3","messages":[{"role":"user","content":"hi"}]}"#;
/// assert!(OllamaChat.read_call(Bytes::from_static(body.as_bytes()))?.stream);
///
/// let broken = r#"{"model":"qwen3","messages":[{"role":"user","content":[]}]}"#;
/// let error = OllamaChat.read_call(Bytes::from_static(broken.as_bytes())).unwrap_err();
/// assert!(error.to_string().starts_with("messages[0].content: "), "{error}");
/// # Ok::<(), doorward_wire::ReadError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OllamaChat;

const ID: DialectId = DialectId::OLLAMA_CHAT;

/// The media type of a stream of lines.
const LINES: &str = "application/x-ndjson";

impl Dialect for OllamaChat {
    fn id(&self) -> DialectId {
        ID
    }

    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError> {
        request::read(&body)
    }

    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        compose::write(call, to)
    }

    fn is_stream(&self, content_type: Option<&str>) -> bool {
        content_type.is_none_or(|kind| {
            let kind = kind.trim_start().to_ascii_lowercase();
            [LINES, "application/ndjson", "application/jsonl"]
                .iter()
                .any(|lines| kind.starts_with(lines))
        })
    }

    fn reader(&self, streaming: bool, _quirks: &Quirks) -> Box<dyn Reader> {
        reader::new(streaming)
    }

    fn writer(&self, options: WriterOptions) -> Box<dyn Writer> {
        writer::new(options)
    }

    fn stream_type(&self, _options: &WriterOptions) -> &'static str {
        LINES
    }

    /// A piece without text: clients read every line as JSON.
    fn keep_alive(&self, _options: &WriterOptions) -> &'static [u8] {
        b"{\"model\":\"\",\"created_at\":\"1970-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n"
    }

    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        Some(&OllamaEmbeddings)
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

    /// As `GET /api/tags` gives it.
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

    /// One of that list.
    fn write_model(&self, model: &Model) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |item| write_model(item, model));
        out.freeze()
    }
}

fn write_model(item: &mut Object<'_>, model: &Model) {
    item.str("name", &model.id);
    item.str("model", &model.id);
    item.str("modified_at", "1970-01-01T00:00:00Z");
    item.value("size", 0);
    item.str("digest", "");
    item.object("details", |_| {});
}

/// Writes an error: its sentence, and nothing else.
fn write_error(body: &mut Object<'_>, error: &CallError) {
    body.str("error", &error.public);
}

/// The common form of a finish reason. Ollama says `stop` beside tool calls.
fn finish_of(native: &str, any_calls: bool) -> Finish {
    match native {
        "length" => Finish::Length,
        _ if any_calls => Finish::ToolCalls,
        "stop" | "" => Finish::Stop,
        _ => Finish::Other,
    }
}

/// The word for a finish reason.
const fn finish_word(reason: Finish) -> &'static str {
    match reason {
        Finish::Length => "length",
        Finish::Stop
        | Finish::ToolCalls
        | Finish::ContentFilter
        | Finish::Pause
        | Finish::Other => "stop",
    }
}

#[cfg(test)]
mod tests;
