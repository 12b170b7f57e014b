//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{DialectId, IssuerState, ModelEvent};
use serde_json::value::RawValue;

use super::event::{BlockIn, DeltaIn, EventIn, Kind, Kinds, MessageIn, UsageIn};
use super::finish_of;
use crate::calls::made_id;
use crate::error::Problem;
use crate::framed::{self, Framing};
use crate::json::{Source, Text};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

/// The most blocks in one answer.
const MOST_BLOCKS: usize = 4096;

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    stream::reader(Messages::default(), streaming)
}

/// A reader of a stream in another framing than server-sent events.
pub(super) fn framed(framing: impl Framing + 'static) -> Box<dyn Reader> {
    framed::reader(framing, Messages::default())
}

/// Where an answer stands.
#[derive(Debug, Default)]
struct Messages {
    id: String,
    blocks: BTreeMap<u64, Block>,
    /// How many tool calls began.
    calls: u32,
    usage: UsageIn,
    finished: bool,
    failed: bool,
    done: bool,
}

#[derive(Debug)]
enum Block {
    /// Text, thought, or what the common form has no word for.
    Plain,
    Call(Call),
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
                    self.usage = usage.over(self.usage);
                    out.extend(self.usage.usage().map(ModelEvent::Usage));
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
        out.extend(usage.and_then(UsageIn::usage).map(ModelEvent::Usage));
        Ok(())
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

    fn start(&mut self, message: Option<MessageIn<'_>>, out: &mut Vec<ModelEvent>) {
        let Some(message) = message else { return };
        self.id = message.id.0.into_owned();
        self.usage = message.usage.unwrap_or_default();
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
        if matches!(self.blocks.get(&index), Some(Block::Plain | Block::Call(_))) {
            // Begun twice without an end: what came before is over.
            self.close_block(index, out);
        }
        let given =
            |text: Option<Text<'_>>| text.map(Text::into_string).filter(|text| !text.is_empty());
        let mut state = Block::Plain;
        match &*block.kind.0 {
            "text" => {
                out.extend(given(block.text).map(|text| ModelEvent::Text { choice: 0, text }));
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
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                let id = match block.id.0 {
                    id if id.is_empty() => made_id(&self.id, number),
                    id => id.into_owned(),
                };
                let name = block.name.0.into_owned();
                out.push(ModelEvent::ToolStart { call: number, choice: 0, id, name, state: None });
                let input = block.input.map(RawValue::get).filter(|input| *input != "null");
                let input = input.unwrap_or_default().to_owned();
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
                    // A provider-hosted tool's.
                    Some(Block::Plain) => {}
                    Some(Block::Closed) | None if json.trim().is_empty() => {}
                    Some(Block::Closed) | None => {
                        let problem = "more arguments for a call that is over";
                        return Err(ReadError::field("delta.partial_json", problem));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close_block(&mut self, index: u64, out: &mut Vec<ModelEvent>) {
        let Some(block) = self.blocks.get_mut(&index) else { return };
        if let Block::Call(Call { number: call, input, filled }) =
            std::mem::replace(block, Block::Closed)
        {
            if !filled {
                let json = if input.is_empty() { "{}".to_owned() } else { input };
                out.push(ModelEvent::ToolDelta { call, json });
            }
            out.push(ModelEvent::ToolEnd { call });
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
        let reason = finish_of(native, self.calls > 0);
        out.push(ModelEvent::Finish { choice: 0, reason, native: native.to_owned() });
    }
}

/// State of Anthropic's own.
fn issued(data: String) -> IssuerState {
    IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data }
}
