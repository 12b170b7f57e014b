//! A client's request into the common form.

use std::borrow::Cow;

use bytes::Bytes;
use doorward_core::{ModelCall, RawCall, ToolChoice, ToolDef};
use serde_json::value::RawValue;

use super::history::{self, QuickContent};
use super::section::{Extra, Section, list};
use super::{ID, model, params, schema};
use crate::ReadError;
use crate::json::{Members, Quick, Source, Text, raw};

/// Every field the common form knows, in both spellings.
const KNOWN: &[&str] = &[
    "contents",
    "tools",
    "model",
    "systemInstruction",
    "system_instruction",
    "toolConfig",
    "tool_config",
    "generationConfig",
    "generation_config",
    "safetySettings",
    "safety_settings",
    "cachedContent",
    "cached_content",
    "serviceTier",
    "service_tier",
];

pub(super) fn read(body: &Bytes) -> Result<ModelCall, ReadError> {
    read_body(body, true)
}

/// `outer`: the request may wrap another.
fn read_body(body: &Bytes, outer: bool) -> Result<ModelCall, ReadError> {
    let source = Source::new(body)?;
    let quick = source.quick::<Vec<QuickContent<'_>>, &RawValue>(["contents", "tools"]);
    if let Some(Quick { members, first: Some(contents), second: tools }) = quick
        && let Ok(call) = read_with(source, members, Some((contents, tools)), body)
    {
        return Ok(call);
    }
    let members = source.members()?;
    match wrapped(&members).filter(|_| outer) {
        Some(inner) => read_body(&body.slice(source.span(inner.get())), false),
        None => read_with(source, members, None, body),
    }
}

/// The request that a request of `countTokens` wraps.
fn wrapped<'a>(members: &Members<'a>) -> Option<&'a RawValue> {
    if members.find("contents").is_some() {
        return None;
    }
    let camel = members.find("generateContentRequest");
    let inner = camel.or_else(|| members.find("generate_content_request"))?.value;
    inner.get().starts_with('{').then_some(inner)
}

type QuickParts<'a> = (Vec<QuickContent<'a>>, Option<&'a RawValue>);

fn read_with<'a>(
    source: Source<'a>,
    members: Members<'a>,
    quick: Option<QuickParts<'a>>,
    body: &Bytes,
) -> Result<ModelCall, ReadError> {
    let mut top = Section::whole(source, members);
    let (contents, quick_tools) = quick.unzip();
    let (name, span) = match top.take("model")? {
        Some(value) => {
            let name = source.read::<Text<'_>>(value)?;
            (model::bare(name.as_str()).to_owned(), source.span(value.get()))
        }
        None => (String::new(), 0..0),
    };
    let messages = history::read(&mut top, contents)?;
    let mut extra = Extra::new();
    let tools = match quick_tools {
        Some(tools) => tools.filter(|value| value.get() != "null"),
        None => top.take("tools")?,
    };
    let tools = tools.map(|value| read_tools(source, value, &mut extra)).transpose()?;
    let tool_choice = read_choice(&mut top, &mut extra)?;
    let params = params::read(&mut top, &mut extra)?;
    top.rest(KNOWN, &mut extra)?;
    Ok(ModelCall {
        model: name,
        messages,
        tools: tools.unwrap_or_default(),
        tool_choice,
        params,
        stream_usage: true,
        extra,
        raw: Some(RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() }),
        ..ModelCall::default()
    })
}

/// One declared tool, in the order in which [`ModelCall::tools`] has them.
pub(super) struct Entry<'a> {
    /// Which item of `tools` it stands in.
    pub(super) item: usize,
    pub(super) kind: EntryKind<'a>,
}

pub(super) enum EntryKind<'a> {
    /// One of `functionDeclarations`.
    Function(&'a RawValue),
    /// A tool that the provider runs, by its name.
    Hosted(String, &'a RawValue),
}

/// The tools that `tools` declares.
pub(super) fn entries<'a>(
    source: Source<'a>,
    tools: &'a RawValue,
) -> Result<Vec<Entry<'a>>, ReadError> {
    let mut entries = Vec::new();
    for (item, value) in list(source, tools)?.into_iter().enumerate() {
        let section = Section::open(source, value, format!("tools[{item}]"))?;
        for (name, value) in section.iter() {
            if name == "functionDeclarations" {
                if value.get() == "null" {
                    continue;
                }
                let kind = |value| Entry { item, kind: EntryKind::Function(value) };
                entries.extend(list(source, value)?.into_iter().map(kind));
            } else {
                entries.push(Entry { item, kind: EntryKind::Hosted(name.into_owned(), value) });
            }
        }
    }
    Ok(entries)
}

fn read_tools<'a>(
    source: Source<'a>,
    tools: &'a RawValue,
    extra: &mut Extra,
) -> Result<Vec<ToolDef>, ReadError> {
    let read = |entry: Entry<'a>| match entry.kind {
        EntryKind::Function(value) => read_function(source, value, extra),
        EntryKind::Hosted(name, value) => {
            let whole = format!(r#"{{"{name}":{}}}"#, source.keep(value)?.get());
            Ok(ToolDef { opaque: Some(raw(whole)), ..tool(name) })
        }
    };
    entries(source, tools)?.into_iter().map(read).collect()
}

fn tool(name: String) -> ToolDef {
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

fn read_function<'a>(
    source: Source<'a>,
    value: &'a RawValue,
    extra: &mut Extra,
) -> Result<ToolDef, ReadError> {
    let mut section = Section::open(source, value, String::new())?;
    let missing = || source.wrong(value, "missing field `name`");
    let name = section.read::<Text<'a>>("name")?.ok_or_else(missing)?.into_string();
    let description = section.read::<Text<'a>>("description")?.map(Text::into_string);
    let openapi = section.take("parameters")?;
    let schema = match (section.take("parametersJsonSchema")?, openapi) {
        (Some(_), Some(openapi)) => {
            return Err(source.wrong(openapi, "not together with `parametersJsonSchema`"));
        }
        (Some(schema), None) => Some(source.keep(schema)?),
        (None, Some(openapi)) => Some(schema::from_openapi(source.keep(openapi)?)),
        (None, None) => None,
    };
    let mut rest = Extra::new();
    section.rest(&["name", "description", "parameters", "parametersJsonSchema"], &mut rest)?;
    for (member, value) in rest {
        extra.push((tool_path(&name, &member), value));
    }
    Ok(ToolDef { description, schema, ..tool(name) })
}

/// Where a declaration's member that only Gemini knows is kept.
pub(super) fn tool_path(name: &str, member: &str) -> String {
    format!("tools.{name}.{member}")
}

/// Where the mode of calling is kept if the common form cannot say it.
pub(super) const CALLING: &str = "toolConfig.functionCallingConfig";

fn read_choice<'a>(top: &mut Section<'a>, extra: &mut Extra) -> Result<ToolChoice, ReadError> {
    let source = top.source;
    let Some(value) = top.take("toolConfig")? else { return Ok(ToolChoice::Unset) };
    let mut config = Section::open(source, value, "toolConfig")?;
    let calling = config.take("functionCallingConfig")?;
    config.rest(&["functionCallingConfig"], extra)?;
    let Some(value) = calling else { return Ok(ToolChoice::Unset) };
    let mut calling = Section::open(source, value, CALLING)?;
    let mode = calling.read::<Text<'a>>("mode")?.unwrap_or_default();
    let names = calling.read::<Vec<Text<'a>>>("allowedFunctionNames")?.unwrap_or_default();
    let others = calling.iter().any(|(name, _)| !matches!(&*name, "mode" | "allowedFunctionNames"));
    let mode = mode.as_str().to_ascii_uppercase();
    let (choice, whole) = match (mode.as_str(), names.as_slice()) {
        ("" | "MODE_UNSPECIFIED", _) => (ToolChoice::Unset, names.is_empty()),
        ("AUTO", names) => (ToolChoice::Auto, names.is_empty()),
        ("NONE", _) => (ToolChoice::None, true),
        ("ANY", []) => (ToolChoice::Required, true),
        ("ANY", [name]) => (ToolChoice::Tool(name.as_str().to_owned()), true),
        ("ANY", _) => (ToolChoice::Required, false),
        ("VALIDATED", _) => (ToolChoice::Auto, false),
        _ => {
            let expected = "expected a `mode` of `AUTO`, `ANY`, `NONE` or `VALIDATED`";
            return Err(source.wrong(value, Cow::Borrowed(expected)));
        }
    };
    if !whole || others {
        extra.push((CALLING.to_owned(), source.keep(value)?));
    }
    Ok(choice)
}
