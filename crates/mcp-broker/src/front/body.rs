//! Answers as HTTP: whole, or as a stream of events.

use std::fmt;

use bytes::Bytes;
use doorward_core::BoxStream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// The body of an answer.
pub enum FrontBody {
    /// All of it; empty where there is none.
    Whole(Bytes),
    /// Server-sent events. Dropping it ends what it tells of, where the protocol has it so.
    Stream(BoxStream<'static, Bytes>),
}

impl fmt::Debug for FrontBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A status and nothing else.
pub(super) fn bare(status: StatusCode) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// One message.
pub(super) fn whole(status: StatusCode, message: String) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::Whole(message.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Events.
pub(super) fn streamed(events: BoxStream<'static, Bytes>) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::Stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Proxies that buffer would swallow the signs of life.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
