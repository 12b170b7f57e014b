//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use super::history::{self, QuickMessage};
use crate::json::{Members, Quick, Source, Text, Way, Whole, texts};
use crate::{ReadError, preferences};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
];

type Extra = Vec<(String, Box<RawValue>)>;

pub(super) fn read(body: &Bytes) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let quick = source.quick::<Vec<QuickMessage<'_>>, Vec<ToolIn<'_>>>(["messages", "tools"]);
    if let Some(Quick { members, first: Some(messages), second: tools }) = quick {
        let quick = (messages, tools.unwrap_or_default());
        if let Ok(call) = read_with(source, members, Some(quick), body) {
            return Ok(call);
        }
    }
    read_with(source, source.members()?, None, body)
}

type QuickParts<'a> = (Vec<QuickMessage<'a>>, Vec<ToolIn<'a>>);

fn read_with<'a>(
    source: Source<'a>,
    mut members: Members<'a>,
    quick: Option<QuickParts<'a>>,
    body: &Bytes,
) -> Result<ModelCall, ReadError> {
    let (messages, tools) = quick.unzip();
    let name = members.need("model", "a string")?;
    let mut model = source.read::<Text<'_>>(name)?.into_string();
    let span = source.span(name.get());
    let preferences = preferences::read(source, &members, &mut model)?;
    let messages = history::read(source, &mut members, messages)?;
    let tools = read_tools(source, &mut members, tools)?;
    let mut params = Params::default();
    let mut extra = Vec::new();
    let tool_choice = read_tool_choice(source, &mut members, &mut params)?;
    let stream = members.read("stream")?.unwrap_or(false);
    read_params(source, &mut members, &mut params, &mut extra)?;
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        model,
        messages,
        tools,
        tool_choice,
        params,
        stream,
        stream_usage: true,
        ask_usage: false,
        extra,
        raw: Some(RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() }),
        preferences,
        ..ModelCall::default()
    })
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    budget_tokens: Option<Whole>,
    #[serde(borrow)]
    display: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads sampling and limits; what has no place among them goes to `extra`.
fn read_params<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    params.max_tokens = members.read::<Whole>("max_tokens")?.map(|Whole(n)| n);
    params.temperature = members.read("temperature")?;
    params.top_p = members.read("top_p")?;
    params.top_k = members.read::<Whole>("top_k")?.map(|Whole(n)| n);
    if let Some(stops) = members.take("stop_sequences") {
        params.stop = texts(source, stops)?;
    }
    if let Some(metadata) = members.read::<Metadata<'_>>("metadata")? {
        params.user = metadata.user_id.map(Text::into_string);
    }
    if let Some(value) = members.take("thinking") {
        let thinking = source.read::<Thinking<'a>>(value)?;
        let budget = thinking.budget_tokens.map(|Whole(budget)| budget);
        let mut known = true;
        match (thinking.kind.as_str(), budget) {
            ("enabled", Some(_)) => params.thinking_budget = budget,
            ("adaptive", None) => params.thinking = Some(true),
            ("disabled", None) => params.thinking = Some(false),
            // A way to think that came after this was written.
            _ => known = false,
        }
        match thinking.display.as_ref().map(Text::as_str) {
            None => {}
            Some("summarized") => params.reasoning_summary = Some("auto".to_owned()),
            Some("omitted") => params.reasoning_summary = Some("none".to_owned()),
            Some(_) => known = false,
        }
        if !known {
            (params.thinking_budget, params.thinking) = (None, None);
            params.reasoning_summary = None;
            extra.push(("thinking".to_owned(), source.keep(value)?));
        }
    }
    match members.read::<Text<'_>>("service_tier")?.map(Text::into_string) {
        Some(tier) if tier == "standard_only" => params.service_tier = Some("default".to_owned()),
        tier => params.service_tier = tier,
    }
    if let Some(value) = members.take("output_config") {
        let config = source.read::<OutputConfig<'a>>(value)?;
        params.reasoning_effort = config.effort.map(Text::into_string);
        match config.format.map(|format| (format.kind, format.schema)) {
            Some((kind, Some(schema))) if kind.as_str() == "json_schema" => {
                params.response_format = Some(ResponseFormat::JsonSchema {
                    name: "answer".to_owned(),
                    schema: source.keep(schema)?,
                    strict: Some(true),
                });
            }
            Some(_) => return Err(source.wrong(value, "expected a `format` of type `json_schema`")),
            None => {}
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct ChoiceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    disable_parallel_tool_use: Option<bool>,
}

fn read_tool_choice<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
) -> Result<ToolChoice, ReadError> {
    let Some(value) = members.take("tool_choice") else { return Ok(ToolChoice::Unset) };
    let choice = source.read::<ChoiceIn<'a>>(value)?;
    params.parallel_tools = choice.disable_parallel_tool_use.map(|disabled| !disabled);
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => Ok(ToolChoice::Auto),
        ("any", _) => Ok(ToolChoice::Required),
        ("none", _) => Ok(ToolChoice::None),
        ("tool", Some(name)) => Ok(ToolChoice::Tool(name.into_string())),
        _ => Err(source.wrong(value, "expected a `type` of `auto`, `any`, `none` or `tool`")),
    }
}

#[derive(Deserialize)]
struct ToolIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

fn read_tools<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    quick: Option<Vec<ToolIn<'a>>>,
) -> Result<Vec<ToolDef>, ReadError> {
    if let Some(quick) = quick {
        return quick.into_iter().map(|tool| read_tool(source, tool, Way::Quick)).collect();
    }
    let tools = members.read::<Vec<&'a RawValue>>("tools")?.unwrap_or_default();
    let read = |value| read_tool(source, source.read(value)?, Way::Careful(value));
    tools.into_iter().map(read).collect()
}

fn read_tool<'a>(source: Source<'a>, tool: ToolIn<'a>, way: Way<'a>) -> Result<ToolDef, ReadError> {
    let kind = tool.kind.unwrap_or_default();
    let is_plain = matches!(kind.as_str(), "" | "custom");
    let name = match tool.name {
        Some(name) => name,
        None if is_plain => return Err(way.wrong(source, "missing field `name`")),
        None => kind,
    };
    let opaque = if is_plain { None } else { Some(source.keep(way.piece()?)?) };
    Ok(ToolDef {
        name: name.into_string(),
        description: tool.description.map(Text::into_string),
        schema: source.keep_any(tool.input_schema)?,
        strict: tool.strict,
        cache_control: source.keep_any(tool.cache_control)?,
        opaque,
        custom: false,
        hidden: false,
    })
}
