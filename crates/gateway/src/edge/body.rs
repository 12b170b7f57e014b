//! Bodies of answers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorward_core::{BoxStream, CallError};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::events::EventStream;
use crate::metrics::Serving;

/// What a request holds until its answer is through.
pub(super) struct Hold {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _serving: Serving,
}

/// The body of an answer.
pub struct ResponseBody {
    kind: Kind,
    _hold: Option<Hold>,
}

enum Kind {
    Whole(Option<Bytes>),
    Events(Box<EventStream>),
    Pieces(BoxStream<'static, Bytes>),
    Relayed(BoxStream<'static, Result<Bytes, CallError>>),
}

impl ResponseBody {
    /// A body that is all there.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Whole(Some(bytes.into())), _hold: None }
    }

    pub(super) fn events(events: EventStream, hold: Hold) -> Self {
        Self { kind: Kind::Events(Box::new(events)), _hold: Some(hold) }
    }

    pub(super) fn relayed(
        pieces: BoxStream<'static, Result<Bytes, CallError>>,
        hold: Hold,
    ) -> Self {
        Self { kind: Kind::Relayed(pieces), _hold: Some(hold) }
    }

    pub(super) fn pieces(pieces: BoxStream<'static, Bytes>, hold: Hold) -> Self {
        Self { kind: Kind::Pieces(pieces), _hold: Some(hold) }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match &mut self.kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take()),
            Kind::Events(events) => events.poll_bytes(cx),
            Kind::Pieces(pieces) => pieces.as_mut().poll_next(cx),
            Kind::Relayed(pieces) => {
                let next = pieces.as_mut().poll_next(cx);
                return next.map(|piece| piece.map(|bytes| bytes.map(Frame::data)));
            }
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Events(_) | Kind::Pieces(_) | Kind::Relayed(_) => SizeHint::default(),
        }
    }
}
