//! Events into a client's stream parts.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use doorward_core::{Billed, CallError, Finish, Frame, IssuerState, ModelEvent, Usage};

use super::body::{self, input_of};
use super::compose::write_file;
use super::{options, write_error};
use crate::answer::{Bodies, Collected, cut, told};
use crate::custom::Unwrapping;
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
        Box::new(Collected::new(options, Bodies { answer: body::write, error }))
    }
}

/// Writes stream parts. Those of the same dialect go through as they came.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Streaming {
    options: WriterOptions,
    started: bool,
    /// The run of text or thought that is not ended yet.
    open: Option<(Run, String)>,
    /// How many runs began here.
    runs: u32,
    /// How many sources were told.
    sources: usize,
    /// The calls that are not complete.
    calls: BTreeMap<u32, Call>,
    any_call: bool,
    finish: Option<(Finish, String)>,
    /// Whether the finish was forwarded.
    finished: bool,
    usage: Option<Usage>,
    bill: Option<Box<Billed>>,
    tail: Tail,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Text,
    Reasoning,
}

impl Run {
    const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Reasoning => "reasoning",
        }
    }
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    state: Option<IssuerState>,
    free: Option<Unwrapping>,
    /// Whether it began here, and not in bytes of the upstream's.
    own: bool,
}

impl Call {
    fn new(id: &str, name: &str, state: Option<&IssuerState>, own: bool) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
            state: state.cloned(),
            free: None,
            own,
        }
    }
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
            self.close(None, out);
            part(out, "error", |body| write_error(body, error));
        }
    }
}

/// Writes one stream part.
fn part(out: &mut BytesMut, kind: &str, fill: impl FnOnce(&mut Object<'_>)) {
    emit::sse(out, None, |body| {
        body.str("type", kind);
        fill(body);
    });
}

impl Streaming {
    fn concerns_own_call(&self, frame: &Frame) -> bool {
        frame.events.iter().any(|event| match event {
            ModelEvent::ToolDelta { call, .. } | ModelEvent::ToolEnd { call } => {
                self.calls.get(call).is_some_and(|call| call.own)
            }
            _ => false,
        })
    }

    fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let ends =
            |event: &ModelEvent| matches!(event, ModelEvent::Finish { .. } | ModelEvent::Done);
        if frame.events.iter().any(ends) {
            self.close(None, out);
        }
        if frame.events.iter().any(|event| matches!(event, ModelEvent::Done)) {
            self.tell_finish(out);
        }
        self.tail.forward(frame, raw, out);
        for event in &frame.events {
            match event {
                ModelEvent::Start { .. } => self.started = true,
                ModelEvent::ToolStart { call, id, name, state, .. } => {
                    self.any_call = true;
                    self.calls.insert(*call, Call::new(id, name, state.as_ref(), false));
                }
                ModelEvent::ToolDelta { call, json } => {
                    if let Some(call) = self.calls.get_mut(call) {
                        call.arguments.push_str(json);
                    }
                }
                ModelEvent::ToolEnd { call } => drop(self.calls.remove(call)),
                ModelEvent::Finish { .. } => self.finished = true,
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
            ModelEvent::Start { id, model, created, usage } => {
                self.usage = usage.or(self.usage);
                self.start(id, model, *created, out);
            }
            ModelEvent::Text { choice: 0, text } | ModelEvent::Refusal { choice: 0, text } => {
                self.said(Run::Text, text, out);
            }
            ModelEvent::Reasoning { choice: 0, text } => self.said(Run::Reasoning, text, out),
            ModelEvent::ReasoningSignature { state } => {
                self.run(Run::Reasoning, out);
                self.close(Some(state), out);
            }
            ModelEvent::RedactedReasoning { state } => self.sealed(state, out),
            ModelEvent::Media { choice: 0, media } => {
                self.begin(out);
                part(out, "file", |body| write_file(body, media));
            }
            ModelEvent::Citation { choice: 0, citation } => {
                self.start("", "", None, out);
                let nth = self.sources;
                self.sources += 1;
                emit::sse(out, None, |body| body::write_source(body, nth, citation));
            }
            ModelEvent::ToolStart { call, choice: 0, id, name, state } => {
                self.call(*call, id, name, state.as_ref(), out);
            }
            ModelEvent::ToolDelta { call, json } => self.arguments(*call, json, out),
            ModelEvent::ToolEnd { call } => self.call_end(*call, out),
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Billed(bill) => self.bill = Some(bill.clone()),
            ModelEvent::Finish { choice: 0, reason, native } => {
                self.finish = Some((*reason, native.clone()));
            }
            ModelEvent::Error { code, message } => {
                self.error(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => self.done(out),
            // This protocol has one answer, and no probabilities.
            _ => {}
        }
    }

    fn start(&mut self, id: &str, model: &str, created: Option<i64>, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (id, model) = told(&self.options, id, model);
        part(out, "stream-start", |body| body.array("warnings", |_| {}));
        let created = created.unwrap_or(self.options.created);
        part(out, "response-metadata", |body| body::write_response(body, id, model, created));
    }

    fn begin(&mut self, out: &mut BytesMut) {
        self.start("", "", None, out);
        self.close(None, out);
    }

    /// Ends the open run, with the state that belongs to it.
    fn close(&mut self, state: Option<&IssuerState>, out: &mut BytesMut) {
        let Some((run, id)) = self.open.take() else { return };
        part(out, &format!("{}-end", run.word()), |body| {
            body.str("id", &id);
            if let Some(state) = state {
                options::write(body, "providerMetadata", state, false);
            }
        });
    }

    fn next_id(&mut self) -> String {
        self.runs += 1;
        format!("dw-{}", self.runs)
    }

    /// The open run of this kind, begun if it is not.
    fn run(&mut self, run: Run, out: &mut BytesMut) -> String {
        if let Some((_, id)) = self.open.as_ref().filter(|(open, _)| *open == run) {
            return id.clone();
        }
        self.begin(out);
        let id = self.next_id();
        part(out, &format!("{}-start", run.word()), |body| body.str("id", &id));
        self.open = Some((run, id.clone()));
        id
    }

    fn said(&mut self, run: Run, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        let id = self.run(run, out);
        part(out, &format!("{}-delta", run.word()), |body| {
            body.str("id", &id);
            body.str("delta", text);
        });
    }

    fn sealed(&mut self, state: &IssuerState, out: &mut BytesMut) {
        self.begin(out);
        let id = self.next_id();
        part(out, "reasoning-start", |body| {
            body.str("id", &id);
            options::write(body, "providerMetadata", state, true);
        });
        part(out, "reasoning-end", |body| body.str("id", &id));
    }

    fn call(
        &mut self,
        call: u32,
        id: &str,
        name: &str,
        state: Option<&IssuerState>,
        out: &mut BytesMut,
    ) {
        self.begin(out);
        self.any_call = true;
        let free = self.options.custom_tools.iter().any(|tool| tool == name);
        part(out, "tool-input-start", |body| {
            body.str("id", id);
            body.str("toolName", name);
            body.opt_str("inputEncoding", free.then_some("text"));
            if let Some(state) = state {
                options::write(body, "providerMetadata", state, false);
            }
        });
        let mut made = Call::new(id, name, state, true);
        made.free = free.then(Unwrapping::default);
        self.calls.insert(call, made);
    }

    fn arguments(&mut self, call: u32, json: &str, out: &mut BytesMut) {
        let Some(call) = self.calls.get_mut(&call) else { return };
        call.arguments.push_str(json);
        let text = call.free.as_mut().map(|free| free.push(json));
        let text = text.as_deref().unwrap_or(json);
        if !text.is_empty() {
            part(out, "tool-input-delta", |body| {
                body.str("id", &call.id);
                body.str("delta", text);
            });
        }
    }

    fn call_end(&mut self, call: u32, out: &mut BytesMut) {
        let Some(mut call) = self.calls.remove(&call) else { return };
        let left = call.free.as_mut().map(Unwrapping::finish).unwrap_or_default();
        if !left.is_empty() {
            part(out, "tool-input-delta", |body| {
                body.str("id", &call.id);
                body.str("delta", &left);
            });
        }
        part(out, "tool-input-end", |body| body.str("id", &call.id));
        part(out, "tool-call", |body| {
            body.str("toolCallId", &call.id);
            body.str("toolName", &call.name);
            body.str("input", &input_of(&call.name, &call.arguments, &self.options));
            if let Some(state) = &call.state {
                options::write(body, "providerMetadata", state, false);
            }
        });
    }

    fn tell_finish(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let usual = if self.any_call { Finish::ToolCalls } else { Finish::Stop };
        let (reason, native) = self.finish.take().unwrap_or((usual, String::new()));
        part(out, "finish", |body| {
            body::write_usage(body, self.usage.as_ref(), self.bill.as_deref());
            body::write_finish(body, reason, &native);
            body::write_cost(body, self.bill.as_deref());
        });
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.begin(out);
        let open: Vec<u32> = self.calls.keys().copied().collect();
        for call in open {
            self.call_end(call, out);
        }
        self.tell_finish(out);
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.ended = true;
    }
}
