//! The seam to the network.

use std::fmt;

use bytes::Bytes;
use doorward_core::{BoxFuture, BoxStream, Code};
use futures_util::stream;

/// A request on its way out. Its credential header is marked sensitive and so not printed.
pub type Outbound = http::Request<Bytes>;

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
}

impl TransportError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Timeout(_) => Code::Timeout,
            Self::Connect(_) | Self::Broken(_) => Code::Upstream,
        }
    }
}

/// Sends requests. The one place where the model plane touches a network.
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends a request and waits for the head of the answer. Dropping the future cancels it.
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>>;
}
