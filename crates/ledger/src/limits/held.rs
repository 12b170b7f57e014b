//! Room that is held for one call, and what becomes of it.

use std::fmt;
use std::sync::Arc;

use doorward_core::{CallError, Code, Reservation, Settled, Spent, Timestamp};

use super::limit::Limit;
use super::{Book, Listed};
use crate::prices::Quote;
use crate::{Claim, Full, Hold, Unit};

/// Room under no limit at all. Takes no memory, so that a box of it allocates none.
#[derive(Debug)]
pub(super) struct Free;

impl Reservation for Free {
    fn settle(self: Box<Self>, _spent: &Spent) -> Settled {
        Settled::default()
    }

    fn preview(&self, _spent: &Spent) -> Settled {
        Settled::default()
    }
}

/// What an attempt may come to, and at which prices it is settled.
pub(super) struct Bill {
    pub(super) listed: Arc<Listed>,
    pub(super) quote: Option<Quote>,
    /// The tier asked for.
    pub(super) tier: Option<Box<str>>,
    /// At most.
    pub(super) tokens: u64,
    /// Money, at most, where the price is known.
    pub(super) nanos: Option<u64>,
}

impl Bill {
    fn settled(&self, spent: &Spent) -> Settled {
        let billed = spent.billed.as_ref();
        if let Some(nanos) = billed.and_then(|billed| billed.cost_usd).and_then(nanos) {
            return Settled {
                cost_nanos: Some(nanos),
                estimated: false,
                prices: Some("provider".into()),
            };
        }
        let Some(usage) = &spent.usage else {
            if !spent.reached {
                return Settled { cost_nanos: Some(0), ..Settled::default() };
            }
            let prices = self.nanos.map(|_| Arc::clone(&self.listed.id));
            return Settled { cost_nanos: self.nanos, estimated: true, prices };
        };
        let Some(Quote { price, is_fallback }) = &self.quote else { return Settled::default() };
        let told = billed.and_then(|billed| billed.tier.as_deref());
        let cost = match told {
            Some(tier) => price.cost(usage, Some(tier)),
            // It may have been served in the one asked for, or not.
            None => price.cost(usage, None).max(price.cost(usage, self.tier.as_deref())),
        };
        Settled {
            cost_nanos: Some(cost),
            estimated: *is_fallback || !price.knows_tier(told.or(self.tier.as_deref())),
            prices: Some(Arc::clone(&self.listed.id)),
        }
    }

    fn tokens(&self, spent: &Spent) -> u64 {
        match &spent.usage {
            Some(usage) => usage.total(),
            None if spent.reached => self.tokens,
            None => 0,
        }
    }
}

/// US dollars in nano-dollars, rounded up, where they make sense.
fn nanos(usd: f64) -> Option<u64> {
    let nanos = usd * 1e9;
    // A decimal number is rarely a binary fraction: what is off by less than a thousandth is not
    // a nano-dollar more.
    let whole = if (nanos - nanos.round()).abs() < 1e-3 { nanos.round() } else { nanos.ceil() };
    if !(0.0..9e18).contains(&whole) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number in range"
    )]
    Some(whole as u64)
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is reserved.
    Apart,
    /// The store was asked; it may have reserved.
    Asked,
    /// It is reserved.
    Granted,
}

/// Room under some limits.
pub(super) struct Held {
    book: Arc<Book>,
    hold: Hold,
    /// Which limit each claim is under.
    places: Vec<usize>,
    bill: Option<Bill>,
    stage: Stage,
}

impl Held {
    pub(super) fn new(book: Arc<Book>, hold: Hold, places: Vec<usize>, bill: Option<Bill>) -> Self {
        Self { book, hold, places, bill, stage: Stage::Apart }
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(super) fn has_claims(&self) -> bool {
        !self.hold.claims.is_empty()
    }

    /// Whether there is nothing to put down.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_claims() && self.bill.is_none()
    }

    pub(super) fn asked(&mut self) {
        self.stage = Stage::Asked;
    }

    pub(super) fn granted(&mut self) {
        self.stage = Stage::Granted;
    }

    pub(super) fn refused(&mut self) {
        self.stage = Stage::Apart;
    }

    fn limits(&self) -> impl Iterator<Item = (&Limit, &Claim)> {
        let limits = self.places.iter().filter_map(|place| self.book.limits.get(*place));
        limits.zip(&self.hold.claims)
    }

    pub(super) fn refusal(&self, full: Full, now: Timestamp) -> CallError {
        match self.limits().nth(full.claim) {
            Some((limit, claim)) => limit.refusal(claim, full, now),
            None => CallError::new(Code::RateLimited, "a limit is used up"),
        }
    }

    fn settled(&self, spent: &Spent) -> Settled {
        self.bill.as_ref().map_or_else(Settled::default, |bill| bill.settled(spent))
    }

    /// Puts down what was spent in place of what is reserved.
    fn put(&mut self, spent: &Spent, settled: &Settled) {
        if self.stage != Stage::Granted {
            return;
        }
        self.stage = Stage::Apart;
        let amount = |(limit, claim): (&Limit, &Claim)| match (limit.rule.what, &self.bill) {
            (Unit::Tokens, Some(bill)) => bill.tokens(spent),
            // Without a price nothing was reserved, and nothing is known.
            (Unit::Usd, Some(_)) => settled.cost_nanos.unwrap_or(claim.amount),
            _ => claim.amount,
        };
        let amounts: Vec<u64> = self.limits().map(amount).collect();
        self.book.counters.settle(&self.hold, &amounts);
    }
}

impl Reservation for Held {
    fn settle(mut self: Box<Self>, spent: &Spent) -> Settled {
        let settled = self.settled(spent);
        self.put(spent, &settled);
        settled
    }

    fn preview(&self, spent: &Spent) -> Settled {
        self.settled(spent)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let reserved = |claim: &Claim| if self.stage == Stage::Granted { claim.amount } else { 0 };
        if self.stage != Stage::Apart {
            let amounts: Vec<u64> = self.hold.claims.iter().map(reserved).collect();
            self.book.counters.settle(&self.hold, &amounts);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("hold", &self.hold).finish_non_exhaustive()
    }
}
