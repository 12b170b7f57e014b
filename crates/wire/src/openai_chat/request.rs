//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, RawCall, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::history::{self, QuickMessage};
use super::{ID, params};
use crate::json::{Members, Quick, Source, Text, Way};
use crate::{ReadError, custom, preferences};

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
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "service_tier",
    "verbosity",
    "prompt_cache_key",
    "reasoning",
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
    let mut model = source.read::<Text<'_>>(name)?.into_string();
    let span = source.span(name.get());
    let preferences = preferences::read(source, &members, &mut model)?;
    let messages = history::read(source, &mut members, messages)?;
    let (mut extra, tool_choice) = (Vec::new(), read_tool_choice(source, &mut members)?);
    let tools = read_tools(source, &mut members, tools)?;
    let stream = members.read("stream")?.unwrap_or(false);
    let options = members.read::<StreamOptions>("stream_options")?;
    let params = params::read(source, &mut members, &mut extra)?;
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
        preferences,
        ..ModelCall::default()
    })
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ToolIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<FunctionIn<'a>>,
    #[serde(borrow)]
    custom: Option<CustomIn<'a>>,
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
struct CustomIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<ShapeIn<'a>>,
}

#[derive(Deserialize)]
struct ShapeIn<'a> {
    #[serde(borrow)]
    grammar: Option<GrammarIn<'a>>,
}

#[derive(Deserialize)]
struct GrammarIn<'a> {
    #[serde(borrow)]
    syntax: Option<Text<'a>>,
    #[serde(borrow)]
    definition: Option<Text<'a>>,
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
            ..plain()
        });
    }
    let opaque = Some(source.keep(way.piece()?)?);
    let Some(free) = tool.custom else {
        return Ok(ToolDef { name: kind.into_string(), opaque, ..plain() });
    };
    let text = |text: &Option<Text<'a>>| text.as_ref().map(|text| text.as_str().to_owned());
    let grammar = free.format.and_then(|format| format.grammar);
    let (syntax, definition) =
        grammar.map(|grammar| (text(&grammar.syntax), text(&grammar.definition))).unzip();
    let description = custom::description(
        free.description.as_ref().map(Text::as_str),
        syntax.flatten().as_deref(),
        definition.flatten().as_deref(),
    );
    let (name, schema) = (free.name.into_string(), Some(custom::schema()));
    Ok(ToolDef { name, description, schema, opaque, custom: true, ..plain() })
}

/// A tool of which nothing is known.
fn plain() -> ToolDef {
    ToolDef {
        name: String::new(),
        description: None,
        schema: None,
        strict: None,
        cache_control: None,
        opaque: None,
        custom: false,
        hidden: false,
    }
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
