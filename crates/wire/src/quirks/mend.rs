//! Changing a written body to what one upstream takes.
//!
//! Both ways of writing end here: a body as the client sent it and one written anew are mended by
//! the same splices, and a body that no quirk touches is not even looked at.

use std::borrow::Cow;

use bytes::Bytes;
use doorward_core::{Body, Media, MediaSource, ModelCall, Part};
use serde_json::value::RawValue;

use super::{GATEWAY_FIELDS, Quirks, listed, takes_beta};
use crate::emit::escape;
use crate::json::{Members, Source, Text};
use crate::preferences;
use crate::splice::{Edits, quoted};
use crate::{Dropped, ReadError, WriteError, Written};

/// What is known of the request whose body is mended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'c> {
    pub(crate) quirks: &'c Quirks,
    /// The fields that the common form does not know, where the body may have them.
    pub(crate) extra: &'c [(String, Box<RawValue>)],
    /// The client's headers, where they are of this dialect.
    pub(crate) headers: &'c [(String, String)],
}

impl<'c> Request<'c> {
    /// The request of a call; `own` says whether its body may hold what the client sent.
    pub(crate) fn of(call: &'c ModelCall, quirks: &'c Quirks, own: bool) -> Self {
        let headers = call.raw.as_ref().map(|raw| raw.headers.as_slice());
        let headers = headers.filter(|_| own).unwrap_or_default();
        Self { quirks, extra: if own { &call.extra } else { &[] }, headers }
    }

    fn touches(&self, body: &[u8]) -> bool {
        let quirks = self.quirks;
        let has = |name: &str| memchr::memmem::find(body, quoted(name).as_bytes()).is_some();
        let gateway = |(name, _): &(String, Box<RawValue>)| is_for_another(name, quirks);
        let header = |name: &String| self.headers.iter().any(|(header, _)| header == name);
        quirks.model_in_path
            || !quirks.set.is_empty()
            || self.extra.iter().any(gateway)
            || quirks.stream_in_path && has("stream")
            || quirks.one_sampling && has("top_p") && has("temperature")
            || quirks.omit.iter().any(|name| has(name))
            || quirks.rename.keys().any(|name| has(name))
            || quirks.headers_in_body.values().any(header)
    }
}

/// Whether a field is for a gateway, and this upstream is none that knows it.
fn is_for_another(name: &str, quirks: &Quirks) -> bool {
    GATEWAY_FIELDS.contains(&name) && !quirks.extends(name)
}

/// Changes to one body.
pub(crate) struct Mend<'a, 'm> {
    pub(crate) source: Source<'a>,
    pub(crate) members: &'m Members<'a>,
    pub(crate) edits: Edits,
    pub(crate) dropped: &'m mut Vec<Dropped>,
    /// Members at the top to take out.
    gone: Vec<String>,
    /// Members to add at the top.
    added: Vec<String>,
}

impl Mend<'_, '_> {
    pub(crate) fn report(&mut self, path: impl Into<String>, reason: &'static str) {
        self.dropped.push(Dropped { path: path.into(), reason });
    }

    /// Takes a member at the top out.
    pub(crate) fn remove(&mut self, name: &str) {
        if !self.gone.iter().any(|gone| gone == name) {
            self.gone.push(name.to_owned());
        }
    }

    /// Adds a member at the top.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.added.push(format!("{}:{value}", quoted(name)));
    }
}

/// Mends a written body. `inner` changes what lies deeper, and is asked only where `touched`.
pub(crate) fn mend(
    written: Written,
    request: &Request<'_>,
    touched: bool,
    inner: impl FnOnce(&mut Mend<'_, '_>) -> Result<(), ReadError>,
) -> Result<Written, WriteError> {
    let Written { body, mut dropped } = written;
    let at_top = request.touches(&body);
    if !at_top && !touched {
        return Ok(Written { body, dropped });
    }
    let broken = |error: ReadError| match error {
        ReadError::Field { path, .. } => WriteError { path, reason: "cannot be mended" },
        _ => WriteError { path: String::new(), reason: "the kept body is not its own" },
    };
    let body = mended(&body, request, at_top, touched, inner, &mut dropped).map_err(broken)?;
    Ok(Written { body, dropped })
}

fn mended(
    body: &Bytes,
    request: &Request<'_>,
    at_top: bool,
    touched: bool,
    inner: impl FnOnce(&mut Mend<'_, '_>) -> Result<(), ReadError>,
    dropped: &mut Vec<Dropped>,
) -> Result<Bytes, ReadError> {
    let source = Source::new(body)?;
    let members = source.members()?;
    let (gone, added) = (Vec::new(), Vec::new());
    let edits = Edits::default();
    let mut mend = Mend { source, members: &members, edits, dropped, gone, added };
    if at_top {
        top(&mut mend, request)?;
    }
    if touched {
        inner(&mut mend)?;
    }
    let Mend { mut edits, gone, added, .. } = mend;
    edits.remove_members(source, &members, |member| gone.iter().any(|gone| **gone == member.name));
    if !added.is_empty() {
        let stays = members.iter().any(|member| !gone.iter().any(|gone| **gone == member.name));
        let at = source.start_of_object() + 1;
        edits.replace(at..at, added.join(",") + if stays { "," } else { "" });
    }
    Ok(edits.apply(body))
}

fn top(mend: &mut Mend<'_, '_>, request: &Request<'_>) -> Result<(), ReadError> {
    let quirks = request.quirks;
    let members = mend.members;
    for member in members.iter() {
        let name = &*member.name;
        let is_empty = member.value.get() == "null";
        if quirks.omit.iter().any(|omitted| omitted == name) {
            mend.remove(name);
            if !is_empty {
                mend.report(name, "this upstream refuses it");
            }
        } else if name == "model" && quirks.model_in_path
            || name == "stream" && quirks.stream_in_path
        {
            mend.remove(name);
        } else if is_for_another(name, quirks) {
            mend.remove(name);
            mend.dropped.extend(preferences::losses(name, member.value));
        } else if let Some(new) = quirks.rename.get(name) {
            // Both are given: the one that is renamed is the later word for the same.
            if members.find(new).is_some() {
                mend.remove(new);
            }
            mend.edits.replace(mend.source.span(member.key.get()), quoted(new));
        }
    }
    let given = |name: &str| members.find(name).is_some_and(|it| it.value.get() != "null");
    if quirks.one_sampling && given("temperature") && given("top_p") {
        mend.remove("top_p");
        mend.report("top_p", "not together with temperature");
    }
    for (name, value) in &quirks.set {
        if serde_json::from_str::<&RawValue>(value).is_err() {
            return Err(ReadError::field(name.as_str(), "the value to set is no JSON"));
        }
        if members.find(name).is_none() {
            mend.add(name, value);
        }
    }
    for (field, header) in &quirks.headers_in_body {
        headers_in_body(mend, request, field, header)?;
    }
    Ok(())
}

fn headers_in_body(
    mend: &mut Mend<'_, '_>,
    request: &Request<'_>,
    field: &str,
    header: &str,
) -> Result<(), ReadError> {
    let mut values: Vec<Cow<'_, str>> = Vec::new();
    let members = mend.members;
    let written = members.find(field).filter(|member| member.value.get() != "null");
    if let Some(member) = written {
        let given = mend.source.read::<Vec<Text<'_>>>(member.value)?;
        values.extend(given.into_iter().map(|Text(value)| value));
    }
    let before = values.len();
    let all = request.headers.iter().filter(|(name, _)| name == header);
    for value in all.flat_map(|(_, value)| listed(value)) {
        let taken = header != "anthropic-beta" || takes_beta(value, request.quirks);
        if taken && !values.iter().any(|known| known == value) {
            values.push(Cow::Borrowed(value));
        }
    }
    if values.len() > before {
        let quoted: Vec<String> =
            values.iter().map(|value| format!("\"{}\"", escape(value))).collect();
        let list = format!("[{}]", quoted.join(","));
        match members.find(field) {
            Some(member) => mend.edits.replace(mend.source.span(member.value.get()), list),
            None => mend.add(field, &list),
        }
    }
    Ok(())
}

/// Refuses media by address for an upstream that takes bytes only (trap 46): fetching them would
/// let a client make Doorward ask any address it likes.
pub(crate) fn refuse_addresses(call: &ModelCall, quirks: &Quirks) -> Result<(), WriteError> {
    if !quirks.inline_media {
        return Ok(());
    }
    let refused = |path: String| {
        let reason = "this upstream takes media as bytes only, not by address";
        Err(WriteError { path, reason })
    };
    let by_address =
        |part: &Part| matches!(&part.body, Body::Media(Media { source: MediaSource::Url(_), .. }));
    for (at, message) in call.messages.iter().enumerate() {
        for (nth, part) in message.parts.iter().enumerate() {
            let path = format!("messages[{at}].parts[{nth}]");
            if by_address(part) {
                return refused(path);
            }
            if let Body::ToolResult(result) = &part.body
                && let Some(inner) = result.content.iter().position(by_address)
            {
                return refused(format!("{path}.content[{inner}]"));
            }
        }
    }
    Ok(())
}

/// Mends the schema at `value`, and reports at `path` what it lost.
pub(crate) fn mend_schema(mend: &mut Mend<'_, '_>, value: &RawValue, path: &str, quirks: &Quirks) {
    if let Some((text, found)) = super::schema::without(value, &quirks.schema_omit) {
        mend.edits.replace(mend.source.span(value.get()), text);
        for word in found {
            mend.report(format!("{path}.{word}"), "this upstream refuses the keyword");
        }
    }
}
