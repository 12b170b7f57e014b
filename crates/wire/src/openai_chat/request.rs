//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use super::history::{self, QuickMessage};
use crate::ReadError;
use crate::json::{Members, Quick, Source, Text, Way, Whole, raw, texts};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "user",
    "stream",
    "stream_options",
    "functions",
    "function_call",
    "n",
];

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
    for legacy in ["functions", "function_call"] {
        if members.take(legacy).is_some() {
            return Err(ReadError::field(legacy, "no longer supported, use `tools`"));
        }
    }
    let name = members.need("model", "a string")?;
    let model = source.read::<Text<'_>>(name)?.into_string();
    let span = source.span(name.get());
    let messages = history::read(source, &mut members, messages)?;
    let (mut extra, tool_choice) = (Vec::new(), read_tool_choice(source, &mut members)?);
    let tools = read_tools(source, &mut members, tools)?;
    let stream = members.read("stream")?.unwrap_or(false);
    let options = members.read::<StreamOptions>("stream_options")?;
    let params = read_params(source, &mut members, &mut extra)?;
    if let ToolChoiceIn::Subset(raw, _) = &tool_choice {
        extra.push(("tool_choice".to_owned(), source.keep(raw)?));
    }
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        model,
        messages,
        tools,
        tool_choice: tool_choice.into_choice(),
        params,
        stream,
        stream_usage: options.and_then(|options| options.include_usage).unwrap_or(false),
        ask_usage: false,
        extra,
        raw: Some(RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() }),
        ..ModelCall::default()
    })
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Reads sampling and limits; what has no place among them goes to `extra`.
fn read_params<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    extra: &mut Vec<(String, Box<RawValue>)>,
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
    Ok(Params {
        max_tokens: long.or(short).map(|Whole(n)| n),
        temperature: members.read("temperature")?,
        top_p: members.read("top_p")?,
        top_k: members.read::<Whole>("top_k")?.map(|Whole(n)| n),
        stop: stop.unwrap_or_default(),
        seed: members.read("seed")?,
        parallel_tools: members.read("parallel_tool_calls")?,
        response_format,
        reasoning_effort: members.read::<Text<'_>>("reasoning_effort")?.map(Text::into_string),
        thinking_budget: None,
        user: members.read::<Text<'_>>("user")?.map(Text::into_string),
        ..Params::default()
    })
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

#[derive(Deserialize)]
struct ToolIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<FunctionIn<'a>>,
    #[serde(borrow)]
    custom: Option<NamedIn<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct FunctionIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct NamedIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
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
    if matches!(kind.as_str(), "function" | "") {
        let missing = || way.wrong(source, "missing field `function`");
        let function = tool.function.ok_or_else(missing)?;
        return Ok(ToolDef {
            name: function.name.into_string(),
            description: function.description.map(Text::into_string),
            schema: source.keep_any(function.parameters)?,
            strict: function.strict,
            cache_control: source.keep_any(tool.cache_control)?,
            opaque: None,
            custom: false,
            hidden: false,
        });
    }
    Ok(ToolDef {
        custom: tool.custom.is_some(),
        name: tool.custom.map_or(kind, |custom| custom.name).into_string(),
        description: None,
        schema: None,
        strict: None,
        cache_control: None,
        opaque: Some(source.keep(way.piece()?)?),
        hidden: false,
    })
}

enum ToolChoiceIn<'a> {
    Plain(ToolChoice),
    /// `allowed_tools`: the choice among some of the tools.
    Subset(&'a RawValue, ToolChoice),
}

impl ToolChoiceIn<'_> {
    fn into_choice(self) -> ToolChoice {
        match self {
            Self::Plain(choice) | Self::Subset(_, choice) => choice,
        }
    }
}

#[derive(Deserialize)]
struct ChoiceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<NamedIn<'a>>,
    #[serde(borrow)]
    custom: Option<NamedIn<'a>>,
    #[serde(borrow)]
    allowed_tools: Option<AllowedIn<'a>>,
}

#[derive(Deserialize)]
struct AllowedIn<'a> {
    #[serde(borrow)]
    mode: Option<Text<'a>>,
}

fn read_tool_choice<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<ToolChoiceIn<'a>, ReadError> {
    let Some(value) = members.take("tool_choice") else {
        return Ok(ToolChoiceIn::Plain(ToolChoice::Unset));
    };
    if value.get().starts_with('"') {
        return match source.read::<Text<'a>>(value)?.as_str() {
            "none" => Ok(ToolChoiceIn::Plain(ToolChoice::None)),
            "auto" => Ok(ToolChoiceIn::Plain(ToolChoice::Auto)),
            "required" | "any" => Ok(ToolChoiceIn::Plain(ToolChoice::Required)),
            _ => Err(source.wrong(value, "expected `none`, `auto`, `required` or an object")),
        };
    }
    let choice = source.read::<ChoiceIn<'a>>(value)?;
    match (choice.kind.as_str(), choice.function.or(choice.custom)) {
        ("function" | "custom", Some(NamedIn { name })) => {
            Ok(ToolChoiceIn::Plain(ToolChoice::Tool(name.into_string())))
        }
        ("allowed_tools", _) => {
            let mode = choice.allowed_tools.and_then(|allowed| allowed.mode).unwrap_or_default();
            let required = mode.as_str() == "required";
            let choice = if required { ToolChoice::Required } else { ToolChoice::Auto };
            Ok(ToolChoiceIn::Subset(value, choice))
        }
        _ => Err(source.wrong(value, "expected a tool choice of type `function`")),
    }
}
