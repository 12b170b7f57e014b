//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ID, history};
use crate::ReadError;
use crate::json::{Members, Source, Text, Whole, texts};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "stream",
    "max_tokens",
    "temperature",
    "p",
    "k",
    "seed",
    "stop_sequences",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "response_format",
    "thinking",
];

type Extra = Vec<(String, Box<RawValue>)>;

pub(super) fn read(body: &Bytes) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let mut members = source.members()?;
    let name = members.need("model", "a string")?;
    let model = source.read::<Text<'_>>(name)?.into_string();
    let span = source.span(name.get());
    let messages = history::read(source, &mut members)?;
    let tools = read_tools(source, &mut members)?;
    let mut extra = Vec::new();
    let params = read_params(source, &mut members, &mut extra)?;
    let mut tool_choice = ToolChoice::Unset;
    if let Some(value) = members.take("tool_choice") {
        tool_choice = match source.read::<Text<'_>>(value)?.as_str() {
            "REQUIRED" => ToolChoice::Required,
            "NONE" => ToolChoice::None,
            _ => return Err(source.wrong(value, "expected `REQUIRED` or `NONE`")),
        };
    }
    let stream = members.read("stream")?.unwrap_or(false);
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        model,
        messages,
        tools,
        tool_choice,
        params,
        stream,
        stream_usage: true,
        extra,
        raw: Some(RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() }),
        ..ModelCall::default()
    })
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    token_budget: Option<Whole>,
}

#[derive(Deserialize)]
struct FormatIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<&'a RawValue>,
    /// As version 1 calls it.
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads sampling and limits; what has no place among them goes to `extra`.
fn read_params<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    extra: &mut Extra,
) -> Result<Params, ReadError> {
    let mut params = Params {
        max_tokens: members.read::<Whole>("max_tokens")?.map(|Whole(n)| n),
        temperature: members.read("temperature")?,
        top_p: members.read("p")?,
        top_k: members.read::<Whole>("k")?.map(|Whole(n)| n),
        seed: members.read("seed")?,
        frequency_penalty: members.read("frequency_penalty")?,
        presence_penalty: members.read("presence_penalty")?,
        logprobs: members.read("logprobs")?,
        ..Params::default()
    };
    if let Some(stops) = members.take("stop_sequences") {
        params.stop = texts(source, stops)?;
    }
    if let Some(value) = members.take("thinking") {
        let thinking = source.read::<Thinking<'a>>(value)?;
        match (thinking.kind.as_str(), thinking.token_budget) {
            ("enabled", Some(Whole(budget))) => params.thinking_budget = Some(budget),
            ("enabled", None) => params.thinking = Some(true),
            ("disabled", _) => params.thinking = Some(false),
            _ => extra.push(("thinking".to_owned(), source.keep(value)?)),
        }
    }
    if let Some(value) = members.take("response_format") {
        let format = source.read::<FormatIn<'a>>(value)?;
        params.response_format = match (format.kind.as_str(), format.json_schema.or(format.schema))
        {
            ("text", _) => Some(ResponseFormat::Text),
            ("json_object", None) => Some(ResponseFormat::JsonObject),
            ("json_object", Some(schema)) => Some(ResponseFormat::JsonSchema {
                name: "answer".to_owned(),
                schema: source.keep(schema)?,
                strict: Some(true),
            }),
            _ => return Err(source.wrong(value, "expected a `type` of `text` or `json_object`")),
        };
    }
    Ok(params)
}

#[derive(Deserialize)]
struct ToolIn<'a> {
    #[serde(borrow)]
    function: FunctionIn<'a>,
}

#[derive(Deserialize)]
struct FunctionIn<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

fn read_tools<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<Vec<ToolDef>, ReadError> {
    let tools = members.read::<Vec<ToolIn<'a>>>("tools")?.unwrap_or_default();
    let read = |tool: ToolIn<'a>| {
        Ok(ToolDef {
            name: tool.function.name.into_string(),
            description: tool.function.description.map(Text::into_string),
            schema: source.keep_any(tool.function.parameters)?,
            strict: None,
            cache_control: None,
            opaque: None,
            custom: false,
            hidden: false,
        })
    };
    tools.into_iter().map(read).collect()
}
