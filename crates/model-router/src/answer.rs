//! From an upstream's answer to frames.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use doorward_core::{BoxStream, CallError, Code, DialectId, Frame, ModelEvent};
use doorward_wire::{Dialect, Quirks, ReadError, Reader};
use futures_core::Stream;
use futures_util::StreamExt;

use crate::retry_after;
use crate::transport::{Inbound, TransportError};

/// The largest error body that is read.
const ERROR_BODY: usize = 1 << 20;

/// An answer that has begun well: its first event is there and is no error.
pub(crate) struct Opened {
    pub(crate) streaming: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) frames: BoxStream<'static, Result<Frame, CallError>>,
}

/// Why an answer is not to be used, and with which HTTP status it came.
pub(crate) struct Refused {
    pub(crate) error: CallError,
    pub(crate) status: Option<u16>,
}

/// Reads an answer up to its first event, so that an error there can still be hidden by another
/// target.
pub(crate) async fn open(
    inbound: Inbound,
    dialect: &'static dyn Dialect,
    wanted_stream: bool,
    quirks: &Quirks,
) -> Result<Opened, Refused> {
    let status = inbound.head.status;
    let refused = |error| Refused { error, status: Some(status.as_u16()) };
    if !status.is_success() {
        let wait = retry_after::read(&inbound.head.headers);
        let body = collect(inbound.body).await.map_err(refused)?;
        let mut error = dialect.read_error(status.as_u16(), body);
        error.retry_after = wait.or(error.retry_after);
        return Err(refused(error));
    }
    let streaming = wanted_stream && dialect.is_stream(content_type(&inbound.head.headers));
    let headers = relayed(&inbound.head.headers);
    let mut frames = Frames {
        body: inbound.body,
        reader: dialect.reader(streaming, quirks),
        ready: VecDeque::new(),
        batch: Vec::new(),
        fault: None,
        ended: false,
    };
    let mut begun = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(refused)?;
        if let Some(error) = first_error(&frame, dialect.id(), streaming) {
            return Err(refused(error));
        }
        let decided = !frame.events.is_empty();
        begun.push(frame);
        if decided {
            break;
        }
    }
    begun.into_iter().rev().for_each(|frame| frames.ready.push_front(frame));
    Ok(Opened { streaming, headers, frames: Box::pin(frames) })
}

/// A provider's error at the very beginning of a 200 answer.
fn first_error(frame: &Frame, dialect: DialectId, streaming: bool) -> Option<CallError> {
    let ModelEvent::Error { code, message } = frame.events.first()? else { return None };
    let mut error = CallError::new(*code, message.clone());
    if let (false, Some(body)) = (streaming, &frame.raw) {
        let status = if *code == Code::InvalidRequest { 400 } else { 502 };
        error.relayed = Some(doorward_core::Relayed { dialect, status, body: body.clone() });
    }
    Some(error)
}

fn content_type(headers: &http::HeaderMap) -> Option<&str> {
    headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// Headers of the answer that a client of the provider knows.
pub(crate) fn relayed(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for (name, value) in headers {
        let shown = match name.as_str() {
            "x-request-id" | "request-id" => "x-upstream-request-id",
            "retry-after" => "retry-after",
            name if name.starts_with("x-ratelimit-")
                || name.starts_with("anthropic-ratelimit-")
                || name.starts_with("openai-") =>
            {
                name
            }
            _ => continue,
        };
        if let Ok(value) = value.to_str() {
            kept.push((shown.to_owned(), value.to_owned()));
        }
    }
    kept
}

async fn collect(
    mut body: BoxStream<'static, Result<Bytes, TransportError>>,
) -> Result<Bytes, CallError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broken)?;
        let room = ERROR_BODY.saturating_sub(whole.len());
        whole.extend_from_slice(&piece[..piece.len().min(room)]);
        if room <= piece.len() {
            break;
        }
    }
    Ok(whole.freeze())
}

pub(crate) fn broken(error: TransportError) -> CallError {
    let public = match &error {
        TransportError::Connect(_) => "the model provider cannot be reached",
        TransportError::Timeout(_) => "the model provider did not answer in time",
        TransportError::Broken(_) => "the connection to the model provider broke",
        TransportError::Body(_) => "the request's body failed on its way",
    };
    CallError::new(error.code(), public).with_source(error)
}

fn unreadable(error: ReadError) -> CallError {
    CallError::new(Code::Upstream, format!("the model provider's answer is unusable: {error}"))
        .with_source(error)
}

/// The frames of an answer as its bytes arrive.
struct Frames {
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    reader: Box<dyn Reader>,
    ready: VecDeque<Frame>,
    batch: Vec<Frame>,
    fault: Option<CallError>,
    ended: bool,
}

impl Stream for Frames {
    type Item = Result<Frame, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Some(fault) = this.fault.take() {
                return Poll::Ready(Some(Err(fault)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let read = match ready!(this.body.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => this.reader.push(bytes, &mut this.batch).map_err(unreadable),
                Some(Err(error)) => Err(broken(error)),
                None => {
                    this.ended = true;
                    this.reader.finish(&mut this.batch).map_err(unreadable)
                }
            };
            this.ready.extend(this.batch.drain(..));
            if let Err(error) = read {
                // What was read before the fault still counts; the fault follows it.
                this.ended = true;
                this.fault = Some(error);
            }
        }
    }
}
