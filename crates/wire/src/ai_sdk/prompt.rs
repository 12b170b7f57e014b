//! A client's prompt into the common form.

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use super::options::{self, Found};
use crate::ReadError;
use crate::json::{Source, Text, data_url};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow, rename = "providerOptions")]
    options: Option<&'a RawValue>,
}

/// A part of any type; which fields it has follows from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<&'a RawValue>,
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    tool_name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    provider_executed: Option<bool>,
    #[serde(borrow)]
    output: Option<OutputIn<'a>>,
    #[serde(borrow)]
    provider_options: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

pub(super) fn read<'a>(
    source: Source<'a>,
    prompt: &'a RawValue,
) -> Result<Vec<Message>, ReadError> {
    let list = source.read::<Vec<&'a RawValue>>(prompt)?;
    list.into_iter().map(|item| message(source, item)).collect()
}

fn message<'a>(source: Source<'a>, item: &'a RawValue) -> Result<Message, ReadError> {
    let message = source.read::<MessageIn<'a>>(item)?;
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" | "tool" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            return Err(
                source.wrong(item, "expected the role `system`, `user`, `assistant` or `tool`")
            );
        }
    };
    let mut parts = if message.content.get().starts_with('"') {
        vec![Part::text(source.read::<Text<'a>>(message.content)?.into_string())]
    } else {
        let list = source.read::<Vec<&'a RawValue>>(message.content)?;
        list.into_iter().map(|item| part(source, item, role)).collect::<Result<_, _>>()?
    };
    if let (Some(mark), Some(last)) =
        (options::read(message.options).cache_control(), parts.last_mut())
    {
        last.cache_control.get_or_insert(source.keep(mark)?);
    }
    Ok(Message { role, parts, name: None })
}

fn part<'a>(source: Source<'a>, item: &'a RawValue, role: Role) -> Result<Part, ReadError> {
    let part = source.read::<PartIn<'a>>(item)?;
    let given = options::read(part.provider_options);
    let mark = given.cache_control();
    let missing = |field: &str| source.wrong(item, format!("missing field `{field}`"));
    let needed = |field: &str, text: Option<Text<'a>>| {
        text.map(Text::into_string).ok_or_else(|| missing(field))
    };
    let body = match part.kind.as_str() {
        "text" => Body::Text(needed("text", part.text)?),
        "file" => {
            let data = part.data.ok_or_else(|| missing("data"))?;
            let media_type = needed("mediaType", part.media_type)?;
            let name = part.filename.map(Text::into_string);
            match file(source, data, &media_type, name)? {
                Some(body) => body,
                None => return source.opaque(ID, item),
            }
        }
        "reasoning" => {
            let text = needed("text", part.text)?;
            let found = given.state();
            let issuer = found.as_ref().map(|found| found.state.issuer);
            let (signature, redacted) = match found {
                Some(Found { state, sealed: true }) => (None, Some(state.data)),
                Some(Found { state, sealed: false }) => (Some(state.data), None),
                None => (None, None),
            };
            Body::Reasoning(Reasoning { text, signature, redacted, issuer })
        }
        "tool-call" if part.provider_executed != Some(true) => {
            let input = part.input.ok_or_else(|| missing("input"))?;
            Body::ToolUse(ToolUse {
                id: needed("toolCallId", part.tool_call_id)?,
                name: needed("toolName", part.tool_name)?,
                arguments: arguments(source, input)?,
                custom: false,
                state: given.state().map(|found| found.state),
            })
        }
        "tool-result" if role == Role::User => {
            let output = part.output.ok_or_else(|| missing("output"))?;
            let id = needed("toolCallId", part.tool_call_id)?;
            let name = part.tool_name.map(Text::into_string);
            let (content, is_error) = output_parts(source, item, output)?;
            Body::ToolResult(ToolResult { id, name, content, is_error })
        }
        // Approvals, tools that the provider ran, and whatever comes after this was written.
        _ => return source.opaque(ID, item),
    };
    Ok(Part { body, cache_control: source.keep_any(mark)? })
}

/// Arguments: the object as it is written, or the text in a string.
fn arguments<'a>(source: Source<'a>, input: &'a RawValue) -> Result<String, ReadError> {
    if input.get().starts_with('"') {
        return Ok(source.read::<Text<'a>>(input)?.into_string());
    }
    Ok(String::from(Box::<str>::from(source.keep(input)?)))
}

fn output_parts<'a>(
    source: Source<'a>,
    item: &'a RawValue,
    output: OutputIn<'a>,
) -> Result<(Vec<Part>, bool), ReadError> {
    let value = || output.value.ok_or_else(|| source.wrong(item, "missing field `output.value`"));
    let kind = output.kind.as_str();
    let is_error = matches!(kind, "error-text" | "error-json" | "execution-denied");
    let content = match kind {
        "text" | "error-text" => {
            vec![Part::text(source.read::<Text<'a>>(value()?)?.into_string())]
        }
        "json" | "error-json" => vec![Part::text(value()?.get())],
        "execution-denied" => {
            let reason = output.reason.map(Text::into_string);
            vec![Part::text(reason.unwrap_or_else(|| "Tool execution denied.".to_owned()))]
        }
        "content" => {
            let list = source.read::<Vec<&'a RawValue>>(value()?)?;
            list.into_iter().map(|item| output_part(source, item)).collect::<Result<_, _>>()?
        }
        _ => return Err(source.wrong(item, "unknown type of tool output")),
    };
    Ok((content, is_error))
}

/// One piece of a result: `file` in version 4, one type for each source before.
fn output_part<'a>(source: Source<'a>, item: &'a RawValue) -> Result<Part, ReadError> {
    let part = source.read::<PartIn<'a>>(item)?;
    let missing = |field: &str| source.wrong(item, format!("missing field `{field}`"));
    let media_type = part.media_type.map(Text::into_string);
    let name = part.filename.map(Text::into_string);
    let kind = part.kind.as_str();
    let is_image = kind.starts_with("image-");
    let usual = || if is_image { "image/*" } else { "application/octet-stream" }.to_owned();
    let body = match kind {
        "text" => {
            let text = part.text.ok_or_else(|| missing("text"))?;
            Some(Body::Text(text.into_string()))
        }
        "file" | "file-data" | "image-data" | "media" => {
            let data = part.data.ok_or_else(|| missing("data"))?;
            file(source, data, &media_type.unwrap_or_else(usual), name)?
        }
        "file-url" | "image-url" => {
            let url = part.url.ok_or_else(|| missing("url"))?.into_string();
            let kind = kind_of(&media_type.unwrap_or_else(usual));
            let source = MediaSource::Url(url);
            Some(Body::Media(Media { kind, source, name, detail: None }))
        }
        "file-id" | "image-file-id" => {
            let id = part.file_id.ok_or_else(|| missing("fileId"))?;
            one_id(source, id).map(|id| {
                let kind = kind_of(&usual());
                Body::Media(Media { kind, source: MediaSource::FileId(id), name, detail: None })
            })
        }
        _ => None,
    };
    match body {
        Some(body) => Ok(body.into()),
        None => source.opaque(ID, item),
    }
}

#[derive(Deserialize)]
struct DataIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    reference: Option<&'a RawValue>,
}

/// Reads a file's data: tagged in version 4, one string before. `None` where only its own dialect
/// knows it.
fn file<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    media_type: &str,
    name: Option<String>,
) -> Result<Option<Body>, ReadError> {
    let kind = kind_of(media_type);
    let media = |source| Some(Body::Media(Media { kind, source, name, detail: None }));
    if value.get().starts_with('"') {
        let data = source.read::<Text<'a>>(value)?;
        return Ok(media(place(data.as_str(), media_type)));
    }
    let given = source.read::<DataIn<'a>>(value)?;
    let missing = |field: &str| source.wrong(value, format!("missing field `{field}`"));
    Ok(match given.kind.as_str() {
        "data" => {
            let data = given.data.ok_or_else(|| missing("data"))?.into_string();
            media(MediaSource::Base64 { media_type: sniffed(media_type, &data), data })
        }
        "url" => {
            let url = given.url.ok_or_else(|| missing("url"))?;
            media(place(url.as_str(), media_type))
        }
        "text" => Some(Body::Text(given.text.ok_or_else(|| missing("text"))?.into_string())),
        "reference" => {
            let reference = given.reference.ok_or_else(|| missing("reference"))?;
            one_id(source, reference).and_then(|id| media(MediaSource::FileId(id)))
        }
        _ => None,
    })
}

/// The id, where only one provider knows the file.
fn one_id<'a>(source: Source<'a>, value: &'a RawValue) -> Option<String> {
    if value.get().starts_with('"') {
        return source.read::<Text<'a>>(value).ok().map(Text::into_string);
    }
    let members = source.members_of(value).ok()?;
    let mut ids = members.iter();
    let id = ids.next().filter(|_| ids.len() == 0)?;
    source.read::<Text<'a>>(id.value).ok().map(Text::into_string)
}

/// Where the bytes are, of a text that is an address or base64 itself.
fn place(text: &str, media_type: &str) -> MediaSource {
    if let Some((given, data)) = data_url(text) {
        let media_type = if given.is_empty() { media_type } else { given };
        let data = data.to_owned();
        return MediaSource::Base64 { media_type: sniffed(media_type, &data), data };
    }
    if text.contains("://") {
        return MediaSource::Url(text.to_owned());
    }
    MediaSource::Base64 { media_type: sniffed(media_type, text), data: text.to_owned() }
}

fn kind_of(media_type: &str) -> MediaKind {
    match media_type.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        _ => MediaKind::File,
    }
}

/// The media type where only `image` is said: by the first bytes.
fn sniffed(media_type: &str, data: &str) -> String {
    if !matches!(media_type, "image" | "image/*") {
        return media_type.to_owned();
    }
    let known = [("iVBORw", "image/png"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp")];
    let found = known.iter().find(|(head, _)| data.starts_with(head));
    found.map_or("image/jpeg", |(_, kind)| kind).to_owned()
}
