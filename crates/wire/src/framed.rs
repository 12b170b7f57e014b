//! Streams that are no server-sent events: AWS's binary event stream and lines of JSON.

use bytes::{Bytes, BytesMut};
use doorward_core::Frame;

use crate::eventstream::{Message, Splitter};
use crate::sse::MOST_EVENT;
use crate::stream::Decoder;
use crate::{ReadError, Reader};

/// One unit of a stream.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Its bytes, for a client of the same dialect.
    pub(crate) raw: Bytes,
    /// What kind of event it is, where the framing says.
    pub(crate) name: Option<String>,
    /// What it says; `None` where it says nothing.
    pub(crate) data: Option<Bytes>,
}

/// What was left when a stream closed.
#[derive(Debug)]
pub(crate) enum Left {
    Nothing,
    /// What may be a unit that lacks only its end mark.
    Open(Unit),
    /// Half a unit: its bytes, if they may be forwarded.
    Half(Option<Bytes>),
}

/// Cuts a stream into units.
pub(crate) trait Framing: Send {
    /// Takes the next bytes. An error comes after the units before it.
    fn push(&mut self, bytes: Bytes, out: &mut Vec<Unit>) -> Result<(), ReadError>;

    /// The stream closed.
    fn finish(&mut self) -> Left;
}

/// A reader of a stream that is cut by `framing` and told by `decoder`.
pub(crate) fn reader(
    framing: impl Framing + 'static,
    decoder: impl Decoder + 'static,
) -> Box<dyn Reader> {
    Box::new(Framed { framing, decoder, units: Vec::new(), failed: None })
}

struct Framed<F, D> {
    framing: F,
    decoder: D,
    units: Vec<Unit>,
    failed: Option<ReadError>,
}

impl<F: Framing, D: Decoder> Framed<F, D> {
    fn take(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        let mut units = std::mem::take(&mut self.units);
        let split = self.framing.push(bytes, &mut units);
        for unit in units.drain(..) {
            out.push(self.frame(unit)?);
        }
        self.units = units;
        split
    }

    fn frame(&mut self, unit: Unit) -> Result<Frame, ReadError> {
        let mut events = Vec::new();
        if let Some(data) = unit.data {
            let text = std::str::from_utf8(&data);
            let text = text.map_err(|error| ReadError::Utf8 { at: error.valid_up_to() })?;
            self.decoder.event(unit.name.as_deref(), text, &mut events)?;
        }
        Ok(Frame { events, raw: Some(unit.raw) })
    }

    fn close(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        let half = |raw: Option<Bytes>| raw.map(|raw| Frame { events: Vec::new(), raw: Some(raw) });
        match self.framing.finish() {
            Left::Nothing => {}
            Left::Half(raw) => {
                out.extend(half(raw));
                return Err(ReadError::Cut);
            }
            Left::Open(unit) => {
                let raw = unit.raw.clone();
                let Ok(frame) = self.frame(unit) else {
                    out.extend(half(Some(raw)));
                    return Err(ReadError::Cut);
                };
                out.push(frame);
            }
        }
        let mut events = Vec::new();
        self.decoder.close(&mut events)?;
        if !events.is_empty() {
            out.push(Frame::of(events));
        }
        Ok(())
    }
}

impl<F: Framing, D: Decoder> Reader for Framed<F, D> {
    fn push(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.take(bytes, out);
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.close(out)
    }
}

/// AWS's binary event stream; what a message says is read by a function.
#[derive(Debug)]
pub(crate) struct Binary {
    splitter: Splitter,
    messages: Vec<Message>,
    unit: fn(&Message) -> Result<Unit, ReadError>,
    /// Whether a unit's bytes are the stream's.
    keeps_bytes: bool,
}

impl Binary {
    /// Units are the messages: the name is the type of event, exception or error.
    pub(crate) fn messages() -> Self {
        Self::with(named, true)
    }

    /// Units are made from the messages and have other bytes.
    pub(crate) fn rewritten(unit: fn(&Message) -> Result<Unit, ReadError>) -> Self {
        Self::with(unit, false)
    }

    fn with(unit: fn(&Message) -> Result<Unit, ReadError>, keeps_bytes: bool) -> Self {
        Self { splitter: Splitter::new(MOST_EVENT), messages: Vec::new(), unit, keeps_bytes }
    }
}

impl Framing for Binary {
    fn push(&mut self, bytes: Bytes, out: &mut Vec<Unit>) -> Result<(), ReadError> {
        let split = self.splitter.push(bytes, &mut self.messages);
        for message in self.messages.drain(..) {
            out.push((self.unit)(&message)?);
        }
        split
    }

    fn finish(&mut self) -> Left {
        match self.splitter.finish() {
            None => Left::Nothing,
            Some(rest) => Left::Half(Some(rest).filter(|_| self.keeps_bytes)),
        }
    }
}

/// A message as a unit. What failed outside the service's own exceptions has a code and a message
/// in its headers (`:error-code`, `:error-message`).
#[expect(clippy::unnecessary_wraps, reason = "one of several ways to read a message")]
fn named(message: &Message) -> Result<Unit, ReadError> {
    let name = kind_of(message).map(str::to_owned);
    let data = match message.header(":error-message") {
        Some(text) => Bytes::from(format!(r#"{{"message":"{}"}}"#, crate::emit::escape(text))),
        None => message.payload(),
    };
    Ok(Unit { name, data: Some(data), raw: message.raw().clone() })
}

/// The type of event, exception or error that a message is.
pub(crate) fn kind_of(message: &Message) -> Option<&str> {
    let kind = match message.header(":message-type") {
        Some("exception") => ":exception-type",
        Some("error") => ":error-code",
        _ => ":event-type",
    };
    message.header(kind)
}

/// Lines, each a JSON value (`application/x-ndjson`).
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The start of a line whose end has not come.
    rest: BytesMut,
}

impl Framing for Lines {
    fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Unit>) -> Result<(), ReadError> {
        while let Some(end) = memchr::memchr(b'\n', &bytes) {
            let piece = bytes.split_to(end + 1);
            if self.rest.len() + piece.len() > MOST_EVENT {
                return Err(ReadError::TooLarge { limit: MOST_EVENT });
            }
            if self.rest.is_empty() {
                out.push(line(piece));
            } else {
                self.rest.extend_from_slice(&piece);
                out.push(line(self.rest.split().freeze()));
            }
        }
        if self.rest.len() + bytes.len() > MOST_EVENT {
            return Err(ReadError::TooLarge { limit: MOST_EVENT });
        }
        self.rest.extend_from_slice(&bytes);
        Ok(())
    }

    fn finish(&mut self) -> Left {
        let rest = self.rest.split().freeze();
        if rest.is_empty() { Left::Nothing } else { Left::Open(line(rest)) }
    }
}

fn line(raw: Bytes) -> Unit {
    let text = raw.trim_ascii();
    let data = (!text.is_empty()).then(|| raw.slice_ref(text));
    Unit { raw, name: None, data }
}
