//! Server-sent events, split from bytes that may be cut anywhere
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! ```
//! use bytes::Bytes;
//! use doorward_wire::sse::Splitter;
//!
//! let mut splitter = Splitter::new(1024);
//! let mut events = Vec::new();
//! splitter.push(Bytes::from_static(b"data: one\n\nda"), &mut events)?;
//! splitter.push(Bytes::from_static(b"ta: two\n\n"), &mut events)?;
//! assert_eq!(events[1].data().as_deref(), Some("two"));
//! assert_eq!(events[1].raw(), "data: two\n\n");
//!
//! let endless = Bytes::from(vec![b'x'; 2000]);
//! assert!(splitter.push(endless, &mut events).is_err());
//! # Ok::<(), doorward_wire::ReadError>(())
//! ```

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::ReadError;

/// The longest event read from an upstream, in bytes.
pub const MOST_EVENT: usize = 8 * 1024 * 1024;

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a byte stream into events. Each event keeps its bytes, the blank line that ends it
/// included; all events' bytes, joined, are the stream.
#[derive(Debug)]
pub struct Splitter {
    /// The start of an event whose end has not come.
    rest: BytesMut,
    limit: usize,
    place: Place,
    first: bool,
}

/// Where in a line the scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing of the line has come.
    Start,
    /// Within the line.
    Line,
    /// After a CR that ended a line with something in it; an LF still belongs to it.
    LineCr,
    /// After a CR that ended an empty line, and so the event; an LF still belongs to it.
    BlankCr,
}

impl Splitter {
    /// A splitter that refuses events longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { rest: BytesMut::new(), limit, place: Place::Start, first: true }
    }

    /// Takes the next bytes and gives the events that are complete with them. An event that lies
    /// within `bytes` is a slice of it, not a copy.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooLarge`] where an event does not end within the limit.
    pub fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Event>) -> Result<(), ReadError> {
        while let Some(end) = self.scan(&bytes) {
            let piece = bytes.split_to(end);
            if self.rest.len() + piece.len() > self.limit {
                return Err(ReadError::TooLarge { limit: self.limit });
            }
            let raw = if self.rest.is_empty() {
                piece
            } else {
                self.rest.extend_from_slice(&piece);
                self.rest.split().freeze()
            };
            out.push(self.event(raw));
        }
        if self.rest.len() + bytes.len() > self.limit {
            return Err(ReadError::TooLarge { limit: self.limit });
        }
        self.rest.extend_from_slice(&bytes);
        Ok(())
    }

    /// The stream closed: gives what was left without a blank line, if anything.
    pub fn finish(&mut self) -> Option<Event> {
        self.place = Place::Start;
        let raw = self.rest.split().freeze();
        (!raw.is_empty()).then(|| self.event(raw))
    }

    fn event(&mut self, raw: Bytes) -> Event {
        let first = std::mem::take(&mut self.first);
        if first { Event::whole(raw) } else { Event { raw, skip: 0 } }
    }

    /// Goes on through `bytes`; returns where the event ends in them, if it does.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match (self.place, byte) {
                (Place::BlankCr, b'\n') => {
                    self.place = Place::Start;
                    return Some(at + 1);
                }
                (Place::BlankCr, _) => {
                    self.place = Place::Start;
                    // An empty slice is no event; the CR came with bytes before.
                    return Some(at);
                }
                (Place::LineCr, b'\n') => self.place = Place::Start,
                (Place::Start, b'\n') => return Some(at + 1),
                (Place::Start | Place::LineCr, b'\r') => self.place = Place::BlankCr,
                (Place::LineCr | Place::Start, _) => self.place = Place::Line,
                (Place::Line, _) => {
                    let found = memchr::memchr2(b'\r', b'\n', &bytes[at..])?;
                    at += found;
                    let cr = bytes.get(at) == Some(&b'\r');
                    self.place = if cr { Place::LineCr } else { Place::Start };
                }
            }
            at += 1;
        }
        None
    }
}

/// Whether bytes end as an event does, with a blank line.
pub(crate) fn is_ended(raw: &[u8]) -> bool {
    let blank: [&[u8]; 4] = [b"\n\n", b"\r\r", b"\n\r", b"\n\r\n"];
    let alone: [&[u8]; 3] = [b"\n", b"\r", b"\r\n"];
    blank.iter().any(|end| raw.ends_with(end)) || alone.contains(&raw)
}

/// One event, or what stood between two blank lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
    /// Length of a byte order mark.
    skip: usize,
}

impl Event {
    /// Bytes that are one event.
    pub(crate) fn whole(raw: Bytes) -> Self {
        let skip = if raw.starts_with(MARK) { MARK.len() } else { 0 };
        Self { raw, skip }
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The bytes as they came.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// The last `event:` field.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.read().0
    }

    /// The `data:` fields, joined by line feeds; `None` where there is none (a comment, a
    /// keep-alive).
    pub fn data(&self) -> Option<Cow<'_, str>> {
        self.read().1
    }

    /// Name and data, in one pass.
    pub fn read(&self) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
        let (mut event, mut data) = (None, None::<Cow<'_, [u8]>>);
        for (name, value) in self.fields() {
            match (name, &mut data) {
                (b"event", _) => event = Some(value),
                (b"data", None) => data = Some(Cow::Borrowed(value)),
                (b"data", Some(joined)) => {
                    let joined = joined.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
                _ => {}
            }
        }
        let data = data.map(|data| match data {
            Cow::Borrowed(data) => String::from_utf8_lossy(data),
            Cow::Owned(data) => Cow::Owned(String::from_utf8_lossy(&data).into_owned()),
        });
        (event.map(String::from_utf8_lossy), data)
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.raw[self.skip..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            let colon = memchr::memchr(b':', line).unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
        })
    }
}
