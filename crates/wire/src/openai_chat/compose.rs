//! The common form into a request for an upstream that speaks Chat.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, ModelCall, Params, Part, Reasoning,
    ResponseFormat, Role, ToolChoice, ToolResult, ToolUse,
};

use super::ID;
use crate::calls::fitting_id;
use crate::emit::{self, Array, Object};
use crate::splice::{self, Shape, shown};
use crate::{Destination, Dropped, WriteError, Written};

/// The longest id of a tool call that `OpenAI` takes.
const MOST_ID: usize = 40;

/// The most stop texts that `OpenAI` takes.
const MOST_STOPS: usize = 4;

const SHAPE: Shape = Shape {
    auto: |_| Cow::Borrowed(r#""auto""#),
    required: |_| Cow::Borrowed(r#""required""#),
    with_tools: &["tools", "tool_choice", "parallel_tool_calls"],
    asks_usage: true,
};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty())
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        return Ok(Written { body, dropped: Vec::new() });
    }
    let mut compose = Compose { call, own: own.is_some(), dropped: Vec::new() };
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

    fn body(&mut self, body: &mut Object<'_>, to: &Destination<'_>) {
        let call = self.call;
        body.str("model", to.model);
        body.array("messages", |list| {
            for (at, message) in call.messages.iter().enumerate() {
                self.message(list, at, message);
            }
        });
        if !shown(call).is_empty() {
            self.tools(body);
        }
        self.params(body, &call.params, to.model);
        if call.stream {
            body.value("stream", true);
            if to.ask_usage || call.stream_usage {
                body.object("stream_options", |options| options.value("include_usage", true));
            }
        }
        for (name, value) in &call.extra {
            if self.own && name != "tool_choice" {
                body.raw(name, value.get());
            } else if !self.own {
                self.drop(name.as_str(), "no such field in OpenAI Chat");
            }
        }
    }

    fn message(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        match message.role {
            Role::Assistant => self.assistant(list, at, message),
            Role::User => self.user(list, at, message),
            Role::System | Role::Developer => {
                let developer = message.role == Role::Developer && self.own;
                let role = if developer { "developer" } else { "system" };
                let parts = numbered(message);
                self.said(list, at, role, message.name.as_deref(), &parts);
            }
        }
    }

    /// Tool results are messages of their own here, right after the turn that called.
    fn user(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        let mut rest = Vec::new();
        let mut images = Vec::new();
        for (nth, part) in message.parts.iter().enumerate() {
            match &part.body {
                Body::ToolResult(result) => self.result(list, at, nth, result, &mut images),
                _ => rest.push((nth, part)),
            }
        }
        images.append(&mut rest);
        if !images.is_empty() {
            self.said(list, at, "user", message.name.as_deref(), &images);
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
        let path = || format!("messages[{at}].parts[{nth}]");
        if result.is_error {
            self.drop(format!("{}.is_error", path()), "OpenAI Chat has no mark for failed tools");
        }
        for part in &result.content {
            match &part.body {
                Body::Text(_) => {}
                // Tool messages take text only.
                Body::Media(_) => images.push((nth, part)),
                _ => self.drop(path(), "a tool message takes text only"),
            }
        }
        list.object(|item| {
            item.str("role", "tool");
            item.str("tool_call_id", &fitting_id(&result.id, MOST_ID));
            item.str("content", &result.text());
        });
    }

    fn said(
        &mut self,
        list: &mut Array<'_>,
        at: usize,
        role: &str,
        name: Option<&str>,
        parts: &[(usize, &Part)],
    ) {
        list.object(|item| {
            item.str("role", role);
            item.opt_str("name", name);
            self.content(item, at, parts, (role != "user").then_some("\n\n"));
        });
    }

    /// Content as one string where it is one text, else as parts. Not every upstream takes parts
    /// outside the user's messages: texts are joined there by `joined`.
    fn content(
        &mut self,
        item: &mut Object<'_>,
        at: usize,
        parts: &[(usize, &Part)],
        joined: Option<&str>,
    ) {
        if let [(_, Part { body: Body::Text(text), cache_control: None })] = parts {
            return item.str("content", text);
        }
        if let Some(joined) = joined.filter(|_| !self.own).and_then(|joint| all_text(parts, joint))
        {
            if parts.iter().any(|(_, part)| part.cache_control.is_some()) {
                self.drop_marks();
            }
            return item.str("content", &joined);
        }
        item.array("content", |list| {
            for (nth, part) in parts {
                self.part(list, at, *nth, part);
            }
        });
    }

    fn part(&mut self, list: &mut Array<'_>, at: usize, nth: usize, part: &Part) {
        let path = || format!("messages[{at}].parts[{nth}]");
        match &part.body {
            Body::Text(text) => list.object(|item| {
                item.str("type", "text");
                item.str("text", text);
                self.mark(item, part);
            }),
            Body::Refusal(text) => list.object(|item| {
                item.str("type", "refusal");
                item.str("refusal", text);
            }),
            Body::Media(media) => self.media(list, &path(), media, part),
            Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
            Body::Opaque { .. } => self.drop(path(), "only its own dialect knows this part"),
            Body::ToolUse(_) | Body::ToolResult(_) | Body::Reasoning(_) => {
                self.drop(path(), "not possible in this role");
            }
        }
    }

    /// Writes a part's cache mark, or reports once that marks are left out.
    fn mark(&mut self, item: &mut Object<'_>, part: &Part) {
        let Some(mark) = &part.cache_control else { return };
        if self.own {
            item.raw("cache_control", mark.get());
        } else {
            self.drop_marks();
        }
    }

    fn drop_marks(&mut self) {
        if !self.dropped.iter().any(|dropped| dropped.path == "cache_control") {
            self.drop("cache_control", "OpenAI Chat caches without being told");
        }
    }

    fn media(&mut self, list: &mut Array<'_>, path: &str, media: &Media, part: &Part) {
        match (media.kind, &media.source) {
            (MediaKind::Image, MediaSource::FileId(_)) => {
                self.drop(path, "OpenAI Chat takes no images by file id");
            }
            (MediaKind::Image, source) => list.object(|item| {
                item.str("type", "image_url");
                item.object("image_url", |image| {
                    image.str("url", &url(source));
                    image.opt_str("detail", media.detail.as_deref());
                });
                self.mark(item, part);
            }),
            (MediaKind::Audio, MediaSource::Base64 { media_type, data }) => list.object(|item| {
                item.str("type", "input_audio");
                item.object("input_audio", |audio| {
                    audio.str("data", data);
                    audio.str("format", media_type.strip_prefix("audio/").unwrap_or(media_type));
                });
            }),
            (MediaKind::Audio, _) => self.drop(path, "OpenAI Chat takes sound only inline"),
            // `OpenAI` takes no addresses here, some that speak its dialect do.
            (MediaKind::File, MediaSource::Url(_)) if !self.own => {
                self.drop(path, "OpenAI Chat takes no files by address");
            }
            (MediaKind::File, source) => list.object(|item| {
                item.str("type", "file");
                item.object("file", |file| {
                    file.opt_str("filename", media.name.as_deref());
                    match source {
                        MediaSource::FileId(id) => file.str("file_id", id),
                        source => file.str("file_data", &url(source)),
                    }
                });
                self.mark(item, part);
            }),
        }
    }

    fn assistant(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        let (mut said, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
        for (nth, part) in message.parts.iter().enumerate() {
            match &part.body {
                Body::ToolUse(call) => calls.push(call),
                Body::Reasoning(thought) => thoughts.push((nth, thought)),
                _ => said.push((nth, part)),
            }
        }
        let audio = said.iter().position(|(_, part)| {
            matches!(&part.body, Body::Opaque { dialect, raw } if *dialect == ID && is_audio(raw.get()))
        });
        let audio = audio.map(|at| said.remove(at).1);
        list.object(|item| {
            item.str("role", "assistant");
            item.opt_str("name", message.name.as_deref());
            match said.as_slice() {
                // `null` beside calls (`""` is refused by some), `""` where nothing else is there.
                [] if !calls.is_empty() || audio.is_some() => item.raw("content", "null"),
                [] => item.str("content", ""),
                parts => self.content(item, at, parts, Some("")),
            }
            self.thoughts(item, at, &thoughts);
            if let Some(Body::Opaque { raw, .. }) = audio.map(|part| &part.body) {
                item.raw("audio", audio_value(raw.get()));
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

    /// Thought goes back to its issuer only. Thought without any state came from a provider of
    /// this dialect, whoever carried it meanwhile.
    fn thoughts(&mut self, item: &mut Object<'_>, at: usize, thoughts: &[(usize, &Reasoning)]) {
        let mut shown = String::new();
        for (nth, thought) in thoughts {
            let foreign = thought.issuer.is_some_and(|issuer| issuer != ID);
            let sealed = thought.signature.is_some() || thought.redacted.is_some();
            if foreign || sealed && !self.own {
                let path = format!("messages[{at}].parts[{nth}]");
                self.drop(path, "reasoning of another issuer");
            } else {
                shown.push_str(&thought.text);
            }
        }
        if !shown.is_empty() {
            item.str("reasoning_content", &shown);
        }
    }

    fn tools(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        body.array("tools", |list| {
            for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
                match &tool.opaque {
                    Some(raw) if self.own => list.raw(raw.get()),
                    Some(_) => self.drop(format!("tools[{nth}]"), "only its own dialect has it"),
                    None => list.object(|item| {
                        item.str("type", "function");
                        item.object("function", |function| {
                            function.str("name", &tool.name);
                            function.opt_str("description", tool.description.as_deref());
                            if let Some(schema) = &tool.schema {
                                function.raw("parameters", schema.get());
                            }
                            function.opt("strict", tool.strict);
                        });
                        if let Some(mark) = tool.cache_control.as_ref().filter(|_| self.own) {
                            item.raw("cache_control", mark.get());
                        }
                    }),
                }
            }
        });
        // The choice among some of the tools stands in `extra`; it may name hidden ones.
        let hides = call.tools.iter().any(|tool| tool.hidden);
        let subset = call.extra.iter().find(|(name, _)| name == "tool_choice");
        match (&call.tool_choice, subset.filter(|_| self.own && !hides)) {
            (_, Some((_, subset))) => body.raw("tool_choice", subset.get()),
            (choice, None) => write_choice(body, call, choice),
        }
        body.opt("parallel_tool_calls", call.params.parallel_tools);
    }

    fn params(&mut self, body: &mut Object<'_>, params: &Params, model: &str) {
        let effort = params.reasoning_effort.as_deref();
        let effort = effort.or_else(|| params.thinking_budget.map(effort_of));
        // `OpenAI`'s own models take the new name, some of them only that; others know the old.
        let new_name = effort.is_some() || is_openai(model);
        let limit = if new_name { "max_completion_tokens" } else { "max_tokens" };
        body.opt(limit, params.max_tokens);
        body.opt("temperature", params.temperature);
        body.opt("top_p", params.top_p);
        if self.own {
            body.opt("top_k", params.top_k);
        } else if params.top_k.is_some() {
            self.drop("top_k", "OpenAI Chat has no top-k sampling");
        }
        if params.stop.len() > MOST_STOPS && !self.own {
            self.drop(format!("stop[{MOST_STOPS}..]"), "OpenAI Chat takes four at most");
        }
        let stops = if self.own { usize::MAX } else { MOST_STOPS };
        if !params.stop.is_empty() {
            body.array("stop", |list| {
                for text in params.stop.iter().take(stops) {
                    list.str(text);
                }
            });
        }
        body.opt("seed", params.seed);
        body.opt_str("reasoning_effort", effort);
        body.opt_str("user", params.user.as_deref());
        if let Some(format) = &params.response_format {
            body.object("response_format", |body| write_format(body, format));
        }
    }
}

/// The texts of parts that are nothing but text, with `joint` between them.
fn all_text(parts: &[(usize, &Part)], joint: &str) -> Option<String> {
    let text = |(_, part): &(usize, &Part)| match &part.body {
        Body::Text(text) => Some(text.clone()),
        _ => None,
    };
    let texts: Option<Vec<String>> = parts.iter().map(text).collect();
    texts.map(|texts| texts.join(joint))
}

fn write_choice(body: &mut Object<'_>, call: &ModelCall, choice: &ToolChoice) {
    match choice {
        ToolChoice::Unset => {}
        ToolChoice::Auto => body.str("tool_choice", "auto"),
        ToolChoice::None => body.str("tool_choice", "none"),
        ToolChoice::Required => body.str("tool_choice", "required"),
        ToolChoice::Tool(name) if !shown(call).contains(name.as_str()) => {
            body.str("tool_choice", "auto");
        }
        ToolChoice::Tool(name) => body.object("tool_choice", |choice| {
            choice.str("type", "function");
            choice.object("function", |function| function.str("name", name));
        }),
    }
}

fn numbered(message: &Message) -> Vec<(usize, &Part)> {
    message.parts.iter().enumerate().collect()
}

fn is_audio(raw: &str) -> bool {
    raw.starts_with(r#"{"audio":"#)
}

/// The value in `{"audio":…}`, which the reader wrote.
fn audio_value(raw: &str) -> &str {
    raw.strip_prefix(r#"{"audio":"#).and_then(|rest| rest.strip_suffix('}')).unwrap_or("null")
}

fn url(source: &MediaSource) -> Cow<'_, str> {
    match source {
        MediaSource::Url(url) => Cow::Borrowed(url),
        MediaSource::FileId(id) => Cow::Borrowed(id),
        MediaSource::Base64 { media_type, data } => {
            Cow::Owned(format!("data:{media_type};base64,{data}"))
        }
    }
}

fn write_call(list: &mut Array<'_>, call: &ToolUse) {
    list.object(|item| {
        item.str("id", &fitting_id(&call.id, MOST_ID));
        item.str("type", "function");
        item.object("function", |function| {
            function.str("name", &call.name);
            function.str("arguments", &call.arguments);
        });
    });
}

fn write_format(body: &mut Object<'_>, format: &ResponseFormat) {
    match format {
        ResponseFormat::Text => body.str("type", "text"),
        ResponseFormat::JsonObject => body.str("type", "json_object"),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            body.str("type", "json_schema");
            body.object("json_schema", |body| {
                body.str("name", name);
                body.raw("schema", schema.get());
                body.opt("strict", *strict);
            });
        }
    }
}

/// The effort nearest to a thinking budget; the inverse of Anthropic's side.
const fn effort_of(budget: u64) -> &'static str {
    match budget {
        0..=2048 => "low",
        2049..=8192 => "medium",
        _ => "high",
    }
}

/// Whether a model's name is one of `OpenAI`'s.
fn is_openai(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(['1', '3', '4']));
    o_series
        || name.starts_with("gpt-") && !name.starts_with("gpt-oss")
        || name.starts_with("chatgpt")
}
