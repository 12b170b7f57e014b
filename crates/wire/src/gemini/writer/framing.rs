//! Chunks as server-sent events, or as the items of one array; a chunk that came in the other
//! form is put into this one.

use bytes::{BufMut, Bytes, BytesMut};
use doorward_core::Frame;
use serde::de::IgnoredAny;

use super::super::array::item;
use crate::emit::{self, Object};
use crate::sse::Event;
use crate::stream::Tail;

#[derive(Debug, Default)]
pub(super) struct Framing {
    array: bool,
    /// Whether the array's bracket was written.
    open: bool,
    closed: bool,
    tail: Tail,
}

impl Framing {
    pub(super) fn new(array: bool) -> Self {
        Self { array, ..Self::default() }
    }

    /// Whether a bracket is still to be closed.
    pub(super) fn is_open(&self) -> bool {
        self.open && !self.closed
    }

    /// Writes a chunk made here.
    pub(super) fn item(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        if self.array {
            self.punctuate(out);
            return emit::object(out, fill);
        }
        self.tail.seal(out);
        emit::sse(out, None, fill);
    }

    fn punctuate(&mut self, out: &mut BytesMut) {
        let opened = std::mem::replace(&mut self.open, true);
        out.put_slice(if opened { b"\n,\n" } else { b"[" });
    }

    /// Ends the array.
    pub(super) fn close(&mut self, out: &mut BytesMut) {
        if self.array && !std::mem::replace(&mut self.closed, true) {
            out.put_slice(if self.open { b"\n]\n" } else { b"[]\n" });
        }
    }

    /// Writes a chunk as it came. `done`: nothing comes after it.
    pub(super) fn forward(&mut self, frame: &Frame, raw: &Bytes, done: bool, out: &mut BytesMut) {
        let first = raw.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        let json = matches!(first, Some(b'[' | b'{' | b',' | b']'));
        let told = !frame.events.is_empty();
        match (self.array, json) {
            (false, false) => self.tail.forward(frame, raw, out),
            (true, true) => self.forward_item(raw, first, told, done, out),
            (true, false) => {
                let event = Event::whole(raw.clone());
                if let Some(data) = event.data().filter(|data| is_object(data)) {
                    self.punctuate(out);
                    out.put_slice(data.trim().as_bytes());
                }
                if done {
                    self.close(out);
                }
            }
            (false, true) => {
                if let Some(text) = item(raw).ok().filter(|text| told || is_object(text)) {
                    self.tail.seal(out);
                    out.put_slice(b"data: ");
                    // A line feed in JSON is white space, and would end the line here.
                    let line = text.trim().replace(['\n', '\r'], " ");
                    out.put_slice(line.as_bytes());
                    out.put_slice(b"\n\n");
                }
            }
        }
    }

    /// Forwards a piece of an array within an array, byte for byte where its punctuation fits.
    fn forward_item(
        &mut self,
        raw: &Bytes,
        first: Option<u8>,
        told: bool,
        done: bool,
        out: &mut BytesMut,
    ) {
        let Ok(text) = item(raw) else {
            // The end: brackets and white space.
            match (done, self.open) {
                (true, true) if first == Some(b']') => {
                    self.closed = true;
                    out.put_slice(raw);
                }
                (true, _) => self.close(out),
                (false, _) => {}
            }
            return;
        };
        if !told && !is_object(text) {
            // Cut within.
            return;
        }
        let fits = if self.open { first == Some(b',') } else { first == Some(b'[') };
        if fits {
            self.open = true;
            out.put_slice(raw);
        } else {
            self.punctuate(out);
            out.put_slice(text.trim_end().as_bytes());
        }
        if done {
            self.close(out);
        }
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
