//! A client's messages into the common form.

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::json::{Content, Members, Source, Text};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a>,
}

pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Vec<Message>, ReadError> {
    let mut messages = Vec::new();
    let system = members.read("system")?.unwrap_or_default();
    let system = read_content(source, system, Within::Message)?;
    if !system.is_empty() {
        messages.push(Message { role: Role::System, parts: system, name: None });
    }
    let value = members.need("messages", "an array of messages")?;
    for (at, message) in source.read::<Vec<MessageIn<'a>>>(value)?.into_iter().enumerate() {
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => {
                let path = format!("messages[{at}].role");
                return Err(ReadError::field(path, "expected `user` or `assistant`"));
            }
        };
        let parts = read_content(source, message.content, Within::Message)?;
        messages.push(Message { role, parts, name: None });
    }
    Ok(messages)
}

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Message,
    /// Results hold no results: the nesting ends here.
    Result,
}

fn read_content<'a>(
    source: Source<'a>,
    content: Content<'a>,
    within: Within,
) -> Result<Vec<Part>, ReadError> {
    match content {
        Content::Nothing => Ok(Vec::new()),
        Content::Text(text) if text.is_empty() => Ok(Vec::new()),
        Content::Text(text) => Ok(vec![Part::text(text)]),
        Content::Pieces(pieces) => {
            pieces.into_iter().map(|value| read_block(source, value, within)).collect()
        }
    }
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

#[derive(Deserialize)]
struct BlockIn<'a> {
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
    content: Option<&'a RawValue>,
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

fn read_block<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    within: Within,
) -> Result<Part, ReadError> {
    let block = match source.read::<BlockIn<'a>>(value) {
        Ok(block) => block,
        // A block that is not known may have fields of the same names and other kinds.
        Err(error) if is_known(source.read::<Kind<'a>>(value)?.kind.as_str()) => return Err(error),
        Err(_) => return source.opaque(ID, value),
    };
    let missing = |field: &str| source.wrong(value, format!("missing field `{field}`"));
    let needed = |field: &str, text: Option<Text<'a>>| {
        text.map(Text::into_string).ok_or_else(|| missing(field))
    };
    let body = match block.kind.as_str() {
        "text" => Body::Text(needed("text", block.text)?),
        "image" | "document" => {
            let origin = block.source.ok_or_else(|| missing("source"))?;
            match read_media(source, block.kind.as_str(), origin, block.title)? {
                Some(body) => body,
                None => return source.opaque(ID, value),
            }
        }
        "tool_use" => Body::ToolUse(ToolUse {
            id: needed("id", block.id)?,
            name: needed("name", block.name)?,
            arguments: arguments(source, block.input.ok_or_else(|| missing("input"))?)?,
        }),
        "tool_result" if within == Within::Message => {
            let content = match block.content {
                Some(content) => read_content(source, source.read(content)?, Within::Result)?,
                None => Vec::new(),
            };
            let is_error = block.is_error.unwrap_or(false);
            let id = needed("tool_use_id", block.tool_use_id)?;
            Body::ToolResult(ToolResult { id, name: None, content, is_error })
        }
        "thinking" => {
            // A thought without a signature was not issued by Anthropic.
            let signature =
                block.signature.map(Text::into_string).filter(|signature| !signature.is_empty());
            let issuer = signature.as_ref().map(|_| ID);
            let text = needed("thinking", block.thinking)?;
            Body::Reasoning(Reasoning { text, signature, redacted: None, issuer })
        }
        "redacted_thinking" => {
            let redacted = Some(needed("data", block.data)?);
            Body::Reasoning(Reasoning { redacted, issuer: Some(ID), ..Reasoning::default() })
        }
        _ => return source.opaque(ID, value),
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
