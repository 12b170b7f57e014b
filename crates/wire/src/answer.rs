//! A whole answer, gathered from events.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use doorward_core::{
    Billed, CallError, Citation, Code, Finish, Frame, IssuerState, Media, ModelEvent, Usage,
};

use crate::{Writer, WriterOptions};

/// Everything an answer's events said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: Option<i64>,
    pub(crate) usage: Option<Usage>,
    pub(crate) billed: Option<Box<Billed>>,
    pub(crate) choices: BTreeMap<u32, Choice>,
    pub(crate) error: Option<(Code, String)>,
    pub(crate) done: bool,
    /// Which choice and piece a call is.
    calls: BTreeMap<u32, (u32, usize)>,
}

/// One of several answers.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) citations: Vec<Citation>,
    /// Lists of log probabilities, as JSON text.
    pub(crate) logprobs: Vec<String>,
    pub(crate) finish: Option<(Finish, String)>,
}

/// A run of one kind within an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    Text(String),
    Refusal(String),
    Reasoning { text: String, signature: Option<IssuerState> },
    Redacted(IssuerState),
    Media(Media),
    Call { id: String, name: String, arguments: String, state: Option<IssuerState> },
}

impl Answer {
    pub(crate) fn take(&mut self, event: &ModelEvent) {
        match event {
            ModelEvent::Start { id, model, created, usage } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = *created;
                self.usage = usage.or(self.usage);
                self.choices.entry(0).or_default();
            }
            ModelEvent::Text { choice, text } => {
                let pieces = self.pieces(*choice);
                match pieces.last_mut() {
                    Some(Piece::Text(last)) => last.push_str(text),
                    _ => pieces.push(Piece::Text(text.clone())),
                }
            }
            ModelEvent::Refusal { choice, text } => {
                let pieces = self.pieces(*choice);
                match pieces.last_mut() {
                    Some(Piece::Refusal(last)) => last.push_str(text),
                    _ => pieces.push(Piece::Refusal(text.clone())),
                }
            }
            ModelEvent::Reasoning { choice, text } => {
                let pieces = self.pieces(*choice);
                match pieces.last_mut() {
                    Some(Piece::Reasoning { text: last, signature: None }) => last.push_str(text),
                    _ => pieces.push(Piece::Reasoning { text: text.clone(), signature: None }),
                }
            }
            ModelEvent::ReasoningSignature { state } => {
                let (pieces, signature) = (self.pieces(0), Some(state.clone()));
                match pieces.last_mut() {
                    Some(Piece::Reasoning { signature: last @ None, .. }) => *last = signature,
                    _ => pieces.push(Piece::Reasoning { text: String::new(), signature }),
                }
            }
            ModelEvent::RedactedReasoning { state } => {
                self.pieces(0).push(Piece::Redacted(state.clone()));
            }
            ModelEvent::Media { choice, media } => {
                self.pieces(*choice).push(Piece::Media(media.clone()));
            }
            ModelEvent::Citation { choice, citation } => {
                self.choices.entry(*choice).or_default().citations.push(citation.clone());
            }
            ModelEvent::Logprobs { choice, json } => {
                self.choices.entry(*choice).or_default().logprobs.push(json.clone());
            }
            ModelEvent::ToolStart { call, choice, id, name, state } => {
                let (id, name, state) = (id.clone(), name.clone(), state.clone());
                let pieces = &mut self.choices.entry(*choice).or_default().pieces;
                self.calls.insert(*call, (*choice, pieces.len()));
                pieces.push(Piece::Call { id, name, arguments: String::new(), state });
            }
            ModelEvent::ToolDelta { call, json } => {
                let place = self.calls.get(call);
                let piece = place.and_then(|(choice, at)| {
                    self.choices.get_mut(choice).and_then(|choice| choice.pieces.get_mut(*at))
                });
                if let Some(Piece::Call { arguments, .. }) = piece {
                    arguments.push_str(json);
                }
            }
            ModelEvent::ToolEnd { .. } => {}
            ModelEvent::Usage(usage) => self.usage = Some(*usage),
            ModelEvent::Billed(billed) => self.billed = Some(billed.clone()),
            ModelEvent::Finish { choice, reason, native } => {
                self.choices.entry(*choice).or_default().finish = Some((*reason, native.clone()));
            }
            ModelEvent::Error { code, message } => self.error = Some((*code, message.clone())),
            ModelEvent::Done => self.done = true,
        }
    }

    /// Why the answer is none, if it is none.
    pub(crate) fn failure(&self) -> Option<CallError> {
        if let Some((code, message)) = &self.error {
            return Some(CallError::new(*code, message.clone()));
        }
        (!self.done).then(cut)
    }

    fn pieces(&mut self, choice: u32) -> &mut Vec<Piece> {
        &mut self.choices.entry(choice).or_default().pieces
    }
}

/// An answer that stopped before its end.
pub(crate) fn cut() -> CallError {
    CallError::new(Code::Upstream, "the upstream's answer stopped before its end")
}

/// How a dialect writes a whole answer and an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bodies {
    pub(crate) answer: fn(&Answer, &WriterOptions, &mut BytesMut),
    pub(crate) error: fn(&CallError, &mut BytesMut),
}

/// What a dialect does with a body of its own that came as it is: what to send in its place, or
/// `None` where it must be written anew.
pub(crate) type Amend = fn(&Bytes, &Answer, &WriterOptions) -> Option<Bytes>;

/// Writes one body once all frames are there.
#[derive(Debug)]
pub(crate) struct Collected {
    options: WriterOptions,
    bodies: Bodies,
    amend: Option<Amend>,
    answer: Answer,
    frames: usize,
    /// The only frame's bytes, if they are the client's dialect.
    raw: Option<Bytes>,
    ended: bool,
}

impl Collected {
    pub(crate) fn new(options: WriterOptions, bodies: Bodies) -> Self {
        let answer = Answer::default();
        Self { options, bodies, amend: None, answer, frames: 0, raw: None, ended: false }
    }

    /// Has a body that came as it is looked at before it goes out.
    pub(crate) fn amending(mut self, amend: Amend) -> Self {
        self.amend = Some(amend);
        self
    }
}

impl Writer for Collected {
    fn write(&mut self, frame: &Frame, _out: &mut BytesMut) {
        // The bill is told beside the answer and is no part of its bytes.
        let is_bill = |event: &ModelEvent| matches!(event, ModelEvent::Billed(_));
        if frame.raw.is_some() || !frame.events.iter().all(is_bill) {
            self.frames += 1;
            let single = self.frames == 1 && self.options.same_dialect;
            self.raw = if single { frame.raw.clone() } else { None };
        }
        frame.events.iter().for_each(|event| self.answer.take(event));
    }

    fn finish(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let raw = match (self.raw.take(), self.amend) {
            (Some(raw), Some(amend)) if self.answer.failure().is_none() => {
                amend(&raw, &self.answer, &self.options)
            }
            (raw, _) => raw,
        };
        match (raw, self.answer.failure()) {
            (Some(raw), _) => out.extend_from_slice(&raw),
            (None, Some(error)) => (self.bodies.error)(&error, out),
            (None, None) => (self.bodies.answer)(&self.answer, &self.options, out),
        }
    }

    fn error(&mut self, error: &CallError, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.ended, true) {
            (self.bodies.error)(error, out);
        }
    }
}

/// The id, model and time to tell of an answer: the gateway's where it says so.
pub(crate) fn told<'a>(
    options: &'a WriterOptions,
    id: &'a str,
    model: &'a str,
) -> (&'a str, &'a str) {
    let or = |own: &'a str, theirs: &'a str| if own.is_empty() { theirs } else { own };
    (or(&options.id, id), or(&options.model, model))
}
