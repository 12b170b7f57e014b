//! From an upstream's answer to frames.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use doorward_core::{
    BoxFuture, BoxStream, CallError, Code, DialectId, Frame, ModelEvent, Timestamp,
};
use doorward_wire::{Dialect, Quirks, ReadError, Reader};
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use crate::pause::Pause;
use crate::retry_after;
use crate::transport::{Inbound, TransportError};

/// The largest error body that is read.
const ERROR_BODY: usize = 1 << 20;

/// How long the frames that only say that an answer begins are kept back, so that an error right
/// behind them can still be hidden by another target.
const GRACE: Duration = Duration::from_secs(1);

/// How many such frames are kept back.
const MOST_KEPT: usize = 64;

/// An answer that has begun well: its first event is there and is no error.
pub(crate) struct Opened {
    pub(crate) streaming: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) frames: Frames,
}

/// Why an answer is not to be used, and with which HTTP status it came.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: CallError,
    pub(crate) status: Option<u16>,
    pub(crate) stage: Stage,
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The target cannot carry the call.
    Unfit,
    /// No request could be made.
    Unmade,
    /// No connection: nothing was sent.
    Unreached,
    /// The upstream had the request.
    Sent,
}

impl Refused {
    /// No request was made.
    pub(crate) fn unmade(error: CallError) -> Self {
        Self { error, status: None, stage: Stage::Unmade }
    }

    /// The target's dialect cannot say this.
    pub(crate) fn unfit(error: CallError) -> Self {
        Self { error, status: None, stage: Stage::Unfit }
    }

    /// The upstream said so.
    pub(crate) fn answered(status: http::StatusCode, error: CallError) -> Self {
        Self { error, status: Some(status.as_u16()), stage: Stage::Sent }
    }

    /// The exchange failed below HTTP.
    pub(crate) fn exchange(error: TransportError) -> Self {
        let unreached = matches!(error, TransportError::Connect(_));
        let stage = if unreached { Stage::Unreached } else { Stage::Sent };
        Self { error: broken(error), status: None, stage }
    }
}

/// Reads an answer up to its first event that says something, so that an error there can still be
/// hidden by another target.
pub(crate) async fn open(
    inbound: Inbound,
    dialect: &'static dyn Dialect,
    wanted_stream: bool,
    quirks: &Quirks,
    pause: Option<&dyn Pause>,
    now: Timestamp,
) -> Result<Opened, Refused> {
    let status = inbound.head.status;
    let refused = |error| Refused { error, status: Some(status.as_u16()), stage: Stage::Sent };
    if !status.is_success() {
        let headers = &inbound.head.headers;
        let wait = retry_after::read(headers, now);
        let reset = || retry_after::reset(headers, now).filter(|_| status.as_u16() == 429);
        let wait = wait.or_else(reset);
        let body = collect(inbound.body).await.map_err(refused)?;
        let mut error = dialect.read_error(status.as_u16(), body);
        error.retry_after = wait.or(error.retry_after);
        return Err(refused(error));
    }
    let kind = content_type(&inbound.head.headers);
    let packed = quirks.aws_event_stream
        && kind.is_some_and(|kind| kind.starts_with("application/vnd.amazon.eventstream"));
    let streaming = wanted_stream && (packed || dialect.is_stream(kind));
    let headers = relayed(&inbound.head.headers);
    let mut frames = Frames {
        body: inbound.body,
        reader: dialect.reader(streaming, quirks),
        ready: VecDeque::new(),
        batch: Vec::new(),
        fault: None,
        ended: false,
    };
    let begun = begin(&mut frames, dialect.id(), streaming, pause).await.map_err(refused)?;
    begun.into_iter().rev().for_each(|frame| frames.ready.push_front(frame));
    Ok(Opened { streaming, headers, frames })
}

/// The frames up to the first that says something. Without a way to wait, the first that says
/// anything at all is enough.
async fn begin(
    frames: &mut Frames,
    dialect: DialectId,
    streaming: bool,
    pause: Option<&dyn Pause>,
) -> Result<Vec<Frame>, CallError> {
    let mut begun = Vec::new();
    let mut grace: Option<BoxFuture<'static, ()>> = None;
    loop {
        let next = match &mut grace {
            None => frames.next().await,
            Some(grace) => match select(frames.next(), grace).await {
                Either::Left((next, _)) => next,
                Either::Right(((), _)) => return Ok(begun),
            },
        };
        let Some(frame) = next.transpose()? else { return Ok(begun) };
        if let Some(error) = first_error(&frame, dialect, streaming) {
            return Err(error);
        }
        let said = !frame.events.is_empty();
        let decided = !frame.events.iter().all(is_prelude);
        begun.push(frame);
        match pause {
            _ if decided || begun.len() >= MOST_KEPT => return Ok(begun),
            None if said => return Ok(begun),
            Some(pause) if said && grace.is_none() => grace = Some(pause.pause(GRACE)),
            _ => {}
        }
    }
}

/// Whether an event only says that an answer begins.
fn is_prelude(event: &ModelEvent) -> bool {
    match event {
        ModelEvent::Start { .. } | ModelEvent::Usage(_) | ModelEvent::Billed(_) => true,
        ModelEvent::Text { text, .. } => text.is_empty(),
        _ => false,
    }
}

/// A provider's error at the very beginning of a 200 answer.
fn first_error(frame: &Frame, dialect: DialectId, streaming: bool) -> Option<CallError> {
    let first = frame.events.iter().find(|event| !is_prelude(event))?;
    let ModelEvent::Error { code, message } = first else { return None };
    let mut error = CallError::new(*code, message.clone());
    if let (false, Some(body)) = (streaming, &frame.raw) {
        let status = if *code == Code::InvalidRequest { 400 } else { 502 };
        error.relayed =
            Some(Box::new(doorward_core::Relayed { dialect, status, body: body.clone() }));
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
pub(crate) struct Frames {
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    reader: Box<dyn Reader>,
    ready: VecDeque<Frame>,
    batch: Vec<Frame>,
    fault: Option<CallError>,
    ended: bool,
}

impl Frames {
    /// Nothing more is read.
    pub(crate) fn close(&mut self) {
        self.ended = true;
        self.body = Box::pin(futures_util::stream::empty());
    }
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
