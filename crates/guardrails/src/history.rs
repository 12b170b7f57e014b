//! A request's messages as one list of items, and the hash chain over it.
//!
//! Clients write one conversation in many ways: text as a string or as blocks, results merged
//! into one message or split, marks for caching that come and go. All of them give the same
//! items. System text stands outside the chain: clients put the time of day into it, so it would
//! break recognition at every request; it is weighed by itself whenever it changes.

use doorward_core::{Body, Media, MediaSource, Message, Part, Role, ToolResult, ToolUse};

use crate::digest;
use crate::json::Json;
use crate::scope::{Hasher, Kind, Scope};
use crate::sift;
use crate::turn_store::Mark;

/// One item of a conversation.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A text in the user's name.
    User { text: &'a str, name: Option<&'a str> },
    /// Media in the user's name.
    UserMedia(&'a Media),
    /// A piece of the user's that only its dialect knows.
    UserOpaque(&'a str),
    /// All text of the model up to the next result or user text, without its spaces.
    Assistant(Vec<u8>),
    /// A call of the model.
    Call(&'a ToolUse),
    /// What a tool gave back.
    Result(&'a ToolResult),
    /// Anything else that the model is said to have made.
    Foreign(String),
}

/// A request's messages, flattened.
#[derive(Debug, Default)]
pub(crate) struct History<'a> {
    /// Texts of the operator.
    pub(crate) system: Vec<&'a str>,
    /// Everything else, in order.
    pub(crate) items: Vec<Item<'a>>,
}

impl<'a> History<'a> {
    pub(crate) fn of(messages: &'a [Message]) -> Self {
        let mut history = Self::default();
        let mut run = Run::default();
        for message in messages {
            match message.role {
                Role::System | Role::Developer => history.add_system(message),
                Role::Assistant => {
                    for part in &message.parts {
                        if let Some(result) = run.take(part) {
                            run.end(&mut history.items);
                            history.items.push(Item::Result(result));
                        }
                    }
                }
                Role::User => {
                    run.end(&mut history.items);
                    history.add_user(message);
                }
            }
        }
        run.end(&mut history.items);
        history
    }

    fn add_system(&mut self, message: &'a Message) {
        for part in &message.parts {
            match &part.body {
                Body::Text(text) if text.trim().is_empty() => {}
                Body::Text(text) => self.system.push(text),
                Body::Opaque { raw, .. } => self.items.push(Item::UserOpaque(raw.get())),
                Body::Media(media) => self.items.push(Item::UserMedia(media)),
                Body::ToolResult(result) => self.items.push(Item::Result(result)),
                _ => self.items.push(Item::Foreign(describe(part))),
            }
        }
    }

    fn add_user(&mut self, message: &'a Message) {
        for part in &message.parts {
            self.items.push(match &part.body {
                Body::Text(text) if text.trim().is_empty() => continue,
                Body::Text(text) => Item::User { text, name: message.name.as_deref() },
                Body::Media(media) => Item::UserMedia(media),
                Body::Opaque { raw, .. } => Item::UserOpaque(raw.get()),
                Body::ToolResult(result) => Item::Result(result),
                Body::ToolUse(_) | Body::Refusal(_) | Body::Reasoning(_) => {
                    Item::Foreign(describe(part))
                }
            });
        }
    }

    /// The marks of all prefixes, shortest first.
    pub(crate) fn chain(&self, scope: &Scope) -> Vec<Mark> {
        let mut at = origin(scope);
        let mut chain = Vec::with_capacity(self.items.len());
        for item in &self.items {
            at = link(scope, at, item);
            chain.push(at);
        }
        chain
    }
}

/// The messages of a model between two of somebody else.
#[derive(Default)]
struct Run<'a> {
    text: Vec<u8>,
    rest: Vec<Item<'a>>,
}

impl<'a> Run<'a> {
    /// Takes a part in; hands a result back, which ends the run.
    fn take(&mut self, part: &'a Part) -> Option<&'a ToolResult> {
        match &part.body {
            Body::Text(text) | Body::Refusal(text) => dense(text, &mut self.text),
            Body::Reasoning(_) => {}
            Body::ToolUse(call) => self.rest.push(Item::Call(call)),
            Body::ToolResult(result) => return Some(result),
            Body::Media(_) | Body::Opaque { .. } => self.rest.push(Item::Foreign(describe(part))),
        }
        None
    }

    fn end(&mut self, items: &mut Vec<Item<'a>>) {
        if !self.text.is_empty() {
            items.push(Item::Assistant(std::mem::take(&mut self.text)));
        }
        items.append(&mut self.rest);
    }
}

/// Adds a text without its spaces: clients join and trim what a model wrote in their own ways.
pub(crate) fn dense(text: &str, into: &mut Vec<u8>) {
    sift::dense(text.as_bytes(), into);
}

fn describe(part: &Part) -> String {
    match &part.body {
        Body::Opaque { raw, .. } => raw.get().to_owned(),
        other => format!("{other:?}"),
    }
}

/// The chain before its first item.
pub(crate) fn origin(scope: &Scope) -> Mark {
    scope.mark(Kind::Chain, &[])
}

/// The chain with one more item.
pub(crate) fn link(scope: &Scope, before: Mark, item: &Item<'_>) -> Mark {
    let mut hasher = scope.hasher(Kind::Chain);
    hasher.update(before.as_bytes());
    match item {
        Item::User { text, name } => {
            hasher.update(b"u");
            hasher.feed(name.unwrap_or_default().as_bytes());
            hasher.feed(text.trim_end().as_bytes());
        }
        Item::UserMedia(media) => {
            hasher.update(b"m");
            feed_media(&mut hasher, media);
        }
        Item::UserOpaque(raw) => {
            hasher.update(b"o");
            hasher.feed(raw.as_bytes());
        }
        Item::Assistant(text) => {
            hasher.update(b"a");
            hasher.feed(text);
        }
        Item::Call(call) => {
            hasher.update(b"c");
            hasher.feed(call.id.as_bytes());
            hasher.feed(call.name.as_bytes());
            let mut arguments = Vec::with_capacity(call.arguments.len());
            match Json::parse(digest::or_empty(&call.arguments)) {
                Some(json) => json.canonical(&mut arguments),
                None => arguments.extend_from_slice(call.arguments.as_bytes()),
            }
            hasher.feed(&arguments);
        }
        Item::Result(result) => {
            hasher.update(b"r");
            hasher.feed(result.id.as_bytes());
            feed_content(&mut hasher, &result.content);
        }
        Item::Foreign(raw) => {
            hasher.update(b"f");
            hasher.feed(raw.as_bytes());
        }
    }
    hasher.seal()
}

/// A result's pieces, each with a tag and its length, so that no text looks like another piece.
/// Clients cut texts as they like: neighbouring ones count as one.
fn feed_content(hasher: &mut Hasher, content: &[Part]) {
    let mut text = String::new();
    for part in content {
        match &part.body {
            Body::Text(more) => text.push_str(more.trim()),
            Body::Media(media) => {
                feed_text(hasher, &mut text);
                feed_media(hasher, media);
            }
            _ => {
                feed_text(hasher, &mut text);
                hasher.update(b"\0d");
                hasher.feed(describe(part).as_bytes());
            }
        }
    }
    feed_text(hasher, &mut text);
}

fn feed_text(hasher: &mut Hasher, text: &mut String) {
    if !text.is_empty() {
        hasher.update(b"\0t");
        hasher.feed(text.as_bytes());
        text.clear();
    }
}

fn feed_media(hasher: &mut Hasher, media: &Media) {
    let (tag, source) = match &media.source {
        MediaSource::Url(url) => (b"\0u", url),
        MediaSource::Base64 { data, .. } => (b"\0b", data),
        MediaSource::FileId(id) => (b"\0i", id),
    };
    hasher.update(tag);
    hasher.feed(source.as_bytes());
}

#[cfg(test)]
mod tests;
