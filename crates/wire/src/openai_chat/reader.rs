//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{Billed, Finish, ModelEvent};
use serde_json::value::RawValue;

use super::chunk::{self, CallDelta, Choice, Chunk, Delta, UsageIn};
use super::{finish_of, state};
use crate::calls::{Calls, Piece};
use crate::error::Problem;
use crate::json::Source;
use crate::stream::{self, Decoder};
use crate::{Quirks, ReadError, Reader};

/// The most answers to one call (`n`).
const MOST_CHOICES: usize = 128;

pub(super) fn new(streaming: bool, quirks: &Quirks) -> Box<dyn Reader> {
    let outside = quirks.reasoning_outside;
    stream::reader(Chat { outside, ..Chat::default() }, streaming)
}

/// Where an answer stands.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Chat {
    /// Whether reasoning tokens are counted beside the completion.
    outside: bool,
    id: String,
    /// The price tier, once told.
    tier: Option<String>,
    /// Whether any thought was shown since the last of its state.
    thought: bool,
    /// Whether the plain field ever said any.
    plain: bool,
    started: bool,
    calls: Calls,
    /// Each answer that began, and whether it finished.
    choices: BTreeMap<u32, bool>,
    /// Whether an answer finished with the word for an error.
    ended_badly: bool,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    None,
    /// An error was told.
    Failed,
    /// The end mark was told.
    Done,
}

impl Decoder for Chat {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let data = data.trim();
        if data.is_empty() || self.end == End::Done {
            return Ok(());
        }
        if data == "[DONE]" {
            self.end = End::Done;
            self.calls.end(None, &self.id, out);
            out.push(ModelEvent::Done);
            return Ok(());
        }
        if name == Some("error") {
            self.fail(data, out);
            return Ok(());
        }
        let chunk = Source::new(data.as_bytes())?.whole::<Chunk<'_>>()?;
        self.chunk(chunk, data, false, out)
    }

    fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.end != End::None {
            return Ok(());
        }
        if self.choices.is_empty() || self.choices.values().any(|finished| !finished) {
            return Err(ReadError::Cut);
        }
        self.end = End::Done;
        self.calls.end(None, &self.id, out);
        out.push(ModelEvent::Done);
        Ok(())
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let chunk = source.whole::<Chunk<'_>>()?;
        let text = std::str::from_utf8(text).unwrap_or_default();
        if chunk.choices.is_none() && chunk.error.is_none() && !is_error_object(&chunk) {
            return Err(ReadError::field("choices", "missing, expected an array of answers"));
        }
        self.chunk(chunk, text, true, out)?;
        if self.end == End::None {
            let open: Vec<u32> =
                self.choices.iter().filter(|(_, done)| !**done).map(|(index, _)| *index).collect();
            for choice in open {
                self.finish(choice, "", out);
            }
        }
        Ok(())
    }
}

/// vLLM's errors stand at the top.
fn is_error_object(chunk: &Chunk<'_>) -> bool {
    chunk.object.as_ref().is_some_and(|object| object.0 == "error")
}

impl Chat {
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
        text: &str,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let is_error_object = is_error_object(&chunk);
        let choices = chunk.choices.unwrap_or_default();
        let id = chunk.id.unwrap_or_default().0;
        if !self.started && (!choices.is_empty() || !id.is_empty()) && chunk.error.is_none() {
            self.started = true;
            self.id = id.into_owned();
            out.push(ModelEvent::Start {
                id: self.id.clone(),
                model: chunk.model.unwrap_or_default().0.into_owned(),
                created: chunk.created.and_then(|created| i64::try_from(created.0).ok()),
                usage: None,
            });
        }
        for (at, choice) in choices.into_iter().enumerate() {
            self.choice(at, choice, whole, out)?;
        }
        if !chunk.service_tier.0.is_empty() && self.tier.is_none() {
            self.tier = Some(chunk.service_tier.0.into_owned());
        }
        if let Some(usage) = chunk.usage {
            self.usage(usage, chunk.provider_metadata, out);
        }
        if let Some(error) = chunk.error {
            self.fail(error.get(), out);
        } else if is_error_object {
            self.fail(text, out);
        } else if self.ended_badly && self.end == End::None {
            self.fail("", out);
        }
        Ok(())
    }

    fn usage(&mut self, raw: &RawValue, metadata: Option<&RawValue>, out: &mut Vec<ModelEvent>) {
        let Ok(counted) = serde_json::from_str::<UsageIn<'_>>(raw.get()) else { return };
        let Some(usage) = counted.usage(self.outside) else { return };
        out.push(ModelEvent::Usage(usage));
        out.push(ModelEvent::Billed(Box::new(Billed {
            raw: Some(raw.get().to_owned()),
            tier: self.tier.clone(),
            cost_usd: counted.cost().or_else(|| chunk::metadata_cost(metadata)),
        })));
    }

    fn choice(
        &mut self,
        at: usize,
        choice: Choice<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let wrong = |field: &str, problem: &'static str| {
            Err(ReadError::field(format!("choices[{at}]{field}"), problem))
        };
        let index = choice.index.map_or(if whole { at as u64 } else { 0 }, |index| index.0);
        let Some(number) = u32::try_from(index).ok().filter(|_| index < MOST_CHOICES as u64) else {
            return wrong(".index", "too many answers");
        };
        let finish_reason = choice.finish_reason.filter(|reason| !reason.as_str().is_empty());
        let Some(delta) = choice.delta.or(choice.message) else {
            // Azure's content filter reports on an answer without adding to it.
            if let Some(reason) = finish_reason {
                self.finish(number, reason.as_str(), out);
            }
            return Ok(());
        };
        self.choices.entry(number).or_insert(false);
        if let Err(problem) = self.delta(number, delta, whole, out) {
            return wrong(".delta.tool_calls", problem);
        }
        if let Some(json) = choice.logprobs.and_then(chunk::logprobs) {
            out.push(ModelEvent::Logprobs { choice: number, json });
        }
        if let Some(reason) = finish_reason {
            self.finish(number, reason.as_str(), out);
        }
        Ok(())
    }

    fn delta(
        &mut self,
        choice: u32,
        delta: Delta<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let mut thought = delta.reasoning_content.0;
        if thought.is_empty() {
            thought = delta.reasoning.0;
        }
        self.plain |= !thought.is_empty();
        for text in [thought.into_owned(), delta.content.thought] {
            if !text.is_empty() {
                self.thought = true;
                out.push(ModelEvent::Reasoning { choice, text });
            }
        }
        for item in delta.reasoning_details.iter().flatten() {
            self.detail(choice, item, out);
        }
        let spoken = delta.audio.and_then(chunk::transcript);
        if !delta.content.text.is_empty() {
            out.push(ModelEvent::Text { choice, text: delta.content.text.into_owned() });
        } else if let Some(text) = spoken {
            out.push(ModelEvent::Text { choice, text });
        }
        for media in delta.images.iter().flatten().filter_map(|item| chunk::image(item)) {
            out.push(ModelEvent::Media { choice, media });
        }
        for citation in delta.annotations.iter().flatten().filter_map(|item| chunk::citation(item))
        {
            out.push(ModelEvent::Citation { choice, citation });
        }
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.as_str().is_empty()) {
            out.push(ModelEvent::Refusal { choice, text: refusal.into_string() });
        }
        let legacy = delta
            .function_call
            .map(|function| CallDelta { function: Some(function), ..CallDelta::default() });
        for call in delta.tool_calls.into_iter().flatten().chain(legacy) {
            self.call(choice, &call, whole, out)?;
        }
        Ok(())
    }

    /// Where the plain field says the thought too, only the state is new.
    fn detail(&mut self, choice: u32, item: &RawValue, out: &mut Vec<ModelEvent>) {
        let Some(detail) = state::read(item) else { return };
        if !self.plain && !detail.text.is_empty() {
            self.thought = true;
            out.push(ModelEvent::Reasoning { choice, text: detail.text });
        }
        let Some(state) = detail.state else { return };
        let apart = detail.sealed && !self.thought;
        self.thought = false;
        out.push(if apart {
            ModelEvent::RedactedReasoning { state }
        } else {
            ModelEvent::ReasoningSignature { state }
        });
    }

    fn call(
        &mut self,
        choice: u32,
        call: &CallDelta<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let mut piece = Piece {
            index: call.index.map(|index| index.0),
            id: call.id.as_ref().map_or("", |id| &*id.0),
            whole,
            state: state::on_call(call.extra_content),
            ..Piece::default()
        };
        if let Some(function) = &call.function {
            piece.name = function.name.as_ref().map_or("", |name| name.as_str());
            piece.arguments = &function.arguments.0;
        } else if let Some(custom) = &call.custom {
            piece.name = custom.name.as_ref().map_or("", |name| name.as_str());
            piece.arguments = custom.input.as_ref().map_or("", |input| input.as_str());
            piece.free_text = true;
        }
        self.calls.piece(choice, &piece, &self.id, out)
    }

    fn finish(&mut self, choice: u32, native: &str, out: &mut Vec<ModelEvent>) {
        if self.choices.insert(choice, true) == Some(true) {
            // Some say it again beside the usage.
            return;
        }
        self.calls.end(Some(choice), &self.id, out);
        let reason = match finish_of(native, self.calls.any(choice)) {
            Finish::Other if native.is_empty() => Finish::Stop,
            reason => reason,
        };
        out.push(ModelEvent::Finish { choice, reason, native: native.to_owned() });
        self.ended_badly |= matches!(native, "error" | "insufficient_system_resource");
    }
}
