//! How authorization servers are asked.

mod dial;
mod hyper;

use std::fmt;

use bytes::Bytes;
use doorward_core::{BoxFuture, Secret};
use serde::de::DeserializeOwned;

pub use self::hyper::{HyperHttp, TlsError};
use super::address::{AddressError, Endpoint, Reach, brief};
use super::fault::OAuthError;

/// The largest answer that is read, in bytes.
pub(crate) const LARGEST: usize = 256 << 10;
/// How often a document may say that it is elsewhere.
const HOPS: usize = 3;

/// A request to an authorization server, or for metadata.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The URL. Its form has been checked; where its name leads has not.
    pub url: http::Uri,
    /// What is sent along, if anything.
    pub content: Content,
    /// An `Authorization` value.
    pub authorization: Option<Secret>,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing: a GET.
    None,
    /// A form to be posted.
    Form(Secret),
    /// JSON to be posted.
    Json(String),
}

/// An answer, read whole.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Where it says to go, for a redirect.
    pub location: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies hold tokens.
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The name leads to an address that is out of reach, or to none.
    #[error("the host's addresses are out of reach")]
    OutOfReach,
    /// It took too long.
    #[error("it took too long")]
    Slow,
    /// The answer is too large.
    #[error("the answer is too large")]
    TooLarge,
    /// The server says that it cannot answer now.
    #[error("status {0}")]
    Status(u16),
    /// It was asked a moment ago and did not answer.
    #[error("it did not answer a moment ago")]
    Paused,
    /// The connection failed.
    #[error("the connection failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends requests. An implementation follows no redirects, reads at most 256 KiB, gives up after
/// some seconds and connects to no address that its [`Reach`] does not admit.
pub trait Http: Send + Sync + fmt::Debug {
    /// The answer, whatever its status.
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Answer, HttpError>>;
}

/// A document: `None` where there is none (4xx). Redirects are followed within the origin only.
pub(crate) async fn document<T: DeserializeOwned>(
    http: &dyn Http,
    reach: &Reach,
    url: &str,
) -> Result<Option<T>, OAuthError> {
    let mut at = reach.endpoint(url)?;
    for _ in 0..=HOPS {
        let ask = Ask { url: at.uri().clone(), content: Content::None, authorization: None };
        let answer = send(http, ask, at.text()).await?;
        match answer.status {
            200 => {
                let read = serde_json::from_slice(&answer.body);
                return read.map(Some).map_err(|_| OAuthError::metadata(url, "not such JSON"));
            }
            301 | 302 | 303 | 307 | 308 => {
                let target = answer.location.unwrap_or_default();
                let target = if target.starts_with('/') && !target.starts_with("//") {
                    format!("{}{target}", at.origin())
                } else {
                    target
                };
                let next: Endpoint = reach.endpoint(&target)?;
                if !next.same_origin(&at) {
                    return Err(OAuthError::metadata(url, "redirected to another origin"));
                }
                at = next;
            }
            400..=499 => return Ok(None),
            _ => return Err(OAuthError::metadata(url, "not served with status 200")),
        }
    }
    Err(OAuthError::metadata(url, "redirected too often"))
}

/// An answer that is not a passing failure (408, 429, 5xx).
pub(crate) async fn send(http: &dyn Http, ask: Ask, url: &str) -> Result<Answer, OAuthError> {
    let unanswered = |cause| match cause {
        HttpError::OutOfReach => {
            let why = "at an address that is out of reach";
            AddressError { url: brief(url), why }.into()
        }
        cause => OAuthError::Unanswered { url: brief(url), cause },
    };
    let answer = http.send(ask).await.map_err(unanswered)?;
    match answer.status {
        status @ (408 | 429 | 500..) => Err(unanswered(HttpError::Status(status))),
        _ => Ok(answer),
    }
}
