//! Events into a client's stream: items that open, grow and close, one at a time.

mod follow;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use doorward_core::{Billed, CallError, Citation, Finish, IssuerState, Media, ModelEvent, Usage};

use super::output::{
    Called, Head, Item, Kind, Part, Thought, joined, part_of, write_citation, write_failure,
    write_items, write_response, write_summary,
};
use super::place::Place;
use super::{ID, incomplete_word, state};
use crate::WriterOptions;
use crate::answer::told;
use crate::emit::{self, Object};

/// What was told of an answer, and how to tell more.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Telling {
    pub(super) options: WriterOptions,
    id: String,
    model: String,
    created: Option<i64>,
    pub(super) items: Vec<Item>,
    /// The item that more is told of.
    pub(super) open: Option<usize>,
    /// The item that each call is.
    calls: BTreeMap<u32, usize>,
    /// The next event's number, once events are counted here.
    next: u64,
    /// Whether events are counted here, forwarded ones too.
    pub(super) counted: bool,
    /// The last event that was forwarded with its own number.
    pub(super) last: Option<Bytes>,
    /// Whether `response.created` went out.
    pub(super) begun: bool,
    /// Whether any item is other than the upstream's.
    pub(super) made: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    billed: Option<Box<Billed>>,
    pub(super) ended: bool,
}

impl Telling {
    pub(super) fn new(options: WriterOptions) -> Self {
        Self { options, ..Self::default() }
    }

    fn kind(&mut self, at: usize) -> Option<&mut Kind> {
        self.items.get_mut(at).map(|item| &mut item.kind)
    }

    /// Counts events here from now on, forwarded ones too: the next one follows the last.
    pub(super) fn take_count(&mut self) {
        if !std::mem::replace(&mut self.counted, true)
            && let Some(last) = self.last.take()
        {
            self.next = Place::of(&last).sequence.map_or(self.next, |last| last.saturating_add(1));
        }
    }

    /// The next event's number.
    pub(super) fn count(&mut self) -> u64 {
        self.take_count();
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    fn event(&mut self, kind: &str, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let number = self.count();
        emit::sse(out, Some(kind), |body| {
            body.str("type", kind);
            body.value("sequence_number", number);
            fill(body);
        });
    }

    /// An event of an item, which is not the upstream's own any more.
    fn of_item(
        &mut self,
        at: usize,
        kind: &str,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>, &Item),
    ) {
        self.made = true;
        let number = self.count();
        let Some(item) = self.items.get_mut(at) else { return };
        item.forwarded = false;
        item.raw = None;
        emit::sse(out, Some(kind), |body| {
            body.str("type", kind);
            body.value("sequence_number", number);
            body.str("item_id", &item.id);
            body.value("output_index", at);
            fill(body, item);
        });
    }

    /// A lifecycle event: the answer as it is by now.
    fn of_answer(
        &mut self,
        kind: &str,
        (status, error): (&str, Option<&CallError>),
        out: &mut BytesMut,
    ) {
        let number = self.count();
        let (options, items) = (&self.options, &self.items);
        let (id, model) = self.names();
        let over = status != "in_progress";
        let incomplete = self.finish.filter(|_| over && error.is_none());
        let head = Head {
            id,
            model,
            created: self.created.unwrap_or(options.created),
            status,
            error,
            incomplete: incomplete.and_then(incomplete_word),
            usage: self.usage.as_ref().filter(|_| over),
            billed: self.billed.as_deref(),
        };
        emit::sse(out, Some(kind), |body| {
            body.str("type", kind);
            body.value("sequence_number", number);
            body.object("response", |body| {
                write_response(body, &head, options, |list| {
                    if over {
                        write_items(list, items, status == "incomplete");
                    }
                });
            });
        });
    }

    /// The answer's id and the model's name to tell.
    fn names(&self) -> (&str, &str) {
        if self.options.same_dialect && !self.id.is_empty() {
            (&self.id, &self.model)
        } else {
            told(&self.options, &self.id, &self.model)
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            self.of_answer("response.created", ("in_progress", None), out);
            self.of_answer("response.in_progress", ("in_progress", None), out);
        }
    }

    /// Tells an event.
    pub(super) fn tell(&mut self, event: &ModelEvent, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        self.note(event);
        match event {
            ModelEvent::Start { .. } => self.begin(out),
            ModelEvent::Text { choice: 0, text } => self.say(false, text, out),
            ModelEvent::Refusal { choice: 0, text } => self.say(true, text, out),
            ModelEvent::Reasoning { choice: 0, text } => self.think(text, out),
            ModelEvent::ReasoningSignature { state } => self.sign(state, out),
            ModelEvent::RedactedReasoning { state } => self.seal(state, out),
            ModelEvent::Media { choice: 0, media } => self.show(media, out),
            ModelEvent::Citation { choice: 0, citation } => self.cite(citation, out),
            ModelEvent::Logprobs { choice: 0, json } => self.weigh(json, out),
            ModelEvent::ToolStart { call, choice: 0, id, name, state } => {
                if let Some(state) = state {
                    self.seal(state, out);
                }
                let called = Called::new(id, name, &self.options);
                let at = self.add(Kind::Call(called), out);
                self.calls.insert(*call, at);
            }
            ModelEvent::ToolDelta { call, json } => self.argue(*call, json, out),
            ModelEvent::ToolEnd { call } => {
                if self.open.is_some() && self.open == self.calls.get(call).copied() {
                    self.close(out);
                }
            }
            ModelEvent::Error { code, message } => {
                self.fail(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => self.done(out),
            // This dialect has one answer; asking for more was refused.
            ModelEvent::Text { .. }
            | ModelEvent::Refusal { .. }
            | ModelEvent::Reasoning { .. }
            | ModelEvent::Media { .. }
            | ModelEvent::Citation { .. }
            | ModelEvent::Logprobs { .. }
            | ModelEvent::ToolStart { .. }
            | ModelEvent::Usage(_)
            | ModelEvent::Billed(_)
            | ModelEvent::Finish { .. } => {}
        }
    }

    /// Closes what is open and opens an item.
    fn add(&mut self, kind: Kind, out: &mut BytesMut) -> usize {
        self.begin(out);
        self.close(out);
        let at = self.items.len();
        let (id, _) = self.names();
        let item = Item::made(id, at, kind);
        self.made = true;
        let number = self.count();
        emit::sse(out, Some("response.output_item.added"), |body| {
            body.str("type", "response.output_item.added");
            body.value("sequence_number", number);
            body.value("output_index", at);
            body.object("item", |body| item.write_begun(body));
        });
        self.items.push(item);
        self.open = Some(at);
        at
    }

    /// The open message's last piece, of this kind. Begun if it is not.
    fn piece(&mut self, refusal: bool, out: &mut BytesMut) -> Option<(usize, usize)> {
        let is_message = |item: &Item| matches!(item.kind, Kind::Message(_));
        let at = match self.open.filter(|at| self.items.get(*at).is_some_and(is_message)) {
            Some(at) => at,
            None => self.add(Kind::Message(Vec::new()), out),
        };
        let Some(Kind::Message(parts)) = self.kind(at) else { return None };
        let last = parts.len().checked_sub(1);
        let fits = |part: &Part| part.refusal == refusal && !part.done;
        if let Some(last) = last.filter(|last| parts.get(*last).is_some_and(fits)) {
            return Some((at, last));
        }
        let nth = parts.len();
        parts.push(Part::new(refusal));
        if let Some(last) = last {
            self.end_piece(at, last, out);
        }
        self.of_piece(at, nth, "response.content_part.added", out, |body, part| {
            body.object("part", |piece| part.write(piece));
        });
        Some((at, nth))
    }

    /// An event of a message's piece.
    fn of_piece(
        &mut self,
        at: usize,
        nth: usize,
        kind: &str,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>, &Part),
    ) {
        self.of_item(at, kind, out, |body, item| {
            body.value("content_index", nth);
            if let Kind::Message(parts) = &item.kind
                && let Some(part) = parts.get(nth)
            {
                fill(body, part);
            }
        });
    }

    fn end_piece(&mut self, at: usize, nth: usize, out: &mut BytesMut) {
        let Some(Kind::Message(parts)) = self.kind(at) else { return };
        let Some(part) = parts.get_mut(nth).filter(|part| !part.done) else { return };
        part.done = true;
        let kind = if part.refusal { "response.refusal.done" } else { "response.output_text.done" };
        self.of_piece(at, nth, kind, out, |body, part| {
            if part.refusal {
                return body.str("refusal", &part.text);
            }
            body.str("text", &part.text);
            body.raw("logprobs", &joined(&part.logprobs));
        });
        self.of_piece(at, nth, "response.content_part.done", out, |body, part| {
            body.object("part", |piece| part.write(piece));
        });
    }

    fn say(&mut self, refusal: bool, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        let Some((at, nth)) = self.piece(refusal, out) else { return };
        let kind = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.of_piece(at, nth, kind, out, |body, _| {
            body.str("delta", text);
            if !refusal {
                body.raw("logprobs", "[]");
            }
        });
        if let Some(Kind::Message(parts)) = self.kind(at) {
            part_of(parts, refusal).text.push_str(text);
        }
    }

    /// The sources of a text stand beside it; one without an address has no word here.
    fn cite(&mut self, citation: &Citation, out: &mut BytesMut) {
        if citation.url.is_none() {
            return;
        }
        let Some((at, nth)) = self.piece(false, out) else { return };
        self.of_piece(at, nth, "response.output_text.annotation.added", out, |body, part| {
            body.value("annotation_index", part.citations.len());
            body.object("annotation", |item| write_citation(item, citation));
        });
        if let Some(Kind::Message(parts)) = self.kind(at) {
            part_of(parts, false).citations.push(citation.clone());
        }
    }

    fn weigh(&mut self, json: &str, out: &mut BytesMut) {
        let Some((at, nth)) = self.piece(false, out) else { return };
        let list = joined(&[json.to_owned()]);
        self.of_piece(at, nth, "response.output_text.delta", out, |body, _| {
            body.str("delta", "");
            body.raw("logprobs", &list);
        });
        if let Some(Kind::Message(parts)) = self.kind(at) {
            part_of(parts, false).logprobs.push(json.to_owned());
        }
    }

    /// The open thought, if it takes more.
    fn open_thought(&self) -> Option<usize> {
        let takes = |item: &Item| matches!(&item.kind, Kind::Thought(Thought { sealed: None, .. }));
        self.open.filter(|at| self.items.get(*at).is_some_and(takes))
    }

    fn think(&mut self, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        let at = match self.open_thought() {
            Some(at) => at,
            None => self.add(Kind::Thought(Thought::default()), out),
        };
        let Some(Kind::Thought(thought)) = self.kind(at) else { return };
        let is_first = thought.paragraphs == 0;
        let text = thought.push(text);
        if is_first {
            self.of_item(at, "response.reasoning_summary_part.added", out, |body, _| {
                body.value("summary_index", 0);
                body.object("part", |part| write_summary(part, ""));
            });
        }
        self.of_item(at, "response.reasoning_summary_text.delta", out, |body, item| {
            body.value("summary_index", last_paragraph(item));
            body.str("delta", text);
        });
    }

    /// The state of the thought just told, or of one that is not shown.
    fn sign(&mut self, state: &IssuerState, out: &mut BytesMut) {
        let at = match self.open_thought() {
            Some(at) => at,
            None => self.add(Kind::Thought(Thought::default()), out),
        };
        if let Some(Kind::Thought(thought)) = self.kind(at) {
            thought.sealed = Some(state::signature(state, &thought.summary).into_owned());
        }
        self.touch(at);
        self.close(out);
    }

    /// State with nothing to show.
    fn seal(&mut self, state: &IssuerState, out: &mut BytesMut) {
        let sealed = Some(state.carried_by(ID).into_owned());
        let reused = self.open_thought().filter(|at| {
            // The upstream's own item, whose state is told here.
            self.items.get(*at).is_some_and(|item| match &item.kind {
                Kind::Thought(thought) => item.forwarded && thought.summary.is_empty(),
                _ => false,
            })
        });
        let at = match reused {
            Some(at) => at,
            None => self.add(Kind::Thought(Thought::default()), out),
        };
        if let Some(Kind::Thought(thought)) = self.kind(at) {
            thought.sealed = sealed;
        }
        self.touch(at);
        self.close(out);
    }

    fn show(&mut self, media: &Media, out: &mut BytesMut) {
        if let Some(kind) = Kind::picture(media) {
            self.add(kind, out);
            self.close(out);
        }
    }

    fn argue(&mut self, call: u32, json: &str, out: &mut BytesMut) {
        let at = self.calls.get(&call).copied().filter(|at| self.open == Some(*at));
        let Some(at) = at else { return };
        let Some(Kind::Call(called)) = self.kind(at) else { return };
        let text = called.push(json);
        let free = called.free.is_some();
        if text.is_empty() {
            return self.touch(at);
        }
        let kind = if free {
            "response.custom_tool_call_input.delta"
        } else {
            "response.function_call_arguments.delta"
        };
        self.of_item(at, kind, out, |body, _| body.str("delta", &text));
    }

    /// An item is told here from now on.
    fn touch(&mut self, at: usize) {
        if let Some(item) = self.items.get_mut(at) {
            (item.forwarded, item.raw, self.made) = (false, None, true);
        }
    }

    /// Ends the open item.
    pub(super) fn close(&mut self, out: &mut BytesMut) {
        let Some(at) = self.open.take() else { return };
        let status = match self.finish {
            Some(Finish::Length | Finish::ContentFilter) => "incomplete",
            _ => "completed",
        };
        let mut rest = String::new();
        let pieces = match self.kind(at) {
            Some(Kind::Message(parts)) => parts.len(),
            Some(Kind::Call(called)) => {
                rest = called.finish();
                0
            }
            _ => 0,
        };
        for nth in 0..pieces {
            self.end_piece(at, nth, out);
        }
        if !rest.is_empty() {
            let kind = "response.custom_tool_call_input.delta";
            self.of_item(at, kind, out, |body, _| body.str("delta", &rest));
        }
        self.end_item(at, out);
        self.touch(at);
        let number = self.count();
        let Some(item) = self.items.get_mut(at) else { return };
        item.done = true;
        emit::sse(out, Some("response.output_item.done"), |body| {
            body.str("type", "response.output_item.done");
            body.value("sequence_number", number);
            body.value("output_index", at);
            body.object("item", |body| item.write(body, status));
        });
    }

    /// The events before an item's last one.
    fn end_item(&mut self, at: usize, out: &mut BytesMut) {
        match self.items.get(at).map(|item| &item.kind) {
            Some(Kind::Thought(thought)) if !thought.summary.is_empty() => {
                self.of_item(at, "response.reasoning_summary_text.done", out, |body, item| {
                    body.value("summary_index", last_paragraph(item));
                    body.str("text", summary_of(item));
                });
                self.of_item(at, "response.reasoning_summary_part.done", out, |body, item| {
                    body.value("summary_index", last_paragraph(item));
                    body.object("part", |part| write_summary(part, summary_of(item)));
                });
            }
            Some(Kind::Call(called)) => {
                let (kind, field) = match called.free {
                    Some(_) => ("response.custom_tool_call_input.done", "input"),
                    None => ("response.function_call_arguments.done", "arguments"),
                };
                let text = called.text().into_owned();
                let name = called.free.is_none().then(|| called.name.clone());
                self.of_item(at, kind, out, |body, _| {
                    body.opt_str("name", name.as_deref());
                    body.str(field, &text);
                });
            }
            _ => {}
        }
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.begin(out);
        self.close(out);
        let (kind, status) = match self.finish.and_then(incomplete_word) {
            Some(_) => ("response.incomplete", "incomplete"),
            None => ("response.completed", "completed"),
        };
        self.of_answer(kind, (status, None), out);
        self.ended = true;
    }

    /// The answer failed: told twice, as the API does. Some clients read the one, some the other.
    pub(super) fn fail(&mut self, error: &CallError, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.event("error", out, |body| write_failure(body, error));
        self.items.retain(|item| item.done);
        self.of_answer("response.failed", ("failed", Some(error)), out);
    }
}

fn last_paragraph(item: &Item) -> u64 {
    match &item.kind {
        Kind::Thought(thought) => thought.paragraphs.saturating_sub(1),
        _ => 0,
    }
}

fn summary_of(item: &Item) -> &str {
    match &item.kind {
        Kind::Thought(thought) => &thought.summary,
        _ => "",
    }
}
