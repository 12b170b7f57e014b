//! Counts in memory.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_core::{BoxFuture, Timestamp};

use super::{Count, CounterKey, Counters, Full, Hold, HoldId, ReserveError, Used};

mod tally;

use tally::Tally;

/// Counts in memory: for one process, gone with it.
///
/// One lock is held for as long as it takes to look up a hold's few counts. Counts that are over
/// are cleared a few at a time as new ones come; where there are too many that are not over,
/// calls that need another are refused rather than left uncounted.
#[derive(Debug)]
pub struct Memory {
    counts: Mutex<Counts>,
}

/// As many counts as fit, unless said: some hundred megabytes.
const MOST: usize = 1 << 20;

/// So many old counts are looked at for every claim on a new one, to see whether they are over.
const SWEPT: usize = 4;

/// So many are looked at where there is no room left.
const SWEPT_CROWDED: usize = 256;

/// Below this many open holds none is looked at whether it was left behind.
const SWEEP_HOLDS: usize = 4_096;

#[derive(Debug)]
struct Counts {
    places: HashMap<CounterKey, usize>,
    tallies: Vec<Option<(CounterKey, Tally)>>,
    free: Vec<usize>,
    /// Where clearing goes on.
    next: usize,
    most: usize,
    /// Holds that are not settled, with their leases.
    open: HashMap<HoldId, Timestamp>,
    /// With so many open holds those left behind are cleared away.
    clear_at: usize,
}

/// There are too many counts.
#[derive(Debug, thiserror::Error)]
#[error("there are {0} counts in memory, and no room for another")]
struct Crowded(usize);

impl Default for Memory {
    fn default() -> Self {
        Self::with_most(MOST)
    }
}

impl Memory {
    /// Keeps at most so many counts.
    pub fn with_most(counts: usize) -> Self {
        Self {
            counts: Mutex::new(Counts {
                places: HashMap::new(),
                tallies: Vec::new(),
                free: Vec::new(),
                next: 0,
                most: counts,
                open: HashMap::new(),
                clear_at: SWEEP_HOLDS,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn tally(&mut self, key: &CounterKey) -> Option<&mut Tally> {
        let place = *self.places.get(key)?;
        self.tallies.get_mut(place)?.as_mut().map(|(_, tally)| tally)
    }

    fn reserve(&mut self, hold: &Hold) -> Result<(), ReserveError> {
        for (place, claim) in hold.claims.iter().enumerate() {
            let Some(tally) = self.tally(&claim.count.key) else {
                if claim.amount > claim.most {
                    return Err(ReserveError::Full(Full { claim: place, used: 0, room_at: None }));
                }
                continue;
            };
            let used = tally.used(claim.count.span, hold.at);
            if used.saturating_add(claim.amount) > claim.most {
                let room_at = tally.room_at(claim);
                return Err(ReserveError::Full(Full { claim: place, used, room_at }));
            }
        }
        self.make_room(hold)?;
        for claim in &hold.claims {
            if let Some(tally) = self.tally(&claim.count.key) {
                tally.add(claim, hold);
            }
        }
        self.open(hold);
        Ok(())
    }

    /// Empty tallies for the counts that are new.
    fn make_room(&mut self, hold: &Hold) -> Result<(), ReserveError> {
        let places = &self.places;
        if hold.claims.iter().all(|claim| places.contains_key(&claim.count.key)) {
            return Ok(());
        }
        let crowded = self.free.is_empty() && self.tallies.len() >= self.most;
        let swept = if crowded { SWEPT_CROWDED } else { SWEPT.saturating_mul(hold.claims.len()) };
        for _ in 0..swept.min(self.tallies.len()) {
            self.sweep(hold.at);
        }
        // What was swept may have been one of these.
        let places = &self.places;
        let new = hold.claims.iter().filter(|claim| !places.contains_key(&claim.count.key)).count();
        let room = self.free.len().saturating_add(self.most.saturating_sub(self.tallies.len()));
        if new > room {
            return Err(ReserveError::Unavailable(Box::new(Crowded(self.most))));
        }
        for claim in &hold.claims {
            if !self.places.contains_key(&claim.count.key) {
                self.begin(&claim.count);
            }
        }
        Ok(())
    }

    fn begin(&mut self, count: &Count) {
        let tally = Some((count.key.clone(), Tally::new(count.span)));
        let place = self.free.pop().unwrap_or(self.tallies.len());
        match self.tallies.get_mut(place) {
            Some(slot) => *slot = tally,
            None => self.tallies.push(tally),
        }
        self.places.insert(count.key.clone(), place);
    }

    /// Clears the next count away, if it is over.
    fn sweep(&mut self, now: Timestamp) {
        let place = self.next;
        self.next = if place + 1 < self.tallies.len() { place + 1 } else { 0 };
        let Some(slot) = self.tallies.get_mut(place) else { return };
        if let Some((key, tally)) = slot
            && tally.is_over(now)
        {
            self.places.remove(key);
            *slot = None;
            self.free.push(place);
        }
    }

    fn open(&mut self, hold: &Hold) {
        if self.open.len() >= self.clear_at {
            self.open.retain(|_, until| *until > hold.at);
            self.clear_at = self.open.len().saturating_mul(2).max(SWEEP_HOLDS);
        }
        self.open.insert(hold.id, hold.until);
    }

    fn settle(&mut self, hold: &Hold, amounts: &[u64]) {
        if self.open.remove(&hold.id).is_none() {
            return;
        }
        for (claim, amount) in hold.claims.iter().zip(amounts) {
            if let Some(tally) = self.tally(&claim.count.key) {
                tally.settle(claim, hold, *amount);
            }
        }
    }

    fn used(&mut self, count: &Count, now: Timestamp) -> Used {
        match self.tally(&count.key) {
            Some(tally) => {
                let amount = tally.used(count.span, now);
                let until = if amount > 0 { tally.until(count.span) } else { None };
                Used { amount, until }
            }
            None => Used::default(),
        }
    }
}

impl Counters for Memory {
    fn reserve<'a>(&'a self, hold: &'a Hold) -> BoxFuture<'a, Result<(), ReserveError>> {
        Box::pin(async move { self.lock().reserve(hold) })
    }

    fn settle(&self, hold: &Hold, amounts: &[u64]) {
        self.lock().settle(hold, amounts);
    }

    fn used<'a>(
        &'a self,
        counts: &'a [Count],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Used>, Box<dyn Error + Send + Sync>>> {
        Box::pin(async move {
            let mut kept = self.lock();
            Ok(counts.iter().map(|count| kept.used(count, now)).collect())
        })
    }
}

#[cfg(test)]
mod tests;
