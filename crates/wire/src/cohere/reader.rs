//! An upstream's answer into events.

use doorward_core::{Code, ModelEvent};
use serde_json::value::RawValue;

use super::event::{
    self, AnswerIn, CallIn, CitationIn, EventIn, MessageDelta, MessageIn, OneOrMany, PieceIn,
};
use super::finish_of;
use crate::calls::{Calls, Piece};
use crate::error::Problem;
use crate::json::{Content, Source, Text};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    stream::reader(Chat::default(), streaming)
}

/// Where an answer stands.
#[derive(Debug, Default)]
struct Chat {
    id: String,
    calls: Calls,
    stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Default)]
enum Stage {
    #[default]
    New,
    Begun,
    Finished,
    /// An error was told.
    Failed,
    /// The end was told.
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
        if data.is_empty() || self.stage >= Stage::Failed || data == "[DONE]" {
            return Ok(());
        }
        let event = Source::new(data.as_bytes())?.whole::<EventIn<'_>>()?;
        let kind = event.kind.as_ref().map(Text::as_str).or(name).unwrap_or_default().to_owned();
        if kind == "error" || kind.is_empty() {
            self.fail(Code::Upstream, data, out);
            return Ok(());
        }
        if kind == "message-start" {
            self.start(event.id.0.into_owned(), out);
        }
        let logprobs = event.logprobs.and_then(|logprobs| logprobs.entry());
        let index = event.index.map(|index| index.0);
        let Some(delta) = event.delta else {
            if kind == "tool-call-end" {
                self.calls.end(Some(0), &self.id, out);
            }
            return Ok(());
        };
        if let Some(message) = delta.message {
            self.message(&kind, index, message, out)?;
        }
        if let Some(entry) = logprobs {
            out.push(ModelEvent::Logprobs { choice: 0, json: format!("[{entry}]") });
        }
        match kind.as_str() {
            "tool-call-end" => self.calls.end(Some(0), &self.id, out),
            "message-end" => {
                account(delta.usage, out);
                self.finish(&delta.finish_reason.0, &delta.error.0, out);
                if self.stage == Stage::Finished {
                    self.stage = Stage::Done;
                    out.push(ModelEvent::Done);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.stage >= Stage::Failed { Ok(()) } else { Err(ReadError::Cut) }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let answer = source.whole::<AnswerIn<'_>>()?;
        let Some(message) = answer.message else {
            return Err(ReadError::field("message", "missing, expected a message"));
        };
        if message.get().starts_with('"') {
            self.fail(Code::Upstream, std::str::from_utf8(text).unwrap_or_default(), out);
            return Ok(());
        }
        self.start(answer.id.0.into_owned(), out);
        let MessageIn { content, tool_plan, tool_calls, citations } = source.read(message)?;
        think(tool_plan, out);
        match content {
            Content::Nothing => {}
            Content::Text(text) => {
                out.push(ModelEvent::Text { choice: 0, text: text.into_owned() });
            }
            Content::Pieces(pieces) => pieces.into_iter().for_each(|piece| say(piece, out)),
        }
        cite(citations.unwrap_or_default(), out);
        let entries: Vec<String> =
            answer.logprobs.iter().flatten().filter_map(event::LogprobsIn::entry).collect();
        if !entries.is_empty() {
            out.push(ModelEvent::Logprobs { choice: 0, json: format!("[{}]", entries.join(",")) });
        }
        for call in tool_calls.into_iter().flatten() {
            self.call(None, &call, true, out)?;
        }
        account(answer.usage, out);
        self.finish(&answer.finish_reason.0, "", out);
        Ok(())
    }
}

/// A thought or a plan.
fn think(text: Option<Text<'_>>, out: &mut Vec<ModelEvent>) {
    if let Some(text) = text.filter(|text| !text.as_str().is_empty()) {
        out.push(ModelEvent::Reasoning { choice: 0, text: text.into_string() });
    }
}

fn say(piece: PieceIn<'_>, out: &mut Vec<ModelEvent>) {
    think(piece.thinking, out);
    if let Some(text) = piece.text.filter(|text| !text.as_str().is_empty()) {
        out.push(ModelEvent::Text { choice: 0, text: text.into_string() });
    }
}

fn cite(citations: Vec<CitationIn<'_>>, out: &mut Vec<ModelEvent>) {
    let citations = citations.into_iter().flat_map(CitationIn::citations);
    out.extend(citations.map(|citation| ModelEvent::Citation { choice: 0, citation }));
}

fn account(usage: Option<&RawValue>, out: &mut Vec<ModelEvent>) {
    out.extend(usage.and_then(event::usage).map(ModelEvent::Usage));
    out.extend(event::billed(usage).map(ModelEvent::Billed));
}

impl Chat {
    fn start(&mut self, id: String, out: &mut Vec<ModelEvent>) {
        if self.stage == Stage::New {
            self.stage = Stage::Begun;
            self.id.clone_from(&id);
            // The model's name is not told.
            let model = String::new();
            out.push(ModelEvent::Start { id, model, created: None, usage: None });
        }
    }

    fn fail(&mut self, usual: Code, text: &str, out: &mut Vec<ModelEvent>) {
        self.stage = Stage::Failed;
        let problem = Problem::read(text).unwrap_or_default();
        let code = match problem.code(None) {
            Code::Upstream => usual,
            code => code,
        };
        let message = match problem.message {
            empty if empty.is_empty() => "the provider reported an error".to_owned(),
            message => message,
        };
        out.push(ModelEvent::Error { code, message });
    }

    fn message(
        &mut self,
        kind: &str,
        index: Option<u64>,
        message: MessageDelta<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        think(message.tool_plan, out);
        let content = message.content.map(|OneOrMany(list)| list).unwrap_or_default();
        for piece in content {
            say(piece, out);
        }
        cite(message.citations.map(|OneOrMany(list)| list).unwrap_or_default(), out);
        if matches!(kind, "tool-call-start" | "tool-call-delta") {
            for call in message.tool_calls.map(|OneOrMany(list)| list).unwrap_or_default() {
                self.call(index, &call, false, out)?;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        index: Option<u64>,
        call: &CallIn<'_>,
        whole: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        let Some(function) = &call.function else { return Ok(()) };
        let piece = Piece {
            index,
            id: &call.id.0,
            name: &function.name.0,
            arguments: function.arguments.as_ref().map_or("", Text::as_str),
            whole,
            ..Piece::default()
        };
        let wrong = |problem| ReadError::field("delta.message.tool_calls", problem);
        self.calls.piece(0, &piece, &self.id, out).map_err(wrong)
    }

    fn finish(&mut self, native: &str, error: &str, out: &mut Vec<ModelEvent>) {
        if self.stage >= Stage::Finished {
            return;
        }
        self.stage = Stage::Finished;
        self.calls.end(None, &self.id, out);
        let reason = finish_of(native, self.calls.any(0));
        out.push(ModelEvent::Finish { choice: 0, reason, native: native.to_owned() });
        if matches!(native, "ERROR" | "TIMEOUT") {
            self.stage = Stage::Failed;
            let code = if native == "TIMEOUT" { Code::Timeout } else { Code::Upstream };
            let message = if error.is_empty() { "the provider reported an error" } else { error };
            out.push(ModelEvent::Error { code, message: message.to_owned() });
        }
    }
}
