//! How much of one count is used.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use doorward_core::Timestamp;

use crate::counters::{Claim, Hold, HoldId, ROLLING_PARTS, Span};

/// How much of one count is used.
#[derive(Debug)]
pub(super) enum Tally {
    Window(Windows),
    Rolling(Parts),
    Held(Leases),
}

/// A window, and the one before it: a caller that looked at the clock just before the edge still
/// counts there.
#[derive(Debug)]
pub(super) struct Windows {
    starts: Timestamp,
    ends: Timestamp,
    used: u64,
    before: Option<(Timestamp, u64)>,
}

/// The parts of a rolling window in which something was reserved, oldest first.
#[derive(Debug)]
pub(super) struct Parts {
    length: Duration,
    amounts: VecDeque<(i64, u64)>,
}

/// What holds hold.
#[derive(Debug, Default)]
pub(super) struct Leases {
    of: HashMap<HoldId, (u64, Timestamp)>,
    used: u64,
    /// No lease runs out before.
    next: Option<Timestamp>,
}

impl Tally {
    pub(super) fn new(span: Span) -> Self {
        match span {
            Span::Window { starts, ends } => {
                Self::Window(Windows { starts, ends, used: 0, before: None })
            }
            Span::Rolling { length } => Self::Rolling(Parts { length, amounts: VecDeque::new() }),
            Span::Held => Self::Held(Leases::default()),
        }
    }

    /// Begins anew where the rule was changed and counts over another span now.
    fn fit(&mut self, span: Span) {
        let fits = match (&*self, span) {
            (Self::Window(_), Span::Window { .. }) | (Self::Held(_), Span::Held) => true,
            (Self::Rolling(parts), Span::Rolling { length }) => parts.length == length,
            _ => false,
        };
        if !fits {
            *self = Self::new(span);
        }
    }

    pub(super) fn used(&mut self, span: Span, now: Timestamp) -> u64 {
        match (self, span) {
            (Self::Window(windows), Span::Window { starts, .. }) => {
                windows.of(starts).map_or(0, |used| *used)
            }
            (Self::Rolling(parts), Span::Rolling { length }) if parts.length == length => {
                parts.clear(now);
                parts.used()
            }
            (Self::Held(leases), Span::Held) => {
                leases.clear(now);
                leases.used
            }
            _ => 0,
        }
    }

    pub(super) fn add(&mut self, claim: &Claim, hold: &Hold) {
        self.fit(claim.count.span);
        match (self, claim.count.span) {
            (Self::Window(windows), Span::Window { starts, ends }) => {
                windows.turn(starts, ends);
                if let Some(used) = windows.of(starts) {
                    *used = used.saturating_add(claim.amount);
                }
            }
            (Self::Rolling(parts), _) => parts.add(hold.at, claim.amount),
            (Self::Held(leases), _) => leases.add(hold, claim.amount),
            _ => {}
        }
    }

    pub(super) fn settle(&mut self, claim: &Claim, hold: &Hold, amount: u64) {
        let put = |used: &mut u64| {
            *used = used.saturating_sub(claim.amount).saturating_add(amount);
        };
        match (self, claim.count.span) {
            (Self::Window(windows), Span::Window { starts, .. }) => {
                windows.exactly(starts).into_iter().for_each(put);
            }
            (Self::Rolling(parts), Span::Rolling { length }) if parts.length == length => {
                parts.at(hold.at).into_iter().for_each(put);
            }
            (Self::Held(leases), Span::Held) => leases.end(hold.id),
            _ => {}
        }
    }

    /// When a claim that does not fit now will.
    pub(super) fn room_at(&self, claim: &Claim) -> Option<Timestamp> {
        if claim.amount > claim.most {
            return None;
        }
        match self {
            Self::Window(windows) => Some(windows.ends),
            Self::Rolling(parts) => parts.room_at(claim.most - claim.amount),
            Self::Held(_) => None,
        }
    }

    /// When nothing of it is used any more.
    pub(super) fn until(&self, span: Span) -> Option<Timestamp> {
        match (self, span) {
            (_, Span::Window { ends, .. }) => Some(ends),
            (Self::Rolling(parts), _) => parts.room_at(0),
            _ => None,
        }
    }

    pub(super) fn is_over(&mut self, now: Timestamp) -> bool {
        match self {
            Self::Window(windows) => windows.ends <= now,
            Self::Rolling(parts) => {
                parts.clear(now);
                parts.amounts.is_empty()
            }
            Self::Held(leases) => {
                leases.clear(now);
                leases.of.is_empty()
            }
        }
    }
}

impl Windows {
    /// Goes on to a later window.
    fn turn(&mut self, starts: Timestamp, ends: Timestamp) {
        if starts > self.starts {
            self.before = Some((self.starts, self.used));
            (self.starts, self.ends, self.used) = (starts, ends, 0);
        }
    }

    /// What is used of the window that starts then; of the present one, where that is longer ago
    /// than is remembered, and of none where it is still to come.
    fn of(&mut self, starts: Timestamp) -> Option<&mut u64> {
        match &mut self.before {
            _ if starts > self.starts => None,
            Some((before, used)) if *before == starts => Some(used),
            _ => Some(&mut self.used),
        }
    }

    fn exactly(&mut self, starts: Timestamp) -> Option<&mut u64> {
        match &mut self.before {
            _ if starts == self.starts => Some(&mut self.used),
            Some((before, used)) if *before == starts => Some(used),
            _ => None,
        }
    }
}

impl Parts {
    /// How long a part is, in microseconds; rounded up, so that the parts cover the window.
    fn width(&self) -> i64 {
        let micros = self.length.as_micros().div_ceil(ROLLING_PARTS.into()).max(1);
        i64::try_from(micros).unwrap_or(i64::MAX)
    }

    fn number(&self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(self.width())
    }

    /// When all of a part is out of the window.
    fn over(&self, number: i64) -> Timestamp {
        let end = number.saturating_add(1).saturating_mul(self.width());
        Timestamp::from_micros(end).after(self.length)
    }

    fn clear(&mut self, now: Timestamp) {
        while let Some((number, _)) = self.amounts.front()
            && self.over(*number) <= now
        {
            self.amounts.pop_front();
        }
    }

    fn used(&self) -> u64 {
        self.amounts.iter().fold(0, |sum: u64, (_, amount)| sum.saturating_add(*amount))
    }

    fn at(&mut self, at: Timestamp) -> Option<&mut u64> {
        let number = self.number(at);
        let place = self.amounts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.amounts.get_mut(place).map(|(_, amount)| amount)
    }

    fn add(&mut self, at: Timestamp, amount: u64) {
        let number = self.number(at);
        match self.amounts.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                if let Some((_, sum)) = self.amounts.get_mut(place) {
                    *sum = sum.saturating_add(amount);
                }
            }
            Err(place) => self.amounts.insert(place, (number, amount)),
        }
    }

    /// When no more than `left` is used.
    fn room_at(&self, left: u64) -> Option<Timestamp> {
        let mut used = self.used();
        for (number, amount) in &self.amounts {
            used = used.saturating_sub(*amount);
            if used <= left {
                return Some(self.over(*number));
            }
        }
        None
    }
}

impl Leases {
    fn clear(&mut self, now: Timestamp) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.of.retain(|_, (_, until)| *until > now);
        self.used = self.of.values().fold(0, |sum: u64, (amount, _)| sum.saturating_add(*amount));
        self.next = self.of.values().map(|(_, until)| *until).min();
    }

    fn add(&mut self, hold: &Hold, amount: u64) {
        self.of.insert(hold.id, (amount, hold.until));
        self.used = self.used.saturating_add(amount);
        self.next = Some(self.next.map_or(hold.until, |next| next.min(hold.until)));
    }

    fn end(&mut self, id: HoldId) {
        if let Some((amount, _)) = self.of.remove(&id) {
            self.used = self.used.saturating_sub(amount);
        }
        if self.of.is_empty() {
            self.next = None;
        }
    }
}
