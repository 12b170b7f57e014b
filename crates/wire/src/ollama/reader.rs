//! An upstream's answer into events.

use doorward_core::{ModelEvent, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{finish_of, time};
use crate::calls::{Calls, Piece};
use crate::error::Problem;
use crate::framed::{self, Lines};
use crate::json::{Count, Source, Text, Word};
use crate::stream::{self, Decoder};
use crate::{ReadError, Reader};

pub(super) fn new(streaming: bool) -> Box<dyn Reader> {
    if streaming {
        framed::reader(Lines::default(), Chat::default())
    } else {
        stream::reader(Chat::default(), false)
    }
}

/// One line, or a whole answer. Everything may be missing or null.
#[derive(Deserialize)]
struct LineIn<'a> {
    #[serde(borrow, default)]
    model: Word<'a>,
    #[serde(borrow, default)]
    created_at: Word<'a>,
    #[serde(borrow)]
    message: Option<MessageIn<'a>>,
    done: Option<bool>,
    #[serde(borrow, default)]
    done_reason: Word<'a>,
    prompt_eval_count: Option<Count>,
    eval_count: Option<Count>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallIn<'a>>>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    #[serde(borrow, default)]
    id: Word<'a>,
    #[serde(borrow)]
    function: Option<FunctionIn<'a>>,
}

#[derive(Deserialize)]
struct FunctionIn<'a> {
    #[serde(borrow, default)]
    name: Word<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Where an answer stands.
#[derive(Debug, Default)]
struct Chat {
    /// What tells this answer from others: it has no id, so the time it was made.
    key: String,
    started: bool,
    calls: Calls,
    failed: bool,
    done: bool,
}

impl Decoder for Chat {
    fn event(
        &mut self,
        _name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if self.done || self.failed {
            return Ok(());
        }
        let line = Source::new(data.as_bytes())?.whole::<LineIn<'_>>()?;
        let ends = line.done == Some(true);
        self.line(line, data, ends, out)?;
        if self.done {
            out.push(ModelEvent::Done);
        }
        Ok(())
    }

    fn close(&mut self, _out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        if self.done || self.failed { Ok(()) } else { Err(ReadError::Cut) }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
        let source = Source::new(text)?;
        let line = source.whole::<LineIn<'_>>()?;
        if line.message.is_none() && line.error.is_none() {
            return Err(ReadError::field("message", "missing, expected a message"));
        }
        self.line(line, std::str::from_utf8(text).unwrap_or_default(), true, out)
    }
}

impl Chat {
    fn line(
        &mut self,
        line: LineIn<'_>,
        text: &str,
        ends: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if line.error.is_some() {
            self.failed = true;
            let problem = Problem::read(text).unwrap_or_default();
            let code = problem.code(None);
            let message = match problem.message {
                empty if empty.is_empty() => "the provider reported an error".to_owned(),
                message => message,
            };
            out.push(ModelEvent::Error { code, message });
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            self.key = line.created_at.0.clone().into_owned();
            out.push(ModelEvent::Start {
                id: String::new(),
                model: line.model.0.into_owned(),
                created: time::read(&line.created_at.0),
                usage: None,
            });
        }
        if let Some(message) = line.message {
            self.message(message, out)?;
        }
        if let Some(list) = line.logprobs.filter(|list| list.get().starts_with('[')) {
            out.push(ModelEvent::Logprobs { choice: 0, json: list.get().to_owned() });
        }
        if ends {
            self.calls.end(None, &self.key, out);
            let native = line.done_reason.0.into_owned();
            let reason = finish_of(&native, self.calls.any(0));
            out.push(ModelEvent::Finish { choice: 0, reason, native });
            if line.prompt_eval_count.is_some() || line.eval_count.is_some() {
                // A prompt that lay in the cache is left out by some servers.
                let count = |count: Option<Count>| count.unwrap_or_default().0;
                let (input, output) = (count(line.prompt_eval_count), count(line.eval_count));
                out.push(ModelEvent::Usage(Usage { input, output, ..Usage::default() }));
            }
            self.done = true;
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: MessageIn<'_>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError> {
        if let Some(text) = message.thinking.filter(|text| !text.as_str().is_empty()) {
            out.push(ModelEvent::Reasoning { choice: 0, text: text.into_string() });
        }
        if let Some(text) = message.content.filter(|text| !text.as_str().is_empty()) {
            out.push(ModelEvent::Text { choice: 0, text: text.into_string() });
        }
        for call in message.tool_calls.into_iter().flatten() {
            let Some(function) = call.function else { continue };
            let arguments = function.arguments.map(RawValue::get).unwrap_or_default();
            let piece = Piece {
                id: &call.id.0,
                name: &function.name.0,
                arguments: if arguments == "null" { "" } else { arguments },
                whole: true,
                ..Piece::default()
            };
            let wrong = |problem| ReadError::field("message.tool_calls", problem);
            self.calls.piece(0, &piece, &self.key, out).map_err(wrong)?;
            // Each comes whole.
            self.calls.end(None, &self.key, out);
        }
        Ok(())
    }
}
