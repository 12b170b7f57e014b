//! What callers and the writer thread share.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use doorward_core::{Event, Receipt, SinkError, Slot};
use tokio::sync::{Notify, Semaphore};

use super::{CloseError, Options, Outage, Stats};

/// Why there is no room, where nothing failed.
pub(super) const CLOSED: &str = "the recorder is closed";

type Opened = Result<Box<dyn Slot>, SinkError>;

/// What a call needs of its record before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// That it is durable.
    Durable,
    /// That it is queued.
    Queued,
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Room is given out.
    Open,
    /// No more room; ends when all that was given out has come back.
    Draining,
    /// Ends when what is queued is written, or one more try failed.
    Stopping,
    /// The writer is gone.
    Ended,
}

/// Whether the writer sleeps, and for whom it gets up. Whoever wakes it sets [`Nap::Awake`], so
/// that it is woken once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nap {
    Awake,
    /// Nothing to do: up for any record.
    Idle,
    /// Lets records gather: up for a full batch or a record that somebody waits for.
    Linger,
}

struct State {
    queue: Vec<Event>,
    /// Records handed over so far; a record's ticket is this number.
    issued: u64,
    /// The last ticket that left the queue.
    taken: u64,
    urgent: bool,
    nap: Nap,
    phase: Phase,
    waiting: Vec<(u64, Waker)>,
    failure: Arc<str>,
}

pub(super) struct Shared {
    capacity: usize,
    batch: usize,
    awaited: Outage,
    queued: Outage,
    /// A permit is room for a record, held until the record is durable.
    room: Semaphore,
    state: Mutex<State>,
    wake: Condvar,
    ended: Condvar,
    durable: AtomicU64,
    sick: AtomicBool,
    draining: AtomicBool,
    /// Tells those who wait for room that the log is sick.
    trouble: Notify,
    pub(super) batches: AtomicU64,
    pub(super) failures: AtomicU64,
    abandoned: AtomicU64,
    lost: AtomicU64,
}

impl Shared {
    pub(super) fn new(options: &Options) -> Self {
        let &Options { capacity, batch, awaited, queued, .. } = options;
        let state = State {
            queue: Vec::new(),
            issued: 0,
            taken: 0,
            urgent: false,
            nap: Nap::Awake,
            phase: Phase::Open,
            waiting: Vec::new(),
            failure: CLOSED.into(),
        };
        Self {
            capacity,
            batch: batch.min(capacity.div_ceil(2)),
            awaited,
            queued,
            room: Semaphore::new(capacity),
            state: Mutex::new(state),
            wake: Condvar::new(),
            ended: Condvar::new(),
            durable: AtomicU64::new(0),
            sick: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            trouble: Notify::new(),
            batches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> SinkError {
        SinkError(Arc::clone(&self.lock().failure))
    }

    /// A slot, where there is room without waiting; or a refusal.
    pub(super) fn open_now(self: &Arc<Self>, need: Need) -> Option<Opened> {
        let sick = self.sick.load(Ordering::Acquire);
        if sick && self.in_outage(need) == Outage::Refuse {
            return Some(Err(self.refusal()));
        }
        match self.room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Some(Ok(self.slot()))
            }
            // Nobody gives room back while nothing is written.
            Err(_) if sick => Some(Err(self.refusal())),
            Err(_) => None,
        }
    }

    fn in_outage(&self, need: Need) -> Outage {
        match need {
            Need::Durable => self.awaited,
            Need::Queued => self.queued,
        }
    }

    /// A slot, as soon as there is room.
    pub(super) async fn open_later(self: &Arc<Self>, need: Need) -> Opened {
        // Made before the look at `sick`, so that no trouble is missed between the two.
        let mut trouble = pin!(self.trouble.notified());
        if self.sick.load(Ordering::Acquire) {
            return self.open_now(need).unwrap_or_else(|| Err(self.refusal()));
        }
        let mut room = pin!(self.room.acquire());
        let permit = poll_fn(|cx| match room.as_mut().poll(cx) {
            Poll::Ready(permit) => Poll::Ready(permit.ok()),
            Poll::Pending => trouble.as_mut().poll(cx).map(|()| None),
        });
        match permit.await {
            Some(permit) => {
                permit.forget();
                Ok(self.slot())
            }
            None => Err(self.refusal()),
        }
    }

    fn slot(self: &Arc<Self>) -> Box<dyn Slot> {
        Box::new(Room { shared: Some(Arc::clone(self)) })
    }

    fn push(&self, event: Event) -> u64 {
        let mut state = self.lock();
        if state.phase == Phase::Ended {
            drop(state);
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(event = %event.id, "an audit record came after the end and is lost");
            return u64::MAX;
        }
        state.queue.push(event);
        state.issued += 1;
        let ticket = state.issued;
        let wake = match state.nap {
            Nap::Awake => false,
            Nap::Idle => true,
            Nap::Linger => state.queue.len() >= self.batch || state.phase != Phase::Open,
        };
        self.release(state, wake);
        ticket
    }

    /// Lets go of the lock and wakes the writer, if asked to.
    fn release(&self, mut state: MutexGuard<'_, State>, wake: bool) {
        if wake {
            state.nap = Nap::Awake;
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    fn give_back(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
        self.room.add_permits(1);
        if self.draining.load(Ordering::Acquire) {
            self.release(self.lock(), true);
        }
    }

    fn poll_durable(&self, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Result<(), SinkError>> {
        let number = ticket.number;
        if self.durable.load(Ordering::Acquire) >= number {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.lock();
        if self.durable.load(Ordering::Acquire) >= number {
            return Poll::Ready(Ok(()));
        }
        if state.phase == Phase::Ended {
            return Poll::Ready(Err(SinkError(Arc::clone(&state.failure))));
        }
        let known = ticket.waits.then(|| state.waiting.iter_mut().find(|(n, _)| *n == number));
        match known.flatten() {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => state.waiting.push((number, cx.waker().clone())),
        }
        ticket.waits = true;
        let mut wake = false;
        if number > state.taken {
            state.urgent = true;
            wake = state.nap != Nap::Awake;
        }
        self.release(state, wake);
        Poll::Pending
    }

    /// Gives out no more room.
    pub(super) fn drain(&self) {
        self.room.close();
        self.draining.store(true, Ordering::Release);
        let mut state = self.lock();
        state.phase = state.phase.max(Phase::Draining);
        self.release(state, true);
    }

    /// Waits for the writer's end, and after `patience` asks for it.
    pub(super) fn stop_after(&self, patience: Duration) {
        let waited = self
            .ended
            .wait_timeout_while(self.lock(), patience, |state| state.phase != Phase::Ended)
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = waited.0;
        state.phase = state.phase.max(Phase::Stopping);
        self.release(state, true);
    }

    /// What is not on record, after the end.
    pub(super) fn remains(&self) -> Result<(), CloseError> {
        let state = self.lock();
        let unwritten = state.issued - self.durable.load(Ordering::Acquire);
        let held = self.capacity.saturating_sub(self.room.available_permits());
        let open = held.saturating_sub(usize::try_from(unwritten).unwrap_or(usize::MAX));
        if unwritten == 0 && open == 0 {
            return Ok(());
        }
        Err(CloseError { unwritten, open, reason: Arc::clone(&state.failure) })
    }

    pub(super) fn stats(&self) -> Stats {
        let issued = self.lock().issued;
        let recorded = self.durable.load(Ordering::Acquire);
        Stats {
            queued: issued.saturating_sub(recorded),
            recorded,
            batches: self.batches.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            sick: self.sick.load(Ordering::Acquire),
        }
    }
}

/// The writer's side.
impl Shared {
    /// Waits for records and takes all there are, in order; `false` at the end.
    pub(super) fn take(&self, events: &mut Vec<Event>, linger: Duration) -> bool {
        let mut state = self.lock();
        while state.queue.is_empty() {
            let all_back = || self.room.available_permits() == self.capacity;
            match state.phase {
                Phase::Open => {}
                Phase::Draining if !all_back() => {}
                Phase::Draining | Phase::Stopping | Phase::Ended => return false,
            }
            state.nap = Nap::Idle;
            let idle = |state: &mut State| state.nap == Nap::Idle;
            state = self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.urgent && state.queue.len() < self.batch && state.phase == Phase::Open {
            state.nap = Nap::Linger;
            let lingers = |state: &mut State| state.nap == Nap::Linger;
            let waited = self.wake.wait_timeout_while(state, linger, lingers);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.nap = Nap::Awake;
        state.urgent = false;
        state.taken = state.issued;
        std::mem::swap(&mut state.queue, events);
        true
    }

    /// So many more records are durable.
    pub(super) fn settle(&self, count: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if self.sick.swap(false, Ordering::AcqRel) {
            state.failure = CLOSED.into();
        }
        let durable = self.durable.load(Ordering::Relaxed) + count as u64;
        self.durable.store(durable, Ordering::Release);
        let ready: Vec<Waker> = state
            .waiting
            .extract_if(.., |(ticket, _)| *ticket <= durable)
            .map(|(_, waker)| waker)
            .collect();
        drop(state);
        self.room.add_permits(count);
        ready.into_iter().for_each(Waker::wake);
    }

    /// The log takes no records: admits no more calls. Waits before the next try; `false` where
    /// there shall be none.
    pub(super) fn fall_sick(&self, why: &str, pause: Duration) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.failure = why.into();
        self.sick.store(true, Ordering::Release);
        self.trouble.notify_waiters();
        if state.phase >= Phase::Stopping {
            return false;
        }
        let patient = |state: &mut State| state.phase < Phase::Stopping;
        let waited = self.wake.wait_timeout_while(state, pause, patient);
        drop(waited);
        true
    }

    /// The writer is gone; nothing more becomes durable.
    pub(super) fn end(&self, why: Option<&str>) {
        self.room.close();
        let mut state = self.lock();
        state.phase = Phase::Ended;
        if let Some(why) = why {
            state.failure = why.into();
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.trouble.notify_waiters();
        self.ended.notify_all();
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

/// Room for one record.
struct Room {
    /// `None` once the record is handed over.
    shared: Option<Arc<Shared>>,
}

impl Slot for Room {
    fn commit(mut self: Box<Self>, event: Event) -> Receipt {
        match self.shared.take() {
            Some(shared) => {
                let number = shared.push(event);
                Box::pin(Ticket { shared, number, waits: false })
            }
            None => Box::pin(std::future::ready(Err(SinkError("the room was used".into())))),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.give_back();
        }
    }
}

/// Resolves when its record is durable. Costs the writer nothing unless it is polled.
struct Ticket {
    shared: Arc<Shared>,
    number: u64,
    waits: bool,
}

impl Future for Ticket {
    type Output = Result<(), SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = self.get_mut();
        let shared = Arc::clone(&ticket.shared);
        shared.poll_durable(ticket, cx)
    }
}
