//! Events into a client's chunks, or one whole answer.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Frame, ModelEvent, Usage};

use super::body::{self, write_usage};
use super::chunk::{Bare, Indexes};
use super::{finish_word, state, write_error};
use crate::answer::{Bodies, Collected, cut, told};
use crate::custom::Unwrapping;
use crate::emit::{self, Object};
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
        let bodies = Bodies { answer: body::write, error };
        Box::new(Collected::new(options, bodies).amending(body::amend))
    }
}

/// Writes chunks. Chunks of the same dialect go through as they came, and are followed closely
/// enough that a chunk made here can stand among them.
#[derive(Debug, Default)]
struct Streaming {
    options: WriterOptions,
    id: String,
    model: String,
    created: Option<i64>,
    /// Each answer that began, and whether it finished.
    choices: BTreeMap<u32, bool>,
    /// The answer each call is of, and its wire index.
    calls: BTreeMap<u32, (u32, u64)>,
    /// The calls made here.
    own: BTreeSet<u32>,
    /// Indexes in use, by answer.
    used: BTreeSet<(u32, u64)>,
    any_call: BTreeSet<u32>,
    /// The free-form calls among those made here.
    free: BTreeMap<u32, Unwrapping>,
    /// The thought since the last signature.
    thought: String,
    usage: Option<Usage>,
    usage_sent: bool,
    /// The usage chunk as it came, until it is known what the call cost.
    held: Option<Bytes>,
    cost: Option<f64>,
    tail: Tail,
    ended: bool,
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match &frame.raw {
            Some(raw)
                if self.options.same_dialect
                    && !self.concerns_own_call(frame)
                    && !body::misses_custom(&frame.events, raw, &self.options) =>
            {
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
            emit::sse(out, None, |body| write_error(body, error));
        }
    }
}

impl Streaming {
    /// Whether the frame goes on with a call that was made here: its bytes would not fit then.
    fn concerns_own_call(&self, frame: &Frame) -> bool {
        !self.own.is_empty()
            && frame.events.iter().any(
                |event| matches!(event, ModelEvent::ToolDelta { call, .. } | ModelEvent::ToolEnd { call } if self.own.contains(call)),
            )
    }

    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let of_usage =
            |event: &ModelEvent| matches!(event, ModelEvent::Usage(_) | ModelEvent::Billed(_));
        let only_usage = !frame.events.is_empty() && frame.events.iter().all(of_usage);
        let (strips, tells) = (self.options.strip_usage, self.options.tell_cost);
        if only_usage && (strips || tells) && has_no_choices(raw) {
            self.follow(frame, raw);
            self.usage_sent = false;
            // What it cost may be known only later.
            self.held = tells.then(|| raw.clone());
            return;
        }
        if frame.events.iter().any(|event| matches!(event, ModelEvent::Done)) {
            self.tell_usage(out);
        }
        self.tail.forward(frame, raw, out);
        self.follow(frame, raw);
    }

    /// Keeps track of what a forwarded frame said.
    fn follow(&mut self, frame: &Frame, raw: &Bytes) {
        let mut starts = None;
        for event in &frame.events {
            match event {
                ModelEvent::Start { id, model, created, .. } => {
                    self.start(id, model, *created);
                    self.choices.entry(0).or_insert(false);
                }
                ModelEvent::Text { choice, .. }
                | ModelEvent::Refusal { choice, .. }
                | ModelEvent::Reasoning { choice, .. } => {
                    self.choices.entry(*choice).or_insert(false);
                }
                ModelEvent::ToolStart { call, choice, .. } => {
                    self.choices.entry(*choice).or_insert(false);
                    self.any_call.insert(*choice);
                    let indexes = starts.get_or_insert_with(|| indexes(raw).into_iter());
                    let index = indexes.next().unwrap_or(u64::from(*call));
                    self.calls.insert(*call, (*choice, index));
                    self.used.insert((*choice, index));
                }
                ModelEvent::Finish { choice, .. } => drop(self.choices.insert(*choice, true)),
                ModelEvent::Usage(usage) => {
                    // Beside an answer's end it may still lack the cost: it is told again then.
                    let lacks =
                        self.options.tell_cost && memchr::memmem::find(raw, b"\"cost\"").is_none();
                    (self.usage, self.usage_sent) = (Some(*usage), !lacks);
                }
                ModelEvent::Billed(bill) => self.cost = bill.cost_usd.or(self.cost),
                ModelEvent::Error { .. } | ModelEvent::Done => self.ended = true,
                _ => {}
            }
        }
    }

    fn start(&mut self, id: &str, model: &str, created: Option<i64>) {
        id.clone_into(&mut self.id);
        model.clone_into(&mut self.model);
        self.created = created;
    }

    /// Writes a chunk with what `fill` puts after its head.
    fn chunk(&self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let (id, model) = if self.options.same_dialect && !self.id.is_empty() {
            (self.id.as_str(), self.model.as_str())
        } else {
            told(&self.options, &self.id, &self.model)
        };
        let created = self.created.unwrap_or(self.options.created);
        emit::sse(out, None, |body| {
            body.str("id", id);
            body.str("object", "chat.completion.chunk");
            body.value("created", created);
            body.str("model", model);
            fill(body);
        });
    }

    fn delta(&mut self, choice: u32, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.begin(choice, out);
        self.chunk(out, |body| write_choice(body, choice, None, fill));
    }

    /// The opening chunk of an answer: the role alone.
    fn begin(&mut self, choice: u32, out: &mut BytesMut) {
        if self.choices.contains_key(&choice) {
            return;
        }
        self.choices.insert(choice, false);
        self.chunk(out, |body| {
            write_choice(body, choice, None, |delta| {
                delta.str("role", "assistant");
                delta.str("content", "");
            });
        });
    }

    fn tell(&mut self, event: &ModelEvent, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match event {
            ModelEvent::Start { id, model, created, usage } => {
                self.start(id, model, *created);
                self.usage = usage.or(self.usage);
                self.begin(0, out);
            }
            ModelEvent::Text { choice, text } => {
                self.delta(*choice, out, |delta| delta.str("content", text));
            }
            ModelEvent::Refusal { choice, text } => {
                self.delta(*choice, out, |delta| delta.str("refusal", text));
            }
            ModelEvent::Reasoning { choice, text } => {
                self.thought.push_str(text);
                self.delta(*choice, out, |delta| delta.str("reasoning_content", text));
            }
            ModelEvent::ReasoningSignature { state } => {
                let thought = std::mem::take(&mut self.thought);
                self.delta(0, out, |delta| {
                    delta.array("reasoning_details", |list| {
                        state::write_signed(list, &thought, Some(state));
                    });
                });
            }
            ModelEvent::RedactedReasoning { state } => {
                self.delta(0, out, |delta| {
                    delta.array("reasoning_details", |list| state::write_sealed(list, state));
                });
            }
            ModelEvent::ToolStart { call, choice, id, name, state } => {
                let index = self.index(*call, *choice);
                let free = self.options.custom_tools.contains(name);
                if free {
                    self.free.insert(*call, Unwrapping::default());
                }
                self.call(*choice, index, out, |item| {
                    item.str("id", id);
                    let (kind, argument) =
                        if free { ("custom", "input") } else { ("function", "arguments") };
                    item.str("type", kind);
                    item.object(kind, |called| {
                        called.str("name", name);
                        called.str(argument, "");
                    });
                    state::write_on_call(item, state.as_ref());
                });
            }
            ModelEvent::ToolDelta { call, json } => self.arguments(*call, json, out),
            ModelEvent::ToolEnd { call } => {
                let left = self.free.remove(call).map(|mut free| free.finish());
                if let Some(left) = left.filter(|left| !left.is_empty()) {
                    self.free_text(*call, &left, out);
                }
            }
            ModelEvent::Usage(usage) => (self.usage, self.usage_sent) = (Some(*usage), false),
            ModelEvent::Finish { choice, reason, native } => {
                self.finished(*choice, finish_word(*reason, native), out);
            }
            ModelEvent::Error { code, message } => {
                self.error(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => self.done(out),
            ModelEvent::Media { choice, media } => {
                self.delta(*choice, out, |delta| body::write_media(delta, [media]));
            }
            ModelEvent::Citation { choice, citation } => {
                self.delta(*choice, out, |delta| body::write_citations(delta, [citation]));
            }
            ModelEvent::Logprobs { choice, json } => {
                self.begin(*choice, out);
                self.chunk(out, |body| {
                    write_choice_with(body, *choice, None, |_| {}, Some(json));
                });
            }
            ModelEvent::Billed(bill) => self.cost = bill.cost_usd.or(self.cost),
        }
    }

    fn arguments(&mut self, call: u32, json: &str, out: &mut BytesMut) {
        if let Some(free) = self.free.get_mut(&call) {
            let text = free.push(json);
            if !text.is_empty() {
                self.free_text(call, &text, out);
            }
        } else if let Some((choice, index)) = self.calls.get(&call).copied() {
            self.call(choice, index, out, |item| {
                item.object("function", |function| function.str("arguments", json));
            });
        }
    }

    fn free_text(&mut self, call: u32, text: &str, out: &mut BytesMut) {
        if let Some((choice, index)) = self.calls.get(&call).copied() {
            self.call(choice, index, out, |item| {
                item.object("custom", |custom| custom.str("input", text));
            });
        }
    }

    /// Tells usage and cost where they were not told yet.
    fn tell_usage(&mut self, out: &mut BytesMut) {
        let cost = self.cost.filter(|_| self.options.tell_cost);
        if let Some(held) = self.held.take() {
            self.tail.seal(out);
            let amended = cost.and_then(|cost| body::with_cost(&held, cost));
            out.extend_from_slice(amended.as_ref().unwrap_or(&held));
            self.usage_sent = true;
            return;
        }
        let wanted = self.options.stream_usage || self.options.tell_cost;
        if let Some(usage) = self.usage.filter(|_| wanted && !self.usage_sent) {
            self.tail.seal(out);
            self.chunk(out, |body| {
                body.array("choices", |_| {});
                body.object("usage", |body| write_usage(body, &usage, cost));
            });
            self.usage_sent = true;
        }
    }

    /// The wire index for a call made here: its number, unless that is taken.
    fn index(&mut self, call: u32, choice: u32) -> u64 {
        let mut of_choice = self.used.range((choice, 0)..=(choice, u64::MAX));
        let next = of_choice.next_back().map_or(0, |(_, index)| index.saturating_add(1));
        self.used.insert((choice, next));
        self.calls.insert(call, (choice, next));
        self.own.insert(call);
        self.any_call.insert(choice);
        next
    }

    fn call(
        &mut self,
        choice: u32,
        index: u64,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>),
    ) {
        self.delta(choice, out, |delta| {
            delta.array("tool_calls", |list| {
                list.object(|item| {
                    item.value("index", index);
                    fill(item);
                });
            });
        });
    }

    fn finished(&mut self, choice: u32, word: &str, out: &mut BytesMut) {
        self.begin(choice, out);
        if self.choices.insert(choice, true) == Some(false) {
            self.chunk(out, |body| write_choice(body, choice, Some(word), |_| {}));
        }
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.begin(0, out);
        let open: Vec<u32> =
            self.choices.iter().filter(|(_, done)| !**done).map(|(choice, _)| *choice).collect();
        for choice in open {
            let calls = self.any_call.contains(&choice);
            self.finished(choice, if calls { "tool_calls" } else { "stop" }, out);
        }
        self.tell_usage(out);
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.ended = true;
    }
}

fn write_choice(
    body: &mut Object<'_>,
    choice: u32,
    finish: Option<&str>,
    fill: impl FnOnce(&mut Object<'_>),
) {
    write_choice_with(body, choice, finish, fill, None);
}

fn write_choice_with(
    body: &mut Object<'_>,
    choice: u32,
    finish: Option<&str>,
    fill: impl FnOnce(&mut Object<'_>),
    logprobs: Option<&str>,
) {
    body.array("choices", |choices| {
        choices.object(|item| {
            item.value("index", choice);
            item.object("delta", fill);
            if let Some(content) = logprobs {
                body::write_logprobs(item, content);
            }
            match finish {
                Some(word) => item.str("finish_reason", word),
                None => item.raw("finish_reason", "null"),
            }
        });
    });
}

/// The data of a frame.
fn data_of(raw: &Bytes) -> Option<String> {
    Some(Event::whole(raw.clone()).data()?.into_owned())
}

fn has_no_choices(raw: &Bytes) -> bool {
    let data = data_of(raw).unwrap_or_default();
    serde_json::from_str::<Bare>(&data)
        .is_ok_and(|bare| bare.choices.is_none_or(|choices| choices.is_empty()))
}

/// The wire indexes of the calls that begin in a frame, in order.
fn indexes(raw: &Bytes) -> Vec<u64> {
    let data = data_of(raw).unwrap_or_default();
    let Ok(chunk) = serde_json::from_str::<Indexes<'_>>(&data) else { return Vec::new() };
    let deltas = chunk.choices.into_iter().filter_map(|choice| choice.delta);
    let calls = deltas.filter_map(|delta| delta.tool_calls).flatten();
    let begins = calls.filter(|call| {
        let name = call.function.as_ref().or(call.custom.as_ref());
        name.and_then(|named| named.name.as_ref()).is_some_and(|name| !name.as_str().is_empty())
    });
    begins.filter_map(|call| call.index.map(|index| index.0)).collect()
}
