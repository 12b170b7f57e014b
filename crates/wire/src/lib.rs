//! Sans-IO codecs between the wire formats of model providers and Doorward's common form.
//!
//! A [`Dialect`] reads a client's request into a [`ModelCall`], writes a `ModelCall` for an
//! upstream, turns the upstream's bytes into [`Frame`]s and frames into the client's bytes. Every
//! dialect knows only its own wire and the common form, so adding one never touches another.
//! Nothing here awaits, opens a socket or looks at a clock.
//!
//! Where client and upstream speak the same dialect the bytes go through as they came: a request
//! has its model name replaced and nothing else, an answer's frames are forwarded raw.
//!
//! ```
//! use bytes::Bytes;
//! use doorward_wire::{AnthropicMessages, Destination, Dialect, OpenAiChat};
//!
//! let body = r#"{"model":"fast","messages":[{"role":"user","content":"hi"}], "seed":7}"#;
//! let call = OpenAiChat.read_call(Bytes::from_static(body.as_bytes()))?;
//! assert_eq!(call.model, "fast");
//!
//! // Same dialect: byte for byte, but for the model's name.
//! let to = Destination { model: "gpt-5-mini", ask_usage: false };
//! let same = OpenAiChat.write_call(&call, &to)?;
//! assert_eq!(same.body, body.replace("fast", "gpt-5-mini"));
//!
//! // Another dialect: rewritten, and what it cannot say is reported.
//! let to = Destination { model: "claude-haiku-4-5", ask_usage: false };
//! let other = AnthropicMessages.write_call(&call, &to)?;
//! assert_eq!(other.dropped[0].path, "seed");
//!
//! // A refusal names the place and what was expected there.
//! let wrong = Bytes::from_static(br#"{"model":"fast","messages":[{"role":"user","content":5}]}"#);
//! let error = OpenAiChat.read_call(wrong).unwrap_err();
//! assert!(error.to_string().starts_with("messages[0].content: "), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod anthropic;
mod calls;
mod emit;
mod error;
mod json;
mod openai_chat;
mod splice;
pub mod sse;
mod stream;

use std::fmt;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, DialectId, Frame, Model, ModelCall};

pub use anthropic::AnthropicMessages;
pub use error::{ReadError, WriteError, status};
pub use openai_chat::OpenAiChat;

/// The longest whole body a [`Reader`] keeps, in bytes.
pub const MOST_BODY: usize = 64 * 1024 * 1024;

/// One wire format, in both directions.
pub trait Dialect: Send + Sync + fmt::Debug {
    /// Its stable name.
    fn id(&self) -> DialectId;

    /// Reads a client's request body into the common form. The body and the span of the model's
    /// name are kept in [`ModelCall::raw`]; top-level fields that the common form does not know
    /// are kept in [`ModelCall::extra`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] with the JSON path and what was expected there. A field given twice is an
    /// error: two readers could see two different requests in it.
    fn read_call(&self, body: Bytes) -> Result<ModelCall, ReadError>;

    /// Writes a call for an upstream that speaks this dialect.
    ///
    /// Where [`ModelCall::raw`] is of this dialect the body goes out byte for byte; only the
    /// model's name is replaced, hidden tools are taken out and, if asked for, stream usage is
    /// asked for. Whoever changes more than that in a call empties `raw.body` (the dialect stays,
    /// so that extra fields and opaque parts are kept) or sets `raw` to `None`; the body is then
    /// written anew from the common form.
    ///
    /// # Errors
    ///
    /// [`WriteError`] where the call asks for what this dialect has no way to say and leaving it
    /// out would give another answer.
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError>;

    /// A reader for one upstream answer.
    fn reader(&self, streaming: bool) -> Box<dyn Reader>;

    /// A writer for one answer to a client.
    fn writer(&self, options: WriterOptions) -> Box<dyn Writer>;

    /// An error in this dialect: HTTP status and JSON body. An upstream's own answer in the same
    /// dialect is given on as it came, unless it is about Doorward's credential.
    fn write_error(&self, error: &CallError, request_id: &str) -> (u16, Bytes);

    /// Reads an upstream's answer that is no success. `relayed` is set, also where
    /// [`write_error`](Dialect::write_error) will not relay it.
    fn read_error(&self, status: u16, body: Bytes) -> CallError;

    /// The list of models, as `GET /v1/models` gives it.
    fn write_models(&self, models: &[Model]) -> Bytes;

    /// One model, as `GET /v1/models/{id}` gives it.
    fn write_model(&self, model: &Model) -> Bytes;
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The model's name there.
    pub model: &'a str,
    /// Whether to ask for usage within a stream where the client did not
    /// (`stream_options.include_usage`). The router
    /// sets it where [`ModelCall::ask_usage`] says so and the upstream understands it. The client's [`WriterOptions::strip_usage`] takes it out
    /// again.
    pub ask_usage: bool,
}

/// A request body, and what it could not carry.
#[derive(Debug, Clone)]
pub struct Written {
    /// The body.
    pub body: Bytes,
    /// What was left out or changed.
    pub dropped: Vec<Dropped>,
}

/// Something that another dialect could not carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Where it stood: a JSON path; messages count as in [`ModelCall::messages`].
    pub path: String,
    /// Why it was left out.
    pub reason: &'static str,
}

/// Turns an upstream's bytes into frames. Bytes may be cut anywhere: the frames are the same.
pub trait Reader: Send {
    /// Takes the next bytes. The raw bytes of all frames, joined, are the bytes taken.
    ///
    /// # Errors
    ///
    /// Where the bytes are not this dialect, or too many. Frames read before are in `out`;
    /// nothing can be read after.
    fn push(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError>;

    /// The upstream closed.
    ///
    /// # Errors
    ///
    /// [`ReadError::Cut`] where the answer has no end.
    fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError>;
}

/// How to write one answer.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct WriterOptions {
    /// Whether the client asked for a stream.
    pub streaming: bool,
    /// Whether the frames' raw bytes are of the writer's dialect and may go out as they are.
    pub same_dialect: bool,
    /// Whether the client wants usage within the stream (`OpenAI` Chat only; other dialects
    /// always tell).
    pub stream_usage: bool,
    /// Whether to take out the usage chunk that Doorward, not the client, asked for.
    pub strip_usage: bool,
    /// The model's name to tell the client. Empty: as the upstream names it.
    pub model: String,
    /// The answer's id to tell the client. Empty: the upstream's.
    pub id: String,
    /// Unix seconds to tell where the upstream tells none.
    pub created: i64,
}

/// Turns frames into a client's bytes.
pub trait Writer: Send {
    /// Writes one frame.
    fn write(&mut self, frame: &Frame, out: &mut BytesMut);

    /// All frames were written. An answer without an end is ended with an error, never cleanly.
    fn finish(&mut self, out: &mut BytesMut);

    /// The answer failed on its way. Nothing is written after.
    fn error(&mut self, error: &CallError, out: &mut BytesMut);
}

/// The dialect of this name.
///
/// ```
/// use doorward_core::DialectId;
/// assert!(doorward_wire::dialect(DialectId::OPENAI_CHAT).is_some());
/// assert!(doorward_wire::dialect(DialectId::new("morse")).is_none());
/// ```
pub fn dialect(id: DialectId) -> Option<&'static dyn Dialect> {
    const ALL: [&dyn Dialect; 2] = [&OpenAiChat, &AnthropicMessages];
    ALL.into_iter().find(|dialect| dialect.id() == id)
}
