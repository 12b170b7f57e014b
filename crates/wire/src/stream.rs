//! What every dialect's reader has in common: keeping bytes until they mean something.

use bytes::{Bytes, BytesMut};
use doorward_core::{Frame, ModelEvent};

use crate::sse::{Event, MOST_EVENT, Splitter, is_ended};
use crate::{MOST_BODY, ReadError, Reader};

/// The end of what was forwarded: an upstream may close within an event.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    open: bool,
}

impl Tail {
    /// Forwards an event's bytes. Half an event that means nothing is left out.
    pub(crate) fn forward(&mut self, frame: &Frame, raw: &Bytes, out: &mut BytesMut) {
        let ended = is_ended(raw);
        if ended || !frame.events.is_empty() {
            self.open = !ended;
            out.extend_from_slice(raw);
        }
    }

    /// Ends an event that the upstream left open, so that another can follow.
    pub(crate) fn seal(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.open) {
            out.extend_from_slice(b"\n\n");
        }
    }
}

/// Turns one dialect's texts into events.
pub(crate) trait Decoder: Send {
    /// Reads one SSE event that has data.
    fn event(
        &mut self,
        name: Option<&str>,
        data: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), ReadError>;

    /// The stream closed: tells what that completes, or that the answer was cut.
    fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError>;

    /// Reads a whole body.
    fn body(&mut self, text: &[u8], out: &mut Vec<ModelEvent>) -> Result<(), ReadError>;

    /// Whether the events of what was read last say something else than its bytes: these must not
    /// reach a client then.
    fn differs(&self) -> bool {
        false
    }
}

/// A reader over this decoder.
pub(crate) fn reader<D: Decoder + 'static>(decoder: D, streaming: bool) -> Box<dyn Reader> {
    if streaming {
        let splitter = Splitter::new(MOST_EVENT);
        Box::new(Streamed { splitter, decoder, events: Vec::new(), failed: None })
    } else {
        Box::new(Whole { body: Vec::new(), length: 0, decoder })
    }
}

/// Reads a stream of SSE events, each into one frame.
struct Streamed<D> {
    splitter: Splitter,
    decoder: D,
    events: Vec<Event>,
    failed: Option<ReadError>,
}

impl<D: Decoder> Streamed<D> {
    fn take(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        let mut events = std::mem::take(&mut self.events);
        let split = self.splitter.push(bytes, &mut events);
        for event in events.drain(..) {
            let read = decode(&mut self.decoder, &event)?;
            let raw = (!self.decoder.differs()).then(|| event.into_raw());
            out.push(Frame { events: read, raw });
        }
        self.events = events;
        split
    }

    fn close(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        if let Some(event) = self.splitter.finish() {
            let read = decode(&mut self.decoder, &event);
            let (events, half) = match read {
                Ok(events) => (events, false),
                Err(_) => (Vec::new(), true),
            };
            let raw = (!self.decoder.differs()).then(|| event.into_raw());
            out.push(Frame { events, raw });
            if half {
                return Err(ReadError::Cut);
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

fn decode(decoder: &mut impl Decoder, event: &Event) -> Result<Vec<ModelEvent>, ReadError> {
    let mut events = Vec::new();
    if let (name, Some(data)) = event.read() {
        decoder.event(name.as_deref(), &data, &mut events)?;
    }
    Ok(events)
}

impl<D: Decoder> Reader for Streamed<D> {
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

/// Reads one whole body into one frame.
struct Whole<D> {
    body: Vec<Bytes>,
    length: usize,
    decoder: D,
}

impl<D: Decoder> Reader for Whole<D> {
    fn push(&mut self, bytes: Bytes, _out: &mut Vec<Frame>) -> Result<(), ReadError> {
        self.length = self.length.saturating_add(bytes.len());
        if self.length > MOST_BODY {
            self.body.clear();
            return Err(ReadError::TooLarge { limit: MOST_BODY });
        }
        if !bytes.is_empty() {
            self.body.push(bytes);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        let mut pieces = std::mem::take(&mut self.body);
        let body = match pieces.len() {
            0 => return Err(ReadError::Cut),
            1 => pieces.swap_remove(0),
            _ => {
                let mut joined = BytesMut::with_capacity(self.length);
                for piece in &pieces {
                    joined.extend_from_slice(piece);
                }
                joined.freeze()
            }
        };
        let mut events = Vec::new();
        self.decoder.body(&body, &mut events)?;
        if !events.iter().any(|event| matches!(event, ModelEvent::Error { .. })) {
            events.push(ModelEvent::Done);
        }
        out.push(Frame { events, raw: (!self.decoder.differs()).then_some(body) });
        Ok(())
    }
}
