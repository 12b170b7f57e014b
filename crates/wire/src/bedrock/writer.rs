//! Events into a client's bytes.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Citation, Finish, Frame, IssuerState, ModelEvent, Usage};
use serde::Deserialize;

use super::event::write_usage;
use super::history::cover;
use super::{ID, exception, finish_word, write_error};
use crate::answer::{Answer, Bodies, Collected, Piece, cut};
use crate::calls::object_of;
use crate::emit::{self, Object};
use crate::eventstream::{self, Splitter, is_whole};
use crate::json::Count;
use crate::sse::MOST_EVENT;
use crate::{Writer, WriterOptions};

pub(super) fn new(options: WriterOptions) -> Box<dyn Writer> {
    if options.streaming {
        Box::new(Streaming { same_dialect: options.same_dialect, ..Streaming::default() })
    } else {
        let error = |error: &CallError, out: &mut BytesMut| {
            emit::object(out, |body| write_error(body, error));
        };
        Box::new(Collected::new(options, Bodies { answer: write_answer, error }))
    }
}

/// Writes a binary event stream. Messages of the same dialect go through as they came, until one
/// is made here: block numbers may differ from then on, and everything but the end is made anew.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Streaming {
    same_dialect: bool,
    /// Whether anything was made here.
    made: bool,
    started: bool,
    /// The next block's number.
    next: u64,
    open: Option<Open>,
    /// Why the answer stops, where it was said and not told.
    stop: Option<&'static str>,
    stopped: bool,
    called: bool,
    refused: bool,
    usage: Option<Usage>,
    accounted: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    index: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
    Call(u32),
    /// What the common form has no word for.
    Other,
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match &frame.raw {
            Some(raw) if self.same_dialect && (!self.made || closes(frame)) => {
                self.forward(frame, raw, out);
            }
            _ => {
                self.made |= !frame.events.is_empty();
                frame.events.iter().for_each(|event| self.tell(event, out));
            }
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if !self.ended {
            self.error(&cut(), out);
        }
    }

    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.ended, true) {
            let name = exception(error.code);
            let kind = [(":message-type", "exception"), (":exception-type", name), JSON];
            message(out, &kind, |body| body.str("message", &error.public));
        }
    }
}

/// Whether a frame is of the answer's end and says nothing that was told already.
fn closes(frame: &Frame) -> bool {
    let is_end = |event: &ModelEvent| {
        matches!(
            event,
            ModelEvent::Finish { .. }
                | ModelEvent::Usage(_)
                | ModelEvent::Billed(_)
                | ModelEvent::Error { .. }
                | ModelEvent::Done
        )
    };
    !frame.events.is_empty() && frame.events.iter().all(is_end)
}

const JSON: (&str, &str) = (":content-type", "application/json");

fn message(out: &mut BytesMut, headers: &[(&str, &str)], fill: impl FnOnce(&mut Object<'_>)) {
    let mut payload = BytesMut::new();
    emit::object(&mut payload, fill);
    eventstream::encode(headers, &payload, out);
}

fn event(out: &mut BytesMut, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
    message(out, &[(":message-type", "event"), (":event-type", name), JSON], fill);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    content_block_index: Option<Count>,
}

impl Streaming {
    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        if !is_whole(raw) {
            // Half a message that means nothing: a message could not follow it.
            return;
        }
        if closes(frame) && self.made {
            self.close(out);
            let finishes = |event: &ModelEvent| matches!(event, ModelEvent::Finish { .. });
            if self.stop.is_some() && !frame.events.iter().any(finishes) {
                self.stop(out);
            }
        }
        self.follow(frame, raw);
        out.extend_from_slice(raw);
    }

    /// Keeps track of what a forwarded message said.
    fn follow(&mut self, frame: &Frame, raw: &Bytes) {
        let mut messages = Vec::new();
        let split = Splitter::new(MOST_EVENT).push(raw.clone(), &mut messages);
        if let (Ok(()), Some(message)) = (split, messages.first()) {
            let place = serde_json::from_slice::<Place>(&message.payload()).ok();
            let index = place.and_then(|place| place.content_block_index).map(|index| index.0);
            match (message.header(":event-type"), index) {
                (Some("contentBlockStop"), Some(_)) => self.open = None,
                (Some(_), Some(index)) => {
                    self.next = self.next.max(index.saturating_add(1));
                    let same = self.open.filter(|open| open.index == index);
                    let kind = same.map_or(Kind::Other, |open| open.kind);
                    let kind = frame.events.iter().find_map(kind_of).unwrap_or(kind);
                    self.open = Some(Open { index, kind });
                }
                _ => {}
            }
        }
        for event in &frame.events {
            match event {
                ModelEvent::Start { .. } => self.started = true,
                ModelEvent::ToolStart { .. } => self.called = true,
                ModelEvent::Finish { .. } => self.stopped = true,
                ModelEvent::Usage(_) => self.accounted = true,
                ModelEvent::Error { .. } | ModelEvent::Done => self.ended = true,
                _ => {}
            }
        }
    }

    fn tell(&mut self, event: &ModelEvent, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match event {
            ModelEvent::Start { usage, .. } => {
                self.usage = usage.or(self.usage);
                self.start(out);
            }
            ModelEvent::Text { choice: 0, text } => self.text(text, out),
            ModelEvent::Refusal { choice: 0, text } => {
                self.refused = true;
                self.text(text, out);
            }
            ModelEvent::Reasoning { choice: 0, text } if !text.is_empty() => {
                let index = self.block(Kind::Thought, out);
                delta(out, index, |delta| {
                    delta.object("reasoningContent", |thought| thought.str("text", text));
                });
            }
            ModelEvent::ReasoningSignature { state } => {
                let index = self.block(Kind::Thought, out);
                delta(out, index, |delta| {
                    delta.object("reasoningContent", |thought| {
                        thought.str("signature", &state.carried_by(ID));
                    });
                });
                self.close(out);
            }
            ModelEvent::RedactedReasoning { state } => self.redacted(state, out),
            ModelEvent::Citation { choice: 0, citation } => {
                let index = self.block(Kind::Text, out);
                delta(out, index, |delta| {
                    delta.object("citation", |body| write_citation(body, citation));
                });
            }
            ModelEvent::ToolStart { call, choice: 0, id, name, .. } => {
                self.call(*call, id, name, out);
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(Open { index, kind }) = self.open
                    && kind == Kind::Call(*call)
                {
                    delta(out, index, |delta| {
                        delta.object("toolUse", |tool| tool.str("input", json));
                    });
                }
            }
            ModelEvent::ToolEnd { call } => {
                if self.open.is_some_and(|open| open.kind == Kind::Call(*call)) {
                    self.close(out);
                }
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish { choice: 0, reason, native } => {
                let refused = self.refused && *reason == Finish::Stop;
                let reason = if refused { Finish::ContentFilter } else { *reason };
                self.stop = Some(finish_word(reason, native));
            }
            ModelEvent::Error { code, message } => {
                self.error(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => self.done(out),
            // This dialect has one answer; asking for more was refused.
            ModelEvent::Text { .. }
            | ModelEvent::Refusal { .. }
            | ModelEvent::Reasoning { .. }
            | ModelEvent::ToolStart { .. }
            | ModelEvent::Media { .. }
            | ModelEvent::Citation { .. }
            | ModelEvent::Logprobs { .. }
            | ModelEvent::Billed(_)
            | ModelEvent::Finish { .. } => {}
        }
    }

    fn start(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.started, true) {
            event(out, "messageStart", |body| body.str("role", "assistant"));
        }
    }

    /// Closes what is open and takes the next number.
    fn begin(&mut self, kind: Kind, out: &mut BytesMut) -> u64 {
        self.start(out);
        self.close(out);
        let index = self.next;
        self.next += 1;
        self.open = Some(Open { index, kind });
        index
    }

    fn close(&mut self, out: &mut BytesMut) {
        if let Some(open) = self.open.take() {
            event(out, "contentBlockStop", |body| body.value("contentBlockIndex", open.index));
        }
    }

    /// The number of the open block of this kind. Text and thought begin with their first delta.
    fn block(&mut self, kind: Kind, out: &mut BytesMut) -> u64 {
        match self.open.filter(|open| open.kind == kind) {
            Some(open) => open.index,
            None => self.begin(kind, out),
        }
    }

    fn text(&mut self, text: &str, out: &mut BytesMut) {
        if !text.is_empty() {
            let index = self.block(Kind::Text, out);
            delta(out, index, |delta| delta.str("text", text));
        }
    }

    fn redacted(&mut self, state: &IssuerState, out: &mut BytesMut) {
        let index = self.begin(Kind::Thought, out);
        delta(out, index, |delta| {
            delta.object("reasoningContent", |thought| {
                thought.str("redactedContent", &cover(state));
            });
        });
        self.close(out);
    }

    fn call(&mut self, call: u32, id: &str, name: &str, out: &mut BytesMut) {
        let index = self.begin(Kind::Call(call), out);
        self.called = true;
        event(out, "contentBlockStart", |body| {
            body.object("start", |start| {
                start.object("toolUse", |tool| {
                    tool.str("toolUseId", id);
                    tool.str("name", name);
                });
            });
            body.value("contentBlockIndex", index);
        });
    }

    /// Tells why the answer stops, where nothing told it.
    fn stop(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.stopped, true) {
            let usual = if self.called { "tool_use" } else { "end_turn" };
            let stop = self.stop.unwrap_or(usual);
            event(out, "messageStop", |body| body.str("stopReason", stop));
        }
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.start(out);
        self.close(out);
        self.stop(out);
        if let Some(usage) = self.usage.filter(|_| !self.accounted) {
            event(out, "metadata", |body| accounts(body, &usage));
        }
        self.ended = true;
    }
}

fn kind_of(event: &ModelEvent) -> Option<Kind> {
    match event {
        ModelEvent::Text { .. } | ModelEvent::Citation { .. } => Some(Kind::Text),
        ModelEvent::Reasoning { .. } | ModelEvent::ReasoningSignature { .. } => Some(Kind::Thought),
        ModelEvent::ToolStart { call, .. } => Some(Kind::Call(*call)),
        _ => None,
    }
}

fn delta(out: &mut BytesMut, index: u64, fill: impl FnOnce(&mut Object<'_>)) {
    event(out, "contentBlockDelta", |body| {
        body.object("delta", fill);
        body.value("contentBlockIndex", index);
    });
}

fn write_citation(body: &mut Object<'_>, citation: &Citation) {
    body.opt_str("title", citation.title.as_deref());
    if let Some(text) = &citation.text {
        body.array("sourceContent", |list| list.object(|passage| passage.str("text", text)));
    }
    if let Some(url) = &citation.url {
        body.object("location", |location| {
            location.object("web", |web| web.str("url", url));
        });
    }
}

/// Usage, and the metrics that clients take for granted: the time is not known here.
fn accounts(body: &mut Object<'_>, usage: &Usage) {
    body.object("usage", |body| write_usage(body, usage));
    body.object("metrics", |metrics| metrics.value("latencyMs", 0));
}

fn write_answer(answer: &Answer, _options: &WriterOptions, out: &mut BytesMut) {
    let choice = answer.choices.get(&0);
    let pieces = choice.map(|choice| choice.pieces.as_slice()).unwrap_or_default();
    let is_refusal = |piece: &Piece| matches!(piece, Piece::Refusal(_));
    let stop = match choice.and_then(|choice| choice.finish.as_ref()) {
        Some((Finish::Stop, _)) if pieces.iter().any(is_refusal) => "content_filtered",
        Some((reason, native)) => finish_word(*reason, native),
        None => "end_turn",
    };
    emit::object(out, |body| {
        body.object("output", |output| {
            output.object("message", |message| {
                message.str("role", "assistant");
                message.array("content", |content| {
                    for piece in pieces.iter().filter(|piece| !is_nothing(piece)) {
                        content.object(|block| write_piece(block, piece));
                    }
                    let citations = choice.map(|choice| choice.citations.as_slice());
                    if let Some(citations @ [_, ..]) = citations {
                        content.object(|block| write_citations(block, citations));
                    }
                });
            });
        });
        body.str("stopReason", stop);
        if let Some(usage) = &answer.usage {
            accounts(body, usage);
        }
    });
}

/// Where in the text each belongs is not known any more, so they stand at its end.
fn write_citations(block: &mut Object<'_>, citations: &[Citation]) {
    block.object("citationsContent", |body| {
        body.array("content", |_| {});
        body.array("citations", |list| {
            for citation in citations {
                list.object(|body| write_citation(body, citation));
            }
        });
    });
}

/// Whether a piece is one that the dialect has no block for, or an empty one.
fn is_nothing(piece: &Piece) -> bool {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => text.is_empty(),
        Piece::Media(_) => true,
        _ => false,
    }
}

fn write_piece(block: &mut Object<'_>, piece: &Piece) {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => block.str("text", text),
        Piece::Reasoning { text, signature } => {
            block.object("reasoningContent", |thought| {
                thought.object("reasoningText", |shown| {
                    shown.str("text", text);
                    let carried = signature.as_ref().map(|state| state.carried_by(ID));
                    shown.opt_str("signature", carried.as_deref());
                });
            });
        }
        Piece::Redacted(state) => {
            block.object("reasoningContent", |thought| {
                thought.str("redactedContent", &cover(state));
            });
        }
        Piece::Call { id, name, arguments, .. } => {
            let (input, _): (Cow<'_, str>, bool) = object_of(arguments);
            block.object("toolUse", |tool| {
                tool.str("toolUseId", id);
                tool.str("name", name);
                tool.raw("input", &input);
            });
        }
        Piece::Media(_) => {}
    }
}
