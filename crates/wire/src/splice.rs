//! Changing single places of a request body and keeping every other byte.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use doorward_core::{ModelCall, RawCall, ToolChoice};
use serde_json::value::RawValue;

use crate::emit;
use crate::json::{Member, Members, Source, Text};
use crate::{Destination, ReadError, WriteError};

/// What a dialect's body looks like where it is changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How it says that the model may call tools, and that it must.
    pub(crate) auto: fn(&ModelCall) -> Cow<'static, str>,
    pub(crate) required: fn(&ModelCall) -> Cow<'static, str>,
    /// Members that make no sense without tools.
    pub(crate) with_tools: &'static [&'static str],
    /// Whether usage within a stream must be asked for by `stream_options`.
    pub(crate) asks_usage: bool,
}

/// Writes the body as it came, but for the model's name, hidden tools and the wish for usage.
/// `None` where that is not possible and the body must be written anew.
pub(crate) fn same_dialect(
    call: &ModelCall,
    raw: &RawCall,
    to: &Destination<'_>,
    shape: Shape,
) -> Result<Option<Bytes>, WriteError> {
    let body = &raw.body;
    let broken = || WriteError { path: String::new(), reason: "the kept body is not its own" };
    let mut edits = Edits::default();
    rename(raw, to.model, &mut edits)?;
    let wanted = to.ask_usage && call.stream && !call.stream_usage;
    let ask = shape.asks_usage && wanted;
    let hides = call.tools.iter().any(|tool| tool.hidden);
    let asked = ask && memchr::memmem::find(body, b"\"stream_options\"").is_some();
    if ask && !asked {
        let at = raw.model.end;
        edits.replace(at..at, r#","stream_options":{"include_usage":true}"#);
    }
    if hides || asked {
        let source = Source::new(body).map_err(|_: ReadError| broken())?;
        let members = source.members().map_err(|_: ReadError| broken())?;
        if asked {
            ask_usage(source, &members, raw, &mut edits);
        }
        if hides && !hide(call, source, &members, shape, &mut edits) {
            return Ok(None);
        }
    }
    Ok(Some(edits.apply(body)))
}

/// Puts the upstream's name of the model where the client's stands. What the client wrote counts,
/// not what was read of it: a routing variant is no part of the name.
pub(crate) fn rename(raw: &RawCall, model: &str, edits: &mut Edits) -> Result<(), WriteError> {
    let broken = || WriteError { path: String::new(), reason: "the kept body is not its own" };
    let written = raw.body.get(raw.model.clone()).ok_or_else(broken)?;
    let Text(written) = serde_json::from_slice(written).map_err(|_| broken())?;
    if written != model {
        edits.replace(raw.model.clone(), quoted(model));
    }
    Ok(())
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> Cow<'static, str> {
    format!("\"{}\"", emit::escape(text)).into()
}

/// Adds the wish for usage to `stream_options`, or sets it there.
fn ask_usage(source: Source<'_>, members: &Members<'_>, raw: &RawCall, edits: &mut Edits) {
    const WISH: &str = r#""include_usage":true"#;
    let Some(options) = members.find("stream_options") else {
        // The name stood in some text only.
        let at = raw.model.end;
        return edits.replace(at..at, format!(r#","stream_options":{{{WISH}}}"#));
    };
    let span = source.span(options.value.get());
    let inner = Source::new(options.value.get().as_bytes()).and_then(|inner| inner.members());
    match inner.as_ref().map(|inner| (inner.find("include_usage"), inner.iter().len())) {
        Ok((Some(wish), _)) => edits.replace(source.span(wish.value.get()), "true"),
        Ok((None, others)) => {
            let comma = if others == 0 { "" } else { "," };
            edits.replace(span.start + 1..span.start + 1, format!("{WISH}{comma}"));
        }
        Err(_) => edits.replace(span, format!("{{{WISH}}}")),
    }
}

/// Takes the hidden tools out. `false` where the tools of the call are not those of the body.
fn hide(
    call: &ModelCall,
    source: Source<'_>,
    members: &Members<'_>,
    shape: Shape,
    edits: &mut Edits,
) -> bool {
    let Some(tools) = members.find("tools") else { return false };
    let Ok(items) = source.read::<Vec<&RawValue>>(tools.value) else { return false };
    if items.len() != call.tools.len() {
        return false;
    }
    let hidden: Vec<bool> = call.tools.iter().map(|tool| tool.hidden).collect();
    if hidden.iter().all(|hidden| *hidden) {
        let is_about_tools = |member: &Member<'_>| shape.with_tools.contains(&&*member.name);
        edits.remove_members(source, members, is_about_tools);
        return true;
    }
    edits.remove_items(source, &items, &hidden);
    if let (Some(choice), Some(new)) =
        (members.find("tool_choice"), new_choice(call, members, shape))
    {
        edits.replace(source.span(choice.value.get()), new);
    }
    true
}

/// What to write for a tool choice that names a hidden tool.
fn new_choice(call: &ModelCall, members: &Members<'_>, shape: Shape) -> Option<Cow<'static, str>> {
    let written = members.find("tool_choice")?.value.get();
    let lists = written.starts_with('{') && written.contains("allowed_tools");
    match &call.tool_choice {
        ToolChoice::Tool(name) if is_hidden(call, name) => Some((shape.auto)(call)),
        ToolChoice::Required if lists => Some((shape.required)(call)),
        _ if lists => Some((shape.auto)(call)),
        _ => None,
    }
}

/// Whether a tool of this name is out of the model's sight.
pub(crate) fn is_hidden(call: &ModelCall, name: &str) -> bool {
    call.tools.iter().any(|tool| tool.hidden && tool.name == name)
}

/// Changes to a text, applied at once. A change within a part that is itself replaced is lost.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, Cow<'static, str>)>);

impl Edits {
    pub(crate) fn replace(&mut self, span: Range<usize>, with: impl Into<Cow<'static, str>>) {
        self.0.push((span, with.into()));
    }

    /// Puts a member at the front of an object. `others` says whether any stays beside it.
    pub(crate) fn add_member(
        &mut self,
        object: &Range<usize>,
        name: &str,
        value: &str,
        others: bool,
    ) {
        let at = object.start + 1;
        let comma = if others { "," } else { "" };
        self.replace(at..at, format!("{}:{value}{comma}", quoted(name)));
    }

    /// Removes array items, each with the comma that follows it, or the one before where the
    /// items after it go too.
    pub(crate) fn remove_items(&mut self, source: Source<'_>, items: &[&RawValue], gone: &[bool]) {
        let spans: Vec<_> = items.iter().map(|item| source.span(item.get())).collect();
        self.remove_spans(&spans, gone);
    }

    /// Removes members, all of one object in one call.
    pub(crate) fn remove_members(
        &mut self,
        source: Source<'_>,
        members: &Members<'_>,
        which: impl Fn(&Member<'_>) -> bool,
    ) {
        let span = |member: &Member<'_>| {
            source.span(member.key.get()).start..source.span(member.value.get()).end
        };
        let spans: Vec<_> = members.iter().map(span).collect();
        let gone: Vec<_> = members.iter().map(which).collect();
        self.remove_spans(&spans, &gone);
    }

    fn remove_spans(&mut self, spans: &[Range<usize>], gone: &[bool]) {
        let last_kept = gone.iter().rposition(|gone| !gone);
        for (at, span) in spans.iter().enumerate().filter(|(at, _)| gone[*at]) {
            let cut = match last_kept {
                Some(last) if at > last => spans[at - 1].end..span.end,
                _ => span.start..spans.get(at + 1).map_or(span.end, |next| next.start),
            };
            self.replace(cut, "");
        }
    }

    pub(crate) fn apply(mut self, body: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        self.0.sort_by_key(|(span, _)| (span.start, span.end));
        let more: usize = self.0.iter().map(|(_, with)| with.len()).sum();
        let (mut out, mut from) = (BytesMut::with_capacity(body.len() + more), 0);
        for (span, with) in self.0 {
            if span.start < from {
                continue;
            }
            out.extend_from_slice(body.get(from..span.start).unwrap_or_default());
            out.extend_from_slice(with.as_bytes());
            from = span.end.max(from);
        }
        out.extend_from_slice(body.get(from..).unwrap_or_default());
        out.freeze()
    }
}

/// The names of the tools a call shows to the model.
pub(crate) fn shown(call: &ModelCall) -> HashSet<&str> {
    call.tools.iter().filter(|tool| !tool.hidden).map(|tool| tool.name.as_str()).collect()
}
