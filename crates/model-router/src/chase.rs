//! The way of one call: targets are asked in turn until one answers or none is left.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use doorward_core::{Attempt, CallError, Code, Cx, ModelCall, ModelReply};
use futures_util::future::{Either, select};

use crate::Router;
use crate::flow::{Alarm, Flow};
use crate::pins::Pin;
use crate::plan::Step;
use crate::pursuit::{Asked, End, Outcome, Won};
use crate::receipt::{Rank, Receipt};
use crate::when::Facts;

impl Router {
    /// Asks the call's targets in order, until one answers or none is left.
    pub(crate) async fn route(&self, cx: &Cx, call: ModelCall) -> Result<ModelReply, CallError> {
        let mut receipt = Receipt::new(&call.model);
        let planned =
            self.plan(cx, &call.model, &call.preferences, &Facts::of(&call), &mut receipt);
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(mut error) => {
                error.route = Some(Arc::new(receipt.route));
                return Err(error);
            }
        };
        let asked = Asked { cx, call: &call, home: plan.home.as_ref() };
        while let Some(step) = plan.steps.pop_front() {
            if cx.deadline.is_some_and(|deadline| self.clock.instant() >= deadline) {
                let late = CallError::new(Code::Timeout, "no time is left for another target");
                receipt.failed(Rank::Asked, late);
                break;
            }
            let (outcome, other) = self.ask(asked, step, &mut plan.steps).await;
            for Outcome { step, tried, wait, end } in other.into_iter().chain([outcome]) {
                receipt.tried(tried);
                receipt.wait(wait);
                match end {
                    End::Won(won) => {
                        spared(&mut receipt, plan.steps);
                        return Ok(self.reply(*won, &step, plan.sticky, receipt));
                    }
                    End::Lost { error, terminal } => {
                        receipt.failed(Rank::Asked, error);
                        if terminal {
                            plan.steps.clear();
                        }
                    }
                    End::Excluded { reason, rank, error, again } => {
                        receipt.failed(rank, error);
                        if again && step.resort.is_none() {
                            plan.steps.push_back(Step { resort: Some(reason), ..step });
                        } else {
                            receipt.exclude(&step.candidate, reason);
                        }
                    }
                }
            }
        }
        spared(&mut receipt, plan.steps);
        Err(receipt.into_error())
    }

    /// Asks a target, and the next one too where the first is slow and may be hedged. The answer,
    /// if there is one, comes first.
    async fn ask(
        &self,
        asked: Asked<'_>,
        step: Step,
        steps: &mut VecDeque<Step>,
    ) -> (Outcome, Option<Outcome>) {
        let hedged = steps.front().is_some_and(|next| next.resort.is_none());
        let (Some(delay), Some(pause), true) = (step.course.hedge, &self.pause, hedged) else {
            return (self.pursue(asked, step, steps.is_empty()).await, None);
        };
        let began = self.clock.instant();
        let first = Box::pin(self.pursue(asked, step.clone(), false));
        let first = match select(first, pin!(pause.pause(delay))).await {
            Either::Left((outcome, _)) => return (outcome, None),
            Either::Right(((), first)) => first,
        };
        let Some(next) = steps.pop_front() else { return (first.await, None) };
        let second_began = self.clock.instant();
        let second = Box::pin(self.pursue(asked, next.clone(), steps.is_empty()));
        match select(first, second).await {
            Either::Left((outcome, other)) if outcome.has_won() => {
                drop(other);
                (outcome, Some(self.cancelled(next, second_began)))
            }
            Either::Right((outcome, other)) if outcome.has_won() => {
                drop(other);
                (outcome, Some(self.cancelled(step, began)))
            }
            Either::Left((outcome, other)) | Either::Right((outcome, other)) => {
                (other.await, Some(outcome))
            }
        }
    }

    /// A target that was slower than its hedge. It may charge.
    fn cancelled(&self, step: Step, began: Instant) -> Outcome {
        let took = self.clock.instant().saturating_duration_since(began);
        let target = step.candidate.name.to_string();
        let tried =
            Attempt { target, code: Code::Cancelled, status: None, took, maybe_billed: true };
        let error = CallError::new(Code::Cancelled, "another target was quicker");
        let end = End::Lost { error, terminal: false };
        Outcome { step, tried: vec![tried], wait: None, end }
    }

    /// Hands an answer over.
    fn reply(
        &self,
        won: Won,
        step: &Step,
        sticky: Option<u64>,
        mut receipt: Receipt,
    ) -> ModelReply {
        let Won { opening, held, mut flight, key } = won;
        let now = self.clock.instant();
        flight.opened();
        let candidate = flight.candidate().clone();
        candidate.keys.well(key, &candidate.target.model, now);
        let pin = Pin { target: candidate.name.clone(), key };
        if let Some(sticky) = sticky {
            self.sticky.note(sticky, pin.clone());
        }
        candidate.name.as_ref().clone_into(&mut receipt.route.target);
        receipt.route.dropped = opening.dropped;
        let watch = Alarm::new(step.course.patience, self.pause.as_ref(), flight.began(), now);
        let answer = opening.answer;
        let flow = Flow {
            frames: answer.frames,
            flight,
            pins: self.pins.clone(),
            pin,
            clock: self.clock.clone(),
            watch,
            opened: now,
            tokens: None,
            fault: None,
            over: false,
        };
        ModelReply {
            dialect: opening.dialect,
            streaming: answer.streaming,
            route: Arc::new(receipt.route),
            headers: answer.headers,
            usage_asked: opening.asked_usage,
            hold: held.kept(),
            frames: Box::pin(flow),
        }
    }
}

impl Outcome {
    fn has_won(&self) -> bool {
        matches!(self.end, End::Won(_))
    }
}

/// The targets that were kept for the last and not needed.
fn spared(receipt: &mut Receipt, steps: VecDeque<Step>) {
    for step in steps {
        if let Some(reason) = step.resort {
            receipt.exclude(&step.candidate, reason);
        }
    }
}
