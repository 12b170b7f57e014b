//! A model's answer as server-sent events: each frame as soon as it is complete, and a comment
//! where nothing else is said for a while.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use doorward_core::{BoxFuture, BoxStream, CallError, Code, Frame};
use doorward_wire::{Dialect, Writer, WriterOptions};
use tokio::time::{Instant, Sleep};

use super::kept::Keeper;
use crate::enforced::Completion;

/// Clients and proxies give up on streams that are silent for longer.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// So much is gathered at most before it is handed on.
const BATCH: usize = 64 << 10;

/// A completion on its way.
pub(super) type Opening = BoxFuture<'static, Result<Completion, CallError>>;

/// Where the frames come from.
pub(super) enum Source {
    /// The upstream has not answered yet.
    Opening(Opening),
    /// Frames are coming.
    Open(BoxStream<'static, Result<Frame, CallError>>),
    /// Nothing more comes.
    Ended,
}

/// The events of one answer.
pub(super) struct EventStream {
    source: Source,
    dialect: &'static dyn Dialect,
    options: WriterOptions,
    writer: Option<Box<dyn Writer>>,
    out: BytesMut,
    last: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    deadline: Option<std::time::Instant>,
    keeper: Option<Keeper>,
}

impl EventStream {
    pub(super) fn new(
        source: Source,
        dialect: &'static dyn Dialect,
        options: WriterOptions,
        deadline: Option<std::time::Instant>,
    ) -> Self {
        let writer = matches!(source, Source::Open(_)).then(|| dialect.writer(options.clone()));
        Self {
            source,
            dialect,
            options,
            writer,
            out: BytesMut::new(),
            last: Instant::now(),
            alarm: None,
            deadline,
            keeper: None,
        }
    }

    /// Has the answer kept.
    pub(super) fn kept_by(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper;
        self
    }

    /// The next bytes: all frames that are ready, or a keep-alive comment.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.out.len() < BATCH {
            match self.poll_source(cx) {
                Poll::Ready(true) => {}
                Poll::Pending if self.out.is_empty() => return self.poll_alarm(cx),
                Poll::Ready(false) | Poll::Pending => break,
            }
        }
        if self.out.is_empty() {
            return Poll::Ready(None);
        }
        self.last = Instant::now();
        Poll::Ready(Some(self.out.split().freeze()))
    }

    /// Takes one step; `false` at the end.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.source {
            Source::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Ready(Ok(completion)) => self.open(completion),
                Poll::Ready(Err(error)) => self.fail(&error),
                Poll::Pending => return Poll::Pending,
            },
            Source::Open(frames) => match frames.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let from = self.out.len();
                    if let Some(writer) = &mut self.writer {
                        writer.write(&frame, &mut self.out);
                    }
                    self.look(from);
                }
                Poll::Ready(Some(Err(error))) => self.fail(&error),
                Poll::Ready(None) => {
                    let from = self.out.len();
                    if let Some(writer) = &mut self.writer {
                        writer.finish(&mut self.out);
                    }
                    self.look(from);
                    self.source = Source::Ended;
                }
                Poll::Pending => return Poll::Pending,
            },
            Source::Ended => return Poll::Ready(false),
        }
        Poll::Ready(true)
    }

    fn look(&self, from: usize) {
        if let (Some(keeper), Some(written)) = (&self.keeper, self.out.get(from..)) {
            keeper.look(written);
        }
    }

    fn open(&mut self, completion: Completion) {
        self.options.same_dialect = same_wire(self.dialect, &completion, true);
        self.options.strip_usage = completion.strip_usage;
        self.writer = Some(self.dialect.writer(self.options.clone()));
        self.source = Source::Open(completion.frames);
    }

    /// An error within the stream, in the client's own dialect: never a clean end.
    fn fail(&mut self, error: &CallError) {
        let options = &self.options;
        let writer = self.writer.get_or_insert_with(|| self.dialect.writer(options.clone()));
        writer.error(error, &mut self.out);
        self.source = Source::Ended;
    }

    /// The alarm is set late and moved only when it rings, so that a busy stream pays nothing.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let due = self.last + KEEP_ALIVE;
        let deadline = self.deadline.map(Instant::from_std);
        let at = |due: Instant| deadline.map_or(due, |deadline| due.min(deadline));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at(due))));
        while alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.fail(&CallError::new(Code::Timeout, "the answer took too long"));
                return Poll::Ready(Some(self.out.split().freeze()));
            }
            if now >= due {
                self.last = now;
                alarm.as_mut().reset(at(now + KEEP_ALIVE));
                // Registers the alarm, so that the stream is woken again.
                let _ = alarm.as_mut().poll(cx);
                return Poll::Ready(Some(Bytes::from_static(
                    self.dialect.keep_alive(&self.options),
                )));
            }
            alarm.as_mut().reset(at(due));
        }
        Poll::Pending
    }
}

/// Whether the upstream's bytes are the client's bytes.
pub(super) fn same_wire(
    dialect: &'static dyn Dialect,
    completion: &Completion,
    streaming: bool,
) -> bool {
    completion.dialect == dialect.id() && completion.streaming == streaming
}
