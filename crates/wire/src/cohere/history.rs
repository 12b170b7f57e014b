//! A client's messages into the common form.

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::json::{Content, Members, Source, Text, data_url};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a, &'a RawValue>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallIn<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: FunctionIn<'a>,
}

#[derive(Deserialize)]
struct FunctionIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// Takes the messages.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Vec<Message>, ReadError> {
    let value = members.need("messages", "an array of messages")?;
    let list = source.read::<Vec<MessageIn<'a>>>(value)?.into_iter().enumerate();
    list.map(|(at, message)| read_message(source, at, message)).collect()
}

fn read_message<'a>(
    source: Source<'a>,
    at: usize,
    message: MessageIn<'a>,
) -> Result<Message, ReadError> {
    let wrong = |field: &str, problem: &'static str| {
        ReadError::field(format!("messages[{at}].{field}"), problem)
    };
    let content = message.content.parts(|value| read_piece(source, value))?;
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => {
            let id = message.tool_call_id.ok_or_else(|| wrong("tool_call_id", "missing"))?;
            let id = id.into_string();
            let result = ToolResult { id, name: None, content, is_error: false };
            let parts = vec![Body::ToolResult(result).into()];
            return Ok(Message { role: Role::User, parts, name: None });
        }
        _ => {
            let expected = "expected `system`, `user`, `assistant` or `tool`";
            return Err(wrong("role", expected));
        }
    };
    let mut parts = Vec::new();
    if let Some(plan) = message.tool_plan.filter(|plan| !plan.as_str().is_empty()) {
        parts.push(thought(plan.into_string()));
    }
    parts.extend(content);
    for call in message.tool_calls.into_iter().flatten() {
        let (id, name) = (call.id.into_string(), call.function.name.into_string());
        let arguments = call.function.arguments.unwrap_or_default().into_string();
        parts.push(Body::ToolUse(ToolUse { id, name, arguments, ..ToolUse::default() }).into());
    }
    Ok(Message { role, parts, name: None })
}

fn thought(text: String) -> Part {
    Body::Reasoning(Reasoning { text, issuer: Some(ID), ..Reasoning::default() }).into()
}

#[derive(Deserialize)]
struct PieceIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<ImageIn<'a>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct ImageIn<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

fn read_piece<'a>(source: Source<'a>, value: &'a RawValue) -> Result<Part, ReadError> {
    let kind = source.read::<Kind<'a>>(value)?.kind;
    if !matches!(kind.as_str(), "text" | "thinking" | "image_url") {
        // A document, or a piece that came after this was written.
        return source.opaque(ID, value);
    }
    let missing = || source.wrong(value, format!("missing field `{}`", kind.as_str()));
    let piece = source.read::<PieceIn<'a>>(value)?;
    match kind.as_str() {
        "text" => Ok(Part::text(piece.text.ok_or_else(missing)?.into_string())),
        "thinking" => Ok(thought(piece.thinking.ok_or_else(missing)?.into_string())),
        _ => Ok(Body::Media(image(piece.image_url.ok_or_else(missing)?)).into()),
    }
}

fn image(image: ImageIn<'_>) -> Media {
    let source = match data_url(image.url.as_str()) {
        Some((media_type, data)) => {
            MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
        }
        None => MediaSource::Url(image.url.into_string()),
    };
    let detail = image.detail.map(Text::into_string);
    Media { kind: MediaKind::Image, source, name: None, detail }
}
