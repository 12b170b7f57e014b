//! HTTP with a stream of its own for each direction (MCP 2024-11-05, "HTTP with SSE"): the server
//! names an endpoint for messages and answers on the stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_core::BoxFuture;
use http::Uri;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::address::{Peer, Session};
use super::ear::Ear;
use super::reach::Reach;
use super::sse::Events;
use super::turns::Manners;
use super::wire::{Hold, Wire, Wired};
use super::{Failure, handshake};
use crate::protocol::DATED;

/// How long a message may take to be accepted.
const ACCEPT: Duration = Duration::from_secs(30);

/// Opens the stream and shakes hands.
pub(super) async fn open(
    server: Arc<str>,
    reach: Reach,
    max_result: usize,
    ear: Arc<Ear>,
    manners: Arc<Manners>,
) -> Result<Wired, Failure> {
    let peer = Peer::Legacy(Arc::new(Session { id: None, version: DATED[3] }));
    let body = reach.stream(&peer, None).await?.into_body();
    let (wire, outbox) = Wire::new(server, max_result, ear, manners);
    let (named, endpoint) = oneshot::channel();
    let reading = tokio::spawn(read(wire.clone(), body, named));
    let hold = Streams(Mutex::new(vec![reading]));
    let endpoint = endpoint.await.map_err(|_| Failure::Gone)?;
    let uri = within(&reach.uri, &endpoint)
        .ok_or(Failure::Nonsense("wants messages sent to another host"))?;
    let writing = tokio::spawn(write(wire.clone(), Reach { uri, ..reach }, peer, outbox));
    hold.add(writing);
    let hello = handshake::initialize(&wire).await?;
    Ok(Wired::new(wire, hello, Box::new(hold)))
}

/// The endpoint that the server named, if it is of the same origin: a credential must not go to
/// another.
fn within(base: &Uri, named: &str) -> Option<Uri> {
    let named = named.trim();
    if named.contains("://") || named.starts_with("//") {
        let given: Uri = match named.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", base.scheme_str()?).parse().ok()?,
            None => named.parse().ok()?,
        };
        let port = |uri: &Uri| {
            uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
        };
        let same = given.scheme() == base.scheme()
            && given.host().map(str::to_ascii_lowercase)
                == base.host().map(str::to_ascii_lowercase)
            && port(&given) == port(base)
            && !given.authority().is_some_and(|authority| authority.as_str().contains('@'));
        return same.then_some(given);
    }
    let path = match named.chars().next()? {
        '/' => named.to_owned(),
        '?' => format!("{}{named}", base.path()),
        _ => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{named}")
        }
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// Reads the stream until it ends.
async fn read(wire: Arc<Wire>, mut body: Incoming, named: oneshot::Sender<String>) {
    let mut named = Some(named);
    let mut events = Events::new(wire.longest());
    'stream: while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else { continue };
        let Ok(events) = events.feed(&bytes) else { break };
        for event in events {
            match (&*event.kind, named.take()) {
                ("endpoint", Some(named)) => {
                    let Ok(endpoint) = String::from_utf8(event.data) else { break 'stream };
                    named.send(endpoint).ok();
                }
                ("" | "message", None) => wire.take(&event.data),
                (_, left) => named = left,
            }
        }
    }
    wire.close();
}

/// Posts messages, one after the other, until there are no more or one is refused.
async fn write(wire: Arc<Wire>, reach: Reach, peer: Peer, mut outbox: mpsc::Receiver<String>) {
    while let Some(message) = outbox.recv().await {
        let posted = tokio::time::timeout(ACCEPT, reach.post(&peer, None, message)).await;
        if !matches!(posted, Ok(Ok(_))) {
            break;
        }
    }
    wire.close();
}

/// The tasks of both directions. Dropping it ends them.
struct Streams(Mutex<Vec<JoinHandle<()>>>);

impl Streams {
    fn add(&self, task: JoinHandle<()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    fn stop(&self) {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hold for Streams {
    fn end(&self) -> BoxFuture<'_, ()> {
        self.stop();
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_of_the_same_origin() {
        let base: Uri = "http://host:8080/a/sse".parse().unwrap();
        for (named, uri) in [
            ("/messages?id=1", Some("http://host:8080/messages?id=1")),
            ("messages", Some("http://host:8080/a/messages")),
            ("?id=1", Some("http://host:8080/a/sse?id=1")),
            ("http://HOST:8080/m", Some("http://HOST:8080/m")),
            ("//host:8080/m", Some("http://host:8080/m")),
            ("http://host/m", None),
            ("https://host:8080/m", None),
            ("http://other:8080/m", None),
            ("//other:8080/m", None),
            ("http://x@host:8080/m", None),
            ("http://host:8080@other/m", None),
            ("", None),
        ] {
            let expected = uri.map(|uri: &str| uri.to_ascii_lowercase());
            let got = within(&base, named).map(|uri| uri.to_string().to_ascii_lowercase());
            assert_eq!(got, expected, "{named}");
        }
    }
}
