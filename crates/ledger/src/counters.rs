//! Where the counts are kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::Timestamp;

/// Which count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// The rule.
    pub rule: Arc<str>,
    /// Who, where each has a count of their own; else empty.
    pub subject: Arc<str>,
}

/// Room wanted under one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which count.
    pub key: CounterKey,
    /// The window that it counts for. A count of an earlier window is over.
    pub window: i64,
    /// When the window is over: nothing need be kept longer.
    pub ends: Timestamp,
    /// How much there is.
    pub most: u64,
    /// How much is wanted.
    pub amount: u64,
}

/// There is not enough room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Under which of the claims, by its place.
    pub claim: usize,
    /// How much is used there.
    pub used: u64,
}

/// Counts that several callers share.
pub trait Counters: Send + Sync + fmt::Debug {
    /// Adds all the claims, or none of them: at no moment does another caller see some added.
    ///
    /// # Errors
    ///
    /// The first claim for which there is not enough room.
    fn reserve(&self, claims: &[Claim], now: Timestamp) -> Result<(), Full>;

    /// Puts `amounts`, in the claims' order, in the place of what the claims reserved. More than
    /// was reserved counts in full, even over the limit: it is spent. A window that is over is
    /// left alone.
    fn settle(&self, claims: &[Claim], amounts: &[u64]);

    /// How much is used.
    fn used(&self, key: &CounterKey, window: i64) -> u64;
}

/// Counts in memory: for one process, gone with it.
#[derive(Debug, Default)]
pub struct Memory {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    of: HashMap<CounterKey, Count>,
    /// Counts are cleared of what is over when there are so many.
    clear_at: usize,
}

#[derive(Debug)]
struct Count {
    window: i64,
    ends: Timestamp,
    used: u64,
}

/// Below this many counts nothing is cleared.
const CLEAR_FROM: usize = 4096;

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn used(&self, key: &CounterKey, window: i64) -> u64 {
        // A later window than asked for: the caller looked at the clock before it began.
        self.of.get(key).filter(|count| count.window >= window).map_or(0, |count| count.used)
    }

    fn add(&mut self, claim: &Claim, now: Timestamp) {
        match self.of.get_mut(&claim.key) {
            Some(count) if count.window >= claim.window => {
                count.used = count.used.saturating_add(claim.amount);
            }
            Some(count) => *count = Count::of(claim),
            None => {
                self.clear(now);
                self.of.insert(claim.key.clone(), Count::of(claim));
            }
        }
    }

    fn clear(&mut self, now: Timestamp) {
        if self.of.len() >= self.clear_at.max(CLEAR_FROM) {
            self.of.retain(|_, count| count.ends > now);
            self.clear_at = self.of.len().saturating_mul(2);
        }
    }
}

impl Count {
    fn of(claim: &Claim) -> Self {
        Self { window: claim.window, ends: claim.ends, used: claim.amount }
    }
}

impl Counters for Memory {
    fn reserve(&self, claims: &[Claim], now: Timestamp) -> Result<(), Full> {
        let mut counts = self.lock();
        for (place, claim) in claims.iter().enumerate() {
            let used = counts.used(&claim.key, claim.window);
            if used.saturating_add(claim.amount) > claim.most {
                return Err(Full { claim: place, used });
            }
        }
        for claim in claims {
            counts.add(claim, now);
        }
        Ok(())
    }

    fn settle(&self, claims: &[Claim], amounts: &[u64]) {
        let mut counts = self.lock();
        for (claim, amount) in claims.iter().zip(amounts) {
            if let Some(count) = counts.of.get_mut(&claim.key)
                && count.window == claim.window
            {
                count.used = count.used.saturating_sub(claim.amount).saturating_add(*amount);
            }
        }
    }

    fn used(&self, key: &CounterKey, window: i64) -> u64 {
        self.lock().used(key, window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(rule: &str, window: i64, most: u64, amount: u64) -> Claim {
        let key = CounterKey { rule: rule.into(), subject: "".into() };
        Claim { key, window, ends: Timestamp::from_micros(window + 1), most, amount }
    }

    const NOW: Timestamp = Timestamp::from_micros(0);

    #[test]
    fn all_claims_are_added_or_none() {
        let counts = Memory::default();
        let claims = [claim("wide", 0, 10, 3), claim("narrow", 0, 4, 3)];
        assert_eq!(counts.reserve(&claims, NOW), Ok(()));
        assert_eq!(counts.reserve(&claims, NOW), Err(Full { claim: 1, used: 3 }));
        assert_eq!(counts.used(&claims[0].key, 0), 3);
    }

    #[test]
    fn settling_puts_the_actual_in_place_of_the_reserved() {
        let counts = Memory::default();
        let claims = [claim("a", 0, 10, 8)];
        assert_eq!(counts.reserve(&claims, NOW), Ok(()));
        counts.settle(&claims, &[2]);
        assert_eq!(counts.used(&claims[0].key, 0), 2);
        counts.settle(&[claim("a", 0, 10, 0)], &[20]);
        assert_eq!(counts.used(&claims[0].key, 0), 22, "what is spent is spent");
    }

    #[test]
    fn a_new_window_begins_at_nothing_and_an_old_one_is_left_alone() {
        let counts = Memory::default();
        let old = [claim("a", 0, 5, 5)];
        assert_eq!(counts.reserve(&old, NOW), Ok(()));
        assert_eq!(counts.reserve(&[claim("a", 1, 5, 4)], NOW), Ok(()));
        counts.settle(&old, &[0]);
        assert_eq!(counts.used(&old[0].key, 1), 4);
        // Looked at the clock before the new window began.
        assert_eq!(counts.reserve(&old, NOW), Err(Full { claim: 0, used: 4 }));
    }

    #[test]
    fn what_is_over_is_cleared() {
        let counts = Memory::default();
        for n in 0..3 * i64::try_from(CLEAR_FROM).unwrap() {
            let claims = [claim(&n.to_string(), n, 1, 1)];
            assert_eq!(counts.reserve(&claims, Timestamp::from_micros(n)), Ok(()));
        }
        assert!(counts.lock().of.len() <= CLEAR_FROM);
    }
}
