//! Messages as Bedrock wants them: system text apart, turns in alternation, results first.

use doorward_core::{
    Body, DialectId, Media, Message, ModelCall, Part, Reasoning, Role, ToolResult, ToolUse,
};
use serde_json::value::RawValue;

use super::ID;
use super::family::Family;
use super::media::{self, Names};
use crate::calls::{fitting_id, object_of};
use crate::emit::{Array, Object};
use crate::{Dropped, WriteError};

/// The longest id of a tool call, and the longest name of a tool.
pub(super) const MOST_ID: usize = 64;

/// A conversation cut into system text and turns.
#[derive(Debug)]
pub(super) struct Conversation<'c> {
    system: Vec<Item<'c>>,
    turns: Vec<Turn<'c>>,
    family: Family,
    /// Whether the turns with tools are told as text, because this call shows no tools.
    spoken: bool,
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

/// Refuses media that cannot be sent: without it the answer would be another.
pub(super) fn check_media(call: &ModelCall) -> Result<(), WriteError> {
    for (at, message) in call.messages.iter().enumerate() {
        for (nth, part) in message.parts.iter().enumerate() {
            let path = format!("messages[{at}].parts[{nth}]");
            match &part.body {
                Body::Media(media) => check_one(&path, media)?,
                Body::ToolResult(result) => {
                    for (nth, part) in result.content.iter().enumerate() {
                        if let Body::Media(media) = &part.body {
                            check_one(&format!("{path}.content[{nth}]"), media)?;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn check_one(path: &str, media: &Media) -> Result<(), WriteError> {
    let refuse = |reason| WriteError { path: path.to_owned(), reason };
    media::shape(media).map(|_| ()).map_err(refuse)
}

impl<'c> Conversation<'c> {
    /// `shows` is whether the call shows any tool to the model.
    pub(super) fn of(
        call: &'c ModelCall,
        family: Family,
        shows: bool,
        dropped: &mut Vec<Dropped>,
    ) -> Self {
        let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
        let messages = &call.messages;
        let mut lead = messages.iter().take_while(|message| is_system(message)).count();
        if lead == messages.len() {
            // Nothing but system text: someone must ask.
            lead = 0;
        }
        let (leading, others) = messages.split_at(lead);
        let mut conversation =
            Self { system: Vec::new(), turns: Vec::new(), family, spoken: false };
        for (at, message) in leading.iter().enumerate() {
            for (nth, part) in message.parts.iter().enumerate() {
                let item = Item { part, at, nth };
                match &part.body {
                    Body::Text(text) if text.trim().is_empty() => {}
                    Body::Text(_) => conversation.system.push(item),
                    Body::Opaque { dialect, .. } if *dialect == ID => {
                        conversation.system.push(item);
                    }
                    _ => drop_at(dropped, item, "system text only"),
                }
            }
        }
        for (at, message) in others.iter().enumerate().map(|(at, it)| (at + lead, it)) {
            let mut lost = |field: &str, reason| {
                dropped.push(Dropped { path: format!("messages[{at}].{field}"), reason });
            };
            if is_system(message) && lead > 0 {
                lost("role", "system text after the first turn goes as the user's");
            }
            if message.name.is_some() {
                lost("name", "participants have no names");
            }
            for (nth, part) in message.parts.iter().enumerate() {
                conversation.add(message.role, Item { part, at, nth }, dropped);
            }
        }
        conversation.settle(shows, dropped);
        conversation
    }

    fn add(&mut self, role: Role, item: Item<'c>, dropped: &mut Vec<Dropped>) {
        let assistant = role == Role::Assistant;
        if let Some(reason) = self.obstacle(&item.part.body, assistant) {
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

    /// Why a part cannot be written, if it cannot.
    fn obstacle(&self, body: &Body, assistant: bool) -> Option<&'static str> {
        match body {
            Body::Text(_) | Body::Refusal(_) => None,
            Body::ToolUse(_) => (!assistant).then_some("only the model calls tools"),
            Body::ToolResult(_) => assistant.then_some("the model gives no tool results"),
            Body::Media(_) => assistant.then_some("the model shows no media"),
            Body::Reasoning(_) if !assistant => Some("only the model thinks"),
            Body::Reasoning(thought) => self.thought_obstacle(thought),
            Body::Opaque { dialect, .. } => {
                (*dialect != ID).then_some("only its own dialect knows this part")
            }
        }
    }

    fn thought_obstacle(&self, thought: &Reasoning) -> Option<&'static str> {
        match thought.issuer {
            Some(ID) => None,
            // Anthropic says of signatures that one made on its own platform, on Bedrock or on
            // Google Cloud is taken by the others; of redacted thought it does not.
            Some(DialectId::ANTHROPIC_MESSAGES)
                if self.family == Family::Claude && thought.signature.is_some() =>
            {
                None
            }
            Some(_) => Some("reasoning of another issuer"),
            None if thought.signature.is_some() || thought.redacted.is_some() => None,
            None => Some("reasoning without a signature is refused"),
        }
    }

    /// Puts each turn in the order that Bedrock takes, and tells tools as text where none are
    /// shown: it refuses tool blocks in a call without tools.
    fn settle(&mut self, shows: bool, dropped: &mut Vec<Dropped>) {
        let is_call = |item: &Item<'_>| matches!(item.part.body, Body::ToolUse(_));
        for turn in self.turns.iter_mut().filter(|turn| turn.assistant) {
            // Calls come last; everything else stays in its order.
            turn.rest.sort_by_key(is_call);
        }
        let turns = self.turns.iter();
        let tools = turns
            .flat_map(|turn| turn.results.iter().chain(&turn.rest))
            .find(|item| matches!(item.part.body, Body::ToolUse(_) | Body::ToolResult(_)));
        if let Some(first) = tools.filter(|_| !shows) {
            drop_at(dropped, *first, "no tools are shown: tool turns from here on go as text");
            self.spoken = true;
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
        (!calls || self.spoken || thinks) && !prefilled
    }

    pub(super) fn write_system(&self, body: &mut Object<'_>, dropped: &mut Vec<Dropped>) {
        if self.system.is_empty() {
            return;
        }
        body.array("system", |list| {
            for item in &self.system {
                match &item.part.body {
                    Body::Text(text) => list.object(|block| block.str("text", text)),
                    Body::Opaque { raw, .. } => list.raw(raw.get()),
                    _ => {}
                }
                self.mark(list, item.part, dropped);
            }
        });
    }

    pub(super) fn write_messages(&self, body: &mut Object<'_>, dropped: &mut Vec<Dropped>) {
        let mut names = Names::default();
        body.array("messages", |list| {
            for (at, turn) in self.turns.iter().enumerate() {
                let prefill = turn.assistant && at + 1 == self.turns.len();
                self.turn(list, turn, prefill, &mut names, dropped);
            }
        });
    }

    fn turn(
        &self,
        list: &mut Array<'_>,
        turn: &Turn<'_>,
        prefill: bool,
        names: &mut Names,
        dropped: &mut Vec<Dropped>,
    ) {
        let end = turn.rest.len().saturating_sub(1);
        list.object(|message| {
            message.str("role", if turn.assistant { "assistant" } else { "user" });
            message.array("content", |content| {
                for item in &turn.results {
                    self.item(content, item, false, names, dropped);
                }
                let before = names.len();
                for (nth, item) in turn.rest.iter().enumerate() {
                    self.item(content, item, prefill && nth == end, names, dropped);
                }
                let is_text = |item: &Item<'_>| matches!(item.part.body, Body::Text(_));
                if let Some(first) = turn.rest.first()
                    && names.len() > before
                    && !turn.rest.iter().any(is_text)
                {
                    drop_at(dropped, *first, "a turn with a document must have text: it was added");
                    content.object(|block| block.str("text", "(document)"));
                }
            });
        });
    }

    fn item(
        &self,
        content: &mut Array<'_>,
        item: &Item<'_>,
        prefill: bool,
        names: &mut Names,
        dropped: &mut Vec<Dropped>,
    ) {
        match &item.part.body {
            Body::Opaque { raw, .. } => content.raw(raw.get()),
            // Blanks at the end of a prefill are refused.
            Body::Text(text) | Body::Refusal(text) => content
                .object(|block| block.str("text", if prefill { text.trim_end() } else { text })),
            Body::Media(media) => write_media(content, media, names),
            Body::Reasoning(thought) => content.object(|block| write_thought(block, thought)),
            Body::ToolUse(call) if self.spoken => {
                let text = format!("[called {} with {}]", call.name, call.arguments);
                content.object(|block| block.str("text", &text));
            }
            Body::ToolResult(result) if self.spoken => {
                speak_result(content, result, item, names, dropped);
            }
            Body::ToolUse(call) => write_use(content, call, item, dropped),
            Body::ToolResult(result) => write_result(content, result, item, names, dropped),
        }
        self.mark(content, item.part, dropped);
    }

    /// Writes a part's cache mark after it, or reports once that marks are left out.
    fn mark(&self, list: &mut Array<'_>, part: &Part, dropped: &mut Vec<Dropped>) {
        if let Some(mark) = &part.cache_control {
            write_mark(list, mark, self.family, dropped);
        }
    }
}

/// Writes a cache point, or reports once that they are left out.
pub(super) fn write_mark(
    list: &mut Array<'_>,
    mark: &RawValue,
    family: Family,
    dropped: &mut Vec<Dropped>,
) {
    if family.caches() {
        let hour = mark.get().contains(r#""1h""#);
        list.object(|block| {
            block.object("cachePoint", |point| {
                point.str("type", "default");
                point.opt_str("ttl", hour.then_some("1h"));
            });
        });
    } else if !dropped.iter().any(|dropped| dropped.path == "cache_control") {
        let (path, reason) = ("cache_control".to_owned(), "this model has no cache to mark");
        dropped.push(Dropped { path, reason });
    }
}

fn drop_at(dropped: &mut Vec<Dropped>, item: Item<'_>, reason: &'static str) {
    dropped.push(Dropped { path: item.path(), reason });
}

fn write_media(content: &mut Array<'_>, media: &Media, names: &mut Names) {
    // What has no shape was refused before.
    if let Ok(shape) = media::shape(media) {
        let name = (shape.block == "document").then(|| names.next(media, shape));
        content.object(|block| media::write(block, media, shape, name.as_deref()));
    }
}

fn write_thought(block: &mut Object<'_>, thought: &Reasoning) {
    block.object("reasoningContent", |body| {
        if let Some(blob) = &thought.redacted {
            body.str("redactedContent", blob);
        } else {
            body.object("reasoningText", |shown| {
                shown.str("text", &thought.text);
                shown.opt_str("signature", thought.signature.as_deref());
            });
        }
    });
}

fn write_use(content: &mut Array<'_>, call: &ToolUse, item: &Item<'_>, dropped: &mut Vec<Dropped>) {
    let (input, is_object) = object_of(&call.arguments);
    if !is_object {
        let reason = "arguments that are no JSON object were wrapped in one";
        dropped.push(Dropped { path: format!("{}.arguments", item.path()), reason });
    }
    content.object(|block| {
        block.object("toolUse", |tool| {
            tool.str("toolUseId", &fitting_id(&call.id, MOST_ID));
            // A model can call what was never declared, by a name that is refused.
            tool.str("name", &fitting_id(&call.name, MOST_ID));
            tool.raw("input", &input);
        });
    });
}

/// Tells a tool result as text, and what it shows after it.
fn speak_result(
    content: &mut Array<'_>,
    result: &ToolResult,
    item: &Item<'_>,
    names: &mut Names,
    dropped: &mut Vec<Dropped>,
) {
    let what = if result.is_error { "the tool failed" } else { "the tool answered" };
    let text = format!("[{what}]\n{}", result.text());
    content.object(|block| block.str("text", text.trim_end()));
    for (nth, part) in result.content.iter().enumerate() {
        match &part.body {
            Body::Text(_) => {}
            Body::Media(media) => write_media(content, media, names),
            _ => {
                let path = format!("{}.content[{nth}]", item.path());
                dropped.push(Dropped { path, reason: "no part of a tool result" });
            }
        }
    }
}

fn write_result(
    content: &mut Array<'_>,
    result: &ToolResult,
    item: &Item<'_>,
    names: &mut Names,
    dropped: &mut Vec<Dropped>,
) {
    content.object(|block| {
        block.object("toolResult", |body| {
            body.str("toolUseId", &fitting_id(&result.id, MOST_ID));
            body.array("content", |list| {
                for (nth, part) in result.content.iter().enumerate() {
                    match &part.body {
                        Body::Text(text) if text.trim().is_empty() => {}
                        Body::Text(text) => list.object(|block| block.str("text", text)),
                        Body::Media(media) => write_media(list, media, names),
                        Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
                        _ => {
                            let path = format!("{}.content[{nth}]", item.path());
                            dropped.push(Dropped { path, reason: "no part of a tool result" });
                        }
                    }
                }
            });
            if result.is_error {
                body.str("status", "error");
            }
        });
    });
}
