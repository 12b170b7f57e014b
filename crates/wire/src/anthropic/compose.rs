//! The common form into a request for an upstream that speaks Messages.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{ModelCall, Params, ResponseFormat, ToolChoice, ToolDef};
use serde_json::value::RawValue;

use super::thinking::{Thinking, effort_of, refuses_sampling};
use super::turns::Conversation;
use super::{ID, JSON_TOOL};
use crate::bound::report_states;
use crate::calls::schema_of;
use crate::emit::{self, Object};
use crate::json::Source;
use crate::quirks::mend::{Mend, Request, mend, refuse_addresses};
use crate::splice::{self, Shape, shown};
use crate::{Destination, Dropped, Quirks, WriteError, Written, bound, preferences};

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
    let quirks = to.quirks;
    bound::check(call, ID)?;
    refuse_addresses(call, quirks)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    let request = Request::of(call, quirks, own.is_some());
    let kept = own.filter(|raw| !raw.body.is_empty()).map(|raw| &*raw.body);
    let touched = super::mend::touches(call, kept, quirks);
    let deeper = |mend: &mut Mend<'_, '_>| super::mend::mend(mend, call, quirks);
    let mut compose =
        Compose { call, quirks, model: to.model, own: own.is_some(), dropped: Vec::new() };
    if let Some(raw) = own.filter(|_| kept.is_some() && compose.json_tool().is_none())
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        return mend(Written { body, dropped: Vec::new() }, &request, touched, deeper);
    }
    compose.check()?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    let written = Written { body: out.freeze(), dropped: compose.dropped };
    mend(written, &request, touched, deeper)
}

pub(super) struct Compose<'c> {
    pub(super) call: &'c ModelCall,
    quirks: &'c Quirks,
    /// The model's name there.
    pub(super) model: &'c str,
    /// Whether the call came in this dialect: what only it knows is kept then.
    pub(super) own: bool,
    dropped: Vec<Dropped>,
}

impl<'c> Compose<'c> {
    pub(super) fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// The schema of an answer that must come as a call.
    pub(super) fn json_tool(&self) -> Option<&'c RawValue> {
        match &self.call.params.response_format {
            Some(ResponseFormat::JsonSchema { schema, .. }) if self.quirks.json_by_tool => {
                Some(schema)
            }
            _ => None,
        }
    }

    /// Refuses what would silently give another answer.
    fn check(&self) -> Result<(), WriteError> {
        let refuse = |path: &str, reason| Err(WriteError { path: path.to_owned(), reason });
        if self.call.params.choices.is_some_and(|choices| choices > 1) {
            return refuse("n", "Anthropic Messages gives one answer to a call");
        }
        if let Some(schema) = self.json_tool() {
            let kind = Source::new(schema.get().as_bytes())
                .and_then(|source| source.members())
                .ok()
                .and_then(|members| members.find("type").map(|kind| kind.value.get().to_owned()));
            if kind.is_some_and(|kind| kind != "\"object\"") {
                return refuse("response_format", "this upstream answers in JSON objects only");
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        let keeps_unsigned = self.quirks.echo_reasoning;
        let conversation = Conversation::of(call, keeps_unsigned, &mut self.dropped);
        let (max_tokens, thinking) = self.limits(&conversation);
        body.str("model", to.model);
        body.value("max_tokens", max_tokens);
        conversation.write_system(body);
        conversation.write_messages(body, &mut self.dropped);
        if !shown(call).is_empty() || self.json_tool().is_some() {
            self.tools(body);
        }
        thinking.write(body, &call.params, self.own);
        self.sampling(body, &call.params, thinking.is_on());
        self.output(body, &call.params, thinking);
        self.tier(body, &call.params);
        if let Some(user) = &call.params.user {
            body.object("metadata", |metadata| metadata.str("user_id", user));
        }
        if call.stream {
            body.value("stream", true);
        }
        report_states(call, &mut self.dropped);
        for (name, value) in &call.extra {
            if self.own || to.quirks.extends(name) {
                body.raw(name, value.get());
            } else {
                let reason = "no such field in Anthropic Messages";
                self.dropped.extend(preferences::lost(name, value, reason));
            }
        }
    }

    /// What this dialect has no word for.
    fn unsaid(&mut self, params: &Params) {
        let fields = [
            ("frequency_penalty", params.frequency_penalty.is_some_and(|it| it != 0.0)),
            ("presence_penalty", params.presence_penalty.is_some_and(|it| it != 0.0)),
            ("logprobs", params.logprobs == Some(true)),
            ("verbosity", params.verbosity.is_some()),
            ("prompt_cache_key", params.cache_key.is_some()),
            ("seed", params.seed.is_some()),
        ];
        for (field, _) in fields.into_iter().filter(|(_, given)| *given) {
            self.drop(field, "no such field in Anthropic Messages");
        }
    }

    fn tier(&mut self, body: &mut Object<'_>, params: &Params) {
        match params.service_tier.as_deref() {
            None => {}
            Some("default") => body.str("service_tier", "standard_only"),
            Some(tier) if self.own || tier == "auto" => body.str("service_tier", tier),
            Some(_) => self.drop("service_tier", "Anthropic Messages has no such tier"),
        }
    }

    fn sampling(&mut self, body: &mut Object<'_>, params: &Params, thinks: bool) {
        self.unsaid(params);
        if !self.own && refuses_sampling(self.model) {
            let fields = [
                ("temperature", params.temperature.is_some()),
                ("top_p", params.top_p.is_some()),
                ("top_k", params.top_k.is_some()),
            ];
            for (field, _) in fields.into_iter().filter(|(_, given)| *given) {
                self.drop(field, "this model has its own sampling");
            }
            return self.stops(body, params);
        }
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
        self.stops(body, params);
    }

    fn stops(&mut self, body: &mut Object<'_>, params: &Params) {
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

    fn output(&mut self, body: &mut Object<'_>, params: &Params, thinking: Thinking) {
        let effort = match thinking {
            _ if self.own => params.reasoning_effort.as_deref(),
            Thinking::Adaptive => effort_of(params),
            _ => None,
        };
        let schema = match &params.response_format {
            Some(ResponseFormat::JsonSchema { .. }) if self.quirks.json_by_tool => None,
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
                    Some(_) if !tool.custom => {
                        self.drop(format!("tools[{nth}]"), "only its own dialect has it");
                    }
                    _ => list.object(|item| self.tool(item, nth, tool)),
                }
            }
            if let Some(schema) = self.json_tool() {
                list.object(|item| {
                    item.str("name", JSON_TOOL);
                    item.str("description", "Give the answer with this tool, and only with it.");
                    item.raw("input_schema", schema.get());
                });
            }
        });
        if self.json_tool().is_some() {
            return self.json_choice(body);
        }
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

    /// The answer must be a call, of its own tool where no other may be called.
    fn json_choice(&self, body: &mut Object<'_>) {
        let others = !shown(self.call).is_empty() && self.call.tool_choice != ToolChoice::None;
        body.object("tool_choice", |choice| {
            choice.str("type", if others { "any" } else { "tool" });
            choice.opt_str("name", (!others).then_some(JSON_TOOL));
            choice.value("disable_parallel_tool_use", true);
        });
    }

    fn tool(&mut self, item: &mut Object<'_>, nth: usize, tool: &ToolDef) {
        item.str("name", &tool.name);
        item.opt_str("description", tool.description.as_deref());
        item.raw("input_schema", &schema_of(tool, self.own));
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
