//! Reserves before each attempt of one call, and adds up what all of them took.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::{
    Ask, BoxFuture, CallError, Cx, Estimate, Ledger, Purse, Reservation, Settled, Spent,
};

use crate::estimate::Worst;

/// The purse of one call.
pub(crate) struct CallPurse {
    ledger: Arc<dyn Ledger>,
    cx: Cx,
    model: String,
    worst: Worst,
    taken: Arc<Taken>,
}

/// What the attempts took so far.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<Settled>);

impl Taken {
    fn add(&self, settled: &Settled) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(settled);
    }

    /// All of it.
    pub(crate) fn sum(&self) -> Settled {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CallPurse {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, cx: Cx, model: &str, worst: Worst) -> Self {
        Self { ledger, cx, model: model.to_owned(), worst, taken: Arc::default() }
    }

    /// What the attempts took so far; goes on counting.
    pub(crate) fn taken(&self) -> Arc<Taken> {
        self.taken.clone()
    }
}

impl fmt::Debug for CallPurse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallPurse").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Purse for CallPurse {
    fn attempt<'a>(
        &'a self,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>> {
        Box::pin(async move {
            let estimate = Estimate {
                model: &self.model,
                target,
                input: self.worst.input,
                output: self.worst.output,
                tier: self.worst.tier.as_deref(),
                cache_1h: self.worst.cache_1h,
            };
            let hold = self.ledger.reserve(&self.cx, Ask::Attempt(estimate)).await?;
            let counted = Counted { hold: Some(hold), taken: self.taken.clone() };
            Ok(Box::new(counted) as Box<dyn Reservation>)
        })
    }

    fn failed(&self, hold: Box<dyn Reservation>, spent: &Spent) {
        hold.settle(spent);
    }
}

/// A reservation whose settlement is added up; one that is dropped took its worst case.
struct Counted {
    hold: Option<Box<dyn Reservation>>,
    taken: Arc<Taken>,
}

impl Reservation for Counted {
    fn settle(mut self: Box<Self>, spent: &Spent) -> Settled {
        let Some(hold) = self.hold.take() else { return Settled::default() };
        let settled = hold.settle(spent);
        self.taken.add(&settled);
        settled
    }

    fn preview(&self, spent: &Spent) -> Settled {
        self.hold.as_ref().map(|hold| hold.preview(spent)).unwrap_or_default()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.taken.add(&hold.settle(&Spent { reached: true, ..Spent::default() }));
        }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hold.fmt(f)
    }
}
