//! A client's contents into the common form.

use doorward_core::{Body, Media, Message, Part, Reasoning, Role, ToolResult, ToolUse};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::media::{self, BlobIn, FileIn};
use super::section::{Section, list};
use super::{ID, state};
use crate::ReadError;
use crate::json::{Source, Text, Way};

/// One side's words, read straight from the text.
#[derive(Deserialize)]
pub(super) struct QuickContent<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    parts: Option<Vec<PartIn<'a>>>,
}

/// One side's words, with its parts as they are written.
#[derive(Deserialize)]
struct ContentIn<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct PartIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    thought: Option<bool>,
    #[serde(borrow, rename = "thoughtSignature", alias = "thought_signature")]
    signature: Option<Text<'a>>,
    #[serde(borrow, rename = "inlineData", alias = "inline_data")]
    inline_data: Option<BlobIn<'a>>,
    #[serde(borrow, rename = "fileData", alias = "file_data")]
    file_data: Option<FileIn<'a>>,
    #[serde(borrow, rename = "functionCall", alias = "function_call")]
    function_call: Option<CalledIn<'a>>,
    #[serde(borrow, rename = "functionResponse", alias = "function_response")]
    function_response: Option<RespondedIn<'a>>,
    #[serde(borrow, rename = "mediaResolution", alias = "media_resolution")]
    media_resolution: Option<ResolutionIn<'a>>,
    #[serde(borrow, rename = "videoMetadata", alias = "video_metadata")]
    video_metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CalledIn<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RespondedIn<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    parts: Option<Vec<ResponsePartIn<'a>>>,
}

#[derive(Deserialize)]
struct ResponsePartIn<'a> {
    #[serde(borrow, rename = "inlineData", alias = "inline_data")]
    inline_data: Option<BlobIn<'a>>,
    #[serde(borrow, rename = "fileData", alias = "file_data")]
    file_data: Option<FileIn<'a>>,
}

#[derive(Deserialize)]
struct ResolutionIn<'a> {
    #[serde(borrow)]
    level: Option<Text<'a>>,
}

/// Takes system text and contents. `quick` are the contents where they were read in passing.
pub(super) fn read<'a>(
    top: &mut Section<'a>,
    quick: Option<Vec<QuickContent<'a>>>,
) -> Result<Vec<Message>, ReadError> {
    let source = top.source;
    let mut history = History { source, messages: Vec::new(), open: Vec::new(), calls: 0 };
    if let Some(value) = top.take("systemInstruction")? {
        history.system(value)?;
    }
    if let Some(contents) = quick {
        for (at, content) in contents.into_iter().enumerate() {
            let parts = content.parts.into_iter().flatten().map(|part| Ok((part, Way::Quick)));
            history.content(at, content.role, parts)?;
        }
        return Ok(history.messages);
    }
    let missing = || ReadError::field("contents", "missing, expected an array of contents");
    let value = top.take("contents")?.ok_or_else(missing)?;
    for (at, value) in list(source, value)?.into_iter().enumerate() {
        let content = source.read::<ContentIn<'a>>(value)?;
        let parts = careful(source, content.parts)?;
        history.content(at, content.role, parts)?;
    }
    Ok(history.messages)
}

/// A part, and how it was read.
type Resolved<'a> = Result<(PartIn<'a>, Way<'a>), ReadError>;

/// Parts with their text, so that those that are not known can be kept.
fn careful<'a>(
    source: Source<'a>,
    parts: Option<&'a RawValue>,
) -> Result<impl Iterator<Item = Resolved<'a>>, ReadError> {
    let parts = parts.map(|parts| list(source, parts)).transpose()?.unwrap_or_default();
    let read = move |value| Ok((source.read::<PartIn<'a>>(value)?, Way::Careful(value)));
    Ok(parts.into_iter().map(read))
}

/// A conversation being read.
struct History<'a> {
    source: Source<'a>,
    messages: Vec<Message>,
    /// Calls of the last turn of the model that have no result yet: name and id.
    open: Vec<(String, String)>,
    /// How many calls there were: those without an id are named by their number.
    calls: usize,
}

impl<'a> History<'a> {
    /// A content, or a lone string.
    fn system(&mut self, value: &'a RawValue) -> Result<(), ReadError> {
        if value.get().starts_with('"') {
            let text = self.source.read::<Text<'a>>(value)?.into_string();
            self.messages.push(Message::text(Role::System, text));
            return Ok(());
        }
        let content = self.source.read::<ContentIn<'a>>(value)?;
        let mut parts = Vec::new();
        for part in careful(self.source, content.parts)? {
            let (part, way) = part?;
            self.part(part, way, Role::System, &mut parts)?;
        }
        if !parts.is_empty() {
            self.messages.push(Message { role: Role::System, parts, name: None });
        }
        Ok(())
    }

    fn content(
        &mut self,
        at: usize,
        role: Option<Text<'a>>,
        resolved: impl Iterator<Item = Resolved<'a>>,
    ) -> Result<(), ReadError> {
        let role = role.unwrap_or_default();
        let role = match role.as_str().to_ascii_lowercase().as_str() {
            "" | "user" | "function" => Role::User,
            "model" => Role::Assistant,
            _ => {
                let path = format!("contents[{at}].role");
                return Err(ReadError::field(path, "expected `user`, `model` or `function`"));
            }
        };
        if role == Role::Assistant {
            self.open.clear();
        }
        let mut parts = Vec::new();
        for part in resolved {
            let (part, way) = part?;
            self.part(part, way, role, &mut parts)?;
        }
        self.messages.push(Message { role, parts, name: None });
        Ok(())
    }

    fn part(
        &mut self,
        part: PartIn<'a>,
        way: Way<'a>,
        role: Role,
        out: &mut Vec<Part>,
    ) -> Result<(), ReadError> {
        let kinds = [
            part.text.is_some(),
            part.inline_data.is_some(),
            part.file_data.is_some(),
            part.function_call.is_some(),
            part.function_response.is_some(),
        ];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            // Two readers could each see another part in it.
            return Err(way.wrong(self.source, "expected a part of one kind"));
        }
        let thought = part.thought.unwrap_or(false);
        let signature = part.signature.filter(|text| !text.as_str().is_empty());
        let signature = signature.filter(|_| role == Role::Assistant).map(Text::into_string);
        if let Some(text) = part.text {
            said(text.into_string(), thought, signature, out);
        } else if let Some(call) = part.function_call {
            let call = self.call(call, way, signature)?;
            out.push(Body::ToolUse(call).into());
        } else if let Some(response) = part.function_response {
            let result = self.result(response, way)?;
            out.push(Body::ToolResult(result).into());
        } else {
            let resolution = part.media_resolution.and_then(|it| it.level);
            let media = match (part.inline_data, part.file_data) {
                _ if thought || part.video_metadata.is_some() => None,
                (Some(blob), _) => Some(self.missing(media::inline(blob), way)?),
                (None, Some(file)) => self.missing(media::addressed(file), way)?,
                (None, None) => None,
            };
            let Some(mut media) = media else {
                out.push(self.source.opaque(ID, way.piece()?)?);
                return Ok(());
            };
            let detail = resolution.and_then(|level| media::detail_of(level.as_str()));
            media.detail = detail.map(str::to_owned);
            out.push(Body::Media(media).into());
            out.extend(signature.map(|text| sealed(String::new(), &text)));
        }
        Ok(())
    }

    fn missing<T>(&self, result: Result<T, &'static str>, way: Way<'a>) -> Result<T, ReadError> {
        result.map_err(|field| way.wrong(self.source, format!("missing field `{field}`")))
    }

    fn call(
        &mut self,
        call: CalledIn<'a>,
        way: Way<'a>,
        signature: Option<String>,
    ) -> Result<ToolUse, ReadError> {
        let name = self.missing(call.name.ok_or("functionCall.name"), way)?.into_string();
        let id = given(call.id).unwrap_or_else(|| made(self.calls));
        self.calls += 1;
        self.open.push((name.clone(), id.clone()));
        let arguments = match call.args.filter(|args| args.get() != "null") {
            Some(args) => String::from(Box::<str>::from(self.source.keep(args)?)),
            None => "{}".to_owned(),
        };
        let state = signature.map(|text| state::read(&text));
        Ok(ToolUse { id, name, arguments, custom: false, state })
    }

    /// A result belongs to the call of its id, or to the first open call of its name.
    fn result(&mut self, response: RespondedIn<'a>, way: Way<'a>) -> Result<ToolResult, ReadError> {
        let name = given(response.name);
        let id = given(response.id);
        let answers = |(open, known): &(String, String)| match &id {
            Some(id) => known == id,
            None => name.as_ref().is_none_or(|name| open == name),
        };
        let found = self.open.iter().position(answers).map(|at| self.open.remove(at));
        if name.is_none() && found.is_none() {
            let problem = "missing field `functionResponse.name`";
            return Err(way.wrong(self.source, problem));
        }
        let (open_name, open_id) = found.unzip();
        let id = id.or(open_id).unwrap_or_else(|| {
            self.calls += 1;
            made(self.calls - 1)
        });
        let (text, is_error) = match response.response.filter(|value| value.get() != "null") {
            Some(value) => output(self.source.keep(value)?.get()),
            None => (String::new(), false),
        };
        let mut content = Vec::new();
        if !text.is_empty() {
            content.push(Part::text(text));
        }
        for part in response.parts.unwrap_or_default() {
            let media = match (part.inline_data, part.file_data) {
                (Some(blob), _) => Some(self.missing(media::inline(blob), way)?),
                (None, Some(file)) => self.missing(media::addressed(file), way)?,
                (None, None) => None,
            };
            let unknown = "expected `inlineData` or `fileData` of a known type";
            let media: Media = media.ok_or_else(|| way.wrong(self.source, unknown))?;
            content.push(Body::Media(media).into());
        }
        Ok(ToolResult { id, name: name.or(open_name), content, is_error })
    }
}

fn given(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_string).filter(|text| !text.is_empty())
}

/// The id of a call that has none: the same in every request that repeats the history.
fn made(number: usize) -> String {
    format!("call_{number}")
}

/// Text, or thought. A client that gathers a stream has one thought in many parts, the last of
/// them with its signature.
fn said(text: String, thought: bool, signature: Option<String>, out: &mut Vec<Part>) {
    match (thought, signature) {
        (true, signature) => {
            let open = out.last_mut().and_then(|part| match &mut part.body {
                Body::Reasoning(last) if last.signature.is_none() && last.redacted.is_none() => {
                    Some(last)
                }
                _ => None,
            });
            let Some(open) = open else {
                match signature {
                    Some(signature) => out.push(sealed(text, &signature)),
                    None if text.is_empty() => {}
                    None => {
                        let thought = Reasoning { text, issuer: Some(ID), ..Reasoning::default() };
                        out.push(Body::Reasoning(thought).into());
                    }
                }
                return;
            };
            open.text.push_str(&text);
            if let Some(signature) = signature {
                let state = state::read(&signature);
                (open.signature, open.issuer) = (Some(state.data), Some(state.issuer));
            }
        }
        (false, Some(signature)) if text.is_empty() => {
            let state = state::read(&signature);
            let (redacted, issuer) = (Some(state.data), Some(state.issuer));
            let thought = Reasoning { redacted, issuer, ..Reasoning::default() };
            out.push(Body::Reasoning(thought).into());
        }
        (false, signature) => {
            if !text.is_empty() {
                out.push(Part::text(text));
            }
            out.extend(signature.map(|signature| sealed(String::new(), &signature)));
        }
    }
}

/// A thought with its signature; without text it belongs to what stands before it.
fn sealed(text: String, signature: &str) -> Part {
    let state = state::read(signature);
    let (signature, issuer) = (Some(state.data), Some(state.issuer));
    Body::Reasoning(Reasoning { text, signature, redacted: None, issuer }).into()
}

#[derive(Deserialize)]
struct OutputIn<'a> {
    #[serde(borrow)]
    output: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What a tool gave back, as text, and whether it failed. An `output` alone is unwrapped, and an
/// `error` alone is a failure: these are the two names with a meaning.
fn output(response: &str) -> (String, bool) {
    let whole = || (response.to_owned(), false);
    let members = Source::new(response.as_bytes()).and_then(|source| source.members());
    if !members.is_ok_and(|members| members.iter().len() == 1) {
        return whole();
    }
    match serde_json::from_str::<OutputIn<'_>>(response) {
        Ok(OutputIn { output: Some(text), .. }) => (text.into_string(), false),
        Ok(OutputIn { error: Some(error), .. }) => {
            let text = serde_json::from_str::<Text<'_>>(error.get()).map(Text::into_string);
            (text.unwrap_or_else(|_| error.get().to_owned()), true)
        }
        _ => whole(),
    }
}
