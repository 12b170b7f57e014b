//! In which order targets are tried.

use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;
use std::time::Instant;

use doorward_core::{Entropy, Sort};

use crate::candidate::Candidate;
use crate::complexity;
use crate::when::Facts;
use crate::{Strategy, Tier};

/// What a target costs: billionths of a US dollar for a token of prompt and of answer.
pub(crate) type Prices = dyn Fn(&str) -> Option<(u64, u64)> + Send + Sync;

/// Tokens of an answer that are counted where the client sets no limit, to compare prices.
const ANSWER: u64 = 500;

/// A target as an alias holds it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) weight: u32,
    pub(crate) tier: Option<Tier>,
}

impl From<Arc<Candidate>> for Slot {
    fn from(candidate: Arc<Candidate>) -> Self {
        Self { candidate, weight: 1, tier: None }
    }
}

/// What strategies look at.
pub(crate) struct Scales<'a> {
    pub(crate) now: Instant,
    pub(crate) entropy: &'a dyn Entropy,
    pub(crate) prices: Option<&'a Prices>,
    pub(crate) facts: &'a Facts<'a>,
}

impl Scales<'_> {
    /// Puts targets in the order of a strategy and says why.
    pub(crate) fn arrange(&self, strategy: Strategy, slots: &mut [Slot]) -> String {
        let name = strategy.as_str();
        if slots.len() < 2 && strategy != Strategy::Complexity {
            return name.to_owned();
        }
        match strategy {
            Strategy::Fallback => name.to_owned(),
            Strategy::Weighted => {
                self.by_lot(slots);
                format!("{name}: {} of {}", first(slots).weight, weights(slots))
            }
            Strategy::Latency => self.quicker_of_two(slots),
            Strategy::LeastBusy => {
                slots.sort_by_key(|slot| slot.candidate.vitals.in_flight.load(Atomic::Relaxed));
                let running = first(slots).candidate.vitals.in_flight.load(Atomic::Relaxed);
                format!("{name}: {running} running")
            }
            Strategy::Cheapest => {
                slots.sort_by_key(|slot| self.cost(&slot.candidate).unwrap_or(u64::MAX));
                match self.cost(&first(slots).candidate) {
                    Some(nanos) => format!("{name}: about {} micro-dollars", nanos / 1000),
                    None => format!("{name}: no prices known"),
                }
            }
            Strategy::Complexity => self.by_tier(slots),
        }
    }

    /// Puts targets in the order a client wishes, and says why.
    pub(crate) fn sort(&self, sort: Sort, slots: &mut [Slot]) -> String {
        match sort {
            Sort::Price => self.arrange(Strategy::Cheapest, slots).replace("cheapest", "price"),
            Sort::Latency => {
                slots.sort_by(|one, other| self.load(one).total_cmp(&self.load(other)));
                "latency, as wished".to_owned()
            }
            Sort::Throughput => {
                let rate = |slot: &Slot| slot.candidate.vitals.rate().unwrap_or(0.0);
                slots.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
                "throughput, as wished".to_owned()
            }
        }
    }

    /// What the call would cost at a target, estimated.
    fn cost(&self, candidate: &Candidate) -> Option<u64> {
        let (input, output) = self.prices?(&candidate.name)?;
        let answer = self.facts.call.and_then(|call| call.params.max_tokens).unwrap_or(ANSWER);
        let prompt = input.saturating_mul(self.facts.input());
        Some(prompt.saturating_add(output.saturating_mul(answer.min(ANSWER))))
    }

    fn load(&self, slot: &Slot) -> f64 {
        slot.candidate.vitals.load(self.now)
    }

    fn draw(&self, below: u64) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        // The high half of a product: even enough for any number of targets.
        let product = u128::from(u64::from_le_bytes(bytes)) * u128::from(below);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// Draws without putting back, each in proportion to its weight; those without weight last.
    fn by_lot(&self, slots: &mut [Slot]) {
        for at in 0..slots.len() {
            let total = weights(&slots[at..]);
            if total == 0 {
                return;
            }
            let mut lot = self.draw(total);
            let drawn = slots[at..].iter().position(|slot| {
                let weight = u64::from(slot.weight);
                let hit = lot < weight;
                lot = lot.saturating_sub(weight);
                hit
            });
            slots[at..=at + drawn.unwrap_or_default()].rotate_right(1);
        }
    }

    /// Two drawn by lot, the quicker first, the rest behind by their quickness. Not simply the
    /// quickest of all: everybody would run to it at once.
    fn quicker_of_two(&self, slots: &mut [Slot]) -> String {
        let count = slots.len() as u64;
        let one = self.draw(count);
        let other = (one + 1 + self.draw(count - 1)) % count;
        let (one, other) = (place(one), place(other));
        let (mut best, mut beaten) = (one.min(other), one.max(other));
        if self.load(&slots[beaten]) < self.load(&slots[best]) {
            std::mem::swap(&mut best, &mut beaten);
        }
        let shown = |slot: &Slot| {
            let known = slot.candidate.vitals.first_token(self.now);
            let time = known.map_or("unmeasured".to_owned(), |it| format!("{} ms", it.as_millis()));
            format!("{} {time}", slot.candidate.name)
        };
        let reason = format!("latency: p2c {} vs {}", shown(&slots[best]), shown(&slots[beaten]));
        slots[..=best].rotate_right(1);
        slots[1..].sort_by(|one, other| self.load(one).total_cmp(&self.load(other)));
        reason
    }

    /// The targets of the call's tier, then harder ones, then easier ones, then those of none.
    fn by_tier(&self, slots: &mut [Slot]) -> String {
        let Some(call) = self.facts.call else { return Strategy::Complexity.as_str().to_owned() };
        let found = complexity::score(call, self.facts);
        slots.sort_by_key(|slot| match slot.tier {
            Some(tier) if tier >= found.tier => (0, tier as u8),
            Some(tier) => (1, u8::MAX - tier as u8),
            None => (2, 0),
        });
        let signs =
            if found.signs.is_empty() { String::new() } else { format!(": {}", found.signs) };
        format!("complexity: {} (score {}{signs})", found.tier.as_str(), found.score)
    }
}

fn place(drawn: u64) -> usize {
    usize::try_from(drawn).unwrap_or_default()
}

fn first(slots: &[Slot]) -> &Slot {
    &slots[0]
}

fn weights(slots: &[Slot]) -> u64 {
    slots.iter().map(|slot| u64::from(slot.weight)).sum()
}
