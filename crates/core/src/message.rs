//! The one conversation model that every dialect is read into and written from.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::DialectId;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator (`system`).
    System,
    /// The operator, in the later `OpenAI` word (`developer`).
    Developer,
    /// The person, or what a client sends in the person's name. Tool results are parts of it.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The participant's name, where the dialect has one.
    pub name: Option<String>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::text(text)], name: None }
    }
}

/// One piece of a message.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is.
    pub body: Body,
    /// Anthropic's `cache_control` mark, as it was written.
    pub cache_control: Option<Box<RawValue>>,
}

impl Part {
    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Body::Text(text.into()).into()
    }
}

impl From<Body> for Part {
    fn from(body: Body) -> Self {
        Self { body, cache_control: None }
    }
}

/// What a piece of a message is.
#[derive(Debug, Clone)]
pub enum Body {
    /// Text.
    Text(String),
    /// Image, sound or file.
    Media(Media),
    /// A call that the model made.
    ToolUse(ToolUse),
    /// What a tool gave back.
    ToolResult(ToolResult),
    /// What the model thought.
    Reasoning(Reasoning),
    /// A refusal that the model worded itself (`OpenAI` `refusal`).
    Refusal(String),
    /// A piece that only its own dialect knows; kept for it, reported to another.
    Opaque {
        /// Whose piece it is.
        dialect: DialectId,
        /// The piece as it was written.
        raw: Box<RawValue>,
    },
}

/// What kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A document.
    File,
}

/// Image, sound or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What kind.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: MediaSource,
    /// The file's name.
    pub name: Option<String>,
    /// `OpenAI`'s `detail` for images.
    pub detail: Option<String>,
}

/// Where media bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// At this address; Doorward does not fetch it.
    Url(String),
    /// Here, in base64.
    Base64 {
        /// The media type (RFC 6838), `image/png` for instance.
        media_type: String,
        /// Base64 text (RFC 4648 §4).
        data: String,
    },
    /// At the provider, by its file id.
    FileId(String),
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolUse {
    /// The call's id within the conversation.
    pub id: String,
    /// The tool, as the client declared it.
    pub name: String,
    /// The arguments' JSON text, byte for byte as the model wrote it.
    pub arguments: String,
    /// Whether it calls a free-form tool ([`ToolDef::custom`](crate::ToolDef::custom)).
    pub custom: bool,
    /// State that the issuer wants back with the call (Gemini `thoughtSignature`).
    pub state: Option<IssuerState>,
}

/// What a tool gave back.
#[derive(Debug, Clone)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub id: String,
    /// The tool's name, where the dialect repeats it.
    pub name: Option<String>,
    /// What came back.
    pub content: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

impl ToolResult {
    /// The text pieces, joined.
    pub fn text(&self) -> String {
        let mut joined = String::new();
        for part in &self.content {
            if let Body::Text(text) = &part.body {
                joined.push_str(text);
            }
        }
        joined
    }
}

/// State that means something to its issuer only: a signature, an encrypted thought. It is kept
/// for the issuer and never shown to another.
///
/// A client of another dialect carries it under a tag, so that it finds its way back:
///
/// ```
/// use doorward_core::{DialectId, IssuerState};
/// let state = IssuerState { issuer: DialectId::GEMINI, data: "c2ln".into() };
/// let carried = state.carried_by(DialectId::ANTHROPIC_MESSAGES);
/// assert_eq!(carried, "doorward.gemini.c2ln");
/// assert_eq!(IssuerState::read(&carried, DialectId::ANTHROPIC_MESSAGES), state);
/// // Its own clients see it as it is.
/// assert_eq!(state.carried_by(DialectId::GEMINI), "c2ln");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerState {
    /// Who issued it.
    pub issuer: DialectId,
    /// What they issued.
    pub data: String,
}

impl IssuerState {
    /// The text that a client of `dialect` carries.
    pub fn carried_by(&self, dialect: DialectId) -> Cow<'_, str> {
        if self.issuer == dialect {
            Cow::Borrowed(&self.data)
        } else {
            Cow::Owned(format!("{TAG}{}.{}", self.issuer.as_str(), self.data))
        }
    }

    /// What a client of `dialect` carried. A tag that nobody knows is of no issuer that could
    /// ever be asked.
    pub fn read(text: &str, dialect: DialectId) -> Self {
        let Some(tagged) = text.strip_prefix(TAG) else {
            return Self { issuer: dialect, data: text.to_owned() };
        };
        let (name, data) = tagged.split_once('.').unwrap_or(("", tagged));
        let issuer = DialectId::named(name).unwrap_or(DialectId::new("unknown"));
        Self { issuer, data: data.to_owned() }
    }
}

/// Before state that another dialect's client carries.
const TAG: &str = "doorward.";

/// What the model thought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// The thought, if shown.
    pub text: String,
    /// The issuer's state that belongs to it (Anthropic `signature`, Gemini `thoughtSignature`,
    /// Responses `encrypted_content` beside a summary).
    pub signature: Option<String>,
    /// Thought that only its issuer can read (Anthropic `redacted_thinking.data`, Responses
    /// `encrypted_content` without a summary).
    pub redacted: Option<String>,
    /// Who issued signature or redaction; state is for its issuer only.
    pub issuer: Option<DialectId>,
}
