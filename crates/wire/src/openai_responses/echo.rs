//! What an answer repeats of its request: a `response` object tells how it was asked for.

use std::borrow::Cow;

use doorward_core::{Body, ModelCall, ResponseFormat, Role, ToolChoice, ToolDef};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::ID;
use crate::WriterOptions;
use crate::emit::Object;

/// The fields before and after the answer's own, with what they are where the request says
/// nothing. Some clients refuse an answer without them.
const BEFORE: [(&str, &str); 3] =
    [("instructions", "null"), ("max_output_tokens", "null"), ("max_tool_calls", "null")];
const AFTER: [(&str, &str); 18] = [
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt", "null"),
    ("prompt_cache_key", "null"),
    ("prompt_cache_retention", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", r#""auto""#),
    ("store", "true"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
    ("metadata", "{}"),
];

/// Writes the fields that stand before `output`.
pub(super) fn write_before(body: &mut Object<'_>, options: &WriterOptions) {
    write(body, options, &BEFORE, None);
}

/// Writes the fields that stand after it. `tier` is the one that served, where it is known.
pub(super) fn write_after(body: &mut Object<'_>, options: &WriterOptions, tier: Option<&str>) {
    write(body, options, &AFTER, tier);
}

fn write(
    body: &mut Object<'_>,
    options: &WriterOptions,
    fields: &[(&str, &str)],
    tier: Option<&str>,
) {
    for (name, usual) in fields {
        // The last one counts: the gateway may add what only it knows.
        let said = options.echo.iter().rev().find(|(echoed, _)| echoed == name);
        match (tier, said) {
            (Some(tier), _) if *name == "service_tier" => body.str(name, tier),
            (_, Some((_, value))) => body.raw(name, &one_line(value.get())),
            (_, None) => body.raw(name, usual),
        }
    }
}

/// The fields of a call that its answer repeats. `previous_response_id` is among them only while
/// the call has it: whoever put the earlier items in front adds it to [`WriterOptions::echo`].
pub(super) fn of(call: &ModelCall) -> Vec<(String, Box<RawValue>)> {
    let mut echo = Echo(Vec::with_capacity(16));
    let params = &call.params;
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    if let Some(first) = call.messages.first()
        && first.role == Role::System
        && let [part] = first.parts.as_slice()
        && let Body::Text(text) = &part.body
        && own.is_some_and(|raw| memchr::memmem::find(&raw.body, b"\"instructions\"").is_some())
    {
        echo.add("instructions", text);
    }
    echo.opt("max_output_tokens", params.max_tokens);
    echo.opt("parallel_tool_calls", params.parallel_tools);
    echo.opt("previous_response_id", call.previous.as_ref());
    echo.opt("prompt_cache_key", params.cache_key.as_ref());
    let reasoning = Reasoning {
        effort: params.reasoning_effort.as_deref(),
        summary: params.reasoning_summary.as_deref(),
    };
    echo.add("reasoning", &reasoning);
    echo.opt("service_tier", params.service_tier.as_ref());
    echo.opt("temperature", params.temperature);
    echo.opt("top_p", params.top_p);
    let format = Format(params.response_format.as_ref());
    echo.add("text", &Text { format, verbosity: params.verbosity.as_deref() });
    echo.add("tool_choice", &Choice(call));
    echo.add("tools", &Tools(&call.tools));
    echo.opt("top_logprobs", params.top_logprobs);
    echo.opt("user", params.user.as_ref());
    let known = |name: &str| BEFORE.iter().chain(&AFTER).any(|(known, _)| *known == name);
    for (name, value) in &call.extra {
        // What the common form says less of is here as it was written.
        if known(name) && value.get() != "null" {
            echo.0.push((name.clone(), value.clone()));
        }
    }
    echo.0
}

/// JSON text on one line, as an event's data must be. Within strings line ends are escaped.
pub(super) fn one_line(json: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.replace(['\n', '\r'], " "))
}

struct Echo(Vec<(String, Box<RawValue>)>);

impl Echo {
    fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        // Nothing here can fail to be JSON but a number that is none; the usual value stands then.
        if let Ok(value) = to_raw_value(value) {
            self.0.push((name.to_owned(), value));
        }
    }

    fn opt(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.add(name, &value);
        }
    }
}

#[derive(Serialize)]
struct Reasoning<'a> {
    effort: Option<&'a str>,
    summary: Option<&'a str>,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

struct Format<'a>(Option<&'a ResponseFormat>);

impl Serialize for Format<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            None | Some(ResponseFormat::Text) => map.serialize_entry("type", "text")?,
            Some(ResponseFormat::JsonObject) => map.serialize_entry("type", "json_object")?,
            Some(ResponseFormat::JsonSchema { name, schema, strict }) => {
                map.serialize_entry("type", "json_schema")?;
                map.serialize_entry("description", &None::<&str>)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("schema", schema)?;
                map.serialize_entry("strict", &strict.unwrap_or(false))?;
            }
        }
        map.end()
    }
}

struct Choice<'a>(&'a ModelCall);

impl Serialize for Choice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.tool_choice {
            ToolChoice::Unset | ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Tool(name) => {
                let custom = self.0.tools.iter().any(|tool| tool.custom && tool.name == *name);
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", if custom { "custom" } else { "function" })?;
                map.serialize_entry("name", name)?;
                map.end()
            }
        }
    }
}

struct Tools<'a>(&'a [ToolDef]);

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for tool in self.0 {
            match &tool.opaque {
                Some(raw) => list.serialize_element(raw)?,
                None => list.serialize_element(&Function {
                    kind: "function",
                    name: &tool.name,
                    description: tool.description.as_deref(),
                    parameters: tool.schema.as_deref(),
                    strict: tool.strict.unwrap_or(true),
                })?,
            }
        }
        list.end()
    }
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    parameters: Option<&'a RawValue>,
    strict: bool,
}
