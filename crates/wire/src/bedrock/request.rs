//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use super::history::{self, CachePoint};
use crate::ReadError;
use crate::emit;
use crate::json::{Member, Members, Source, Text, Whole, raw};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "serviceTier",
    "outputConfig",
    "additionalModelRequestFields",
];

type Extra = Vec<(String, Box<RawValue>)>;

/// Reads a body. The model stands in the address.
pub(super) fn read(body: &Bytes) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let mut members = source.members()?;
    let messages = history::read(source, &mut members)?;
    let mut params = Params::default();
    let mut extra = Vec::new();
    let (tools, tool_choice) = read_tools(source, &mut members)?;
    read_inference(&mut members, &mut params)?;
    read_output(source, &mut members, &mut params, &mut extra)?;
    read_additional(source, &mut members, &mut params, &mut extra)?;
    if let Some(tier) = members.read::<Typed<'_>>("serviceTier")? {
        params.service_tier = Some(tier.kind.into_string());
    }
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        messages,
        tools,
        tool_choice,
        params,
        stream_usage: true,
        extra,
        raw: Some(RawCall { dialect: ID, model: 0..0, body: body.clone(), headers: Vec::new() }),
        ..ModelCall::default()
    })
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    max_tokens: Option<Whole>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(borrow)]
    stop_sequences: Option<Vec<Text<'a>>>,
}

fn read_inference(members: &mut Members<'_>, params: &mut Params) -> Result<(), ReadError> {
    let Some(config) = members.read::<Inference<'_>>("inferenceConfig")? else { return Ok(()) };
    params.max_tokens = config.max_tokens.map(|Whole(n)| n);
    params.temperature = config.temperature;
    params.top_p = config.top_p;
    params.stop =
        config.stop_sequences.unwrap_or_default().into_iter().map(Text::into_string).collect();
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(borrow)]
    text_format: Option<TextFormat<'a>>,
}

#[derive(Deserialize)]
struct TextFormat<'a> {
    #[serde(borrow)]
    structure: Option<Structure<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

fn read_output<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    let Some(value) = members.take("outputConfig") else { return Ok(()) };
    let schema = source.read::<OutputConfig<'a>>(value)?.text_format;
    let schema = schema.and_then(|format| format.structure).and_then(|it| it.json_schema);
    let Some(JsonSchema { schema, name }) = schema else {
        extra.push(("outputConfig".to_owned(), source.keep(value)?));
        return Ok(());
    };
    let inner = Source::new(schema.as_str().as_bytes())?;
    let read = inner.whole::<&RawValue>().and_then(|schema| inner.keep(schema));
    let Ok(schema) = read else {
        return Err(source.wrong(value, "expected a schema that is JSON in a string"));
    };
    let name = name.map_or_else(|| "answer".to_owned(), Text::into_string);
    params.response_format = Some(ResponseFormat::JsonSchema { name, schema, strict: Some(true) });
    Ok(())
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    budget_tokens: Option<Whole>,
}

/// Reads what models take beside the common fields; what is not known here stays together in
/// `extra`.
fn read_additional<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    const NAME: &str = "additionalModelRequestFields";
    let Some(value) = members.take(NAME) else { return Ok(()) };
    // Refused where it nests too deep to be read later.
    let kept = source.keep(value)?;
    if !kept.get().starts_with('{') {
        extra.push((NAME.to_owned(), kept));
        return Ok(());
    }
    let inner = Source::new(value.get().as_bytes())?;
    let within = |error: ReadError| match error {
        ReadError::Field { path, problem } if path.is_empty() => ReadError::field(NAME, problem),
        ReadError::Field { path, problem } => ReadError::field(format!("{NAME}.{path}"), problem),
        error => error,
    };
    let fields = inner.members().map_err(within)?;
    let mut rest = Vec::<&Member<'_>>::new();
    for field in fields.iter() {
        match &*field.name {
            "top_k" => {
                params.top_k = Some(inner.read::<Whole>(field.value).map_err(within)?.0);
            }
            "reasoning_effort" => {
                let effort = inner.read::<Text<'_>>(field.value).map_err(within)?;
                params.reasoning_effort = Some(effort.into_string());
            }
            "thinking" | "reasoning_config" => {
                let thinking = inner.read::<Thinking<'_>>(field.value).map_err(within)?;
                match (thinking.kind.as_str(), thinking.budget_tokens) {
                    ("enabled", Some(Whole(budget))) => params.thinking_budget = Some(budget),
                    ("disabled", _) => params.thinking = Some(false),
                    // Adaptive, with what belongs to it.
                    _ => {
                        params.thinking = Some(true);
                        rest.push(field);
                    }
                }
            }
            _ => rest.push(field),
        }
    }
    if !rest.is_empty() {
        let mut out = bytes::BytesMut::new();
        emit::object(&mut out, |body| {
            for field in rest {
                body.raw(&field.name, field.value.get());
            }
        });
        extra.push((NAME.to_owned(), raw(String::from_utf8_lossy(&out).into_owned())));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    #[serde(borrow, default)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolIn<'a> {
    #[serde(borrow)]
    tool_spec: Option<Spec<'a>>,
    #[serde(borrow)]
    system_tool: Option<Named<'a>>,
    #[serde(borrow)]
    cache_point: Option<CachePoint<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<InputSchema<'a>>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct InputSchema<'a> {
    #[serde(borrow)]
    json: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    auto: Option<&'a RawValue>,
    #[serde(borrow)]
    any: Option<&'a RawValue>,
    #[serde(borrow)]
    tool: Option<Named<'a>>,
}

fn read_tools<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<(Vec<ToolDef>, ToolChoice), ReadError> {
    let Some(config) = members.read::<ToolConfig<'a>>("toolConfig")? else {
        return Ok((Vec::new(), ToolChoice::Unset));
    };
    let mut tools: Vec<ToolDef> = Vec::new();
    for value in config.tools {
        let tool = source.read::<ToolIn<'a>>(value)?;
        match (tool.tool_spec, tool.cache_point, tools.last_mut()) {
            (Some(spec), ..) => tools.push(read_spec(source, spec)?),
            (None, Some(point), Some(last)) => last.cache_control = Some(point.mark()),
            _ => {
                let name = tool.system_tool.map(|tool| tool.name.into_string());
                tools.push(ToolDef {
                    opaque: Some(source.keep(value)?),
                    ..blank(name.unwrap_or_default())
                });
            }
        }
    }
    let Some(value) = config.tool_choice else { return Ok((tools, ToolChoice::Unset)) };
    let choice = source.read::<Choice<'a>>(value)?;
    let choice = match (choice.tool, choice.any, choice.auto) {
        (Some(tool), None, None) => ToolChoice::Tool(tool.name.into_string()),
        (None, Some(_), None) => ToolChoice::Required,
        (None, None, Some(_)) => ToolChoice::Auto,
        _ => return Err(source.wrong(value, "expected one of `auto`, `any` and `tool`")),
    };
    Ok((tools, choice))
}

fn blank(name: String) -> ToolDef {
    ToolDef {
        name,
        description: None,
        schema: None,
        strict: None,
        cache_control: None,
        opaque: None,
        custom: false,
        hidden: false,
    }
}

fn read_spec<'a>(source: Source<'a>, spec: Spec<'a>) -> Result<ToolDef, ReadError> {
    Ok(ToolDef {
        description: spec.description.map(Text::into_string),
        schema: source.keep_any(spec.input_schema.and_then(|schema| schema.json))?,
        strict: spec.strict,
        ..blank(spec.name.into_string())
    })
}
