//! Messages as Anthropic wants them: system text apart, turns in alternation, results first.

use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, ModelCall, Part, Role, ToolResult,
};

use super::{ID, input_of};
use crate::Dropped;
use crate::bound::{FOREIGN_FILE, is_foreign_file};
use crate::calls::fitting_id;
use crate::emit::{Array, Object};

/// The longest id of a tool call.
const MOST_ID: usize = 64;

/// A conversation cut into system text and turns.
#[derive(Debug)]
pub(super) struct Conversation<'c> {
    pub(super) system: Vec<&'c Part>,
    call: &'c ModelCall,
    unsigned: bool,
    turns: Vec<Turn<'c>>,
}

/// What one side says before the other does.
#[derive(Debug)]
struct Turn<'c> {
    assistant: bool,
    /// Tool results come before anything else of a turn.
    results: Vec<Item<'c>>,
    rest: Vec<Item<'c>>,
}

#[derive(Debug, Clone, Copy)]
struct Item<'c> {
    part: &'c Part,
    at: usize,
    nth: usize,
}

impl Item<'_> {
    fn path(&self) -> String {
        format!("messages[{}].parts[{}]", self.at, self.nth)
    }
}

impl<'c> Conversation<'c> {
    /// `unsigned`: whether thought without a signature is taken.
    pub(super) fn of(call: &'c ModelCall, unsigned: bool, dropped: &mut Vec<Dropped>) -> Self {
        let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
        let messages = &call.messages;
        let mut lead = messages.iter().take_while(|message| is_system(message)).count();
        if lead == messages.len() {
            // Nothing but system text: someone must ask.
            lead = 0;
        }
        let (leading, others) = messages.split_at(lead);
        let mut system = Vec::new();
        for (at, message) in leading.iter().enumerate() {
            for (nth, part) in message.parts.iter().enumerate() {
                match &part.body {
                    Body::Text(text) if text.trim().is_empty() => {}
                    Body::Text(_) => system.push(part),
                    _ => drop_at(dropped, Item { part, at, nth }, "system text only"),
                }
            }
        }
        let mut conversation = Self { system, call, unsigned, turns: Vec::new() };
        for (at, message) in others.iter().enumerate().map(|(at, it)| (at + lead, it)) {
            if is_system(message) && lead > 0 {
                let path = format!("messages[{at}].role");
                let reason = "system text after the first turn goes as the user's";
                dropped.push(Dropped { path, reason });
            }
            if message.name.is_some() {
                let path = format!("messages[{at}].name");
                dropped.push(Dropped { path, reason: "participants have no names" });
            }
            for (nth, part) in message.parts.iter().enumerate() {
                conversation.add(message.role, Item { part, at, nth }, dropped);
            }
        }
        conversation
    }

    fn add(&mut self, role: Role, item: Item<'c>, dropped: &mut Vec<Dropped>) {
        let assistant = role == Role::Assistant;
        if is_foreign_file(self.call, &item.part.body, &[ID]) {
            return drop_at(dropped, item, FOREIGN_FILE);
        }
        if let Some(reason) = obstacle(&item.part.body, assistant, self.unsigned) {
            return drop_at(dropped, item, reason);
        }
        if let Body::Text(text) | Body::Refusal(text) = &item.part.body
            && text.trim().is_empty()
        {
            // Refused as blank, and nothing is lost.
            return;
        }
        if self.turns.last().is_none_or(|turn| turn.assistant != assistant) {
            self.turns.push(Turn { assistant, results: Vec::new(), rest: Vec::new() });
        }
        if let Some(turn) = self.turns.last_mut() {
            let is_result = matches!(item.part.body, Body::ToolResult(_));
            if is_result { turn.results.push(item) } else { turn.rest.push(item) }
        }
    }

    /// Whether thinking can be switched on: a turn that called tools without having thought
    /// cannot be gone on with in thought.
    pub(super) fn may_think(&self) -> bool {
        let Some(turn) = self.turns.iter().rev().find(|turn| turn.assistant) else { return true };
        let calls = turn.rest.iter().any(|item| matches!(item.part.body, Body::ToolUse(_)));
        let thinks =
            turn.rest.first().is_some_and(|item| matches!(item.part.body, Body::Reasoning(_)));
        let prefilled = self.turns.last().is_some_and(|last| last.assistant);
        (!calls || thinks) && !prefilled
    }

    pub(super) fn write_system(&self, body: &mut Object<'_>) {
        match self.system.as_slice() {
            [] => {}
            [Part { body: Body::Text(text), cache_control: None }] => body.str("system", text),
            parts => body.array("system", |list| {
                for part in parts {
                    if let Body::Text(text) = &part.body {
                        list.object(|block| text_block(block, text, part));
                    }
                }
            }),
        }
    }

    pub(super) fn write_messages(&self, body: &mut Object<'_>, dropped: &mut Vec<Dropped>) {
        body.array("messages", |list| {
            for (at, turn) in self.turns.iter().enumerate() {
                let prefill = turn.assistant && at + 1 == self.turns.len();
                write_turn(list, turn, prefill, dropped);
            }
        });
    }
}

fn drop_at(dropped: &mut Vec<Dropped>, item: Item<'_>, reason: &'static str) {
    dropped.push(Dropped { path: item.path(), reason });
}

/// Why a part cannot be written, if it cannot.
fn obstacle(body: &Body, assistant: bool, unsigned: bool) -> Option<&'static str> {
    match body {
        Body::Text(_) | Body::Refusal(_) => None,
        Body::ToolUse(_) => (!assistant).then_some("only the model calls tools"),
        Body::ToolResult(_) => assistant.then_some("the model gives no tool results"),
        Body::Media(_) if assistant => Some("the model shows no media"),
        Body::Media(media) => media_obstacle(media),
        Body::Reasoning(_) if !assistant => Some("only the model thinks"),
        Body::Reasoning(thought) => match thought.issuer {
            Some(issuer) if issuer != ID => Some("reasoning of another issuer"),
            _ if thought.signature.is_none() && thought.redacted.is_none() && !unsigned => {
                Some("reasoning without a signature is refused")
            }
            _ => None,
        },
        Body::Opaque { dialect, .. } => {
            (*dialect != ID).then_some("only its own dialect knows this part")
        }
    }
}

fn media_obstacle(media: &Media) -> Option<&'static str> {
    match (media.kind, &media.source) {
        (MediaKind::Audio, _) => Some("Anthropic Messages takes no sound"),
        (MediaKind::File, MediaSource::Base64 { media_type, .. })
            if media_type != "application/pdf" =>
        {
            Some("Anthropic Messages takes PDF documents only")
        }
        _ => None,
    }
}

fn write_turn(list: &mut Array<'_>, turn: &Turn<'_>, prefill: bool, dropped: &mut Vec<Dropped>) {
    list.object(|message| {
        message.str("role", if turn.assistant { "assistant" } else { "user" });
        if let ([], [Item { part: Part { body: Body::Text(text), cache_control: None }, .. }]) =
            (turn.results.as_slice(), turn.rest.as_slice())
        {
            // Blanks at the end of a prefill are refused.
            return message.str("content", if prefill { text.trim_end() } else { text });
        }
        let end = turn.rest.len().saturating_sub(1);
        message.array("content", |content| {
            for item in &turn.results {
                write_item(content, item, false, dropped);
            }
            for (nth, item) in turn.rest.iter().enumerate() {
                write_item(content, item, prefill && nth == end, dropped);
            }
        });
    });
}

fn write_item(content: &mut Array<'_>, item: &Item<'_>, prefill: bool, dropped: &mut Vec<Dropped>) {
    let part = item.part;
    match &part.body {
        Body::Opaque { raw, .. } => content.raw(raw.get()),
        Body::Text(text) | Body::Refusal(text) => content.object(|block| {
            text_block(block, if prefill { text.trim_end() } else { text }, part);
        }),
        Body::Media(media) => content.object(|block| media_block(block, media, part)),
        Body::Reasoning(thought) => content.object(|block| {
            if let Some(data) = &thought.redacted {
                block.str("type", "redacted_thinking");
                block.str("data", data);
            } else {
                block.str("type", "thinking");
                block.str("thinking", &thought.text);
                block.str("signature", thought.signature.as_deref().unwrap_or_default());
            }
        }),
        Body::ToolUse(call) => {
            let (input, is_object) = input_of(&call.arguments);
            if !is_object {
                let reason = "arguments that are no JSON object were wrapped in one";
                dropped.push(Dropped { path: format!("{}.arguments", item.path()), reason });
            }
            content.object(|block| {
                block.str("type", "tool_use");
                block.str("id", &fitting_id(&call.id, MOST_ID));
                block.str("name", &call.name);
                block.raw("input", &input);
                mark(block, part);
            });
        }
        Body::ToolResult(result) => {
            content.object(|block| {
                result_block(block, result, item, dropped);
                mark(block, part);
            });
        }
    }
}

fn result_block(
    block: &mut Object<'_>,
    result: &ToolResult,
    item: &Item<'_>,
    dropped: &mut Vec<Dropped>,
) {
    block.str("type", "tool_result");
    block.str("tool_use_id", &fitting_id(&result.id, MOST_ID));
    match result.content.as_slice() {
        [] => {}
        [Part { body: Body::Text(text), cache_control: None }] => block.str("content", text),
        parts => block.array("content", |list| {
            for (nth, part) in parts.iter().enumerate() {
                match &part.body {
                    Body::Text(text) if text.trim().is_empty() => {}
                    Body::Text(text) => list.object(|block| text_block(block, text, part)),
                    Body::Media(media) if media_obstacle(media).is_none() => {
                        list.object(|block| media_block(block, media, part));
                    }
                    Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
                    _ => {
                        let path = format!("{}.content[{nth}]", item.path());
                        dropped.push(Dropped { path, reason: "no part of a tool result" });
                    }
                }
            }
        }),
    }
    if result.is_error {
        block.value("is_error", true);
    }
}

fn text_block(block: &mut Object<'_>, text: &str, part: &Part) {
    block.str("type", "text");
    block.str("text", text);
    mark(block, part);
}

fn media_block(block: &mut Object<'_>, media: &Media, part: &Part) {
    block.str("type", if media.kind == MediaKind::Image { "image" } else { "document" });
    block.object("source", |source| match &media.source {
        MediaSource::Url(url) => {
            source.str("type", "url");
            source.str("url", url);
        }
        MediaSource::Base64 { media_type, data } => {
            source.str("type", "base64");
            source.str("media_type", media_type);
            source.str("data", data);
        }
        MediaSource::FileId(id) => {
            source.str("type", "file");
            source.str("file_id", id);
        }
    });
    if media.kind == MediaKind::File {
        block.opt_str("title", media.name.as_deref());
    }
    mark(block, part);
}

fn mark(block: &mut Object<'_>, part: &Part) {
    if let Some(mark) = &part.cache_control {
        block.raw("cache_control", mark.get());
    }
}
