//! Counting failed attempts by where they come from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many failed attempts one source address may make. A network of IPv6 (/64) counts as one.
///
/// Only wrong keys are answered differently then: with [`Code::RateLimited`] and the time to wait.
/// A right key always passes, so that nobody can lock out others behind the same address; 256
/// random bits cannot be guessed at any rate.
///
/// [`Code::RateLimited`]: doorward_core::Code::RateLimited
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guesses {
    /// How many failures within a window are answered plainly; `None` for any number.
    pub most: Option<u32>,
    /// How long failures are counted together, and how long the source waits then.
    pub window: Duration,
    /// Whether this machine's own addresses are counted too.
    pub loopback: bool,
    /// How many sources are remembered at once. Further ones are not counted until others are
    /// forgotten.
    pub sources: usize,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { most: Some(20), window: Duration::from_mins(1), loopback: true, sources: 4096 }
    }
}

/// Failed attempts by source.
#[derive(Debug)]
pub(crate) struct Failures {
    rule: Guesses,
    sources: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    count: u32,
}

impl Failures {
    pub(crate) fn new(rule: Guesses) -> Self {
        Self { rule, sources: Mutex::new(HashMap::new()) }
    }

    /// Counts one more; tells how long to wait where there were too many.
    pub(crate) fn count(&self, source: IpAddr, now: Instant) -> Option<Duration> {
        let most = self.rule.most?;
        let source = network(source);
        if source.is_loopback() && !self.rule.loopback {
            return None;
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= self.rule.sources && !sources.contains_key(&source) {
            sources.retain(|_, window| window.ends > now);
            if sources.len() >= self.rule.sources {
                return None;
            }
        }
        let fresh = Window { ends: now + self.rule.window, count: 0 };
        let window = sources.entry(source).or_insert(fresh);
        if window.ends <= now {
            *window = Window { ends: now + self.rule.window, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        (window.count > most).then(|| window.ends.saturating_duration_since(now))
    }
}

fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}
