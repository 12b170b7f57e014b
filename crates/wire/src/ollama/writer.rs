//! Events into a client's bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Finish, Frame, ModelEvent, Usage};

use super::{finish_word, time, write_error};
use crate::answer::{Answer, Bodies, Collected, Piece, cut, told};
use crate::calls::object_of;
use crate::emit::{self, Array, Object};
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

/// Writes lines. Each stands for itself, so lines of the same dialect go through as they came
/// among those made here.
#[derive(Debug, Default)]
struct Streaming {
    options: WriterOptions,
    model: String,
    created: Option<i64>,
    /// Calls on their way: they are told whole.
    calls: BTreeMap<u32, Call>,
    finish: Option<&'static str>,
    usage: Option<Usage>,
    /// Whether the last line that was forwarded has no line end.
    open: bool,
    ended: bool,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match &frame.raw {
            Some(raw) if self.options.same_dialect => self.forward(frame, raw, out),
            _ => frame.events.iter().for_each(|event| self.tell(event, out)),
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if !self.ended {
            self.error(&cut(), out);
        }
    }

    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.ended, true) {
            self.seal(out);
            emit::object(out, |body| write_error(body, error));
            out.extend_from_slice(b"\n");
        }
    }
}

impl Streaming {
    /// Forwards a line. Half a line that means nothing is left out.
    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let ended = raw.ends_with(b"\n");
        if ended || !frame.events.is_empty() {
            self.seal(out);
            out.extend_from_slice(raw);
            self.open = !ended;
        }
        for event in &frame.events {
            match event {
                ModelEvent::Start { model, created, .. } => {
                    self.model.clone_from(model);
                    self.created = *created;
                }
                ModelEvent::Error { .. } | ModelEvent::Done => self.ended = true,
                _ => {}
            }
        }
    }

    /// Ends a line that the upstream left open, so that another can follow.
    fn seal(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.open) {
            out.extend_from_slice(b"\n");
        }
    }

    fn tell(&mut self, event: &ModelEvent, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match event {
            ModelEvent::Start { model, created, usage, .. } => {
                self.model.clone_from(model);
                self.created = *created;
                self.usage = usage.or(self.usage);
            }
            ModelEvent::Text { choice: 0, text } | ModelEvent::Refusal { choice: 0, text } => {
                if !text.is_empty() {
                    self.piece(out, |message| message.str("content", text));
                }
            }
            ModelEvent::Reasoning { choice: 0, text } if !text.is_empty() => {
                self.piece(out, |message| {
                    message.str("content", "");
                    message.str("thinking", text);
                });
            }
            ModelEvent::ToolStart { call, choice: 0, id, name, .. } => {
                let (id, name) = (id.clone(), name.clone());
                self.calls.insert(*call, Call { id, name, arguments: String::new() });
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.arguments.push_str(json);
                }
            }
            ModelEvent::ToolEnd { call } => {
                if let Some(call) = self.calls.remove(call) {
                    self.piece(out, |message| {
                        message.str("content", "");
                        message.array("tool_calls", |list| {
                            write_call(list, &call.id, &call.name, &call.arguments);
                        });
                    });
                }
            }
            ModelEvent::Logprobs { choice: 0, json } => {
                self.line(out, |body| {
                    body.object("message", |message| {
                        message.str("role", "assistant");
                        message.str("content", "");
                    });
                    body.value("done", false);
                    body.raw("logprobs", json);
                });
            }
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Finish { choice: 0, reason, .. } => {
                self.finish = Some(finish_word(*reason));
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

    fn line(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.seal(out);
        let (_, model) = told(&self.options, "", &self.model);
        let created = self.created.unwrap_or(self.options.created);
        emit::object(out, |body| {
            body.str("model", model);
            body.str("created_at", &time::write(created));
            fill(body);
        });
        out.extend_from_slice(b"\n");
    }

    fn piece(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.line(out, |body| {
            body.object("message", |message| {
                message.str("role", "assistant");
                fill(message);
            });
            body.value("done", false);
        });
    }

    fn done(&mut self, out: &mut BytesMut) {
        let (finish, usage) = (self.finish.unwrap_or("stop"), self.usage);
        self.line(out, |body| {
            body.object("message", |message| {
                message.str("role", "assistant");
                message.str("content", "");
            });
            write_end(body, finish, usage.as_ref());
        });
        self.ended = true;
    }
}

fn write_call(list: &mut Array<'_>, id: &str, name: &str, arguments: &str) {
    let (arguments, _): (Cow<'_, str>, bool) = object_of(arguments);
    list.object(|item| {
        item.str("id", id);
        item.object("function", |function| {
            function.str("name", name);
            function.raw("arguments", &arguments);
        });
    });
}

fn write_end(body: &mut Object<'_>, finish: &str, usage: Option<&Usage>) {
    body.value("done", true);
    body.str("done_reason", finish);
    if let Some(usage) = usage {
        body.value("prompt_eval_count", usage.input);
        body.value("eval_count", usage.output);
    }
}

fn write_answer(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (_, model) = told(options, "", &answer.model);
    let choice = answer.choices.get(&0);
    let pieces = choice.map(|choice| choice.pieces.as_slice()).unwrap_or_default();
    let (mut text, mut thought) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Text(said) | Piece::Refusal(said) => text.push_str(said),
            Piece::Reasoning { text, .. } => thought.push_str(text),
            Piece::Redacted(_) | Piece::Media(_) | Piece::Call { .. } => {}
        }
    }
    let is_call = |piece: &&Piece| matches!(piece, Piece::Call { .. });
    let finish = choice.and_then(|choice| choice.finish.as_ref());
    let finish = finish.map_or(Finish::Stop, |(reason, _)| *reason);
    emit::object(out, |body| {
        body.str("model", model);
        body.str("created_at", &time::write(answer.created.unwrap_or(options.created)));
        body.object("message", |message| {
            message.str("role", "assistant");
            message.str("content", &text);
            message.opt_str("thinking", (!thought.is_empty()).then_some(thought.as_str()));
            if pieces.iter().any(|piece| is_call(&piece)) {
                message.array("tool_calls", |list| {
                    for piece in pieces {
                        if let Piece::Call { id, name, arguments, .. } = piece {
                            write_call(list, id, name, arguments);
                        }
                    }
                });
            }
        });
        write_end(body, finish_word(finish), answer.usage.as_ref());
        let logprobs = choice.map(|choice| choice.logprobs.as_slice()).unwrap_or_default();
        if !logprobs.is_empty() {
            body.raw("logprobs", &joined(logprobs));
        }
    });
}

/// Several JSON lists as one.
fn joined(lists: &[String]) -> String {
    let inner = |list: &String| {
        let list = list.trim();
        let inner = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        inner.map(str::trim).filter(|inner| !inner.is_empty()).map(str::to_owned)
    };
    let inners: Vec<String> = lists.iter().filter_map(inner).collect();
    format!("[{}]", inners.join(","))
}
