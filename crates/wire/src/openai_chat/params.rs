//! Sampling and limits, in both directions.

use doorward_core::{Params, ResponseFormat};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ReadError;
use crate::emit::Object;
use crate::json::{Members, Source, Text, Whole, raw, texts};

type Extra = Vec<(String, Box<RawValue>)>;

/// Reads sampling and limits; what has no place among them goes to `extra`.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    extra: &mut Extra,
) -> Result<Params, ReadError> {
    let short = members.read::<Whole>("max_tokens")?;
    let long = members.read::<Whole>("max_completion_tokens")?;
    let stop = members.take("stop").map(|value| texts(source, value)).transpose()?;
    let mut response_format = None;
    if let Some(value) = members.take("response_format") {
        response_format = read_format(source, value)?;
        if response_format.is_none() {
            extra.push(("response_format".to_owned(), source.keep(value)?));
        }
    }
    let mut params = Params {
        max_tokens: long.or(short).map(|Whole(n)| n),
        temperature: members.read("temperature")?,
        top_p: members.read("top_p")?,
        top_k: members.read::<Whole>("top_k")?.map(|Whole(n)| n),
        stop: stop.unwrap_or_default(),
        seed: members.read("seed")?,
        parallel_tools: members.read("parallel_tool_calls")?,
        response_format,
        reasoning_effort: word(members, "reasoning_effort")?,
        user: word(members, "user")?,
        choices: few(members, "n")?,
        frequency_penalty: members.read("frequency_penalty")?,
        presence_penalty: members.read("presence_penalty")?,
        logprobs: members.read("logprobs")?,
        top_logprobs: few(members, "top_logprobs")?,
        service_tier: word(members, "service_tier")?,
        verbosity: word(members, "verbosity")?,
        cache_key: word(members, "prompt_cache_key")?,
        ..Params::default()
    };
    if let Some(value) = members.take("reasoning") {
        read_reasoning(source.read(value)?, &mut params);
    }
    Ok(params)
}

fn word(members: &mut Members<'_>, name: &str) -> Result<Option<String>, ReadError> {
    Ok(members.read::<Text<'_>>(name)?.map(Text::into_string))
}

fn few(members: &mut Members<'_>, name: &'static str) -> Result<Option<u32>, ReadError> {
    let Some(Whole(n)) = members.read::<Whole>(name)? else { return Ok(None) };
    u32::try_from(n).map(Some).map_err(|_| ReadError::field(name, "too large"))
}

/// `OpenRouter`'s `reasoning`.
#[derive(Deserialize)]
struct ReasoningIn<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    max_tokens: Option<Whole>,
    enabled: Option<bool>,
    exclude: Option<bool>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
}

fn read_reasoning(reasoning: ReasoningIn<'_>, params: &mut Params) {
    let effort = reasoning.effort.map(Text::into_string);
    params.reasoning_effort = effort.or(params.reasoning_effort.take());
    params.thinking_budget = reasoning.max_tokens.map(|Whole(n)| n);
    params.thinking = reasoning.enabled;
    params.reasoning_summary = match reasoning.exclude {
        Some(true) => Some("none".to_owned()),
        _ => reasoning.summary.map(Text::into_string),
    };
}

#[derive(Deserialize)]
struct FormatIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<SchemaIn<'a>>,
}

#[derive(Deserialize)]
struct SchemaIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

fn read_format<'a>(
    source: Source<'a>,
    value: &'a RawValue,
) -> Result<Option<ResponseFormat>, ReadError> {
    let format = source.read::<FormatIn<'a>>(value)?;
    Ok(match (format.kind.as_str(), format.json_schema) {
        ("text", _) => Some(ResponseFormat::Text),
        ("json_object", _) => Some(ResponseFormat::JsonObject),
        ("json_schema", Some(SchemaIn { name, schema, strict })) => {
            let schema = source.keep_any(schema)?.unwrap_or_else(|| raw("{}".into()));
            Some(ResponseFormat::JsonSchema { name: name.into_string(), schema, strict })
        }
        ("json_schema", None) => return Err(source.wrong(value, "missing field `json_schema`")),
        _ => None,
    })
}

pub(super) fn write_format(body: &mut Object<'_>, format: &ResponseFormat) {
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

/// The effort asked for, or the one nearest to a thinking budget: the inverse of Anthropic's side.
pub(super) fn effort_of(params: &Params) -> Option<&str> {
    if let Some(effort) = &params.reasoning_effort {
        return Some(effort);
    }
    match params.thinking_budget {
        Some(0..=2048) => Some("low"),
        Some(2049..=8192) => Some("medium"),
        Some(_) => Some("high"),
        // To think as it finds right is what such a model does unasked.
        None => None,
    }
}

/// Writes how to think, as `OpenRouter` does.
pub(super) fn write_reasoning(body: &mut Object<'_>, params: &Params) {
    body.object("reasoning", |reasoning| {
        match (params.thinking_budget, &params.reasoning_effort) {
            (Some(budget), _) => reasoning.value("max_tokens", budget),
            (None, effort) => reasoning.opt_str("effort", effort.as_deref()),
        }
        if params.thinking_budget.is_none() && params.reasoning_effort.is_none() {
            reasoning.opt("enabled", params.thinking);
        }
        match params.reasoning_summary.as_deref() {
            Some("none") => reasoning.value("exclude", true),
            summary => reasoning.opt_str("summary", summary),
        }
    });
}

/// Whether a model's name is one of `OpenAI`'s.
pub(super) fn is_openai(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(['1', '3', '4']));
    o_series
        || name.starts_with("gpt-") && !name.starts_with("gpt-oss")
        || name.starts_with("chatgpt")
}
