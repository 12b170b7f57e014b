//! The listener's loop: accept, serve, and let what runs end when told to stop.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Edge;

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(30);

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All that ran has ended.
    Fully,
    /// Time was up before.
    Cut,
}

/// Serves a listener until `stop` resolves, then lets what runs end, for `drain` at most.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Drained {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let builder = builder();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => connect(stream, &edge, &builder, &graceful, &mut connections),
            Err(error) => {
                // Out of file descriptors or the like: give what runs time to end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    edge.retire();
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_ok() {
        return Drained::Fully;
    }
    // What is cut off is recorded as cancelled while the log is still open.
    connections.shutdown().await;
    Drained::Cut
}

/// Serves one connection that does not come from a listener of ours, until the client ends it: a
/// socket handed over by the system, a tunnel, a pair of streams in a test.
pub async fn serve_connection(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    source: IpAddr,
    edge: Arc<Edge>,
) {
    ended(connection(&builder(), io, source, edge).await);
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new());
    builder
}

fn connect(
    stream: TcpStream,
    edge: &Arc<Edge>,
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let Ok(peer) = stream.peer_addr() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let watched = graceful.watch(connection(builder, stream, peer.ip(), edge.clone()));
    connections.spawn(async move { ended(watched.await) });
}

/// The requests of one connection.
fn connection<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    builder: &auto::Builder<TokioExecutor>,
    io: I,
    source: IpAddr,
    edge: Arc<Edge>,
) -> impl GracefulConnection<Error = ConnectionError> + Send + use<I> {
    let service =
        service_fn(move |request: http::Request<Incoming>| edge.clone().handle(source, request));
    builder.serve_connection(TokioIo::new(io), service).into_owned()
}

fn ended(connection: Result<(), ConnectionError>) {
    if let Err(error) = connection {
        tracing::debug!(%error, "connection ended");
    }
}
