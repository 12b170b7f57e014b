//! What lies deeper in a Responses request and differs from provider to provider.

use doorward_core::{Body, ModelCall, Role};
use serde_json::value::RawValue;

use crate::json::{Source, Text};
use crate::quirks::ids::{ShortIds, fits};
use crate::quirks::mend::{Mend, mend_schema};
use crate::splice::quoted;
use crate::{Quirks, ReadError};

/// Whether any of the quirks here concerns this call.
pub(super) fn touches(call: &ModelCall, quirks: &Quirks) -> bool {
    let schemas = quirks.no_strict || !quirks.schema_omit.is_empty();
    let long = |id: &str| quirks.tool_id_length.is_some_and(|length| !fits(id, length));
    let later = |at: usize, role: Role| at > 0 && matches!(role, Role::System | Role::Developer);
    schemas && (!call.tools.is_empty() || call.params.response_format.is_some())
        || call.messages.iter().enumerate().any(|(at, message)| {
            quirks.no_developer && message.role == Role::Developer
                || quirks.one_system && later(at, message.role)
                || message.parts.iter().any(|part| match &part.body {
                    Body::ToolUse(call) => long(&call.id),
                    Body::ToolResult(result) => long(&result.id),
                    _ => false,
                })
        })
}

pub(super) fn mend(mend: &mut Mend<'_, '_>, quirks: &Quirks) -> Result<(), ReadError> {
    let members = mend.members;
    if let Some(input) = members.find("input").filter(|it| it.value.get().starts_with('[')) {
        items(mend, input.value, quirks)?;
    }
    if quirks.no_strict || !quirks.schema_omit.is_empty() {
        schemas(mend, quirks)?;
    }
    Ok(())
}

/// Roles and ids of the input's items. Where only one system text is taken, `instructions` and
/// what stands at the front are it, and what comes later goes as the user's.
fn items<'a>(
    mend: &mut Mend<'a, '_>,
    input: &'a RawValue,
    quirks: &Quirks,
) -> Result<(), ReadError> {
    let source = mend.source;
    let (mut ids, mut ended) = (quirks.tool_id_length.map(ShortIds::new), false);
    for (at, item) in source.read::<Vec<&'a RawValue>>(input)?.into_iter().enumerate() {
        let members = source.members_of(item)?;
        let role = members.find("role").map(|role| role.value);
        match role.map(|role| source.read::<Text<'a>>(role)).transpose()?.as_ref() {
            Some(Text(word)) if matches!(&**word, "system" | "developer") => {
                let span = role.map_or(0..0, |role| source.span(role.get()));
                if quirks.one_system && ended {
                    mend.edits.replace(span, "\"user\"");
                    let reason = "system text after the first turn goes as the user's";
                    mend.report(format!("input[{at}].role"), reason);
                } else if quirks.no_developer && *word == "developer" {
                    mend.edits.replace(span, "\"system\"");
                }
            }
            _ => ended = true,
        }
        if let (Some(ids), Some(id)) = (&mut ids, members.find("call_id"))
            && id.value.get().starts_with('"')
            && let Some(short) = ids.short(source.read::<Text<'a>>(id.value)?.0)
        {
            mend.edits.replace(source.span(id.value.get()), quoted(&short));
        }
    }
    Ok(())
}

/// Strictness and keywords of the tools' schemas and the answer's.
fn schemas(mend: &mut Mend<'_, '_>, quirks: &Quirks) -> Result<(), ReadError> {
    let (source, members) = (mend.source, mend.members);
    if let Some(tools) = members.find("tools").filter(|it| it.value.get().starts_with('[')) {
        for (nth, tool) in source.read::<Vec<&RawValue>>(tools.value)?.into_iter().enumerate() {
            within(mend, tool, ("parameters", &format!("tools[{nth}]")), quirks)?;
        }
    }
    if let Some(text) = members.find("text").filter(|it| it.value.get().starts_with('{'))
        && let Some(format) = source.members_of(text.value)?.find("format")
        && format.value.get().starts_with('{')
    {
        within(mend, format.value, ("schema", "text.format"), quirks)?;
    }
    Ok(())
}

fn within<'a>(
    mend: &mut Mend<'a, '_>,
    value: &'a RawValue,
    (schema, path): (&str, &str),
    quirks: &Quirks,
) -> Result<(), ReadError> {
    let source: Source<'a> = mend.source;
    let members = source.members_of(value)?;
    if let Some(strict) = members.find("strict").filter(|_| quirks.no_strict) {
        mend.edits.remove_members(source, &members, |member| member.name == "strict");
        if strict.value.get() == "true" {
            mend.report(format!("{path}.strict"), "this upstream refuses it");
        }
    }
    if let Some(schema) = members.find(schema) {
        mend_schema(mend, schema.value, &format!("{path}.{}", schema.name), quirks);
    }
    Ok(())
}
