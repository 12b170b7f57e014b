//! The targets of a call beside completions, one after the other until one answers. The same
//! names, wishes, labels and keys count as for completions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use doorward_core::{Attempt, CallError, Code, Cx, Preferences, Route};

use crate::Router;
use crate::answer::{Refused, Stage};
use crate::candidate::Candidate;
use crate::fault::{Fault, classify};
use crate::keys::{Picked, Want};
use crate::plan::Step;
use crate::receipt::{Rank, Receipt};
use crate::when::Facts;

/// What is left to try, and what was tried.
pub(crate) struct Tries<'r> {
    router: &'r Router,
    cx: &'r Cx,
    left: VecDeque<Step>,
    receipt: Receipt,
    refused_keys: Vec<u64>,
    ended: bool,
}

impl<'r> Tries<'r> {
    /// The targets for a model's name, as completions have them.
    ///
    /// # Errors
    ///
    /// Where the name leads nowhere, or no upstream may have the call's data.
    pub(crate) fn new(
        router: &'r Router,
        cx: &'r Cx,
        model: &str,
        wishes: &Preferences,
        facts: &Facts<'_>,
    ) -> Result<Self, CallError> {
        let mut receipt = Receipt::new(model);
        let left = match router.plan(cx, model, wishes, facts, &mut receipt) {
            Ok(plan) => plan.steps,
            Err(mut error) => {
                error.route = Some(Arc::new(receipt.route));
                return Err(error);
            }
        };
        Ok(Self { router, cx, left, receipt, refused_keys: vec![], ended: false })
    }

    /// The next target, unless the last failure would be the same anywhere.
    pub(crate) fn next(&mut self) -> Option<Step> {
        if self.ended { None } else { self.left.pop_front() }
    }

    /// Whether the last failure would be the same anywhere.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The credential to show a target.
    pub(crate) async fn pick(&self, candidate: &Candidate) -> Result<Picked, Refused> {
        let want = Want {
            upstream: &candidate.target.upstream,
            model: &candidate.target.model,
            now: self.router.clock.instant(),
            rather: None,
            not: &self.refused_keys,
            last_resort: self.left.is_empty(),
        };
        let picked = candidate.keys.pick(&*self.router.credentials, self.cx, want).await;
        picked.map_err(Refused::unmade)?.map_err(|shut| {
            let upstream = &candidate.target.upstream;
            let public = format!("no credential for upstream `{upstream}` can be used now");
            let error = CallError::new(Code::Upstream, public);
            let error = error.with_rule("upstream_credentials_exhausted");
            let retry_after = Some(shut.left).filter(|left| !left.is_zero());
            Refused::unmade(CallError { retry_after, ..error })
        })
    }

    /// Puts down that a target did not answer. Says whether it may charge all the same.
    pub(crate) fn failed(
        &mut self,
        step: Step,
        picked: Option<&Picked>,
        refused: Refused,
        began: Instant,
    ) -> bool {
        let fault = classify(&refused);
        let maybe_billed = refused.stage == Stage::Sent && fault.may_be_billed();
        let Refused { error, status, stage } = refused;
        let now = self.router.clock.instant();
        let took = now.saturating_duration_since(began);
        let (target, code) = (step.candidate.name.to_string(), error.code);
        tracing::warn!(%target, code = code.as_str(), status, "attempt failed");
        self.receipt.tried(vec![Attempt { target, code, status, took, maybe_billed }]);
        let rank = if stage == Stage::Unfit { Rank::Unfit } else { Rank::Asked };
        self.receipt.failed(rank, error);
        match (fault, picked) {
            (Fault::Key(trouble), Some(picked)) => {
                let Candidate { keys, target, .. } = &*step.candidate;
                keys.rest(picked.id, &target.model, trouble, now);
                self.refused_keys.push(picked.id);
                let audience = doorward_core::Audience::Upstream(&target.upstream);
                if self.router.credentials.choices(self.cx, audience) > self.refused_keys.len() {
                    self.left.push_front(step);
                }
            }
            (Fault::Call | Fault::State, _) if stage == Stage::Sent => self.ended = true,
            _ => {}
        }
        maybe_billed
    }

    /// The receipt, where a target answered.
    pub(crate) fn answered(mut self, candidate: &Candidate, dropped: Vec<String>) -> Arc<Route> {
        self.receipt.route.target = candidate.name.to_string();
        self.receipt.route.dropped = dropped;
        Arc::new(self.receipt.route)
    }

    /// There is no room in the budget for a target.
    pub(crate) fn unaffordable(&mut self, step: &Step, error: CallError) {
        self.receipt.exclude(&step.candidate, format!("budget: {error}"));
        self.receipt.failed(Rank::Purse, error);
    }

    /// The failure, where none did.
    pub(crate) fn given_up(self) -> CallError {
        self.receipt.into_error()
    }
}
