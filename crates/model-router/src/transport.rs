//! The seam to the network.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use doorward_core::{BoxFuture, BoxStream, Code};
use futures_util::{StreamExt, stream};

/// A request on its way out. Its credential header is marked sensitive and so not printed. Its
/// extensions may hold [`Timeouts`] that go before the transport's own.
pub type Outbound = http::Request<Bytes>;

/// A request whose body is still arriving while it is sent on.
pub type Streaming = http::Request<BoxStream<'static, Result<Bytes, TransportError>>>;

/// The longest streamed body that is gathered for a transport that cannot stream, in bytes.
const MOST_GATHERED: usize = 64 << 20;

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

/// An answer on its way in.
pub struct Inbound {
    /// Status and headers.
    pub head: http::response::Parts,
    /// The body as it arrives. Dropping it closes the exchange.
    pub body: BoxStream<'static, Result<Bytes, TransportError>>,
}

impl Inbound {
    /// An answer that is all there, for scripted transports.
    pub fn whole(status: u16, body: impl Into<Bytes>) -> Self {
        let body: Bytes = body.into();
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        Self { head, body: Box::pin(stream::iter([Ok(body)])) }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("status", &self.head.status).finish_non_exhaustive()
    }
}

/// The exchange with an upstream failed below HTTP.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no {0} in time")]
    Timeout(&'static str),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body to be sent failed on its way here: not the upstream's fault.
    #[error("the request's body failed")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TransportError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Timeout(_) => Code::Timeout,
            Self::Connect(_) | Self::Broken(_) => Code::Upstream,
            Self::Body(_) => Code::InvalidRequest,
        }
    }
}

/// Sends requests. The one place where the model plane touches a network.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request and waits for the head of the answer. Dropping the future cancels it.
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>>;

    /// Sends a request whose body is still arriving. A transport that does not override this
    /// gathers the body first, up to 64 MiB.
    fn stream(&self, request: Streaming) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = gather(body).await?;
            self.send(Outbound::from_parts(head, body)).await
        })
    }
}

/// A streamed body, whole.
pub(crate) async fn gather(
    mut body: BoxStream<'static, Result<Bytes, TransportError>>,
) -> Result<Bytes, TransportError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if whole.len() + piece.len() > MOST_GATHERED {
            return Err(TransportError::Body("it is too long to be gathered".into()));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
