//! What is used of the limits: for reports, and for headers that tell clients.

use std::sync::Arc;

use doorward_core::{CallError, Code, Cx, Timestamp};
use serde::Serialize;

use super::Limits;
use super::limit::Limit;
use crate::{Count, Span, Subject, Unit, Used};

/// How a limit stands for a caller. Numbers are requests, tokens, calls or nano-dollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitState {
    /// The rule.
    pub rule: Arc<str>,
    /// What it counts.
    pub what: Unit,
    /// Whose count it is.
    pub subject: Subject,
    /// How much is spent or reserved.
    pub used: u64,
    /// How much there is.
    pub most: u64,
    /// When nothing of it is used any more, if nothing is added: the window's end, or when the
    /// last of a rolling one is over. `None` where nothing is used of a rolling one, and for
    /// what runs at once.
    pub resets_at: Option<Timestamp>,
}

impl LimitState {
    /// How much is left.
    pub fn left(&self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// The limits that leave a caller least: what `x-ratelimit-*` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headroom {
    /// On requests.
    pub requests: Option<LimitState>,
    /// On tokens.
    pub tokens: Option<LimitState>,
}

impl Limits {
    /// How every limit that concerns the caller stands, whatever is called, in the rules' order.
    ///
    /// # Errors
    ///
    /// [`Code::Overloaded`] where the counts cannot be had.
    pub async fn usage(&self, cx: &Cx) -> Result<Vec<LimitState>, CallError> {
        self.states(cx, |limit| limit.rule.concerns(cx)).await
    }

    /// The limits on requests and on tokens that leave the caller least for this model. Asked
    /// after reserving, they tell of the call itself too.
    ///
    /// # Errors
    ///
    /// As [`usage`](Self::usage).
    pub async fn state_for(&self, cx: &Cx, model: &str) -> Result<Headroom, CallError> {
        let concerns = |limit: &Limit| {
            let rule = &limit.rule;
            let counts = match rule.what {
                Unit::Requests => rule.concerns_model(model),
                // Which target answers is not known: a limit on some of them is left out.
                Unit::Tokens => rule.targets.is_none() && rule.concerns_attempt(model, ""),
                Unit::Usd | Unit::ToolCalls | Unit::Concurrency => false,
            };
            counts && rule.concerns(cx)
        };
        let states = self.states(cx, concerns).await?;
        let tightest = |what| {
            let of_kind = states.iter().filter(|state| state.what == what);
            of_kind.min_by_key(|state| state.left()).cloned()
        };
        Ok(Headroom { requests: tightest(Unit::Requests), tokens: tightest(Unit::Tokens) })
    }

    async fn states(
        &self,
        cx: &Cx,
        concerns: impl Fn(&Limit) -> bool,
    ) -> Result<Vec<LimitState>, CallError> {
        let now = self.clock.now();
        let limits: Vec<&Limit> = self.book.limits.iter().filter(|limit| concerns(limit)).collect();
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let counts: Vec<_> = limits.iter().map(|limit| limit.count(cx, now)).collect();
        let used = self.book.counters.used(&counts, now).await.map_err(|source| {
            let public = "the limits cannot be counted at the moment";
            CallError { source: Some(source), ..CallError::new(Code::Overloaded, public) }
        })?;
        let states = limits.into_iter().zip(counts).zip(used);
        let state = |((limit, count), used): ((&Limit, Count), Used)| LimitState {
            rule: Arc::clone(&limit.name),
            what: limit.rule.what,
            subject: count.key.subject,
            used: used.amount,
            most: limit.most,
            resets_at: match count.span {
                Span::Window { ends, .. } => Some(ends),
                Span::Rolling { .. } | Span::Held => used.until,
            },
        };
        Ok(states.map(state).collect())
    }
}
