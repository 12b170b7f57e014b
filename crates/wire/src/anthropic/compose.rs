//! The common form into a request for an upstream that speaks Messages.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{ModelCall, Params, ResponseFormat, ToolChoice, ToolDef};
use serde_json::value::RawValue;

use super::ID;
use super::turns::Conversation;
use crate::emit::{self, Object};
use crate::splice::{self, Shape, shown};
use crate::{Destination, Dropped, WriteError, Written};

/// The tokens to answer with where the client did not say: this dialect must.
const USUAL_TOKENS: u64 = 4096;

/// The least thinking budget.
const LEAST_BUDGET: u64 = 1024;

const SHAPE: Shape = Shape {
    auto: |call| choice_text("auto", call),
    required: |call| choice_text("any", call),
    with_tools: &["tools", "tool_choice"],
    asks_usage: false,
};

fn choice_text(kind: &str, call: &ModelCall) -> Cow<'static, str> {
    Cow::Owned(match call.params.parallel_tools {
        Some(false) => format!(r#"{{"type":"{kind}","disable_parallel_tool_use":true}}"#),
        _ => format!(r#"{{"type":"{kind}"}}"#),
    })
}

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty())
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        return Ok(Written { body, dropped: Vec::new() });
    }
    let mut compose = Compose { call, own: own.is_some(), dropped: Vec::new() };
    compose.check()?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    Ok(Written { body: out.freeze(), dropped: compose.dropped })
}

struct Compose<'c> {
    call: &'c ModelCall,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// Refuses what would silently give another answer.
    fn check(&self) -> Result<(), WriteError> {
        let more = |(name, value): &&(String, Box<RawValue>)| {
            name == "n" && !matches!(value.get(), "1" | "null")
        };
        match self.call.extra.iter().find(more) {
            None => Ok(()),
            Some((name, _)) => {
                let reason = "Anthropic Messages gives one answer to a call";
                Err(WriteError { path: name.clone(), reason })
            }
        }
    }

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        let conversation = Conversation::of(call, &mut self.dropped);
        let (max_tokens, budget) = self.limits(&conversation);
        body.str("model", to.model);
        body.value("max_tokens", max_tokens);
        conversation.write_system(body);
        conversation.write_messages(body, &mut self.dropped);
        if !shown(call).is_empty() {
            self.tools(body);
        }
        if let Some(budget) = budget {
            body.object("thinking", |thinking| {
                thinking.str("type", "enabled");
                thinking.value("budget_tokens", budget);
            });
        }
        self.sampling(body, &call.params, budget.is_some());
        self.output(body, &call.params);
        if let Some(user) = &call.params.user {
            body.object("metadata", |metadata| metadata.str("user_id", user));
        }
        if call.stream {
            body.value("stream", true);
        }
        for (name, value) in &call.extra {
            if self.own {
                body.raw(name, value.get());
            } else if name != "n" {
                self.drop(name.as_str(), "no such field in Anthropic Messages");
            }
        }
    }

    /// How many tokens to answer with, and how many of them to think with.
    fn limits(&mut self, conversation: &Conversation<'_>) -> (u64, Option<u64>) {
        let params = &self.call.params;
        let effort = params.reasoning_effort.as_deref().filter(|_| !self.own);
        let wanted = params.thinking_budget.or_else(|| effort.and_then(budget_of));
        let Some(wanted) = wanted else { return (params.max_tokens.unwrap_or(USUAL_TOKENS), None) };
        let wanted = wanted.max(LEAST_BUDGET);
        let Some(limit) = params.max_tokens else {
            let budget = self.thinks(conversation).then_some(wanted);
            return (
                budget.map_or(USUAL_TOKENS, |budget| budget.saturating_add(USUAL_TOKENS)),
                budget,
            );
        };
        if limit <= LEAST_BUDGET {
            self.drop("thinking", "no room for it within the token limit");
            return (limit, None);
        }
        // An effort leaves a quarter for the answer; a budget is the client's own word.
        let most = if params.thinking_budget.is_some() { limit - 1 } else { limit - limit / 4 };
        let budget = wanted.min(most).clamp(LEAST_BUDGET, limit - 1);
        (limit, self.thinks(conversation).then_some(budget))
    }

    /// Whether thinking is possible in this call.
    fn thinks(&mut self, conversation: &Conversation<'_>) -> bool {
        let shown = shown(self.call);
        let forced = match &self.call.tool_choice {
            ToolChoice::Required => !shown.is_empty(),
            ToolChoice::Tool(name) => shown.contains(name.as_str()),
            _ => false,
        };
        if forced {
            self.drop("thinking", "not possible with a forced tool");
        } else if !conversation.may_think() {
            self.drop("thinking", "not possible after a turn that was answered without it");
        } else {
            return true;
        }
        false
    }

    fn sampling(&mut self, body: &mut Object<'_>, params: &Params, thinks: bool) {
        if let Some(temperature) = params.temperature {
            if thinks {
                if (temperature - 1.0).abs() > f64::EPSILON {
                    self.drop("temperature", "thinking has its own");
                }
            } else {
                let clamped = temperature.clamp(0.0, 1.0);
                if clamped.to_bits() != temperature.to_bits() {
                    self.drop("temperature", "brought within 0 and 1");
                }
                body.value("temperature", clamped);
            }
        }
        if let Some(top_p) = params.top_p {
            if params.temperature.is_some() && !self.own {
                self.drop("top_p", "not together with temperature");
            } else if thinks && top_p < 0.95 {
                self.drop("top_p", "thinking has its own");
            } else {
                body.value("top_p", top_p);
            }
        }
        if thinks && params.top_k.is_some() {
            self.drop("top_k", "thinking has its own");
        } else {
            body.opt("top_k", params.top_k);
        }
        if params.seed.is_some() {
            self.drop("seed", "Anthropic Messages has no seed");
        }
        let blank = |text: &&String| text.trim().is_empty();
        if params.stop.iter().any(|text| blank(&text)) {
            self.drop("stop", "blank stop texts are refused");
        }
        let mut stops = params.stop.iter().filter(|text| !blank(text)).peekable();
        if stops.peek().is_some() {
            body.array("stop_sequences", |list| {
                for text in stops {
                    list.str(text);
                }
            });
        }
    }

    fn output(&mut self, body: &mut Object<'_>, params: &Params) {
        let effort = params.reasoning_effort.as_deref().filter(|_| self.own);
        let schema = match &params.response_format {
            Some(ResponseFormat::JsonSchema { schema, .. }) => Some(schema),
            Some(ResponseFormat::JsonObject) => {
                self.drop("response_format", "Anthropic Messages needs a schema for JSON");
                None
            }
            Some(ResponseFormat::Text) | None => None,
        };
        if effort.is_none() && schema.is_none() {
            return;
        }
        body.object("output_config", |config| {
            config.opt_str("effort", effort);
            if let Some(schema) = schema {
                config.object("format", |format| {
                    format.str("type", "json_schema");
                    format.raw("schema", schema.get());
                });
            }
        });
    }

    fn tools(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        body.array("tools", |list| {
            for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
                match &tool.opaque {
                    Some(raw) if self.own => list.raw(raw.get()),
                    Some(_) => self.drop(format!("tools[{nth}]"), "only its own dialect has it"),
                    None => list.object(|item| self.tool(item, nth, tool)),
                }
            }
        });
        let parallel = call.params.parallel_tools;
        let (kind, name) = match &call.tool_choice {
            ToolChoice::Unset if parallel != Some(false) => return,
            ToolChoice::None => ("none", None),
            ToolChoice::Required => ("any", None),
            ToolChoice::Tool(name) if shown(call).contains(name.as_str()) => ("tool", Some(name)),
            ToolChoice::Unset | ToolChoice::Auto | ToolChoice::Tool(_) => ("auto", None),
        };
        body.object("tool_choice", |choice| {
            choice.str("type", kind);
            choice.opt_str("name", name.map(String::as_str));
            if parallel == Some(false) && kind != "none" {
                choice.value("disable_parallel_tool_use", true);
            }
        });
    }

    fn tool(&mut self, item: &mut Object<'_>, nth: usize, tool: &ToolDef) {
        item.str("name", &tool.name);
        item.opt_str("description", tool.description.as_deref());
        let schema = tool.schema.as_ref().map(|schema| schema.get());
        item.raw("input_schema", schema.unwrap_or(r#"{"type":"object","properties":{}}"#));
        if self.own {
            item.opt("strict", tool.strict);
        } else if tool.strict == Some(true) {
            self.drop(format!("tools[{nth}].strict"), "not every model of the dialect takes it");
        }
        if let Some(mark) = &tool.cache_control {
            item.raw("cache_control", mark.get());
        }
    }
}

/// The thinking budget that an effort stands for.
fn budget_of(effort: &str) -> Option<u64> {
    match effort {
        "low" => Some(2048),
        "medium" => Some(8192),
        "high" => Some(16_384),
        "xhigh" | "max" => Some(32_768),
        _ => None,
    }
}
