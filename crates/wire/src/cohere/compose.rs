//! The common form into a request for an upstream that speaks Cohere's chat.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, ModelCall, Params, Part, ResponseFormat, Role,
    ToolChoice, ToolDef, ToolResult, ToolUse,
};
use serde_json::value::RawValue;

use super::ID;
use crate::bound::{report_marks, report_states};
use crate::calls::{is_function, schema_of};
use crate::emit::{self, Array, Object};
use crate::splice::{self, Shape, shown};
use crate::{Destination, Dropped, WriteError, Written, preferences};

/// The most stop texts that Cohere takes.
const MOST_STOPS: usize = 5;

const SHAPE: Shape = Shape {
    auto: |_| Cow::Borrowed("null"),
    required: |_| Cow::Borrowed(r#""REQUIRED""#),
    with_tools: &["tools", "tool_choice", "strict_tools"],
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
    let plans = plans(to.model);
    let mut compose = Compose { call, own: own.is_some(), plans, dropped: Vec::new() };
    compose.check()?;
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    Ok(Written { body: out.freeze(), dropped: compose.dropped })
}

/// Whether a model is one of those that plan their calls in `tool_plan` and do not think. Later
/// ones think, and refuse a plan that is sent back.
fn plans(model: &str) -> bool {
    ["command-r", "command-a-03", "command-a-vision", "command-a-translate", "aya"]
        .iter()
        .any(|word| model.contains(word))
}

struct Compose<'c> {
    call: &'c ModelCall,
    /// Whether the call came in this dialect: what only it knows is kept then.
    own: bool,
    plans: bool,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
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
            let reason = "Cohere gives one answer to a call";
            return Err(WriteError { path: "n".to_owned(), reason });
        }
        for (at, message) in self.call.messages.iter().enumerate() {
            for (nth, part) in message.parts.iter().enumerate() {
                let nested = match &part.body {
                    Body::ToolResult(result) => result.content.as_slice(),
                    _ => std::slice::from_ref(part),
                };
                let refused = nested.iter().find_map(|part| match &part.body {
                    Body::Media(media) if !is_picture(media) => Some(media.kind),
                    _ => None,
                });
                if let Some(kind) = refused {
                    let path = format!("messages[{at}].parts[{nth}]");
                    let reason = match kind {
                        MediaKind::Image => "Cohere keeps no files",
                        _ => "Cohere takes pictures and no other media",
                    };
                    return Err(WriteError { path, reason });
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
        self.tools(body);
        body.value("stream", call.stream);
        self.params(body, &call.params);
        self.thought(body, &call.params);
        report_states(call, &mut self.dropped);
        report_marks(call, "Cohere caches without being told", &mut self.dropped);
        for (name, value) in &call.extra {
            if self.own {
                body.raw(name, value.get());
            } else if name != "n" {
                let reason = "no such field in Cohere's chat";
                self.dropped.extend(preferences::lost(name, value, reason));
            }
        }
    }

    fn message(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        if message.name.is_some() {
            self.drop(format!("messages[{at}].name"), "participants have no names");
        }
        let is_mark = |dropped: &Dropped| dropped.path == "cache_control";
        let marked = message.parts.iter().any(|part| part.cache_control.is_some());
        if marked && !self.dropped.iter().any(is_mark) {
            self.drop("cache_control", "Cohere caches without being told");
        }
        match message.role {
            Role::Assistant => self.assistant(list, at, message),
            Role::System | Role::Developer => self.said(list, at, "system", &numbered(message)),
            Role::User => self.user(list, at, message),
        }
    }

    /// Tool results are messages of their own here, right after the turn that called.
    fn user(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        let (mut images, mut rest) = (Vec::new(), Vec::new());
        for (nth, part) in message.parts.iter().enumerate() {
            match &part.body {
                Body::ToolResult(result) => self.result(list, at, nth, result, &mut images),
                _ => rest.push((nth, part)),
            }
        }
        images.append(&mut rest);
        if !images.is_empty() || message.parts.is_empty() {
            self.said(list, at, "user", &images);
        }
    }

    fn result<'p>(
        &mut self,
        list: &mut Array<'_>,
        at: usize,
        nth: usize,
        result: &'p ToolResult,
        images: &mut Vec<(usize, &'p Part)>,
    ) {
        let path = format!("messages[{at}].parts[{nth}]");
        if result.is_error {
            self.drop(format!("{path}.is_error"), "Cohere has no mark for failed tools");
        }
        let mut documents: Vec<&RawValue> = Vec::new();
        for part in &result.content {
            match &part.body {
                Body::Text(_) => {}
                // Tool messages take no pictures.
                Body::Media(_) => images.push((nth, part)),
                Body::Opaque { dialect, raw } if *dialect == ID => documents.push(raw),
                _ => self.drop(path.as_str(), "no part of a tool result"),
            }
        }
        list.object(|item| {
            item.str("role", "tool");
            item.str("tool_call_id", &result.id);
            let text = result.text();
            if documents.is_empty() {
                return item.str("content", &text);
            }
            item.array("content", |list| {
                for document in &documents {
                    list.raw(document.get());
                }
                if !text.is_empty() {
                    list.object(|piece| text_piece(piece, &text));
                }
            });
        });
    }

    /// Writes what a role other than the model says: one string where it is one text.
    fn said(&mut self, list: &mut Array<'_>, at: usize, role: &str, parts: &[(usize, &Part)]) {
        let foreign =
            |part: &Part| matches!(&part.body, Body::Opaque { dialect, .. } if *dialect != ID);
        if !parts.is_empty() && parts.iter().all(|(_, part)| foreign(part)) {
            // Nothing of it goes: a message without content is refused.
            for (nth, _) in parts {
                let path = format!("messages[{at}].parts[{nth}]");
                self.drop(path, "only its own dialect knows this part");
            }
            return;
        }
        list.object(|item| {
            item.str("role", role);
            match parts {
                [] => item.str("content", ""),
                [(_, Part { body: Body::Text(text), .. })] => item.str("content", text),
                parts => item.array("content", |list| {
                    for (nth, part) in parts {
                        self.piece(list, &format!("messages[{at}].parts[{nth}]"), part);
                    }
                }),
            }
        });
    }

    fn piece(&mut self, list: &mut Array<'_>, path: &str, part: &Part) {
        match &part.body {
            Body::Text(text) | Body::Refusal(text) => {
                list.object(|piece| text_piece(piece, text));
            }
            Body::Media(media) => list.object(|piece| {
                piece.str("type", "image_url");
                piece.object("image_url", |image| {
                    image.str("url", &address(media));
                    image.opt_str("detail", media.detail.as_deref());
                });
            }),
            Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
            Body::Opaque { .. } => self.drop(path, "only its own dialect knows this part"),
            Body::ToolUse(_) | Body::ToolResult(_) | Body::Reasoning(_) => {
                self.drop(path, "not possible in this role");
            }
        }
    }

    fn assistant(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        let (mut said, mut calls) = (Vec::new(), Vec::<&ToolUse>::new());
        let mut thoughts: Vec<&str> = Vec::new();
        for (nth, part) in message.parts.iter().enumerate() {
            let mut refuse = |reason| self.drop(format!("messages[{at}].parts[{nth}]"), reason);
            match &part.body {
                Body::ToolUse(call) => calls.push(call),
                Body::Reasoning(thought) => {
                    let sealed = thought.signature.is_some() || thought.redacted.is_some();
                    if sealed || thought.issuer.is_some_and(|issuer| issuer != ID) {
                        refuse("reasoning of another issuer");
                    } else {
                        thoughts.push(&thought.text);
                    }
                }
                Body::Media(_) => refuse("the model shows no media"),
                Body::ToolResult(_) => refuse("the model gives no tool results"),
                _ => said.push((nth, part)),
            }
        }
        let planned = self.plans && !calls.is_empty();
        if self.plans && calls.is_empty() && !thoughts.is_empty() {
            self.drop(format!("messages[{at}]"), "this model takes no thought back");
            thoughts.clear();
        }
        list.object(|item| {
            item.str("role", "assistant");
            if planned {
                item.opt_str(
                    "tool_plan",
                    Some(thoughts.concat().as_str()).filter(|it| !it.is_empty()),
                );
                thoughts.clear();
            }
            match said.as_slice() {
                [] if thoughts.is_empty() && !calls.is_empty() => {}
                [(_, Part { body: Body::Text(text), .. })] if thoughts.is_empty() => {
                    item.str("content", text);
                }
                parts => item.array("content", |list| {
                    for text in &thoughts {
                        list.object(|piece| {
                            piece.str("type", "thinking");
                            piece.str("thinking", text);
                        });
                    }
                    for (nth, part) in parts {
                        self.piece(list, &format!("messages[{at}].parts[{nth}]"), part);
                    }
                }),
            }
            if !calls.is_empty() {
                item.array("tool_calls", |list| {
                    for call in &calls {
                        write_call(list, call);
                    }
                });
            }
        });
    }

    fn tools(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
            if !is_function(tool) {
                self.drop(format!("tools[{nth}]"), "only its own dialect has it");
            } else if tool.strict == Some(true) {
                self.drop(format!("tools[{nth}].strict"), "Cohere has it for all tools or none");
            }
        }
        // To call this tool is to call some tool where no other is shown.
        let only = match &call.tool_choice {
            ToolChoice::Tool(name) if shown(call).contains(name.as_str()) => Some(name),
            _ => None,
        };
        let goes = |tool: &&ToolDef| {
            let chosen = only.is_none_or(|name| *name == tool.name);
            !tool.hidden && is_function(tool) && chosen
        };
        let tools: Vec<&ToolDef> = call.tools.iter().filter(goes).collect();
        if tools.is_empty() {
            return;
        }
        if call.params.parallel_tools == Some(false) {
            self.drop("parallel_tools", "Cohere cannot be told");
        }
        body.array("tools", |list| {
            for tool in tools {
                list.object(|item| {
                    item.str("type", "function");
                    item.object("function", |function| {
                        function.str("name", &tool.name);
                        function.opt_str("description", tool.description.as_deref());
                        function.raw("parameters", &schema_of(tool, self.own));
                    });
                });
            }
        });
        match &call.tool_choice {
            ToolChoice::None => body.str("tool_choice", "NONE"),
            ToolChoice::Required => body.str("tool_choice", "REQUIRED"),
            ToolChoice::Tool(_) if only.is_some() => body.str("tool_choice", "REQUIRED"),
            ToolChoice::Tool(_) | ToolChoice::Auto | ToolChoice::Unset => {}
        }
    }

    fn params(&mut self, body: &mut Object<'_>, params: &Params) {
        body.opt("max_tokens", params.max_tokens);
        body.opt("temperature", params.temperature);
        let top_p = self.within("top_p", params.top_p, 0.01, 0.99, "brought within 0.01 and 0.99");
        body.opt("p", top_p);
        body.opt("k", params.top_k);
        let seed = params.seed.filter(|seed| *seed >= 0);
        if seed != params.seed {
            self.drop("seed", "Cohere takes no seed below zero");
        }
        body.opt("seed", seed);
        for (name, given) in [
            ("frequency_penalty", params.frequency_penalty),
            ("presence_penalty", params.presence_penalty),
        ] {
            body.opt(name, self.within(name, given, 0.0, 1.0, "brought within 0 and 1"));
        }
        let most = if self.own { usize::MAX } else { MOST_STOPS };
        if params.stop.len() > most {
            self.drop(format!("stop[{MOST_STOPS}..]"), "Cohere takes five at most");
        }
        if !params.stop.is_empty() {
            body.array("stop_sequences", |list| {
                params.stop.iter().take(most).for_each(|text| list.str(text));
            });
        }
        body.opt("logprobs", params.logprobs);
        match &params.response_format {
            None | Some(ResponseFormat::Text) => {}
            Some(ResponseFormat::JsonObject) => {
                body.object("response_format", |format| format.str("type", "json_object"));
            }
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                body.object("response_format", |format| {
                    format.str("type", "json_object");
                    format.raw("json_schema", schema.get());
                });
            }
        }
        for (given, path) in [
            (params.top_logprobs.is_some(), "top_logprobs"),
            (params.user.is_some(), "user"),
            (params.verbosity.is_some(), "verbosity"),
            (params.cache_key.is_some(), "cache_key"),
            (params.service_tier.is_some(), "service_tier"),
            (params.reasoning_summary.is_some(), "reasoning_summary"),
        ] {
            if given {
                self.drop(path, "no such field in Cohere's chat");
            }
        }
    }

    fn within(
        &mut self,
        path: &str,
        given: Option<f64>,
        least: f64,
        most: f64,
        reason: &'static str,
    ) -> Option<f64> {
        let given = given?;
        let clamped = given.clamp(least, most);
        if self.own || clamped.to_bits() == given.to_bits() {
            return Some(given);
        }
        self.drop(path, reason);
        Some(clamped)
    }

    fn thought(&mut self, body: &mut Object<'_>, params: &Params) {
        let effort = params.reasoning_effort.as_deref();
        let budget = params.thinking_budget.or_else(|| effort.and_then(budget_of));
        let off = params.thinking == Some(false) || effort == Some("none");
        let asked = budget.is_some() || params.thinking.is_some() || effort.is_some();
        if !asked {
            return;
        }
        if self.plans && !self.own {
            if !off {
                self.drop("thinking", "this model does not think");
            }
            return;
        }
        body.object("thinking", |thinking| {
            thinking.str("type", if off { "disabled" } else { "enabled" });
            thinking.opt("token_budget", budget.filter(|_| !off));
        });
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

fn numbered(message: &Message) -> Vec<(usize, &Part)> {
    message.parts.iter().enumerate().collect()
}

fn is_picture(media: &Media) -> bool {
    media.kind == MediaKind::Image && !matches!(media.source, MediaSource::FileId(_))
}

fn address(media: &Media) -> Cow<'_, str> {
    match &media.source {
        MediaSource::Url(url) | MediaSource::FileId(url) => Cow::Borrowed(url),
        MediaSource::Base64 { media_type, data } => {
            Cow::Owned(format!("data:{media_type};base64,{data}"))
        }
    }
}

fn text_piece(piece: &mut Object<'_>, text: &str) {
    piece.str("type", "text");
    piece.str("text", text);
}

fn write_call(list: &mut Array<'_>, call: &ToolUse) {
    list.object(|item| {
        item.str("id", &call.id);
        item.str("type", "function");
        item.object("function", |function| {
            function.str("name", &call.name);
            let empty = call.arguments.trim().is_empty();
            function.str("arguments", if empty { "{}" } else { &call.arguments });
        });
    });
}
