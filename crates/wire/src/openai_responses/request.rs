//! A client's request into the common form.

use bytes::Bytes;
use doorward_core::{ModelCall, RawCall, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::items::{self, QuickInput};
use super::{ID, choice, params};
use crate::json::{Members, Quick, Source, Text};
use crate::{ReadError, custom, preferences};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "max_output_tokens",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "user",
    "safety_identifier",
    "service_tier",
    "top_logprobs",
    "prompt_cache_key",
    "include",
    "store",
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "stream",
    "stream_options",
    "metadata",
    "truncation",
    "max_tool_calls",
];

/// Tools are read one by one: hosted ones stand beside functions in most requests.
type Tools<'a> = Vec<&'a RawValue>;

pub(super) fn read(body: &Bytes) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let quick = source.quick::<QuickInput<'_>, Tools<'_>>(["input", "tools"]);
    if let Some(Quick { members, first: Some(input), second: tools }) = quick {
        let quick = (input, tools.unwrap_or_default());
        if let Ok(call) = read_with(source, members, Some(quick), body) {
            return Ok(call);
        }
    }
    read_with(source, source.members()?, None, body)
}

fn read_with<'a>(
    source: Source<'a>,
    mut members: Members<'a>,
    quick: Option<(QuickInput<'a>, Tools<'a>)>,
    body: &Bytes,
) -> Result<ModelCall, ReadError> {
    let (input, tools) = quick.unzip();
    refuse(&mut members)?;
    let name = members.need("model", "a string")?;
    let mut model = source.read::<Text<'_>>(name)?.into_string();
    let span = source.span(name.get());
    let preferences = preferences::read(source, &members, &mut model)?;
    let previous = members.read::<Text<'a>>("previous_response_id")?.map(Text::into_string);
    let may_lack = previous.is_some() || members.find("prompt").is_some();
    let messages = items::read(source, &mut members, input, may_lack)?;
    let mut extra = Vec::new();
    let (tool_choice, subset) = choice::read(source, &mut members)?;
    let tools = read_tools(source, &mut members, tools)?;
    let stream = members.read("stream")?.unwrap_or(false);
    let params = params::read(source, &mut members, &mut extra)?;
    if let Some(subset) = subset {
        extra.push(("tool_choice".to_owned(), source.keep(subset)?));
    }
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
        previous,
        preferences,
        ..ModelCall::default()
    })
}

/// Refuses what Doorward does not do.
fn refuse(members: &mut Members<'_>) -> Result<(), ReadError> {
    if members.read::<bool>("background")?.unwrap_or(false) {
        return Err(ReadError::field("background", "answers are not made in the background here"));
    }
    if members.take("conversation").is_some() {
        let problem = "conversations are not kept here, send the items or `previous_response_id`";
        return Err(ReadError::field("conversation", problem));
    }
    Ok(())
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
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow)]
    format: Option<FormatIn<'a>>,
}

/// The shape of a free-form tool's text.
#[derive(Deserialize)]
struct FormatIn<'a> {
    #[serde(borrow)]
    syntax: Option<Text<'a>>,
    #[serde(borrow)]
    definition: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct KindIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

fn read_tools<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    quick: Option<Tools<'a>>,
) -> Result<Vec<ToolDef>, ReadError> {
    let tools = match quick {
        Some(tools) => tools,
        None => members.read::<Tools<'a>>("tools")?.unwrap_or_default(),
    };
    tools.into_iter().map(|value| read_tool(source, value)).collect()
}

fn read_tool<'a>(source: Source<'a>, value: &'a RawValue) -> Result<ToolDef, ReadError> {
    let known = |kind: &str| matches!(kind, "" | "function" | "custom");
    let tool = match source.read::<ToolIn<'a>>(value) {
        Ok(tool) => tool,
        Err(error) => {
            // A hosted tool may have fields of the same names and other kinds.
            let kind = source.read::<KindIn<'a>>(value)?.kind.unwrap_or_default();
            if known(kind.as_str()) {
                return Err(error);
            }
            return hosted(source, value, kind);
        }
    };
    let kind = tool.kind.unwrap_or_default();
    if !known(kind.as_str()) {
        return hosted(source, value, tool.name.unwrap_or(kind));
    }
    let name = tool.name.ok_or_else(|| source.wrong(value, "missing field `name`"))?;
    let description = tool.description.as_ref().map(Text::as_str);
    if kind.as_str() == "custom" {
        let format = tool.format.as_ref();
        let description = custom::description(
            description,
            format.and_then(|format| format.syntax.as_ref()).map(Text::as_str),
            format.and_then(|format| format.definition.as_ref()).map(Text::as_str),
        );
        return Ok(ToolDef {
            name: name.into_string(),
            description,
            schema: Some(custom::schema()),
            strict: None,
            cache_control: None,
            opaque: Some(source.keep(value)?),
            custom: true,
            hidden: false,
        });
    }
    Ok(ToolDef {
        name: name.into_string(),
        description: description.map(str::to_owned),
        schema: source.keep_any(tool.parameters)?,
        strict: tool.strict,
        cache_control: None,
        opaque: None,
        custom: false,
        hidden: false,
    })
}

/// A tool that the provider runs, or that is made of others.
fn hosted<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    name: Text<'a>,
) -> Result<ToolDef, ReadError> {
    Ok(ToolDef {
        name: name.into_string(),
        description: None,
        schema: None,
        strict: None,
        cache_control: None,
        opaque: Some(source.keep(value)?),
        custom: false,
        hidden: false,
    })
}
