//! Whether and which tool must be called.

use std::borrow::Cow;

use doorward_core::{ModelCall, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ReadError;
use crate::emit::Object;
use crate::json::{Members, Source, Text};
use crate::splice::shown;

#[derive(Deserialize)]
struct ChoiceIn<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    mode: Option<Text<'a>>,
}

/// Reads the choice. Where the common form says less than the client, the choice as it is written
/// comes too: one among some of the tools (`allowed_tools`), or of a hosted tool.
pub(super) fn read<'a>(
    source: Source<'a>,
    members: &mut Members<'a>,
) -> Result<(ToolChoice, Option<&'a RawValue>), ReadError> {
    let Some(value) = members.take("tool_choice") else { return Ok((ToolChoice::Unset, None)) };
    if value.get().starts_with('"') {
        return match source.read::<Text<'a>>(value)?.as_str() {
            "none" => Ok((ToolChoice::None, None)),
            "auto" => Ok((ToolChoice::Auto, None)),
            "required" => Ok((ToolChoice::Required, None)),
            _ => Err(source.wrong(value, "expected `none`, `auto`, `required` or an object")),
        };
    }
    let choice = source.read::<ChoiceIn<'a>>(value)?;
    match (choice.kind.as_str(), choice.name) {
        ("function" | "custom", Some(name)) => Ok((ToolChoice::Tool(name.into_string()), None)),
        ("function" | "custom", None) => Err(source.wrong(value, "missing field `name`")),
        ("allowed_tools", _) => {
            let required = choice.mode.is_some_and(|mode| mode.as_str() == "required");
            let choice = if required { ToolChoice::Required } else { ToolChoice::Auto };
            Ok((choice, Some(value)))
        }
        // A hosted tool, or one of an MCP server: only the provider knows which it is.
        _ => Ok((ToolChoice::Auto, Some(value))),
    }
}

/// The choice as it was written, where the common form says less and no tool that it may name is
/// hidden.
pub(super) fn written(call: &ModelCall, own: bool) -> Option<&RawValue> {
    let hides = call.tools.iter().any(|tool| tool.hidden);
    let subset = call.extra.iter().find(|(name, _)| name == "tool_choice");
    subset.filter(|_| own && !hides).map(|(_, value)| &**value)
}

pub(super) fn write(body: &mut Object<'_>, call: &ModelCall) {
    match &call.tool_choice {
        ToolChoice::Unset => {}
        ToolChoice::Auto => body.str("tool_choice", "auto"),
        ToolChoice::None => body.str("tool_choice", "none"),
        ToolChoice::Required => body.str("tool_choice", "required"),
        ToolChoice::Tool(name) if !shown(call).contains(name.as_str()) => {
            body.str("tool_choice", "auto");
        }
        ToolChoice::Tool(name) => body.object("tool_choice", |choice| {
            let custom = call.tools.iter().any(|tool| tool.custom && tool.name == *name);
            choice.str("type", if custom { "custom" } else { "function" });
            choice.str("name", name);
        }),
    }
}

/// The choices that splices write.
pub(super) const AUTO: fn(&ModelCall) -> Cow<'static, str> = |_| Cow::Borrowed(r#""auto""#);
pub(super) const REQUIRED: fn(&ModelCall) -> Cow<'static, str> = |_| Cow::Borrowed(r#""required""#);
