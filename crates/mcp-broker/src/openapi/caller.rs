//! The sending end: one request, one answer, nothing followed.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use crate::upstream::reach;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The trust store cannot be read, or TLS not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The server cannot be reached, or went away.
    #[error("the server cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than is taken, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends requests to an API. Redirects are not followed: a credential goes to the server that the
/// operator named and nowhere else. Time is the caller's to limit.
pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    largest: usize,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("largest", &self.largest).finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller that takes answers up to so many bytes. `secure` where `https` is called: the
    /// machine's certificates are read then.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(secure: bool, largest: usize) -> Result<Self, SendError> {
        let client = reach::client(secure).map_err(SendError::Tls)?;
        Ok(Self { client, largest })
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    ///
    /// Where no whole answer comes, or too large a one.
    pub async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), SendError> {
        let response: Response<_> = self
            .client
            .request(request.map(Full::new))
            .await
            .map_err(|error| SendError::Unreachable(error.into()))?;
        let (head, body) = response.into_parts();
        let read = Limited::new(body, self.largest).collect().await;
        let body = read.map_err(|error| {
            if error.is::<LengthLimitError>() {
                SendError::TooLarge(self.largest)
            } else {
                SendError::Unreachable(error)
            }
        })?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}
