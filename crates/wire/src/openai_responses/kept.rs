//! Items of conversations, for whoever keeps them: a stored answer is gone on from by its id
//! (`previous_response_id`), and items are meant by theirs (`item_reference`).

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ReadError;
use crate::json::{Members, Source, Text, raw};
use crate::splice::{Edits, quoted};
use crate::sse::Event;

/// The most items of one request.
const MOST_ITEMS: usize = 100_000;

/// Puts earlier items in front of a request's `input` and takes `previous_response_id` out. An
/// input that is one string becomes a user's message. Every other byte stays.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::responses;
///
/// let earlier = responses::items_of(br#"{"model":"m","input":"Hi"}"#)?;
/// let body = Bytes::from_static(
///     br#"{"model":"m", "previous_response_id":"resp_1","input":[{"role":"user","content":"And?"}]}"#,
/// );
/// let whole = responses::continue_from(body, &earlier)?;
/// let expected = r#"{"model":"m", "input":[{"type":"message","role":"user","content":"Hi"},{"role":"user","content":"And?"}]}"#;
/// assert_eq!(whole, expected);
/// # Ok::<(), doorward_wire::ReadError>(())
/// ```
///
/// # Errors
///
/// [`ReadError`] where the body is no object, or its `input` neither string nor list.
#[expect(clippy::needless_pass_by_value, reason = "bodies are handed on")]
pub fn continue_from(body: Bytes, earlier: &[Box<RawValue>]) -> Result<Bytes, ReadError> {
    let source = Source::new(&body)?;
    let members = source.members()?;
    let mut edits = Edits::default();
    let message;
    let mut items: Vec<&str> = earlier.iter().map(|item| item.get()).collect();
    let given = members.find("input").map(|input| input.value);
    match given {
        Some(input) if input.get().starts_with('[') => {
            let is_empty = source.read::<Vec<&RawValue>>(input)?.is_empty();
            let at = source.span(input.get()).start + 1;
            let comma = if is_empty || items.is_empty() { "" } else { "," };
            edits.replace(at..at, items.join(",") + comma);
        }
        Some(input) if input.get().starts_with('"') => {
            message = message_of(input);
            items.push(&message);
            edits.replace(source.span(input.get()), format!("[{}]", items.join(",")));
        }
        Some(input) if input.get() == "null" => {
            edits.replace(source.span(input.get()), format!("[{}]", items.join(",")));
        }
        Some(input) => return Err(source.wrong(input, "expected a string or an array of items")),
        None => {}
    }
    let is_previous = |name: &str| name == "previous_response_id";
    edits.remove_members(source, &members, |member| is_previous(&member.name));
    if given.is_none() {
        let stays = members.iter().any(|member| !is_previous(&member.name));
        let at = source.start_of_object() + 1;
        let comma = if stays { "," } else { "" };
        edits.replace(at..at, format!(r#""input":[{}]{comma}"#, items.join(",")));
    }
    Ok(edits.apply(&body))
}

/// Says in an upstream's answer, or in an event that tells of the whole answer, that it goes on
/// from `previous`: where earlier items were put in front here, the upstream does not know. Every
/// other byte stays, and so does what is no such answer.
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::responses::tell_previous;
///
/// let event = r#"data: {"type":"response.created","response":{"id":"resp_2","previous_response_id":null}}"#;
/// let told = tell_previous(Bytes::from(event), "resp_1");
/// assert_eq!(told, event.replace("null", r#""resp_1""#));
/// ```
pub fn tell_previous(answer: Bytes, previous: &str) -> Bytes {
    telling(&answer, previous).unwrap_or(answer)
}

fn telling(answer: &Bytes, previous: &str) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        response: &'a RawValue,
    }

    let whole = Source::new(answer).ok()?;
    let event = Event::whole(answer.clone());
    let data = if answer.trim_ascii_start().starts_with(b"{") {
        None
    } else {
        // Most events are about a piece of it.
        memchr::memmem::find(answer, b"\"response\"")?;
        event.data()
    };
    let object = match &data {
        None => std::str::from_utf8(answer).ok()?.trim(),
        Some(Cow::Borrowed(data)) => serde_json::from_str::<Told<'_>>(data).ok()?.response.get(),
        // Data on several lines has no place of its own in the bytes.
        Some(Cow::Owned(_)) => return None,
    };
    let members = Source::new(object.as_bytes()).ok()?.members().ok()?;
    let (name, value) = ("previous_response_id", quoted(previous));
    let mut edits = Edits::default();
    match members.find(name) {
        Some(member) => edits.replace(whole.span(member.value.get()), value),
        None => edits.add_member(&whole.span(object), name, &value, members.iter().len() > 0),
    }
    Some(edits.apply(answer))
}

fn message_of(text: &RawValue) -> String {
    format!(r#"{{"type":"message","role":"user","content":{}}}"#, text.get())
}

/// A request's input items, as they are written; one string is a user's message.
///
/// # Errors
///
/// [`ReadError`] where the body is no object, or its `input` neither string nor list.
pub fn items_of(body: &[u8]) -> Result<Vec<Box<RawValue>>, ReadError> {
    let source = Source::new(body)?;
    let mut members = source.members()?;
    match members.take("input") {
        None => Ok(Vec::new()),
        Some(input) if input.get().starts_with('"') => Ok(vec![raw(message_of(input))]),
        Some(input) => list(source, input),
    }
}

/// A whole answer's output items, as they are written. Of a stream, the answer is the `response`
/// of its last event.
///
/// # Errors
///
/// [`ReadError`] where the body is no object, or its `output` no list.
pub fn output_items(answer: &[u8]) -> Result<Vec<Box<RawValue>>, ReadError> {
    let source = Source::new(answer)?;
    let mut members: Members<'_> = source.members()?;
    members.take("output").map_or(Ok(Vec::new()), |output| list(source, output))
}

fn list<'a>(source: Source<'a>, value: &'a RawValue) -> Result<Vec<Box<RawValue>>, ReadError> {
    let items = source.read::<Vec<&'a RawValue>>(value)?;
    if items.len() > MOST_ITEMS {
        return Err(source.wrong(value, "too many items"));
    }
    items.into_iter().map(|item| source.keep(item)).collect()
}

#[derive(Deserialize)]
struct ReferenceIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
}

/// Puts kept items in the place of those that a request only names (`item_reference`), as some
/// clients do with every item of an answer that was stored. `find` gives the item of an id; what
/// it does not find stays, and is refused when the request is read.
///
/// # Errors
///
/// [`ReadError`] where the body is no object.
pub fn resolve_references(
    body: Bytes,
    mut find: impl FnMut(&str) -> Option<Box<RawValue>>,
) -> Result<Bytes, ReadError> {
    // Nearly no request has any.
    if memchr::memmem::find(&body, b"item_reference").is_none() {
        return Ok(body);
    }
    let source = Source::new(&body)?;
    let members = source.members()?;
    let mut edits = Edits::default();
    let input = members.find("input").map(|input| input.value);
    if let Some(input) = input.filter(|input| input.get().starts_with('[')) {
        for item in source.read::<Vec<&RawValue>>(input)? {
            let Ok(reference) = serde_json::from_str::<ReferenceIn<'_>>(item.get()) else {
                continue;
            };
            let kind = reference.kind.unwrap_or_default();
            let named = match kind.as_str() {
                "item_reference" => true,
                kind => kind.is_empty() && reference.role.is_none(),
            };
            if let Some(id) = reference.id.filter(|_| named)
                && let Some(kept) = find(id.as_str())
            {
                edits.replace(source.span(item.get()), kept.get().to_owned());
            }
        }
    }
    Ok(edits.apply(&body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstreams_answer_names_the_one_it_goes_on_from() {
        for (answer, expected) in [
            (
                r#"{"id":"b","object":"response"}"#,
                r#"{"previous_response_id":"a\"","id":"b","object":"response"}"#,
            ),
            (" {}\n", " {\"previous_response_id\":\"a\\\"\"}\n"),
            (
                "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"previous_response_id\": \"x\",\"id\":1}}\n\n",
                "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"previous_response_id\": \"a\\\"\",\"id\":1}}\n\n",
            ),
            (
                "data: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n",
                "",
            ),
            ("data: [DONE]\n\n", ""),
            (": \"response\"\n\n", ""),
            ("not an answer", ""),
        ] {
            let told = tell_previous(Bytes::from(answer), "a\"");
            assert_eq!(told, if expected.is_empty() { answer } else { expected });
        }
    }
}
