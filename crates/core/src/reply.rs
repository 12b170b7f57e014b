//! What a model answers: frames of events, with the bytes they came in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Billed, BoxStream, CallError, Code, IssuerState, Media, Reservation, Usage};

/// A wire format's stable name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialectId(&'static str);

impl DialectId {
    /// `OpenAI` Chat Completions.
    pub const OPENAI_CHAT: Self = Self("openai-chat");
    /// `OpenAI` Responses.
    pub const OPENAI_RESPONSES: Self = Self("openai-responses");
    /// Anthropic Messages.
    pub const ANTHROPIC_MESSAGES: Self = Self("anthropic-messages");
    /// Gemini `generateContent`.
    pub const GEMINI: Self = Self("gemini");
    /// Amazon Bedrock Converse.
    pub const BEDROCK_CONVERSE: Self = Self("bedrock-converse");
    /// Cohere Chat, version 2.
    pub const COHERE_CHAT: Self = Self("cohere-chat");
    /// Ollama's own `/api/chat`.
    pub const OLLAMA_CHAT: Self = Self("ollama-chat");
    /// The AI SDK's own gateway protocol, `/v4/ai`.
    pub const AI_SDK: Self = Self("ai-sdk");

    /// Every dialect that Doorward knows.
    pub const ALL: [Self; 8] = [
        Self::OPENAI_CHAT,
        Self::OPENAI_RESPONSES,
        Self::ANTHROPIC_MESSAGES,
        Self::GEMINI,
        Self::BEDROCK_CONVERSE,
        Self::COHERE_CHAT,
        Self::OLLAMA_CHAT,
        Self::AI_SDK,
    ];

    /// The known dialect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.0 == name)
    }

    /// A dialect by name; an embedder's own one too.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for DialectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What happens in an answer, in the common form. A whole answer is the same events at once.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: String,
        /// The model, as the provider names it.
        model: String,
        /// Unix seconds, where the dialect says.
        created: Option<i64>,
        /// Usage known at the start (Anthropic counts the input here).
        usage: Option<Usage>,
    },
    /// More text.
    Text {
        /// Which of several answers (`n`), from 0.
        choice: u32,
        /// The text to append; may be empty.
        text: String,
    },
    /// More of a refusal worded by the model (`OpenAI` `refusal`).
    Refusal {
        /// Which of several answers.
        choice: u32,
        /// The text to append.
        text: String,
    },
    /// More visible thought.
    Reasoning {
        /// Which of several answers.
        choice: u32,
        /// The text to append.
        text: String,
    },
    /// The issuer's state for the thought just ended (Anthropic `signature_delta`, Responses
    /// `encrypted_content`, Gemini `thoughtSignature`); without a thought before it, for one that
    /// is not shown.
    ReasoningSignature {
        /// The state; only its issuer can read it.
        state: IssuerState,
    },
    /// A thought that only its issuer can read (Anthropic `redacted_thinking`).
    RedactedReasoning {
        /// The thought.
        state: IssuerState,
    },
    /// Media that the model made.
    Media {
        /// Which of several answers.
        choice: u32,
        /// What it made.
        media: Media,
    },
    /// A source that the text just said rests on.
    Citation {
        /// Which of several answers.
        choice: u32,
        /// The source.
        citation: Citation,
    },
    /// Log probabilities of the text just said.
    Logprobs {
        /// Which of several answers.
        choice: u32,
        /// JSON text: a list in the shape of `OpenAI`'s `logprobs.content`.
        json: String,
    },
    /// A tool call begins. `call` counts tool calls from 0 over the whole answer.
    ToolStart {
        /// Which call.
        call: u32,
        /// Which of several answers.
        choice: u32,
        /// The provider's id of the call.
        id: String,
        /// The tool.
        name: String,
        /// State that the issuer wants back with the call.
        state: Option<IssuerState>,
    },
    /// More of a call's arguments.
    ToolDelta {
        /// Which call.
        call: u32,
        /// JSON text to append.
        json: String,
    },
    /// A call is complete: nothing more comes for it.
    ToolEnd {
        /// Which call.
        call: u32,
    },
    /// Usage so far; the last one counts.
    Usage(Usage),
    /// What the provider says of the bill; the last one counts.
    Billed(Box<Billed>),
    /// An answer ends.
    Finish {
        /// Which of several answers.
        choice: u32,
        /// Why, in the common form.
        reason: Finish,
        /// Why, in the provider's word.
        native: String,
    },
    /// The provider reported an error inside the answer.
    Error {
        /// What kind.
        code: Code,
        /// The provider's words.
        message: String,
    },
    /// The protocol's own end mark was seen; without it a stream was cut.
    Done,
}

/// A source that a text rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Citation {
    /// Where it is.
    pub url: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// The words that are cited.
    pub text: Option<String>,
    /// Where in the answer's text the cited part begins, in characters.
    pub start: Option<u64>,
    /// Where it ends.
    pub end: Option<u64>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// Said all.
    Stop,
    /// Out of tokens.
    Length,
    /// Waits for tools.
    ToolCalls,
    /// The provider's filter stopped it.
    ContentFilter,
    /// Paused; to be continued by sending it back (Anthropic `pause_turn`).
    Pause,
    /// Anything else.
    Other,
}

/// One unit of the wire: a whole body, or one SSE event, with what it means.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// What happens in it; may be empty (a keep-alive).
    pub events: Vec<ModelEvent>,
    /// The bytes as they came, terminator included. `None` once the events were changed.
    pub raw: Option<Bytes>,
}

impl Frame {
    /// A frame that no upstream sent.
    pub fn of(events: Vec<ModelEvent>) -> Self {
        Self { events, raw: None }
    }
}

/// A model's answer on its way.
pub struct ModelReply {
    /// Whose wire the frames' bytes are.
    pub dialect: DialectId,
    /// Whether it is one body (a single frame) or a stream of SSE events.
    pub streaming: bool,
    /// How it was routed.
    pub route: Arc<Route>,
    /// Upstream headers that a client of the same dialect expects (rate limits, request ids).
    pub headers: Vec<(String, String)>,
    /// Whether the stream was asked for usage that the client did not ask for.
    pub usage_asked: bool,
    /// Room that was reserved for the attempt that answered. Whoever drives the frames settles it.
    pub hold: Option<Box<dyn Reservation>>,
    /// The answer. Dropping it cancels the upstream exchange.
    pub frames: BoxStream<'static, Result<Frame, CallError>>,
}

impl fmt::Debug for ModelReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelReply")
            .field("dialect", &self.dialect)
            .field("streaming", &self.streaming)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// The receipt of a call's way: what could have answered, what was tried, what did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Route {
    /// The model as the client asked for it.
    pub requested: String,
    /// The alias that the name was, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What put the targets in order: a strategy's name, and why where there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The targets that were left out, and why, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Excluded>,
    /// The targets tried before, with what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Attempt>,
    /// The target that answered, `upstream/model`; empty where none did.
    pub target: String,
    /// What the target's dialect could not carry, `path: reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Whether the answer came from the cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
}

/// One target that was not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// `upstream/model`.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// One target that was tried and did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// `upstream/model`.
    pub target: String,
    /// Why it failed.
    pub code: Code,
    /// The upstream's HTTP status, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// Whether the upstream may charge for it all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe_billed: bool,
}
