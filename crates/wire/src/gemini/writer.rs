//! Events into a client's chunks, or one whole answer.

mod framing;
mod parts;

use std::collections::BTreeMap;

use bytes::BytesMut;
use doorward_core::{CallError, Citation, Finish, Frame, IssuerState, Media, ModelEvent, Usage};

use super::grounding::{self, Said};
use super::{ID, finish_word, write_error};
use crate::answer::{Bodies, Collected, cut, told};
use crate::emit::{self, Object};
use crate::{Writer, WriterOptions};
use framing::Framing;
use parts::{call_part, media_part, text_part, write_usage};

pub(super) fn new(options: WriterOptions) -> Box<dyn Writer> {
    if options.streaming {
        let framing = Framing::new(options.array);
        Box::new(Streaming { options, framing, ..Streaming::default() })
    } else {
        let error = |error: &CallError, out: &mut BytesMut| {
            emit::object(out, |body| write_error(body, error));
        };
        Box::new(Collected::new(options, Bodies { answer: parts::write_answer, error }))
    }
}

/// Writes chunks, as events or as items of an array. Chunks of the same dialect go through as
/// they came, and are followed closely enough that one made here can stand among them.
#[derive(Debug, Default)]
struct Streaming {
    options: WriterOptions,
    framing: Framing,
    id: String,
    model: String,
    choices: BTreeMap<u32, Told>,
    /// The calls being gathered here: Gemini tells a call at once.
    calls: BTreeMap<u32, Gathered>,
    /// What was last said of the first answer: a signature belongs to it.
    last: Last,
    usage: Option<Usage>,
    usage_told: bool,
    /// Whether an upstream's error was forwarded.
    failed: bool,
    ended: bool,
}

/// What a client knows of one answer.
#[derive(Debug, Default)]
struct Told {
    said: Said,
    refused: bool,
    citations: Vec<Citation>,
    any_call: bool,
    finish: Option<(Finish, String)>,
    /// Whether it was told why it ended.
    finished: bool,
}

#[derive(Debug)]
struct Gathered {
    choice: u32,
    id: String,
    name: String,
    arguments: String,
    state: Option<IssuerState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Nothing,
    Thought,
    /// Text or media.
    Answer,
}

impl Writer for Streaming {
    fn write(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match &frame.raw {
            Some(raw) if self.options.same_dialect && !self.concerns_own_call(frame) => {
                let done = frame.events.contains(&ModelEvent::Done);
                if done {
                    self.end(out);
                }
                let last = done || self.failed && frame.events.is_empty();
                self.framing.forward(frame, raw, last, out);
                self.follow(frame);
            }
            _ if self.failed => {}
            _ => self.tell_all(&frame.events, out),
        }
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if !self.ended {
            self.error(&cut(), out);
        }
    }

    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if !self.failed {
            self.framing.item(out, |body| write_error(body, error));
        }
        self.framing.close(out);
    }
}

impl Streaming {
    /// Whether the frame goes on with a call that is gathered here.
    fn concerns_own_call(&self, frame: &Frame) -> bool {
        !self.calls.is_empty()
            && frame.events.iter().any(|event| match event {
                ModelEvent::ToolDelta { call, .. } | ModelEvent::ToolEnd { call } => {
                    self.calls.contains_key(call)
                }
                _ => false,
            })
    }

    fn choice(&mut self, choice: u32) -> &mut Told {
        self.choices.entry(choice).or_default()
    }

    /// Keeps track of what a forwarded frame said.
    fn follow(&mut self, frame: &Frame) {
        for event in &frame.events {
            match event {
                ModelEvent::Start { id, model, .. } => self.start(id, model),
                ModelEvent::Text { choice, text } => {
                    self.choice(*choice).said.push(text);
                    self.last = Last::Answer;
                }
                ModelEvent::Media { .. } => self.last = Last::Answer,
                ModelEvent::Reasoning { .. } => self.last = Last::Thought,
                ModelEvent::ToolStart { choice, .. } => self.choice(*choice).any_call = true,
                ModelEvent::Finish { choice, .. } => self.choice(*choice).finished = true,
                ModelEvent::Usage(usage) => (self.usage, self.usage_told) = (Some(*usage), true),
                // In an array the bracket is still to come.
                ModelEvent::Error { .. } if self.framing.is_open() => self.failed = true,
                ModelEvent::Error { .. } | ModelEvent::Done => self.ended = true,
                _ => {}
            }
        }
    }

    fn start(&mut self, id: &str, model: &str) {
        id.clone_into(&mut self.id);
        model.clone_into(&mut self.model);
    }

    /// Writes a chunk: what `fill` puts before its tail.
    fn chunk(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let (id, model) = if self.options.same_dialect && !self.id.is_empty() {
            (self.id.as_str(), self.model.as_str())
        } else {
            told(&self.options, &self.id, &self.model)
        };
        self.framing.item(out, |body| {
            fill(body);
            body.str("modelVersion", model);
            body.str("responseId", id);
        });
    }

    /// Writes a chunk of one part, and what `more` puts beside the content.
    fn part(
        &mut self,
        choice: u32,
        out: &mut BytesMut,
        part: impl FnOnce(&mut Object<'_>),
        more: impl FnOnce(&mut Object<'_>),
    ) {
        self.choice(choice);
        self.chunk(out, |body| {
            body.array("candidates", |list| {
                list.object(|candidate| {
                    candidate.object("content", |content| {
                        content.array("parts", |list| list.object(part));
                        content.str("role", "model");
                    });
                    more(candidate);
                    candidate.value("index", choice);
                });
            });
        });
    }

    /// Tells events; a signature right after what it belongs to goes into the same part.
    fn tell_all(&mut self, events: &[ModelEvent], out: &mut BytesMut) {
        let mut events = events.iter().peekable();
        while let Some(event) = events.next() {
            if self.ended {
                return;
            }
            let takes = matches!(
                event,
                ModelEvent::Text { choice: 0, .. }
                    | ModelEvent::Reasoning { choice: 0, .. }
                    | ModelEvent::Media { choice: 0, .. }
            );
            let signature = match events.peek() {
                Some(ModelEvent::ReasoningSignature { state }) if takes => {
                    let of_text = !matches!(event, ModelEvent::Reasoning { .. });
                    // Another issuer's belongs to thought that was not shown.
                    (!of_text || state.issuer == ID).then_some(state)
                }
                _ => None,
            };
            if signature.is_some() {
                events.next();
            }
            self.tell(event, signature, out);
        }
    }

    fn tell(&mut self, event: &ModelEvent, state: Option<&IssuerState>, out: &mut BytesMut) {
        match event {
            ModelEvent::Start { id, model, usage, .. } => {
                self.start(id, model);
                self.usage = usage.or(self.usage);
            }
            ModelEvent::Text { choice, text } => self.text(*choice, text, state, out),
            ModelEvent::Refusal { choice, text } => {
                self.choice(*choice).refused = true;
                self.text(*choice, text, state, out);
            }
            ModelEvent::Reasoning { choice, text } => {
                self.last = Last::Thought;
                if !text.is_empty() || state.is_some() {
                    self.part(*choice, out, |part| text_part(part, text, true, state), |_| {});
                }
            }
            ModelEvent::ReasoningSignature { state } => {
                let thought = !(state.issuer == ID && self.last == Last::Answer);
                self.part(0, out, |part| text_part(part, "", thought, Some(state)), |_| {});
            }
            ModelEvent::RedactedReasoning { state } => {
                self.part(0, out, |part| text_part(part, "", false, Some(state)), |_| {});
            }
            ModelEvent::Media { choice, media } => self.media(*choice, media, state, out),
            ModelEvent::Citation { choice, citation } => {
                self.choice(*choice).citations.push(citation.clone());
            }
            ModelEvent::Logprobs { choice, json } => {
                let lists = std::slice::from_ref(json);
                self.part(
                    *choice,
                    out,
                    |part| part.str("text", ""),
                    |candidate| grounding::write_logprobs(candidate, lists),
                );
            }
            ModelEvent::ToolStart { call, choice, id, name, state } => {
                let (choice, id, name) = (*choice, id.clone(), name.clone());
                self.choice(choice).any_call = true;
                let (arguments, state) = (String::new(), state.clone());
                self.calls.insert(*call, Gathered { choice, id, name, arguments, state });
            }
            ModelEvent::ToolDelta { call, json } => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.arguments.push_str(json);
                }
            }
            ModelEvent::ToolEnd { call } => self.end_call(*call, out),
            ModelEvent::Usage(usage) => (self.usage, self.usage_told) = (Some(*usage), false),
            ModelEvent::Finish { choice, reason, native } => {
                self.choice(*choice).finish = Some((*reason, native.clone()));
            }
            ModelEvent::Error { code, message } => {
                self.error(&CallError::new(*code, message.clone()), out);
            }
            ModelEvent::Done => {
                self.end(out);
                self.framing.close(out);
                self.ended = true;
            }
            ModelEvent::Billed(_) => {}
        }
    }

    fn text(&mut self, choice: u32, text: &str, state: Option<&IssuerState>, out: &mut BytesMut) {
        if text.is_empty() && state.is_none() {
            return;
        }
        self.last = Last::Answer;
        self.choice(choice).said.push(text);
        self.part(choice, out, |part| text_part(part, text, false, state), |_| {});
    }

    fn media(
        &mut self,
        choice: u32,
        media: &Media,
        state: Option<&IssuerState>,
        out: &mut BytesMut,
    ) {
        self.last = Last::Answer;
        self.part(choice, out, |part| media_part(part, media, state), |_| {});
    }

    fn end_call(&mut self, call: u32, out: &mut BytesMut) {
        if let Some(call) = self.calls.remove(&call) {
            self.part(
                call.choice,
                out,
                |part| call_part(part, &call.id, &call.name, &call.arguments, call.state.as_ref()),
                |_| {},
            );
        }
    }

    /// Writes what is still to be told at the end: open calls, reasons, sources and usage.
    fn end(&mut self, out: &mut BytesMut) {
        let open: Vec<u32> = self.calls.keys().copied().collect();
        for call in open {
            self.end_call(call, out);
        }
        if self.choices.is_empty() {
            self.choice(0);
        }
        let choices = std::mem::take(&mut self.choices);
        let usage = self.usage.filter(|_| !self.usage_told);
        let untold: Vec<(&u32, &Told)> = choices.iter().filter(|(_, it)| it.is_untold()).collect();
        if untold.is_empty() && usage.is_none() {
            return;
        }
        self.chunk(out, |body| {
            if !untold.is_empty() {
                body.array("candidates", |list| {
                    for (index, choice) in untold {
                        list.object(|candidate| choice.write(candidate, *index));
                    }
                });
            }
            if let Some(usage) = &usage {
                body.object("usageMetadata", |body| write_usage(body, usage));
            }
        });
        self.usage_told = true;
    }
}

impl Told {
    fn is_untold(&self) -> bool {
        !self.finished || !self.citations.is_empty()
    }

    /// Writes the last candidate of an answer.
    fn write(&self, candidate: &mut Object<'_>, index: u32) {
        candidate.object("content", |content| {
            content.array("parts", |list| list.object(|part| part.str("text", "")));
            content.str("role", "model");
        });
        if !self.finished {
            candidate.str("finishReason", parts::reason(self.finish.as_ref(), self.refused));
        }
        grounding::write(candidate, &self.citations, &self.said);
        candidate.value("index", index);
    }
}
