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
//! let to = Destination::new("gpt-5-mini");
//! let same = OpenAiChat.write_call(&call, &to)?;
//! assert_eq!(same.body, body.replace("fast", "gpt-5-mini"));
//!
//! // Another dialect: rewritten, and what it cannot say is reported.
//! let to = Destination::new("claude-haiku-4-5");
//! let other = AnthropicMessages.write_call(&call, &to)?;
//! assert_eq!(other.dropped[0].path, "seed");
//!
//! // A refusal names the place and what was expected there.
//! let wrong = Bytes::from_static(br#"{"model":"fast","messages":[{"role":"user","content":5}]}"#);
//! let error = OpenAiChat.read_call(wrong).unwrap_err();
//! assert!(error.to_string().starts_with("messages[0].content: "), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ai_sdk;
mod answer;
mod anthropic;
mod bedrock;
mod bound;
mod calls;
mod cohere;
mod custom;
mod emit;
mod error;
pub mod eventstream;
mod framed;
mod gemini;
mod json;
mod ollama;
mod openai_chat;
mod openai_responses;
mod preferences;
mod quirks;
mod splice;
pub mod sse;
mod stream;
mod vectors;

use std::fmt;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, DialectId, EmbedCall, EmbedReply, Frame, Model, ModelCall};
use serde_json::value::RawValue;

pub use ai_sdk::AiSdk;
pub use anthropic::AnthropicMessages;
pub use bedrock::{BedrockConverse, BedrockEmbeddings, CohereOnBedrock, TitanEmbeddings};
pub use cohere::{CohereChat, CohereEmbeddings};
pub use error::{ReadError, WriteError, status};
pub use gemini::{
    Gemini, GeminiCounting, GeminiEmbedContent, GeminiEmbeddings, VertexCounting, VertexEmbeddings,
};
pub use ollama::{OllamaChat, OllamaEmbeddings};
pub use openai_chat::OpenAiChat;
pub use openai_responses::OpenAiResponses;
pub use quirks::{GATEWAY_FIELDS, Quirks, allowed_betas};

/// Items of Responses conversations, for whoever keeps them.
pub mod responses {
    pub use crate::openai_responses::{
        continue_from, items_of, output_items, resolve_references, tell_previous,
    };
}

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

    /// Reads a body whose model and kind of answer stand in the request's address or headers
    /// (Gemini, AI SDK).
    ///
    /// # Errors
    ///
    /// As [`read_call`](Dialect::read_call).
    fn read_addressed(
        &self,
        body: Bytes,
        model: &str,
        stream: bool,
    ) -> Result<ModelCall, ReadError> {
        let mut call = self.read_call(body)?;
        model.clone_into(&mut call.model);
        call.stream = stream;
        Ok(call)
    }

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

    /// Whether an answer of this media type comes as a stream.
    fn is_stream(&self, content_type: Option<&str>) -> bool {
        content_type.is_none_or(|kind| {
            let kind = kind.trim_start().to_ascii_lowercase();
            kind.starts_with("text/event-stream") || kind.starts_with(eventstream::MEDIA_TYPE)
        })
    }

    /// A reader for one upstream answer.
    fn reader(&self, streaming: bool, quirks: &Quirks) -> Box<dyn Reader>;

    /// What a writer must know of the call it answers. The gateway adds id and time.
    fn options(&self, call: &ModelCall) -> WriterOptions {
        WriterOptions {
            streaming: call.stream,
            stream_usage: call.stream_usage,
            model: call.model.clone(),
            custom_tools: custom_tools(call),
            tell_cost: call.preferences.tell_cost,
            ..WriterOptions::default()
        }
    }

    /// A writer for one answer to a client.
    fn writer(&self, options: WriterOptions) -> Box<dyn Writer>;

    /// The media type of a streamed answer.
    fn stream_type(&self, _options: &WriterOptions) -> &'static str {
        "text/event-stream"
    }

    /// What can be sent at any time between two frames of a stream and means nothing.
    fn keep_alive(&self, _options: &WriterOptions) -> &'static [u8] {
        b": keep-alive\n\n"
    }

    /// Embeddings in this dialect, where it has any.
    fn embeddings(&self) -> Option<&'static dyn Embeddings> {
        None
    }

    /// Token counts in this dialect, where it has any.
    fn counting(&self) -> Option<&'static dyn Counting> {
        None
    }

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

/// Embeddings in one wire format, in both directions.
pub trait Embeddings: Send + Sync + fmt::Debug {
    /// Reads a client's request.
    ///
    /// # Errors
    ///
    /// As [`Dialect::read_call`].
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError>;

    /// Writes a request for an upstream. `headers` of the call's dialect are the router's part.
    ///
    /// # Errors
    ///
    /// As [`Dialect::write_call`].
    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError>;

    /// Reads an upstream's answer. The router fills in route, headers and hold.
    ///
    /// # Errors
    ///
    /// Where it is none.
    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError>;

    /// Writes an answer for a client that asked `call`.
    fn write_reply(&self, call: &Embedded<'_>) -> Bytes;
}

/// What a client is to be told of its embeddings.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    /// The answer.
    pub reply: &'a EmbedReply,
    /// The model, as the client wrote it.
    pub model: &'a str,
    /// Whether the client wants base64 of little-endian `f32`.
    pub base64: bool,
}

/// Token counts in one wire format, in both directions. The request is read with
/// [`Dialect::read_call`].
pub trait Counting: Send + Sync + fmt::Debug {
    /// Writes the request for an upstream.
    ///
    /// # Errors
    ///
    /// As [`Dialect::write_call`].
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError>;

    /// Reads an upstream's answer: tokens.
    ///
    /// # Errors
    ///
    /// Where it is none.
    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError>;

    /// Writes an answer for a client.
    fn write_count(&self, tokens: u64) -> Bytes;
}

/// The names of the call's free-form tools.
fn custom_tools(call: &ModelCall) -> Vec<String> {
    call.tools.iter().filter(|tool| tool.custom).map(|tool| tool.name.clone()).collect()
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
    /// What that upstream does otherwise.
    pub quirks: &'a Quirks,
}

impl<'a> Destination<'a> {
    /// The model there, without differences.
    pub fn new(model: &'a str) -> Self {
        Self { model, ask_usage: false, quirks: &quirks::NONE }
    }
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
    /// The free-form tools that the client declared: calls of these are told as such.
    pub custom_tools: Vec<String>,
    /// Fields of the request that the answer repeats (Responses), as JSON text.
    pub echo: Vec<(String, Box<RawValue>)>,
    /// Whether a stream is a JSON array instead of events (Gemini without `alt=sse`).
    pub array: bool,
    /// Whether the client wants to be told what the call cost (`usage.cost`).
    pub tell_cost: bool,
    /// About how many tokens the prompt has, for a dialect that tells at the start and an upstream
    /// that tells at the end (Messages); 0: nobody estimated.
    pub input_estimate: u64,
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
    const ALL: [&dyn Dialect; 8] = [
        &OpenAiChat,
        &OpenAiResponses,
        &AnthropicMessages,
        &Gemini,
        &BedrockConverse,
        &CohereChat,
        &OllamaChat,
        &AiSdk,
    ];
    ALL.into_iter().find(|dialect| dialect.id() == id)
}
