//! An answer on its way to the caller: timed, and watched for what it tells of its target.

use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use doorward_core::{BoxFuture, CallError, Clock, Code, Frame, ModelEvent};
use futures_core::Stream;

use crate::alias::Patience;
use crate::answer::Frames;
use crate::pause::Pause;
use crate::pins::{Pin, Pins};
use crate::vitals::Flight;

/// The frames of an answer, from its first event on. Dropping it cancels the exchange.
pub(crate) struct Flow {
    pub(crate) frames: Frames,
    pub(crate) flight: Flight,
    pub(crate) pins: Arc<Pins>,
    pub(crate) pin: Pin,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watch: Option<Alarm>,
    /// When the first event came.
    pub(crate) opened: Instant,
    pub(crate) tokens: Option<u64>,
    pub(crate) fault: Option<Code>,
    pub(crate) over: bool,
}

/// Rings when an answer is silent for too long or takes too long in all.
pub(crate) struct Alarm {
    pause: Arc<dyn Pause>,
    idle: Option<Duration>,
    end: Option<Instant>,
    last: Instant,
    set: Option<BoxFuture<'static, ()>>,
}

impl Alarm {
    /// `None` where nothing is timed.
    pub(crate) fn new(
        patience: Patience,
        pause: Option<&Arc<dyn Pause>>,
        began: Instant,
        now: Instant,
    ) -> Option<Self> {
        let (idle, total) = (patience.idle.map(|it| it.0), patience.total.map(|it| it.0));
        let pause = pause.filter(|_| idle.is_some() || total.is_some())?.clone();
        Some(Self { pause, idle, end: total.map(|total| began + total), last: now, set: None })
    }

    fn due(&self) -> Option<Instant> {
        let idle = self.idle.map(|idle| self.last + idle);
        [idle, self.end].into_iter().flatten().min()
    }

    /// Whether it rings. It is set late and moved only when it rings, so that a busy stream pays
    /// nothing.
    fn poll(&mut self, clock: &dyn Clock, cx: &mut Context<'_>) -> Poll<CallError> {
        let Some(due) = self.due() else { return Poll::Pending };
        loop {
            let pause = &self.pause;
            let set = self
                .set
                .get_or_insert_with(|| pause.pause(due.saturating_duration_since(clock.instant())));
            if set.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.set = None;
            if clock.instant() >= due {
                return Poll::Ready(CallError::new(Code::Timeout, self.words(due)));
            }
        }
    }

    fn words(&self, due: Instant) -> &'static str {
        if self.end == Some(due) {
            "the model's answer takes too long in all"
        } else {
            "the model provider fell silent"
        }
    }
}

impl Flow {
    fn see(&mut self, frame: &Frame) {
        for event in &frame.events {
            match event {
                ModelEvent::Usage(usage) => self.tokens = Some(usage.output),
                ModelEvent::Error { code, .. } => self.fault = Some(*code),
                ModelEvent::Done => self.end(None),
                event => self.pins.note(event, &self.pin),
            }
        }
        if let Some(alarm) = &mut self.watch {
            alarm.last = self.clock.instant();
        }
    }

    /// The outcome is known at the end only: what began well may still be cut.
    fn end(&mut self, fault: Option<Code>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(code) = fault.or(self.fault) {
            let target = &self.flight.candidate().name;
            tracing::warn!(%target, code = code.as_str(), "answer failed on its way");
            self.flight.failed(code, None);
        } else {
            let speaking = self.clock.instant().saturating_duration_since(self.opened);
            self.flight.answered(self.tokens, speaking);
        }
    }
}

impl Stream for Flow {
    type Item = Result<Frame, CallError>;

    fn poll_next(mut self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match Pinned::new(&mut this.frames).poll_next(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.see(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.end(Some(error.code));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.end(None);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(alarm) = &mut this.watch else { return Poll::Pending };
                alarm.poll(&*this.clock, cx).map(|error| {
                    this.watch = None;
                    this.frames.close();
                    this.end(Some(error.code));
                    Some(Err(error))
                })
            }
        }
    }
}
