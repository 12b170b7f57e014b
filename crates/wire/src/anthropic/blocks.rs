//! Numbering content blocks when forwarded events and events made here share one stream.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Kind;
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
    /// The kind of the block that starts.
    pub(super) kind: String,
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
    #[serde(borrow)]
    content_block: Option<Kind<'a>>,
}

impl Blocks {
    /// Finds an event's place. Costs one search in most events: only starts and ends matter
    /// while all numbers are upstream's own.
    pub(super) fn place(&self, raw: &Bytes) -> Place {
        let needle: &[u8] = if self.shifted { b"content_block_" } else { b"content_block_st" };
        let nothing = Place { step: Step::None, kind: String::new(), upstream: 0, span: None };
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
        let kind = head.content_block.map(|block| block.kind.0.into_owned()).unwrap_or_default();
        Place { step, kind, upstream, span }
    }

    /// A forwarded event's own block number; `None` for an event of a block that was closed here.
    pub(super) fn number(&mut self, place: &Place) -> Option<u64> {
        match place.step {
            Step::None => None,
            Step::Start => {
                let own = self.claim();
                self.shifted |= own != place.upstream;
                self.forwarded.push(Forwarded { upstream: place.upstream, own, open: true });
                Some(own)
            }
            Step::Delta | Step::Stop => {
                let is_it = |block: &&mut Forwarded| block.open && block.upstream == place.upstream;
                let block = self.forwarded.iter_mut().rev().find(is_it)?;
                block.open = place.step == Step::Delta;
                Some(block.own)
            }
        }
    }

    /// Whether no block ever began: the upstream does not say where its blocks do.
    pub(super) fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// The number for a block made here. From here on upstream's numbers are checked one by one.
    pub(super) fn begin(&mut self) -> u64 {
        self.shifted = true;
        self.claim()
    }

    fn claim(&mut self) -> u64 {
        let own = self.next;
        self.next += 1;
        own
    }

    /// A block was closed here: what else comes of it is not forwarded.
    pub(super) fn close(&mut self, own: u64) {
        self.shifted = true;
        for block in self.forwarded.iter_mut().filter(|block| block.own == own) {
            block.open = false;
        }
    }
}

impl Place {
    /// The event's bytes with this block number.
    pub(super) fn renumber(&self, raw: &Bytes, own: u64) -> Bytes {
        let Some(span) = self.span.clone().filter(|_| own != self.upstream) else {
            return raw.clone();
        };
        let mut out = BytesMut::with_capacity(raw.len() + 4);
        out.extend_from_slice(&raw[..span.start]);
        out.extend_from_slice(own.to_string().as_bytes());
        out.extend_from_slice(&raw[span.end..]);
        out.freeze()
    }
}

/// Writes the end of a block.
pub(super) fn stop(index: u64, out: &mut BytesMut) {
    emit::sse(out, Some("content_block_stop"), |body| {
        body.str("type", "content_block_stop");
        body.value("index", index);
    });
}
