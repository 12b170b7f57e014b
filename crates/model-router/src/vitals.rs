//! How a target does: whether it may be tried, how quick it is, how busy.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::{Clock, Code};

use crate::breaker::{Breaker, Standing};
use crate::candidate::Candidate;

/// In this time an old measurement loses two thirds of its weight.
const MEMORY: Duration = Duration::from_mins(1);

/// What is known of how a target does.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    inner: Mutex<Inner>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    breaker: Breaker,
    first: PeakEwma,
    /// Tokens a second, averaged.
    rate: Option<f64>,
}

/// A moving average that jumps up and creeps down (as in Finagle's load balancer): a target that
/// slows down is left at once, and one that was slow is tried again in time, because what nobody
/// measures any more fades.
#[derive(Debug, Default)]
struct PeakEwma {
    seconds: f64,
    at: Option<Instant>,
}

impl PeakEwma {
    fn weight(&self, now: Instant) -> f64 {
        let age = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }

    fn observe(&mut self, now: Instant, took: Duration) {
        let (sample, kept) = (took.as_secs_f64(), self.weight(now));
        let peak = self.at.is_none() || sample > self.seconds * kept;
        self.seconds = if peak { sample } else { self.seconds * kept + sample * (1.0 - kept) };
        self.at = Some(now);
    }

    fn now(&self, now: Instant) -> f64 {
        self.seconds * self.weight(now)
    }
}

impl Vitals {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn standing(&self, now: Instant) -> Standing {
        self.inner().breaker.standing(now)
    }

    /// The time to the first word in seconds, times the calls that would share the target. What
    /// was never measured is tried first, by one call.
    pub(crate) fn load(&self, now: Instant) -> f64 {
        let running = self.in_flight.load(Ordering::Relaxed);
        let seconds = self.inner().first.now(now);
        #[expect(clippy::cast_precision_loss, reason = "calls in flight are few")]
        let share = (running + 1) as f64;
        let unknown = if seconds == 0.0 && running > 0 { 1.0 } else { 0.0 };
        (seconds + unknown) * share
    }

    /// The time to the first word, as measured.
    pub(crate) fn first_token(&self, now: Instant) -> Option<Duration> {
        let inner = self.inner();
        inner.first.at?;
        Duration::try_from_secs_f64(inner.first.now(now)).ok()
    }

    pub(crate) fn rate(&self) -> Option<f64> {
        self.inner().rate
    }
}

/// One attempt at a target, from its beginning to its end. Dropped without a word it says nothing
/// of the target.
#[derive(Debug)]
pub(crate) struct Flight {
    candidate: Arc<Candidate>,
    clock: Arc<dyn Clock>,
    began: Instant,
    probe: bool,
    told: bool,
}

impl Flight {
    pub(crate) fn begin(candidate: Arc<Candidate>, clock: Arc<dyn Clock>) -> Self {
        let began = clock.instant();
        let vitals = &candidate.vitals;
        vitals.in_flight.fetch_add(1, Ordering::Relaxed);
        let probe = vitals.inner().breaker.begin(began);
        Self { candidate, clock, began, probe, told: false }
    }

    pub(crate) fn candidate(&self) -> &Arc<Candidate> {
        &self.candidate
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The first event came. A probe has shown what it was to show.
    pub(crate) fn opened(&mut self) {
        let now = self.clock.instant();
        let mut inner = self.candidate.vitals.inner();
        inner.first.observe(now, now.saturating_duration_since(self.began));
        if std::mem::take(&mut self.probe) {
            inner.breaker.succeeded(now, true);
        }
    }

    /// The answer is complete, with so many tokens said since the first word.
    pub(crate) fn answered(&mut self, tokens: Option<u64>, speaking: Duration) {
        self.told = true;
        let vitals = &self.candidate.vitals;
        vitals.answered.fetch_add(1, Ordering::Relaxed);
        let mut inner = vitals.inner();
        inner.breaker.succeeded(self.clock.instant(), self.probe);
        if let Some(tokens) = tokens.filter(|_| speaking >= Duration::from_millis(50)) {
            #[expect(clippy::cast_precision_loss, reason = "a rate is no exact count")]
            let rate = tokens as f64 / speaking.as_secs_f64();
            inner.rate = Some(inner.rate.map_or(rate, |before| before * 0.8 + rate * 0.2));
        }
    }

    /// The target failed.
    pub(crate) fn failed(&mut self, code: Code, wait: Option<Duration>) {
        self.told = true;
        let now = self.clock.instant();
        let vitals = &self.candidate.vitals;
        vitals.failed.fetch_add(1, Ordering::Relaxed);
        let mut inner = vitals.inner();
        if code == Code::Timeout {
            inner.first.observe(now, now.saturating_duration_since(self.began));
        }
        match wait {
            Some(wait) => inner.breaker.told(now, wait, code),
            None => inner.breaker.failed(now, self.probe),
        }
    }

    /// The target refused for a reason that lies in the call or in the key: it is there.
    pub(crate) fn refused(&mut self) {
        self.told = true;
        let vitals = &self.candidate.vitals;
        vitals.failed.fetch_add(1, Ordering::Relaxed);
        if self.probe {
            vitals.inner().breaker.succeeded(self.clock.instant(), true);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let vitals = &self.candidate.vitals;
        vitals.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.told {
            vitals.inner().breaker.abandoned(self.clock.instant(), self.probe);
        }
    }
}

/// How one target does, for metrics and consoles.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetHealth {
    /// `upstream/model`.
    pub target: String,
    /// Whether it is tried.
    pub state: HealthState,
    /// The time to the first word: a moving average that follows peaks at once.
    pub first_token: Option<Duration>,
    /// Tokens a second once it speaks, averaged.
    pub tokens_per_second: Option<f64>,
    /// Calls that run now.
    pub in_flight: usize,
    /// Calls answered to the end.
    pub answered: u64,
    /// Attempts that failed, before or after the first word.
    pub failed: u64,
    /// Credentials of its upstream that are left alone, because they were refused or asked to
    /// wait.
    pub keys_resting: usize,
}

/// Whether a target is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// It is.
    Closed,
    /// One call tries whether it is well again, or may.
    HalfOpen,
    /// It is left alone.
    Open {
        /// For how long yet.
        left: Duration,
    },
}

impl HealthState {
    /// The word used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open { .. } => "open",
        }
    }
}

impl From<Standing> for HealthState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Ready => Self::Closed,
            Standing::Due | Standing::Probing => Self::HalfOpen,
            Standing::Open { left, .. } => Self::Open { left },
        }
    }
}

#[cfg(test)]
mod tests {
    use doorward_core::SystemClock;

    use super::*;

    #[test]
    fn the_average_follows_peaks_at_once_and_fades() {
        let mut now = SystemClock.instant();
        let mut ewma = PeakEwma::default();
        ewma.observe(now, Duration::from_millis(200));
        now += Duration::from_secs(1);
        ewma.observe(now, Duration::from_millis(900));
        assert!((ewma.now(now) - 0.9).abs() < 1e-9, "a peak counts at once");
        now += Duration::from_secs(30);
        ewma.observe(now, Duration::from_millis(200));
        let after = ewma.now(now);
        assert!(after > 0.2 && after < 0.9, "a good one only little by little: {after}");
        now += Duration::from_mins(5);
        assert!(ewma.now(now) < 0.01, "what nobody measures fades");
    }
}
