//! Server-sent events, as much of them as MCP uses: the data of each event
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    longest: usize,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Events {
    /// A reader that refuses events of more than `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self { line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, longest }
    }

    /// Takes the next bytes; the data of the events that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        if std::mem::take(&mut self.after_cr) {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
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

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if let Some(value) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
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
                let got: Vec<_> = got.iter().map(|data| str::from_utf8(data).unwrap()).collect();
                assert_eq!(got, expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_long_event_is_refused() {
        assert_eq!(Events::new(10).feed(b"data: 0123456789"), Err(TooLong));
    }
}
