//! What becomes of a call on its way, and what to say when nothing does.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Attempt, CallError, Code, Excluded, Route};

use crate::candidate::Candidate;

/// How much a failure says: of several, the one that says most is told, the latest of equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A target cannot carry the call.
    Unfit,
    /// A target may not be asked now.
    Shut,
    /// A target costs more than there is.
    Purse,
    /// A target was asked and failed.
    Asked,
}

/// The receipt in the making.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) route: Route,
    failure: Option<(Rank, CallError)>,
    wait: Option<Duration>,
}

impl Receipt {
    pub(crate) fn new(model: &str) -> Self {
        let route = Route { requested: model.to_owned(), ..Route::default() };
        Self { route, failure: None, wait: None }
    }

    /// A target is left out.
    pub(crate) fn exclude(&mut self, candidate: &Candidate, reason: impl Into<String>) {
        let target = candidate.name.to_string();
        self.route.excluded.push(Excluded { target, reason: reason.into() });
    }

    /// Targets were tried.
    pub(crate) fn tried(&mut self, tried: Vec<Attempt>) {
        self.route.tried.extend(tried);
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, rank: Rank, error: CallError) {
        self.wait(error.retry_after);
        if self.failure.as_ref().is_none_or(|(before, _)| *before <= rank) {
            self.failure = Some((rank, error));
        }
    }

    /// It is worth trying again after so long.
    pub(crate) fn wait(&mut self, wait: Option<Duration>) {
        self.wait = [self.wait, wait].into_iter().flatten().min();
    }

    /// What to tell the caller: the failure that says most, with the shortest of the waits.
    pub(crate) fn into_error(mut self) -> CallError {
        let (_, mut error) = self.failure.take().unwrap_or_else(|| {
            let public = format!("no target for `{}` fits this call", self.route.requested);
            (Rank::Unfit, CallError::new(Code::NotFound, public))
        });
        error.retry_after = self.wait;
        error.route = Some(Arc::new(self.route));
        error
    }
}
