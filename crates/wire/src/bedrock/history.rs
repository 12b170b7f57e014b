//! A client's messages into the common form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Body, IssuerState, Message, Part, Reasoning, Role, ToolResult, ToolUse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ID, media};
use crate::ReadError;
use crate::json::{Members, Source, Text, raw};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
}

/// Takes system text and messages.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Vec<Message>, ReadError> {
    let mut messages = Vec::new();
    let system = members.read::<Vec<&'a RawValue>>("system")?.unwrap_or_default();
    let system = read_blocks(source, system, Within::Message)?;
    if !system.is_empty() {
        messages.push(Message { role: Role::System, parts: system, name: None });
    }
    let value = members.need("messages", "an array of messages")?;
    for (at, message) in source.read::<Vec<MessageIn<'a>>>(value)?.into_iter().enumerate() {
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                let path = format!("messages[{at}].role");
                return Err(ReadError::field(path, "expected `user` or `assistant`"));
            }
        };
        let parts = read_blocks(source, message.content, Within::Message)?;
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

/// A block has one of these members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    #[serde(borrow)]
    image: Option<&'a RawValue>,
    #[serde(borrow)]
    document: Option<&'a RawValue>,
    #[serde(borrow)]
    video: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use: Option<UseIn<'a>>,
    #[serde(borrow)]
    tool_result: Option<ResultIn<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<ReasoningIn<'a>>,
    #[serde(borrow)]
    cache_point: Option<CachePoint<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UseIn<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    /// `server_tool_use` for a tool that Bedrock runs itself.
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultIn<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    /// The kind of a tool that Bedrock runs itself.
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningIn<'a> {
    #[serde(borrow)]
    reasoning_text: Option<ReasoningText<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct CachePoint<'a> {
    #[serde(borrow)]
    ttl: Option<Text<'a>>,
}

impl CachePoint<'_> {
    /// As the mark on what stands before it.
    pub(super) fn mark(&self) -> Box<RawValue> {
        match self.ttl.as_ref().map(Text::as_str) {
            Some("1h") => raw(r#"{"type":"ephemeral","ttl":"1h"}"#.to_owned()),
            _ => raw(r#"{"type":"ephemeral"}"#.to_owned()),
        }
    }
}

fn read_blocks<'a>(
    source: Source<'a>,
    values: Vec<&'a RawValue>,
    within: Within,
) -> Result<Vec<Part>, ReadError> {
    let mut parts: Vec<Part> = Vec::new();
    for value in values {
        let block = source.read::<BlockIn<'a>>(value)?;
        match (&block.cache_point, parts.last_mut()) {
            (Some(point), Some(last)) if last.cache_control.is_none() => {
                last.cache_control = Some(point.mark());
            }
            _ => parts.push(part(source, block, value, within)?),
        }
    }
    Ok(parts)
}

fn part<'a>(
    source: Source<'a>,
    block: BlockIn<'a>,
    value: &'a RawValue,
    within: Within,
) -> Result<Part, ReadError> {
    let BlockIn { text, json, image, document, video, audio, .. } = block;
    let media = [("image", image), ("document", document), ("video", video), ("audio", audio)]
        .into_iter()
        .find_map(|(name, media)| Some((name, media?)));
    let known = usize::from(text.is_some())
        + usize::from(media.is_some())
        + usize::from(block.tool_use.is_some())
        + usize::from(block.tool_result.is_some())
        + usize::from(block.reasoning_content.is_some());
    if known > 1 {
        return Err(source.wrong(value, "expected one member in a content block"));
    }
    let nested = within == Within::Result;
    Ok(match (text, json, media, block.tool_use, block.tool_result, block.reasoning_content) {
        (Some(text), ..) => Part::text(text.into_string()),
        (_, Some(json), ..) if nested => Part::text(source.keep(json)?.get()),
        (_, _, Some((name, media)), ..) => media::read(source, name, media, value)?,
        (.., Some(call), _, _) if call.kind.is_none() => Body::ToolUse(ToolUse {
            id: call.tool_use_id.into_string(),
            name: call.name.into_string(),
            arguments: match call.input {
                Some(input) => source.keep(input)?.get().to_owned(),
                None => String::new(),
            },
            ..ToolUse::default()
        })
        .into(),
        (.., Some(result), _) if !nested && result.kind.is_none() => Body::ToolResult(ToolResult {
            id: result.tool_use_id.into_string(),
            name: None,
            content: read_blocks(source, result.content, Within::Result)?,
            is_error: result.status.is_some_and(|status| status.as_str() == "error"),
        })
        .into(),
        (.., Some(thought)) => match read_thought(thought) {
            Some(thought) => Body::Reasoning(thought).into(),
            None => source.opaque(ID, value)?,
        },
        _ => source.opaque(ID, value)?,
    })
}

fn read_thought(thought: ReasoningIn<'_>) -> Option<Reasoning> {
    if let Some(blob) = thought.redacted_content {
        let IssuerState { issuer, data } = uncover(blob.as_str());
        let redacted = Some(data);
        return Some(Reasoning { redacted, issuer: Some(issuer), ..Reasoning::default() });
    }
    let ReasoningText { text, signature } = thought.reasoning_text?;
    let state = signature
        .filter(|signature| !signature.as_str().is_empty())
        .map(|signature| IssuerState::read(signature.as_str(), ID));
    let (issuer, signature) = state.map(|state| (state.issuer, state.data)).unzip();
    Some(Reasoning { text: text.into_string(), signature, redacted: None, issuer })
}

/// Redacted thought is a blob here, so what another issued is tagged within the base64.
pub(super) fn cover(state: &IssuerState) -> String {
    if state.issuer == ID {
        return state.data.clone();
    }
    STANDARD.encode(state.carried_by(ID).as_bytes())
}

/// The state that [`cover`] wrote, or the service's own blob as it stands.
fn uncover(blob: &str) -> IssuerState {
    let own = || IssuerState { issuer: ID, data: blob.to_owned() };
    let text = STANDARD.decode(blob).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(|text| IssuerState::read(&text, ID))
        .filter(|state| state.issuer != ID)
        .unwrap_or_else(own)
}
