//! JSON-RPC over a pair of byte streams, one message a line: ids matched, many at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::Failure;
use crate::envelope::{self, Message};
use crate::lines::{self, Line, Lines};
use crate::protocol::code;

/// How many messages wait for a server that reads slowly, before their senders wait.
const QUEUE: usize = 64;

type Waiting = oneshot::Sender<Result<Box<RawValue>, Failure>>;

/// The asking end. Ids are its own, so clients' ids never meet.
#[derive(Debug)]
pub(crate) struct Wire {
    server: Arc<str>,
    out: mpsc::Sender<String>,
    next: AtomicU64,
    /// Requests not yet answered; `None` once the other side is gone.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    max_result: usize,
    /// Goes up when the server says that its tools changed.
    changes: Arc<AtomicU64>,
}

impl Wire {
    /// A wire, and what it wants written.
    pub(crate) fn new(
        server: Arc<str>,
        max_result: usize,
        changes: Arc<AtomicU64>,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (out, outbox) = mpsc::channel(QUEUE);
        let waiting = Mutex::new(Some(HashMap::new()));
        let wire = Self { server, out, next: AtomicU64::new(1), waiting, max_result, changes };
        (Arc::new(wire), outbox)
    }

    /// Asks and waits. Dropping the future takes the question back: the server is told so
    /// (`notifications/cancelled`), except for `initialize`, which must not be cancelled.
    pub(crate) async fn request(
        &self,
        method: &str,
        params: &str,
    ) -> Result<Box<RawValue>, Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.with_waiting(|waiting| waiting.insert(id, tell)).ok_or(Failure::Gone)?;
        let mut flight = Flight { wire: self, id, sent: false };
        let message = envelope::request(id, method, params);
        self.out.send(message).await.map_err(|_| Failure::Gone)?;
        flight.sent = method != "initialize";
        told.await.unwrap_or(Err(Failure::Gone))
    }

    /// Asks and leaves the answer to come or not.
    pub(crate) async fn ask_only(&self, method: &str, params: &str) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.out.send(envelope::request(id, method, params)).await.ok();
    }

    /// Tells the server something.
    pub(crate) async fn notify(&self, method: &str) -> Result<(), Failure> {
        self.out.send(envelope::notification(method, None)).await.map_err(|_| Failure::Gone)
    }

    /// Whether the other side is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.with_waiting(|_| ()).is_some()
    }

    /// The other side is gone: everybody who waits is told.
    pub(crate) fn close(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        for tell in waiting.into_iter().flat_map(HashMap::into_values) {
            tell.send(Err(Failure::Gone)).ok();
        }
    }

    fn with_waiting<T>(&self, act: impl FnOnce(&mut HashMap<u64, Waiting>) -> T) -> Option<T> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }

    fn settle(&self, id: u64, outcome: Result<Box<RawValue>, Failure>) {
        if let Some(tell) = self.with_waiting(|waiting| waiting.remove(&id)).flatten() {
            tell.send(outcome).ok();
        }
    }

    /// Takes one line from the server. Lines that are no messages are let go: many servers print
    /// banners to their output.
    fn take(&self, line: &[u8]) {
        match Message::read(line) {
            Ok(Message::Reply { id: Some(id), outcome }) => {
                let Ok(id) = id.get().parse() else { return };
                let outcome = match outcome {
                    Ok(result) if result.get().len() > self.max_result => {
                        Err(Failure::TooLarge(self.max_result))
                    }
                    Ok(result) => Ok(result.to_owned()),
                    Err(error) => Err(Failure::Rpc(error)),
                };
                self.settle(id, outcome);
            }
            Ok(Message::Request { id, method, .. }) => {
                // Not waited for: a server that floods us with questions must not stop its own
                // answers from being read.
                self.out.try_send(respond(id, &method)).ok();
            }
            Ok(Message::Notification { method, .. }) => {
                if method == "notifications/tools/list_changed" {
                    self.changes.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(Message::Reply { id: None, .. }) | Err(_) => {
                tracing::debug!(server = %self.server, bytes = line.len(), "not a message");
            }
        }
    }

    /// A line that is too long is skipped; the question it answers fails, where its id can be
    /// read before the rest.
    fn skip(&self, start: &[u8]) {
        tracing::debug!(server = %self.server, "line too long");
        if let Some(id) = leading_id(start) {
            self.settle(id, Err(Failure::TooLarge(lines::LONGEST)));
        }
    }

    /// Reads lines until the stream ends.
    pub(crate) async fn read(&self, input: impl AsyncBufRead + Unpin) {
        let mut lines = Lines::new(input);
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => self.take(line),
                Ok(Some(Line::TooLong(start))) => self.skip(start),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(server = %self.server, %error, "reading failed");
                    break;
                }
            }
        }
    }
}

/// Our answer to a server's question: pings are answered, nothing else is offered.
pub(crate) fn respond(id: &RawValue, method: &str) -> String {
    match method {
        "ping" => envelope::reply(id, "{}"),
        _ => envelope::refusal(Some(id), code::METHOD_NOT_FOUND, "method not found", None),
    }
}

/// The id of a reply whose beginning is known, where it stands before anything large.
fn leading_id(start: &[u8]) -> Option<u64> {
    let start = &start[..start.len().min(lines::PEEK)];
    let text = String::from_utf8_lossy(start);
    let head = text.split("\"result\"").next().unwrap_or_default();
    let (_, after) = head.split_once("\"id\"")?;
    let digits = after.trim_start().strip_prefix(':')?.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}

/// Writes messages, a line each, until there are no more or the stream breaks.
pub(crate) async fn write(
    mut outbox: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut lines = Vec::new();
    while let Some(message) = outbox.recv().await {
        lines.extend_from_slice(message.as_bytes());
        lines.push(b'\n');
        // What is waiting already goes in the same write.
        while let Ok(message) = outbox.try_recv() {
            lines.extend_from_slice(message.as_bytes());
            lines.push(b'\n');
        }
        output.write_all(&lines).await?;
        output.flush().await?;
        lines.clear();
        lines.shrink_to(1 << 16);
    }
    Ok(())
}

/// One question under way. Dropped before its answer came, it is taken back.
struct Flight<'a> {
    wire: &'a Wire,
    id: u64,
    /// Whether the server knows of it and may be told to stop.
    sent: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let unanswered = self.wire.with_waiting(|waiting| waiting.remove(&self.id)).flatten();
        if unanswered.is_some() && self.sent {
            let params = format!(r#"{{"requestId":{},"reason":"the caller went away"}}"#, self.id);
            let message = envelope::notification("notifications/cancelled", Some(&params));
            self.wire.out.try_send(message).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_long_line_is_read_from_its_start() {
        for (start, id) in [
            (r#"{"jsonrpc":"2.0","id":17,"result":{"#, Some(17)),
            (r#"{"id" : 3 ,"jsonrpc""#, Some(3)),
            (r#"{"jsonrpc":"2.0","result":{"id":5,"#, None),
            (r#"{"jsonrpc":"2.0","id":"a","#, None),
            ("garbage", None),
        ] {
            assert_eq!(leading_id(start.as_bytes()), id, "{start}");
        }
    }
}
