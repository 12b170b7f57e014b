//! Answers to exactly equal calls, kept in memory.

mod key;
mod shelf;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use doorward_core::{
    BoxFuture, BoxStream, CallError, Clock, Cx, DialectId, EmbedCall, EmbedReply, Finish, Frame,
    Model, ModelCall, ModelEvent, ModelReply, Models, RelayCall, RelayReply, Route, TokenCount,
};
use futures_core::Stream;
use futures_util::stream;

use shelf::{Kept, Shelf};

/// What a response cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How long an answer is given again.
    pub ttl: Duration,
    /// How much all answers together may take, in bytes.
    pub bytes: usize,
    /// How much one answer may take, in bytes.
    pub entry: usize,
}

impl Default for CacheLimits {
    /// An hour, 64 MiB, 1 MiB an answer.
    fn default() -> Self {
        Self { ttl: Duration::from_hours(1), bytes: 64 << 20, entry: 1 << 20 }
    }
}

/// Answers to calls, each under the scope that its call named and the exact bytes it was asked
/// with. The least recently used go first.
#[derive(Debug)]
pub struct ResponseCache {
    limits: CacheLimits,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
}

impl ResponseCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, shelf: Shelf::default() }
    }

    /// How many answers it holds, and how many bytes they take.
    pub fn held(&self) -> (usize, usize) {
        self.shelf.held()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.shelf.clear();
    }
}

/// A model plane with a cache before it. Only calls with a
/// [`cache`](doorward_core::ModelCall::cache) scope are looked up and kept; only answers that came
/// to their end are kept. An answer from the cache says so in its route, holds no reservation and
/// tells the usage of the answer it repeats.
///
/// ```
/// use std::sync::Arc;
/// use doorward_core::SystemClock;
/// use doorward_model_router::{CacheLimits, Cached, NoCredentials, ResponseCache, Router};
/// # use doorward_model_router::{BoxFuture, Inbound, Outbound, Transport, TransportError};
/// # #[derive(Debug)]
/// # struct Canned;
/// # impl Transport for Canned {
/// #     fn send(&self, _: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
/// #         Box::pin(async { Ok(Inbound::whole(200, "{}")) })
/// #     }
/// # }
/// let router = Router::builder(Arc::new(Canned), Arc::new(NoCredentials)).build()?;
/// let cache = ResponseCache::new(CacheLimits::default(), Arc::new(SystemClock));
/// let models = Cached::new(router, Arc::new(cache));
/// assert_eq!(models.cache().held(), (0, 0));
/// # Ok::<(), doorward_model_router::BuildError>(())
/// ```
pub struct Cached<M> {
    models: M,
    cache: Arc<ResponseCache>,
}

impl<M> fmt::Debug for Cached<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<M> Cached<M> {
    /// Puts a cache before a model plane.
    pub fn new(models: M, cache: Arc<ResponseCache>) -> Self {
        Self { models, cache }
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<ResponseCache> {
        &self.cache
    }

    /// The model plane behind it.
    pub fn inner(&self) -> &M {
        &self.models
    }
}

impl<M: Models> Models for Cached<M> {
    fn complete<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<ModelReply, CallError>> {
        Box::pin(async move {
            let Some(key) = key::of(&call) else { return self.models.complete(cx, call).await };
            let now = self.cache.clock.instant();
            if let Some(kept) = self.cache.shelf.find(&key, now) {
                return Ok(again(&kept, &call));
            }
            let reply = self.models.complete(cx, call).await?;
            Ok(recorded(reply, key, self.cache.clone()))
        })
    }

    fn models(&self) -> Vec<Model> {
        self.models.models()
    }

    fn caches(&self) -> bool {
        true
    }

    fn embed<'a>(
        &'a self,
        cx: &'a Cx,
        call: EmbedCall,
    ) -> BoxFuture<'a, Result<EmbedReply, CallError>> {
        self.models.embed(cx, call)
    }

    fn count<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<TokenCount, CallError>> {
        self.models.count(cx, call)
    }

    fn relay<'a>(
        &'a self,
        cx: &'a Cx,
        call: RelayCall,
    ) -> BoxFuture<'a, Result<RelayReply, CallError>> {
        self.models.relay(cx, call)
    }
}

/// A kept answer, in the form that this call wants. The bytes as they came serve only a call that
/// wants the same form.
fn again(kept: &Kept, call: &ModelCall) -> ModelReply {
    let route = Route {
        requested: call.model.clone(),
        target: kept.target.clone(),
        cached: true,
        ..Route::default()
    };
    let frames: Vec<Result<Frame, CallError>> = if kept.streaming == call.stream {
        kept.frames.iter().cloned().map(Ok).collect()
    } else if call.stream {
        kept.frames.iter().map(|frame| Ok(Frame::of(frame.events.clone()))).collect()
    } else {
        let events = kept.frames.iter().flat_map(|frame| frame.events.iter().cloned());
        vec![Ok(Frame::of(events.collect()))]
    };
    ModelReply {
        dialect: kept.dialect,
        streaming: call.stream,
        route: Arc::new(route),
        headers: vec![],
        usage_asked: call.stream && !call.stream_usage,
        hold: None,
        frames: Box::pin(stream::iter(frames)),
    }
}

/// The answer, which is kept when it has come to its end.
fn recorded(reply: ModelReply, key: [u8; 32], cache: Arc<ResponseCache>) -> ModelReply {
    let frames = Recording {
        inner: reply.frames,
        record: Some(Record {
            key,
            cache,
            dialect: reply.dialect,
            streaming: reply.streaming,
            target: reply.route.target.clone(),
            frames: Vec::new(),
            bytes: 0,
            done: false,
        }),
    };
    ModelReply { frames: Box::pin(frames), ..reply }
}

/// An answer that is recorded while it goes by.
struct Recording {
    inner: BoxStream<'static, Result<Frame, CallError>>,
    /// `None` once it is clear that this answer is not to be kept.
    record: Option<Record>,
}

struct Record {
    key: [u8; 32],
    cache: Arc<ResponseCache>,
    dialect: DialectId,
    streaming: bool,
    target: String,
    frames: Vec<Frame>,
    bytes: usize,
    done: bool,
}

impl Stream for Recording {
    type Item = Result<Frame, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.inner.as_mut().poll_next(cx));
        match &next {
            Some(Ok(frame)) => {
                self.record = self.record.take().and_then(|record| record.with(frame));
                // Whoever has seen the protocol's own end asks for nothing more.
                if let Some(record) = self.record.take_if(|record| record.done) {
                    record.keep();
                }
            }
            // Without that end an answer was cut.
            Some(Err(_)) | None => self.record = None,
        }
        Poll::Ready(next)
    }
}

impl Record {
    /// With one more frame, unless that shows that the answer is not to be kept.
    fn with(mut self, frame: &Frame) -> Option<Self> {
        for event in &frame.events {
            match event {
                ModelEvent::Error { .. } => return None,
                ModelEvent::Finish { reason, .. } => match reason {
                    Finish::Stop | Finish::Length | Finish::ToolCalls => {}
                    // Another time it may end otherwise.
                    Finish::ContentFilter | Finish::Pause | Finish::Other => return None,
                },
                ModelEvent::Done => self.done = true,
                _ => {}
            }
        }
        self.bytes += shelf::weight(frame);
        if self.bytes > self.cache.limits.entry {
            return None;
        }
        self.frames.push(frame.clone());
        Some(self)
    }

    fn keep(self) {
        let Self { key, cache, dialect, streaming, target, frames, bytes, .. } = self;
        let until = cache.clock.instant() + cache.limits.ttl;
        let kept = Kept { dialect, streaming, target, frames, bytes, until };
        cache.shelf.put(key, kept, cache.limits.bytes);
    }
}
