//! An upstream's answer into events.

use std::collections::BTreeMap;

use doorward_core::{Code, IssuerState, ModelEvent};
use serde_json::value::RawValue;

use super::event::{
    self, AnswerIn, BlockIn, Called, CitationIn, Cited, DeltaIn, EventIn, InputDelta, ThoughtDelta,
};
use super::{ID, finish_of};
use crate::calls::made_id;
use crate::error::Problem;
use crate::eventstream::exception_code;
use crate::framed::{self, Binary};
use crate::json::{Source, Text};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

/// The most blocks in one answer.
const MOST_BLOCKS: usize = 4096;

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    if streaming {
        framed::reader(Binary::messages(), Converse::default())
    } else {
        stream::reader(Converse::default(), false)
    }
}

/// Where an answer stands.
#[derive(Debug, Default)]
struct Converse {
    blocks: BTreeMap<u64, Block>,
    /// How many tool calls began.
    calls: u32,
    stage: Stage,
    /// Why what the model wrote could not be read, if it could not.
    malformed: Option<String>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Default)]
enum Stage {
    #[default]
    New,
    Begun,
    /// The message stopped; usage may follow.
    Finished,
    /// An error was told.
    Failed,
    /// The end was told.
    Done,
}

#[derive(Debug)]
enum Block {
    /// Text, thought, or what the common form has no word for.
    Plain,
    /// A call, and whether any argument text came that is not blank.
    Call { number: u32, filled: bool },
    /// Over.
    Closed,
}

impl Decoder for Converse {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let name = name.unwrap_or_default();
        if let Some(code) = exception_code(name) {
            self.fail(code, data, out);
            return Ok(());
        }
        let known = matches!(
            name,
            "messageStart"
                | "contentBlockStart"
                | "contentBlockDelta"
                | "contentBlockStop"
                | "messageStop"
                | "metadata"
        );
        if !known || self.stage >= Stage::Failed {
            return Ok(());
        }
        let event = Source::new(data.as_bytes())?.whole::<EventIn<'_>>()?;
        let index = event.content_block_index.unwrap_or_default().0;
        if name != "metadata" {
            self.start(out);
        }
        match name {
            "contentBlockStart" => {
                let call = event.start.and_then(|start| start.tool_use);
                self.open(index, call, out)?;
            }
            "contentBlockDelta" => {
                if let Some(delta) = event.delta {
                    self.delta(index, delta, out)?;
                }
            }
            "contentBlockStop" => self.close_block(index, out),
            "messageStop" => {
                self.finish(event.stop_reason.unwrap_or_default().as_str(), out);
            }
            "metadata" => {
                account(event.usage, event.service_tier, out);
                self.end(out);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        self.end(out);
        if self.stage >= Stage::Failed { Ok(()) } else { Err(ReadError::Cut) }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let answer = source.whole::<AnswerIn<'_>>()?;
        let content = answer.output.and_then(|output| output.message).map(|it| it.content);
        let Some(content) = content else {
            if answer.message.0.is_empty() {
                let problem = "missing, expected a message";
                return Err(ReadError::field("output.message", problem));
            }
            self.fail(Code::Upstream, source_text(text), out);
            return Ok(());
        };
        self.start(out);
        for (index, block) in content.into_iter().flatten().enumerate() {
            self.block(index as u64, block, out)?;
        }
        account(answer.usage, answer.service_tier, out);
        let reason = answer.stop_reason.unwrap_or_default();
        self.finish(if reason.as_str().is_empty() { "end_turn" } else { reason.as_str() }, out);
        if self.malformed.is_some() {
            self.end(out);
        }
        Ok(())
    }
}

fn source_text(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// State that only this service can read.
fn issued(data: String) -> IssuerState {
    IssuerState { issuer: ID, data }
}

impl Converse {
    fn start(&mut self, out: &mut Vec<ModelEvent>) {
        if self.stage == Stage::New {
            self.stage = Stage::Begun;
            // Neither an id nor the model's name is told.
            let (id, model) = (String::new(), String::new());
            out.push(ModelEvent::Start { id, model, created: None, usage: None });
        }
    }

    fn fail(&mut self, code: Code, text: &str, out: &mut Vec<ModelEvent>) {
        self.stage = Stage::Failed;
        let message = match Problem::read(text).unwrap_or_default().message {
            empty if empty.is_empty() => "the provider reported an error".to_owned(),
            message => message,
        };
        out.push(ModelEvent::Error { code, message });
    }

    fn open(
        &mut self,
        index: u64,
        call: Option<Called<'_>>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if self.blocks.len() >= MOST_BLOCKS {
            return Err(ReadError::field("contentBlockIndex", "too many blocks"));
        }
        // Begun twice without an end: what came before is over.
        self.close_block(index, out);
        let block = match call.filter(|call| call.kind.is_none()) {
            None => Block::Plain,
            Some(call) => {
                let number = self.calls;
                self.calls += 1;
                let id = match call.tool_use_id.0 {
                    id if id.is_empty() => made_id("", number),
                    id => id.into_owned(),
                };
                let name = call.name.0.into_owned();
                out.push(ModelEvent::ToolStart { call: number, choice: 0, id, name, state: None });
                Block::Call { number, filled: false }
            }
        };
        self.blocks.insert(index, block);
        Ok(())
    }

    fn delta(
        &mut self,
        index: u64,
        delta: DeltaIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let DeltaIn { text, tool_use, reasoning_content, citation } = delta;
        // Text and thought begin without being announced.
        if tool_use.is_none() && !self.blocks.contains_key(&index) {
            self.open(index, None, out)?;
        }
        if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
            out.push(ModelEvent::Text { choice: 0, text: text.into_string() });
        }
        if let Some(thought) = reasoning_content {
            think(thought, out);
        }
        if let Some(citation) = citation {
            out.push(ModelEvent::Citation { choice: 0, citation: citation.citation() });
        }
        if let Some(InputDelta { input }) = tool_use {
            let json = input.unwrap_or_default().into_string();
            match self.blocks.get_mut(&index) {
                // Told even if empty: whoever holds a call back must hold all of it back.
                Some(Block::Call { number, filled }) => {
                    *filled |= !json.trim().is_empty();
                    out.push(ModelEvent::ToolDelta { call: *number, json });
                }
                // A tool's that the service runs itself.
                Some(Block::Plain) => {}
                Some(Block::Closed) | None if json.trim().is_empty() => {}
                Some(Block::Closed) | None => {
                    let problem = "more arguments for a call that is over";
                    return Err(ReadError::field("delta.toolUse.input", problem));
                }
            }
        }
        Ok(())
    }

    /// A block of a whole answer.
    fn block(
        &mut self,
        index: u64,
        block: BlockIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let said = |text: Option<Text<'_>>, out: &mut Vec<ModelEvent>| {
            out.extend(text.map(|text| ModelEvent::Text { choice: 0, text: text.into_string() }));
        };
        said(block.text, out);
        if let Some(thought) = block.reasoning_content {
            let shown = thought.reasoning_text.unwrap_or(ThoughtDelta {
                text: None,
                signature: None,
                redacted_content: None,
            });
            think(ThoughtDelta { redacted_content: thought.redacted_content, ..shown }, out);
        }
        if let Some(Cited { content, citations }) = block.citations_content {
            content.into_iter().flatten().for_each(|passage| said(passage.text, out));
            let citations = citations.into_iter().flatten().map(CitationIn::citation);
            out.extend(citations.map(|citation| ModelEvent::Citation { choice: 0, citation }));
        }
        if let Some(call) = block.tool_use {
            let input = call.input.map(RawValue::get).filter(|input| *input != "null");
            self.open(index, Some(call), out)?;
            if let (Some(Block::Call { number, filled }), Some(input)) =
                (self.blocks.get_mut(&index), input)
            {
                *filled = true;
                out.push(ModelEvent::ToolDelta { call: *number, json: input.to_owned() });
            }
            self.close_block(index, out);
        }
        Ok(())
    }

    fn close_block(&mut self, index: u64, out: &mut Vec<ModelEvent>) {
        let Some(block) = self.blocks.get_mut(&index) else { return };
        if let Block::Call { number: call, filled } = std::mem::replace(block, Block::Closed) {
            if !filled {
                out.push(ModelEvent::ToolDelta { call, json: "{}".into() });
            }
            out.push(ModelEvent::ToolEnd { call });
        }
    }

    fn finish(&mut self, native: &str, out: &mut Vec<ModelEvent>) {
        if self.stage >= Stage::Finished {
            return;
        }
        self.stage = Stage::Finished;
        let open: Vec<u64> = self.blocks.keys().copied().collect();
        for index in open {
            self.close_block(index, out);
        }
        let reason = finish_of(native, self.calls > 0);
        out.push(ModelEvent::Finish { choice: 0, reason, native: native.to_owned() });
        if native.starts_with("malformed_") {
            self.malformed = Some(format!("the model's output could not be read ({native})"));
        }
    }

    /// The end, if the message stopped: usage comes after that, and nothing after usage.
    fn end(&mut self, out: &mut Vec<ModelEvent>) {
        if self.stage != Stage::Finished {
            return;
        }
        if let Some(message) = self.malformed.take() {
            // Not an end that may be taken for one.
            self.stage = Stage::Failed;
            out.push(ModelEvent::Error { code: Code::Upstream, message });
        } else {
            self.stage = Stage::Done;
            out.push(ModelEvent::Done);
        }
    }
}

fn account(usage: Option<&RawValue>, tier: Option<event::Tier<'_>>, out: &mut Vec<ModelEvent>) {
    out.extend(usage.and_then(event::usage).map(ModelEvent::Usage));
    out.extend(event::billed(usage, tier).map(ModelEvent::Billed));
}

fn think(thought: ThoughtDelta<'_>, out: &mut Vec<ModelEvent>) {
    if let Some(text) = thought.text {
        out.push(ModelEvent::Reasoning { choice: 0, text: text.into_string() });
    }
    if let Some(signature) = thought.signature.filter(|it| !it.as_str().is_empty()) {
        let state = issued(signature.into_string());
        out.push(ModelEvent::ReasoningSignature { state });
    }
    if let Some(blob) = thought.redacted_content {
        out.push(ModelEvent::RedactedReasoning { state: issued(blob.into_string()) });
    }
}
