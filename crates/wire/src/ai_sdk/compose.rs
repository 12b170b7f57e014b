//! The common form into a request for an upstream that speaks the gateway protocol.

use bytes::BytesMut;
use doorward_core::{
    Body, IssuerState, Media, MediaSource, Message, ModelCall, Params, Part, ResponseFormat, Role,
    ToolChoice, ToolDef, ToolResult,
};
use serde_json::value::RawValue;

use super::{ID, options};
use crate::calls::schema_of;
use crate::emit::{self, Array, Object};
use crate::quirks::mend::{Request, mend, refuse_addresses};
use crate::splice::{is_hidden, shown};
use crate::{Destination, Dropped, WriteError, Written, custom, preferences};

pub(super) fn write(call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    crate::bound::check(call, ID)?;
    refuse_addresses(call, to.quirks)?;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    // Such an upstream is a gateway itself: what is meant for one goes on to it.
    let request = Request { quirks: to.quirks, extra: &[], headers: &[] };
    if let Some(raw) = own.filter(|raw| !raw.body.is_empty())
        && !call.tools.iter().any(|tool| tool.hidden)
    {
        let written = Written { body: raw.body.clone(), dropped: Vec::new() };
        return mend(written, &request, false, |_| Ok(()));
    }
    if call.params.choices.is_some_and(|choices| choices > 1) {
        let reason = "the gateway protocol gives one answer to a call";
        return Err(WriteError { path: "n".to_owned(), reason });
    }
    let mut compose = Compose { call, own: own.is_some(), dropped: Vec::new() };
    let mut out = BytesMut::with_capacity(1024);
    emit::object(&mut out, |body| compose.body(body));
    let written = Written { body: out.freeze(), dropped: compose.dropped };
    mend(written, &request, false, |_| Ok(()))
}

struct Compose<'c> {
    call: &'c ModelCall,
    own: bool,
    dropped: Vec<Dropped>,
}

impl Compose<'_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    fn body(&mut self, body: &mut Object<'_>) {
        let call = self.call;
        body.array("prompt", |list| {
            for (at, message) in call.messages.iter().enumerate() {
                self.message(list, at, message);
            }
        });
        self.params(body, &call.params);
        if !shown(call).is_empty() {
            self.tools(body);
        }
        self.options(body);
        for (name, value) in call.extra.iter().filter(|(name, _)| name != "providerOptions") {
            if self.own {
                body.raw(name, value.get());
            } else {
                let reason = "no such field in the gateway protocol";
                self.dropped.extend(preferences::lost(name, value, reason));
            }
        }
    }

    fn params(&mut self, body: &mut Object<'_>, params: &Params) {
        body.opt("maxOutputTokens", params.max_tokens);
        body.opt("temperature", params.temperature);
        body.opt("topP", params.top_p);
        body.opt("topK", params.top_k);
        body.opt("presencePenalty", params.presence_penalty);
        body.opt("frequencyPenalty", params.frequency_penalty);
        body.opt("seed", params.seed);
        if !params.stop.is_empty() {
            body.array("stopSequences", |list| params.stop.iter().for_each(|text| list.str(text)));
        }
        let off = (params.thinking == Some(false)).then_some("none");
        body.opt_str("reasoning", params.reasoning_effort.as_deref().or(off));
        if params.logprobs == Some(true) {
            self.drop("logprobs", "the gateway protocol does not tell them");
        }
        match &params.response_format {
            None => {}
            Some(ResponseFormat::Text) => {
                body.object("responseFormat", |format| format.str("type", "text"));
            }
            Some(ResponseFormat::JsonObject) => {
                body.object("responseFormat", |format| format.str("type", "json"));
            }
            Some(ResponseFormat::JsonSchema { name, schema, .. }) => {
                body.object("responseFormat", |format| {
                    format.str("type", "json");
                    format.raw("schema", schema.get());
                    format.str("name", name);
                });
            }
        }
    }

    /// What has no field of its own goes to the providers by name: each reads only its own.
    fn options(&self, body: &mut Object<'_>) {
        let params = &self.call.params;
        let own = self.call.extra.iter().find(|(name, _)| name == "providerOptions");
        if let Some((_, options)) = own.filter(|_| self.own) {
            return body.raw("providerOptions", options.get());
        }
        let shown = params.reasoning_summary.as_deref();
        let summary = shown.filter(|shown| *shown != "none").map(str::to_owned);
        let openai = [
            ("serviceTier", &params.service_tier),
            ("promptCacheKey", &params.cache_key),
            ("textVerbosity", &params.verbosity),
            ("user", &params.user),
            ("reasoningSummary", &summary),
        ];
        let for_openai = openai.iter().any(|(_, value)| value.is_some());
        let parallel = params.parallel_tools;
        let budget = params.thinking_budget;
        let one_by_one = parallel == Some(false);
        if !for_openai && parallel.is_none() && budget.is_none() && shown.is_none() {
            return;
        }
        body.object("providerOptions", |all| {
            if for_openai || parallel.is_some() {
                all.object("openai", |options| {
                    for (name, value) in openai {
                        options.opt_str(name, value.as_deref());
                    }
                    options.opt("parallelToolCalls", parallel);
                });
            }
            if budget.is_some() || one_by_one {
                all.object("anthropic", |options| {
                    if let Some(budget) = budget {
                        options.object("thinking", |thinking| {
                            thinking.str("type", "enabled");
                            thinking.value("budgetTokens", budget);
                        });
                    }
                    options.opt("disableParallelToolUse", one_by_one.then_some(true));
                });
            }
            if budget.is_some() || shown.is_some() {
                all.object("google", |options| {
                    options.object("thinkingConfig", |thinking| {
                        thinking.opt("thinkingBudget", budget);
                        thinking.opt("includeThoughts", shown.map(|shown| shown != "none"));
                    });
                });
            }
        });
    }

    fn message(&mut self, list: &mut Array<'_>, at: usize, message: &Message) {
        if message.name.is_some() {
            self.drop(format!("messages[{at}].name"), "participants have no names");
        }
        match message.role {
            Role::System | Role::Developer => {
                for (nth, part) in message.parts.iter().enumerate() {
                    if let Body::Text(text) = &part.body {
                        list.object(|item| {
                            item.str("role", "system");
                            item.str("content", text);
                            mark(item, part);
                        });
                    } else {
                        self.drop(format!("messages[{at}].parts[{nth}]"), "system text only");
                    }
                }
            }
            Role::Assistant => self.parts(list, at, "assistant", message, |_| true),
            Role::User => {
                // Results are messages of their own, right after the turn that called.
                let is_result = |part: &Part| match &part.body {
                    Body::ToolResult(_) => true,
                    Body::Opaque { raw, .. } => raw.get().contains("\"tool-approval-response\""),
                    _ => false,
                };
                self.parts(list, at, "tool", message, is_result);
                self.parts(list, at, "user", message, |part| !is_result(part));
            }
        }
    }

    fn parts(
        &mut self,
        list: &mut Array<'_>,
        at: usize,
        role: &str,
        message: &Message,
        which: impl Fn(&Part) -> bool,
    ) {
        let mut parts = message.parts.iter().enumerate().filter(|(_, part)| which(part)).peekable();
        if parts.peek().is_none() {
            return;
        }
        let unsaid = |(_, part): &(usize, &Part)| match &part.body {
            Body::Opaque { dialect, .. } => *dialect != ID,
            Body::Media(media) => matches!(media.source, MediaSource::FileId(_)),
            _ => false,
        };
        if parts.clone().all(|part| unsaid(&part)) {
            // Nothing of it goes: a message without content is refused.
            for (nth, part) in parts {
                let reason = lost_part(&part.body);
                self.drop(format!("messages[{at}].parts[{nth}]"), reason);
            }
            return;
        }
        list.object(|item| {
            item.str("role", role);
            item.array("content", |list| {
                for (nth, part) in parts {
                    self.part(list, &format!("messages[{at}].parts[{nth}]"), part);
                }
            });
        });
    }

    fn part(&mut self, list: &mut Array<'_>, path: &str, part: &Part) {
        match &part.body {
            Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
            Body::Opaque { .. } => self.drop(path, lost_part(&part.body)),
            Body::Text(text) | Body::Refusal(text) => list.object(|item| {
                item.str("type", "text");
                item.str("text", text);
                mark(item, part);
            }),
            Body::Media(Media { source: MediaSource::FileId(_), .. }) => {
                self.drop(path, lost_part(&part.body));
            }
            Body::Media(media) => list.object(|item| {
                item.str("type", "file");
                write_file(item, media);
                item.opt_str("filename", media.name.as_deref());
                mark(item, part);
            }),
            Body::Reasoning(thought) => {
                let issuer = thought.issuer.unwrap_or(ID);
                let sealed = thought.redacted.is_some();
                let data = thought.redacted.as_ref().or(thought.signature.as_ref());
                list.object(|item| {
                    item.str("type", "reasoning");
                    item.str("text", &thought.text);
                    if let Some(data) = data {
                        let state = IssuerState { issuer, data: data.clone() };
                        options::write(item, "providerOptions", &state, sealed);
                    }
                });
            }
            Body::ToolUse(call) => list.object(|item| {
                item.str("type", "tool-call");
                item.str("toolCallId", &call.id);
                item.str("toolName", &call.name);
                // Elsewhere such a tool is declared as a function of one text, and was called so.
                if call.custom && self.own {
                    item.str("input", &custom::unwrapped(&call.arguments));
                } else {
                    write_json(item, "input", &call.arguments);
                }
                if let Some(state) = &call.state {
                    options::write(item, "providerOptions", state, false);
                }
            }),
            Body::ToolResult(result) => self.result(list, path, result, part),
        }
    }

    fn result(&mut self, list: &mut Array<'_>, path: &str, result: &ToolResult, part: &Part) {
        let name = result.name.clone().or_else(|| self.tool_of(&result.id)).unwrap_or_default();
        list.object(|item| {
            item.str("type", "tool-result");
            item.str("toolCallId", &result.id);
            item.str("toolName", &name);
            let plain = result.content.iter().all(|part| matches!(part.body, Body::Text(_)));
            item.object("output", |output| {
                if plain || result.is_error {
                    if !plain {
                        self.drop(format!("{path}.content"), "an error is text only");
                    }
                    output.str("type", if result.is_error { "error-text" } else { "text" });
                    return output.str("value", &result.text());
                }
                output.str("type", "content");
                output.array("value", |list| {
                    for (nth, part) in result.content.iter().enumerate() {
                        match &part.body {
                            Body::Text(text) => list.object(|item| {
                                item.str("type", "text");
                                item.str("text", text);
                            }),
                            Body::Media(media)
                                if !matches!(media.source, MediaSource::FileId(_)) =>
                            {
                                list.object(|item| {
                                    item.str("type", "file");
                                    write_file(item, media);
                                });
                            }
                            Body::Opaque { dialect, raw } if *dialect == ID => list.raw(raw.get()),
                            _ => {
                                let path = format!("{path}.content[{nth}]");
                                self.drop(path, "no part of a tool result");
                            }
                        }
                    }
                });
            });
            mark(item, part);
        });
    }

    /// The tool that a call is of, where the result does not repeat it.
    fn tool_of(&self, id: &str) -> Option<String> {
        let parts = self.call.messages.iter().flat_map(|message| &message.parts);
        parts.into_iter().find_map(|part| match &part.body {
            Body::ToolUse(call) if call.id == id => Some(call.name.clone()),
            _ => None,
        })
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
                    _ => list.object(|item| write_tool(item, tool, self.own)),
                }
            }
        });
        let (kind, name) = match &call.tool_choice {
            ToolChoice::Unset => return,
            ToolChoice::Tool(name) if !is_hidden(call, name) => ("tool", Some(name)),
            ToolChoice::Auto | ToolChoice::Tool(_) => ("auto", None),
            ToolChoice::None => ("none", None),
            ToolChoice::Required => ("required", None),
        };
        body.object("toolChoice", |choice| {
            choice.str("type", kind);
            choice.opt_str("toolName", name.map(String::as_str));
        });
    }
}

/// Why a part goes nowhere.
const fn lost_part(body: &Body) -> &'static str {
    match body {
        Body::Media(_) => "the gateway protocol names files by their provider",
        _ => "only its own dialect knows this part",
    }
}

fn write_tool(item: &mut Object<'_>, tool: &ToolDef, own: bool) {
    item.str("type", "function");
    item.str("name", &tool.name);
    item.opt_str("description", tool.description.as_deref());
    item.raw("inputSchema", &schema_of(tool, own));
    item.opt("strict", tool.strict);
    write_mark(item, tool.cache_control.as_deref());
}

fn mark(item: &mut Object<'_>, part: &Part) {
    write_mark(item, part.cache_control.as_deref());
}

fn write_mark(item: &mut Object<'_>, mark: Option<&RawValue>) {
    if let Some(mark) = mark {
        item.object("providerOptions", |options| {
            options.object("anthropic", |options| options.raw("cacheControl", mark.get()));
        });
    }
}

/// Writes a file's media type and data, in the tagged form of version 4.
pub(super) fn write_file(item: &mut Object<'_>, media: &Media) {
    use doorward_core::MediaKind;
    let usual = match media.kind {
        MediaKind::Image => "image/*",
        MediaKind::Audio => "audio/*",
        MediaKind::File => "application/octet-stream",
    };
    match &media.source {
        MediaSource::Base64 { media_type, data } => {
            item.str("mediaType", media_type);
            item.object("data", |tagged| {
                tagged.str("type", "data");
                tagged.str("data", data);
            });
        }
        MediaSource::Url(url) => {
            let pdf = std::path::Path::new(url).extension().is_some_and(|it| it == "pdf");
            item.str("mediaType", if pdf { "application/pdf" } else { usual });
            item.object("data", |tagged| {
                tagged.str("type", "url");
                tagged.str("url", url);
            });
        }
        MediaSource::FileId(id) => {
            item.str("mediaType", usual);
            item.object("data", |tagged| {
                tagged.str("type", "reference");
                tagged.object("reference", |reference| reference.str("default", id));
            });
        }
    }
}

/// Writes JSON text as the value it is, or as a string where it is none.
fn write_json(item: &mut Object<'_>, name: &str, text: &str) {
    match text.trim() {
        "" => item.raw(name, "{}"),
        json if serde_json::from_str::<&RawValue>(json).is_ok() => item.raw(name, json),
        _ => item.str(name, text),
    }
}
