//! What lies deeper in a Chat request and differs from provider to provider.

use std::collections::HashMap;

use doorward_core::{Body, DialectId, Message, ModelCall, Part, ResponseFormat, Role};
use serde_json::value::RawValue;

use super::ID;
use super::params::effort_of;
use super::state::format_of;
use crate::emit::{self, escape};
use crate::json::{Member, Members, Source, Text};
use crate::quirks::ids::{ShortIds, fits};
use crate::quirks::mend::{Mend, mend_schema};
use crate::splice::quoted;
use crate::{Quirks, ReadError};

/// The field of visible thought, where nothing else is said.
const THOUGHT: &str = "reasoning_content";

/// Before state that Doorward tagged.
const TAG: &str = "doorward.";

/// Whether any of the quirks here concerns this call.
pub(super) fn touches(call: &ModelCall, quirks: &Quirks, own: bool) -> bool {
    let schemas = |any: bool| any && (!call.tools.is_empty() || schema_of(call).is_some());
    quirks.one_system && has_later_system(&call.messages)
        || schemas(quirks.no_strict || !quirks.schema_omit.is_empty())
        || own && says_reasoning(call) && !quirks.extends("reasoning")
        || call.messages.iter().any(|message| touches_message(message, quirks, own))
}

fn touches_message(message: &Message, quirks: &Quirks, own: bool) -> bool {
    let id = |id: &str| quirks.tool_id_length.is_some_and(|length| !fits(id, length));
    let part = |part: &Part| match &part.body {
        Body::ToolUse(call) => {
            id(&call.id)
                || quirks.echo_reasoning
                || own && is_tagged(call.state.as_ref().map(|it| it.issuer))
        }
        Body::ToolResult(result) => id(&result.id) || quirks.tool_name,
        Body::Reasoning(thought) => {
            quirks.reasoning_field.is_some() || own && is_tagged(thought.issuer)
        }
        _ => false,
    };
    quirks.no_developer && message.role == Role::Developer || message.parts.iter().any(part)
}

/// Whether the state of this issuer stands under a tag in this dialect.
fn is_tagged(issuer: Option<DialectId>) -> bool {
    issuer.is_some_and(|issuer| issuer != ID && format_of(issuer).is_none())
}

fn has_later_system(messages: &[Message]) -> bool {
    messages.iter().skip(1).any(|it| matches!(it.role, Role::System | Role::Developer))
}

fn says_reasoning(call: &ModelCall) -> bool {
    let params = &call.params;
    params.reasoning_effort.is_some()
        || params.thinking_budget.is_some()
        || params.thinking.is_some()
        || params.reasoning_summary.is_some()
}

fn schema_of(call: &ModelCall) -> Option<&RawValue> {
    match &call.params.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => Some(schema),
        _ => None,
    }
}

pub(super) fn mend(
    mend: &mut Mend<'_, '_>,
    call: &ModelCall,
    quirks: &Quirks,
    own: bool,
) -> Result<(), ReadError> {
    let members = mend.members;
    if let Some(messages) = members.find("messages") {
        let mut walk = Walk {
            quirks,
            ids: quirks.tool_id_length.map(ShortIds::new),
            names: HashMap::new(),
            leading: Vec::new(),
            ended: false,
        };
        walk.messages(mend, messages.value)?;
    }
    if quirks.no_strict || !quirks.schema_omit.is_empty() {
        schemas(mend, quirks)?;
    }
    if own && members.find("reasoning").is_some() && !quirks.extends("reasoning") {
        reasoning(mend, call);
    }
    Ok(())
}

/// Says `OpenRouter`'s `reasoning` in `OpenAI`'s own word.
fn reasoning(mend: &mut Mend<'_, '_>, call: &ModelCall) {
    mend.remove("reasoning");
    if mend.members.find("reasoning_effort").is_some() {
        return;
    }
    match effort_of(&call.params) {
        Some(effort) => mend.add("reasoning_effort", &quoted(effort)),
        None if call.params.thinking == Some(false) => {
            mend.report("reasoning.enabled", "this upstream has no such switch");
        }
        None => {}
    }
}

/// Strictness and keywords of the tools' schemas and the answer's.
fn schemas(mend: &mut Mend<'_, '_>, quirks: &Quirks) -> Result<(), ReadError> {
    let source = mend.source;
    if let Some(tools) = mend.members.find("tools") {
        for (nth, tool) in source.read::<Vec<&RawValue>>(tools.value)?.into_iter().enumerate() {
            let path = format!("tools[{nth}].function");
            within(mend, tool, "function", ("parameters", &path), quirks)?;
        }
    }
    if let Some(format) = mend.members.find("response_format")
        && format.value.get().starts_with('{')
    {
        let path = "response_format.json_schema";
        within(mend, format.value, "json_schema", ("schema", path), quirks)?;
    }
    Ok(())
}

fn within<'a>(
    mend: &mut Mend<'a, '_>,
    value: &'a RawValue,
    inner: &str,
    (schema, path): (&str, &str),
    quirks: &Quirks,
) -> Result<(), ReadError> {
    let source = mend.source;
    let outer = source.members_of(value)?;
    let Some(inner) = outer.find(inner).filter(|it| it.value.get().starts_with('{')) else {
        return Ok(());
    };
    let members = source.members_of(inner.value)?;
    if let Some(strict) = members.find("strict").filter(|_| quirks.no_strict) {
        mend.edits.remove_members(source, &members, |member| member.name == "strict");
        if strict.value.get() == "true" {
            mend.report(format!("{path}.strict"), "this upstream refuses it");
        }
    }
    if let Some(schema) = members.find(schema) {
        mend_schema(mend, schema.value, path, quirks);
    }
    Ok(())
}

/// One way through the messages.
struct Walk<'a, 'q> {
    quirks: &'q Quirks,
    ids: Option<ShortIds<'a>>,
    /// The tool that each call is of.
    names: HashMap<String, String>,
    /// The system messages at the front.
    leading: Vec<(usize, Option<&'a RawValue>)>,
    /// Whether anything but system text was seen.
    ended: bool,
}

impl<'a> Walk<'a, '_> {
    fn messages(&mut self, mend: &mut Mend<'a, '_>, value: &'a RawValue) -> Result<(), ReadError> {
        let source = mend.source;
        let items = source.read::<Vec<&'a RawValue>>(value)?;
        for (at, item) in items.iter().enumerate() {
            let members = source.members_of(item)?;
            let Some(role) = members.find("role") else { continue };
            let word = source.read::<Text<'a>>(role.value)?;
            match word.as_str() {
                "system" | "developer" => self.system(mend, at, &members, role, word.as_str()),
                "assistant" => self.assistant(mend, item, &members)?,
                "tool" => self.tool(mend, item, &members)?,
                _ => {}
            }
            self.ended |= !matches!(word.as_str(), "system" | "developer");
        }
        if self.leading.len() > 1 {
            let content = joined(source, &self.leading)?;
            let (first, _) = self.leading[0];
            let message = format!(r#"{{"role":"system","content":{content}}}"#);
            mend.edits.replace(source.span(items[first].get()), message);
            let later = &self.leading[1..];
            let gone: Vec<bool> =
                (0..items.len()).map(|at| later.iter().any(|(it, _)| *it == at)).collect();
            mend.edits.remove_items(source, &items, &gone);
        }
        Ok(())
    }

    fn system(
        &mut self,
        mend: &mut Mend<'a, '_>,
        at: usize,
        members: &Members<'a>,
        role: &Member<'a>,
        word: &str,
    ) {
        let span = mend.source.span(role.value.get());
        if self.quirks.one_system && self.ended {
            mend.edits.replace(span, "\"user\"");
            let reason = "system text after the first turn goes as the user's";
            return mend.report(format!("messages[{at}].role"), reason);
        }
        if self.quirks.one_system {
            self.leading.push((at, members.find("content").map(|content| content.value)));
        }
        if word == "developer" && self.quirks.no_developer {
            mend.edits.replace(span, "\"system\"");
        }
    }

    fn id(&mut self, mend: &mut Mend<'a, '_>, value: &'a RawValue) -> Result<String, ReadError> {
        let Text(id) = mend.source.read::<Text<'a>>(value)?;
        let owned = id.clone().into_owned();
        if let Some(short) = self.ids.as_mut().and_then(|ids| ids.short(id)) {
            mend.edits.replace(mend.source.span(value.get()), quoted(&short));
        }
        Ok(owned)
    }

    fn tool(
        &mut self,
        mend: &mut Mend<'a, '_>,
        item: &'a RawValue,
        members: &Members<'a>,
    ) -> Result<(), ReadError> {
        let Some(id) = members.find("tool_call_id") else { return Ok(()) };
        let id = self.id(mend, id.value)?;
        if self.quirks.tool_name
            && members.find("name").is_none()
            && let Some(name) = self.names.get(&id)
        {
            mend.edits.add_member(&mend.source.span(item.get()), "name", &quoted(name), true);
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        mend: &mut Mend<'a, '_>,
        item: &'a RawValue,
        members: &Members<'a>,
    ) -> Result<(), ReadError> {
        let source = mend.source;
        let calls = members.find("tool_calls").filter(|it| it.value.get().starts_with('['));
        let calls = calls.map(|it| source.read::<Vec<&'a RawValue>>(it.value)).transpose()?;
        let calls = calls.unwrap_or_default();
        for call in &calls {
            self.call(mend, call)?;
        }
        let mut gone = Vec::new();
        if let Some(details) = members.find("reasoning_details") {
            foreign(mend, details, &mut gone)?;
        }
        self.thought(mend, item, members, !calls.is_empty(), &mut gone)?;
        let is_gone = |member: &Member<'_>| gone.contains(&&*member.name);
        mend.edits.remove_members(source, members, is_gone);
        Ok(())
    }

    fn call(&mut self, mend: &mut Mend<'a, '_>, call: &'a RawValue) -> Result<(), ReadError> {
        let source = mend.source;
        let members = source.members_of(call)?;
        let id = members.find("id").map(|id| self.id(mend, id.value)).transpose()?;
        if let Some(function) = members.find("function").or(members.find("custom")) {
            let function = source.members_of(function.value)?;
            let name = function.find("name").map(|name| source.read::<Text<'a>>(name.value));
            if let (Some(id), Some(name)) = (id, name.transpose()?) {
                self.names.insert(id, name.into_string());
            }
        }
        let tagged = |value: &RawValue| value.get().contains(&format!("\"{TAG}"));
        mend.edits.remove_members(source, &members, |member| {
            member.name == "extra_content" && tagged(member.value)
        });
        Ok(())
    }

    /// Names visible thought as this upstream does, and repeats an empty one where it must be.
    fn thought(
        &self,
        mend: &mut Mend<'a, '_>,
        item: &'a RawValue,
        members: &Members<'a>,
        calls: bool,
        gone: &mut Vec<&'static str>,
    ) -> Result<(), ReadError> {
        let source = mend.source;
        let given = |name: &'static str| {
            let filled = |member: &&Member<'a>| member.value.get() != "null";
            members.find(name).filter(filled).map(|member| (name, member))
        };
        let found: Vec<_> = [THOUGHT, "reasoning"].into_iter().filter_map(given).collect();
        let field = self.quirks.reasoning_field.as_deref();
        let object = source.span(item.get());
        if field == Some("thinking") {
            let Some((_, thought)) = found.first() else { return Ok(()) };
            let thought = source.read::<Text<'a>>(thought.value)?;
            gone.extend(found.iter().map(|(name, _)| *name));
            if thought.as_str().is_empty() {
                return Ok(());
            }
            let said = members.find("content");
            let typed = typed(&thought, said.map(|said| said.value.get()));
            match said {
                Some(said) => mend.edits.replace(source.span(said.value.get()), typed),
                None => mend.edits.add_member(&object, "content", &typed, true),
            }
            return Ok(());
        }
        if found.is_empty() {
            if self.quirks.echo_reasoning && calls {
                mend.edits.add_member(&object, field.unwrap_or(THOUGHT), "\"\"", true);
            }
            return Ok(());
        }
        let Some(field) = field else { return Ok(()) };
        let mut named = found.iter().any(|(name, _)| *name == field);
        for (name, member) in &found {
            if *name != field && named {
                gone.push(name);
            } else if *name != field {
                mend.edits.replace(source.span(member.key.get()), quoted(field));
                named = true;
            }
        }
        Ok(())
    }
}

/// Takes out state that only another dialect's issuer can read.
fn foreign<'a>(
    mend: &mut Mend<'a, '_>,
    details: &Member<'a>,
    gone: &mut Vec<&'static str>,
) -> Result<(), ReadError> {
    if !details.value.get().starts_with('[') {
        return Ok(());
    }
    let items = mend.source.read::<Vec<&'a RawValue>>(details.value)?;
    let tag = format!("\"{TAG}");
    let tagged: Vec<bool> = items.iter().map(|item| item.get().contains(&tag)).collect();
    if !tagged.is_empty() && tagged.iter().all(|tagged| *tagged) {
        gone.push("reasoning_details");
    } else {
        mend.edits.remove_items(mend.source, &items, &tagged);
    }
    Ok(())
}

/// Content with a thought before it, as Mistral types it.
fn typed(thought: &Text<'_>, said: Option<&str>) -> String {
    let thought = escape(thought.as_str());
    let piece =
        format!(r#"{{"type":"thinking","thinking":[{{"type":"text","text":"{thought}"}}]}}"#);
    match said {
        None | Some("null" | "\"\"") => format!("[{piece}]"),
        Some(list) if list.starts_with('[') => match list[1..].trim_start() {
            "]" => format!("[{piece}]"),
            rest => format!("[{piece},{rest}"),
        },
        Some(text) => format!(r#"[{piece},{{"type":"text","text":{text}}}]"#),
    }
}

/// The content of several messages as one: a string where all are, else all their parts.
fn joined(
    source: Source<'_>,
    messages: &[(usize, Option<&RawValue>)],
) -> Result<String, ReadError> {
    let contents: Vec<&RawValue> = messages.iter().filter_map(|(_, content)| *content).collect();
    if contents.iter().all(|content| content.get().starts_with('"')) {
        let read = |content: &&RawValue| {
            serde_json::from_str::<Text<'_>>(content.get()).map(Text::into_string)
        };
        let texts: Result<Vec<String>, _> = contents.iter().map(read).collect();
        let texts = texts.map_err(|_| source.wrong(contents[0], "expected a string"))?;
        return Ok(quoted(&texts.join("\n\n")).into_owned());
    }
    let mut out = bytes::BytesMut::new();
    emit::object(&mut out, |item| {
        item.array("parts", |list| {
            for content in contents {
                let text = content.get();
                if text.starts_with('"') {
                    list.object(|part| {
                        part.str("type", "text");
                        part.raw("text", text);
                    });
                } else if let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(text) {
                    for part in parts {
                        list.raw(part.get());
                    }
                }
            }
        });
    });
    let text = String::from_utf8_lossy(&out);
    let list = text.strip_prefix(r#"{"parts":"#).and_then(|rest| rest.strip_suffix('}'));
    Ok(list.unwrap_or("[]").to_owned())
}
