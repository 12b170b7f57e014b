//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{Billed, ModelEvent};
use serde_json::Value;
use serde_json::value::RawValue;

use super::finish_of;
use super::options::{self, Found};
use super::part::{self, AnswerIn, PartIn};
use crate::calls::made_id;
use crate::error::Problem;
use crate::json::{Source, Text};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

/// The most tool calls in one answer.
const MOST_CALLS: usize = 1024;

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    stream::reader(Parts::default(), streaming)
}

/// Where an answer stands.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Parts {
    id: String,
    started: bool,
    /// The calls whose arguments are on their way, by id.
    open: BTreeMap<String, Call>,
    calls: u32,
    finished: bool,
    failed: bool,
    done: bool,
}

#[derive(Debug)]
struct Call {
    number: u32,
    arguments: String,
}

impl Decoder for Parts {
    fn event(
        &mut self,
        _name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let data = data.trim();
        if data.is_empty() || self.done {
            return Ok(());
        }
        if data == "[DONE]" {
            return self.close(out);
        }
        let source = Source::new(data.as_bytes())?;
        // A part whose kind came after this was written may have fields of other types.
        let part = match source.whole::<PartIn<'_>>() {
            Ok(part) => part,
            Err(error) if is_known(data) => return Err(error),
            Err(_) => return Ok(()),
        };
        self.part(&part, out)
    }

    fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.done || self.failed {
            return Ok(());
        }
        if !self.finished {
            return Err(ReadError::Cut);
        }
        self.done = true;
        out.push(ModelEvent::Done);
        Ok(())
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let answer = source.whole::<AnswerIn<'_>>()?;
        if answer.error.is_some() && answer.content.is_none() {
            self.fail(std::str::from_utf8(text).unwrap_or_default(), out);
            return Ok(());
        }
        let Some(content) = answer.content else {
            return Err(ReadError::field("content", "missing, expected an array of parts"));
        };
        let (id, model) = answer
            .response
            .map(|response| (response.id.0.into_owned(), response.model_id.0.into_owned()))
            .unwrap_or_default();
        self.start(id, model, out);
        for item in content {
            match source.read::<PartIn<'_>>(item) {
                Ok(part) => self.part(&part, out)?,
                Err(error) if is_known(item.get()) => return Err(error),
                Err(_) => {}
            }
        }
        self.finish(answer.finish_reason, answer.usage, answer.provider_metadata, out);
        Ok(())
    }
}

/// Whether a part of this kind is read.
fn is_known(data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    let Ok(Kind { kind }) = serde_json::from_str::<Kind<'_>>(data) else { return true };
    let kind = kind.as_str();
    kind.starts_with("text")
        || kind.starts_with("reasoning")
        || kind.starts_with("tool-input")
        || matches!(kind, "tool-call" | "file" | "finish" | "response-metadata")
}

impl Parts {
    fn start(&mut self, id: String, model: String, out: &mut Vec<ModelEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            self.id.clone_from(&id);
            out.push(ModelEvent::Start { id, model, created: None, usage: None });
        }
    }

    fn fail(&mut self, text: &str, out: &mut Vec<ModelEvent>) {
        self.failed = true;
        let problem = Problem::read(text).unwrap_or_default();
        let code = problem.code(None);
        let message = match problem.message {
            empty if empty.is_empty() => "the provider reported an error".to_owned(),
            message => message,
        };
        out.push(ModelEvent::Error { code, message });
    }

    fn part(&mut self, part: &PartIn<'_>, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let kind = &*part.kind.0;
        let owned = |text: &Option<Text<'_>>| {
            text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default()
        };
        match kind {
            "response-metadata" => {
                let (id, model) = (part.id.0.clone(), part.model_id.0.clone());
                self.start(id.into_owned(), model.into_owned(), out);
                return Ok(());
            }
            "error" => {
                // The error is what stands in it, of whatever shape.
                let text = part.error.map_or("null", RawValue::get);
                self.fail(&format!("{{\"error\":{text}}}"), out);
                return Ok(());
            }
            "stream-start" | "ping" | "raw" => return Ok(()),
            _ => self.start(String::new(), String::new(), out),
        }
        match kind {
            "text" | "text-delta" => {
                let text = owned(if kind == "text" { &part.text } else { &part.delta });
                if !text.is_empty() {
                    out.push(ModelEvent::Text { choice: 0, text });
                }
            }
            "reasoning" | "reasoning-start" | "reasoning-delta" | "reasoning-end" => {
                let text = owned(if kind == "reasoning" { &part.text } else { &part.delta });
                if !text.is_empty() {
                    out.push(ModelEvent::Reasoning { choice: 0, text });
                }
                state(part, out);
            }
            "tool-input-start" if part.provider_executed != Some(true) => {
                self.call(&part.id.0, part, out)?;
            }
            "tool-input-delta" => {
                if let Some(call) = self.open.get_mut(&*part.id.0) {
                    let json = owned(&part.delta);
                    call.arguments.push_str(&json);
                    out.push(ModelEvent::ToolDelta { call: call.number, json });
                }
            }
            "tool-call" if part.provider_executed != Some(true) => self.called(part, out)?,
            "file" => out.extend(part.media().map(|media| ModelEvent::Media { choice: 0, media })),
            "source" => out.push(ModelEvent::Citation { choice: 0, citation: part.citation() }),
            "finish" => {
                self.finish(part.finish_reason, part.usage, part.provider_metadata, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn call(
        &mut self,
        id: &str,
        part: &PartIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<u32, ReadError> {
        if self.calls as usize >= MOST_CALLS {
            return Err(ReadError::field("toolCallId", "too many tool calls"));
        }
        if self.open.contains_key(id) {
            return Err(ReadError::field("id", "a call that began already"));
        }
        let number = self.calls;
        self.calls += 1;
        self.open.insert(id.to_owned(), Call { number, arguments: String::new() });
        let told = if id.is_empty() { made_id(&self.id, number) } else { id.to_owned() };
        let name = part.tool_name.0.clone().into_owned();
        let state = options::read(part.provider_metadata).state().map(|found| found.state);
        out.push(ModelEvent::ToolStart { call: number, choice: 0, id: told, name, state });
        Ok(number)
    }

    /// A call is complete. A client runs what stands here, so it must be what was streamed: that
    /// is what was judged.
    fn called(&mut self, part: &PartIn<'_>, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let id = &*part.tool_call_id.0;
        if !self.open.contains_key(id) {
            self.call(id, part, out)?;
        }
        let Some(Call { number: call, arguments }) = self.open.remove(id) else { return Ok(()) };
        let input = part.input.as_ref().map(Text::as_str).unwrap_or_default();
        let input = if input.trim().is_empty() { "{}" } else { input };
        if arguments.trim().is_empty() {
            out.push(ModelEvent::ToolDelta { call, json: input.to_owned() });
        } else if arguments != input && !is_same(&arguments, input) {
            return Err(ReadError::field("input", "not what was streamed of the call"));
        }
        out.push(ModelEvent::ToolEnd { call });
        Ok(())
    }

    fn finish(
        &mut self,
        reason: Option<&RawValue>,
        usage: Option<&RawValue>,
        metadata: Option<&RawValue>,
        out: &mut Vec<ModelEvent>,
    ) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        for (_, Call { number: call, arguments }) in std::mem::take(&mut self.open) {
            if arguments.trim().is_empty() {
                out.push(ModelEvent::ToolDelta { call, json: "{}".to_owned() });
            }
            out.push(ModelEvent::ToolEnd { call });
        }
        if let Some((usage, raw)) = usage.and_then(part::usage) {
            let cost_usd = part::cost(metadata);
            out.push(ModelEvent::Usage(usage));
            out.push(ModelEvent::Billed(Box::new(Billed { raw, tier: None, cost_usd })));
        }
        let (unified, native) = part::reason(reason);
        if unified == "error" {
            return self.fail("", out);
        }
        let reason = finish_of(&unified, self.calls > 0);
        out.push(ModelEvent::Finish { choice: 0, reason, native });
    }
}

/// Tells the state that a part of thought carries.
fn state(part: &PartIn<'_>, out: &mut Vec<ModelEvent>) {
    let found = options::read(part.provider_metadata).state();
    out.extend(found.map(|Found { state, sealed }| {
        if sealed {
            ModelEvent::RedactedReasoning { state }
        } else {
            ModelEvent::ReasoningSignature { state }
        }
    }));
}

/// Whether two JSON texts are the same value.
fn is_same(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}
