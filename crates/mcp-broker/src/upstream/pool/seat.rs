//! Places and seats: whose connection it is, and whether it is in use.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, broadcast};

use super::Connection;
use crate::shelf::Holder;
use crate::upstream::past::Past;
use crate::upstream::{Failure, Rumour};

/// How many rumours wait for a listener that is slow.
pub(super) const RUMOURS: usize = 64;

/// Whose connection it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `None` where all share one.
    pub(super) principal: Option<Arc<str>>,
    pub(super) holder: Holder,
}

/// One identity's connection, or where it would be.
pub(super) struct Place {
    /// Held while it is opened.
    pub(super) past: tokio::sync::Mutex<Past>,
    pub(super) now: Mutex<Now>,
    pub(super) news: broadcast::Sender<Rumour>,
    pub(super) kept: AtomicBool,
}

#[derive(Default)]
pub(super) struct Now {
    pub(super) seat: Option<Arc<Seat>>,
    /// Resources that are followed, and how often.
    pub(super) followed: HashMap<String, usize>,
    /// Something else than a list was asked for.
    pub(super) touched: bool,
}

/// An open connection.
pub(super) struct Seat {
    pub(super) connection: Box<dyn Connection>,
    pub(super) busy: AtomicUsize,
    /// When it was last used, as a count of uses.
    pub(super) used: AtomicU64,
    pub(super) idle_ticks: AtomicU32,
    /// Resources that the server was asked to tell of.
    pub(super) followed: Mutex<HashSet<String>>,
    _room: OwnedSemaphorePermit,
}

/// A seat in use.
pub(super) struct Busy {
    pub(super) seat: Arc<Seat>,
    pub(super) freed: Arc<Notify>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.seat.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.freed.notify_waiters();
        }
    }
}

impl Seat {
    pub(super) fn new(connection: Box<dyn Connection>, room: OwnedSemaphorePermit) -> Self {
        Self {
            connection,
            busy: AtomicUsize::new(0),
            used: AtomicU64::new(0),
            idle_ticks: AtomicU32::new(0),
            followed: Mutex::default(),
            _room: room,
        }
    }

    /// Asks the server to tell of a resource or not to, unless it was asked already.
    pub(super) async fn follow(&self, uri: &str, on: bool) -> Result<(), Failure> {
        let new = {
            let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            if on { followed.insert(uri.to_owned()) } else { followed.remove(uri) }
        };
        if !new {
            return Ok(());
        }
        let outcome = self.connection.follow(uri, on).await;
        if on && outcome.is_err() {
            self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
        }
        outcome
    }
}

impl Place {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            past: tokio::sync::Mutex::default(),
            now: Mutex::default(),
            news: broadcast::Sender::new(RUMOURS),
            kept: AtomicBool::new(false),
        })
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seat(&self) -> Option<Arc<Seat>> {
        self.now().seat.clone().filter(|seat| seat.connection.is_open())
    }

    /// Whether somebody wants to hear of it even while it is idle.
    pub(super) fn is_listened_to(&self, now: &Now) -> bool {
        self.news.receiver_count() > 0 || !now.followed.is_empty()
    }

    /// Uses the connection, if it is there. `use_count` tells when that was.
    pub(super) fn sit(&self, touch: bool, use_count: u64, freed: &Arc<Notify>) -> Option<Busy> {
        let mut now = self.now();
        now.touched |= touch;
        let seat = now.seat.clone().filter(|seat| seat.connection.is_open())?;
        seat.busy.fetch_add(1, Ordering::AcqRel);
        seat.used.store(use_count, Ordering::Relaxed);
        seat.idle_ticks.store(0, Ordering::Relaxed);
        Some(Busy { seat, freed: freed.clone() })
    }

    /// Takes an idle seat, or one that is dead.
    pub(super) fn vacate(&self, fits: impl FnOnce(&Seat, &Now) -> bool) -> Option<Arc<Seat>> {
        let mut now = self.now();
        let seat = now.seat.as_ref()?;
        let free = seat.busy.load(Ordering::Acquire) == 0 && fits(seat, &now);
        if free { now.seat.take() } else { None }
    }
}
