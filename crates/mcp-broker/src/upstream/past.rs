//! What the next start of a connection must know of those before: how long to rest.

use std::time::{Duration, Instant};

use doorward_core::Clock;

use super::Failure;

/// The first pause after a failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// A pause that a caller sits out instead of being sent away.
const SHORT_REST: Duration = Duration::from_secs(2);
/// A connection that lived this long had no trouble starting.
const HEALTHY: Duration = Duration::from_secs(30);

/// The starts of one connection so far.
#[derive(Debug, Default)]
pub(super) struct Past {
    failures: u32,
    /// When the last one began.
    began: Option<Instant>,
    rest_until: Option<Instant>,
    pub(super) starts: u64,
}

impl Past {
    /// It started.
    pub(super) fn begin(&mut self, clock: Option<&dyn Clock>) {
        self.began = clock.map(Clock::instant);
    }

    /// It ended by our own will: no failure.
    pub(super) fn forget(&mut self) {
        self.began = None;
        self.starts = 0;
    }

    /// Counts the last one's end as a failure, and one that came early as a further one. Whether
    /// there was a last one.
    pub(super) fn mourn(&mut self, clock: &dyn Clock) -> bool {
        let Some(began) = self.began.take() else { return false };
        if clock.instant().saturating_duration_since(began) >= HEALTHY {
            self.failures = 0;
        }
        self.note(clock);
        true
    }

    /// Whether its failures must be remembered still.
    pub(super) fn is_resting(&self, clock: &dyn Clock) -> bool {
        let over =
            |until: Instant| until.checked_add(LONGEST_REST).is_none_or(|o| clock.instant() > o);
        self.rest_until.is_some_and(|until| !over(until))
    }

    /// It did not start.
    pub(super) fn note(&mut self, clock: &dyn Clock) {
        let rest = FIRST_REST.saturating_mul(1 << self.failures.min(10)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = clock.instant().checked_add(rest);
    }

    /// Sits a short pause out; a longer one sends the caller away.
    pub(super) async fn rest(&self, clock: &dyn Clock) -> Result<(), Failure> {
        let Some(until) = self.rest_until else { return Ok(()) };
        let left = until.saturating_duration_since(clock.instant());
        if left > SHORT_REST {
            return Err(Failure::Resting(left));
        }
        tokio::time::sleep(left).await;
        Ok(())
    }
}
