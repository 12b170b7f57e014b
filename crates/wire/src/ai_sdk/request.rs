//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{
    Body, Message, ModelCall, Params, Preferences, RawCall, ResponseFormat, Sort, ToolChoice,
    ToolDef,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ID, options, prompt};
use crate::json::{Members, Source, Text, Whole, texts};
use crate::{ReadError, custom};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "prompt",
    "maxOutputTokens",
    "temperature",
    "stopSequences",
    "topP",
    "topK",
    "presencePenalty",
    "frequencyPenalty",
    "responseFormat",
    "seed",
    "tools",
    "toolChoice",
    "reasoning",
    "providerOptions",
    "includeRawChunks",
    "headers",
];

pub(super) fn read(body: &Bytes, model: &str, stream: bool) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let mut members = source.members()?;
    let prompt = members.need("prompt", "an array of messages")?;
    let mut messages = prompt::read(source, prompt)?;
    let tools = members.read::<Vec<&RawValue>>("tools")?.unwrap_or_default();
    let tools: Vec<ToolDef> =
        tools.into_iter().map(|item| tool(source, item)).collect::<Result<_, _>>()?;
    free_calls(&mut messages, &tools);
    let tool_choice = choice(source, &mut members)?;
    // For the provider's HTTP request, and for who reads raw chunks: neither exists here.
    members.take("headers");
    members.take("includeRawChunks");
    let mut params = params(source, &mut members)?;
    let mut preferences = Preferences::default();
    let mut extra = Vec::new();
    if let Some(given) = members.take("providerOptions")
        && let Some(left) = options::call_options(source, given, &mut preferences, &mut params)?
    {
        extra.push(("providerOptions".to_owned(), left));
    }
    let mut name = model;
    for (variant, sort) in [(":nitro", Sort::Throughput), (":floor", Sort::Price)] {
        if let Some(plain) = model.strip_suffix(variant).filter(|plain| !plain.is_empty()) {
            name = plain;
            preferences.sort = Some(sort);
            break;
        }
    }
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        model: name.to_owned(),
        messages,
        tools,
        tool_choice,
        params,
        stream,
        stream_usage: true,
        extra,
        raw: Some(RawCall { dialect: ID, model: 0..0, body: body.clone(), headers: Vec::new() }),
        preferences,
        ..ModelCall::default()
    })
}

/// Calls of free-form tools carry their text as a JSON string.
fn free_calls(messages: &mut [Message], tools: &[ToolDef]) {
    let is_free = |name: &str| tools.iter().any(|tool| tool.custom && tool.name == name);
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Body::ToolUse(call) = &mut part.body
            && is_free(&call.name)
        {
            call.arguments = custom::wrapped(&custom::unwrapped(&call.arguments));
            call.custom = true;
        }
    }
}

fn params<'a>(source: Source<'a>, members: &mut Members<'a>) -> Result<Params, ReadError> {
    let whole = |members: &mut Members<'a>, name: &str| {
        Ok::<_, ReadError>(members.read::<Whole>(name)?.map(|Whole(n)| n))
    };
    let stop = members.take("stopSequences").map(|value| texts(source, value)).transpose()?;
    let effort = members.read::<Text<'_>>("reasoning")?.map(Text::into_string);
    Ok(Params {
        max_tokens: whole(members, "maxOutputTokens")?,
        temperature: members.read("temperature")?,
        top_p: members.read("topP")?,
        top_k: whole(members, "topK")?,
        stop: stop.unwrap_or_default(),
        seed: members.read("seed")?,
        presence_penalty: members.read("presencePenalty")?,
        frequency_penalty: members.read("frequencyPenalty")?,
        response_format: format(source, members)?,
        reasoning_effort: effort.filter(|effort| effort != "provider-default"),
        ..Params::default()
    })
}

#[derive(Deserialize)]
struct FormatIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

fn format<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Option<ResponseFormat>, ReadError> {
    let Some(value) = members.take("responseFormat") else { return Ok(None) };
    let format = source.read::<FormatIn<'a>>(value)?;
    match (format.kind.as_str(), format.schema) {
        ("text", _) => Ok(Some(ResponseFormat::Text)),
        ("json", None) => Ok(Some(ResponseFormat::JsonObject)),
        ("json", Some(schema)) => Ok(Some(ResponseFormat::JsonSchema {
            name: format.name.map_or_else(|| "response".to_owned(), Text::into_string),
            schema: source.keep(schema)?,
            strict: None,
        })),
        _ => Err(source.wrong(value, "expected a `type` of `text` or `json`")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    input_examples: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    provider_options: Option<&'a RawValue>,
}

/// What `openai.custom` is given.
#[derive(Deserialize, Default)]
struct CustomArgs<'a> {
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<GrammarIn<'a>>,
}

#[derive(Deserialize)]
struct GrammarIn<'a> {
    #[serde(borrow)]
    syntax: Option<Text<'a>>,
    #[serde(borrow)]
    definition: Option<Text<'a>>,
}

fn tool<'a>(source: Source<'a>, item: &'a RawValue) -> Result<ToolDef, ReadError> {
    let tool = source.read::<ToolIn<'a>>(item)?;
    let mark = options::read(tool.provider_options).cache_control();
    let mut def = ToolDef {
        name: tool.name.into_string(),
        description: tool.description.map(Text::into_string),
        schema: source.keep_any(tool.input_schema)?,
        strict: tool.strict,
        cache_control: source.keep_any(mark)?,
        opaque: None,
        custom: false,
        hidden: false,
    };
    if tool.kind.as_str() == "function" {
        if let Some(examples) = tool.input_examples.filter(|it| it.get() != "[]") {
            // No other dialect has a field for them; the description says the same.
            let before = def.description.take().map(|text| text + "\n\n").unwrap_or_default();
            def.description = Some(format!("{before}Examples: {}", examples.get()));
        }
        return Ok(def);
    }
    if !matches!(tool.kind.as_str(), "provider" | "provider-defined") {
        return Err(source.wrong(item, "expected a `type` of `function` or `provider`"));
    }
    def.opaque = Some(source.keep(item)?);
    if tool.id.is_some_and(|id| id.as_str() == "openai.custom") {
        let args = tool.args.map(|args| source.read::<CustomArgs<'a>>(args)).transpose()?;
        let args = args.unwrap_or_default();
        let (syntax, definition) =
            args.format.map(|format| (format.syntax, format.definition)).unzip();
        let (syntax, definition) = (syntax.flatten(), definition.flatten());
        def.description = custom::description(
            args.description.as_ref().map(Text::as_str),
            syntax.as_ref().map(Text::as_str),
            definition.as_ref().map(Text::as_str),
        );
        def.schema = Some(custom::schema());
        def.custom = true;
    }
    Ok(def)
}

#[derive(Deserialize)]
struct ChoiceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, rename = "toolName")]
    name: Option<Text<'a>>,
}

fn choice<'a>(source: Source<'a>, members: &mut Members<'a>) -> Result<ToolChoice, ReadError> {
    let Some(value) = members.take("toolChoice") else { return Ok(ToolChoice::Unset) };
    let choice = source.read::<ChoiceIn<'a>>(value)?;
    match (choice.kind.as_str(), choice.name) {
        ("auto", _) => Ok(ToolChoice::Auto),
        ("none", _) => Ok(ToolChoice::None),
        ("required", _) => Ok(ToolChoice::Required),
        ("tool", Some(name)) => Ok(ToolChoice::Tool(name.into_string())),
        _ => Err(source.wrong(value, "expected a `type` of `auto`, `none`, `required` or `tool`")),
    }
}
