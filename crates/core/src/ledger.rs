//! Money, tokens and rates: reserve before, settle after.

use std::fmt;

use crate::{BoxFuture, CallError, Cx, ToolName, Usage};

/// What is about to be spent.
#[derive(Debug, Clone)]
pub enum Ask<'a> {
    /// A model call.
    Model {
        /// The model, as the client wrote it.
        model: &'a str,
        /// Tokens of the prompt, estimated.
        input: u64,
        /// The most tokens the answer may have, where the client said.
        output: Option<u64>,
    },
    /// A tool call.
    Tool(&'a ToolName),
}

/// What was spent.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    /// Tokens, where the provider told.
    pub usage: Option<Usage>,
    /// The target that answered, `upstream/model`.
    pub target: Option<String>,
    /// Whether the upstream was reached at all.
    pub reached: bool,
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
}

/// Room held for one call. Dropping it unsettled gives nothing back of what may have been spent.
pub trait Reservation: Send + fmt::Debug {
    /// Replaces the reserved worst case by what was spent.
    fn settle(self: Box<Self>, spent: &Spent);

    /// Whether a limit on this call counts tokens, so that usage must be asked for.
    fn counts_tokens(&self) -> bool;
}
