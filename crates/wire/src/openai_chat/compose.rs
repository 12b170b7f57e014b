//! The common form into a request for an upstream that speaks Chat.

use std::borrow::Cow;

use bytes::BytesMut;
use doorward_core::{
    Body, DialectId, Media, MediaKind, MediaSource, Message, ModelCall, Params, Part, Reasoning,
    Role, ToolChoice, ToolResult, ToolUse,
};

use super::{ID, params, state};
use crate::bound::{FOREIGN_FILE, file_name, is_foreign_file, report_marks, report_states};
use crate::calls::fitting_id;
use crate::emit::{self, Array, Object};
use crate::quirks::mend::{self, Mend, Request};
use crate::splice::{self, Shape, shown};
use crate::{Destination, Dropped, Quirks, WriteError, Written, bound, custom, preferences};

/// The longest id of a tool call that `OpenAI` takes.
const MOST_ID: usize = 40;

/// Why pieces of other dialects are left out.
const ONLY_OWN: &str = "only its own dialect knows this part";

/// Why cache marks are left out.
const UNMARKED: &str = "OpenAI Chat caches without being told";

/// Whose files have ids that mean something here.
const FILES: [DialectId; 2] = [ID, DialectId::OPENAI_RESPONSES];

/// The most stop texts that `OpenAI` takes.
const MOST_STOPS: usize = 4;

const SHAPE: Shape = Shape {
    auto: |_| Cow::Borrowed(r#""auto""#),
    required: |_| Cow::Borrowed(r#""required""#),
    with_tools: &["tools", "tool_choice", "parallel_tool_calls"],
    asks_usage: true,
};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let quirks = to.quirks;
    bound::check(call, ID)?;
    mend::refuse_addresses(call, quirks)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    let request = Request::of(call, quirks, own.is_some());
    let touched = super::mend::touches(call, quirks, own.is_some());
    let deeper = |mend: &mut Mend<'_, '_>| super::mend::mend(mend, call, quirks, own.is_some());
    // Free-form tools become functions throughout: in declarations, choices and history.
    let kept = own.filter(|raw| !raw.body.is_empty());
    if let Some(raw) = kept.filter(|_| !quirks.no_custom_tools || !has_custom(call))
        && let Some(body) = splice::same_dialect(call, raw, to, SHAPE)?
    {
        let written = Written { body, dropped: Vec::new() };
        return mend::mend(written, &request, touched, deeper);
    }
    let mut compose = Compose { call, quirks, own: own.is_some(), dropped: Vec::new() };
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body, to));
    let written = Written { body: out.freeze(), dropped: compose.dropped };
    mend::mend(written, &request, touched, deeper)
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
        body.array("messages", |list| {
            for (at, message) in call.messages.iter().enumerate() {
                self.message(list, at, message);
            }
        });
        if !shown(call).is_empty() {
            self.tools(body);
        }
        self.params(body, &call.params, to);
        if call.stream {
            body.value("stream", true);
            if to.ask_usage || call.stream_usage {
                body.object("stream_options", |options| options.value("include_usage", true));
            }
        }
        if !self.keeps_states() {
            report_states(call, &mut self.dropped);
        }
        if !self.own {
            report_marks(call, UNMARKED, &mut self.dropped);
        }
        for (name, value) in &call.extra {
            if (self.own || to.quirks.extends(name)) && name != "tool_choice" {
                body.raw(name, value.get());
            } else if !self.own {
                self.dropped.extend(preferences::lost(name, value, "no such field in OpenAI Chat"));
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
        let unsaid = |(_, part): &(usize, &Part)| match &part.body {
            Body::Opaque { dialect, .. } => *dialect != ID,
            body => is_foreign_file(self.call, body, &FILES),
        };
        if !parts.is_empty() && parts.iter().all(unsaid) {
            // Nothing of it goes: a message without content is refused.
            for (nth, part) in parts {
                let foreign = matches!(part.body, Body::Media(_));
                let reason = if foreign { FOREIGN_FILE } else { ONLY_OWN };
                self.drop(format!("messages[{at}].parts[{nth}]"), reason);
            }
            return;
        }
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
            body if is_foreign_file(self.call, body, &FILES) => self.drop(path(), FOREIGN_FILE),
            Body::Media(media) => self.media(list, &path(), media, part),
            Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
            Body::Opaque { .. } => self.drop(path(), ONLY_OWN),
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
            self.drop("cache_control", UNMARKED);
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
                    let unnamed = matches!(source, MediaSource::Base64 { .. }) && !self.own;
                    let made = unnamed.then(|| file_name(media));
                    file.opt_str("filename", media.name.as_deref().or(made));
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
                        self.call(list, call);
                    }
                });
            }
        });
    }

    /// Thought goes back to its issuer only. Thought without any state came from a provider of
    /// this dialect, whoever carried it meanwhile. An upstream that knows `reasoning_details`
    /// brings the state of others to their issuers itself.
    fn thoughts(&mut self, item: &mut Object<'_>, at: usize, thoughts: &[(usize, &Reasoning)]) {
        let forwards = self.quirks.extends("reasoning_details");
        let (mut shown, mut detailed) = (String::new(), Vec::new());
        for (nth, thought) in thoughts {
            let issuer = thought.issuer.unwrap_or(ID);
            let sealed = thought.signature.is_some() || thought.redacted.is_some();
            let theirs = forwards && (issuer == ID || state::format_of(issuer).is_some());
            if sealed && (theirs || issuer == ID && self.own) {
                detailed.push(*thought);
            } else if issuer != ID || sealed {
                let path = format!("messages[{at}].parts[{nth}]");
                self.drop(path, "reasoning of another issuer");
            } else {
                shown.push_str(&thought.text);
            }
        }
        if !shown.is_empty() {
            item.str("reasoning_content", &shown);
        }
        if !detailed.is_empty() {
            item.array("reasoning_details", |list| {
                for thought in detailed {
                    state::write_thought(list, thought);
                }
            });
        }
    }

    /// Whether calls go with the state that Google wants back.
    fn keeps_states(&self) -> bool {
        self.own || self.quirks.extends("extra_content")
    }

    fn call(&self, list: &mut Array<'_>, call: &ToolUse) {
        list.object(|item| {
            item.str("id", &fitting_id(&call.id, MOST_ID));
            if call.custom && self.own && !self.quirks.no_custom_tools {
                item.str("type", "custom");
                item.object("custom", |custom| {
                    custom.str("name", &call.name);
                    custom.str("input", &custom::unwrapped(&call.arguments));
                });
            } else {
                item.str("type", "function");
                item.object("function", |function| {
                    function.str("name", &call.name);
                    let empty = call.arguments.trim().is_empty() && !self.own;
                    function.str("arguments", if empty { "{}" } else { &call.arguments });
                });
            }
            if self.keeps_states() {
                let state = call.state.as_ref();
                state::write_on_call(item, state.filter(|it| it.issuer == DialectId::GEMINI));
            }
        });
    }

    fn tools(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        body.array("tools", |list| {
            for (nth, tool) in call.tools.iter().enumerate().filter(|(_, tool)| !tool.hidden) {
                match &tool.opaque {
                    // Few besides `OpenAI` know free-form tools.
                    Some(raw) if self.own && !(tool.custom && self.quirks.no_custom_tools) => {
                        list.raw(raw.get());
                    }
                    Some(_) if !tool.custom => {
                        self.drop(format!("tools[{nth}]"), "only its own dialect has it");
                    }
                    _ => list.object(|item| {
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
            (choice, None) => {
                let own = self.own && !self.quirks.no_custom_tools;
                let custom = |name: &str| {
                    own && call.tools.iter().any(|tool| tool.custom && tool.name == name)
                };
                write_choice(body, call, choice, custom);
            }
        }
        body.opt("parallel_tool_calls", call.params.parallel_tools);
    }

    fn params(&mut self, body: &mut Object<'_>, params: &Params, to: &Destination<'_>) {
        let effort = params::effort_of(params);
        let as_router = to.quirks.extends("reasoning");
        // `OpenAI`'s own models take the new name, some of them only that; others know the old.
        let new_name = !as_router && effort.is_some() || params::is_openai(to.model);
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
        body.opt("n", params.choices);
        body.opt("frequency_penalty", params.frequency_penalty);
        body.opt("presence_penalty", params.presence_penalty);
        body.opt("logprobs", params.logprobs);
        body.opt("top_logprobs", params.top_logprobs);
        if as_router && (effort.is_some() || params.thinking.is_some()) {
            params::write_reasoning(body, params);
        } else {
            body.opt_str("reasoning_effort", effort);
            if effort.is_none() && params.thinking == Some(false) {
                self.drop("thinking", "OpenAI Chat cannot switch it off");
            }
        }
        body.opt_str("verbosity", params.verbosity.as_deref());
        body.opt_str("service_tier", params.service_tier.as_deref());
        body.opt_str("prompt_cache_key", params.cache_key.as_deref());
        body.opt_str("user", params.user.as_deref());
        if let Some(format) = &params.response_format {
            body.object("response_format", |body| params::write_format(body, format));
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

fn write_choice(
    body: &mut Object<'_>,
    call: &ModelCall,
    choice: &ToolChoice,
    is_custom: impl Fn(&str) -> bool,
) {
    match choice {
        ToolChoice::Unset => {}
        ToolChoice::Auto => body.str("tool_choice", "auto"),
        ToolChoice::None => body.str("tool_choice", "none"),
        ToolChoice::Required => body.str("tool_choice", "required"),
        ToolChoice::Tool(name) if !shown(call).contains(name.as_str()) => {
            body.str("tool_choice", "auto");
        }
        ToolChoice::Tool(name) => body.object("tool_choice", |choice| {
            let kind = if is_custom(name) { "custom" } else { "function" };
            choice.str("type", kind);
            choice.object(kind, |tool| tool.str("name", name));
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
