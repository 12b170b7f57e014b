//! Answers as HTTP: whole, or as a stream with signs of life.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::BoxStream;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::rpc::Job;
use crate::edit;

/// The body of an answer.
pub enum FrontBody {
    /// All of it; empty where there is none.
    Whole(Bytes),
    /// Server-sent events. Dropping it cancels what runs upstream.
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

/// A message that takes its time: comments until it is there, then the message, then the end.
pub(super) fn stream(job: Job, keep_alive: Duration) -> Response<FrontBody> {
    let wait = Some((job, Duration::ZERO));
    let events = stream::unfold(wait, move |wait| async move {
        let (mut job, pause) = wait?;
        match tokio::time::timeout(pause, &mut job).await {
            Ok((_, message)) => {
                let message = edit::one_line(&message);
                let event = ["event: message\ndata: ", &message, "\n\n"].concat();
                Some((Bytes::from(event), None))
            }
            Err(_) => Some((Bytes::from_static(b": working\n\n"), Some((job, keep_alive)))),
        }
    });
    let mut response = Response::new(FrontBody::Stream(Box::pin(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Proxies that buffer would swallow the signs of life.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
