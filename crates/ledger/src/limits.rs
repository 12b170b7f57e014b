//! The limits, applied to calls.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use doorward_core::{
    Ask, BoxFuture, CallError, Clock, Code, Cx, Ledger, Principal, Reservation, Settled, Spent,
    Timestamp,
};

use crate::{Claim, CounterKey, Counters, Full, Per, Prices, Rule, Unit, Unpriced};

/// Tokens reserved for an answer where the client did not say how long it may be.
const OUTPUT: u64 = 4096;

/// A rule that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Two rules have one name: their counts would run together.
    #[error("there are two limits called `{0}`")]
    Name(String),
    /// Calls and tokens come in whole numbers.
    #[error("limit `{0}` counts calls or tokens: its amount must be a whole number")]
    Fraction(String),
}

/// Holds limits over both planes.
///
/// Requests and tokens that are used up are answered with [`Code::RateLimited`], money with
/// [`Code::BudgetExhausted`]; both name the rule. A call that did not reach its upstream gives
/// back tokens and money, but counts as a request.
pub struct Limits {
    /// Shared with the reservations, which outlive the call that made them.
    book: Arc<Book>,
    clock: Arc<dyn Clock>,
    output: u64,
}

struct Book {
    limits: Vec<Limit>,
    prices: Prices,
    counters: Arc<dyn Counters>,
}

/// A rule with what is looked up once.
struct Limit {
    rule: Rule,
    name: Arc<str>,
    most: u64,
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
            let Some(most) = rule.most() else { return Err(LimitsError::Fraction(rule.name)) };
            limits.push(Limit { name: rule.name.as_str().into(), most, rule });
        }
        let book = Arc::new(Book { limits, prices, counters });
        Ok(Self { book, clock, output: OUTPUT })
    }

    /// Reserves so many tokens for an answer where the client did not say; 4096 unless set.
    #[must_use]
    pub fn with_default_output(mut self, tokens: u64) -> Self {
        self.output = tokens;
        self
    }

    /// The most the call can take under a limit; `None` where nobody knows.
    fn worst(&self, unit: Unit, ask: &Ask<'_>) -> Option<u64> {
        match (unit, ask) {
            (Unit::Requests, _) => Some(1),
            (_, Ask::Tool(_) | Ask::Model { .. }) => Some(0),
            (Unit::Tokens, Ask::Attempt(it)) => {
                Some(it.input.saturating_add(it.output.unwrap_or(self.output)))
            }
            (Unit::Usd, Ask::Attempt(it)) => {
                self.book.prices.worst(it.target, it.input, it.output.unwrap_or(self.output))
            }
        }
    }

    /// Boxed: an error is rare and large, a claim is neither.
    fn hold(&self, cx: &Cx, ask: &Ask<'_>) -> Result<Box<dyn Reservation>, Box<CallError>> {
        if self.book.limits.is_empty() {
            return Ok(Box::new(Free));
        }
        let now = self.clock.now();
        let mut held = Held { book: Arc::clone(&self.book), claims: vec![], places: vec![] };
        for (place, limit) in self.book.limits.iter().enumerate() {
            if !limit.concerns(&cx.principal, ask) {
                continue;
            }
            let amount = match (self.worst(limit.rule.what, ask), self.book.prices.unpriced) {
                (Some(amount), _) => amount,
                (None, Unpriced::Allow) => 0,
                (None, Unpriced::Deny) => return Err(Box::new(limit.unpriced())),
            };
            held.claims.push(limit.claim(&cx.principal, amount, now));
            held.places.push(place);
        }
        if held.claims.is_empty() {
            return Ok(Box::new(Free));
        }
        match self.book.counters.reserve(&held.claims, now) {
            Ok(()) => Ok(Box::new(held)),
            Err(full) => Err(Box::new(held.refusal(full, now))),
        }
    }
}

impl Limit {
    fn concerns(&self, principal: &Principal, ask: &Ask<'_>) -> bool {
        let rule = &self.rule;
        let plane = match ask {
            Ask::Model { model } => rule.what == Unit::Requests && rule.concerns_model(model),
            Ask::Attempt(it) => rule.what != Unit::Requests && rule.concerns_model(it.model),
            // A tool has neither tokens nor a price.
            Ask::Tool(tool) => rule.what == Unit::Requests && rule.concerns_tool(tool.as_str()),
        };
        plane && rule.concerns(principal)
    }

    fn claim(&self, principal: &Principal, amount: u64, now: Timestamp) -> Claim {
        let subject = match self.rule.per {
            Per::All => "".into(),
            Per::Key => match principal.key {
                Some(key) => key.to_string().into(),
                None => Arc::clone(&principal.id),
            },
            Per::Principal => Arc::clone(&principal.id),
            Per::Team => principal.team.clone().unwrap_or_else(|| "".into()),
        };
        let window = self.rule.window;
        Claim {
            key: CounterKey { rule: Arc::clone(&self.name), subject },
            window: window.number(now),
            ends: now.after(window.left(now)),
            most: self.most,
            amount,
        }
    }

    fn code(&self) -> Code {
        match self.rule.what {
            Unit::Requests | Unit::Tokens => Code::RateLimited,
            Unit::Usd => Code::BudgetExhausted,
        }
    }

    fn refusal(&self, claim: &Claim, now: Timestamp) -> CallError {
        let Rule { name, amount, window, what, .. } = &self.rule;
        let (window, unit) = (window.as_str(), what.as_str());
        if claim.amount > claim.most {
            let public = format!(
                "this call may take more than limit `{name}` has: {amount} {unit} a {window}"
            );
            return CallError::new(self.code(), public).with_rule(name.clone());
        }
        CallError::new(
            self.code(),
            format!("limit `{name}` is used up: {amount} {unit} a {window}"),
        )
        .with_rule(name.clone())
        .with_retry_after(self.rule.window.left(now))
    }

    fn unpriced(&self) -> CallError {
        let name = &self.rule.name;
        let public = format!("limit `{name}` counts money, and this model has no price");
        CallError::new(self.code(), public).with_rule(name.clone())
    }

    /// What a call did take, given what was reserved.
    fn actual(&self, reserved: u64, spent: &Spent, prices: &Prices) -> u64 {
        match (self.rule.what, &spent.usage) {
            (Unit::Requests, _) => reserved,
            (_, None) if !spent.reached => 0,
            // Nobody told: the worst case stands.
            (_, None) => reserved,
            (Unit::Tokens, Some(usage)) => usage.total(),
            (Unit::Usd, Some(usage)) => {
                let price = spent.target.as_deref().and_then(|target| prices.of(target));
                price.map_or(reserved, |price| price.cost(usage))
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
        Box::pin(ready(self.hold(cx, &ask).map_err(|error| *error)))
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.book.limits.iter().map(|limit| &limit.name);
        f.debug_struct("Limits").field("limits", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// Room under no limit at all. Takes no memory, so that a box of it allocates none.
#[derive(Debug)]
struct Free;

impl Reservation for Free {
    fn settle(self: Box<Self>, _spent: &Spent) -> Settled {
        Settled::default()
    }

    fn preview(&self, _spent: &Spent) -> Settled {
        Settled::default()
    }
}

/// Room under some limits.
struct Held {
    book: Arc<Book>,
    claims: Vec<Claim>,
    /// Which limit each claim is under.
    places: Vec<usize>,
}

impl Held {
    fn limits(&self) -> impl Iterator<Item = (&Limit, &Claim)> {
        let limits = self.places.iter().filter_map(|place| self.book.limits.get(*place));
        limits.zip(&self.claims)
    }

    fn refusal(&self, full: Full, now: Timestamp) -> CallError {
        match self.limits().nth(full.claim) {
            Some((limit, claim)) => limit.refusal(claim, now),
            None => CallError::new(Code::RateLimited, "a limit is used up"),
        }
    }
}

impl Reservation for Held {
    fn settle(self: Box<Self>, spent: &Spent) -> Settled {
        let prices = &self.book.prices;
        let actual = |(limit, claim): (&Limit, &Claim)| limit.actual(claim.amount, spent, prices);
        let amounts: Vec<u64> = self.limits().map(actual).collect();
        self.book.counters.settle(&self.claims, &amounts);
        self.preview(spent)
    }

    fn preview(&self, _spent: &Spent) -> Settled {
        Settled::default()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("claims", &self.claims).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
