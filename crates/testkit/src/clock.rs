//! Time and chance that a test owns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::{Clock, Entropy, SystemClock, Timestamp};

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use doorward_core::{Clock, Timestamp};
/// use doorward_testkit::clock::TestClock;
///
/// let clock = TestClock::at(Timestamp::from_micros(5_000_000));
/// let before = clock.instant();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().as_secs(), 65);
/// assert_eq!(clock.instant() - before, Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct TestClock {
    times: Mutex<(Timestamp, Instant)>,
}

impl Default for TestClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at(Timestamp::from_micros(1_767_225_600_000_000))
    }
}

impl TestClock {
    /// Stands at this time.
    pub fn at(now: Timestamp) -> Self {
        Self { times: Mutex::new((now, SystemClock.instant())) }
    }

    fn times(&self) -> MutexGuard<'_, (Timestamp, Instant)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times();
        *times = (times.0.after(by), times.1 + by);
    }

    /// Sets the wall clock, as an operator would; the monotonic one stays.
    pub fn set(&self, now: Timestamp) {
        self.times().0 = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.times().0
    }

    fn instant(&self) -> Instant {
        self.times().1
    }
}

/// Bytes that look random and are the same in every run (`SplitMix64`). Never for real keys.
///
/// ```
/// use doorward_core::TurnId;
/// use doorward_testkit::clock::TestEntropy;
///
/// let (one, other) = (TestEntropy::seeded(7), TestEntropy::seeded(7));
/// assert_eq!(TurnId::random(&one), TurnId::random(&other));
/// assert_ne!(TurnId::random(&one), TurnId::random(&one));
/// ```
#[derive(Debug)]
pub struct TestEntropy {
    state: Mutex<u64>,
}

impl TestEntropy {
    /// The sequence of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }
}

impl Entropy for TestEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            let length = chunk.len();
            chunk.copy_from_slice(&word.to_le_bytes()[..length]);
        }
    }
}
