//! The common form into a request for an upstream that speaks Ollama's chat.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::BytesMut;
use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, ModelCall, Params, Part, ResponseFormat, Role,
    ToolChoice, ToolResult, ToolUse,
};
use serde_json::value::RawValue;

use super::ID;
use crate::bound::{report_marks, report_states};
use crate::calls::{is_function, object_of, schema_of};
use crate::emit::{self, Array, Object};
use crate::splice::{self, Shape};
use crate::{Destination, Dropped, WriteError, Written, preferences};

const SHAPE: Shape = Shape {
    auto: |_| Cow::Borrowed("null"),
    required: |_| Cow::Borrowed("null"),
    with_tools: &["tools"],
    asks_usage: false,
};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    crate::bound::check(call, ID)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty())
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        return Ok(Written { body, dropped: Vec::new() });
    }
    let mut compose =
        Compose { call, own: own.is_some(), tools: HashMap::new(), dropped: Vec::new() };
    compose.check()?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    Ok(Written { body: out.freeze(), dropped: compose.dropped })
}

struct Compose<'c> {
    call: &'c ModelCall,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    /// The tools of the calls so far, by the calls' ids.
    tools: HashMap<&'c str, &'c str>,
    dropped: Vec<Dropped>,
}

impl<'c> Compose<'c> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// Refuses what would silently give another answer.
    fn check(&self) -> Result<(), WriteError> {
        let more = |(name, value): &(String, Box<RawValue>)| {
            name == "n" && !matches!(value.get(), "1" | "null")
        };
        let choices = self.call.params.choices.is_some_and(|choices| choices > 1);
        if choices || self.call.extra.iter().any(more) {
            let reason = "Ollama gives one answer to a call";
            return Err(WriteError { path: "n".to_owned(), reason });
        }
        for (at, message) in self.call.messages.iter().enumerate() {
            for (nth, part) in message.parts.iter().enumerate() {
                let path = || format!("messages[{at}].parts[{nth}]");
                match &part.body {
                    Body::Media(media) => check_media(media, path)?,
                    Body::ToolResult(result) => {
                        for (nth, part) in result.content.iter().enumerate() {
                            if let Body::Media(media) = &part.body {
                                check_media(media, || format!("{}.content[{nth}]", path()))?;
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        body.str("model", to.model);
        body.array("messages", |list| {
            for (at, message) in call.messages.iter().enumerate() {
                self.message(list, at, message);
            }
        });
        self.declare(body);
        body.value("stream", call.stream);
        self.thought(body, &call.params, to.model);
        match &call.params.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => body.str("format", "json"),
            Some(ResponseFormat::JsonSchema { schema, .. }) => body.raw("format", schema.get()),
        }
        body.opt("logprobs", call.params.logprobs);
        body.opt("top_logprobs", call.params.top_logprobs);
        self.options(body, &call.params);
        report_states(call, &mut self.dropped);
        report_marks(call, "Ollama caches without being told", &mut self.dropped);
        for (name, value) in &call.extra {
            if !self.own && name != "n" {
                let reason = "no such field in Ollama's chat";
                self.dropped.extend(preferences::lost(name, value, reason));
            } else if self.own && name != "options" {
                body.raw(name, value.get());
            }
        }
    }

    fn message(&mut self, list: &mut Array<'_>, at: usize, message: &'c Message) {
        if message.name.is_some() {
            self.drop(format!("messages[{at}].name"), "participants have no names");
        }
        let mut rest: Vec<(usize, &Part)> = Vec::new();
        for (nth, part) in message.parts.iter().enumerate() {
            if part.cache_control.is_some() && !self.dropped.iter().any(is_mark) {
                self.drop("cache_control", "Ollama caches without being told");
            }
            match &part.body {
                // A message of its own here, right after the turn that called.
                Body::ToolResult(result) if message.role == Role::User => {
                    self.result(list, &format!("messages[{at}].parts[{nth}]"), result);
                }
                _ => rest.push((nth, part)),
            }
        }
        let unknown = |(_, part): &(usize, &Part)| matches!(part.body, Body::Opaque { .. });
        if rest.iter().all(unknown) && !message.parts.is_empty() {
            // Nothing of it goes, or it went as results.
            for (nth, _) in rest {
                let path = format!("messages[{at}].parts[{nth}]");
                self.drop(path, "only its own dialect knows this part");
            }
            return;
        }
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        list.object(|item| {
            item.str("role", role);
            self.said(item, at, message.role, &rest);
        });
    }

    /// Writes text, thought, pictures and calls.
    fn said(&mut self, item: &mut Object<'_>, at: usize, role: Role, parts: &[(usize, &'c Part)]) {
        let (mut texts, mut thoughts) = (Vec::new(), String::new());
        let (mut images, mut calls) = (Vec::new(), Vec::new());
        for (nth, part) in parts {
            let mut lost = |reason| self.drop(format!("messages[{at}].parts[{nth}]"), reason);
            match &part.body {
                Body::Text(text) | Body::Refusal(text) => texts.push(text.as_str()),
                Body::Media(media) if role != Role::Assistant => images.push(media),
                Body::Media(_) => lost("the model shows no media"),
                Body::ToolUse(call) if role == Role::Assistant => {
                    self.tools.insert(&call.id, &call.name);
                    calls.push((*nth, call));
                }
                Body::ToolUse(_) => lost("only the model calls tools"),
                Body::ToolResult(_) => lost("the model gives no tool results"),
                Body::Reasoning(thought) => {
                    let sealed = thought.signature.is_some() || thought.redacted.is_some();
                    if sealed || thought.issuer.is_some_and(|issuer| issuer != ID) {
                        lost("reasoning of another issuer");
                    } else {
                        thoughts.push_str(&thought.text);
                    }
                }
                Body::Opaque { .. } => lost("only its own dialect knows this part"),
            }
        }
        let joint = if role == Role::Assistant { "" } else { "\n\n" };
        item.str("content", &texts.join(joint));
        item.opt_str("thinking", (!thoughts.is_empty()).then_some(thoughts.as_str()));
        write_images(item, &images);
        if !calls.is_empty() {
            item.array("tool_calls", |list| {
                for (nth, call) in calls {
                    if !write_call(list, call) {
                        let path = format!("messages[{at}].parts[{nth}].arguments");
                        let reason = "arguments that are no JSON object were wrapped in one";
                        self.drop(path, reason);
                    }
                }
            });
        }
    }

    fn result(&mut self, list: &mut Array<'_>, path: &str, result: &'c ToolResult) {
        if result.is_error {
            self.drop(format!("{path}.is_error"), "Ollama has no mark for failed tools");
        }
        let mut images = Vec::new();
        for (nth, part) in result.content.iter().enumerate() {
            match &part.body {
                Body::Text(_) => {}
                Body::Media(media) => images.push(media),
                _ => self.drop(format!("{path}.content[{nth}]"), "no part of a tool result"),
            }
        }
        let called = self.tools.get(result.id.as_str()).copied();
        list.object(|item| {
            item.str("role", "tool");
            item.str("content", &result.text());
            item.opt_str("tool_name", result.name.as_deref().or(called));
            item.str("tool_call_id", &result.id);
            write_images(item, &images);
        });
    }

    fn declare(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
            if !is_function(tool) {
                self.drop(format!("tools[{nth}]"), "only its own dialect has it");
            } else if tool.strict == Some(true) {
                self.drop(format!("tools[{nth}].strict"), "Ollama has no strict tools");
            }
        }
        match call.tool_choice {
            ToolChoice::Required | ToolChoice::Tool(_) => {
                self.drop("tool_choice", "Ollama cannot be made to call a tool");
            }
            // "May not call" has no word here but to show nothing.
            ToolChoice::None => return,
            ToolChoice::Unset | ToolChoice::Auto => {}
        }
        let shown = || call.tools.iter().filter(|tool| !tool.hidden && is_function(tool));
        if shown().next().is_none() {
            return;
        }
        if call.params.parallel_tools == Some(false) {
            self.drop("parallel_tools", "Ollama cannot be told");
        }
        body.array("tools", |list| {
            for tool in shown() {
                list.object(|item| {
                    item.str("type", "function");
                    item.object("function", |function| {
                        function.str("name", &tool.name);
                        // Both are asked for by some servers.
                        function.str("description", tool.description.as_deref().unwrap_or(""));
                        function.raw("parameters", &schema_of(tool, self.own));
                    });
                });
            }
        });
    }

    /// Whether to think. Only gpt-oss takes how hard.
    fn thought(&mut self, body: &mut Object<'_>, params: &Params, model: &str) {
        let effort = params.reasoning_effort.as_deref();
        if params.thinking_budget.is_some() {
            self.drop("thinking_budget", "Ollama thinks or does not");
        }
        if params.reasoning_summary.is_some() {
            self.drop("reasoning_summary", "Ollama shows thought as the model does");
        }
        match effort {
            Some("none") => body.value("think", false),
            Some(effort) if self.own || model.contains("gpt-oss") => body.str("think", effort),
            Some(_) => {
                self.drop("reasoning_effort", "this model thinks or does not");
                body.value("think", true);
            }
            None if params.thinking_budget.is_some() => body.value("think", true),
            None => body.opt("think", params.thinking),
        }
    }

    fn options(&mut self, body: &mut Object<'_>, params: &Params) {
        for (given, path) in [
            (params.user.is_some(), "user"),
            (params.verbosity.is_some(), "verbosity"),
            (params.cache_key.is_some(), "cache_key"),
            (params.service_tier.is_some(), "service_tier"),
        ] {
            if given {
                self.drop(path, "no such field in Ollama's chat");
            }
        }
        let kept = self.call.extra.iter().find(|(name, _)| name == "options" && self.own);
        let mut out = BytesMut::new();
        emit::object(&mut out, |options| {
            options.opt("num_predict", params.max_tokens);
            options.opt("temperature", params.temperature);
            options.opt("top_p", params.top_p);
            options.opt("top_k", params.top_k);
            options.opt("seed", params.seed);
            options.opt("frequency_penalty", params.frequency_penalty);
            options.opt("presence_penalty", params.presence_penalty);
            if !params.stop.is_empty() {
                options.array("stop", |list| params.stop.iter().for_each(|text| list.str(text)));
            }
        });
        let mut text = String::from_utf8_lossy(&out).into_owned();
        if let Some((_, rest)) = kept {
            // Both are objects, and no name is in both.
            let inner = rest.get().strip_prefix('{').unwrap_or_default();
            text.pop();
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(inner);
        }
        if text.len() > 2 {
            body.raw("options", &text);
        }
    }
}

fn is_mark(dropped: &Dropped) -> bool {
    dropped.path == "cache_control"
}

fn check_media(media: &Media, path: impl Fn() -> String) -> Result<(), WriteError> {
    let reason = match (media.kind, &media.source) {
        (MediaKind::Image, MediaSource::Base64 { .. }) => return Ok(()),
        (MediaKind::Image, _) => "Ollama takes pictures as bytes and fetches no address",
        (MediaKind::Audio | MediaKind::File, _) => "Ollama takes pictures and no other media",
    };
    Err(WriteError { path: path(), reason })
}

fn write_images(item: &mut Object<'_>, images: &[&Media]) {
    if images.is_empty() {
        return;
    }
    item.array("images", |list| {
        for image in images {
            if let MediaSource::Base64 { data, .. } = &image.source {
                list.str(data);
            }
        }
    });
}

/// Writes a call; `false` where its arguments had to be wrapped.
fn write_call(list: &mut Array<'_>, call: &ToolUse) -> bool {
    let (arguments, is_object) = object_of(&call.arguments);
    list.object(|item| {
        item.str("id", &call.id);
        item.object("function", |function| {
            function.str("name", &call.name);
            function.raw("arguments", &arguments);
        });
    });
    is_object
}
