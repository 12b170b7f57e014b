//! Money, tokens and rates: reserve before, settle after.

use std::fmt;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Billed, BoxFuture, CallError, Cx, ToolName, Usage};

/// What is about to be spent.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// A model call, before anything is tried: counts as one request and one of those at once.
    /// Tokens and money are reserved before each attempt.
    Model {
        /// The model, as the client wrote it.
        model: &'a str,
    },
    /// One attempt of a model call at one target: takes tokens and money.
    Attempt(Estimate<'a>),
    /// A tool call.
    Tool(&'a ToolName),
}

/// The worst case of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Estimate<'a> {
    /// The model, as the client wrote it.
    pub model: &'a str,
    /// The target, `upstream/model`.
    pub target: &'a str,
    /// Tokens of the prompt, at most.
    pub input: u64,
    /// The most tokens that all answers together may have, where the client said.
    pub output: Option<u64>,
    /// The price tier asked for.
    pub tier: Option<&'a str>,
    /// Whether the call writes to the provider's cache for an hour.
    pub cache_1h: bool,
}

/// What was spent.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    /// Tokens, where the provider told.
    pub usage: Option<Usage>,
    /// What else the provider said of the bill.
    pub billed: Option<Billed>,
    /// The target that answered, `upstream/model`.
    pub target: Option<String>,
    /// Whether the upstream was reached and may charge.
    pub reached: bool,
}

/// What was put down as spent, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settled {
    /// Money, in billionths of a US dollar; `None` where nobody knows the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nanos: Option<u64>,
    /// Whether it is an estimate: the worst case, because nobody told what was used, or a price
    /// that is not the one it was served at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// The price list that was used, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Arc<str>>,
}

impl Settled {
    /// Adds what another attempt of the same call took.
    pub fn add(&mut self, other: &Self) {
        self.cost_nanos = match (self.cost_nanos, other.cost_nanos) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        self.estimated |= other.estimated;
        if self.prices.is_none() {
            self.prices.clone_from(&other.prices);
        }
    }
}

/// Holds limits. Reserves the worst case on every level at once, or refuses.
pub trait Ledger: Send + Sync {
    /// Reserves room for a call.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](crate::Code::RateLimited) or
    /// [`Code::BudgetExhausted`](crate::Code::BudgetExhausted), naming the rule and when it is
    /// worth trying again.
    fn reserve<'a>(
        &'a self,
        cx: &'a Cx,
        ask: Ask<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>>;

    /// What a target costs, in billionths of a US dollar for a token of prompt and of answer;
    /// `None` where nobody knows. For routing by price.
    fn price(&self, _target: &str) -> Option<(u64, u64)> {
        None
    }
}

/// Room held for one call. Dropping it unsettled gives nothing back of what may have been spent.
pub trait Reservation: Send + fmt::Debug {
    /// Replaces the reserved worst case by what was spent.
    fn settle(self: Box<Self>, spent: &Spent) -> Settled;

    /// What so much would be put down as, without putting it down.
    fn preview(&self, spent: &Spent) -> Settled;
}

/// Reserves before each attempt of one call. The gateway hands it to the router, which knows the
/// target; a fallback is paid for like a first try.
pub trait Purse: Send + Sync + fmt::Debug {
    /// Reserves room for an attempt at a target, `upstream/model`.
    ///
    /// # Errors
    ///
    /// As [`Ledger::reserve`]: this target costs more than there is.
    fn attempt<'a>(
        &'a self,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>>;

    /// Puts down what an attempt that did not answer took.
    fn failed(&self, hold: Box<dyn Reservation>, spent: &Spent);
}
