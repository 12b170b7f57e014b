//! Lines of bytes with a limit, as stdio transports frame their messages.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line taken where nobody says otherwise, in bytes.
pub(crate) const LONGEST: usize = 16 << 20;
/// How much is kept of a line that is too long.
pub(crate) const PEEK: usize = 256;

/// Cuts a stream into lines. [`next`](Lines::next) may be dropped and called again.
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    too_long: bool,
    taken: bool,
    longest: usize,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    /// It was longer than allowed; this is how it began.
    TooLong(&'a [u8]),
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), too_long: false, taken: false, longest: LONGEST }
    }

    /// Takes lines of up to so many bytes.
    pub(crate) fn up_to(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// The next line that is not blank; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        if std::mem::take(&mut self.taken) {
            self.restart();
        }
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let (end, kept, used) = match memchr::memchr(b'\n', chunk) {
                Some(at) => (true, at, at + 1),
                None => (false, chunk.len(), chunk.len()),
            };
            if self.line.len() + kept > self.longest {
                self.too_long = true;
                self.line.truncate(PEEK);
                self.line.shrink_to_fit();
            }
            if !self.too_long || self.line.len() < PEEK {
                self.line.extend_from_slice(&chunk[..kept]);
            }
            self.input.consume(used);
            if !end {
                continue;
            }
            if self.too_long {
                self.taken = true;
                return Ok(Some(Line::TooLong(&self.line)));
            }
            if self.line.trim_ascii().is_empty() {
                self.restart();
                continue;
            }
            self.taken = true;
            return Ok(Some(Line::Whole(&self.line)));
        }
    }

    fn restart(&mut self) {
        self.too_long = false;
        self.line.clear();
        self.line.shrink_to(1 << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    #[tokio::test]
    async fn a_line_too_long_does_not_stop_the_next() {
        let long = [b"{\"id\":1,".as_slice(), &vec![b'x'; LONGEST]].concat();
        let text = [b"\n one \r\n".as_slice(), &long, b"\n\r\ntwo\nunended"].concat();
        let mut lines = Lines::new(BufReader::new(text.as_slice()));
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(b" one \r")));
        let Some(Line::TooLong(start)) = lines.next().await.unwrap() else { panic!("taken") };
        assert!(start.starts_with(b"{\"id\":1,") && start.len() < 10_000, "{}", start.len());
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole(b"two")));
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
