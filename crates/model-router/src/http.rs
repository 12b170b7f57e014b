//! The transport over real sockets: hyper, with rustls and the machine's root certificates.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::BoxFuture;
use futures_core::Stream;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, Sleep};

use crate::transport::{Inbound, Outbound, Transport, TransportError};

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To take the connection.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// Connect 10 s, first byte 10 min (reasoning models think before they answer), idle 5 min.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(10),
            idle: Duration::from_mins(5),
        }
    }
}

/// The TLS library cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("TLS is not usable")]
pub struct TlsError(#[from] rustls::Error);

/// Sends over pooled connections, HTTP/1.1 and HTTP/2.
pub struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeouts: Timeouts,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport that trusts the machine's root certificates. Where the machine has none, plain
    /// `http://` upstreams still work and `https://` ones fail to connect.
    ///
    /// # Errors
    ///
    /// Where the TLS library has no usable cipher suites.
    pub fn new(timeouts: Timeouts) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeouts.connect));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_mins(1))
            .build(connector);
        Ok(Self { client, timeouts })
    }
}

/// The machine's root certificates, or none where it has none.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    use hyper_rustls::ConfigBuilderExt;

    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    match builder.clone().with_native_roots() {
        Ok(rooted) => Ok(rooted.with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "no root certificates: https upstreams will not connect");
            let none = rustls::RootCertStore::empty();
            Ok(builder.with_root_certificates(none).with_no_client_auth())
        }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let sent = self.client.request(request.map(Full::new));
        let Timeouts { first_byte, idle, .. } = self.timeouts;
        Box::pin(async move {
            let answer = match tokio::time::timeout(first_byte, sent).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) if error.is_connect() => {
                    return Err(TransportError::Connect(Box::new(error)));
                }
                Ok(Err(error)) => return Err(TransportError::Broken(Box::new(error))),
                Err(_) => return Err(TransportError::Timeout("answer")),
            };
            let (head, incoming) = answer.into_parts();
            let last = Instant::now();
            let body = Arriving { incoming, idle, last, alarm: None };
            Ok(Inbound { head, body: Box::pin(body) })
        })
    }
}

/// The pieces of a body, with a limit on the silence between two.
struct Arriving {
    incoming: Incoming,
    idle: Duration,
    last: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Stream for Arriving {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.last = Instant::now();
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(TransportError::Broken(Box::new(error)))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return this.poll_alarm(cx),
            }
        }
    }
}

impl Arriving {
    /// The alarm is set late and moved only when it rings, so that a busy stream pays nothing.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        let due = self.last + self.idle;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(Some(Err(TransportError::Timeout("further data"))));
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}
