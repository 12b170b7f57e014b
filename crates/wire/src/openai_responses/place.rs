//! Where the numbers stand in an event that is forwarded.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::echo::one_line;
use crate::json::{Source, Text, Word};
use crate::sse::Event;

/// The type of an event, found without reading all of it. Within strings quotes are escaped, so
/// nothing that a model says looks like it.
pub(super) fn kind(raw: &[u8]) -> Option<&str> {
    let mut rest = raw;
    while let Some(at) = memchr::memmem::find(rest, b"\"type\"") {
        rest = rest.get(at + 6..)?.trim_ascii_start();
        let Some(value) = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else { continue };
        let Some(value) = value.strip_prefix(b"\"response.") else { continue };
        let end = memchr::memchr(b'"', value)?;
        return std::str::from_utf8(&value[..end]).ok();
    }
    None
}

/// A forwarded event's numbers, and what of it matters here.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) sequence: Option<u64>,
    pub(super) index: Option<u64>,
    pub(super) item: Option<ItemAt>,
    /// Whether the piece that begins is a refusal.
    pub(super) refusal: bool,
    /// How many tool calls the whole answer has.
    pub(super) calls: usize,
    spans: Option<Spans>,
}

#[derive(Debug)]
struct Spans {
    sequence: Option<Range<usize>>,
    index: Option<Range<usize>>,
    output: Option<Range<usize>>,
}

/// An item as an event has it.
#[derive(Debug)]
pub(super) struct ItemAt {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) raw: String,
}

#[derive(Deserialize)]
struct EventIn<'a> {
    #[serde(borrow)]
    sequence_number: Option<&'a RawValue>,
    #[serde(borrow)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<PieceIn<'a>>,
    #[serde(borrow)]
    response: Option<ResponseIn<'a>>,
}

#[derive(Deserialize)]
struct ResponseIn<'a> {
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PieceIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
}

#[derive(Deserialize)]
struct ItemIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
    #[serde(borrow, default)]
    id: Word<'a>,
    #[serde(borrow, default)]
    call_id: Word<'a>,
    #[serde(borrow, default)]
    name: Word<'a>,
}

impl Place {
    /// Finds the numbers in an event. Nothing where it is not as it should be: such an event is
    /// forwarded as it is.
    pub(super) fn of(raw: &Bytes) -> Self {
        let event = Event::whole(raw.clone());
        let Some(data) = event.data() else { return Self::default() };
        let Ok(read) = serde_json::from_str::<EventIn<'_>>(&data) else { return Self::default() };
        let number = |value: Option<&RawValue>| value.and_then(|value| value.get().parse().ok());
        let output = read.response.and_then(|response| response.output);
        let output = output.filter(|output| output.get().starts_with('['));
        let spans = match (&data, Source::new(raw)) {
            (Cow::Borrowed(_), Ok(source)) => {
                let span = |value: Option<&RawValue>| value.map(|value| source.span(value.get()));
                Some(Spans {
                    sequence: span(read.sequence_number),
                    index: span(read.output_index),
                    output: span(output),
                })
            }
            _ => None,
        };
        Self {
            sequence: number(read.sequence_number),
            index: number(read.output_index),
            item: read.item.and_then(item_at),
            refusal: read.part.is_some_and(|part| part.kind.0 == "refusal"),
            calls: output.map_or(0, calls_in),
            spans,
        }
    }

    /// The event's bytes with other numbers, and other output.
    pub(super) fn rewrite(
        &self,
        raw: &Bytes,
        sequence: u64,
        index: Option<usize>,
        output: Option<String>,
    ) -> Bytes {
        let Some(spans) = &self.spans else { return raw.clone() };
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        edits.extend(spans.sequence.clone().map(|span| (span, sequence.to_string())));
        edits.extend(spans.index.clone().zip(index).map(|(span, index)| (span, index.to_string())));
        edits.extend(spans.output.clone().zip(output));
        edits.sort_by_key(|(span, _)| span.start);
        let (mut out, mut from) = (BytesMut::with_capacity(raw.len() + 16), 0);
        for (span, with) in edits {
            out.extend_from_slice(raw.get(from..span.start).unwrap_or_default());
            out.extend_from_slice(with.as_bytes());
            from = span.end;
        }
        out.extend_from_slice(raw.get(from..).unwrap_or_default());
        out.freeze()
    }
}

fn item_at(value: &RawValue) -> Option<ItemAt> {
    let item = serde_json::from_str::<ItemIn<'_>>(value.get()).ok()?;
    Some(ItemAt {
        kind: item.kind.0.into_owned(),
        id: item.id.0.into_owned(),
        call_id: item.call_id.0.into_owned(),
        name: item.name.0.into_owned(),
        raw: one_line(value.get()).into_owned(),
    })
}

fn calls_in(output: &RawValue) -> usize {
    #[derive(Deserialize)]
    struct KindIn<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Text<'a>>,
    }
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(output.get()) else { return 0 };
    let is_call = |item: &&&RawValue| {
        let kind = serde_json::from_str::<KindIn<'_>>(item.get()).ok().and_then(|item| item.kind);
        kind.is_some_and(|kind| matches!(kind.as_str(), "function_call" | "custom_tool_call"))
    };
    items.iter().filter(is_call).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_type_is_found_wherever_it_stands() {
        for (raw, expected) in [
            (r#"data: {"type":"response.created","response":{}}"#, Some("created")),
            (
                r#"data: {"item":{"type":"reasoning"},"type" : "response.output_item.done"}"#,
                Some("output_item.done"),
            ),
            (
                r#"data: {"type":"response.output_text.delta","delta":"\"type\":\"response.x\""}"#,
                Some("output_text.delta"),
            ),
            (
                r#"data: {"delta":"\"type\":\"response.x\"","type":"response.refusal.delta"}"#,
                Some("refusal.delta"),
            ),
            (r#"data: {"type":"error"}"#, None),
            (": comment", None),
        ] {
            assert_eq!(kind(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn numbers_are_replaced_where_they_stand() {
        let raw = Bytes::from_static(
            b"data: {\"sequence_number\": 4, \"item\":{\"output_index\":9}, \"output_index\":1}\n\n",
        );
        let place = Place::of(&raw);
        assert_eq!((place.sequence, place.index), (Some(4), Some(1)));
        let out = place.rewrite(&raw, 17, Some(3), None);
        let expected = "data: {\"sequence_number\": 17, \"item\":{\"output_index\":9}, \"output_index\":3}\n\n";
        assert_eq!(out, expected);
    }
}
