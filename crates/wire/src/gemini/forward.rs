//! A request of this dialect for an upstream of this dialect: every byte is kept but those that
//! must change.

use std::borrow::Cow;
use std::ops::Range;

use doorward_core::{Body, MediaSource, ModelCall, RawCall, ToolChoice};
use serde_json::value::RawValue;

use super::request::{EntryKind, entries};
use super::section::{Section, camel};
use super::state::FOREIGN;
use crate::emit::escape;
use crate::json::{Member, Members, Source, Text};
use crate::splice::{Edits, is_hidden};
use crate::{Destination, Dropped, ReadError, WriteError, Written};

/// Writes the body as it came, but for hidden tools, the model's name where it stands in the
/// body, and what the upstream is known to want otherwise. `None` where that is not possible and
/// the body must be written anew: where the tools are not those of the body, where bytes are
/// wanted for an address, and where the history carries another issuer's state.
pub(super) fn same_dialect(
    call: &ModelCall,
    raw: &RawCall,
    to: &Destination<'_>,
) -> Result<Option<Written>, WriteError> {
    let body = &raw.body;
    let broken = || WriteError { path: String::new(), reason: "the kept body is not its own" };
    if memchr::memmem::find(body, FOREIGN.as_bytes()).is_some() {
        return Ok(None);
    }
    if to.quirks.inline_media && has_addresses(call) {
        return Ok(None);
    }
    // What is changed within must stay.
    let changed = ["model", "tools", "toolConfig"];
    if to.quirks.omit.iter().any(|name| changed.contains(&name.as_str())) {
        return Ok(None);
    }
    let mut edits = Edits::default();
    let mut dropped = Vec::new();
    if !raw.model.is_empty() {
        let name = body.get(raw.model.clone()).filter(|text| text.starts_with(b"\""));
        let name = name.ok_or_else(broken)?;
        if call.model != to.model {
            edits.replace(raw.model.clone(), named(name, to.model));
        }
    }
    let quirks = to.quirks;
    let differs = !(quirks.omit.is_empty() && quirks.rename.is_empty() && quirks.set.is_empty());
    if differs || call.tools.iter().any(|tool| tool.hidden) {
        let source = Source::new(body).map_err(|_: ReadError| broken())?;
        let members = source.members().map_err(|_: ReadError| broken())?;
        let gone = hide(call, source, &members, &mut edits);
        let Ok(gone) = gone else { return Ok(None) };
        differences(source, &members, to, &gone, &mut edits, &mut dropped);
    }
    Ok(Some(Written { body: edits.apply(body), dropped }))
}

/// The model's name, in the collection if it stood in it.
fn named(old: &[u8], model: &str) -> Cow<'static, str> {
    let collection = if old.starts_with(b"\"models/") { "models/" } else { "" };
    format!("\"{collection}{}\"", escape(model)).into()
}

fn has_addresses(call: &ModelCall) -> bool {
    call.messages.iter().flat_map(|message| &message.parts).any(|part| match &part.body {
        Body::Media(media) => !matches!(media.source, MediaSource::Base64 { .. }),
        Body::Opaque { raw, .. } => raw.get().contains("\"file"),
        _ => false,
    })
}

/// Leaves out, renames and adds fields as the upstream wants them. `gone` are left out anyhow.
fn differences(
    source: Source<'_>,
    members: &Members<'_>,
    to: &Destination<'_>,
    gone: &[&'static str],
    edits: &mut Edits,
    dropped: &mut Vec<Dropped>,
) {
    let quirks = to.quirks;
    let omitted =
        |member: &Member<'_>| quirks.omit.iter().any(|name| **name == *camel(&member.name));
    let leaves = |member: &Member<'_>| omitted(member) || gone.contains(&&*camel(&member.name));
    for member in members.iter().filter(|member| omitted(member)) {
        let path = camel(&member.name).into_owned();
        dropped.push(Dropped { path, reason: "this upstream refuses the field" });
    }
    for member in members.iter().filter(|member| !leaves(member)) {
        if let Some(name) = quirks.rename.get(&*camel(&member.name)) {
            edits.replace(source.span(member.key.get()), format!("\"{}\"", escape(name)));
        }
    }
    let missing: Vec<String> = quirks
        .set
        .iter()
        .filter(|(name, _)| !members.iter().any(|member| *camel(&member.name) == **name))
        .map(|(name, value)| format!("\"{}\":{value}", escape(name)))
        .collect();
    let kept = members.iter().filter(|member| !leaves(member)).count();
    if !missing.is_empty() {
        // Right after the opening brace.
        let at = members.iter().next().map_or(0, |member| source.span(member.key.get()).start);
        let comma = if kept == 0 { "" } else { "," };
        edits.replace(at..at, format!("{}{comma}", missing.join(",")));
    }
    edits.remove_members(source, members, leaves);
}

/// The tools of the call are not those of the body.
struct Mismatch;

impl From<ReadError> for Mismatch {
    fn from(_: ReadError) -> Self {
        Self
    }
}

/// Takes the hidden tools out. Returns the fields that go because no tool is left.
fn hide<'a>(
    call: &ModelCall,
    source: Source<'a>,
    members: &Members<'a>,
    edits: &mut Edits,
) -> Result<Vec<&'static str>, Mismatch> {
    if !call.tools.iter().any(|tool| tool.hidden) {
        return Ok(Vec::new());
    }
    let tools = members.find("tools").ok_or(Mismatch)?.value;
    let all = entries(source, tools)?;
    if all.len() != call.tools.len() {
        return Err(Mismatch);
    }
    if call.tools.iter().all(|tool| tool.hidden) {
        return Ok(vec!["tools", "toolConfig"]);
    }
    let items = source.read::<Vec<&'a RawValue>>(tools)?;
    let mut gone_items = vec![false; items.len()];
    for (at, item) in items.iter().enumerate() {
        let own = all.iter().zip(&call.tools).filter(|(entry, _)| entry.item == at);
        let own: Vec<_> = own.map(|(entry, tool)| (&entry.kind, tool.hidden)).collect();
        if own.iter().all(|(_, hidden)| !hidden) {
            continue;
        }
        gone_items[at] = own.iter().all(|(_, hidden)| *hidden);
        if !gone_items[at] {
            hide_within(source, item, &own, edits)?;
        }
    }
    edits.remove_items(source, &items, &gone_items);
    if let Some((span, calling)) = new_calling(call, source, members)? {
        edits.replace(span, calling);
    }
    Ok(Vec::new())
}

/// Takes some of an item's tools out.
fn hide_within<'a>(
    source: Source<'a>,
    item: &'a RawValue,
    own: &[(&EntryKind<'a>, bool)],
    edits: &mut Edits,
) -> Result<(), Mismatch> {
    let functions: Vec<(&'a RawValue, bool)> = own
        .iter()
        .filter_map(|(kind, hidden)| match kind {
            EntryKind::Function(value) => Some((*value, *hidden)),
            EntryKind::Hosted(..) => None,
        })
        .collect();
    let no_function = functions.iter().all(|(_, hidden)| *hidden);
    let hosted_hidden = |name: &str| {
        own.iter().any(|(kind, hidden)| {
            *hidden && matches!(kind, EntryKind::Hosted(hosted, _) if hosted == name)
        })
    };
    let inner = Source::new(item.get().as_bytes())?.members()?;
    edits.remove_members(source, &inner, |member| {
        let name = camel(&member.name);
        if name == "functionDeclarations" { no_function } else { hosted_hidden(&name) }
    });
    if !no_function {
        let (values, hidden): (Vec<_>, Vec<_>) = functions.into_iter().unzip();
        edits.remove_items(source, &values, &hidden);
    }
    Ok(())
}

/// What to write for a mode of calling that names a hidden tool.
fn new_calling<'a>(
    call: &ModelCall,
    source: Source<'a>,
    members: &Members<'a>,
) -> Result<Option<(Range<usize>, String)>, Mismatch> {
    let config = members.find("toolConfig").or_else(|| members.find("tool_config"));
    let Some(config) = config.filter(|config| config.value.get() != "null") else {
        return Ok(None);
    };
    let mut config = Section::open(source, config.value, String::new())?;
    let Some(value) = config.take("functionCallingConfig")? else { return Ok(None) };
    let mut calling = Section::open(source, value, String::new())?;
    let mode = calling.read::<Text<'a>>("mode")?.unwrap_or_default();
    let names = calling.read::<Vec<Text<'a>>>("allowedFunctionNames")?.unwrap_or_default();
    let is_left = |name: &&Text<'_>| !is_hidden(call, name.as_str());
    let left: Vec<String> =
        names.iter().filter(is_left).map(|name| format!("\"{}\"", escape(name.as_str()))).collect();
    if left.len() == names.len() {
        return Ok(None);
    }
    let forced = matches!(call.tool_choice, ToolChoice::Tool(_) | ToolChoice::Required);
    let new = if left.is_empty() {
        let mode = if forced { "AUTO" } else { mode.as_str() };
        format!(r#"{{"mode":"{}"}}"#, escape(mode))
    } else {
        let (mode, left) = (escape(mode.as_str()), left.join(","));
        format!(r#"{{"mode":"{mode}","allowedFunctionNames":[{left}]}}"#)
    };
    Ok(Some((source.span(value.get()), new)))
}
