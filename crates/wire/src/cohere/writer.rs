//! Events into a client's bytes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Citation, Finish, Frame, ModelEvent, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{finish_word, write_error};
use crate::answer::{Answer, Bodies, Collected, Piece, cut, told};
use crate::emit::{self, Array, Object};
use crate::json::{Count, Word};
use crate::sse::Event;
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

/// Writes stream events. Events of the same dialect go through as they came, until one is made
/// here: numbers may differ from then on, and everything but the end is made anew.
#[derive(Debug, Default)]
struct Streaming {
    options: WriterOptions,
    /// Whether anything was made here.
    made: bool,
    started: bool,
    /// The next content block's number.
    next: u64,
    open: Option<Open>,
    /// The calls' numbers.
    calls: BTreeMap<u32, u64>,
    next_call: u64,
    citations: u64,
    finish: Option<&'static str>,
    usage: Option<Usage>,
    tail: Tail,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text(u64),
    Thought(u64),
    Call(u32),
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match &frame.raw {
            Some(raw) if self.options.same_dialect && (!self.made || closes(frame)) => {
                self.forward(frame, raw, out);
            }
            _ => {
                self.tail.seal(out);
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

    /// Ends the answer with the word for an error, and what went wrong.
    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.tail.seal(out);
        emit::sse(out, Some("message-end"), |body| {
            body.str("type", "message-end");
            body.object("delta", |delta| {
                delta.str("finish_reason", "ERROR");
                delta.str("error", &error.public);
            });
        });
    }
}

/// Whether a frame is the answer's end and says nothing else.
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

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
    index: Option<Count>,
}

impl Streaming {
    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        if self.made {
            self.close(out);
        }
        self.follow(frame, raw);
        self.tail.forward(frame, raw, out);
    }

    /// Keeps track of what a forwarded event said.
    fn follow(&mut self, frame: &Frame, raw: &Bytes) {
        let event = Event::whole(raw.clone());
        if let Some(data) = event.data()
            && let Ok(place) = serde_json::from_str::<Place<'_>>(&data)
        {
            let index = place.index.unwrap_or_default().0;
            match &*place.kind.0 {
                "content-start" | "content-delta" => {
                    self.next = self.next.max(index.saturating_add(1));
                    let thinks = |event: &ModelEvent| matches!(event, ModelEvent::Reasoning { .. });
                    let thinks = frame.events.iter().any(thinks);
                    self.open = Some(if thinks { Open::Thought(index) } else { Open::Text(index) });
                }
                "content-end" | "tool-call-end" => self.open = None,
                "citation-start" => self.citations = self.citations.max(index.saturating_add(1)),
                "tool-call-start" => {
                    self.next_call = self.next_call.max(index.saturating_add(1));
                }
                _ => {}
            }
            for event in &frame.events {
                if let ModelEvent::ToolStart { call, .. } = event {
                    self.calls.insert(*call, index);
                    self.open = Some(Open::Call(*call));
                }
            }
        }
        for event in &frame.events {
            match event {
                ModelEvent::Start { .. } => self.started = true,
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
            ModelEvent::Start { id, usage, .. } => {
                self.usage = usage.or(self.usage);
                self.start(id, out);
            }
            ModelEvent::Text { choice: 0, text } | ModelEvent::Refusal { choice: 0, text } => {
                if !text.is_empty() {
                    self.say(false, out, |content| content.str("text", text), None);
                }
            }
            ModelEvent::Reasoning { choice: 0, text } if !text.is_empty() => {
                self.say(true, out, |content| content.str("thinking", text), None);
            }
            ModelEvent::Logprobs { choice: 0, json } => {
                for (token, logprob) in entries(json) {
                    let logprobs = (token.as_str(), logprob);
                    self.say(false, out, |content| content.str("text", ""), Some(logprobs));
                }
            }
            ModelEvent::Citation { choice: 0, citation } => self.cite(citation, out),
            ModelEvent::ToolStart { call, choice: 0, id, name, .. } => {
                self.call(*call, id, name, out);
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(index) = self.calls.get(call) {
                    event_at(out, "tool-call-delta", *index, |message| {
                        message.object("tool_calls", |call| {
                            call.object("function", |function| function.str("arguments", json));
                        });
                    });
                }
            }
            ModelEvent::ToolEnd { call } => {
                if self.open == Some(Open::Call(*call)) {
                    self.close(out);
                }
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish { choice: 0, reason, native } => {
                self.finish = Some(finish_word(*reason, native));
            }
            ModelEvent::Error { code, message } => {
                self.error(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => self.done(out),
            // This dialect has one answer and no words for the others.
            ModelEvent::Text { .. }
            | ModelEvent::Refusal { .. }
            | ModelEvent::Reasoning { .. }
            | ModelEvent::ReasoningSignature { .. }
            | ModelEvent::RedactedReasoning { .. }
            | ModelEvent::ToolStart { .. }
            | ModelEvent::Media { .. }
            | ModelEvent::Citation { .. }
            | ModelEvent::Logprobs { .. }
            | ModelEvent::Billed(_)
            | ModelEvent::Finish { .. } => {}
        }
    }

    fn start(&mut self, id: &str, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (id, _) = told(&self.options, id, "");
        emit::sse(out, Some("message-start"), |body| {
            body.str("id", id);
            body.str("type", "message-start");
            body.object("delta", |delta| {
                delta.object("message", |message| {
                    message.str("role", "assistant");
                    message.array("content", |_| {});
                    message.str("tool_plan", "");
                    message.array("tool_calls", |_| {});
                    message.array("citations", |_| {});
                });
            });
        });
    }

    fn close(&mut self, out: &mut BytesMut) {
        let (kind, index) = match self.open.take() {
            None => return,
            Some(Open::Text(index) | Open::Thought(index)) => ("content-end", index),
            Some(Open::Call(call)) => {
                ("tool-call-end", self.calls.get(&call).copied().unwrap_or_default())
            }
        };
        emit::sse(out, Some(kind), |body| {
            body.str("type", kind);
            body.value("index", index);
        });
    }

    /// Adds to the open content of this kind, opened if it is not.
    fn say(
        &mut self,
        thinks: bool,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>),
        logprobs: Option<(&str, f64)>,
    ) {
        let index = match self.open {
            Some(Open::Text(index)) if !thinks => index,
            Some(Open::Thought(index)) if thinks => index,
            _ => {
                self.start("", out);
                self.close(out);
                let index = self.next;
                self.next += 1;
                self.open = Some(if thinks { Open::Thought(index) } else { Open::Text(index) });
                let kind = if thinks { "thinking" } else { "text" };
                event_at(out, "content-start", index, |message| {
                    message.object("content", |content| {
                        content.str("type", kind);
                        content.str(kind, "");
                    });
                });
                index
            }
        };
        emit::sse(out, Some("content-delta"), |body| {
            body.str("type", "content-delta");
            body.value("index", index);
            body.object("delta", |delta| {
                delta.object("message", |message| message.object("content", fill));
            });
            if let Some((token, logprob)) = logprobs {
                body.object("logprobs", |entry| write_logprob(entry, token, logprob));
            }
        });
    }

    fn cite(&mut self, citation: &Citation, out: &mut BytesMut) {
        self.start("", out);
        let index = self.citations;
        self.citations += 1;
        event_at(out, "citation-start", index, |message| {
            message.object("citations", |body| write_citation(body, citation));
        });
        emit::sse(out, Some("citation-end"), |body| {
            body.str("type", "citation-end");
            body.value("index", index);
        });
    }

    fn call(&mut self, call: u32, id: &str, name: &str, out: &mut BytesMut) {
        self.start("", out);
        self.close(out);
        let index = self.next_call;
        self.next_call += 1;
        self.calls.insert(call, index);
        self.open = Some(Open::Call(call));
        event_at(out, "tool-call-start", index, |message| {
            message.object("tool_calls", |call| {
                call.str("id", id);
                call.str("type", "function");
                call.object("function", |function| {
                    function.str("name", name);
                    function.str("arguments", "");
                });
            });
        });
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.start("", out);
        self.close(out);
        let usual = if self.calls.is_empty() { "COMPLETE" } else { "TOOL_CALL" };
        let (finish, usage) = (self.finish.unwrap_or(usual), self.usage);
        emit::sse(out, Some("message-end"), |body| {
            body.str("type", "message-end");
            body.object("delta", |delta| {
                delta.str("finish_reason", finish);
                write_usage(delta, usage.as_ref());
            });
        });
        self.ended = true;
    }
}

/// Writes an event whose delta is in a message.
fn event_at(out: &mut BytesMut, kind: &str, index: u64, fill: impl FnOnce(&mut Object<'_>)) {
    emit::sse(out, Some(kind), |body| {
        body.str("type", kind);
        body.value("index", index);
        body.object("delta", |delta| delta.object("message", fill));
    });
}

fn write_usage(body: &mut Object<'_>, usage: Option<&Usage>) {
    let Some(usage) = usage else { return };
    body.object("usage", |body| {
        for name in ["billed_units", "tokens"] {
            body.object(name, |units| {
                units.value("input_tokens", usage.input);
                units.value("output_tokens", usage.output);
            });
        }
        if usage.cache_read > 0 {
            body.value("cached_tokens", usage.cache_read);
        }
    });
}

fn write_citation(body: &mut Object<'_>, citation: &Citation) {
    body.value("start", citation.start.unwrap_or_default());
    body.value("end", citation.end.unwrap_or_default());
    body.str("text", citation.text.as_deref().unwrap_or_default());
    body.array("sources", |list| {
        list.object(|source| {
            source.str("type", "document");
            let id = citation.url.as_deref().or(citation.title.as_deref());
            source.str("id", id.unwrap_or_default());
            source.object("document", |document| {
                document.opt_str("url", citation.url.as_deref());
                document.opt_str("title", citation.title.as_deref());
            });
        });
    });
    body.str("type", "TEXT_CONTENT");
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    token: Word<'a>,
    logprob: Option<f64>,
}

/// The tokens of a list in `OpenAI`'s shape.
fn entries(json: &str) -> Vec<(String, f64)> {
    let entries = serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default();
    let entry = |raw: &RawValue| {
        let entry = serde_json::from_str::<Entry<'_>>(raw.get()).ok()?;
        Some((entry.token.0.into_owned(), entry.logprob?))
    };
    entries.into_iter().filter_map(entry).collect()
}

fn write_logprob(entry: &mut Object<'_>, token: &str, logprob: f64) {
    entry.array("token_ids", |_| {});
    entry.str("text", token);
    entry.array("logprobs", |list| list.value(logprob));
}

fn write_answer(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (id, _) = told(options, &answer.id, "");
    let choice = answer.choices.get(&0);
    let pieces = choice.map(|choice| choice.pieces.as_slice()).unwrap_or_default();
    let finish = match choice.and_then(|choice| choice.finish.as_ref()) {
        Some((reason, native)) => finish_word(*reason, native),
        None => finish_word(Finish::Stop, ""),
    };
    emit::object(out, |body| {
        body.str("id", id);
        body.str("finish_reason", finish);
        body.object("message", |message| {
            message.str("role", "assistant");
            message.array("content", |list| {
                for piece in pieces {
                    write_piece(list, piece);
                }
            });
            write_calls(message, pieces);
            let citations = choice.map(|choice| choice.citations.as_slice()).unwrap_or_default();
            if !citations.is_empty() {
                message.array("citations", |list| {
                    for citation in citations {
                        list.object(|body| write_citation(body, citation));
                    }
                });
            }
        });
        write_usage(body, answer.usage.as_ref());
        let logprobs = choice.map(|choice| choice.logprobs.as_slice()).unwrap_or_default();
        let entries: Vec<_> = logprobs.iter().flat_map(|json| entries(json)).collect();
        if !entries.is_empty() {
            body.array("logprobs", |list| {
                for (token, logprob) in &entries {
                    list.object(|entry| write_logprob(entry, token, *logprob));
                }
            });
        }
    });
}

fn write_piece(list: &mut Array<'_>, piece: &Piece) {
    let (kind, text) = match piece {
        Piece::Text(text) | Piece::Refusal(text) => ("text", text),
        Piece::Reasoning { text, .. } => ("thinking", text),
        Piece::Redacted(_) | Piece::Media(_) | Piece::Call { .. } => return,
    };
    if !text.is_empty() {
        list.object(|piece| {
            piece.str("type", kind);
            piece.str(kind, text);
        });
    }
}

fn write_calls(message: &mut Object<'_>, pieces: &[Piece]) {
    if !pieces.iter().any(|piece| matches!(piece, Piece::Call { .. })) {
        return;
    }
    message.array("tool_calls", |list| {
        for piece in pieces {
            if let Piece::Call { id, name, arguments, .. } = piece {
                list.object(|call| {
                    call.str("id", id);
                    call.str("type", "function");
                    call.object("function", |function| {
                        function.str("name", name);
                        function.str("arguments", arguments);
                    });
                });
            }
        }
    });
}
