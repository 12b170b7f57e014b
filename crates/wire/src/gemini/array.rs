//! A stream that is one JSON array: what `streamGenerateContent` gives without `alt=sse`
//! (trap 13). Each frame is the bytes up to the end of an object; what follows the last object
//! is the last frame.

use bytes::{Bytes, BytesMut};
use doorward_core::Frame;

use crate::ReadError;
use crate::sse::MOST_EVENT;
use crate::stream::Decoder;

/// Reads an array of answers, or a lone answer.
#[derive(Debug)]
pub(super) struct Items<D> {
    decoder: D,
    /// The start of an item whose end has not come.
    rest: BytesMut,
    /// Open brackets, the array's included.
    depth: usize,
    /// Whether the whole is an array.
    array: bool,
    within: Within,
    /// Whether the whole is closed.
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Structure,
    String,
    /// After a backslash in a string.
    Escape,
}

impl<D: Decoder> Items<D> {
    /// A reader of a text whose first sign is this.
    pub(super) fn new(decoder: D, first: u8) -> Self {
        Self {
            decoder,
            rest: BytesMut::new(),
            depth: 0,
            array: first == b'[',
            within: Within::Structure,
            closed: false,
        }
    }

    pub(super) fn push(&mut self, mut bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        while let Some(end) = self.scan(&bytes)? {
            let piece = bytes.split_to(end);
            self.check(piece.len())?;
            let raw = if self.rest.is_empty() {
                piece
            } else {
                self.rest.extend_from_slice(&piece);
                self.rest.split().freeze()
            };
            let mut events = Vec::new();
            self.decoder.event(None, item(&raw)?, &mut events)?;
            out.push(Frame { events, raw: Some(raw) });
        }
        self.check(bytes.len())?;
        self.rest.extend_from_slice(&bytes);
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), ReadError> {
        if self.rest.len() + more > MOST_EVENT {
            return Err(ReadError::TooLarge { limit: MOST_EVENT });
        }
        Ok(())
    }

    /// The upstream closed: an array without its closing bracket was cut.
    pub(super) fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), ReadError> {
        let raw = self.rest.split().freeze();
        let mut events = Vec::new();
        let end = if self.closed { self.decoder.close(&mut events) } else { Err(ReadError::Cut) };
        if !raw.is_empty() {
            out.push(Frame { events, raw: Some(raw) });
        } else if !events.is_empty() {
            out.push(Frame::of(events));
        }
        end
    }

    /// Goes on through `bytes`; returns where an item ends in them, if one does.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, ReadError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match (self.within, byte) {
                (Within::Structure, byte) if self.closed && !byte.is_ascii_whitespace() => {
                    return Err(ReadError::field("", "text after the end"));
                }
                (Within::Escape, _) | (Within::Structure, b'"') => self.within = Within::String,
                (Within::String, b'\\') => self.within = Within::Escape,
                (Within::String, b'"') => self.within = Within::Structure,
                (Within::String, _) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(found) = memchr::memchr2(b'"', b'\\', rest) else { return Ok(None) };
                    at += found;
                    continue;
                }
                (Within::Structure, b'{' | b'[') => self.depth += 1,
                (Within::Structure, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.closed = self.depth == 0;
                    if byte == b'}' && self.depth == usize::from(self.array) {
                        return Ok(Some(at + 1));
                    }
                }
                (Within::Structure, _) => {}
            }
            at += 1;
        }
        Ok(None)
    }
}

/// The object in an item's bytes: what stands before it is punctuation.
pub(super) fn item(raw: &[u8]) -> Result<&str, ReadError> {
    let text =
        std::str::from_utf8(raw).map_err(|error| ReadError::Utf8 { at: error.valid_up_to() })?;
    let is_before = |c: char| matches!(c, '[' | ',' | '\u{feff}') || c.is_ascii_whitespace();
    let object = text.trim_start_matches(is_before);
    if object.starts_with('{') {
        return Ok(object);
    }
    Err(ReadError::field("", "expected an array of answers"))
}

#[cfg(test)]
mod tests {
    use doorward_core::ModelEvent;

    use super::*;

    /// Tells each text it is given.
    #[derive(Debug)]
    struct Echo;

    impl Decoder for Echo {
        fn event(
            &mut self,
            _name: Option<&str>,
            data: &str,
            out: &mut Vec<ModelEvent>,
        ) -> Result<(), ReadError> {
            out.push(ModelEvent::Text { choice: 0, text: data.to_owned() });
            Ok(())
        }

        fn close(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
            out.push(ModelEvent::Done);
            Ok(())
        }

        fn body(&mut self, _text: &[u8], _out: &mut Vec<ModelEvent>) -> Result<(), ReadError> {
            Ok(())
        }
    }

    fn texts(text: &'static str, size: usize) -> (Vec<String>, Result<(), ReadError>) {
        let mut items = Items::new(Echo, text.as_bytes()[0]);
        let mut frames = Vec::new();
        let pushed = text
            .as_bytes()
            .chunks(size)
            .try_for_each(|piece| items.push(Bytes::from_static(piece), &mut frames));
        let end = pushed.and_then(|()| items.finish(&mut frames));
        let texts = frames.iter().flat_map(|frame| &frame.events).map(|event| match event {
            ModelEvent::Text { text, .. } => text.clone(),
            _ => "done".to_owned(),
        });
        (texts.collect(), end)
    }

    #[test]
    fn objects_end_where_their_brackets_close() {
        for (text, items, end) in [
            (
                "[{\"a\":\"}]\\\"{\"}\n,\r\n{\"b\":[{}]}\n]\n",
                vec!["{\"a\":\"}]\\\"{\"}", "{\"b\":[{}]}", "done"],
                Ok(()),
            ),
            ("[]", vec!["done"], Ok(())),
            ("{\"a\":1}\n", vec!["{\"a\":1}", "done"], Ok(())),
            ("[{\"a\":1}", vec!["{\"a\":1}"], Err(ReadError::Cut)),
            ("[{\"a\":1},{\"b\":", vec!["{\"a\":1}"], Err(ReadError::Cut)),
            ("[{}] {}", vec!["{}"], Err(ReadError::field("", "text after the end"))),
            ("[5,{}]", vec![], Err(ReadError::field("", "expected an array of answers"))),
        ] {
            for size in 1..=text.len() {
                let (found, found_end) = texts(text, size);
                assert_eq!(
                    (&found, &found_end),
                    (&items.iter().map(ToString::to_string).collect(), &end),
                    "{text} by {size}"
                );
            }
        }
    }
}
