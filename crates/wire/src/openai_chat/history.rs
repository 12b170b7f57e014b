//! A client's messages into the common form.

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ID, state};
use crate::json::{Content, Members, Source, Text, Way, data_url, raw};
use crate::{ReadError, custom};

/// A message whose content is made of `P`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub(super) struct MessageIn<'a, P> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a, P>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallIn<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_details: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Option<CalledIn<'a>>,
    #[serde(borrow)]
    custom: Option<CustomCalledIn<'a>>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CalledIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CustomCalledIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Text<'a>,
}

/// A message read straight from the text.
pub(super) type QuickMessage<'a> = MessageIn<'a, PieceIn<'a>>;

/// Takes the messages. `quick` are they where they were read in passing.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    quick: Option<Vec<QuickMessage<'a>>>,
) -> Result<Vec<Message>, ReadError> {
    if let Some(quick) = quick {
        let piece = |piece| part(source, piece, Way::Quick);
        let read = |(at, message)| read_message(source, at, message, piece);
        return quick.into_iter().enumerate().map(read).collect();
    }
    let value = members.need("messages", "an array of messages")?;
    let list = source.read::<Vec<MessageIn<'a, &'a RawValue>>>(value)?;
    let piece = |value| read_piece(source, value);
    let read = |(at, message)| read_message(source, at, message, piece);
    list.into_iter().enumerate().map(read).collect()
}

fn read_message<'a, P>(
    source: Source<'a>,
    at: usize,
    message: MessageIn<'a, P>,
    piece: impl FnMut(P) -> Result<Part, ReadError>,
) -> Result<Message, ReadError> {
    let wrong = |field: &str, problem: &'static str| {
        ReadError::field(format!("messages[{at}].{field}"), problem)
    };
    let role = match message.role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => return read_assistant(source, at, message, piece),
        "tool" => {
            let id = message.tool_call_id.ok_or_else(|| wrong("tool_call_id", "missing"))?;
            let result = ToolResult {
                id: id.into_string(),
                name: message.name.map(Text::into_string),
                content: message.content.parts(piece)?,
                is_error: false,
            };
            let mut part = Part::from(Body::ToolResult(result));
            part.cache_control = source.keep_any(message.cache_control)?;
            return Ok(Message { role: Role::User, parts: vec![part], name: None });
        }
        _ => {
            let expected = "expected `system`, `developer`, `user`, `assistant` or `tool`";
            return Err(wrong("role", expected));
        }
    };
    let mut parts = message.content.parts(piece)?;
    if let (Some(mark), Some(last)) = (message.cache_control, parts.last_mut()) {
        last.cache_control.get_or_insert_with(|| mark.to_owned());
    }
    Ok(Message { role, parts, name: message.name.map(Text::into_string) })
}

fn read_assistant<'a, P>(
    source: Source<'a>,
    at: usize,
    message: MessageIn<'a, P>,
    piece: impl FnMut(P) -> Result<Part, ReadError>,
) -> Result<Message, ReadError> {
    if message.function_call.is_some() {
        let path = format!("messages[{at}].function_call");
        return Err(ReadError::field(path, "no longer supported, use `tool_calls`"));
    }
    let mut parts = Vec::new();
    match message.reasoning_details {
        Some(thoughts) if !thoughts.is_empty() => parts.extend(state::thoughts(&thoughts)),
        _ => {
            let shown = message.reasoning_content.or(message.reasoning).map(Text::into_string);
            if let Some(text) = shown.filter(|text| !text.is_empty()) {
                let thought = Reasoning { text, issuer: Some(ID), ..Reasoning::default() };
                parts.push(Body::Reasoning(thought).into());
            }
        }
    }
    parts.extend(message.content.parts(piece)?);
    if let Some(refusal) = message.refusal {
        parts.push(Body::Refusal(refusal.into_string()).into());
    }
    if let Some(audio) = message.audio {
        let audio = raw(format!(r#"{{"audio":{}}}"#, source.keep(audio)?.get()));
        parts.push(Body::Opaque { dialect: ID, raw: audio }.into());
    }
    for (nth, call) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
        let custom = call.function.is_none();
        let (name, arguments) = match (call.function, call.custom) {
            (Some(called), _) => (called.name, called.arguments.unwrap_or_default().into_string()),
            (None, Some(called)) => (called.name, custom::wrapped(called.input.as_str())),
            (None, None) => {
                let path = format!("messages[{at}].tool_calls[{nth}].function");
                return Err(ReadError::field(path, "missing"));
            }
        };
        let (id, name) = (call.id.into_string(), name.into_string());
        let state = state::on_call(call.extra_content);
        parts.push(Body::ToolUse(ToolUse { id, name, arguments, custom, state }).into());
    }
    Ok(Message { role: Role::Assistant, parts, name: message.name.map(Text::into_string) })
}

#[derive(Deserialize)]
pub(super) struct PieceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<ImageIn<'a>>,
    #[serde(borrow)]
    input_audio: Option<AudioIn<'a>>,
    #[serde(borrow)]
    file: Option<FileIn<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ImageIn<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct AudioIn<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct FileIn<'a> {
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

fn is_known(kind: &str) -> bool {
    matches!(kind, "text" | "refusal" | "image_url" | "input_audio" | "file")
}

fn read_piece<'a>(source: Source<'a>, value: &'a RawValue) -> Result<Part, ReadError> {
    match source.read::<PieceIn<'a>>(value) {
        Ok(piece) => part(source, piece, Way::Careful(value)),
        // A part that is not known may have fields of the same names and other kinds.
        Err(error) if is_known(source.read::<Kind<'a>>(value)?.kind.as_str()) => Err(error),
        Err(_) => source.opaque(ID, value),
    }
}

fn part<'a>(source: Source<'a>, piece: PieceIn<'a>, way: Way<'a>) -> Result<Part, ReadError> {
    let missing = |field: &str| way.wrong(source, format!("missing field `{field}`"));
    let body = match piece.kind.as_str() {
        "text" => Body::Text(piece.text.ok_or_else(|| missing("text"))?.into_string()),
        "refusal" => Body::Refusal(piece.refusal.ok_or_else(|| missing("refusal"))?.into_string()),
        "image_url" => Body::Media(image(piece.image_url.ok_or_else(|| missing("image_url"))?)),
        "input_audio" => {
            let audio = piece.input_audio.ok_or_else(|| missing("input_audio"))?;
            let media_type = format!("audio/{}", audio.format.as_str());
            let source = MediaSource::Base64 { media_type, data: audio.data.into_string() };
            Body::Media(Media { kind: MediaKind::Audio, source, name: None, detail: None })
        }
        "file" => match file(piece.file.ok_or_else(|| missing("file"))?) {
            Some(media) => Body::Media(media),
            None => return source.opaque(ID, way.piece()?),
        },
        _ => return source.opaque(ID, way.piece()?),
    };
    Ok(Part { body, cache_control: source.keep_any(piece.cache_control)? })
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

fn file(file: FileIn<'_>) -> Option<Media> {
    let source = match (file.file_id, file.file_data) {
        (Some(id), _) => MediaSource::FileId(id.into_string()),
        (None, Some(data)) => match data_url(data.as_str()) {
            Some((media_type, data)) => {
                MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
            }
            None if data.as_str().starts_with("https://") => MediaSource::Url(data.into_string()),
            None => return None,
        },
        (None, None) => return None,
    };
    let name = file.filename.map(Text::into_string);
    Some(Media { kind: MediaKind::File, source, name, detail: None })
}
