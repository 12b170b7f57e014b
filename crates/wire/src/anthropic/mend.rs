//! What lies deeper in a Messages request and differs from provider to provider.

use doorward_core::{Body, ModelCall, Part, ResponseFormat};
use serde_json::value::RawValue;

use super::ID;
use crate::json::{Members, Text};
use crate::quirks::ids::{ShortIds, fits};
use crate::quirks::mend::{Mend, mend_schema};
use crate::splice::quoted;
use crate::{Quirks, ReadError};

/// Before state that Doorward tagged.
const TAG: &str = "doorward.";

/// A citation that Doorward wrote: Anthropic would miss its own index in it.
const FOREIGN_CITATION: &str = r#""encrypted_index":"""#;

/// Whether any of the quirks here, or another issuer's state, concerns this call.
pub(super) fn touches(call: &ModelCall, body: Option<&[u8]>, quirks: &Quirks) -> bool {
    let id = |id: &str| quirks.tool_id_length.is_some_and(|length| !fits(id, length));
    let part = |part: &Part| match &part.body {
        Body::ToolUse(call) => id(&call.id) || body.is_some() && call.state.is_some(),
        Body::ToolResult(result) => id(&result.id),
        Body::Reasoning(thought) if body.is_some() => {
            thought.issuer.is_some_and(|issuer| issuer != ID)
                || thought.issuer.is_none() && !quirks.echo_reasoning
        }
        _ => false,
    };
    let schema = matches!(call.params.response_format, Some(ResponseFormat::JsonSchema { .. }));
    let schemas = quirks.no_strict || !quirks.schema_omit.is_empty();
    schemas && (schema || !call.tools.is_empty())
        || call.messages.iter().any(|message| message.parts.iter().any(part))
        || body
            .is_some_and(|body| memchr::memmem::find(body, FOREIGN_CITATION.as_bytes()).is_some())
}

pub(super) fn mend(
    mend: &mut Mend<'_, '_>,
    call: &ModelCall,
    quirks: &Quirks,
) -> Result<(), ReadError> {
    let members = mend.members;
    if let Some(messages) = members.find("messages") {
        self::messages(mend, messages.value, call, quirks)?;
    }
    if quirks.no_strict || !quirks.schema_omit.is_empty() {
        schemas(mend, quirks)?;
    }
    Ok(())
}

fn schemas(mend: &mut Mend<'_, '_>, quirks: &Quirks) -> Result<(), ReadError> {
    let source = mend.source;
    if let Some(tools) = mend.members.find("tools") {
        for (nth, tool) in source.read::<Vec<&RawValue>>(tools.value)?.into_iter().enumerate() {
            let members = source.members_of(tool)?;
            let path = format!("tools[{nth}]");
            if let Some(strict) = members.find("strict").filter(|_| quirks.no_strict) {
                mend.edits.remove_members(source, &members, |member| member.name == "strict");
                if strict.value.get() == "true" {
                    mend.report(format!("{path}.strict"), "this upstream refuses it");
                }
            }
            if let Some(schema) = members.find("input_schema") {
                mend_schema(mend, schema.value, &path, quirks);
            }
        }
    }
    let inner = |value: &RawValue| value.get().starts_with('{');
    if let Some(config) = mend.members.find("output_config").filter(|it| inner(it.value))
        && let Some(format) = source.members_of(config.value)?.find("format")
        && inner(format.value)
        && let Some(schema) = source.members_of(format.value)?.find("schema")
    {
        mend_schema(mend, schema.value, "output_config.format", quirks);
    }
    Ok(())
}

fn messages<'a>(
    mend: &mut Mend<'a, '_>,
    value: &'a RawValue,
    call: &ModelCall,
    quirks: &Quirks,
) -> Result<(), ReadError> {
    let source = mend.source;
    let items = source.read::<Vec<&'a RawValue>>(value)?;
    // System text stands apart here.
    let before = call.messages.len().saturating_sub(items.len());
    let mut ids = quirks.tool_id_length.map(ShortIds::new);
    let mut empty = vec![false; items.len()];
    for (at, item) in items.iter().enumerate() {
        let members = source.members_of(item)?;
        let content = members.find("content").filter(|it| it.value.get().starts_with('['));
        let Some(content) = content else { continue };
        let blocks = source.read::<Vec<&'a RawValue>>(content.value)?;
        let mut gone = vec![false; blocks.len()];
        for (nth, block) in blocks.iter().enumerate() {
            let members = source.members_of(block)?;
            let kind = members.find("type").map(|kind| source.read::<Text<'a>>(kind.value));
            match kind.transpose()?.unwrap_or_default().as_str() {
                "thinking" | "redacted_thinking" => {
                    gone[nth] = is_foreign(mend, &members, quirks)?;
                }
                "tool_use" => shorten(mend, &members, "id", ids.as_mut())?,
                "tool_result" => shorten(mend, &members, "tool_use_id", ids.as_mut())?,
                "text" => mend.edits.remove_members(source, &members, |member| {
                    member.name == "citations" && member.value.get().contains(FOREIGN_CITATION)
                }),
                _ => {}
            }
            if gone[nth] {
                let path = format!("messages[{}].parts[{nth}]", at + before);
                mend.report(path, "reasoning of another issuer");
            }
        }
        empty[at] = !gone.is_empty() && gone.iter().all(|gone| *gone);
        if !empty[at] {
            mend.edits.remove_items(source, &blocks, &gone);
        }
    }
    mend.edits.remove_items(source, &items, &empty);
    Ok(())
}

/// Whether a thought is not Anthropic's own. One without a signature comes from a provider that
/// wants it back as it is, or from none that could.
fn is_foreign(
    mend: &Mend<'_, '_>,
    members: &Members<'_>,
    quirks: &Quirks,
) -> Result<bool, ReadError> {
    let state = members.find("signature").or(members.find("data"));
    let state = state.filter(|state| state.value.get() != "null");
    let state = state.map(|state| mend.source.read::<Text<'_>>(state.value)).transpose()?;
    let state = state.unwrap_or_default();
    Ok(state.as_str().starts_with(TAG) || state.as_str().is_empty() && !quirks.echo_reasoning)
}

fn shorten<'a>(
    mend: &mut Mend<'a, '_>,
    members: &Members<'a>,
    field: &str,
    ids: Option<&mut ShortIds<'a>>,
) -> Result<(), ReadError> {
    if let (Some(member), Some(ids)) = (members.find(field), ids) {
        let Text(id) = mend.source.read::<Text<'a>>(member.value)?;
        if let Some(short) = ids.short(id) {
            mend.edits.replace(mend.source.span(member.value.get()), quoted(&short));
        }
    }
    Ok(())
}
