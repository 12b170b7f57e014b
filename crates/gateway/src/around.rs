//! What stands around every call, on both planes: room for its record, authority, guard, limits,
//! and the record itself.
//!
//! The steps are taken in this order and each may refuse; from [`Around::open`] on, exactly one
//! record is certain, because the room for it is taken first and dropping the value unfinished
//! records why.

use std::sync::Arc;
use std::time::Instant;

use doorward_core::{
    Action, Ask, Authorizer, CallError, Clock, Code, Cx, Decision, Entropy, Event, EventId, Guard,
    Kind, Ledger, Outcome, Receipt, Reservation, Settled, Sink, SinkError, Slot, Spent, Who,
};

use crate::estimate::Worst;
use crate::metrics::Metrics;
use crate::purse::{CallPurse, Taken};

/// When a tool call's record must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordTools {
    /// Before the call runs; another entry tells how it ended.
    #[default]
    Before,
    /// After it ran, in one entry, before its result is handed out.
    After,
}

/// What decides on and records every call.
#[derive(Clone)]
pub struct Policy {
    /// May they?
    pub authorizer: Arc<dyn Authorizer>,
    /// Is it safe?
    pub guard: Arc<dyn Guard>,
    /// Is there room in the budget?
    pub ledger: Arc<dyn Ledger>,
    /// Where records go.
    pub sink: Arc<dyn Sink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// When a tool call's record must be durable.
    pub record_tools: RecordTools,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("record_tools", &self.record_tools).finish_non_exhaustive()
    }
}

/// One call on its way through the policy.
pub(crate) struct Around {
    policy: Policy,
    began: Instant,
    deadline: Option<Instant>,
    /// The record as it will be written. The planes fill in what they learn.
    pub(crate) event: Event,
    slot: Option<Box<dyn Slot>>,
    reservation: Option<Box<dyn Reservation>>,
    /// Room held for the attempt that answered.
    hold: Option<Box<dyn Reservation>>,
    /// What the attempts took so far.
    taken: Option<Arc<Taken>>,
    spent: Spent,
}

impl Around {
    /// Takes room for the call's record. Without it nothing runs.
    pub(crate) async fn open(policy: &Policy, cx: &Cx, kind: Kind) -> Result<Self, CallError> {
        // A tool runs once its record is durable; a model's need only be queued.
        let room = match kind {
            Kind::Tool { .. } => policy.sink.open(),
            _ => policy.sink.open_queued(),
        };
        let slot = by(cx.deadline, room).await.map_err(unrecorded)?;
        let event = Event {
            id: EventId::random(&*policy.entropy),
            at: policy.clock.now(),
            kind,
            turn: cx.turn,
            request: cx.request,
            conversation: None,
            who: Who::from(cx),
            agent: cx.agent.clone(),
            decision: Decision::allow("gateway", "no rule was reached"),
            would: None,
            checks: vec![],
            label: None,
            outcome: Outcome::Cancelled,
            error: None,
            took_us: None,
            content: vec![],
        };
        Ok(Self {
            policy: policy.clone(),
            began: policy.clock.instant(),
            deadline: cx.deadline,
            event,
            slot: Some(slot),
            reservation: None,
            hold: None,
            taken: None,
            spent: Spent::default(),
        })
    }

    /// Asks whether the principal may. A refusal is final and recorded.
    pub(crate) fn authorise(&mut self, cx: &Cx, action: Action<'_>) -> Result<(), CallError> {
        let decision = self.policy.authorizer.authorize(cx, action);
        if decision.is_allowed() {
            self.event.decision = decision;
            return Ok(());
        }
        let error = CallError::new(Code::Forbidden, decision.reason.clone())
            .with_rule(decision.rule.to_string());
        self.deny(decision);
        Err(error)
    }

    /// Reserves room in every limit that applies. A refusal is final and recorded.
    pub(crate) async fn reserve(&mut self, cx: &Cx, ask: Ask<'_>) -> Result<(), CallError> {
        match self.policy.ledger.reserve(cx, ask).await {
            Ok(reservation) => {
                self.reservation = Some(reservation);
                Ok(())
            }
            Err(error) => {
                let rule = error.rule.as_deref().unwrap_or("ledger").to_owned();
                self.event.error = Some(error.code);
                self.deny(Decision::deny(rule, error.public.clone()));
                Err(error)
            }
        }
    }

    /// A purse for the call's attempts.
    pub(crate) fn purse(&mut self, cx: &Cx, model: &str, worst: Worst) -> Arc<CallPurse> {
        let purse = CallPurse::new(self.policy.ledger.clone(), cx.clone(), model, worst);
        self.taken = Some(purse.taken());
        Arc::new(purse)
    }

    /// Takes over the room that the attempt that answered holds.
    pub(crate) fn take_hold(&mut self, hold: Option<Box<dyn Reservation>>) {
        self.hold = hold;
    }

    /// What the call costs, as far as is known, in US dollars.
    pub(crate) fn cost_usd(&self) -> Option<f64> {
        let mut sum = self.taken.as_ref().map(|taken| taken.sum()).unwrap_or_default();
        if let Some(hold) = &self.hold {
            sum.add(&hold.preview(&self.spent));
        }
        // A float is exact for every amount below nine million dollars.
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted with")]
        sum.cost_nanos.map(|nanos| nanos as f64 / 1e9)
    }

    /// Makes the call durable as started; the entry that tells how it ended is sure of its room.
    pub(crate) async fn start(&mut self) -> Result<(), CallError> {
        let ending = by(self.deadline, self.policy.sink.open()).await.map_err(unrecorded)?;
        let Some(slot) = self.slot.replace(ending) else { return Ok(()) };
        let mut started = self.event.clone();
        started.outcome = Outcome::Started;
        by(self.deadline, slot.commit(started)).await.map_err(|error| {
            // Nothing ran. The second entry still says so, should the log come back.
            self.event.error = Some(Code::Internal);
            self.end(Outcome::Failed);
            unrecorded(error)
        })
    }

    /// What the call has used up, for the ledger.
    pub(crate) fn spent(&mut self) -> &mut Spent {
        &mut self.spent
    }

    /// Ends the call as refused.
    pub(crate) fn deny(&mut self, decision: Decision) {
        self.event.decision = decision;
        self.end(Outcome::Denied);
    }

    /// Ends the call as failed.
    pub(crate) fn fail(&mut self, error: &CallError) {
        self.event.error = Some(error.code);
        if let (Kind::Model { route, .. }, Some(tried)) = (&mut self.event.kind, &error.route) {
            route.get_or_insert_with(|| tried.clone());
        }
        let outcome = match error.code {
            Code::Cancelled => Outcome::Cancelled,
            Code::Forbidden | Code::RateLimited | Code::BudgetExhausted | Code::TooLarge
                if error.rule.is_some() && error.relayed.is_none() =>
            {
                Outcome::Denied
            }
            _ => Outcome::Failed,
        };
        if let (Outcome::Denied, Some(rule)) = (outcome, &error.rule) {
            self.event.decision = Decision::deny(rule.to_string(), error.public.clone());
        }
        self.end(outcome);
    }

    /// Ends the call as completed.
    pub(crate) fn complete(&mut self) -> Option<Receipt> {
        self.end(Outcome::Completed)
    }

    /// Writes what was spent into the record.
    fn put_down(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        if let Kind::Model { settled, .. } = &mut self.event.kind {
            let sum = taken.sum();
            *settled = (sum != Settled::default()).then_some(sum);
        }
    }

    /// Settles, counts and records; only the first ending counts.
    fn end(&mut self, outcome: Outcome) -> Option<Receipt> {
        let slot = self.slot.take()?;
        for reservation in self.hold.take().into_iter().chain(self.reservation.take()) {
            reservation.settle(&self.spent);
        }
        self.put_down();
        let took = self.policy.clock.instant().saturating_duration_since(self.began);
        self.event.outcome = outcome;
        self.event.took_us = Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.policy.metrics.call(&self.event, took);
        Some(slot.commit(self.event.clone()))
    }
}

impl Drop for Around {
    /// Its future or its stream was dropped: by a panic, at the deadline, or because the caller
    /// went away.
    fn drop(&mut self) {
        if self.slot.is_none() {
            return;
        }
        let late = |deadline| self.policy.clock.instant() >= deadline;
        let (outcome, code) = if std::thread::panicking() {
            (Outcome::Failed, Code::Internal)
        } else if self.deadline.is_some_and(late) {
            (Outcome::Failed, Code::Timeout)
        } else {
            (Outcome::Cancelled, Code::Cancelled)
        };
        self.event.error = Some(code);
        self.end(outcome);
    }
}

/// Waits for the log no longer than the call's deadline.
pub(crate) async fn by<T>(
    deadline: Option<Instant>,
    log: impl Future<Output = Result<T, SinkError>>,
) -> Result<T, SinkError> {
    match deadline {
        None => log.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), log)
            .await
            .unwrap_or_else(|_| Err(SinkError("it took too long".into()))),
    }
}

fn unrecorded(error: SinkError) -> CallError {
    CallError::new(Code::Overloaded, "the audit log takes no records, so nothing is run")
        .with_rule("audit.unavailable")
        .with_source(error)
}
