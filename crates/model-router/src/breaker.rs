//! When a target is left alone for a while.

use std::time::{Duration, Instant};

use doorward_core::Code;

/// So many failures in a row open the breaker.
const IN_A_ROW: u32 = 5;
/// Of so many outcomes half must be failures to open it.
const WINDOW: u32 = 20;
/// Nothing is said of a share of fewer outcomes.
const LEAST: u32 = 10;
/// How long it stays open the first time; each time after, twice as long.
const FIRST: Duration = Duration::from_secs(5);
/// It never stays open longer, also where the upstream asks for more: then it is asked again.
pub(crate) const LONGEST: Duration = Duration::from_mins(5);

/// A circuit breaker over the outcomes of one target. It is told the time and asks no clock.
///
/// Closed, it counts; open, it spares callers the wait; when its time is over one call may probe
/// the target, and that call's outcome closes or opens it again. A wait that the upstream asked
/// for opens it too.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// The last outcomes, the newest lowest; 1 is a failure.
    window: u32,
    seen: u32,
    in_a_row: u32,
    /// How often it opened since it was last closed by a success.
    opened: u32,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
        /// What the upstream said when it asked for the wait, if it did.
        told: Option<Code>,
    },
    Probing,
}

/// Whether a target may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Any time.
    Ready,
    /// By one call, to see whether it is well again.
    Due,
    /// Not now: that one call is on its way.
    Probing,
    /// Not yet.
    Open {
        left: Duration,
        /// The upstream asked for this wait, with this failure.
        told: Option<Code>,
    },
}

impl Breaker {
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.phase {
            Phase::Closed => Standing::Ready,
            Phase::Probing => Standing::Probing,
            Phase::Open { until, told } => match until.saturating_duration_since(now) {
                Duration::ZERO => Standing::Due,
                left => Standing::Open { left, told },
            },
        }
    }

    /// A call begins. Says whether it is a probe: its outcome decides.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        if self.standing(now) == Standing::Due {
            self.phase = Phase::Probing;
        }
        self.phase != Phase::Closed
    }

    /// A call was answered.
    pub(crate) fn succeeded(&mut self, now: Instant, probe: bool) {
        self.count(false);
        let asked_to_wait = matches!(self.standing(now), Standing::Open { told: Some(_), .. });
        if probe && !asked_to_wait {
            *self = Self::default();
        }
    }

    /// A call failed through the target's fault.
    pub(crate) fn failed(&mut self, now: Instant, probe: bool) {
        self.count(true);
        let trips = match self.phase {
            Phase::Probing => probe,
            Phase::Closed => {
                let share = self.seen >= LEAST && self.window.count_ones() * 2 >= self.seen;
                self.in_a_row >= IN_A_ROW || share
            }
            // What began before says nothing new.
            Phase::Open { .. } => false,
        };
        if trips {
            let cool_down = FIRST.saturating_mul(1 << self.opened.min(16)).min(LONGEST);
            self.opened = self.opened.saturating_add(1);
            self.phase = Phase::Open { until: now + cool_down, told: None };
        }
    }

    /// The upstream asked for a wait.
    pub(crate) fn told(&mut self, now: Instant, wait: Duration, code: Code) {
        self.count(true);
        let until = now + wait.min(LONGEST);
        if !matches!(self.phase, Phase::Open { until: before, .. } if before > until) {
            self.phase = Phase::Open { until, told: Some(code) };
        }
    }

    /// A call ended without saying anything of the target.
    pub(crate) fn abandoned(&mut self, now: Instant, probe: bool) {
        if probe && self.phase == Phase::Probing {
            self.phase = Phase::Open { until: now, told: None };
        }
    }

    fn count(&mut self, failed: bool) {
        self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
        self.window = ((self.window << 1) | u32::from(failed)) & ((1 << WINDOW) - 1);
        self.seen = (self.seen + 1).min(WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use doorward_core::{Clock, SystemClock};
    use proptest::prelude::*;

    use super::*;

    fn after(failures: u32, now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..failures).for_each(|_| breaker.failed(now, false));
        breaker
    }

    #[test]
    fn it_opens_probes_once_and_closes() {
        let now = SystemClock.instant();
        assert_eq!(after(IN_A_ROW - 1, now).standing(now), Standing::Ready);
        let mut breaker = after(IN_A_ROW, now);
        assert_eq!(breaker.standing(now), Standing::Open { left: FIRST, told: None });
        let later = now + FIRST;
        assert_eq!(breaker.standing(later), Standing::Due);
        assert!(breaker.begin(later));
        assert_eq!(breaker.standing(later), Standing::Probing, "one probe at a time");
        breaker.abandoned(later, true);
        assert_eq!(breaker.standing(later), Standing::Due, "a probe that says nothing is repeated");
        breaker.begin(later);
        breaker.succeeded(later, true);
        assert_eq!(breaker.standing(later), Standing::Ready);
    }

    #[test]
    fn cool_downs_grow_to_a_cap() {
        let mut now = SystemClock.instant();
        let mut breaker = after(IN_A_ROW, now);
        let mut waits = vec![];
        for _ in 0..9 {
            let Standing::Open { left, .. } = breaker.standing(now) else { panic!("open") };
            waits.push(left.as_secs());
            now += left;
            assert!(breaker.begin(now));
            breaker.failed(now, true);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn half_of_many_opens_it_too() {
        let now = SystemClock.instant();
        let mut breaker = Breaker::default();
        for _ in 0..LEAST / 2 {
            breaker.succeeded(now, false);
            assert_eq!(breaker.standing(now), Standing::Ready);
            breaker.failed(now, false);
        }
        assert!(matches!(breaker.standing(now), Standing::Open { .. }));
    }

    #[test]
    fn a_wait_asked_for_is_kept_whatever_older_calls_do() {
        let now = SystemClock.instant();
        let wait = Duration::from_secs(30);
        let mut breaker = Breaker::default();
        breaker.told(now, wait, Code::Overloaded);
        breaker.succeeded(now, false);
        breaker.succeeded(now, true);
        let told = Some(Code::Overloaded);
        assert_eq!(breaker.standing(now), Standing::Open { left: wait, told });
        breaker.told(now, Duration::from_secs(1), Code::Overloaded);
        assert_eq!(breaker.standing(now), Standing::Open { left: wait, told }, "the longer one");
        breaker.told(now, Duration::from_hours(9), Code::Overloaded);
        assert_eq!(breaker.standing(now), Standing::Open { left: LONGEST, told });
    }

    proptest! {
        /// Whatever happens: never two probes at once, never longer than the cap, and a success
        /// of a probe always closes it, unless the upstream asked for a wait.
        #[test]
        fn its_promises_hold_for_any_history(steps in prop::collection::vec((0u8..6, 0u64..200), 0..200)) {
            let mut now = SystemClock.instant();
            let mut breaker = Breaker::default();
            let mut probes = 0u32;
            for (step, seconds) in steps {
                match step {
                    0 => breaker.failed(now, false),
                    1 => breaker.succeeded(now, false),
                    2 => breaker.told(now, Duration::from_secs(seconds), Code::RateLimited),
                    3 => now += Duration::from_secs(seconds),
                    4 if breaker.standing(now) == Standing::Due => {
                        prop_assert!(breaker.begin(now));
                        probes += 1;
                        prop_assert_eq!(breaker.standing(now), Standing::Probing);
                    }
                    5 if breaker.phase == Phase::Probing => {
                        if seconds % 2 == 0 {
                            breaker.succeeded(now, true);
                            prop_assert_eq!(breaker.standing(now), Standing::Ready);
                        } else {
                            breaker.failed(now, true);
                            let open = matches!(breaker.standing(now), Standing::Open { .. });
                            prop_assert!(open);
                        }
                        probes = 0;
                    }
                    _ => {}
                }
                if breaker.phase != Phase::Probing {
                    probes = 0;
                }
                prop_assert!(probes <= 1);
                if let Standing::Open { left, .. } = breaker.standing(now) {
                    prop_assert!(left <= LONGEST);
                }
            }
        }
    }
}
