//! The common form into a request for an upstream that speaks Gemini.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::BytesMut;
use doorward_core::{ModelCall, ToolChoice, ToolDef};

use super::model::Traits;
use super::request::{CALLING, tool_path};
use super::turns::{self, Conversation};
use super::{ID, forward, params, schema};
use crate::emit::{self, Object};
use crate::splice::shown;
use crate::{Destination, Dropped, WriteError, Written, preferences};

/// What a free-form tool of another dialect takes.
const FREE_TEXT: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    crate::bound::check(call, ID)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty())
        && let Some(written) = forward::same_dialect(call, raw, to)?
    {
        return Ok(written);
    }
    let (own, traits) = (own.is_some(), Traits::of(to.model));
    let mut compose = Compose { call, to, own, traits, written: Vec::new(), dropped: Vec::new() };
    let manner = turns::Manner { own, inline: to.quirks.inline_media, traits };
    let mut conversation = Conversation::of(call, manner, &mut compose.dropped)?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, &mut conversation));
    Ok(Written { body: out.freeze(), dropped: compose.dropped })
}

struct Compose<'c> {
    call: &'c ModelCall,
    to: &'c Destination<'c>,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    traits: Traits,
    /// The fields that were written.
    written: Vec<String>,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// What the upstream calls a field, or `None` if it refuses it.
    fn field(&mut self, name: &str) -> Option<String> {
        let quirks = self.to.quirks;
        self.written.push(name.to_owned());
        if quirks.omit.iter().any(|omitted| omitted == name) {
            self.drop(name, "this upstream refuses the field");
            return None;
        }
        Some(quirks.rename.get(name).cloned().unwrap_or_else(|| name.to_owned()))
    }

    fn body(&mut self, body: &mut Object<'_>, conversation: &mut Conversation<'_>) {
        let call = self.call;
        if conversation.has_system()
            && let Some(name) = self.field("systemInstruction")
        {
            body.object(&name, |content| conversation.write_system(content));
        }
        if let Some(name) = self.field("contents") {
            body.array(&name, |list| conversation.write_turns(list));
        }
        if !shown(call).is_empty() {
            if let Some(name) = self.field("tools") {
                self.tools(body, &name);
            }
            self.tool_config(body);
        }
        self.config(body);
        self.rest(body);
        let quirks = self.to.quirks;
        for (name, value) in quirks.set.iter().filter(|(name, _)| !self.written.contains(name)) {
            body.raw(name, value);
        }
    }

    fn tools(&mut self, body: &mut Object<'_>, name: &str) {
        let call = self.call;
        let shown: Vec<(usize, &ToolDef)> =
            call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden).collect();
        body.array(name, |list| {
            let is_function = |tool: &ToolDef| tool.opaque.is_none() || tool.custom;
            if shown.iter().any(|(_, tool)| is_function(tool)) {
                list.object(|item| {
                    item.array("functionDeclarations", |list| {
                        for (nth, tool) in shown.iter().filter(|(_, tool)| is_function(tool)) {
                            list.object(|item| self.function(item, *nth, tool));
                        }
                    });
                });
            }
            for (nth, tool) in shown.iter().filter(|(_, tool)| !is_function(tool)) {
                match &tool.opaque {
                    Some(raw) if self.own => list.raw(raw.get()),
                    _ => self.drop(format!("tools[{nth}]"), "only its own dialect has it"),
                }
            }
        });
    }

    fn function(&mut self, item: &mut Object<'_>, nth: usize, tool: &ToolDef) {
        item.str("name", &tool.name);
        item.opt_str("description", tool.description.as_deref());
        if tool.custom {
            return item.raw("parametersJsonSchema", FREE_TEXT);
        }
        if let Some(schema) = &tool.schema {
            let mut gone = BTreeSet::new();
            let omit = &self.to.quirks.schema_omit;
            let schema = schema::for_google(schema.get(), omit, &mut gone);
            item.raw("parametersJsonSchema", &schema);
            params::report_gone(&gone, &format!("tools[{nth}]"), &mut self.dropped);
        }
        if tool.cache_control.is_some() {
            self.drop(format!("tools[{nth}].cache_control"), "Gemini caches without being told");
        }
        if tool.strict == Some(true) && !self.validates() {
            self.drop(format!("tools[{nth}].strict"), "not every model of the dialect takes it");
        }
        if self.own {
            let prefix = tool_path(&tool.name, "");
            for (path, value) in &self.call.extra {
                if let Some(member) = path.strip_prefix(&prefix) {
                    item.raw(member, value.get());
                }
            }
        }
    }

    /// Whether calls are held to their schemas: always where they are forced, else by the mode
    /// `VALIDATED`, which came with generation 3.
    fn validates(&self) -> bool {
        let strict = |tool: &ToolDef| tool.strict == Some(true) && !tool.hidden;
        let forced = matches!(self.call.tool_choice, ToolChoice::Required | ToolChoice::Tool(_));
        let any = self.call.tools.iter().any(strict);
        any && (forced || self.traits.third && !self.to.quirks.no_strict)
    }

    fn tool_config(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        if call.params.parallel_tools == Some(false) {
            self.drop("parallel_tool_calls", "Gemini cannot be held to one call at a time");
        }
        // A mode that the common form cannot say may name hidden tools.
        let hides = call.tools.iter().any(|tool| tool.hidden);
        let kept = call.extra.iter().find(|(path, _)| path == CALLING);
        let kept = kept.filter(|_| self.own && !hides).map(|(_, value)| value);
        let validated = self.validates();
        let mode = match &call.tool_choice {
            ToolChoice::Unset | ToolChoice::Auto if validated => Some(("VALIDATED", None)),
            ToolChoice::Unset => None,
            ToolChoice::None => Some(("NONE", None)),
            ToolChoice::Required => Some(("ANY", None)),
            ToolChoice::Tool(name) if shown(call).contains(name.as_str()) => {
                Some(("ANY", Some(name)))
            }
            ToolChoice::Auto | ToolChoice::Tool(_) => Some(("AUTO", None)),
        };
        let own = self.own;
        let others = || {
            let calling = |name: &str| name == "functionCallingConfig";
            params::members(&call.extra, "toolConfig")
                .filter(move |(name, _)| own && !calling(name))
        };
        if kept.is_none() && mode.is_none() && others().next().is_none() {
            return;
        }
        let Some(name) = self.field("toolConfig") else { return };
        body.object(&name, |config| {
            match (kept, mode) {
                (Some(kept), _) => config.raw("functionCallingConfig", kept.get()),
                (None, Some((mode, tool))) => config.object("functionCallingConfig", |calling| {
                    calling.str("mode", mode);
                    if let Some(tool) = tool {
                        calling.array("allowedFunctionNames", |list| list.str(tool));
                    }
                }),
                (None, None) => {}
            }
            for (name, value) in others() {
                config.raw(name, value.get());
            }
        });
    }

    fn config(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        for (path, reason, given) in [
            ("user", "Gemini takes no name of the user", call.params.user.is_some()),
            ("verbosity", "Gemini has no verbosity", call.params.verbosity.is_some()),
            ("prompt_cache_key", "Gemini caches without a key", call.params.cache_key.is_some()),
        ] {
            if given {
                self.drop(path, reason);
            }
        }
        if !params::is_needed(&call.params, &call.extra, self.own) {
            return;
        }
        let Some(name) = self.field("generationConfig") else { return };
        let schema_omit = &self.to.quirks.schema_omit;
        let manner = params::Manner { own: self.own, traits: self.traits, schema_omit };
        let mut config = BytesMut::new();
        emit::object(&mut config, |config| {
            params::write(config, &call.params, &call.extra, manner, &mut self.dropped);
        });
        if config.len() > 2 {
            body.raw(&name, &String::from_utf8_lossy(&config));
        }
    }

    /// Fields that only Gemini knows, and the price tier.
    fn rest(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        let tier = call.params.service_tier.as_deref().map(|tier| match tier {
            "default" => Cow::Borrowed("standard"),
            tier => Cow::Borrowed(tier),
        });
        match tier.as_deref() {
            None | Some("auto") => {}
            Some(tier @ ("standard" | "flex" | "priority")) => {
                if let Some(name) = self.field("serviceTier") {
                    body.str(&name, tier);
                }
            }
            Some(_) => self.drop("service_tier", "no such tier in Gemini"),
        }
        for (path, value) in &call.extra {
            if !self.own {
                self.dropped.extend(preferences::lost(path, value, "no such field in Gemini"));
            } else if !path.contains('.')
                && let Some(name) = self.field(path)
            {
                body.raw(&name, value.get());
            }
        }
    }
}
