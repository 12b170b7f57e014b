//! Just enough HTTP/1.1 (RFC 9112) for both ends of a comparison: heads, `content-length` and
//! chunked bodies. Written for little cost; it trusts its peers, which are ours.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a message's head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Request or status line.
    pub(super) start: String,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
}

impl Head {
    /// The status, if this is an answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}

/// Reads messages from a connection that is kept alive.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// Up to here the buffer is used up.
    used: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: Vec::with_capacity(16 << 10), used: 0 }
    }

    /// The next message's head; nothing where the peer has hung up between messages.
    ///
    /// # Errors
    ///
    /// Where the connection breaks, or what comes is no HTTP.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut looked = 0;
        loop {
            let unread = self.unread();
            // The end may straddle two reads.
            let from = looked.min(unread.len()).saturating_sub(3);
            if let Some(at) = find(&unread[from..], b"\r\n\r\n") {
                let end = from + at;
                let head = parse(&unread[..end])?;
                self.used += end + 4;
                return Ok(Some(head));
            }
            looked = unread.len();
            if !self.fill().await? {
                return if looked == 0 { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    /// Hands on the body piece by piece, as it comes in.
    ///
    /// # Errors
    ///
    /// Where the connection breaks before the end, or the framing is wrong.
    pub(super) async fn body(
        &mut self,
        head: &Head,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let Length::Bytes(length) = head.length else {
            loop {
                let size = self.line().await?;
                let digits = size.split(';').next().unwrap_or_default().trim();
                let size =
                    usize::from_str_radix(digits, 16).map_err(|_| malformed("chunk size"))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Ok(());
                }
                self.piece(size, &mut each).await?;
                if !self.line().await?.is_empty() {
                    return Err(malformed("chunk end"));
                }
            }
        };
        self.piece(length, &mut each).await
    }

    async fn piece(&mut self, mut left: usize, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            let unread = self.unread();
            if unread.is_empty() {
                self.filled().await?;
                continue;
            }
            let piece = &unread[..unread.len().min(left)];
            each(piece);
            let taken = piece.len();
            self.used += taken;
            left -= taken;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(self.unread(), b"\r\n") {
                let line = String::from_utf8_lossy(&self.unread()[..at]).into_owned();
                self.used += at + 2;
                return Ok(line);
            }
            self.filled().await?;
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    async fn filled(&mut self) -> io::Result<()> {
        if self.fill().await? { Ok(()) } else { Err(cut_short()) }
    }

    /// Reads more; says no where there is nothing more.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(8 << 10);
        Ok(self.from.read_buf(&mut self.buffer).await? > 0)
    }
}

fn parse(head: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("head"))?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let mut length = Length::Bytes(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Bytes(value.parse().map_err(|_| malformed("content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        }
    }
    Ok(Head { start, length })
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a message")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const TWO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
                       HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nwor\r\n2\r\nld\r\n0\r\n\r\n";

    /// Reads both messages from a stream that comes in two parts.
    async fn read(cut: usize) -> Vec<(Option<u16>, String)> {
        let (mut near, far) = tokio::io::duplex(4096);
        let writing = async {
            near.write_all(&TWO.as_bytes()[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            near.write_all(&TWO.as_bytes()[cut..]).await.unwrap();
            drop(near);
        };
        let reading = async {
            let mut reader = Reader::new(far);
            let mut messages = Vec::new();
            while let Some(head) = reader.head().await.unwrap() {
                let mut body = Vec::new();
                reader.body(&head, |piece| body.extend_from_slice(piece)).await.unwrap();
                messages.push((head.status(), String::from_utf8(body).unwrap()));
            }
            messages
        };
        tokio::join!(writing, reading).1
    }

    #[tokio::test]
    async fn messages_are_read_wherever_they_are_cut() {
        let expected = [(Some(200), "hello".to_owned()), (Some(503), "world".to_owned())];
        for cut in 0..=TWO.len() {
            assert_eq!(read(cut).await, expected, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_message_cut_short_is_an_error() {
        for (text, whole) in [("HTTP/1.1 200 OK\r\n", false), ("", true)] {
            assert_eq!(Reader::new(text.as_bytes()).head().await.is_ok(), whole);
        }
        for body in
            ["content-length: 5\r\n\r\nhell", "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n"]
        {
            let text = format!("HTTP/1.1 200 OK\r\n{body}");
            let mut reader = Reader::new(text.as_bytes());
            let head = reader.head().await.unwrap().unwrap();
            let error = reader.body(&head, |_| ()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
