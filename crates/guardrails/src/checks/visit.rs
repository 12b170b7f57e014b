//! Every text of a model call, for checks to look at and change.

use doorward_core::{Body, Media, MediaSource, Message, ModelCall, Part, Role, ToolDef};

use super::scan::Stop;
use super::tree::{self, Edit};

/// How much of a call is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The messages.
    Messages,
    /// Whatever leaves: tool definitions and fields of the dialect's own too.
    All,
}

/// Changes the texts of a call; whether anything did change. The client's own bytes are put away
/// then, so that the call is written anew.
pub(super) fn call(
    call: &mut ModelCall,
    reach: Reach,
    edit: &mut Edit<'_, Stop>,
) -> Result<bool, Stop> {
    let mut changed = false;
    let last = call.messages.iter().rposition(|message| message.role == Role::Assistant);
    for (at, message) in call.messages.iter_mut().enumerate() {
        changed |= edit_message(message, Some(at) == last, edit)?;
    }
    call.messages.retain(|message| !message.parts.is_empty());
    if reach == Reach::All {
        for tool in &mut call.tools {
            changed |= edit_tool(tool, edit)?;
        }
        for (_, value) in &mut call.extra {
            changed |= edit_raw(value, edit)?;
        }
        if let Some(user) = &mut call.params.user {
            changed |= edit_own(user, edit)?;
        }
    }
    if let (true, Some(raw)) = (changed, &mut call.raw) {
        raw.body.clear();
    }
    Ok(changed)
}

fn edit_own(text: &mut String, edit: &mut Edit<'_, Stop>) -> Result<bool, Stop> {
    let new = edit(text)?;
    let changed = new.is_some();
    if let Some(new) = new {
        *text = new;
    }
    Ok(changed)
}

fn edit_raw(
    value: &mut Box<serde_json::value::RawValue>,
    edit: &mut Edit<'_, Stop>,
) -> Result<bool, Stop> {
    let new = tree::edit(value, edit)?;
    let changed = new.is_some();
    if let Some(new) = new {
        *value = new;
    }
    Ok(changed)
}

fn edit_tool(tool: &mut ToolDef, edit: &mut Edit<'_, Stop>) -> Result<bool, Stop> {
    let mut changed = false;
    if let Some(description) = &mut tool.description {
        changed |= edit_own(description, edit)?;
    }
    for raw in [&mut tool.schema, &mut tool.opaque].into_iter().flatten() {
        changed |= edit_raw(raw, edit)?;
    }
    Ok(changed)
}

fn edit_message(
    message: &mut Message,
    last: bool,
    edit: &mut Edit<'_, Stop>,
) -> Result<bool, Stop> {
    let calls = message.parts.iter().any(|part| matches!(part.body, Body::ToolUse(_)));
    let mut changed = false;
    let mut dropped = Vec::new();
    for (at, part) in message.parts.iter_mut().enumerate() {
        if let Body::Reasoning(thought) = &mut part.body {
            let Some(new) = edit(&thought.text)? else { continue };
            changed = true;
            let signed = thought.signature.is_some() || thought.redacted.is_some();
            if signed && last && calls {
                // The issuer wants the thought back that led to these calls, as it was.
                return Err(Stop::signed());
            }
            if signed {
                dropped.push(at);
            } else {
                thought.text = new;
            }
            continue;
        }
        changed |= edit_part(part, edit)?;
    }
    for at in dropped.into_iter().rev() {
        message.parts.remove(at);
    }
    Ok(changed)
}

fn edit_part(part: &mut Part, edit: &mut Edit<'_, Stop>) -> Result<bool, Stop> {
    match &mut part.body {
        Body::Text(text) | Body::Refusal(text) => edit_own(text, edit),
        Body::ToolUse(call) => {
            let new = tree::edit_text(&call.arguments, edit)?;
            let changed = new.is_some();
            if let Some(new) = new {
                call.arguments = new;
            }
            Ok(changed)
        }
        Body::ToolResult(result) => {
            let mut changed = false;
            for part in &mut result.content {
                changed |= edit_part(part, edit)?;
            }
            Ok(changed)
        }
        Body::Media(Media { source: MediaSource::Url(url), .. }) if !url.starts_with("data:") => {
            edit_own(url, edit)
        }
        Body::Opaque { raw, .. } => edit_raw(raw, edit),
        Body::Media(_) | Body::Reasoning(_) => Ok(false),
    }
}
