//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{Billed, Code, ModelEvent, Usage};
use serde_json::value::RawValue;

use super::called::Call;
use super::event::{EventIn, ItemIn, ResponseIn, arguments, citation, logprobs, usage};
use super::finish_of;
use super::whole::{given, picture, tell_message, tell_thought};
use crate::error::Problem;
use crate::json::Source;
use crate::stream::{self, Decoder};
use crate::{Quirks, ReadError, Reader};

/// The most items in one answer.
const MOST_ITEMS: usize = 4096;

pub(super) fn new(streaming: bool, quirks: &Quirks) -> Box<dyn Reader> {
    let answer = Responses { outside: quirks.reasoning_outside, ..Responses::default() };
    stream::reader(answer, streaming)
}

/// Where an answer stands. Items are told apart by `output_index`: their ids may be others with
/// every event (trap 9).
#[derive(Debug, Default)]
struct Responses {
    id: String,
    model: String,
    created: Option<i64>,
    tier: String,
    started: bool,
    items: BTreeMap<u64, Item>,
    /// How many tool calls began.
    calls: u32,
    /// Web searches that the provider ran.
    searches: u64,
    usage: Option<(Usage, Billed)>,
    /// Whether reasoning tokens are told beside the answer's.
    outside: bool,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    None,
    /// An error was told.
    Failed,
    /// The end was told.
    Done,
}

#[derive(Debug)]
struct Item {
    what: What,
    done: bool,
}

#[derive(Debug)]
enum What {
    /// A message, and which of its pieces were told.
    Message(Vec<u64>),
    Thought {
        paragraphs: u64,
        told: bool,
    },
    Call(Call),
    /// What the common form has no word for.
    Hosted,
}

impl Decoder for Responses {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" || self.end != End::None {
            return Ok(());
        }
        if name == Some("response.in_progress") && !self.id.is_empty() {
            // It repeats all that the first event said.
            return Ok(());
        }
        let source = Source::new(data.as_bytes())?;
        let event = source.whole::<EventIn<'_>>()?;
        let kind = if event.kind.0.is_empty() { name.unwrap_or_default() } else { &event.kind.0 };
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(response) = event.response {
                    self.note(&source.read::<ResponseIn<'_>>(response)?);
                }
            }
            "response.completed" | "response.incomplete" | "response.done" => {
                let Some(response) = event.response else {
                    return Err(ReadError::field("response", "missing"));
                };
                let response = source.read::<ResponseIn<'_>>(response)?;
                self.terminal(source, response, out)?;
                out.push(ModelEvent::Done);
            }
            "response.failed" | "response.cancelled" => {
                let response =
                    event.response.map(|it| source.read::<ResponseIn<'_>>(it)).transpose()?;
                self.failed(response.as_ref(), out);
            }
            "error" | "response.error" => self.fail(data, out),
            "response.output_item.added" => {
                let key = event.output_index.map_or_else(|| self.next_key(), |index| index.0);
                if let Some(item) = event.item {
                    self.added(key, &source.read::<ItemIn<'_>>(item)?, out)?;
                }
            }
            "response.output_item.done" => {
                let key = self.key(&event);
                if let Some(item) = event.item {
                    self.done(key, &source.read::<ItemIn<'_>>(item)?, out)?;
                }
            }
            kind => self.piece(kind, &event, out)?,
        }
        if self.usage.is_none() {
            self.usage = event.usage.and_then(|it| usage(it, self.searches, self.outside));
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.end == End::None { Err(ReadError::Cut) } else { Ok(()) }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let response = source.whole::<ResponseIn<'_>>()?;
        let failed =
            response.error.is_some() || matches!(&*response.status.0, "failed" | "cancelled");
        if failed {
            self.failed(Some(&response), out);
            return Ok(());
        }
        if response.output.is_none() {
            return Err(ReadError::field("output", "missing, expected an array of items"));
        }
        self.terminal(source, response, out)
    }
}

impl Responses {
    fn note(&mut self, response: &ResponseIn<'_>) {
        if !response.id.0.is_empty() {
            response.id.0.as_ref().clone_into(&mut self.id);
        }
        if !response.model.0.is_empty() {
            response.model.0.as_ref().clone_into(&mut self.model);
        }
        let created = response.created_at.and_then(|created| i64::try_from(created.0).ok());
        self.created = created.or(self.created);
        if !response.service_tier.0.is_empty() {
            response.service_tier.0.as_ref().clone_into(&mut self.tier);
        }
        let told = response.usage.and_then(|it| usage(it, self.searches, self.outside));
        self.usage = told.or_else(|| self.usage.take());
    }

    /// Tells the answer's start with the first thing that is told of it: until then it may still
    /// fail, and another upstream be asked (trap 8).
    fn begin(&mut self, out: &mut Vec<ModelEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            let (id, model) = (self.id.clone(), self.model.clone());
            out.push(ModelEvent::Start { id, model, created: self.created, usage: None });
        }
    }

    fn next_key(&self) -> u64 {
        self.items.keys().next_back().map_or(0, |last| last.saturating_add(1))
    }

    /// The item an event is of; one without an index is of the last.
    fn key(&self, event: &EventIn<'_>) -> u64 {
        let last = || self.items.keys().next_back().copied().unwrap_or(0);
        event.output_index.map_or_else(last, |index| index.0)
    }

    fn added(
        &mut self,
        key: u64,
        item: &ItemIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        self.begin(out);
        if self.items.len() >= MOST_ITEMS {
            return Err(ReadError::field("item", "too many items"));
        }
        // A call is over when the next item begins, if not before.
        self.end_calls(out)?;
        let what = match &*item.kind.0 {
            "message" => What::Message(Vec::new()),
            "reasoning" => What::Thought { paragraphs: 0, told: false },
            kind @ ("function_call" | "custom_tool_call") => {
                if item.name.0.is_empty() {
                    return Err(ReadError::field("item.name", "missing, expected the tool's name"));
                }
                let free = kind == "custom_tool_call";
                let given = given(item, free);
                let call = Call::begin(self.calls, free, (&item.call_id.0, &item.name.0), given);
                self.calls += 1;
                call.start(&self.id, out);
                What::Call(call)
            }
            _ => What::Hosted,
        };
        self.items.insert(key, Item { what, done: false });
        Ok(())
    }

    fn end_calls(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        for item in self.items.values_mut().filter(|item| !item.done) {
            if let What::Call(call) = &mut item.what {
                call.end(out).map_err(wrong_arguments)?;
            }
        }
        Ok(())
    }

    /// An item is over, and stands in the event as a whole.
    fn done(
        &mut self,
        key: u64,
        item: &ItemIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if !self.items.contains_key(&key) {
            self.added(key, item, out)?;
        }
        let Some(known) = self.items.get_mut(&key).filter(|known| !known.done) else {
            return Ok(());
        };
        known.done = true;
        match &mut known.what {
            What::Message(told) => tell_message(item, told, out),
            What::Thought { told, .. } => tell_thought(item, *told, out),
            What::Call(call) => {
                let whole = given(item, call.is_free());
                call.settle(&whole, false, out).map_err(wrong_arguments)?;
                call.end(out).map_err(wrong_arguments)?;
            }
            What::Hosted => {
                self.searches += u64::from(item.kind.0 == "web_search_call");
                out.extend(picture(item));
            }
        }
        Ok(())
    }

    /// More of an item.
    fn piece(
        &mut self,
        kind: &str,
        event: &EventIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let key = self.key(event);
        let is_call = matches!(
            kind,
            "response.function_call_arguments.delta"
                | "response.function_call_arguments.done"
                | "response.custom_tool_call_input.delta"
                | "response.custom_tool_call_input.done"
        );
        if is_call {
            return self.argument(kind, key, event, out);
        }
        let part = event.content_index.unwrap_or_default().0;
        match kind {
            "response.output_text.delta" => {
                self.said(key, part, out);
                let text = event.delta.0.clone().into_owned();
                out.extend((!text.is_empty()).then_some(ModelEvent::Text { choice: 0, text }));
                let json = logprobs(event.logprobs);
                out.extend(json.map(|json| ModelEvent::Logprobs { choice: 0, json }));
            }
            "response.output_text.done"
                if !event.text.0.is_empty() && self.said(key, part, out) =>
            {
                let text = event.text.0.clone().into_owned();
                out.push(ModelEvent::Text { choice: 0, text });
            }
            "response.output_text.annotation.added" => {
                let citation = event.annotation.and_then(citation);
                out.extend(citation.map(|citation| ModelEvent::Citation { choice: 0, citation }));
            }
            "response.refusal.delta" => {
                self.said(key, part, out);
                let text = event.delta.0.clone().into_owned();
                out.push(ModelEvent::Refusal { choice: 0, text });
            }
            "response.refusal.done" if !event.refusal.0.is_empty() && self.said(key, part, out) => {
                let text = event.refusal.0.clone().into_owned();
                out.push(ModelEvent::Refusal { choice: 0, text });
            }
            "response.reasoning_summary_text.delta" => {
                let paragraph = event.summary_index.unwrap_or_default().0;
                self.thought(key, Some(paragraph), &event.delta.0, out);
            }
            "response.reasoning_text.delta" => self.thought(key, None, &event.delta.0, out),
            _ => {}
        }
        Ok(())
    }

    /// Notes that a message's piece is told; says whether it is for the first time.
    fn said(&mut self, key: u64, part: u64, out: &mut Vec<ModelEvent>) -> bool {
        self.begin(out);
        let message = || Item { what: What::Message(Vec::new()), done: false };
        match &mut self.items.entry(key).or_insert_with(message).what {
            What::Message(told) if told.contains(&part) => false,
            What::Message(told) => {
                told.push(part);
                true
            }
            _ => false,
        }
    }

    /// More of a thought. Its paragraphs come apart.
    fn thought(&mut self, key: u64, paragraph: Option<u64>, text: &str, out: &mut Vec<ModelEvent>) {
        self.begin(out);
        let thought = || Item { what: What::Thought { paragraphs: 0, told: false }, done: false };
        let item = self.items.entry(key).or_insert_with(thought);
        let mut joint = "";
        if let What::Thought { paragraphs, told } = &mut item.what {
            let now = paragraph.unwrap_or(*paragraphs);
            joint = if *told && now > *paragraphs { "\n\n" } else { "" };
            (*paragraphs, *told) = (now.max(*paragraphs), true);
        }
        out.push(ModelEvent::Reasoning { choice: 0, text: format!("{joint}{text}") });
    }

    fn argument(
        &mut self,
        kind: &str,
        key: u64,
        event: &EventIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let call = match self.items.get_mut(&key).map(|item| &mut item.what) {
            Some(What::Call(call)) => call,
            // Some provider-hosted tool's.
            Some(What::Hosted) => return Ok(()),
            _ => {
                let problem = "arguments before the tool's name";
                return Err(ReadError::field("delta", problem));
            }
        };
        let result = match kind {
            "response.function_call_arguments.done" => {
                call.settle(&arguments(event.arguments), true, out)
            }
            "response.custom_tool_call_input.done" => call.settle(&event.input.0, true, out),
            _ => call.more(&event.delta.0, out),
        };
        result.map_err(wrong_arguments)
    }

    /// The answer is over, and stands in the event as a whole.
    fn terminal<'a>(
        &mut self,
        source: Source<'a>,
        response: ResponseIn<'a>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        self.note(&response);
        self.begin(out);
        self.end_calls(out)?;
        self.whole(source, response.output.as_deref().unwrap_or_default(), out)?;
        let reason = response.incomplete_details.map(|details| details.reason.0);
        let native = match reason {
            Some(reason) if !reason.is_empty() => reason,
            _ => response.status.0,
        };
        let reason = finish_of(&native, self.calls > 0);
        out.push(ModelEvent::Finish { choice: 0, reason, native: native.into_owned() });
        self.bill(out);
        if self.end == End::None {
            self.end = End::Done;
        }
        Ok(())
    }

    /// Tells what the whole answer has beyond the events before. The calls in it must be those
    /// that were told: nobody judged any other.
    fn whole<'a>(
        &mut self,
        source: Source<'a>,
        output: &[&'a RawValue],
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let told = |is: fn(&What) -> bool| self.items.values().any(|item| is(&item.what));
        let messages = told(|what| matches!(what, What::Message(_)));
        let thoughts = told(|what| matches!(what, What::Thought { .. }));
        let hosted = told(|what| matches!(what, What::Hosted));
        let mut calls: Vec<u64> = Vec::new();
        calls.extend(
            self.items
                .iter()
                .filter_map(|(key, item)| matches!(item.what, What::Call(_)).then_some(*key)),
        );
        let mut calls = calls.into_iter();
        for item in output {
            let item = source.read::<ItemIn<'a>>(item)?;
            let known = match &*item.kind.0 {
                "message" => messages,
                "reasoning" => thoughts,
                "function_call" | "custom_tool_call" => match calls.next() {
                    Some(key) => {
                        self.verify(key, &item)?;
                        true
                    }
                    None => false,
                },
                _ => hosted,
            };
            if !known {
                let key = self.next_key();
                self.done(key, &item, out)?;
            }
        }
        Ok(())
    }

    fn verify(&self, key: u64, item: &ItemIn<'_>) -> Result<(), ReadError> {
        let same = match self.items.get(&key).map(|known| &known.what) {
            Some(What::Call(call)) => call.is(&item.name.0, &given(item, call.is_free())),
            _ => false,
        };
        if same { Ok(()) } else { Err(wrong_arguments("another call than was told")) }
    }

    fn bill(&mut self, out: &mut Vec<ModelEvent>) {
        let tier = Some(std::mem::take(&mut self.tier)).filter(|tier| !tier.is_empty());
        match self.usage.take() {
            Some((usage, mut billed)) => {
                out.push(ModelEvent::Usage(Usage { searches: self.searches, ..usage }));
                billed.tier = tier;
                out.push(ModelEvent::Billed(Box::new(billed)));
            }
            None if tier.is_some() => {
                out.push(ModelEvent::Billed(Box::new(Billed { tier, ..Billed::default() })));
            }
            None => {}
        }
    }

    fn failed(&mut self, response: Option<&ResponseIn<'_>>, out: &mut Vec<ModelEvent>) {
        let error = response.and_then(|response| response.error);
        if let Some(response) = response {
            self.note(response);
        }
        if self.usage.is_some() {
            self.begin(out);
            self.bill(out);
        }
        self.fail(error.map_or("", RawValue::get), out);
    }

    fn fail(&mut self, text: &str, out: &mut Vec<ModelEvent>) {
        self.end = End::Failed;
        let problem = Problem::read(text);
        let code = problem.as_ref().map_or(Code::Upstream, |problem| problem.code(None));
        let message = match problem.map(|problem| problem.message).unwrap_or_default() {
            empty if empty.is_empty() => "the provider reported an error".to_owned(),
            message => message,
        };
        out.push(ModelEvent::Error { code, message });
    }
}

fn wrong_arguments(problem: &'static str) -> ReadError {
    ReadError::field("item.arguments", problem)
}
