//! A client's messages into the common form.

use doorward_core::{
    Body, DialectId, IssuerState, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role,
    ToolResult, ToolUse,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::json::{Content, Members, Source, Text, Way};

/// A message whose content is made of `P`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub(super) struct MessageIn<'a, P> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a, P>,
}

/// A message read straight from the text.
pub(super) type QuickMessage<'a> = MessageIn<'a, QuickBlock<'a>>;

/// A block read straight from the text, with all that is in it.
pub(super) struct QuickBlock<'a>(BlockIn<'a, QuickBlock<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for QuickBlock<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BlockIn::deserialize(deserializer).map(Self)
    }
}

/// Takes system text and messages. `quick` are the messages where they were read in passing.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    quick: Option<Vec<QuickMessage<'a>>>,
) -> Result<Vec<Message>, ReadError> {
    let mut messages = Vec::new();
    let system = members.read::<Content<'a, &'a RawValue>>("system")?.unwrap_or_default();
    let system = system.parts(|value| read_block(source, value, Within::Message))?;
    if !system.is_empty() {
        messages.push(Message { role: Role::System, parts: system, name: None });
    }
    if let Some(quick) = quick {
        for (at, message) in quick.into_iter().enumerate() {
            let role = read_role(at, message.role.as_str())?;
            let parts =
                message.content.parts(|block| quick_block(source, block, Within::Message))?;
            let parts = with_state(parts);
            messages.push(Message { role, parts, name: None });
        }
        return Ok(messages);
    }
    let value = members.need("messages", "an array of messages")?;
    let list = source.read::<Vec<MessageIn<'a, &'a RawValue>>>(value)?;
    for (at, message) in list.into_iter().enumerate() {
        let role = read_role(at, message.role.as_str())?;
        let parts = message.content.parts(|value| read_block(source, value, Within::Message))?;
        let parts = with_state(parts);
        messages.push(Message { role, parts, name: None });
    }
    Ok(messages)
}

/// Puts Gemini's state of a call back on it: it was carried by an empty thought before the call.
fn with_state(mut parts: Vec<Part>) -> Vec<Part> {
    let carries = |part: &Part| {
        matches!(&part.body, Body::Reasoning(Reasoning {
            text, signature: Some(_), issuer: Some(DialectId::GEMINI), ..
        }) if text.is_empty())
    };
    let mut at = 0;
    while at + 1 < parts.len() {
        if carries(&parts[at]) && matches!(parts[at + 1].body, Body::ToolUse(_)) {
            let thought = parts.remove(at);
            if let (Body::Reasoning(thought), Body::ToolUse(call)) =
                (thought.body, &mut parts[at].body)
            {
                let issuer = DialectId::GEMINI;
                call.state = thought.signature.map(|data| IssuerState { issuer, data });
            }
        }
        at += 1;
    }
    parts
}

fn read_role(at: usize, role: &str) -> Result<Role, ReadError> {
    match role {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => {
            let path = format!("messages[{at}].role");
            Err(ReadError::field(path, "expected `user` or `assistant`"))
        }
    }
}

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Message,
    /// Results hold no results: the nesting ends here.
    Result,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

fn is_known(kind: &str) -> bool {
    matches!(
        kind,
        "text"
            | "image"
            | "document"
            | "tool_use"
            | "tool_result"
            | "thinking"
            | "redacted_thinking"
    )
}

/// A block; `P` is what a tool result's content is made of.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
struct BlockIn<'a, P> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    /// An object in media; other blocks have other things of that name.
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Content<'a, P>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

fn quick_block<'a>(
    source: Source<'a>,
    QuickBlock(block): QuickBlock<'a>,
    within: Within,
) -> Result<Part, ReadError> {
    let nested = |block| quick_block(source, block, Within::Result);
    part(source, block, Way::Quick, within, nested)
}

fn read_block<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    within: Within,
) -> Result<Part, ReadError> {
    let block = match source.read::<BlockIn<'a, &'a RawValue>>(value) {
        Ok(block) => block,
        // A block that is not known may have fields of the same names and other kinds.
        Err(error) if is_known(source.read::<Kind<'a>>(value)?.kind.as_str()) => return Err(error),
        Err(_) => return source.opaque(ID, value),
    };
    let nested = |value| read_block(source, value, Within::Result);
    part(source, block, Way::Careful(value), within, nested)
}

/// A block as a part; `nested` reads one piece of a tool result.
fn part<'a, P>(
    source: Source<'a>,
    block: BlockIn<'a, P>,
    way: Way<'a>,
    within: Within,
    nested: impl FnMut(P) -> Result<Part, ReadError>,
) -> Result<Part, ReadError> {
    let missing = |field: &str| way.wrong(source, format!("missing field `{field}`"));
    let needed = |field: &str, text: Option<Text<'a>>| {
        text.map(Text::into_string).ok_or_else(|| missing(field))
    };
    let body = match block.kind.as_str() {
        "text" => Body::Text(needed("text", block.text)?),
        "image" | "document" => {
            let origin = block.source.ok_or_else(|| missing("source"))?;
            match read_media(source, block.kind.as_str(), origin, block.title)? {
                Some(body) => body,
                None => return source.opaque(ID, way.piece()?),
            }
        }
        "tool_use" => Body::ToolUse(ToolUse {
            id: needed("id", block.id)?,
            name: needed("name", block.name)?,
            arguments: arguments(source, block.input.ok_or_else(|| missing("input"))?)?,
            ..ToolUse::default()
        }),
        "tool_result" if within == Within::Message => {
            let content = block.content.unwrap_or_default().parts(nested)?;
            let is_error = block.is_error.unwrap_or(false);
            let id = needed("tool_use_id", block.tool_use_id)?;
            Body::ToolResult(ToolResult { id, name: None, content, is_error })
        }
        "thinking" => {
            // A thought without a signature was not issued by Anthropic.
            let signature = block.signature.filter(|signature| !signature.as_str().is_empty());
            let state = signature.map(|signature| IssuerState::read(signature.as_str(), ID));
            let (issuer, signature) = state.map(|state| (state.issuer, state.data)).unzip();
            let text = needed("thinking", block.thinking)?;
            Body::Reasoning(Reasoning { text, signature, redacted: None, issuer })
        }
        "redacted_thinking" => {
            let state = IssuerState::read(&needed("data", block.data)?, ID);
            let (redacted, issuer) = (Some(state.data), Some(state.issuer));
            Body::Reasoning(Reasoning { redacted, issuer, ..Reasoning::default() })
        }
        _ => return source.opaque(ID, way.piece()?),
    };
    Ok(Part { body, cache_control: source.keep_any(block.cache_control)? })
}

/// The text of a call's input, byte for byte.
fn arguments<'a>(source: Source<'a>, input: &'a RawValue) -> Result<String, ReadError> {
    Ok(String::from(Box::<str>::from(source.keep(input)?)))
}

#[derive(Deserialize)]
struct SourceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
}

/// Reads an image or document; `None` where only this dialect knows its kind of source.
fn read_media<'a>(
    source: Source<'a>,
    block: &str,
    value: &'a RawValue,
    title: Option<Text<'a>>,
) -> Result<Option<Body>, ReadError> {
    let origin = source.read::<SourceIn<'a>>(value)?;
    let needed = |field: &str, text: Option<Text<'a>>| {
        let missing = || source.wrong(value, format!("missing field `{field}`"));
        text.map(Text::into_string).ok_or_else(missing)
    };
    let media = match origin.kind.as_str() {
        "base64" => MediaSource::Base64 {
            media_type: needed("media_type", origin.media_type)?,
            data: needed("data", origin.data)?,
        },
        "url" => MediaSource::Url(needed("url", origin.url)?),
        "file" => MediaSource::FileId(needed("file_id", origin.file_id)?),
        "text" => return Ok(Some(Body::Text(needed("data", origin.data)?))),
        _ => return Ok(None),
    };
    let kind = if block == "image" { MediaKind::Image } else { MediaKind::File };
    let name = title.map(Text::into_string);
    Ok(Some(Body::Media(Media { kind, source: media, name, detail: None })))
}
