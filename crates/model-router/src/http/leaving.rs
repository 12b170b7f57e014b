//! The body of a request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorward_core::BoxStream;
use http_body::{Body, Frame, SizeHint};

use crate::transport::TransportError;

/// A body on its way out: all there, as nearly always, or still arriving.
pub(super) enum Leaving {
    Whole(Option<Bytes>),
    Streamed(BoxStream<'static, Result<Bytes, TransportError>>),
}

impl Leaving {
    pub(super) fn whole(body: Bytes) -> Self {
        Self::Whole(Some(body).filter(|body| !body.is_empty()))
    }

    pub(super) fn streamed(body: BoxStream<'static, Result<Bytes, TransportError>>) -> Self {
        Self::Streamed(body)
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Streamed(body) => {
                let next = ready!(body.as_mut().poll_next(cx));
                Poll::Ready(next.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}
