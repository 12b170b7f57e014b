//! Lines as the body of a request. The request itself is made elsewhere: this crate has no HTTP.

use super::{DeliveryError, Destination};
use crate::{Format, Sealed};

/// A request was not answered.
#[derive(Debug, thiserror::Error)]
#[error("the request was not answered")]
pub struct PostError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, or as much of it as the poster cares to read.
    pub body: Vec<u8>,
}

/// Makes requests to one address, with whatever credential belongs there. May block.
pub trait Post: Send {
    /// Sends a body with HTTP's `POST`.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    fn post(&mut self, body: Vec<u8>, media_type: &str) -> Result<PostAnswer, PostError>;
}

/// Posts records as lines. Any answer of the 200s says that they arrived.
#[derive(Debug)]
pub struct HttpDestination<P> {
    post: P,
    format: Format,
}

impl<P: Post> HttpDestination<P> {
    /// Posts in this form.
    pub fn new(post: P, format: Format) -> Self {
        Self { post, format }
    }
}

impl<P: Post> Destination for HttpDestination<P> {
    fn deliver(&mut self, records: &[Sealed]) -> Result<(), DeliveryError> {
        let mut body = self.format.header();
        for sealed in records {
            if let Some(line) = self.format.line(sealed)? {
                body.push_str(&line);
                body.push_str(self.format.line_end());
            }
        }
        let answer = self.post.post(body.into_bytes(), self.format.media_type())?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(DeliveryError::Refused { status }),
        }
    }
}
