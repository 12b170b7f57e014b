//! The limits, applied to calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{
    Ask, BoxFuture, CallError, Clock, Code, Cx, Estimate, Ledger, Reservation, Timestamp,
};

use crate::prices::Prices;
use crate::{Bound, Claim, Counters, Hold, HoldId, ReserveError, Rule, Unit};

mod held;
mod limit;
mod state;

use held::{Bill, Free, Held};
use limit::Limit;
pub use state::{Headroom, LimitState};

/// Tokens reserved for an answer where nobody said how long it may be.
const OUTPUT: u64 = 4096;

/// How long a call may run before its process is taken to have ended, unless said.
const LEASE: Duration = Duration::from_hours(1);

/// A rule that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Two rules have one name: their counts would run together.
    #[error("there are two limits called `{0}`")]
    Name(String),
    /// Calls and tokens come in whole numbers.
    #[error("limit `{0}` counts calls or tokens: its amount must be a whole number")]
    Fraction(String),
    /// It counts what goes by, and does not tell for how long.
    #[error("limit `{0}` needs a window: minute, hour, day, week or month")]
    Window(String),
    /// It counts what runs at once.
    #[error("limit `{0}` counts what runs at once: it has no window, rolling or in a time zone")]
    NoWindow(String),
    /// There is no such time zone.
    #[error("limit `{0}`: no time zone is called `{1}`; they are named like Europe/Berlin")]
    TimeZone(String, String),
    /// Its windows are the same everywhere.
    #[error("limit `{0}`: only the calendar's days, weeks and months differ by time zone")]
    Nowhere(String),
    /// It would never count anything.
    #[error("limit `{0}` would never count anything: {1}")]
    Idle(String, &'static str),
}

/// Holds limits over both planes, and puts down what calls cost.
///
/// A model call takes one request and one place of those at once; each of its attempts takes
/// tokens and money, at the dearest that it may come to; a tool call takes one request and one
/// tool call. All levels are reserved together or not at all.
///
/// Requests and concurrency that are used up are answered with [`Code::RateLimited`], money and
/// tool calls with [`Code::BudgetExhausted`]; tokens by the minute, hour or day are a rate, by
/// the week or month a budget. The refusal names the rule.
///
/// An attempt is put down at what the provider says that it cost ([`Billed::cost_usd`]), else at
/// its tokens times its price, in the tier that served it; where no tier is reported, in the
/// dearer of the standard one and the one asked for. Where no tokens are reported, the worst case
/// stands, unless the upstream was not reached: then tokens and money come back, but it counts
/// as a request. A reservation that is dropped unsettled gives back its place among those at
/// once, and nothing that may have been spent.
///
/// [`Billed::cost_usd`]: doorward_core::Billed::cost_usd
pub struct Limits {
    /// Shared with the reservations, which outlive the call that made them.
    book: Arc<Book>,
    clock: Arc<dyn Clock>,
    prices: ArcSwap<Listed>,
    serial: AtomicU64,
    output: Option<u64>,
    lease: Duration,
}

struct Book {
    limits: Vec<Limit>,
    counters: Arc<dyn Counters>,
}

/// Prices, with what they are called.
struct Listed {
    prices: Prices,
    id: Arc<str>,
}

impl Listed {
    fn new(prices: Prices) -> Self {
        let id = prices.id();
        Self { prices, id }
    }
}

impl Limits {
    /// Keeps these rules. Where several refuse, the first one is named.
    ///
    /// # Errors
    ///
    /// Where a rule makes no sense.
    pub fn new(
        rules: Vec<Rule>,
        prices: Prices,
        counters: Arc<dyn Counters>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LimitsError> {
        let mut limits: Vec<Limit> = Vec::with_capacity(rules.len());
        for rule in rules {
            if limits.iter().any(|other| *other.name == *rule.name) {
                return Err(LimitsError::Name(rule.name));
            }
            limits.push(Limit::new(rule)?);
        }
        Ok(Self {
            book: Arc::new(Book { limits, counters }),
            clock,
            prices: ArcSwap::from_pointee(Listed::new(prices)),
            serial: AtomicU64::new(0),
            output: None,
            lease: LEASE,
        })
    }

    /// Reserves so many tokens for an answer where the client did not say how long it may be.
    /// Unless set, limits on money reserve the longest answer that the price tells of
    /// ([`Price::max_output`](crate::Price::max_output)), and otherwise it is 4,096: an answer
    /// that is longer still passes a limit by the difference.
    #[must_use]
    pub fn with_default_output(mut self, tokens: u64) -> Self {
        self.output = Some(tokens);
        self
    }

    /// Takes a call's process to have ended when the call is not settled after so long, and lets
    /// others have its place among those at once. An hour, unless set; longer than any call runs.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Puts other prices in place of those there are. What is reserved is settled at the prices
    /// it was reserved at.
    pub fn set_prices(&self, prices: Prices) {
        self.prices.store(Arc::new(Listed::new(prices)));
    }

    /// The id of the prices that hold now.
    pub fn prices_id(&self) -> Arc<str> {
        Arc::clone(&self.prices.load().id)
    }

    /// What a call would take under each limit. Boxed: an error is rare and large.
    fn plan(&self, cx: &Cx, ask: &Ask<'_>, now: Timestamp) -> Result<Held, Box<CallError>> {
        let bill = match ask {
            Ask::Attempt(estimate) => Some(self.bill(estimate)),
            Ask::Model { .. } | Ask::Tool(_) => None,
        };
        let mut claims = Vec::new();
        let mut places = Vec::new();
        for (place, limit) in self.book.limits.iter().enumerate() {
            if !limit.concerns(cx, ask) {
                continue;
            }
            let amount = match (limit.rule.what, &bill) {
                (Unit::Tokens, Some(bill)) => bill.tokens,
                (Unit::Usd, Some(bill)) => match bill.nanos {
                    Some(nanos) => nanos,
                    None if bill.listed.prices.allows_unpriced() => 0,
                    None => return Err(Box::new(limit.unpriced())),
                },
                _ => 1,
            };
            claims.push(Claim { count: limit.count(cx, now), most: limit.most, amount });
            places.push(place);
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let id = HoldId { request: cx.request, serial };
        let hold = Hold { id, at: now, until: now.after(self.lease), claims };
        Ok(Held::new(Arc::clone(&self.book), hold, places, bill))
    }

    fn bill(&self, estimate: &Estimate<'_>) -> Bill {
        let listed = self.prices.load_full();
        let quote = listed.prices.quote(estimate.target);
        let tokens = estimate.output.or(self.output);
        let longest = quote.as_ref().and_then(|quote| quote.price.max_output);
        let bound = Bound {
            input: estimate.input,
            output: tokens.or(longest).unwrap_or(OUTPUT),
            tier: estimate.tier,
            cache_1h: estimate.cache_1h,
        };
        Bill {
            nanos: quote.as_ref().map(|quote| quote.price.worst(&bound)),
            tokens: estimate.input.saturating_add(tokens.unwrap_or(OUTPUT)),
            tier: estimate.tier.map(Into::into),
            listed,
            quote,
        }
    }

    async fn hold(&self, cx: &Cx, ask: Ask<'_>) -> Result<Box<dyn Reservation>, CallError> {
        let idle = self.book.limits.is_empty() && !matches!(ask, Ask::Attempt(_));
        if idle {
            return Ok(Box::new(Free));
        }
        let now = self.clock.now();
        let mut held = self.plan(cx, &ask, now).map_err(|error| *error)?;
        if !held.has_claims() {
            return Ok(if held.is_idle() { Box::new(Free) } else { Box::new(held) });
        }
        // Should this future be dropped while it waits, `held` gives back what the store may
        // have reserved.
        held.asked();
        match self.book.counters.reserve(held.hold()).await {
            Ok(()) => {
                held.granted();
                Ok(Box::new(held))
            }
            Err(ReserveError::Full(full)) => {
                held.refused();
                Err(held.refusal(full, now))
            }
            Err(ReserveError::Unavailable(source)) => {
                let public = "the limits cannot be counted at the moment";
                Err(CallError { source: Some(source), ..CallError::new(Code::Overloaded, public) })
            }
        }
    }
}

impl Ledger for Limits {
    fn reserve<'a>(
        &'a self,
        cx: &'a Cx,
        ask: Ask<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>> {
        Box::pin(self.hold(cx, ask))
    }

    fn price(&self, target: &str) -> Option<(u64, u64)> {
        let listed = self.prices.load();
        let quote = listed.prices.quote(target)?;
        Some(quote.price.per_token())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.book.limits.iter().map(|limit| &limit.name);
        f.debug_struct("Limits").field("limits", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
