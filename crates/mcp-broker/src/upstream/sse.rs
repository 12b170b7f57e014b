//! Server-sent events, as much of them as MCP uses
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::time::Duration;

/// Cuts a stream of bytes into events.
#[derive(Debug)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    kind: String,
    after_cr: bool,
    longest: usize,
    /// The id of the last event that had one: where a broken stream goes on.
    pub(crate) last_id: Option<String>,
    /// How long the server wants us to wait before we come back.
    pub(crate) retry: Option<Duration>,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; empty where it has none, which means `message`.
    pub(crate) kind: String,
    pub(crate) data: Vec<u8>,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Events {
    /// A reader that refuses events of more than `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            kind: String::new(),
            after_cr: false,
            longest,
            last_id: None,
            retry: None,
        }
    }

    /// The stream broke: what was half read is gone, where to go on is not.
    pub(crate) fn restart(&mut self) {
        let (last_id, retry) = (self.last_id.take(), self.retry);
        *self = Self { last_id, retry, ..Self::new(self.longest) };
    }

    /// Takes the next bytes; the events that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        if std::mem::take(&mut self.after_cr) {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            self.extend(&bytes[..at])?;
            let is_cr = bytes[at] == b'\r';
            bytes = &bytes[at + 1..];
            if is_cr {
                match bytes.strip_prefix(b"\n") {
                    Some(rest) => bytes = rest,
                    None => self.after_cr = bytes.is_empty(),
                }
            }
            events.extend(self.end_line());
        }
        self.extend(bytes)?;
        Ok(events)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + bytes.len() > self.longest {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            let kind = std::mem::take(&mut self.kind);
            return std::mem::take(&mut self.has_data).then_some(Event { kind, data });
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let (name, value) = match memchr::memchr(b':', line) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || str::from_utf8(value).ok();
        match name {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => text().unwrap_or_default().clone_into(&mut self.kind),
            b"id" => {
                let id = text().filter(|id| !id.contains('\0'));
                // An empty id takes the last one back.
                if let Some(id) = id {
                    self.last_id = (!id.is_empty()).then(|| id.to_owned());
                }
            }
            b"retry" => {
                let digits = text().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let wait = digits.and_then(|digits| digits.parse().ok());
                self.retry = wait.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_bytes_are() {
        for (text, expected) in [
            ("data: a\n\n", vec!["a"]),
            (": hi\n\nevent: message\r\ndata: a\r\nid: 3\r\n\r\ndata:b\r\r", vec!["a", "b"]),
            ("data: {\ndata: }\n\n", vec!["{\n}"]),
            ("\u{feff}data: a\n\ndata: cut", vec!["a"]),
            ("id: 1\ndata: \n\n", vec![""]),
        ] {
            for step in 1..text.len() {
                let mut events = Events::new(100);
                let mut got = Vec::new();
                for piece in text.as_bytes().chunks(step) {
                    got.extend(events.feed(piece).unwrap());
                }
                let got: Vec<_> =
                    got.iter().map(|event| str::from_utf8(&event.data).unwrap()).collect();
                assert_eq!(got, expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_stream_says_where_and_when_it_goes_on() {
        let mut events = Events::new(100);
        let got =
            events.feed(b"id: 7\nretry: 500\ndata: \n\nevent: endpoint\ndata: /x\n\n").unwrap();
        assert_eq!((got.len(), got[1].kind.as_str()), (2, "endpoint"));
        events.feed(b"data: half").unwrap();
        events.restart();
        assert_eq!(events.last_id.as_deref(), Some("7"));
        assert_eq!(events.retry, Some(Duration::from_millis(500)));
        events.feed(b"retry: soon\nid\n").unwrap();
        assert_eq!(
            (events.last_id.as_deref(), events.retry),
            (None, Some(Duration::from_millis(500)))
        );
    }

    #[test]
    fn a_long_event_is_refused() {
        assert_eq!(Events::new(10).feed(b"data: 0123456789"), Err(TooLong));
    }
}
