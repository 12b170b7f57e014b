//! Sampling and limits, in both directions.

use doorward_core::{ModelCall, Params, ResponseFormat};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::Object;
use crate::json::{Members, Source, Text, Whole, raw};
use crate::{Dropped, ReadError};

type Extra = Vec<(String, Box<RawValue>)>;

/// Reads sampling and limits; what has no place among them goes to `extra`.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    extra: &mut Extra,
) -> Result<Params, ReadError> {
    let user = word(members, "user")?;
    let safety = members.take("safety_identifier");
    if let (Some(value), Some(_)) = (safety, &user) {
        // Two names: the common form has room for one.
        extra.push(("safety_identifier".to_owned(), source.keep(value)?));
    }
    let safety = safety.map(|value| source.read::<Text<'a>>(value)).transpose()?;
    let user = user.or_else(|| safety.map(Text::into_string));
    let mut params = Params {
        max_tokens: members.read::<Whole>("max_output_tokens")?.map(|Whole(n)| n),
        temperature: members.read("temperature")?,
        top_p: members.read("top_p")?,
        parallel_tools: members.read("parallel_tool_calls")?,
        top_logprobs: members.read("top_logprobs")?,
        service_tier: word(members, "service_tier")?,
        cache_key: word(members, "prompt_cache_key")?,
        user,
        ..Params::default()
    };
    if let Some(value) = members.take("reasoning") {
        let reasoning = source.read::<ReasoningIn<'a>>(value)?;
        let summary = reasoning.summary.or(reasoning.generate_summary);
        params.reasoning_effort = reasoning.effort.map(Text::into_string);
        params.reasoning_summary = summary.map(Text::into_string);
        if has_others(source, value, &["effort", "summary", "generate_summary"])? {
            extra.push(("reasoning".to_owned(), source.keep(value)?));
        }
    }
    if let Some(value) = members.take("text") {
        let text = source.read::<TextIn<'a>>(value)?;
        params.verbosity = text.verbosity.map(Text::into_string);
        let mut whole = has_others(source, value, &["format", "verbosity"])?;
        if let Some(format) = text.format {
            params.response_format = read_format(source, format)?;
            let parts = ["type", "name", "schema", "strict"];
            whole |= params.response_format.is_none() || has_others(source, format, &parts)?;
        }
        if whole {
            extra.push(("text".to_owned(), source.keep(value)?));
        }
    }
    if let Some(value) = members.take("include") {
        let include = source.read::<Vec<Text<'a>>>(value)?;
        params.logprobs = include.iter().any(|it| it.as_str() == LOGPROBS).then_some(true);
        extra.push(("include".to_owned(), source.keep(value)?));
    }
    if let Some(value) = members.take("store") {
        source.read::<bool>(value)?;
        extra.push(("store".to_owned(), source.keep(value)?));
    }
    Ok(params)
}

/// How `include` asks for log probabilities.
const LOGPROBS: &str = "message.output_text.logprobs";
/// How `include` asks for the state of thoughts.
const ENCRYPTED: &str = "reasoning.encrypted_content";

fn word(members: &mut Members<'_>, name: &str) -> Result<Option<String>, ReadError> {
    Ok(members.read::<Text<'_>>(name)?.map(Text::into_string))
}

/// Whether an object has members besides these that say anything.
fn has_others<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    known: &[&str],
) -> Result<bool, ReadError> {
    let members = source.members_of(value)?;
    let other = |name: &str, value: &RawValue| !known.contains(&name) && value.get() != "null";
    Ok(members.iter().any(|member| other(&member.name, member.value)))
}

#[derive(Deserialize)]
struct ReasoningIn<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
    /// The name before `summary`.
    #[serde(borrow)]
    generate_summary: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct TextIn<'a> {
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    #[serde(borrow)]
    verbosity: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct FormatIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

fn read_format<'a>(
    source: Source<'a>,
    value: &'a RawValue,
) -> Result<Option<ResponseFormat>, ReadError> {
    let format = source.read::<FormatIn<'a>>(value)?;
    Ok(match format.kind.as_str() {
        "text" => Some(ResponseFormat::Text),
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => {
            let missing = || source.wrong(value, "missing field `name`");
            let name = format.name.ok_or_else(missing)?.into_string();
            let schema = source.keep_any(format.schema)?.unwrap_or_else(|| raw("{}".into()));
            Some(ResponseFormat::JsonSchema { name, schema, strict: format.strict })
        }
        _ => None,
    })
}

/// Writes what is read above, and tells what this dialect has no word for.
pub(super) fn write(
    body: &mut Object<'_>,
    call: &ModelCall,
    own: bool,
    model: &str,
    dropped: &mut Vec<Dropped>,
) {
    let params = &call.params;
    let kept = |name: &str| own && call.extra.iter().any(|(given, _)| given == name);
    body.opt("max_output_tokens", params.max_tokens);
    body.opt("temperature", params.temperature);
    body.opt("top_p", params.top_p);
    if !kept("reasoning") {
        write_reasoning(body, params, dropped);
    }
    let format = params.response_format.as_ref();
    if !kept("text") && (format.is_some() || params.verbosity.is_some()) {
        body.object("text", |text| {
            if let Some(format) = format {
                text.object("format", |body| write_format(body, format));
            }
            text.opt_str("verbosity", params.verbosity.as_deref());
        });
    }
    body.opt("top_logprobs", params.top_logprobs);
    body.opt_str("service_tier", params.service_tier.as_deref());
    body.opt_str("prompt_cache_key", params.cache_key.as_deref());
    body.opt_str("user", params.user.as_deref());
    if !own {
        write_statelessness(body, params, model);
    }
    for (name, given) in [
        ("top_k", params.top_k.is_some()),
        ("stop", !params.stop.is_empty()),
        ("seed", params.seed.is_some()),
        ("frequency_penalty", params.frequency_penalty.is_some()),
        ("presence_penalty", params.presence_penalty.is_some()),
    ] {
        if given {
            dropped
                .push(Dropped { path: name.into(), reason: "OpenAI Responses has no such field" });
        }
    }
}

/// A client of another dialect brings the whole conversation each time: nothing is to be kept
/// there, and thoughts go on only with their state.
fn write_statelessness(body: &mut Object<'_>, params: &Params, model: &str) {
    body.value("store", false);
    // Models that do not think refuse to be asked for it.
    let thinks = thinks(model);
    let logprobs = params.logprobs == Some(true);
    if thinks || logprobs {
        body.array("include", |list| {
            if thinks {
                list.str(ENCRYPTED);
            }
            if logprobs {
                list.str(LOGPROBS);
            }
        });
    }
}

fn write_reasoning(body: &mut Object<'_>, params: &Params, dropped: &mut Vec<Dropped>) {
    let effort = params.reasoning_effort.as_deref();
    let effort = effort.or_else(|| params.thinking_budget.map(effort_of));
    let summary = params.reasoning_summary.as_deref().filter(|summary| *summary != "none");
    if effort.is_some() || summary.is_some() {
        body.object("reasoning", |reasoning| {
            reasoning.opt_str("effort", effort);
            reasoning.opt_str("summary", summary);
        });
    }
    if effort.is_none() && params.thinking == Some(false) {
        let reason = "OpenAI Responses cannot switch it off";
        dropped.push(Dropped { path: "thinking".into(), reason });
    }
}

fn write_format(body: &mut Object<'_>, format: &ResponseFormat) {
    match format {
        ResponseFormat::Text => body.str("type", "text"),
        ResponseFormat::JsonObject => body.str("type", "json_object"),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            body.str("type", "json_schema");
            body.str("name", name);
            body.raw("schema", schema.get());
            body.opt("strict", *strict);
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

/// Whether a model of this name thinks before it answers: `o1` and its like, and `gpt-5` and
/// later unless they are made for chat.
fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(['1', '3', '4']));
    let generation = name.strip_prefix("gpt-").and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse::<u32>().ok()
    });
    let recent = generation.is_some_and(|generation| generation >= 5) && !name.contains("chat");
    o_series || recent || name.starts_with("codex-") || name.starts_with("gpt-oss")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_models_that_think_are_asked_for_their_state() {
        for name in
            ["o3", "o4-mini", "gpt-5", "openai/gpt-5.1-codex", "gpt-10", "codex-mini-latest"]
        {
            assert!(thinks(name), "{name}");
        }
        for name in ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "omni", "llama-3", "gpt-"] {
            assert!(!thinks(name), "{name}");
        }
    }
}
