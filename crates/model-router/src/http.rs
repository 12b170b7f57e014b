//! The transport over real sockets: hyper, with rustls and the machine's root certificates.

mod arriving;
mod dial;
mod leaving;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use doorward_core::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::transport::{Inbound, Outbound, Streaming, Timeouts, Transport, TransportError};
use arriving::Arriving;
use dial::Dial;
use leaving::Leaving;

/// How long an unused connection is kept. Shorter than the 60 s and more after which front ends
/// close one, so that a call seldom meets a closing connection.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// How often an HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach upstreams, beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// How long they may take; an upstream's own limits go before.
    pub timeouts: Timeouts,
    /// Certificates to trust beside the machine's, in PEM (a private authority).
    pub roots: Option<Vec<u8>>,
    /// An HTTP proxy through which every connection is made (`CONNECT`, RFC 9110 §9.3.6). A name
    /// and password for it cannot stand in the address.
    pub proxy: Option<Uri>,
    /// What to show the proxy, as a whole `Proxy-Authorization` value.
    pub proxy_credential: Option<doorward_core::Secret>,
}

/// A transport cannot be made like this.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The TLS library cannot be used.
    #[error("TLS is not usable")]
    Library(#[from] rustls::Error),
    /// The extra certificates are none.
    #[error("the certificates to trust are not PEM")]
    Roots,
    /// The proxy's address or credential is none.
    #[error("the proxy is not an http URL with a usable credential")]
    Proxy,
}

/// Sends over pooled connections, HTTP/1.1 and HTTP/2.
///
/// A connection that the other side closed while it was unused is noticed before anything of the
/// next request is written, and that request goes over another one; once a byte may have left,
/// nothing is sent again here. No connection in use is ever closed from here (trap 60).
pub struct HttpTransport {
    client: HttpClient,
    timeouts: Timeouts,
    dial: Dial,
    tls: Arc<rustls::ClientConfig>,
    /// Clients for upstreams that may take another time to connect.
    others: RwLock<BTreeMap<Duration, HttpClient>>,
}

type HttpClient = Client<HttpsConnector<Dial>, Leaving>;

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
        Self::with(HttpOptions { timeouts, ..HttpOptions::default() })
    }

    /// A transport with more to it than times.
    ///
    /// # Errors
    ///
    /// Where the TLS library cannot be used, or an option is none.
    pub fn with(options: HttpOptions) -> Result<Self, TlsError> {
        let tls = Arc::new(dial::tls(options.roots.as_deref())?);
        let dial = Dial::new(options.proxy, options.proxy_credential.as_ref())?;
        let timeouts = options.timeouts;
        let client = client(&dial, &tls, timeouts.connect);
        Ok(Self { client, timeouts, dial, tls, others: RwLock::default() })
    }

    /// The client whose connections may take so long to be made.
    fn client(&self, connect: Duration) -> HttpClient {
        if connect == self.timeouts.connect {
            return self.client.clone();
        }
        let known = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(&connect) {
            return client.clone();
        }
        drop(known);
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.entry(connect).or_insert_with(|| client(&self.dial, &self.tls, connect)).clone()
    }

    async fn exchange(&self, request: http::Request<Leaving>) -> Result<Inbound, TransportError> {
        let timeouts = *request.extensions().get::<Timeouts>().unwrap_or(&self.timeouts);
        let sent = self.client(timeouts.connect).request(request);
        let answer = match tokio::time::timeout(timeouts.first_byte, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(failure(error)),
            Err(_) => return Err(TransportError::Timeout("answer")),
        };
        let (head, incoming) = answer.into_parts();
        Ok(Inbound { head, body: Box::pin(Arriving::new(incoming, timeouts.idle)) })
    }
}

fn client(dial: &Dial, tls: &Arc<rustls::ClientConfig>, connect: Duration) -> HttpClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((**tls).clone())
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(dial.within(connect));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .retry_canceled_requests(true)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector)
}

/// Why there is no answer: whether nothing was sent, our own body failed, or the connection did.
fn failure(error: hyper_util::client::legacy::Error) -> TransportError {
    if error.is_connect() {
        return TransportError::Connect(Box::new(error));
    }
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if let Some(TransportError::Body(_)) = error.downcast_ref() {
            return TransportError::Body(error.to_string().into());
        }
        cause = error.source();
    }
    TransportError::Broken(Box::new(error))
}

impl Transport for HttpTransport {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        Box::pin(self.exchange(request.map(Leaving::whole)))
    }

    fn stream(&self, request: Streaming) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        Box::pin(self.exchange(request.map(Leaving::streamed)))
    }
}
