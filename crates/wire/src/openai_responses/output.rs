//! The items of an answer to a client, and the `response` object around them.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{Billed, CallError, Citation, Media, MediaKind, MediaSource, Usage};

use super::{echo, error_code, failure_code};
use crate::custom::{Unwrapping, unwrapped};
use crate::emit::{self, Array, Object};
use crate::{WriterOptions, answer};

/// An item as far as it was told.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// The upstream's item as it was forwarded, whole.
    pub(super) raw: Option<String>,
    /// Whether nothing of it is other than the upstream's.
    pub(super) forwarded: bool,
    pub(super) done: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Message(Vec<Part>),
    Thought(Thought),
    Call(Called),
    /// A picture, in base64.
    Picture(String),
    /// A forwarded item that the common form has no word for.
    Hosted,
}

/// A piece of a message.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) citations: Vec<Citation>,
    /// Lists of log probabilities, as JSON text.
    pub(super) logprobs: Vec<String>,
    pub(super) done: bool,
}

#[derive(Debug, Default)]
pub(super) struct Thought {
    pub(super) summary: String,
    /// How many paragraphs were begun.
    pub(super) paragraphs: u64,
    /// How many had begun when text last came.
    pub(super) spoken: u64,
    /// State of its issuer.
    pub(super) sealed: Option<String>,
}

#[derive(Debug)]
pub(super) struct Called {
    pub(super) id: String,
    pub(super) name: String,
    /// In the common form.
    pub(super) arguments: String,
    /// Takes the text out of the arguments of a free-form tool's call.
    pub(super) free: Option<Unwrapping>,
}

impl Part {
    pub(super) fn new(refusal: bool) -> Self {
        let (citations, logprobs) = (Vec::new(), Vec::new());
        Self { refusal, text: String::new(), citations, logprobs, done: false }
    }
}

impl Called {
    pub(super) fn new(id: &str, name: &str, options: &WriterOptions) -> Self {
        let free = options.custom_tools.iter().any(|tool| tool == name);
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
            free: free.then(Unwrapping::default),
        }
    }
}

impl Thought {
    /// Takes more text; gives what is new of it in its paragraph. A paragraph that the upstream
    /// began needs no blank line before it.
    pub(super) fn push<'t>(&mut self, text: &'t str) -> &'t str {
        self.summary.push_str(text);
        let begun = self.paragraphs > 1 && self.paragraphs > self.spoken;
        self.paragraphs = self.paragraphs.max(1);
        self.spoken = self.paragraphs;
        if begun { text.strip_prefix("\n\n").unwrap_or(text) } else { text }
    }
}

impl Called {
    /// Takes more arguments; gives what the client is to see of them.
    pub(super) fn push(&mut self, json: &str) -> String {
        self.arguments.push_str(json);
        match &mut self.free {
            Some(free) => free.push(json),
            None => json.to_owned(),
        }
    }

    /// No more arguments come: what the client has not seen of them.
    pub(super) fn finish(&mut self) -> String {
        self.free.as_mut().map(Unwrapping::finish).unwrap_or_default()
    }

    /// All that the client is to see of the arguments.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.free {
            Some(_) => unwrapped(&self.arguments),
            None => Cow::Borrowed(&self.arguments),
        }
    }
}

impl Kind {
    const fn prefix(&self) -> &'static str {
        match self {
            Self::Message(_) => "msg",
            Self::Thought(_) => "rs",
            Self::Call(Called { free: None, .. }) => "fc",
            Self::Call(_) => "ctc",
            Self::Picture(_) | Self::Hosted => "ig",
        }
    }

    /// The picture in media, where this dialect has a word for it.
    pub(super) fn picture(media: &Media) -> Option<Self> {
        match (&media.kind, &media.source) {
            (MediaKind::Image, MediaSource::Base64 { data, .. }) => {
                Some(Self::Picture(data.clone()))
            }
            _ => None,
        }
    }
}

impl Item {
    /// The answer's `nth` item, made here. Its id follows from the answer's.
    pub(super) fn made(answer: &str, nth: usize, kind: Kind) -> Self {
        let tail = answer.strip_prefix("resp_").unwrap_or(answer);
        let id = match tail {
            "" => format!("{}_{nth}", kind.prefix()),
            tail => format!("{}_{tail}_{nth}", kind.prefix()),
        };
        Self { id, kind, raw: None, forwarded: false, done: false }
    }

    /// Writes the item as far as it was told.
    pub(super) fn write(&self, item: &mut Object<'_>, status: &str) {
        item.str("id", &self.id);
        match &self.kind {
            Kind::Message(parts) => {
                item.str("type", "message");
                item.str("status", status);
                item.array("content", |list| {
                    for part in parts {
                        list.object(|piece| part.write(piece));
                    }
                });
                item.str("role", "assistant");
            }
            Kind::Thought(thought) => {
                item.str("type", "reasoning");
                item.array("summary", |list| {
                    if !thought.summary.is_empty() {
                        list.object(|piece| write_summary(piece, &thought.summary));
                    }
                });
                item.opt_str("encrypted_content", thought.sealed.as_deref());
            }
            Kind::Call(call) => {
                let free = call.free.is_some();
                item.str("type", if free { "custom_tool_call" } else { "function_call" });
                item.str("status", status);
                item.str("call_id", &call.id);
                item.str("name", &call.name);
                if free {
                    item.str("input", &unwrapped(&call.arguments));
                } else {
                    item.str("arguments", &call.arguments);
                }
            }
            Kind::Picture(data) => {
                item.str("type", "image_generation_call");
                item.str("status", status);
                item.str("result", data);
            }
            Kind::Hosted => {}
        }
    }

    /// Writes the item's beginning: nothing of it was told.
    pub(super) fn write_begun(&self, item: &mut Object<'_>) {
        match &self.kind {
            Kind::Call(call) if call.free.is_some() => {
                item.str("id", &self.id);
                item.str("type", "custom_tool_call");
                item.str("status", "in_progress");
                item.str("call_id", &call.id);
                item.str("name", &call.name);
                item.str("input", "");
            }
            Kind::Picture(_) => {
                item.str("id", &self.id);
                item.str("type", "image_generation_call");
                item.str("status", "in_progress");
                item.raw("result", "null");
            }
            Kind::Thought(_) => {
                item.str("id", &self.id);
                item.str("type", "reasoning");
                item.array("summary", |_| {});
            }
            Kind::Message(_) | Kind::Call(_) | Kind::Hosted => self.write(item, "in_progress"),
        }
    }
}

impl Part {
    pub(super) fn write(&self, piece: &mut Object<'_>) {
        if self.refusal {
            piece.str("type", "refusal");
            return piece.str("refusal", &self.text);
        }
        piece.str("type", "output_text");
        piece.array("annotations", |list| {
            for citation in &self.citations {
                list.object(|item| write_citation(item, citation));
            }
        });
        piece.raw("logprobs", &joined(&self.logprobs));
        piece.str("text", &self.text);
    }
}

/// A message's last piece, of this kind; begun if it is not.
pub(super) fn part_of(parts: &mut Vec<Part>, refusal: bool) -> &mut Part {
    if parts.last().is_none_or(|part| part.refusal != refusal) {
        parts.push(Part::new(refusal));
    }
    let last = parts.len() - 1;
    &mut parts[last]
}

/// Several lists as one.
pub(super) fn joined(lists: &[String]) -> String {
    let inner = |list: &String| {
        list.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::to_owned)
    };
    let all: Vec<String> = lists.iter().filter_map(inner).collect();
    echo::one_line(&format!("[{}]", all.join(","))).into_owned()
}

pub(super) fn write_summary(piece: &mut Object<'_>, text: &str) {
    piece.str("type", "summary_text");
    piece.str("text", text);
}

/// Writes a source with an address; clients refuse one without all its fields.
pub(super) fn write_citation(item: &mut Object<'_>, citation: &Citation) {
    item.str("type", "url_citation");
    item.value("start_index", citation.start.unwrap_or(0));
    item.value("end_index", citation.end.unwrap_or(0));
    item.str("url", citation.url.as_deref().unwrap_or_default());
    item.str("title", citation.title.as_deref().unwrap_or_default());
}

/// Writes the items of an answer. The last one is as incomplete as the answer is.
pub(super) fn write_items(list: &mut Array<'_>, items: &[Item], incomplete: bool) {
    for (at, item) in items.iter().enumerate() {
        let cut = incomplete && at + 1 == items.len();
        match &item.raw {
            Some(raw) => list.raw(raw),
            None if matches!(item.kind, Kind::Hosted) => {}
            None => list.object(|object| {
                item.write(object, if cut { "incomplete" } else { "completed" });
            }),
        }
    }
}

/// What is told of an answer as a whole.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) created: i64,
    pub(super) status: &'a str,
    pub(super) error: Option<&'a CallError>,
    pub(super) incomplete: Option<&'a str>,
    pub(super) usage: Option<&'a Usage>,
    pub(super) billed: Option<&'a Billed>,
}

/// Writes the `response` object's inside.
pub(super) fn write_response(
    body: &mut Object<'_>,
    head: &Head<'_>,
    options: &WriterOptions,
    output: impl FnOnce(&mut Array<'_>),
) {
    body.str("id", head.id);
    body.str("object", "response");
    body.value("created_at", head.created);
    body.str("status", head.status);
    body.value("background", false);
    match head.error {
        Some(error) => body.object("error", |body| {
            body.str("code", failure_code(error.code));
            body.str("message", &error.public);
        }),
        None => body.raw("error", "null"),
    }
    match head.incomplete {
        Some(reason) => body.object("incomplete_details", |body| body.str("reason", reason)),
        None => body.raw("incomplete_details", "null"),
    }
    echo::write_before(body, options);
    body.str("model", head.model);
    body.array("output", output);
    echo::write_after(body, options, head.billed.and_then(|billed| billed.tier.as_deref()));
    match head.usage {
        Some(usage) => body.object("usage", |body| {
            write_usage(body, usage);
            let cost = head.billed.and_then(|billed| billed.cost_usd);
            body.opt("cost", cost.filter(|cost| options.tell_cost && cost.is_finite()));
        }),
        None if head.status == "in_progress" => body.raw("usage", "null"),
        None => {}
    }
}

fn write_usage(body: &mut Object<'_>, usage: &Usage) {
    body.value("input_tokens", usage.input);
    body.object("input_tokens_details", |details| {
        details.value("cached_tokens", usage.cache_read);
        if usage.cache_write > 0 {
            details.value("cache_write_tokens", usage.cache_write);
        }
    });
    body.value("output_tokens", usage.output);
    body.object("output_tokens_details", |details| {
        details.value("reasoning_tokens", usage.reasoning);
    });
    body.value("total_tokens", usage.total());
}

/// Writes the inside of the `error` event: its fields stand at the top for some clients, in
/// `error` for others.
pub(super) fn write_failure(body: &mut Object<'_>, error: &CallError) {
    body.str("code", error_code(error));
    body.str("message", &error.public);
    body.raw("param", "null");
    super::write_error(body, error);
}

/// An answer's items as JSON text.
pub(super) fn text_of(items: &[Item], incomplete: bool) -> String {
    let mut out = BytesMut::new();
    emit::object(&mut out, |body| {
        body.array("output", |list| write_items(list, items, incomplete));
    });
    let text = String::from_utf8_lossy(&out).into_owned();
    let inner = text.strip_prefix(r#"{"output":"#).and_then(|rest| rest.strip_suffix('}'));
    inner.unwrap_or("[]").to_owned()
}

/// The items that a whole answer's pieces make.
pub(super) fn items_of(id: &str, choice: &answer::Choice, options: &WriterOptions) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let push = |items: &mut Vec<Item>, kind| items.push(Item::made(id, items.len(), kind));
    for piece in &choice.pieces {
        match piece {
            answer::Piece::Text(text) | answer::Piece::Refusal(text) => {
                if text.is_empty() {
                    continue;
                }
                let mut part = Part::new(matches!(piece, answer::Piece::Refusal(_)));
                part.text.clone_from(text);
                match items.last_mut().map(|item| &mut item.kind) {
                    Some(Kind::Message(parts)) => parts.push(part),
                    _ => push(&mut items, Kind::Message(vec![part])),
                }
            }
            answer::Piece::Reasoning { text, signature } => {
                let sealed = signature.as_ref().map(|it| super::state::signature(it, text).into());
                let thought = Thought { summary: text.clone(), sealed, ..Thought::default() };
                push(&mut items, Kind::Thought(thought));
            }
            answer::Piece::Redacted(state) => {
                let sealed = Some(state.carried_by(super::ID).into_owned());
                push(&mut items, Kind::Thought(Thought { sealed, ..Thought::default() }));
            }
            answer::Piece::Media(media) => {
                if let Some(kind) = Kind::picture(media) {
                    push(&mut items, kind);
                }
            }
            answer::Piece::Call { id, name, arguments, state } => {
                if let Some(state) = state {
                    let sealed = Some(state.carried_by(super::ID).into_owned());
                    push(&mut items, Kind::Thought(Thought { sealed, ..Thought::default() }));
                }
                let mut call = Called::new(id, name, options);
                call.arguments.clone_from(arguments);
                push(&mut items, Kind::Call(call));
            }
        }
    }
    // They are not told apart by text any more: the last one has them.
    let texts = items.iter_mut().rev().filter_map(|item| match &mut item.kind {
        Kind::Message(parts) => parts.iter_mut().rev().find(|part| !part.refusal),
        _ => None,
    });
    if let Some(part) = texts.into_iter().next() {
        let cited = choice.citations.iter().filter(|citation| citation.url.is_some());
        part.citations = cited.cloned().collect();
        part.logprobs.clone_from(&choice.logprobs);
    }
    items
}
