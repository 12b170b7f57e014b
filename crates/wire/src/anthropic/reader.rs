//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{Billed, DialectId, Finish, IssuerState, ModelEvent};
use serde_json::value::RawValue;

use super::event::{self, BillIn, BlockIn, DeltaIn, EventIn, Kind, Kinds, MessageIn, UsageIn};
use super::{JSON_TOOL, finish_of};
use crate::calls::made_id;
use crate::error::Problem;
use crate::framed::{self, Framing};
use crate::json::{Source, Text};
use crate::stream::{self, Decoder};
use crate::{Quirks, ReadError, Reader};

/// The most blocks in one answer.
const MOST_BLOCKS: usize = 4096;

pub(super) fn new(streaming: bool, quirks: &Quirks) -> Box<dyn Reader> {
    let json_by_tool = quirks.json_by_tool;
    stream::reader(Messages { json_by_tool, ..Messages::default() }, streaming)
}

/// A reader of a stream in another framing than server-sent events.
pub(super) fn framed(framing: impl Framing + 'static) -> Box<dyn Reader> {
    framed::reader(framing, Messages::default())
}

/// Where an answer stands.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Messages {
    id: String,
    blocks: BTreeMap<u64, Block>,
    /// How many tool calls began.
    calls: u32,
    usage: UsageIn,
    /// The price tier, once told.
    tier: Option<String>,
    /// Whether the answer's JSON may come as a call.
    json_by_tool: bool,
    /// Whether it did.
    json: bool,
    finished: bool,
    failed: bool,
    done: bool,
}

#[derive(Debug)]
enum Block {
    /// Text, thought, or what the common form has no word for.
    Plain,
    Call(Call),
    /// The answer's JSON, as a call's arguments; whether any came.
    Json {
        input: String,
        filled: bool,
    },
    /// Over.
    Closed,
}

/// A tool call whose arguments are on their way.
#[derive(Debug)]
struct Call {
    number: u32,
    /// Arguments that stood in the block's start.
    input: String,
    /// Whether any argument text came that is not blank.
    filled: bool,
}

impl Decoder for Messages {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let data = data.trim();
        if data.is_empty() || self.done || data == "[DONE]" {
            return Ok(());
        }
        if name == Some("error") {
            self.fail(data, out);
            return Ok(());
        }
        let event = match Source::new(data.as_bytes())?.whole::<EventIn<'_>>() {
            Ok(event) => event,
            // A kind of block that came after this was written, fields and all.
            Err(_) if is_foreign(data) => return Ok(()),
            Err(error) => return Err(error),
        };
        let kind = event.kind.as_ref().map(Text::as_str).or(name).unwrap_or_default();
        match kind {
            "message_start" => self.start(event.message, out),
            "content_block_start" => {
                let index = event.index.unwrap_or_default().0;
                if let Some(block) = event.content_block {
                    self.open(index, block, out)?;
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index.unwrap_or_default().0, delta, out)?;
                }
            }
            "content_block_stop" => self.close_block(event.index.unwrap_or_default().0, out),
            "message_delta" => {
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.finish(reason.as_str(), out);
                }
                if let Some(usage) = event.usage {
                    self.bill(usage, out);
                }
            }
            "message_stop" => {
                self.close_all(out);
                self.done = true;
                out.push(ModelEvent::Done);
            }
            "error" => self.fail(data, out),
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.done || self.failed { Ok(()) } else { Err(ReadError::Cut) }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let message = source.whole::<MessageIn<'_>>()?;
        if message.kind.0 == "error" || message.error.is_some() {
            self.fail(std::str::from_utf8(text).unwrap_or_default(), out);
            return Ok(());
        }
        let MessageIn { id, model, content, stop_reason, usage, .. } = message;
        let Some(content) = content else {
            return Err(ReadError::field("content", "missing, expected an array of blocks"));
        };
        self.id = id.0.into_owned();
        let model = model.0.into_owned();
        out.push(ModelEvent::Start { id: self.id.clone(), model, created: None, usage: None });
        for (index, block) in content.into_iter().enumerate() {
            let index = index as u64;
            match source.read::<BlockIn<'_>>(block) {
                Ok(block) => self.open(index, block, out)?,
                Err(error) if is_known(&source.read::<Kind<'_>>(block)?.kind.0) => {
                    return Err(error);
                }
                Err(_) => {}
            }
            self.close_block(index, out);
        }
        let reason = stop_reason.unwrap_or_default();
        let reason = if reason.as_str().is_empty() { "end_turn" } else { reason.as_str() };
        self.finish(reason, out);
        if let Some(usage) = usage {
            self.bill(usage, out);
        }
        Ok(())
    }

    fn differs(&self) -> bool {
        self.json
    }
}

/// Whether a block or delta of this kind is read.
fn is_known(kind: &str) -> bool {
    matches!(
        kind,
        "" | "text"
            | "thinking"
            | "redacted_thinking"
            | "tool_use"
            | "text_delta"
            | "thinking_delta"
            | "signature_delta"
            | "input_json_delta"
            | "citations_delta"
    )
}

fn is_foreign(data: &str) -> bool {
    let kinds = serde_json::from_str::<Kinds<'_>>(data).ok();
    let kind = kinds.and_then(|kinds| kinds.content_block.or(kinds.delta));
    kind.is_some_and(|kind| !is_known(&kind.kind.0))
}

impl Messages {
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

    fn count(&mut self, raw: &RawValue) -> Option<f64> {
        if let Ok(usage) = serde_json::from_str::<UsageIn>(raw.get()) {
            self.usage = usage.over(self.usage);
        }
        let bill = serde_json::from_str::<BillIn<'_>>(raw.get()).ok()?;
        if !bill.service_tier.0.is_empty() {
            self.tier = Some(bill.service_tier.0.into_owned());
        }
        bill.cost.0.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0)
    }

    /// Tells usage, and what is said of the bill.
    fn bill(&mut self, raw: &RawValue, out: &mut Vec<ModelEvent>) {
        let cost_usd = self.count(raw);
        let Some(usage) = self.usage.usage() else { return };
        out.push(ModelEvent::Usage(usage));
        let (raw, tier) = (Some(raw.get().to_owned()), self.tier.clone());
        out.push(ModelEvent::Billed(Box::new(Billed { raw, tier, cost_usd })));
    }

    fn start(&mut self, message: Option<MessageIn<'_>>, out: &mut Vec<ModelEvent>) {
        let Some(message) = message else { return };
        self.id = message.id.0.into_owned();
        if let Some(usage) = message.usage {
            self.count(usage);
        }
        out.push(ModelEvent::Start {
            id: self.id.clone(),
            model: message.model.0.into_owned(),
            created: None,
            usage: self.usage.usage(),
        });
    }

    fn open(
        &mut self,
        index: u64,
        block: BlockIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if self.blocks.len() >= MOST_BLOCKS {
            return Err(ReadError::field("content_block", "too many blocks"));
        }
        if matches!(
            self.blocks.get(&index),
            Some(Block::Plain | Block::Call(_) | Block::Json { .. })
        ) {
            // Begun twice without an end: what came before is over.
            self.close_block(index, out);
        }
        let given =
            |text: Option<Text<'_>>| text.map(Text::into_string).filter(|text| !text.is_empty());
        let mut state = Block::Plain;
        match &*block.kind.0 {
            "text" => {
                out.extend(given(block.text).map(|text| ModelEvent::Text { choice: 0, text }));
                let cited = block.citations.map_or("[]", RawValue::get);
                let cited = serde_json::from_str::<Vec<&RawValue>>(cited).unwrap_or_default();
                out.extend(cited.into_iter().filter_map(cited_event));
            }
            "thinking" => {
                let thought = given(block.thinking);
                out.extend(thought.map(|text| ModelEvent::Reasoning { choice: 0, text }));
                let signature = given(block.signature);
                out.extend(
                    signature.map(|data| ModelEvent::ReasoningSignature { state: issued(data) }),
                );
            }
            "redacted_thinking" => {
                let data = block.data.unwrap_or_default().into_string();
                out.push(ModelEvent::RedactedReasoning { state: issued(data) });
            }
            "tool_use" if self.json_by_tool && block.name.0 == JSON_TOOL => {
                self.json = true;
                state = Block::Json { input: input_of(block.input), filled: false };
            }
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                let id = match block.id.0 {
                    id if id.is_empty() => made_id(&self.id, number),
                    id => id.into_owned(),
                };
                let name = block.name.0.into_owned();
                out.push(ModelEvent::ToolStart { call: number, choice: 0, id, name, state: None });
                let input = input_of(block.input);
                state = Block::Call(Call { number, input, filled: false });
            }
            _ => {}
        }
        self.blocks.insert(index, state);
        Ok(())
    }

    fn delta(
        &mut self,
        index: u64,
        delta: DeltaIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
        match &*delta.kind.0 {
            "text_delta" => out.push(ModelEvent::Text { choice: 0, text: text(delta.text) }),
            "thinking_delta" => {
                out.push(ModelEvent::Reasoning { choice: 0, text: text(delta.thinking) });
            }
            "signature_delta" => {
                let state = issued(text(delta.signature));
                out.push(ModelEvent::ReasoningSignature { state });
            }
            "input_json_delta" => {
                let json = text(delta.partial_json);
                match self.blocks.get_mut(&index) {
                    // Told even if empty: whoever holds a call back must hold all of it back.
                    Some(Block::Call(call)) => {
                        call.filled |= !json.trim().is_empty();
                        out.push(ModelEvent::ToolDelta { call: call.number, json });
                    }
                    Some(Block::Json { filled, .. }) => {
                        *filled |= !json.trim().is_empty();
                        out.push(ModelEvent::Text { choice: 0, text: json });
                    }
                    // A provider-hosted tool's.
                    Some(Block::Plain) => {}
                    Some(Block::Closed) | None if json.trim().is_empty() => {}
                    Some(Block::Closed) | None => {
                        let problem = "more arguments for a call that is over";
                        return Err(ReadError::field("delta.partial_json", problem));
                    }
                }
            }
            "citations_delta" => out.extend(delta.citation.and_then(cited_event)),
            _ => {}
        }
        Ok(())
    }

    fn close_block(&mut self, index: u64, out: &mut Vec<ModelEvent>) {
        let Some(block) = self.blocks.get_mut(&index) else { return };
        match std::mem::replace(block, Block::Closed) {
            Block::Call(Call { number: call, input, filled }) => {
                if !filled {
                    let json = if input.is_empty() { "{}".to_owned() } else { input };
                    out.push(ModelEvent::ToolDelta { call, json });
                }
                out.push(ModelEvent::ToolEnd { call });
            }
            Block::Json { input: text, filled: false } => {
                out.push(ModelEvent::Text { choice: 0, text });
            }
            _ => {}
        }
    }

    fn close_all(&mut self, out: &mut Vec<ModelEvent>) {
        let open: Vec<u64> = self.blocks.keys().copied().collect();
        for index in open {
            self.close_block(index, out);
        }
    }

    fn finish(&mut self, native: &str, out: &mut Vec<ModelEvent>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.close_all(out);
        let reason = match finish_of(native, self.calls > 0) {
            Finish::ToolCalls if self.json && self.calls == 0 => Finish::Stop,
            reason => reason,
        };
        out.push(ModelEvent::Finish { choice: 0, reason, native: native.to_owned() });
    }
}

fn cited_event(raw: &RawValue) -> Option<ModelEvent> {
    event::citation(raw).map(|citation| ModelEvent::Citation { choice: 0, citation })
}

/// Arguments that stand in a block's start.
fn input_of(input: Option<&RawValue>) -> String {
    input.map(RawValue::get).filter(|input| *input != "null").unwrap_or_default().to_owned()
}

/// State of Anthropic's own.
fn issued(data: String) -> IssuerState {
    IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data }
}
