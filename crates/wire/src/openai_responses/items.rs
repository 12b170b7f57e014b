//! A client's input items into the common form.

use std::borrow::Cow;
use std::fmt;

use doorward_core::{
    Body, DialectId, IssuerState, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::pieces::{self, PieceIn};
use super::{ID, state};
use crate::json::{Content, Members, Source, Text, Way};
use crate::{ReadError, custom};

/// An item whose content is made of `P`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>"))]
pub(super) struct ItemIn<'a, P> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Content<'a, P>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    /// Of a call of a free-form tool.
    #[serde(borrow)]
    input: Option<Text<'a>>,
    #[serde(borrow, default)]
    output: Content<'a, P>,
    #[serde(borrow)]
    summary: Option<Vec<SummaryIn<'a>>>,
    #[serde(borrow)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct SummaryIn<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

/// Input as it is written: one string, or a list of items.
pub(super) enum InputIn<'a, I> {
    Text(Cow<'a, str>),
    Items(Vec<I>),
}

/// Input read straight from the text.
pub(super) type QuickInput<'a> = InputIn<'a, ItemIn<'a, PieceIn<'a>>>;

impl<'de: 'a, 'a, I: Deserialize<'de>> Deserialize<'de> for InputIn<'a, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<I>(std::marker::PhantomData<I>);

        impl<'de, I: Deserialize<'de>> Visitor<'de> for Any<I> {
            type Value = InputIn<'de, I>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of items")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(InputIn::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(InputIn::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(InputIn::Items(items))
            }
        }

        deserializer.deserialize_any(Any(std::marker::PhantomData))
    }
}

/// Takes instructions and input. `quick` is the input where it was read in passing; `may_lack`
/// says whether the model can be asked without any.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    quick: Option<QuickInput<'a>>,
    may_lack: bool,
) -> Result<Vec<Message>, ReadError> {
    let mut turns = Turns::default();
    if let Some(Text(instructions)) = members.read::<Text<'a>>("instructions")? {
        turns.messages.push(Message::text(Role::System, instructions));
    }
    if let Some(quick) = quick {
        match quick {
            InputIn::Text(text) => turns.messages.push(Message::text(Role::User, text)),
            InputIn::Items(items) => {
                for item in items {
                    let piece = |piece| pieces::part(source, piece, Way::Quick);
                    turns.item(source, item, Way::Quick, piece)?;
                }
            }
        }
        return Ok(turns.finish());
    }
    let value = if may_lack {
        let Some(value) = members.take("input") else { return Ok(turns.finish()) };
        value
    } else {
        members.need("input", "a string or an array of items")?
    };
    match source.read::<InputIn<'a, &'a RawValue>>(value)? {
        InputIn::Text(text) => turns.messages.push(Message::text(Role::User, text)),
        InputIn::Items(items) => {
            for value in items {
                read_item(source, value, &mut turns)?;
            }
        }
    }
    Ok(turns.finish())
}

#[derive(Deserialize)]
struct KindIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

fn is_known(kind: &str) -> bool {
    matches!(
        kind,
        "" | "message"
            | "function_call"
            | "function_call_output"
            | "custom_tool_call"
            | "custom_tool_call_output"
            | "reasoning"
            | "item_reference"
    )
}

fn read_item<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    turns: &mut Turns,
) -> Result<(), ReadError> {
    match source.read::<ItemIn<'a, &'a RawValue>>(value) {
        Ok(item) => {
            let piece = |piece| pieces::read(source, piece);
            turns.item(source, item, Way::Careful(value), piece)
        }
        Err(error) => {
            // An item that is not known may have fields of the same names and other kinds.
            let kind = source.read::<KindIn<'a>>(value)?.kind.unwrap_or_default();
            if is_known(kind.as_str()) {
                return Err(error);
            }
            turns.foreign(source, kind.as_str(), value)
        }
    }
}

/// Messages as items make them: what the model does in a row is one turn, and so are the outputs
/// of tools in a row.
#[derive(Default)]
struct Turns {
    messages: Vec<Message>,
    /// Whether the last message is made of tool outputs, and takes more of them.
    outputs: bool,
    /// State of the call that comes next, and where its thought would stand.
    pending: Option<IssuerState>,
}

impl Turns {
    fn item<'a, P>(
        &mut self,
        source: Source<'a>,
        item: ItemIn<'a, P>,
        way: Way<'a>,
        piece: impl FnMut(P) -> Result<Part, ReadError>,
    ) -> Result<(), ReadError> {
        let missing = |field: &str| way.wrong(source, format!("missing field `{field}`"));
        let needed = |field: &str, text: Option<Text<'a>>| {
            text.map(Text::into_string).ok_or_else(|| missing(field))
        };
        let kind = item.kind.unwrap_or_default();
        match (kind.as_str(), &item.role) {
            ("message", _) | ("", Some(_)) => {
                let role = needed("role", item.role)?;
                let parts = item.content.parts(piece)?;
                return self.message(source, &role, parts, way);
            }
            ("function_call", _) => {
                let arguments = item.arguments.unwrap_or_default().into_string();
                let (id, name) = (needed("call_id", item.call_id)?, needed("name", item.name)?);
                let state = self.pending.take();
                let call = ToolUse { id, name, arguments, custom: false, state };
                self.assistant(Body::ToolUse(call));
            }
            ("custom_tool_call", _) => {
                let arguments = custom::wrapped(&needed("input", item.input)?);
                let (id, name) = (needed("call_id", item.call_id)?, needed("name", item.name)?);
                let state = self.pending.take();
                let call = ToolUse { id, name, arguments, custom: true, state };
                self.assistant(Body::ToolUse(call));
            }
            ("function_call_output" | "custom_tool_call_output", _) => {
                let id = needed("call_id", item.call_id)?;
                let content = item.output.parts(piece)?;
                let result = ToolResult { id, name: None, content, is_error: false };
                self.output(Body::ToolResult(result));
            }
            ("reasoning", _) => {
                let mut text = String::new();
                for part in item.summary.unwrap_or_default() {
                    add_paragraph(&mut text, part.text.as_str());
                }
                if text.is_empty() {
                    for part in item.content.parts(piece)? {
                        if let Body::Text(part) = part.body {
                            add_paragraph(&mut text, &part);
                        }
                    }
                }
                self.thought(text, item.encrypted_content.as_ref().map(Text::as_str));
            }
            ("item_reference", _) | ("", None) => {
                let named = item.id.is_some();
                let problem = if named || kind.as_str() == "item_reference" {
                    "items are not kept here, send the item itself"
                } else {
                    "missing field `type`"
                };
                return Err(way.wrong(source, problem));
            }
            (kind, _) => return self.foreign(source, kind, way.piece()?),
        }
        Ok(())
    }

    fn message<'a>(
        &mut self,
        source: Source<'a>,
        role: &str,
        parts: Vec<Part>,
        way: Way<'a>,
    ) -> Result<(), ReadError> {
        let role = match role {
            "user" => Role::User,
            "system" => Role::System,
            "developer" => Role::Developer,
            "assistant" => {
                self.thought_without_call();
                // A message that says nothing is the model's turn all the same.
                self.turn().parts.extend(parts);
                return Ok(());
            }
            _ => {
                let expected = "expected a `role` of `user`, `assistant`, `system` or `developer`";
                return Err(way.wrong(source, expected));
            }
        };
        self.thought_without_call();
        self.outputs = false;
        self.messages.push(Message { role, parts, name: None });
        Ok(())
    }

    /// A thought. State of Gemini's without a text belongs to the call that follows.
    fn thought(&mut self, text: String, carried: Option<&str>) {
        self.thought_without_call();
        let Some(carried) = carried.filter(|carried| !carried.is_empty()) else {
            // Whose it is nobody knows: a thought that is shown needs no state everywhere.
            return self.assistant(Body::Reasoning(Reasoning { text, ..Reasoning::default() }));
        };
        let read = IssuerState::read(carried, ID);
        if read.issuer == DialectId::GEMINI && text.is_empty() {
            self.pending = Some(read);
            return;
        }
        let (sealed, issuer) = (state::read(read.data, read.issuer, &text), Some(read.issuer));
        let thought = match sealed {
            state::Sealed::Signature(data) => {
                Reasoning { text, signature: Some(data), issuer, redacted: None }
            }
            state::Sealed::Redacted(data) => {
                Reasoning { text, redacted: Some(data), issuer, signature: None }
            }
        };
        self.assistant(Body::Reasoning(thought));
    }

    /// State that was carried for a call which did not come is a thought of its own.
    fn thought_without_call(&mut self) {
        if let Some(IssuerState { issuer, data }) = self.pending.take() {
            let thought =
                Reasoning { signature: Some(data), issuer: Some(issuer), ..Reasoning::default() };
            self.turn().parts.push(Body::Reasoning(thought).into());
        }
    }

    /// An item that only this dialect knows. What a client brings back to a hosted tool ends in
    /// `_output` or `_response`.
    fn foreign<'a>(
        &mut self,
        source: Source<'a>,
        kind: &str,
        value: &'a RawValue,
    ) -> Result<(), ReadError> {
        let body = source.opaque(ID, value)?.body;
        if kind.ends_with("_output") || kind.ends_with("_response") {
            self.output(body);
        } else {
            self.assistant(body);
        }
        Ok(())
    }

    fn assistant(&mut self, body: Body) {
        self.thought_without_call();
        self.turn().parts.push(body.into());
    }

    /// The model's turn, begun if it is not the last message.
    fn turn(&mut self) -> &mut Message {
        self.outputs = false;
        let is_open = self.messages.last().is_some_and(|last| last.role == Role::Assistant);
        if !is_open {
            self.messages.push(Message { role: Role::Assistant, parts: Vec::new(), name: None });
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    fn output(&mut self, body: Body) {
        self.thought_without_call();
        if let Some(last) = self.messages.last_mut().filter(|_| self.outputs) {
            last.parts.push(body.into());
        } else {
            let parts = vec![body.into()];
            self.messages.push(Message { role: Role::User, parts, name: None });
        }
        self.outputs = true;
    }

    fn finish(mut self) -> Vec<Message> {
        self.thought_without_call();
        self.messages
    }
}

/// The paragraphs of a thought come as parts of their own.
fn add_paragraph(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
