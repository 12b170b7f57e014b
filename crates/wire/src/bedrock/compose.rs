//! The common form into a request for an upstream that speaks Converse.

use bytes::BytesMut;
use doorward_core::{ModelCall, Params, ResponseFormat, ToolChoice, ToolDef};

use super::ID;
use super::family::Family;
use super::fields::{self, Asked, Thought, asks_for_more, choice_kind, unsayable};
use super::turns::{Conversation, MOST_ID, check_media, write_mark};
use crate::bound::report_states;
use crate::calls::{is_function, schema_of};
use crate::emit::{self, Object};
use crate::splice::shown;
use crate::{Destination, Dropped, WriteError, Written, preferences};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    crate::bound::check(call, ID)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    let hides = call.tools.iter().any(|tool| tool.hidden);
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty() && !hides) {
        return Ok(Written { body: raw.body.clone(), dropped: Vec::new() });
    }
    let family = Family::of(to.model);
    let mut compose = Compose { call, own: own.is_some(), family, dropped: Vec::new() };
    compose.check()?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    Ok(Written { body: out.freeze(), dropped: compose.dropped })
}

struct Compose<'c> {
    call: &'c ModelCall,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    family: Family,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    fn asked(&mut self) -> Asked<'_, '_> {
        let Self { call, own, family, dropped } = self;
        Asked { call, own: *own, family: *family, dropped }
    }

    /// Refuses what would silently give another answer.
    fn check(&self) -> Result<(), WriteError> {
        let refuse = |path: String, reason| Err(WriteError { path, reason });
        let more = self.call.extra.iter().any(|(name, value)| asks_for_more(name, value));
        if more || self.call.params.choices.is_some_and(|choices| choices > 1) {
            return refuse("n".to_owned(), "Bedrock Converse gives one answer to a call");
        }
        let shown = self.call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden);
        for (nth, tool) in shown.filter(|(_, tool)| is_function(tool)) {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if tool.name.is_empty() || tool.name.len() > MOST_ID || !tool.name.chars().all(plain) {
                let reason = "Bedrock takes tool names of 1 to 64 letters, digits, `_` and `-`";
                return refuse(format!("tools[{nth}].name"), reason);
            }
        }
        check_media(self.call)
    }

    /// The tools that go to the model, with their places.
    fn tools(&self) -> impl Iterator<Item = (usize, &ToolDef)> {
        // "May not call" has no word here but to show nothing.
        let forbidden = self.call.tool_choice == ToolChoice::None;
        let own = self.own;
        let goes = move |tool: &ToolDef| !tool.hidden && (own || is_function(tool));
        let tools = self.call.tools.iter().enumerate();
        tools.filter(move |(_, tool)| !forbidden && goes(tool))
    }

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        let shows = self.tools().next().is_some();
        let conversation = Conversation::of(call, self.family, shows, &mut self.dropped);
        let thought = self.asked().thought(&conversation);
        conversation.write_messages(body, &mut self.dropped);
        conversation.write_system(body, &mut self.dropped);
        self.inference(body, &call.params, thought);
        self.tool_config(body, shows);
        self.output(body, &call.params, to);
        if let Some(tier) = &call.params.service_tier {
            self.tier(body, tier);
        }
        for (path, reason) in unsayable(&call.params) {
            self.drop(path, reason);
        }
        self.asked().additional(body, thought, to);
        report_states(call, &mut self.dropped);
        for (name, value) in &call.extra {
            if !self.own && name != "n" {
                let reason = "no such field in Bedrock Converse";
                self.dropped.extend(preferences::lost(name, value, reason));
            } else if self.own && name != fields::NAME {
                body.raw(name, value.get());
            }
        }
    }

    fn inference(&mut self, body: &mut Object<'_>, params: &Params, thought: Thought) {
        // Its own client's words go as they are.
        let thinks = thought.is_on() && !self.own;
        let mut temperature = params.temperature;
        if let Some(given) = temperature {
            let clamped = given.clamp(0.0, 1.0);
            if thinks {
                if (given - 1.0).abs() > f64::EPSILON {
                    self.drop("temperature", "thinking has its own");
                }
                temperature = None;
            } else if clamped.to_bits() != given.to_bits() {
                self.drop("temperature", "brought within 0 and 1");
                temperature = Some(clamped);
            }
        }
        let mut top_p = params.top_p;
        if let Some(given) = top_p {
            let both = temperature.is_some() && self.family == Family::Claude && !self.own;
            if both || thinks && given < 0.95 {
                let reason =
                    if both { "not together with temperature" } else { "thinking has its own" };
                self.drop("top_p", reason);
                top_p = None;
            }
        }
        let blank = |text: &&String| text.trim().is_empty();
        if params.stop.iter().any(|text| blank(&text)) {
            self.drop("stop", "blank stop texts are refused");
        }
        let stops: Vec<&String> = params.stop.iter().filter(|text| !blank(text)).collect();
        let max_tokens = thought.max_tokens;
        if max_tokens.is_none() && temperature.is_none() && top_p.is_none() && stops.is_empty() {
            return;
        }
        body.object("inferenceConfig", |config| {
            config.opt("maxTokens", max_tokens);
            config.opt("temperature", temperature);
            config.opt("topP", top_p);
            if !stops.is_empty() {
                config.array("stopSequences", |list| {
                    for text in &stops {
                        list.str(text);
                    }
                });
            }
        });
    }

    fn tool_config(&mut self, body: &mut Object<'_>, shows: bool) {
        let call = self.call;
        for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
            if !is_function(tool) && !self.own {
                self.drop(format!("tools[{nth}]"), "only its own dialect has it");
            } else if tool.strict == Some(true) && !self.own {
                let reason = "not every model of the dialect takes it";
                self.drop(format!("tools[{nth}].strict"), reason);
            }
        }
        if !shows {
            return;
        }
        // Claude's own word for it stands among the additional fields then.
        let single = call.params.parallel_tools == Some(false) && self.family == Family::Claude;
        let mut lost = Vec::new();
        body.object("toolConfig", |config| {
            config.array("tools", |list| {
                for (_, tool) in self.tools() {
                    match &tool.opaque {
                        Some(raw) if !tool.custom => list.raw(raw.get()),
                        _ => list.object(|item| self.tool(item, tool)),
                    }
                    if let Some(mark) = &tool.cache_control {
                        write_mark(list, mark, self.family, &mut lost);
                    }
                }
            });
            match &call.tool_choice {
                _ if single && choice_kind(call).is_some() => {}
                ToolChoice::Unset | ToolChoice::None => {}
                ToolChoice::Required => choose(config, "any", None),
                ToolChoice::Tool(name) if shown(call).contains(name.as_str()) => {
                    choose(config, "tool", Some(name));
                }
                ToolChoice::Auto | ToolChoice::Tool(_) => choose(config, "auto", None),
            }
        });
        lost.retain(|lost| !self.dropped.contains(lost));
        self.dropped.append(&mut lost);
    }

    fn tool(&self, item: &mut Object<'_>, tool: &ToolDef) {
        item.object("toolSpec", |spec| {
            spec.str("name", &tool.name);
            let description = tool.description.as_deref();
            spec.opt_str("description", description.filter(|text| !text.trim().is_empty()));
            spec.object("inputSchema", |schema| {
                schema.raw("json", &schema_of(tool, self.own));
            });
            spec.opt("strict", tool.strict.filter(|_| self.own));
        });
    }

    fn output(&mut self, body: &mut Object<'_>, params: &Params, to: &Destination<'_>) {
        let Some(ResponseFormat::JsonSchema { name, schema, .. }) = &params.response_format else {
            if matches!(params.response_format, Some(ResponseFormat::JsonObject)) {
                self.drop("response_format", "Bedrock Converse needs a schema for JSON");
            }
            return;
        };
        if to.quirks.omit.iter().any(|field| field == "outputConfig") {
            return self.drop("response_format", "this model takes no schema for its answer");
        }
        body.object("outputConfig", |config| {
            config.object("textFormat", |format| {
                format.str("type", "json_schema");
                format.object("structure", |structure| {
                    structure.object("jsonSchema", |json| {
                        json.str("schema", schema.get());
                        json.str("name", name);
                    });
                });
            });
        });
    }

    /// Bedrock's tiers have three of `OpenAI`'s names; `auto` is what happens anyway.
    fn tier(&mut self, body: &mut Object<'_>, tier: &str) {
        if self.own || matches!(tier, "default" | "flex" | "priority") {
            body.object("serviceTier", |it| it.str("type", tier));
        } else if tier != "auto" {
            self.drop("service_tier", "no such tier in Bedrock");
        }
    }
}

fn choose(config: &mut Object<'_>, kind: &str, name: Option<&str>) {
    config.object("toolChoice", |choice| {
        choice.object(kind, |tool| tool.opt_str("name", name));
    });
}
