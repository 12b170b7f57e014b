//! The listener's loop: accept, serve, and let what runs end when told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Edge;

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(30);

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
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new());
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
    match tokio::time::timeout(drain, graceful.shutdown()).await {
        Ok(()) => Drained::Fully,
        Err(_) => {
            // What is cut off is recorded as cancelled while the log is still open.
            connections.shutdown().await;
            Drained::Cut
        }
    }
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
    let edge = edge.clone();
    let service =
        service_fn(move |request: http::Request<Incoming>| edge.clone().handle(peer.ip(), request));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    connections.spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}
