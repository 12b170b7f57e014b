//! AWS's binary event stream, `application/vnd.amazon.eventstream`, split from bytes that may be
//! cut anywhere (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
//!
//! A message is its length, the length of its headers and a checksum of both; the headers; the
//! payload; and a checksum of all. Both checksums are checked.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use doorward_wire::eventstream::{Splitter, encode};
//!
//! let mut wire = BytesMut::new();
//! encode(&[(":message-type", "event"), (":event-type", "messageStop")], b"{}", &mut wire);
//! let wire = wire.freeze();
//!
//! let mut splitter = Splitter::new(1024);
//! let mut messages = Vec::new();
//! splitter.push(wire.slice(..20), &mut messages)?;
//! splitter.push(wire.slice(20..), &mut messages)?;
//! assert_eq!(messages[0].header(":event-type"), Some("messageStop"));
//! assert_eq!(messages[0].payload(), "{}");
//! assert_eq!(messages[0].raw(), &wire);
//!
//! // A byte that changed on its way does not pass.
//! let mut broken = wire.to_vec();
//! broken[30] ^= 1;
//! assert!(splitter.push(Bytes::from(broken), &mut messages).is_err());
//! # Ok::<(), doorward_wire::ReadError>(())
//! ```

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use doorward_core::Code;

use crate::ReadError;

/// The media type of such a stream.
pub const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// The two lengths and their checksum.
const PRELUDE: usize = 12;

/// The checksum at the end.
const CHECKSUM: usize = 4;

/// The most headers, in bytes, that AWS writes.
const MOST_HEADERS: usize = 128 * 1024;

/// Splits a byte stream into messages. Each keeps its bytes; all messages' bytes, joined, are the
/// stream.
#[derive(Debug)]
pub struct Splitter {
    /// The start of a message whose end has not come.
    rest: BytesMut,
    limit: usize,
}

impl Splitter {
    /// A splitter that refuses messages longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { rest: BytesMut::new(), limit }
    }

    /// Takes the next bytes and gives the messages that are complete with them. A message that
    /// lies within `bytes` is a slice of it, not a copy.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooLarge`] where a message is longer than the limit, [`ReadError::Field`]
    /// where a checksum, a length or a header is wrong. What came before is in `out`.
    pub fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Message>) -> Result<(), ReadError> {
        while !self.rest.is_empty() && !bytes.is_empty() {
            // A message that was cut: it is completed from the new bytes, and no more is taken.
            let wanted = match self.length(&self.rest)? {
                Some(length) => length,
                None => PRELUDE,
            };
            let taken = wanted.saturating_sub(self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes.split_to(taken));
            if self.length(&self.rest)? == Some(self.rest.len()) {
                out.push(Message::read(self.rest.split().freeze())?);
            }
        }
        while let Some(length) = self.length(&bytes)?.filter(|length| *length <= bytes.len()) {
            out.push(Message::read(bytes.split_to(length))?);
        }
        self.rest.extend_from_slice(&bytes);
        Ok(())
    }

    /// The stream closed: gives the message that was cut, if one was.
    pub fn finish(&mut self) -> Option<Bytes> {
        let rest = self.rest.split().freeze();
        (!rest.is_empty()).then_some(rest)
    }

    /// How long the message at the front is; `None` where its prelude has not come.
    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, ReadError> {
        let (Some(total), Some(checksum)) = (number(bytes, 0), number(bytes, 8)) else {
            return Ok(None);
        };
        if crc32fast::hash(&bytes[..8]) != checksum {
            return Err(wrong("the checksum of an event stream message's lengths does not fit"));
        }
        let length = usize::try_from(total).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(ReadError::TooLarge { limit: self.limit });
        }
        if length < PRELUDE + CHECKSUM {
            return Err(wrong("an event stream message is shorter than its frame"));
        }
        Ok(Some(length))
    }
}

fn wrong(problem: &'static str) -> ReadError {
    ReadError::field("", problem)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether bytes are one whole message, by their length.
pub(crate) fn is_whole(raw: &[u8]) -> bool {
    number(raw, 0).is_some_and(|length| usize::try_from(length) == Ok(raw.len()))
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    raw: Bytes,
    payload: Range<usize>,
}

impl Message {
    /// Checks a message whose length and prelude are right.
    fn read(raw: Bytes) -> Result<Self, ReadError> {
        let end = raw.len() - CHECKSUM;
        if number(&raw, end) != Some(crc32fast::hash(&raw[..end])) {
            return Err(wrong("the checksum of an event stream message does not fit"));
        }
        let headers = number(&raw, 4).and_then(|length| usize::try_from(length).ok());
        let headers = headers.filter(|length| *length <= MOST_HEADERS);
        let start = headers.map(|length| PRELUDE + length).filter(|start| *start <= end);
        let Some(start) = start else {
            return Err(wrong("the headers of an event stream message are too long"));
        };
        let mut rest = &raw[PRELUDE..start];
        while !rest.is_empty() {
            let broken = || wrong("a header of an event stream message is broken");
            rest = split_header(rest).ok_or_else(broken)?.1;
        }
        Ok(Self { raw, payload: start..end })
    }

    /// The text of a header, if there is one of this name and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut rest = &self.raw[PRELUDE..self.payload.start];
        while let Some((header, after)) = split_header(rest) {
            if header.name == name.as_bytes() {
                return std::str::from_utf8(header.text?).ok();
            }
            rest = after;
        }
        None
    }

    /// What it carries.
    pub fn payload(&self) -> Bytes {
        self.raw.slice(self.payload.clone())
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The bytes as they came.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }
}

struct Header<'a> {
    name: &'a [u8],
    /// `None` where the value is no text.
    text: Option<&'a [u8]>,
}

/// The first header and what follows it.
fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            return Some((Header { name, text: (*kind == 7).then_some(value) }, rest));
        }
        _ => return None,
    };
    Some((Header { name, text: None }, rest.split_at_checked(fixed)?.1))
}

/// Writes one message. Names longer than 255 bytes and texts longer than 65,535 are cut there.
pub fn encode(headers: &[(&str, &str)], payload: &[u8], out: &mut BytesMut) {
    let mut head = BytesMut::new();
    for (name, text) in headers {
        let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
        let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
        head.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.put_slice(name);
        head.put_u8(7);
        head.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
        head.put_slice(text);
    }
    let total = PRELUDE + head.len() + payload.len() + CHECKSUM;
    let start = out.len();
    out.reserve(total);
    out.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    out.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    out.put_u32(crc32fast::hash(&out[start..]));
    out.put_slice(&head);
    out.put_slice(payload);
    out.put_u32(crc32fast::hash(&out[start..]));
}

/// What an exception within a stream means; `None` for what is no exception.
pub(crate) fn exception_code(name: &str) -> Option<Code> {
    Some(match name {
        "throttlingException" | "serviceQuotaExceededException" => Code::RateLimited,
        "serviceUnavailableException" | "modelNotReadyException" => Code::Overloaded,
        "validationException" => Code::InvalidRequest,
        "resourceNotFoundException" => Code::NotFound,
        "modelTimeoutException" => Code::Timeout,
        _ if name.ends_with("Exception") || name.ends_with("Error") => Code::Upstream,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From AWS's own test suite for the format: no headers and no payload.
    #[test]
    fn the_empty_message_is_aws_own() {
        let expected = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
        let mut out = BytesMut::new();
        encode(&[], b"", &mut out);
        assert_eq!(&out[..], expected);
    }

    fn sample() -> Bytes {
        let mut out = BytesMut::new();
        encode(&[(":event-type", "a"), (":content-type", "application/json")], b"{}", &mut out);
        out.freeze()
    }

    fn split(bytes: Bytes) -> Result<Vec<Message>, ReadError> {
        let mut out = Vec::new();
        Splitter::new(1 << 20).push(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn any_changed_byte_is_found() {
        let wire = sample();
        for at in 0..wire.len() {
            let mut broken = wire.to_vec();
            broken[at] ^= 0x40;
            assert!(split(Bytes::from(broken)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_message_within_one_piece_is_not_copied() {
        let wire = sample();
        let out = split(wire.clone()).unwrap();
        assert_eq!(out[0].raw().as_ptr(), wire.as_ptr());
        assert!(is_whole(out[0].raw()) && !is_whole(&wire[..wire.len() - 1]));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for (total, headers) in [(15_u32, 0_u32), (16, 1), (u32::MAX, 0), (40, 200_000)] {
            let mut wire = BytesMut::new();
            wire.put_u32(total);
            wire.put_u32(headers);
            wire.put_u32(crc32fast::hash(&wire));
            wire.resize(usize::try_from(total).unwrap().clamp(16, 64) - 4, 0);
            wire.put_u32(crc32fast::hash(&wire));
            assert!(split(wire.freeze()).is_err(), "{total} {headers}");
        }
    }

    #[test]
    fn headers_of_every_kind_are_stepped_over() {
        let mut head = BytesMut::new();
        for (kind, length) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            head.put_slice(&[1, b'h', kind]);
            head.put_slice(&vec![0; length]);
        }
        head.put_slice(&[1, b'b', 6, 0, 2, 1, 2]);
        head.put_slice(&[1, b't', 7, 0, 2, b'o', b'k']);
        let mut wire = BytesMut::new();
        wire.put_u32(u32::try_from(head.len() + 16).unwrap());
        wire.put_u32(u32::try_from(head.len()).unwrap());
        wire.put_u32(crc32fast::hash(&wire));
        wire.put_slice(&head);
        wire.put_u32(crc32fast::hash(&wire));
        let message = split(wire.freeze()).unwrap().remove(0);
        assert_eq!((message.header("t"), message.header("b")), (Some("ok"), None));
    }
}
