//! Sampling, limits and the shape of the answer: `generationConfig`, in both directions.

use std::collections::BTreeSet;

use doorward_core::{Params, ResponseFormat};
use serde_json::value::RawValue;

use super::model::Traits;
use super::schema;
use super::section::{Extra, Section};
use crate::emit::Object;
use crate::json::Text;
use crate::{Dropped, ReadError};

/// Before the paths of members that only Gemini knows.
const CONFIG: &str = "generationConfig";

/// Reads the configuration; what has no place in the common form goes to `extra`.
pub(super) fn read(top: &mut Section<'_>, extra: &mut Extra) -> Result<Params, ReadError> {
    let tier = top.read::<Text<'_>>("serviceTier")?;
    let mut params = Params {
        service_tier: tier.map(|tier| match tier.as_str().to_ascii_lowercase() {
            standard if standard == "standard" => "default".to_owned(),
            other => other,
        }),
        ..Params::default()
    };
    let Some(value) = top.take(CONFIG)? else { return Ok(params) };
    let source = top.source;
    let mut config = Section::open(source, value, CONFIG)?;
    params.max_tokens = config.number("maxOutputTokens")?;
    params.temperature = config.number("temperature")?;
    params.top_p = config.number("topP")?;
    params.top_k = config.number("topK")?;
    params.seed = config.number("seed")?;
    params.choices = config.number("candidateCount")?;
    params.presence_penalty = config.number("presencePenalty")?;
    params.frequency_penalty = config.number("frequencyPenalty")?;
    params.logprobs = config.read("responseLogprobs")?;
    params.top_logprobs = config.number("logprobs")?;
    let stops = config.read::<Vec<Text<'_>>>("stopSequences")?.unwrap_or_default();
    params.stop = stops.into_iter().map(Text::into_string).collect();
    read_format(&mut config, &mut params, extra)?;
    read_thinking(&mut config, &mut params, extra)?;
    config.rest(KNOWN, extra)?;
    Ok(params)
}

const KNOWN: &[&str] = &[
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "candidateCount",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
];

fn read_format<'a>(
    config: &mut Section<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    let source = config.source;
    let mime = config.take("responseMimeType")?;
    let kind = mime.map(|mime| source.read::<Text<'a>>(mime)).transpose()?.unwrap_or_default();
    let openapi = config.take("responseSchema")?;
    let schema = match (config.take("responseJsonSchema")?, openapi) {
        (Some(_), Some(openapi)) => {
            return Err(source.wrong(openapi, "not together with `responseJsonSchema`"));
        }
        (Some(schema), None) => Some(source.keep(schema)?),
        (None, Some(openapi)) => Some(schema::from_openapi(source.keep(openapi)?)),
        (None, None) => None,
    };
    params.response_format = match (kind.as_str(), schema) {
        ("application/json", Some(schema)) => {
            Some(ResponseFormat::JsonSchema { name: "answer".to_owned(), schema, strict: None })
        }
        ("application/json", None) => Some(ResponseFormat::JsonObject),
        ("text/plain", None) => Some(ResponseFormat::Text),
        // `text/x.enum`, and what is to come.
        (_, schema) => {
            let kept = mime.map(|mime| source.keep(mime)).transpose()?;
            extra.extend(kept.map(|mime| (format!("{CONFIG}.responseMimeType"), mime)));
            extra.extend(schema.map(|schema| (format!("{CONFIG}.responseJsonSchema"), schema)));
            None
        }
    };
    Ok(())
}

fn read_thinking<'a>(
    config: &mut Section<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    let Some(value) = config.take("thinkingConfig")? else { return Ok(()) };
    let mut thinking = Section::open(config.source, value, "generationConfig.thinkingConfig")?;
    match thinking.number::<i64>("thinkingBudget")? {
        Some(0) => params.thinking = Some(false),
        // As much as the model likes.
        Some(-1) => params.thinking = Some(true),
        Some(budget) => {
            let wrong = || config.source.wrong(value, "expected a budget of -1 or more");
            params.thinking_budget = Some(u64::try_from(budget).map_err(|_| wrong())?);
        }
        None => {}
    }
    let level = thinking.read::<Text<'a>>("thinkingLevel")?.unwrap_or_default();
    params.reasoning_effort = match level.as_str() {
        "" | "THINKING_LEVEL_UNSPECIFIED" => None,
        level => Some(level.to_ascii_lowercase()),
    };
    let shown = thinking.read::<bool>("includeThoughts")?;
    params.reasoning_summary = shown.map(|shown| if shown { "auto" } else { "none" }.to_owned());
    thinking.rest(&["thinkingBudget", "thinkingLevel", "includeThoughts"], extra)
}

/// What decides how the configuration is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'m> {
    /// Whether the call came in this dialect.
    pub(super) own: bool,
    pub(super) traits: Traits,
    /// Keywords of JSON Schema to leave out.
    pub(super) schema_omit: &'m [String],
}

/// The most stop texts that Gemini takes.
const MOST_STOPS: usize = 5;

/// Writes the members of the configuration, those in `extra` too.
pub(super) fn write(
    config: &mut Object<'_>,
    params: &Params,
    extra: &Extra,
    manner: Manner<'_>,
    dropped: &mut Vec<Dropped>,
) {
    let mut drop = |path: &str, reason| dropped.push(Dropped { path: path.to_owned(), reason });
    config.opt("maxOutputTokens", params.max_tokens);
    config.opt("temperature", params.temperature);
    config.opt("topP", params.top_p);
    config.opt("topK", params.top_k);
    match params.seed.map(i32::try_from) {
        Some(Ok(seed)) => config.value("seed", seed),
        Some(Err(_)) => drop("seed", "Gemini's seeds have 32 bits"),
        None => {}
    }
    if params.stop.len() > MOST_STOPS {
        drop("stop[5..]", "Gemini takes five at most");
    }
    if !params.stop.is_empty() {
        config.array("stopSequences", |list| {
            params.stop.iter().take(MOST_STOPS).for_each(|text| list.str(text));
        });
    }
    config.opt("candidateCount", params.choices);
    config.opt("presencePenalty", params.presence_penalty);
    config.opt("frequencyPenalty", params.frequency_penalty);
    config.opt("responseLogprobs", params.logprobs.or(params.top_logprobs.map(|_| true)));
    config.opt("logprobs", params.top_logprobs);
    write_format(config, params, manner, dropped);
    write_thinking(config, params, extra, manner, dropped);
    if manner.own {
        for (name, value) in members(extra, CONFIG) {
            config.raw(name, value.get());
        }
    }
}

/// Whether any of it is to be written.
pub(super) fn is_needed(params: &Params, extra: &Extra, own: bool) -> bool {
    let params = Params { user: None, verbosity: None, cache_key: None, ..params.clone() };
    let params = Params { service_tier: None, parallel_tools: None, ..params };
    let prefix = "generationConfig.";
    let nothing = format!("{params:?}") == format!("{:?}", Params::default());
    !nothing || own && extra.iter().any(|(path, _)| path.starts_with(prefix))
}

/// The members kept under a path, without those of objects below it.
pub(super) fn members<'e>(
    extra: &'e Extra,
    path: &'e str,
) -> impl Iterator<Item = (&'e str, &'e RawValue)> {
    extra.iter().filter_map(move |(name, value)| {
        let member = name.strip_prefix(path)?.strip_prefix('.')?;
        (!member.contains('.')).then_some((member, &**value))
    })
}

fn write_format(
    config: &mut Object<'_>,
    params: &Params,
    manner: Manner<'_>,
    dropped: &mut Vec<Dropped>,
) {
    match &params.response_format {
        Some(ResponseFormat::Text) if manner.own => config.str("responseMimeType", "text/plain"),
        Some(ResponseFormat::Text) | None => {}
        Some(ResponseFormat::JsonObject) => config.str("responseMimeType", "application/json"),
        // Gemini holds to every schema, so `strict` needs no word.
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            let mut gone = BTreeSet::new();
            let schema = schema::for_google(schema.get(), manner.schema_omit, &mut gone);
            config.str("responseMimeType", "application/json");
            config.raw("responseJsonSchema", &schema);
            report_gone(&gone, "response_format", dropped);
        }
    }
}

/// Tells which keywords of a schema were left out.
pub(super) fn report_gone(gone: &BTreeSet<String>, at: &str, dropped: &mut Vec<Dropped>) {
    for keyword in gone {
        let path = format!("{at}.schema.{keyword}");
        dropped.push(Dropped { path, reason: "this upstream refuses the keyword" });
    }
}

/// How much to think.
#[derive(Debug, PartialEq, Eq)]
enum Thinking {
    Budget(i64),
    Level(String),
}

fn write_thinking(
    config: &mut Object<'_>,
    params: &Params,
    extra: &Extra,
    manner: Manner<'_>,
    dropped: &mut Vec<Dropped>,
) {
    let amount = if manner.own { own_amount(params) } else { amount(params, manner.traits) };
    if !manner.own && !manner.traits.thinks {
        if !matches!(amount, None | Some(Thinking::Budget(0))) {
            let (path, reason) = ("thinking".to_owned(), "this model does not think");
            dropped.push(Dropped { path, reason });
        }
        return;
    }
    if params.thinking == Some(false) && amount != Some(Thinking::Budget(0)) && !manner.own {
        let (path, reason) = ("thinking".to_owned(), "this model cannot be told not to think");
        dropped.push(Dropped { path, reason });
    }
    let wants = params.thinking_budget.is_some() || params.thinking == Some(true);
    let shown = match params.reasoning_summary.as_deref() {
        Some(summary) => Some(summary != "none"),
        None => (wants && !manner.own).then_some(true),
    };
    let path = "generationConfig.thinkingConfig";
    let kept = manner.own && members(extra, path).next().is_some();
    if amount.is_none() && shown.is_none() && !kept {
        return;
    }
    config.object("thinkingConfig", |thinking| {
        thinking.opt("includeThoughts", shown);
        match &amount {
            Some(Thinking::Budget(budget)) => thinking.value("thinkingBudget", budget),
            Some(Thinking::Level(level)) => thinking.str("thinkingLevel", level),
            None => {}
        }
        for (name, value) in members(extra, path).filter(|_| manner.own) {
            thinking.raw(name, value.get());
        }
    });
}

/// What the client of this dialect said, in its own words.
fn own_amount(params: &Params) -> Option<Thinking> {
    if let Some(level) = &params.reasoning_effort {
        return Some(Thinking::Level(level.clone()));
    }
    let said = match params.thinking {
        Some(true) => Some(-1),
        Some(false) => Some(0),
        None => None,
    };
    let budget = params.thinking_budget.and_then(|budget| i64::try_from(budget).ok());
    budget.or(said).map(Thinking::Budget)
}

/// What another dialect's words mean to this model: a level from generation 3 on, a budget
/// before (<https://ai.google.dev/gemini-api/docs/openai>, "Thinking").
fn amount(params: &Params, traits: Traits) -> Option<Thinking> {
    let off = params.thinking == Some(false);
    let effort = if off { Some("none") } else { params.reasoning_effort.as_deref() };
    if traits.third {
        let level = match (effort, params.thinking_budget) {
            (Some("none" | "minimal"), _) => traits.least_level,
            (Some("low"), _) | (None, Some(..=2048)) => "low",
            (Some("medium"), _) | (None, Some(2049..=8192)) if traits.medium => "medium",
            (Some(_), _) | (None, Some(_)) => "high",
            (None, None) => return None,
        };
        return Some(Thinking::Level(level.to_owned()));
    }
    let wanted = match (effort, params.thinking_budget) {
        (Some("none"), _) => 0,
        (_, Some(budget)) => budget,
        (Some("minimal" | "low"), None) => 1024,
        (Some("medium"), None) => 8192,
        (Some("high"), None) => 24_576,
        (Some(_), None) => u64::MAX,
        (None, None) => return (params.thinking == Some(true)).then_some(Thinking::Budget(-1)),
    };
    let (least, most) = traits.budget;
    i64::try_from(wanted.clamp(least, most)).ok().map(Thinking::Budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_a_budget_before_generation_3_and_a_level_after() {
        let effort = |effort: &str| Params {
            reasoning_effort: Some(effort.to_owned()),
            ..Params::default()
        };
        let budget = |budget| Params { thinking_budget: Some(budget), ..Params::default() };
        let level = |level: &str| Some(Thinking::Level(level.to_owned()));
        let off = Params { thinking: Some(false), ..Params::default() };
        for (model, params, expected) in [
            ("gemini-2.5-flash", effort("none"), Some(Thinking::Budget(0))),
            ("gemini-2.5-pro", effort("none"), Some(Thinking::Budget(128))),
            ("gemini-2.5-flash", off.clone(), Some(Thinking::Budget(0))),
            ("gemini-2.5-flash", effort("low"), Some(Thinking::Budget(1024))),
            ("gemini-2.5-flash", effort("high"), Some(Thinking::Budget(24_576))),
            ("gemini-2.5-pro", effort("xhigh"), Some(Thinking::Budget(32_768))),
            ("gemini-2.5-flash", budget(100_000), Some(Thinking::Budget(24_576))),
            ("gemini-2.5-flash", Params::default(), None),
            ("gemini-3-pro-preview", effort("none"), level("low")),
            ("gemini-3-pro-preview", effort("medium"), level("high")),
            ("gemini-3-flash-preview", off, level("minimal")),
            ("gemini-3-flash-preview", effort("medium"), level("medium")),
            ("gemini-3-flash-preview", budget(2048), level("low")),
            ("gemini-3-flash-preview", budget(30_000), level("high")),
            ("gemini-3-flash-preview", Params::default(), None),
        ] {
            assert_eq!(amount(&params, Traits::of(model)), expected, "{model} {params:?}");
        }
    }
}
