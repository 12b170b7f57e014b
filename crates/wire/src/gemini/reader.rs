//! An upstream's answer into events.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use doorward_core::{Citation, Code, Finish, Frame, ModelEvent};
use serde_json::value::RawValue;

use super::array::Items;
use super::chunk::{Called, Candidate, Chunk, Part, UsageIn};
use super::grounding::{self, Said};
use super::partial::Arguments;
use super::{finish_of, is_failure, media, state};
use crate::calls::made_id;
use crate::error::Problem;
use crate::json::{Source, Text};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

/// The most answers to one call, and the most calls in it.
const MOST_CHOICES: u64 = 128;
const MOST_CALLS: u32 = 1024;

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    if streaming {
        let held = BytesMut::new();
        Box::new(Stream { form: Form::Open(Box::default(), held), failed: None })
    } else {
        stream::reader(Generate::default(), false)
    }
}

/// A stream whose first sign tells its form: events, or JSON.
struct Stream {
    form: Form,
    failed: Option<ReadError>,
}

enum Form {
    /// Nothing but white space has come.
    Open(Box<Generate>, BytesMut),
    Events(Box<dyn Reader>),
    Items(Box<Items<Generate>>),
}

impl Stream {
    /// Decides on the form with the first sign; `None` as long as there is none.
    fn decide(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Form::Open(decoder, held) = &mut self.form else { return Some(bytes) };
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xef\xbb\xbf".contains(byte);
        let Some(first) = bytes.iter().copied().find(|byte| !is_blank(byte)) else {
            held.extend_from_slice(&bytes);
            return None;
        };
        let all = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(&bytes);
            held.split().freeze()
        };
        let decoder = std::mem::take(&mut **decoder);
        self.form = match first {
            b'[' | b'{' => Form::Items(Box::new(Items::new(decoder, first))),
            _ => Form::Events(stream::reader(decoder, true)),
        };
        Some(all)
    }

    fn close(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        match &mut self.form {
            Form::Open(_, held) => {
                let raw = held.split().freeze();
                if !raw.is_empty() {
                    out.push(Frame { events: Vec::new(), raw: Some(raw) });
                }
                Err(ReadError::Cut)
            }
            Form::Events(reader) => reader.finish(out),
            Form::Items(items) => items.finish(out),
        }
    }
}

impl Reader for Stream {
    fn push(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(bytes) = self.decide(bytes) else { return Ok(()) };
        let result = match &mut self.form {
            Form::Open(..) => Ok(()),
            Form::Events(reader) => reader.push(bytes, out),
            Form::Items(items) => items.push(bytes, out),
        };
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.close(out)
    }
}

/// Where an answer stands.
#[derive(Debug, Default)]
struct Generate {
    id: String,
    started: bool,
    /// How many calls were told.
    calls: u32,
    choices: BTreeMap<u32, Progress>,
    searches: u64,
    /// What the model failed with, in words, if it did.
    failure: Option<String>,
    end: End,
}

/// One of several answers.
#[derive(Debug, Default)]
struct Progress {
    finished: bool,
    any_call: bool,
    said: Said,
    cited: Vec<Citation>,
    /// The call whose arguments come in pieces.
    open: Option<(u32, Arguments)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    None,
    /// An error was told.
    Failed,
    Done,
}

impl Decoder for Generate {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" || self.end == End::Failed {
            return Ok(());
        }
        if name == Some("error") {
            self.fail(data, out);
            return Ok(());
        }
        let chunk = Source::new(data.as_bytes())?.whole::<Chunk<'_>>()?;
        self.chunk(chunk, false, out)
    }

    /// There is no mark for the end: an answer is whole where it gave a reason to finish.
    fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.end != End::None {
            return Ok(());
        }
        if self.choices.is_empty() || self.choices.values().any(|choice| !choice.finished) {
            return Err(ReadError::Cut);
        }
        self.end = End::Done;
        out.push(ModelEvent::Done);
        Ok(())
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let trimmed = text.trim_ascii_start();
        let chunks: Vec<Chunk<'_>> =
            if trimmed.starts_with(b"[") { source.whole()? } else { vec![source.whole()?] };
        let says = |chunk: &Chunk<'_>| {
            chunk.candidates.is_some() || chunk.error.is_some() || chunk.prompt_feedback.is_some()
        };
        if !chunks.iter().any(says) {
            return Err(ReadError::field("candidates", "missing, expected an array of answers"));
        }
        for chunk in chunks {
            self.chunk(chunk, true, out)?;
        }
        if self.end == End::None {
            let open = self.choices.iter().filter(|(_, choice)| !choice.finished);
            let open: Vec<u32> = open.map(|(index, _)| *index).collect();
            for choice in open {
                self.finish(choice, "", None, out);
            }
        }
        Ok(())
    }
}

impl Generate {
    fn fail(&mut self, text: &str, out: &mut Vec<ModelEvent>) {
        self.end = End::Failed;
        let problem = Problem::read(text).unwrap_or_default();
        let code = problem.code(None);
        let message = match problem.message {
            empty if empty.is_empty() => "the provider reported an error".to_owned(),
            message => message,
        };
        out.push(ModelEvent::Error { code, message });
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if let Some(error) = chunk.error {
            self.fail(error.get(), out);
            return Ok(());
        }
        let raw_usage = chunk.usage_metadata.map(RawValue::get);
        let counted = raw_usage.and_then(|raw| serde_json::from_str::<UsageIn<'_>>(raw).ok());
        if !self.started {
            self.started = true;
            self.id = chunk.response_id.unwrap_or_default().0.into_owned();
            out.push(ModelEvent::Start {
                id: self.id.clone(),
                model: chunk.model_version.unwrap_or_default().0.into_owned(),
                created: None,
                usage: counted.as_ref().and_then(|usage| usage.usage(self.searches)),
            });
        }
        for (at, candidate) in chunk.candidates.into_iter().flatten().enumerate() {
            self.candidate(at, candidate, whole, out)?;
        }
        let blocked = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if let Some(reason) = blocked.filter(|reason| !is_unspecified(reason.as_str())) {
            self.block(reason.as_str(), out);
        }
        if let Some(usage) = counted {
            if let Some(counts) = usage.usage(self.searches) {
                out.push(ModelEvent::Usage(counts));
            }
            // Each chunk counts anew, and the last one counts.
            let ending = !self.choices.is_empty() && self.choices.values().any(|it| it.finished);
            if let Some(raw) = raw_usage.filter(|_| ending || self.failure.is_some()) {
                out.push(ModelEvent::Billed(Box::new(usage.billed(raw))));
            }
        }
        if let Some(message) = self.failure.take() {
            self.end = End::Failed;
            out.push(ModelEvent::Error { code: Code::Upstream, message });
        }
        Ok(())
    }

    /// The prompt was refused: there is no answer.
    fn block(&mut self, reason: &str, out: &mut Vec<ModelEvent>) {
        let choice = self.choices.entry(0).or_default();
        if !std::mem::replace(&mut choice.finished, true) {
            let (native, reason) = (reason.to_owned(), Finish::ContentFilter);
            out.push(ModelEvent::Finish { choice: 0, reason, native });
        }
    }

    fn candidate(
        &mut self,
        at: usize,
        candidate: Candidate<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let wrong = |field: &str, problem: &'static str| {
            ReadError::field(format!("candidates[{at}]{field}"), problem)
        };
        let index = candidate.index.map_or(if whole { at as u64 } else { 0 }, |index| index.0);
        let choice = u32::try_from(index).ok().filter(|_| index < MOST_CHOICES);
        let choice = choice.ok_or_else(|| wrong(".index", "too many answers"))?;
        self.choices.entry(choice).or_default();
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        for part in parts {
            if whole {
                self.progress(choice).said.begin_part();
            }
            let read = self.part(choice, part, out);
            read.map_err(|problem| wrong(".content.parts", problem))?;
        }
        if let Some(json) = candidate.logprobs_result.and_then(grounding::read_logprobs) {
            out.push(ModelEvent::Logprobs { choice, json });
        }
        let (grounding, citations) = (candidate.grounding_metadata, candidate.citation_metadata);
        if grounding.is_some() || citations.is_some() {
            self.cite(choice, grounding, citations, out);
        }
        if let Some(reason) = candidate.finish_reason
            && !is_unspecified(reason.as_str())
        {
            self.finish(choice, reason.as_str(), candidate.finish_message, out);
        }
        Ok(())
    }

    fn progress(&mut self, choice: u32) -> &mut Progress {
        self.choices.entry(choice).or_default()
    }

    fn part(
        &mut self,
        choice: u32,
        part: Part<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let signature = part.thought_signature.map(Text::into_string);
        let signature = signature.filter(|text| !text.is_empty()).map(state::issued);
        if let Some(call) = part.function_call {
            return self.call(choice, call, signature, out);
        }
        if let Some(text) = part.text {
            let text = text.into_string();
            let thought = part.thought.unwrap_or(false);
            let alone = text.is_empty() && !thought;
            if thought && !text.is_empty() {
                out.push(ModelEvent::Reasoning { choice, text });
            } else if !text.is_empty() {
                self.progress(choice).said.push(&text);
                out.push(ModelEvent::Text { choice, text });
            }
            out.extend(signature.map(|state| {
                if alone {
                    ModelEvent::RedactedReasoning { state }
                } else {
                    ModelEvent::ReasoningSignature { state }
                }
            }));
            return Ok(());
        }
        // A picture of a thought is no part of the answer.
        if part.thought == Some(true) {
            return Ok(());
        }
        let media = match (part.inline_data, part.file_data) {
            (Some(blob), _) => media::inline(blob).ok(),
            (None, Some(file)) => media::addressed(file).ok().flatten(),
            (None, None) => None,
        };
        if let Some(media) = media {
            out.push(ModelEvent::Media { choice, media });
            out.extend(signature.map(|state| ModelEvent::ReasoningSignature { state }));
        }
        Ok(())
    }

    fn call(
        &mut self,
        choice: u32,
        call: Called<'_>,
        state: Option<doorward_core::IssuerState>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let name = call.name.map(Text::into_string).unwrap_or_default();
        let goes_on = call.will_continue == Some(true)
            || call.partial_args.iter().flatten().any(|arg| arg.will_continue == Some(true));
        let args = call.args.map(RawValue::get).filter(|args| *args != "null");
        if name.is_empty() {
            let Some((number, arguments)) = &mut self.progress(choice).open else {
                let nothing = args.is_none() && call.partial_args.is_none();
                return if nothing { Ok(()) } else { Err("arguments before the tool's name") };
            };
            for piece in call.partial_args.into_iter().flatten() {
                arguments.take(piece)?;
            }
            // Told even if empty: whoever holds the call back must hold all of it back.
            out.push(ModelEvent::ToolDelta { call: *number, json: String::new() });
            if !goes_on {
                self.end_call(choice, out);
            }
            return Ok(());
        }
        self.end_call(choice, out);
        if self.calls == MOST_CALLS {
            return Err("too many tool calls");
        }
        let number = self.calls;
        self.calls += 1;
        let id = call.id.map(Text::into_string).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| made_id(&self.id, number));
        out.push(ModelEvent::ToolStart { call: number, choice, id, name, state });
        let progress = self.progress(choice);
        progress.any_call = true;
        if goes_on || call.partial_args.is_some() {
            let mut arguments = Arguments::default();
            for piece in call.partial_args.into_iter().flatten() {
                arguments.take(piece)?;
            }
            progress.open = Some((number, arguments));
            if !goes_on {
                self.end_call(choice, out);
            }
            return Ok(());
        }
        let json = args.unwrap_or("{}").to_owned();
        out.push(ModelEvent::ToolDelta { call: number, json });
        out.push(ModelEvent::ToolEnd { call: number });
        Ok(())
    }

    /// Ends the call whose arguments came in pieces.
    fn end_call(&mut self, choice: u32, out: &mut Vec<ModelEvent>) {
        if let Some((call, arguments)) = self.progress(choice).open.take() {
            out.push(ModelEvent::ToolDelta { call, json: arguments.json() });
            out.push(ModelEvent::ToolEnd { call });
        }
    }

    /// Tells sources; the metadata of a stream grows, so each is told once.
    fn cite(
        &mut self,
        choice: u32,
        grounding: Option<&RawValue>,
        citations: Option<&RawValue>,
        out: &mut Vec<ModelEvent>,
    ) {
        let progress = self.progress(choice);
        let (found, searches) = grounding::read(grounding, citations, &progress.said);
        for citation in found {
            let is_new = !progress.cited.contains(&citation) && citation != Citation::default();
            if is_new {
                progress.cited.push(citation.clone());
                out.push(ModelEvent::Citation { choice, citation });
            }
        }
        self.searches = self.searches.max(searches);
    }

    fn finish(
        &mut self,
        choice: u32,
        native: &str,
        message: Option<Text<'_>>,
        out: &mut Vec<ModelEvent>,
    ) {
        self.end_call(choice, out);
        let progress = self.progress(choice);
        if std::mem::replace(&mut progress.finished, true) {
            return;
        }
        let any_call = progress.any_call;
        if is_failure(native) {
            let words = message.map(Text::into_string).filter(|words| !words.is_empty());
            let words = words.unwrap_or_else(|| "the model failed".to_owned());
            self.failure = Some(format!("{native}: {words}"));
            return;
        }
        let reason = match finish_of(native, any_call) {
            Finish::Other if native.is_empty() => Finish::Stop,
            reason => reason,
        };
        out.push(ModelEvent::Finish { choice, reason, native: native.to_owned() });
    }
}

/// The default of an enumeration says nothing.
fn is_unspecified(word: &str) -> bool {
    word.is_empty() || word.ends_with("_UNSPECIFIED")
}
