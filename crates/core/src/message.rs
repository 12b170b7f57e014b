//! The one conversation model that every dialect is read into and written from.

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// The call's id within the conversation.
    pub id: String,
    /// The tool, as the client declared it.
    pub name: String,
    /// The arguments' JSON text, byte for byte as the model wrote it.
    pub arguments: String,
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

/// What the model thought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// The thought, if shown.
    pub text: String,
    /// The issuer's signature over it (Anthropic `signature`).
    pub signature: Option<String>,
    /// Thought that only its issuer can read (Anthropic `redacted_thinking.data`).
    pub redacted: Option<String>,
    /// Who issued signature or redaction; state is for its issuer only.
    pub issuer: Option<DialectId>,
}
