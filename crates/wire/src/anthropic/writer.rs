//! Events into a client's stream events, or one whole answer.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Citation, Finish, Frame, IssuerState, ModelEvent, Usage};

use super::blocks::{self, Blocks, Place, Step};
use super::{ID, finish_word, input_of, write_error, write_usage};
use crate::answer::{Answer, Bodies, Collected, Piece, cut, told};
use crate::emit::{self, Object};
use crate::stream::Tail;
use crate::{Writer, WriterOptions};

pub(super) fn new(options: WriterOptions) -> Box<dyn Writer> {
    if options.streaming {
        Box::new(Streaming { options, ..Streaming::default() })
    } else {
        let error = |error: &CallError, out: &mut BytesMut| {
            emit::object(out, |body| write_error(body, error));
        };
        Box::new(Collected::new(options, Bodies { answer: write_answer, error }))
    }
}

/// Writes stream events. Events of the same dialect go through as they came, and are followed
/// closely enough that a block made here can stand among them.
#[derive(Debug, Default)]
struct Streaming {
    options: WriterOptions,
    blocks: Blocks,
    /// The block that is not closed yet, made here or forwarded.
    open: Option<Open>,
    /// The calls made here.
    calls: BTreeSet<u32>,
    started: bool,
    refused: bool,
    stop: Stop,
    usage: Option<Usage>,
    tail: Tail,
    ended: bool,
}

/// Why the answer stops.
#[derive(Debug, Clone, Copy, Default)]
enum Stop {
    #[default]
    Unsaid,
    /// Not said, but tools were called.
    Calls,
    Said(&'static str),
    /// `message_delta` went out.
    Told,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    index: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
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
            Some(raw) if self.options.same_dialect && !self.concerns_own_call(frame) => {
                self.forward(frame, raw, out);
            }
            _ => {
                self.tail.seal(out);
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
            self.tail.seal(out);
            emit::sse(out, Some("error"), |body| write_error(body, error));
        }
    }
}

impl Streaming {
    /// Whether the frame goes on with a call that was made here: its bytes would not fit then.
    fn concerns_own_call(&self, frame: &Frame) -> bool {
        !self.calls.is_empty()
            && frame.events.iter().any(|event| match event {
                ModelEvent::ToolDelta { call, .. } | ModelEvent::ToolEnd { call } => {
                    self.calls.contains(call)
                }
                _ => false,
            })
    }

    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let place = self.blocks.place(raw);
        match place.step {
            Step::None => {
                let is_end = |event: &ModelEvent| {
                    matches!(event, ModelEvent::Finish { .. } | ModelEvent::Done)
                };
                if frame.events.iter().any(is_end) {
                    self.close(out);
                }
                self.tail.forward(frame, raw, out);
            }
            Step::Start => self.close(out),
            Step::Delta | Step::Stop if self.blocks.is_empty() => {
                return self.tail.forward(frame, raw, out);
            }
            Step::Delta | Step::Stop => {}
        }
        if let Some(own) = self.blocks.number(&place) {
            self.tail.forward(frame, &place.renumber(raw, own), out);
            match place.step {
                Step::Start => self.open = Some(Open { index: own, kind: kind_of(&place, frame) }),
                Step::Stop => self.open = self.open.filter(|open| open.index != own),
                Step::Delta | Step::None => {}
            }
        } else if place.step == Step::Delta {
            // Its block was closed here, so what it says goes into another.
            return frame.events.iter().for_each(|event| self.tell(event, out));
        }
        self.follow(frame);
    }

    /// Keeps track of what a forwarded frame said.
    fn follow(&mut self, frame: &Frame) {
        for event in &frame.events {
            match event {
                ModelEvent::Start { usage, .. } => {
                    self.started = true;
                    self.usage = usage.or(self.usage);
                }
                ModelEvent::ToolStart { .. } => self.stop = Stop::Calls,
                ModelEvent::Usage(usage) => self.usage = Some(*usage),
                ModelEvent::Finish { .. } => self.stop = Stop::Told,
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
            ModelEvent::Start { id, model, usage, .. } => {
                self.usage = usage.or(self.usage);
                self.start(id, model, out);
            }
            ModelEvent::Text { choice: 0, text } => self.text(text, out),
            ModelEvent::Refusal { choice: 0, text } => {
                self.refused = true;
                self.text(text, out);
            }
            ModelEvent::Reasoning { choice: 0, text } if !text.is_empty() => {
                let index = self.block(Kind::Thinking, out);
                delta(index, out, "thinking_delta", |delta| delta.str("thinking", text));
            }
            ModelEvent::ReasoningSignature { state } => {
                let index = self.block(Kind::Thinking, out);
                let carried = state.carried_by(ID);
                delta(index, out, "signature_delta", |delta| delta.str("signature", &carried));
                self.close(out);
            }
            ModelEvent::RedactedReasoning { state } => {
                let index = self.begin(out);
                begin(index, out, |block| {
                    block.str("type", "redacted_thinking");
                    block.str("data", &state.carried_by(ID));
                });
                blocks::stop(index, out);
            }
            ModelEvent::ToolStart { call, choice: 0, id, name, state } => {
                if let Some(state) = state.as_ref().filter(|state| state.issuer != ID) {
                    self.state(state, out);
                }
                self.call(*call, id, name, out);
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(Open { index, kind }) = self.open
                    && kind == Kind::Call(*call)
                {
                    delta(index, out, "input_json_delta", |delta| delta.str("partial_json", json));
                }
            }
            ModelEvent::ToolEnd { call } => {
                if self.open.is_some_and(|open| open.kind == Kind::Call(*call)) {
                    self.close(out);
                }
            }
            ModelEvent::Citation { choice: 0, citation } => {
                // A source of no text here has no place: an empty text would be refused later.
                let text = self.open.filter(|open| open.kind == Kind::Text);
                if let Some(open) = text.filter(|_| citation.url.is_some()) {
                    delta(open.index, out, "citations_delta", |delta| {
                        delta.object("citation", |item| write_citation(item, citation));
                    });
                }
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish { choice: 0, reason, native } => {
                let refused = self.refused && *reason == Finish::Stop;
                let reason = if refused { Finish::ContentFilter } else { *reason };
                self.stop = Stop::Said(finish_word(reason, native));
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
            | ModelEvent::Logprobs { .. }
            | ModelEvent::Citation { .. }
            | ModelEvent::Billed(_)
            | ModelEvent::Finish { .. } => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (id, model) = told(&self.options, id, model);
        // The real figure follows in `message_delta`; until then clients show this one.
        let about = || Usage { input: self.options.input_estimate, ..Usage::default() };
        let usage = self.usage.unwrap_or_else(about);
        emit::sse(out, Some("message_start"), |body| {
            body.str("type", "message_start");
            body.object("message", |message| {
                message.str("id", id);
                message.str("type", "message");
                message.str("role", "assistant");
                message.str("model", model);
                message.array("content", |_| {});
                message.raw("stop_reason", "null");
                message.raw("stop_sequence", "null");
                message.object("usage", |body| write_usage(body, &usage));
            });
        });
    }

    /// Closes what is open and takes the next number.
    fn begin(&mut self, out: &mut BytesMut) -> u64 {
        self.start("", "", out);
        self.close(out);
        self.blocks.begin()
    }

    fn close(&mut self, out: &mut BytesMut) {
        if let Some(open) = self.open.take() {
            self.blocks.close(open.index);
            blocks::stop(open.index, out);
        }
    }

    /// The number of the open block of this kind, opened if it is not.
    fn block(&mut self, kind: Kind, out: &mut BytesMut) -> u64 {
        if let Some(open) = self.open.filter(|open| open.kind == kind) {
            return open.index;
        }
        let index = self.begin(out);
        begin(index, out, |block| {
            if kind == Kind::Thinking {
                block.str("type", "thinking");
                block.str("thinking", "");
                block.str("signature", "");
            } else {
                block.str("type", "text");
                block.str("text", "");
            }
        });
        self.open = Some(Open { index, kind });
        index
    }

    /// State that another issuer wants back with the call that follows: an empty thought carries
    /// it.
    fn state(&mut self, state: &IssuerState, out: &mut BytesMut) {
        self.close(out);
        let index = self.block(Kind::Thinking, out);
        let carried = state.carried_by(ID);
        delta(index, out, "signature_delta", |delta| delta.str("signature", &carried));
        self.close(out);
    }

    fn text(&mut self, text: &str, out: &mut BytesMut) {
        if !text.is_empty() {
            let index = self.block(Kind::Text, out);
            delta(index, out, "text_delta", |delta| delta.str("text", text));
        }
    }

    fn call(&mut self, call: u32, id: &str, name: &str, out: &mut BytesMut) {
        let index = self.begin(out);
        begin(index, out, |block| {
            block.str("type", "tool_use");
            block.str("id", id);
            block.str("name", name);
            block.object("input", |_| {});
        });
        self.open = Some(Open { index, kind: Kind::Call(call) });
        self.calls.insert(call);
        self.stop = Stop::Calls;
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.start("", "", out);
        self.close(out);
        let stop = match self.stop {
            Stop::Unsaid => Some("end_turn"),
            Stop::Calls => Some("tool_use"),
            Stop::Said(word) => Some(word),
            Stop::Told => None,
        };
        if let Some(stop) = stop {
            let usage = self.usage;
            emit::sse(out, Some("message_delta"), |body| {
                body.str("type", "message_delta");
                body.object("delta", |delta| {
                    delta.str("stop_reason", stop);
                    delta.raw("stop_sequence", "null");
                });
                body.object("usage", |body| match &usage {
                    Some(usage) => write_usage(body, usage),
                    None => body.value("output_tokens", 0),
                });
            });
        }
        emit::sse(out, Some("message_stop"), |body| body.str("type", "message_stop"));
        self.ended = true;
    }
}

fn kind_of(place: &Place, frame: &Frame) -> Kind {
    let call = frame.events.iter().find_map(|event| match event {
        ModelEvent::ToolStart { call, .. } => Some(Kind::Call(*call)),
        _ => None,
    });
    match place.kind.as_str() {
        "text" => Kind::Text,
        "thinking" => Kind::Thinking,
        _ => call.unwrap_or(Kind::Other),
    }
}

fn begin(index: u64, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
    emit::sse(out, Some("content_block_start"), |body| {
        body.str("type", "content_block_start");
        body.value("index", index);
        body.object("content_block", fill);
    });
}

fn delta(index: u64, out: &mut BytesMut, kind: &str, fill: impl FnOnce(&mut Object<'_>)) {
    emit::sse(out, Some("content_block_delta"), |body| {
        body.str("type", "content_block_delta");
        body.value("index", index);
        body.object("delta", |delta| {
            delta.str("type", kind);
            fill(delta);
        });
    });
}

fn write_answer(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (id, model) = told(options, &answer.id, &answer.model);
    let choice = answer.choices.get(&0);
    let pieces = choice.map(|choice| choice.pieces.as_slice()).unwrap_or_default();
    let is_refusal = |piece: &Piece| matches!(piece, Piece::Refusal(_));
    let stop = match choice.and_then(|choice| choice.finish.as_ref()) {
        Some((Finish::Stop, _)) if pieces.iter().any(is_refusal) => "refusal",
        Some((reason, native)) => finish_word(*reason, native),
        None => "end_turn",
    };
    emit::object(out, |body| {
        body.str("id", id);
        body.str("type", "message");
        body.str("role", "assistant");
        body.str("model", model);
        let citations = choice.map(|choice| choice.citations.as_slice()).unwrap_or_default();
        let last = pieces.iter().rposition(|piece| matches!(piece, Piece::Text(_)));
        body.array("content", |content| {
            for (at, piece) in pieces.iter().enumerate() {
                if matches!(piece, Piece::Text(text) | Piece::Refusal(text) if text.is_empty())
                    || matches!(piece, Piece::Media(_))
                {
                    continue;
                }
                if let Piece::Call { state: Some(state), .. } = piece
                    && state.issuer != ID
                {
                    content.object(|block| write_thought(block, "", &state.carried_by(ID)));
                }
                let cited = if last == Some(at) { citations } else { &[] };
                content.object(|block| write_piece(block, piece, cited));
            }
        });
        body.str("stop_reason", stop);
        body.raw("stop_sequence", "null");
        body.object("usage", |body| write_usage(body, &answer.usage.unwrap_or_default()));
    });
}

fn write_thought(block: &mut Object<'_>, text: &str, signature: &str) {
    block.str("type", "thinking");
    block.str("thinking", text);
    block.str("signature", signature);
}

/// Writes a source in the form of a web search's. Its index is known to Anthropic only: whoever
/// sends this back to Anthropic must take it out.
fn write_citation(item: &mut Object<'_>, citation: &Citation) {
    item.str("type", "web_search_result_location");
    item.str("url", citation.url.as_deref().unwrap_or_default());
    item.str("title", citation.title.as_deref().unwrap_or_default());
    item.str("cited_text", citation.text.as_deref().unwrap_or_default());
    item.str("encrypted_index", "");
}

fn write_piece(block: &mut Object<'_>, piece: &Piece, citations: &[Citation]) {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => {
            block.str("type", "text");
            block.str("text", text);
            let mut cited = citations.iter().filter(|citation| citation.url.is_some()).peekable();
            if cited.peek().is_some() {
                block.array("citations", |list| {
                    for citation in cited {
                        list.object(|item| write_citation(item, citation));
                    }
                });
            }
        }
        Piece::Reasoning { text, signature } => {
            let carried = signature.as_ref().map(|state| state.carried_by(ID));
            write_thought(block, text, &carried.unwrap_or_default());
        }
        Piece::Media(_) => {}
        Piece::Redacted(state) => {
            block.str("type", "redacted_thinking");
            block.str("data", &state.carried_by(ID));
        }
        Piece::Call { id, name, arguments, .. } => {
            let (input, _): (Cow<'_, str>, bool) = input_of(arguments);
            block.str("type", "tool_use");
            block.str("id", id);
            block.str("name", name);
            block.raw("input", &input);
        }
    }
}
