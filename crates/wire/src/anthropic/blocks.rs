//! Numbering content blocks when forwarded events and events made here share one stream.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit;
use crate::json::{Source, Text};
use crate::sse::Event;

/// Block numbers of one answer to a client, in the order in which blocks begin.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    next: u64,
    forwarded: Vec<Forwarded>,
    /// Whether any forwarded block has another number than upstream.
    shifted: bool,
}

#[derive(Debug)]
struct Forwarded {
    upstream: u64,
    own: u64,
    open: bool,
}

/// What a forwarded event says of blocks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    Start,
    Delta,
    Stop,
}

/// A forwarded event's place among blocks.
pub(super) struct Place {
    pub(super) step: Step,
    upstream: u64,
    /// Where the number stands in the event's bytes, if it can be replaced there.
    span: Option<Range<usize>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
}

impl Blocks {
    /// Finds an event's place. Costs one search in most events: only starts and ends matter
    /// while all numbers are upstream's own.
    pub(super) fn place(&self, raw: &Bytes) -> Place {
        let needle: &[u8] = if self.shifted { b"content_block_" } else { b"content_block_st" };
        let nothing = Place { step: Step::None, upstream: 0, span: None };
        if memchr::memmem::find(raw, needle).is_none() {
            return nothing;
        }
        let event = Event::whole(raw.clone());
        let (name, Some(data)) = event.read() else { return nothing };
        let Ok(head) = serde_json::from_str::<Head<'_>>(&data) else { return nothing };
        let step = match head.kind.as_ref().map(Text::as_str).or(name.as_deref()) {
            Some("content_block_start") => Step::Start,
            Some("content_block_delta") => Step::Delta,
            Some("content_block_stop") => Step::Stop,
            _ => return nothing,
        };
        let upstream = head.index.and_then(|index| index.get().parse().ok()).unwrap_or(0);
        let span = match (&data, head.index) {
            (Cow::Borrowed(_), Some(index)) => {
                Source::new(raw).ok().map(|source| source.span(index.get()))
            }
            _ => None,
        };
        Place { step, upstream, span }
    }

    /// Forwards an event, renumbered where needed. An event of a block that was closed here is
    /// left out.
    pub(super) fn forward(&mut self, raw: &Bytes, place: &Place, out: &mut BytesMut) {
        let own = match place.step {
            Step::None => return out.extend_from_slice(raw),
            Step::Start => {
                let own = self.claim();
                self.shifted |= own != place.upstream;
                self.forwarded.push(Forwarded { upstream: place.upstream, own, open: true });
                own
            }
            Step::Delta | Step::Stop => {
                let is_it = |block: &&mut Forwarded| block.open && block.upstream == place.upstream;
                let Some(block) = self.forwarded.iter_mut().rev().find(is_it) else {
                    if self.forwarded.is_empty() && self.next == 0 {
                        // An upstream that never said where its blocks begin.
                        out.extend_from_slice(raw);
                    }
                    return;
                };
                block.open = place.step == Step::Delta;
                block.own
            }
        };
        match &place.span {
            Some(span) if own != place.upstream => {
                out.extend_from_slice(&raw[..span.start]);
                out.extend_from_slice(own.to_string().as_bytes());
                out.extend_from_slice(&raw[span.end..]);
            }
            _ => out.extend_from_slice(raw),
        }
    }

    /// The number for the block that begins now.
    pub(super) fn claim(&mut self) -> u64 {
        let own = self.next;
        self.next += 1;
        own
    }

    /// The number for a block made here. Forwarded blocks that are still open are closed.
    pub(super) fn begin(&mut self, out: &mut BytesMut) -> u64 {
        for block in self.forwarded.iter_mut().filter(|block| block.open) {
            block.open = false;
            stop(block.own, out);
        }
        // From here on upstream's numbers must be checked one by one.
        self.shifted = true;
        self.claim()
    }
}

/// Writes the end of a block.
pub(super) fn stop(index: u64, out: &mut BytesMut) {
    emit::sse(out, Some("content_block_stop"), |body| {
        body.str("type", "content_block_stop");
        body.value("index", index);
    });
}
