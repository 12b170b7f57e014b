//! What families of models take beside the common fields (`additionalModelRequestFields`).

use doorward_core::{ModelCall, Params, Pattern, ToolChoice};
use serde_json::value::RawValue;

use super::family::Family;
use super::turns::Conversation;
use crate::emit::{self, Object};
use crate::json::Source;
use crate::splice::shown;
use crate::{Destination, Dropped};

/// The least thinking budget of Claude, and the tokens to answer with beside it.
const LEAST_BUDGET: u64 = 1024;
const USUAL_TOKENS: u64 = 4096;

pub(super) const NAME: &str = "additionalModelRequestFields";

/// How a call thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Thought {
    /// The tokens to answer with, those of the thought included.
    pub(super) max_tokens: Option<u64>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Unsaid,
    Budget(u64),
    Adaptive,
    Off,
}

impl Thought {
    /// Whether Claude thinks, and so takes no sampling.
    pub(super) fn is_on(self) -> bool {
        matches!(self.form, Form::Budget(_) | Form::Adaptive)
    }
}

/// What a call asks of a model beside the common fields.
pub(super) struct Asked<'c, 'd> {
    pub(super) call: &'c ModelCall,
    /// Whether the call came in this dialect.
    pub(super) own: bool,
    pub(super) family: Family,
    pub(super) dropped: &'d mut Vec<Dropped>,
}

impl Asked<'_, '_> {
    fn drop(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// How Claude is to think; other models are asked in their own fields.
    pub(super) fn thought(&mut self, conversation: &Conversation<'_>) -> Thought {
        let params = &self.call.params;
        let unsaid = Thought { max_tokens: params.max_tokens, form: Form::Unsaid };
        if self.family != Family::Claude {
            return unsaid;
        }
        let effort = params.reasoning_effort.as_deref().filter(|_| !self.own);
        let wanted = params.thinking_budget.or_else(|| effort.and_then(budget_of));
        let Some(wanted) = wanted else {
            // Its own client's adaptive thinking stands among the other fields.
            return match params.thinking {
                Some(false) => Thought { form: Form::Off, ..unsaid },
                Some(true) if self.thinks(conversation) => {
                    Thought { form: Form::Adaptive, ..unsaid }
                }
                _ => unsaid,
            };
        };
        let wanted = wanted.max(LEAST_BUDGET);
        let Some(limit) = params.max_tokens else {
            if !self.thinks(conversation) {
                return unsaid;
            }
            let max_tokens = Some(wanted.saturating_add(USUAL_TOKENS));
            return Thought { max_tokens, form: Form::Budget(wanted) };
        };
        if limit <= LEAST_BUDGET {
            self.drop("thinking", "no room for it within the token limit");
            return unsaid;
        }
        // An effort leaves a quarter for the answer; a budget is the client's own word.
        let most = if params.thinking_budget.is_some() { limit - 1 } else { limit - limit / 4 };
        let budget = wanted.min(most).clamp(LEAST_BUDGET, limit - 1);
        if self.thinks(conversation) {
            return Thought { form: Form::Budget(budget), ..unsaid };
        }
        unsaid
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

    /// Writes the fields, if there are any.
    pub(super) fn additional(
        &mut self,
        body: &mut Object<'_>,
        thought: Thought,
        to: &Destination<'_>,
    ) {
        let mut fields = Vec::new();
        self.special(thought, &mut fields);
        self.betas(to, &mut fields);
        let kept = self.call.extra.iter().find(|(name, _)| name == NAME && self.own);
        if let Some((_, rest)) = kept {
            // An object: the reader kept nothing else under this name but what is none.
            let inner = Source::new(rest.get().as_bytes()).and_then(|inner| inner.members());
            match inner {
                Ok(inner) => {
                    for member in inner.iter() {
                        if !fields.iter().any(|(name, _)| *name == *member.name) {
                            let json = member.value.get().to_owned();
                            fields.push((member.name.clone().into_owned(), json));
                        }
                    }
                }
                Err(_) => return body.raw(NAME, rest.get()),
            }
        }
        if !fields.is_empty() {
            body.object(NAME, |object| {
                for (name, json) in &fields {
                    object.raw(name, json);
                }
            });
        }
    }

    fn special(&mut self, thought: Thought, fields: &mut Vec<(String, String)>) {
        let params = &self.call.params;
        let mut set = |name: &str, json: String| fields.push((name.to_owned(), json));
        match thought.form {
            Form::Budget(budget) => {
                set("thinking", format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#));
            }
            Form::Adaptive if !self.own => set("thinking", r#"{"type":"adaptive"}"#.to_owned()),
            Form::Off => set("thinking", r#"{"type":"disabled"}"#.to_owned()),
            Form::Adaptive | Form::Unsaid => {}
        }
        let mut lost: Vec<(&str, &'static str)> = Vec::new();
        if let Some(k) = params.top_k {
            match self.family {
                Family::Claude if thought.is_on() && !self.own => {
                    lost.push(("top_k", "thinking has its own"));
                }
                Family::Nova => set("inferenceConfig", format!(r#"{{"topK":{k}}}"#)),
                Family::Claude | Family::Mistral => set("top_k", k.to_string()),
                _ if self.own => set("top_k", k.to_string()),
                _ => lost.push(("top_k", "this model has no field for it")),
            }
        }
        if let Some(effort) = &params.reasoning_effort {
            let quoted = format!("\"{}\"", emit::escape(effort));
            match self.family {
                _ if self.own => set("reasoning_effort", quoted),
                Family::OpenAi => set("reasoning_effort", quoted),
                Family::Nova => set(
                    "reasoningConfig",
                    format!(r#"{{"type":"enabled","maxReasoningEffort":{quoted}}}"#),
                ),
                // A budget stands for it.
                Family::Claude => {}
                _ => lost.push(("reasoning_effort", "this model has no field for it")),
            }
        }
        if self.family != Family::Claude {
            if params.thinking_budget.is_some() {
                lost.push(("thinking_budget", "only Claude takes a budget"));
            }
            if params.thinking.is_some() && !self.own {
                lost.push(("thinking", "only Claude takes it"));
            }
        }
        if params.parallel_tools == Some(false) && !shown(self.call).is_empty() {
            match (self.family, choice_kind(self.call)) {
                (Family::Claude, Some(choice)) => set("tool_choice", choice),
                (Family::Claude, None) => {}
                _ => lost.push(("parallel_tools", "this model cannot be told")),
            }
        }
        for (path, reason) in lost {
            self.drop(path, reason);
        }
    }

    /// Beta headers of Anthropic's, which go into the body here, as far as this host takes them.
    fn betas(&mut self, to: &Destination<'_>, fields: &mut Vec<(String, String)>) {
        let Some(raw) = &self.call.raw else { return };
        for (field, header) in &to.quirks.headers_in_body {
            let mut values: Vec<&str> = Vec::new();
            for (_, value) in raw.headers.iter().filter(|(name, _)| name == header) {
                values.extend(value.split(',').map(str::trim).filter(|value| !value.is_empty()));
            }
            let allowed = |value: &&str| {
                let betas = &to.quirks.betas;
                header != "anthropic-beta"
                    || betas.is_empty()
                    || betas.iter().any(|beta| Pattern::new(beta.as_str()).matches(value))
            };
            let (taken, refused): (Vec<&str>, Vec<&str>) = values.into_iter().partition(allowed);
            if !refused.is_empty() {
                self.drop(header.as_str(), "a value that this host does not take");
            }
            if !taken.is_empty() {
                let quoted: Vec<String> =
                    taken.iter().map(|value| format!("\"{}\"", emit::escape(value))).collect();
                fields.push((field.clone(), format!("[{}]", quoted.join(","))));
            }
        }
    }
}

/// Claude's own tool choice, which stands for Bedrock's where calls must not be parallel.
pub(super) fn choice_kind(call: &ModelCall) -> Option<String> {
    let shown = shown(call);
    let kind = match &call.tool_choice {
        ToolChoice::None => return None,
        ToolChoice::Required => "\"any\"".to_owned(),
        ToolChoice::Tool(name) if shown.contains(name.as_str()) => {
            format!(r#""tool","name":"{}""#, emit::escape(name))
        }
        ToolChoice::Tool(_) | ToolChoice::Auto | ToolChoice::Unset => "\"auto\"".to_owned(),
    };
    Some(format!(r#"{{"type":{kind},"disable_parallel_tool_use":true}}"#))
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

/// Reports what Bedrock has no word for.
pub(super) fn unsayable(params: &Params) -> Vec<(&'static str, &'static str)> {
    let mut lost = Vec::new();
    let mut check = |given: bool, path, reason| {
        if given {
            lost.push((path, reason));
        }
    };
    check(params.seed.is_some(), "seed", "Bedrock Converse has no seed");
    check(params.frequency_penalty.is_some(), "frequency_penalty", "Bedrock has no penalties");
    check(params.presence_penalty.is_some(), "presence_penalty", "Bedrock has no penalties");
    let logprobs = params.logprobs == Some(true) || params.top_logprobs.is_some();
    check(logprobs, "logprobs", "Bedrock tells no log probabilities");
    check(params.user.is_some(), "user", "Bedrock Converse does not ask who the end user is");
    check(params.verbosity.is_some(), "verbosity", "Bedrock Converse has no such field");
    check(params.cache_key.is_some(), "cache_key", "Bedrock caches by cache points");
    let summary = params.reasoning_summary.is_some();
    check(summary, "reasoning_summary", "Bedrock shows thought as the model does");
    lost
}

/// Whether a kept field asks for several answers.
pub(super) fn asks_for_more(name: &str, value: &RawValue) -> bool {
    name == "n" && !matches!(value.get(), "1" | "null")
}
