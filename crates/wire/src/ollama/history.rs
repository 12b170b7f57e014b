//! A client's messages into the common form.

use std::collections::HashSet;

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::calls::made_id;
use crate::json::{Members, Source, Text};

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    images: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallIn<'a>>>,
    #[serde(borrow)]
    tool_name: Option<Text<'a>>,
    /// The word before `tool_name`.
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: FunctionIn<'a>,
}

#[derive(Deserialize)]
struct FunctionIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Takes the messages.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Vec<Message>, ReadError> {
    let value = members.need("messages", "an array of messages")?;
    let mut ids = Ids::default();
    let list = source.read::<Vec<MessageIn<'a>>>(value)?.into_iter().enumerate();
    list.map(|(at, message)| read_message(source, at, message, &mut ids)).collect()
}

fn read_message<'a>(
    source: Source<'a>,
    at: usize,
    message: MessageIn<'a>,
    ids: &mut Ids,
) -> Result<Message, ReadError> {
    let text = message.content.map(Text::into_string).unwrap_or_default();
    let mut parts = Vec::new();
    if let Some(thought) = message.thinking.filter(|thought| !thought.as_str().is_empty()) {
        let text = thought.into_string();
        let thought = Reasoning { text, issuer: Some(ID), ..Reasoning::default() };
        parts.push(Body::Reasoning(thought).into());
    }
    if !text.is_empty() {
        parts.push(Part::text(text));
    }
    for image in message.images.into_iter().flatten() {
        parts.push(Body::Media(picture(image.as_str())).into());
    }
    let role = match message.role.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => {
            let name = message.tool_name.or(message.name).map(Text::into_string);
            let given = message.tool_call_id.map(Text::into_string);
            let id = ids.answered(given.as_deref(), name.as_deref());
            let result = ToolResult { id, name, content: parts, is_error: false };
            let parts = vec![Body::ToolResult(result).into()];
            return Ok(Message { role: Role::User, parts, name: None });
        }
        _ => {
            let expected = "expected `system`, `user`, `assistant` or `tool`";
            return Err(ReadError::field(format!("messages[{at}].role"), expected));
        }
    };
    for call in message.tool_calls.into_iter().flatten() {
        let name = call.function.name.into_string();
        let arguments = match call.function.arguments {
            Some(arguments) => String::from(Box::<str>::from(source.keep(arguments)?)),
            None => String::new(),
        };
        let id = ids.called(call.id.as_ref().map(Text::as_str), &name);
        parts.push(Body::ToolUse(ToolUse { id, name, arguments, ..ToolUse::default() }).into());
    }
    Ok(Message { role, parts, name: None })
}

/// An image in base64; its first bytes tell what it is.
fn picture(data: &str) -> Media {
    let media_type = match data {
        png if png.starts_with("iVBOR") => "image/png",
        gif if gif.starts_with("R0lGOD") => "image/gif",
        webp if webp.starts_with("UklGR") => "image/webp",
        _ => "image/jpeg",
    };
    let source = MediaSource::Base64 { media_type: media_type.to_owned(), data: data.to_owned() };
    Media { kind: MediaKind::Image, source, name: None, detail: None }
}

/// The ids of a conversation's tool calls. Those that came without are counted from its
/// beginning, so that they stay the same while it goes on.
#[derive(Debug, Default)]
struct Ids {
    count: u32,
    taken: HashSet<String>,
    /// Calls that have no result yet, with their tools.
    open: Vec<(String, String)>,
}

impl Ids {
    fn called(&mut self, given: Option<&str>, name: &str) -> String {
        let mut id = given.unwrap_or_default().to_owned();
        while id.is_empty() || !self.taken.insert(id.clone()) {
            id = made_id("", self.count);
            self.count = self.count.saturating_add(1);
        }
        self.open.push((id.clone(), name.to_owned()));
        id
    }

    /// The call that a result answers: the one that it names, else the first open one of its
    /// tool, else the first.
    fn answered(&mut self, given: Option<&str>, name: Option<&str>) -> String {
        let by_id = self.open.iter().position(|(id, _)| Some(id.as_str()) == given);
        let by_name = || self.open.iter().position(|(_, tool)| Some(tool.as_str()) == name);
        let any = || (!self.open.is_empty() && name.is_none()).then_some(0);
        match by_id.or_else(by_name).or_else(any) {
            Some(at) => self.open.remove(at).0,
            None => given.map_or_else(|| made_id("result", self.count), str::to_owned),
        }
    }
}
