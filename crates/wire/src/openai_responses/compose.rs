//! The common form into a request for an upstream that speaks Responses.

use bytes::BytesMut;
use doorward_core::{Body, DialectId, ModelCall, Part, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::turns::Conversation;
use super::{ID, choice, mend, params, sift};
use crate::emit::{self, Object};
use crate::json::{Source, Text};
use crate::quirks::mend::{self as quirk, Mend, Request};
use crate::splice::{self, Edits, Shape, shown};
use crate::{Destination, Dropped, Quirks, ReadError, WriteError, Written, preferences};

const SHAPE: Shape = Shape {
    auto: choice::AUTO,
    required: choice::REQUIRED,
    with_tools: &["tools", "tool_choice", "parallel_tool_calls"],
    asks_usage: false,
};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let quirks = to.quirks;
    quirk::refuse_addresses(call, quirks)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    check(call, own.is_some())?;
    let request = Request::of(call, quirks, own.is_some());
    let touched = mend::touches(call, quirks);
    let deeper = |mended: &mut Mend<'_, '_>| mend::mend(mended, quirks);
    // Free-form tools become functions throughout: in declarations, choices and history.
    let kept = own.filter(|raw| !raw.body.is_empty());
    if let Some(raw) = kept.filter(|_| !quirks.no_custom_tools || !has_custom(call))
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        return quirk::mend(sift::sift(call, body)?, &request, touched, deeper);
    }
    let mut compose = Compose { call, quirks, own: own.is_some(), dropped: Vec::new() };
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    let written = Written { body: out.freeze(), dropped: compose.dropped };
    quirk::mend(written, &request, touched, deeper)
}

/// The fields that a count of tokens takes (`POST /v1/responses/input_tokens`).
const COUNTED: [&str; 10] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "truncation",
    "previous_response_id",
];

/// Writes a request for a count of tokens: the same, without what says how to answer.
pub(super) fn write_count(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let Written { body, dropped } = write(call, to)?;
    let broken =
        |_: ReadError| WriteError { path: String::new(), reason: "the kept body is not its own" };
    let source = Source::new(&body).map_err(broken)?;
    let members = source.members().map_err(broken)?;
    let mut edits = Edits::default();
    edits.remove_members(source, &members, |member| !COUNTED.contains(&&*member.name));
    let body = edits.apply(&body);
    Ok(Written { body, dropped })
}

/// Refuses what would silently give another answer.
fn check(call: &ModelCall, own: bool) -> Result<(), WriteError> {
    let reason = "OpenAI Responses gives one answer to a call";
    let more = |(name, value): &&(String, Box<RawValue>)| {
        name == "n" && !own && !matches!(value.get(), "1" | "null")
    };
    let several = call.params.choices.is_some_and(|choices| choices > 1);
    if several || call.extra.iter().any(|extra| more(&extra)) {
        return Err(WriteError { path: "n".into(), reason });
    }
    Ok(())
}

/// Whether any free-form tool is declared or was called.
fn has_custom(call: &ModelCall) -> bool {
    let called = |part: &Part| matches!(&part.body, Body::ToolUse(call) if call.custom);
    call.tools.iter().any(|tool| tool.custom)
        || call.messages.iter().any(|message| message.parts.iter().any(called))
}

struct Compose<'c> {
    call: &'c ModelCall,
    quirks: &'c Quirks,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        body.str("model", to.model);
        let conversation = Conversation::of(call, !self.quirks.no_custom_tools);
        conversation.write(body, &mut self.dropped);
        if !shown(call).is_empty() {
            self.tools(body);
        }
        params::write(body, call, self.own, to.model, &mut self.dropped);
        body.opt_str("previous_response_id", call.previous.as_deref());
        if call.stream {
            body.value("stream", true);
        }
        for (name, value) in &call.extra {
            let goes = self.own || self.shares(name) || self.quirks.extends(name);
            if goes && name != "tool_choice" {
                body.raw(name, value.get());
            } else if !self.own {
                let reason = "no such field in OpenAI Responses";
                self.dropped.extend(preferences::lost(name, value, reason));
            }
        }
    }

    /// Whether a field of Chat says the same here. Chat itself takes `metadata` only where the
    /// answer is stored, so nothing goes the other way.
    fn shares(&self, name: &str) -> bool {
        let from = self.call.raw.as_ref().map(|raw| raw.dialect);
        from == Some(DialectId::OPENAI_CHAT)
            && matches!(name, "metadata" | "prompt_cache_retention" | "safety_identifier")
    }

    fn tools(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        body.array("tools", |list| {
            for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
                match &tool.opaque {
                    Some(raw) if tool.custom && !self.quirks.no_custom_tools => {
                        if self.own {
                            list.raw(raw.get());
                        } else {
                            list.object(|item| free_form(item, tool, raw));
                        }
                    }
                    Some(raw) if self.own && !tool.custom => list.raw(raw.get()),
                    Some(_) if !tool.custom => {
                        self.drop(format!("tools[{nth}]"), "only its own dialect has it");
                    }
                    _ => list.object(|item| self.function(item, tool)),
                }
            }
        });
        if let Some(written) = choice::written(call, self.own) {
            body.raw("tool_choice", written.get());
        } else {
            choice::write(body, call);
        }
        body.opt("parallel_tool_calls", call.params.parallel_tools);
    }

    fn function(&mut self, item: &mut Object<'_>, tool: &ToolDef) {
        item.str("type", "function");
        item.str("name", &tool.name);
        item.opt_str("description", tool.description.as_deref());
        match &tool.schema {
            Some(schema) => item.raw("parameters", schema.get()),
            None if self.own => {}
            None => item.raw("parameters", r#"{"type":"object","properties":{}}"#),
        }
        // Strict unless said otherwise here, and only here.
        let strict = if self.own { tool.strict } else { Some(tool.strict.unwrap_or(false)) };
        item.opt("strict", strict);
        if tool.cache_control.is_some() {
            self.drop_marks();
        }
    }

    fn drop_marks(&mut self) {
        if !self.dropped.iter().any(|dropped| dropped.path == "cache_control") {
            self.drop("cache_control", "OpenAI Responses caches without being told");
        }
    }
}

/// A free-form tool as Chat declares it.
#[derive(Deserialize)]
struct ChatTool<'a> {
    #[serde(borrow)]
    custom: ChatCustom<'a>,
}

#[derive(Deserialize)]
struct ChatCustom<'a> {
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<ChatFormat<'a>>,
}

#[derive(Deserialize)]
struct ChatFormat<'a> {
    #[serde(borrow)]
    grammar: Option<ChatGrammar<'a>>,
}

#[derive(Deserialize)]
struct ChatGrammar<'a> {
    #[serde(borrow)]
    syntax: Text<'a>,
    #[serde(borrow)]
    definition: Text<'a>,
}

/// Declares a free-form tool of another dialect. Chat's says the same with one more level.
fn free_form(item: &mut Object<'_>, tool: &ToolDef, raw: &RawValue) {
    item.str("type", "custom");
    item.str("name", &tool.name);
    match serde_json::from_str::<ChatTool<'_>>(raw.get()) {
        Ok(ChatTool { custom }) => {
            item.opt_str("description", custom.description.as_ref().map(Text::as_str));
            match custom.format.map(|format| format.grammar) {
                Some(Some(grammar)) => item.object("format", |format| {
                    format.str("type", "grammar");
                    format.str("syntax", grammar.syntax.as_str());
                    format.str("definition", grammar.definition.as_str());
                }),
                Some(None) => item.object("format", |format| format.str("type", "text")),
                None => {}
            }
        }
        Err(_) => item.opt_str("description", tool.description.as_deref()),
    }
}
