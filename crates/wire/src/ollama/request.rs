//! A client's request into the common form.

use bytes::{Bytes, BytesMut};
use doorward_core::{ModelCall, Params, RawCall, ResponseFormat, ToolChoice, ToolDef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ID, history};
use crate::ReadError;
use crate::emit;
use crate::json::{Member, Members, Source, Text, Whole, raw, texts};

/// Every field the common form knows.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "tools",
    "stream",
    "format",
    "options",
    "think",
    "logprobs",
    "top_logprobs",
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
    let mut params = Params::default();
    let mut extra = Vec::new();
    read_params(source, &mut members, &mut params)?;
    read_options(source, &mut members, &mut params, &mut extra)?;
    let stream = members.read("stream")?.unwrap_or(true);
    extra.extend(members.rest(KNOWN)?);
    Ok(ModelCall {
        model,
        messages,
        tools,
        tool_choice: ToolChoice::Unset,
        params,
        stream,
        stream_usage: true,
        extra,
        raw: Some(RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() }),
        ..ModelCall::default()
    })
}

fn read_params<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
) -> Result<(), ReadError> {
    params.logprobs = members.read("logprobs")?;
    params.top_logprobs = read_u32(members.read::<Whole>("top_logprobs")?);
    if let Some(value) = members.take("think") {
        if value.get().starts_with('"') {
            params.reasoning_effort = Some(source.read::<Text<'a>>(value)?.into_string());
        } else {
            params.thinking = Some(source.read(value)?);
        }
    }
    let Some(value) = members.take("format") else { return Ok(()) };
    params.response_format = match value.get() {
        r#""""# => None,
        r#""json""# => Some(ResponseFormat::JsonObject),
        text if text.starts_with('{') => Some(ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: source.keep(value)?,
            strict: Some(true),
        }),
        _ => return Err(source.wrong(value, "expected `json` or a schema")),
    };
    Ok(())
}

fn read_u32(whole: Option<Whole>) -> Option<u32> {
    whole.and_then(|Whole(n)| u32::try_from(n).ok())
}

/// Reads the options that the common form knows; the others stay together in `extra`.
fn read_options<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
    params: &mut Params,
    extra: &mut Extra,
) -> Result<(), ReadError> {
    let Some(value) = members.take("options") else { return Ok(()) };
    // Refused where it nests too deep to be read later.
    source.keep(value)?;
    let inner = Source::new(value.get().as_bytes())?;
    let within = |error: ReadError| match error {
        ReadError::Field { path, problem } if path.is_empty() => {
            ReadError::field("options", problem)
        }
        ReadError::Field { path, problem } => ReadError::field(format!("options.{path}"), problem),
        error => error,
    };
    let options = inner.members().map_err(within)?;
    let mut rest = Vec::<&Member<'_>>::new();
    for option in options.iter().filter(|option| option.value.get() != "null") {
        let number = || inner.read::<f64>(option.value).map_err(within);
        match &*option.name {
            // Below zero: until the model ends, or the context does.
            "num_predict" if !option.value.get().starts_with('-') => {
                params.max_tokens = Some(inner.read::<Whole>(option.value).map_err(within)?.0);
            }
            "temperature" => params.temperature = Some(number()?),
            "top_p" => params.top_p = Some(number()?),
            "top_k" => params.top_k = Some(inner.read::<Whole>(option.value).map_err(within)?.0),
            "seed" => params.seed = Some(inner.read(option.value).map_err(within)?),
            "frequency_penalty" => params.frequency_penalty = Some(number()?),
            "presence_penalty" => params.presence_penalty = Some(number()?),
            "stop" => params.stop = texts(inner, option.value).map_err(within)?,
            _ => rest.push(option),
        }
    }
    if !rest.is_empty() {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            for option in rest {
                body.raw(&option.name, option.value.get());
            }
        });
        extra.push(("options".to_owned(), raw(String::from_utf8_lossy(&out).into_owned())));
    }
    Ok(())
}

#[derive(Deserialize)]
struct ToolIn<'a> {
    #[serde(borrow)]
    function: Option<FunctionIn<'a>>,
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
    let tools = members.read::<Vec<&'a RawValue>>("tools")?.unwrap_or_default();
    let read = |value| {
        let tool = source.read::<ToolIn<'a>>(value)?;
        let function =
            tool.function.ok_or_else(|| source.wrong(value, "missing field `function`"))?;
        Ok(ToolDef {
            name: function.name.into_string(),
            description: function.description.map(Text::into_string),
            schema: source.keep_any(function.parameters)?,
            strict: None,
            cache_control: None,
            opaque: None,
            custom: false,
            hidden: false,
        })
    };
    tools.into_iter().map(read).collect()
}
