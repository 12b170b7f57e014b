//! JSON-RPC over a pair of byte streams, one message a line: ids matched, many at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::BoxFuture;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::ear::Ear;
use super::hearing::{self, Attended, Hearing};
use super::pool::Connection;
use super::turns::{Manners, Turns};
use super::watch::{self, Watch};
use super::{Ask, Failure, Hello};
use crate::envelope::{self, Message};
use crate::lines::{self, Line, Lines};
use crate::protocol::{self, RequestMeta};
use crate::{Era, edit};

/// How many messages wait for a server that reads slowly, before their senders wait.
const QUEUE: usize = 64;

/// What an envelope adds to a result, generously.
const ENVELOPE: usize = 4096;

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
    hearing: Arc<Hearing>,
}

impl Wire {
    /// A wire, and what it wants written.
    pub(super) fn new(
        server: Arc<str>,
        max_result: usize,
        ear: Arc<Ear>,
        manners: Arc<Manners>,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (out, outbox) = mpsc::channel(QUEUE);
        let waiting = Mutex::new(Some(HashMap::new()));
        let hearing =
            Hearing::new(server.clone(), ear, Turns::new(manners, true), Some(out.clone()));
        let wire = Self { server, out, next: AtomicU64::new(1), waiting, max_result, hearing };
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
        if message.len() > lines::LONGEST {
            return Err(Failure::Nonsense("was to be sent more than can be sent"));
        }
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
    pub(super) async fn notify(&self, method: &str) -> Result<(), Failure> {
        self.out.send(envelope::notification(method, None)).await.map_err(|_| Failure::Gone)
    }

    /// Whether the other side is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.with_waiting(|_| ()).is_some()
    }

    /// The other side is gone: everybody who waits is told.
    pub(crate) fn close(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.hearing.close();
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
    pub(super) fn take(&self, line: &[u8]) {
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
            Ok(Message::Request { id, method, params }) => {
                self.hearing.request(id, &method, params, None);
            }
            Ok(Message::Notification { method, params }) => {
                self.hearing.notification(&method, params, None);
            }
            Ok(Message::Reply { id: None, .. }) | Err(_) => {
                tracing::debug!(server = %self.server, bytes = line.len(), "not a message");
            }
        }
    }

    /// The longest message taken.
    pub(super) fn longest(&self) -> usize {
        lines::LONGEST.max(self.max_result.saturating_add(ENVELOPE))
    }

    /// A line that is too long is skipped; the question it answers fails, where its id can be
    /// read before the rest.
    fn skip(&self, start: &[u8]) {
        tracing::debug!(server = %self.server, "line too long");
        if let Some(id) = leading_id(start) {
            self.settle(id, Err(Failure::TooLarge(self.max_result)));
        }
    }

    /// Reads lines until the stream ends.
    pub(crate) async fn read(&self, input: impl AsyncBufRead + Unpin) {
        let mut lines = Lines::new(input).up_to(self.longest());
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

/// What keeps the other side of a wire alive.
pub(super) trait Hold: Send + Sync {
    /// Lets it end, and waits until it has.
    fn end(&self) -> BoxFuture<'_, ()>;
}

/// A connection over a wire. Dropping it lets the other side end.
pub(super) struct Wired {
    wire: Arc<Wire>,
    hello: Arc<Hello>,
    logs: bool,
    watch: Watch,
    hold: Box<dyn Hold>,
}

impl Wired {
    pub(super) fn new(wire: Arc<Wire>, hello: Arc<Hello>, hold: Box<dyn Hold>) -> Self {
        let logs = edit::member(hello.capabilities.get(), "logging").is_some();
        let wired = Self { wire, hello, logs, watch: Watch::default(), hold };
        wired.listen();
        wired
    }

    /// Where the call has a client, its share of what the server says.
    async fn attend(&self, ask: &Ask<'_>) -> Option<Attended<'_>> {
        ask.exchange?;
        let kind = hearing::kind(ask.method, ask.name);
        let turns = &self.wire.hearing.turns;
        let turn = match self.hello.era {
            Era::Legacy => turns.wait(ask.client(), &kind).await,
            Era::Modern => turns.join(ask.client(), &kind),
        };
        if let Some(level) = turns.level().filter(|_| self.logs && self.hello.era == Era::Legacy) {
            let level = serde_json::to_string(&level).unwrap_or_default();
            self.wire.ask_only("logging/setLevel", &format!(r#"{{"level":{level}}}"#)).await;
        }
        Some(self.wire.hearing.attend(turn))
    }

    fn watch_anew(&self) {
        if self.hello.era == Era::Legacy {
            return;
        }
        let Some(params) = self.watch.params(&self.hello.capabilities) else {
            return self.watch.stop();
        };
        let meta = protocol::request_meta(Era::Modern, &RequestMeta::default()).unwrap_or_default();
        let params = edit::with(&params, &format!(r#""_meta":{meta}"#)).unwrap_or_default();
        let wire = self.wire.clone();
        self.watch.run(watch::keep(move || {
            let (wire, params) = (wire.clone(), params.clone());
            async move { wire.request("subscriptions/listen", &params).await.map(drop) }
        }));
    }
}

impl Connection for Wired {
    fn hello(&self) -> &Arc<Hello> {
        &self.hello
    }

    fn is_open(&self) -> bool {
        self.wire.is_open()
    }

    fn ear(&self) -> &Ear {
        &self.wire.hearing.ear
    }

    fn ask<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Result<Box<RawValue>, Failure>> {
        Box::pin(async move {
            let attended = self.attend(ask).await;
            let token = attended.as_ref().and_then(Attended::id);
            let params = ask.params(self.hello.era, token);
            let outcome = self.wire.request(ask.method, &params).await;
            attended.into_iter().for_each(Attended::ended);
            outcome
        })
    }

    fn listen(&self) {
        if self.watch.want_lists() {
            self.watch_anew();
        }
    }

    fn follow<'a>(&'a self, uri: &'a str, on: bool) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            if self.hello.era == Era::Modern {
                if self.watch.want(uri, on) {
                    self.watch_anew();
                }
                return Ok(());
            }
            let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
            let params = format!(r#"{{"uri":{}}}"#, edit::quote(uri));
            self.wire.request(method, &params).await.map(drop)
        })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.watch.stop();
        self.hold.end()
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
