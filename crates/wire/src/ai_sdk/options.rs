//! `providerOptions` and `providerMetadata`: what the AI SDK's providers say beside the protocol.
//!
//! State goes back to its issuer under the name and key that the SDK's own providers use, so it
//! stays usable whichever of them a conversation goes on with.

use doorward_core::{DialectId, IssuerState, Params, Preferences};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::ReadError;
use crate::emit::{Object, escape};
use crate::json::{Members, Source, Text, Whole, raw};
use crate::preferences::{GatewayIn, gateway_wishes};

/// Options of one message or part, as far as they matter here.
#[derive(Deserialize, Default)]
pub(super) struct PartOptions<'a> {
    #[serde(borrow)]
    anthropic: Option<AnthropicIn<'a>>,
    #[serde(borrow, alias = "vertex")]
    google: Option<GoogleIn<'a>>,
    #[serde(borrow)]
    openai: Option<OpenAiIn<'a>>,
    #[serde(borrow)]
    doorward: Option<DoorwardIn<'a>>,
}

#[derive(Deserialize)]
struct AnthropicIn<'a> {
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow, rename = "redactedData")]
    redacted_data: Option<Text<'a>>,
    #[serde(borrow, rename = "cacheControl", alias = "cache_control")]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GoogleIn<'a> {
    #[serde(borrow, rename = "thoughtSignature")]
    thought_signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct OpenAiIn<'a> {
    #[serde(borrow, rename = "reasoningEncryptedContent")]
    encrypted: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct DoorwardIn<'a> {
    #[serde(borrow)]
    state: Option<Text<'a>>,
    #[serde(borrow)]
    sealed: Option<Text<'a>>,
}

/// Reads options; what cannot be read is of no provider that is known here.
pub(super) fn read(options: Option<&RawValue>) -> PartOptions<'_> {
    options.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// State, and whether it is a thought of its own that only the issuer reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) state: IssuerState,
    pub(super) sealed: bool,
}

impl<'a> PartOptions<'a> {
    pub(super) fn cache_control(&self) -> Option<&'a RawValue> {
        self.anthropic.as_ref()?.cache_control
    }

    pub(super) fn state(self) -> Option<Found> {
        let filled = |text: Option<Text<'a>>| text.filter(|text| !text.as_str().is_empty());
        let found = |issuer, sealed| {
            move |text: Text<'a>| Found {
                state: IssuerState { issuer, data: text.into_string() },
                sealed,
            }
        };
        let tagged = |sealed| {
            move |text: Text<'a>| Found { state: IssuerState::read(text.as_str(), ID), sealed }
        };
        if let Some(anthropic) = self.anthropic {
            let issuer = DialectId::ANTHROPIC_MESSAGES;
            let redacted = filled(anthropic.redacted_data).map(found(issuer, true));
            let signed = || filled(anthropic.signature).map(found(issuer, false));
            if let Some(state) = redacted.or_else(signed) {
                return Some(state);
            }
        }
        let google = self.google.and_then(|it| filled(it.thought_signature));
        let openai = self.openai.and_then(|it| filled(it.encrypted));
        let own = |it: DoorwardIn<'a>| {
            let state = filled(it.state).map(tagged(false));
            state.or_else(|| filled(it.sealed).map(tagged(true)))
        };
        google
            .map(found(DialectId::GEMINI, false))
            .or_else(|| openai.map(found(DialectId::OPENAI_RESPONSES, false)))
            .or_else(|| self.doorward.and_then(own))
    }
}

/// Writes state under `field` (`providerMetadata`, `providerOptions`).
pub(super) fn write(item: &mut Object<'_>, field: &str, state: &IssuerState, sealed: bool) {
    let (provider, key) = match state.issuer {
        DialectId::ANTHROPIC_MESSAGES if sealed => ("anthropic", "redactedData"),
        DialectId::ANTHROPIC_MESSAGES => ("anthropic", "signature"),
        DialectId::GEMINI => ("google", "thoughtSignature"),
        DialectId::OPENAI_RESPONSES => ("openai", "reasoningEncryptedContent"),
        _ if sealed => ("doorward", "sealed"),
        _ => ("doorward", "state"),
    };
    item.object(field, |options| {
        options.object(provider, |options| match provider {
            "doorward" => options.str(key, &state.carried_by(ID)),
            _ => options.str(key, &state.data),
        });
    });
}

/// A whole call's options that have a place in the common form, by provider.
const MAPPED: [(&str, &[&str]); 4] = [
    ("gateway", &[]),
    ("anthropic", &["thinking", "effort", "disableParallelToolUse"]),
    (
        "openai",
        &[
            "reasoningEffort",
            "reasoningSummary",
            "serviceTier",
            "promptCacheKey",
            "textVerbosity",
            "parallelToolCalls",
            "user",
        ],
    ),
    ("google", &["thinkingConfig"]),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenAiCall<'a> {
    #[serde(borrow)]
    reasoning_effort: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_summary: Option<Text<'a>>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow)]
    prompt_cache_key: Option<Text<'a>>,
    #[serde(borrow)]
    text_verbosity: Option<Text<'a>>,
    parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnthropicCall<'a> {
    disable_parallel_tool_use: Option<bool>,
    #[serde(borrow)]
    thinking: Option<ThinkingIn<'a>>,
    #[serde(borrow)]
    effort: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ThinkingIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(rename = "budgetTokens")]
    budget: Option<Whole>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoogleCall {
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    thinking_budget: Option<i64>,
    include_thoughts: Option<bool>,
}

/// Reads a whole call's options into wishes and parameters. What is left over is given back.
pub(super) fn call_options<'a>(
    source: Source<'a>,
    options: &'a RawValue,
    wishes: &mut Preferences,
    params: &mut Params,
) -> Result<Option<Box<RawValue>>, ReadError> {
    let members = source.members_of(options)?;
    let given = |name: &str| members.find(name).map(|member| member.value);
    if let Some(gateway) = given("gateway") {
        gateway_wishes(source, source.read::<GatewayIn<'a>>(gateway)?, wishes)?;
    }
    if let Some(openai) = given("openai") {
        let openai: OpenAiCall<'a> = source.read(openai)?;
        let word = |text: Option<Text<'a>>| text.map(Text::into_string);
        params.reasoning_effort = word(openai.reasoning_effort).or(params.reasoning_effort.take());
        params.reasoning_summary = word(openai.reasoning_summary);
        params.service_tier = word(openai.service_tier);
        params.cache_key = word(openai.prompt_cache_key);
        params.verbosity = word(openai.text_verbosity);
        params.parallel_tools = openai.parallel_tool_calls;
        params.user = word(openai.user);
    }
    if let Some(anthropic) = given("anthropic") {
        let anthropic: AnthropicCall<'a> = source.read(anthropic)?;
        if anthropic.disable_parallel_tool_use == Some(true) {
            params.parallel_tools = Some(false);
        }
        if let Some(effort) = anthropic.effort {
            params.reasoning_effort = Some(effort.into_string());
        }
        if let Some(thinking) = anthropic.thinking {
            params.thinking = Some(thinking.kind.as_str() != "disabled");
            params.thinking_budget = thinking.budget.map(|Whole(budget)| budget);
        }
    }
    if let Some(google) = given("google")
        && let Some(config) = source.read::<GoogleCall>(google)?.thinking_config
    {
        match config.thinking_budget {
            Some(0) => params.thinking = Some(false),
            Some(budget) => params.thinking_budget = u64::try_from(budget).ok(),
            None => {}
        }
        if let Some(shown) = config.include_thoughts {
            params.reasoning_summary = Some(if shown { "auto" } else { "none" }.to_owned());
        }
    }
    left_over(source, &members)
}

fn left_over<'a>(
    source: Source<'a>,
    members: &Members<'a>,
) -> Result<Option<Box<RawValue>>, ReadError> {
    let mut left = Vec::new();
    for member in members.iter() {
        let mapped = MAPPED.iter().find(|(provider, _)| *provider == member.name);
        let value = match mapped {
            Some(("gateway", _)) | None => member.value.get().to_owned(),
            Some((_, mapped)) => {
                let inner = source.members_of(member.value)?;
                let rest = inner.iter().filter(|it| !mapped.contains(&&*it.name));
                let rest: Vec<String> =
                    rest.map(|it| format!("{}:{}", it.key.get(), it.value.get())).collect();
                if rest.is_empty() {
                    continue;
                }
                format!("{{{}}}", rest.join(","))
            }
        };
        left.push(format!("\"{}\":{value}", escape(&member.name)));
    }
    let left = (!left.is_empty()).then(|| raw(format!("{{{}}}", left.join(","))));
    left.map(|left| source.keep(&left)).transpose()
}
