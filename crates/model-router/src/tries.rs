//! The targets of a call beside completions, one after the other until one answers.

use std::sync::Arc;
use std::time::Instant;

use doorward_core::{Attempt, CallError, Code, Route};

use crate::Router;
use crate::route::{self, Target};

/// Why a target did not answer, and with which HTTP status it said so.
pub(crate) struct Failed {
    pub(crate) error: CallError,
    pub(crate) status: Option<u16>,
}

impl From<CallError> for Failed {
    /// Nothing came back.
    fn from(error: CallError) -> Self {
        Self { error, status: None }
    }
}

/// What is left to try, and what was tried.
pub(crate) struct Tries<'r> {
    router: &'r Router,
    left: std::vec::IntoIter<Target>,
    route: Route,
    last: Option<CallError>,
}

impl<'r> Tries<'r> {
    /// The targets for a model's name, as completions have them.
    pub(crate) fn new(router: &'r Router, model: &str) -> Self {
        let left = route::targets(model, &router.aliases, &router.upstreams).into_iter();
        let route = Route { requested: model.to_owned(), ..Route::default() };
        Self { router, left, route, last: None }
    }

    /// The next target, unless the last failure would be the same anywhere.
    pub(crate) fn next(&mut self) -> Option<Target> {
        if self.ended() { None } else { self.left.next() }
    }

    /// Whether the last failure would be the same anywhere.
    pub(crate) fn ended(&self) -> bool {
        self.last.as_ref().is_some_and(|error| {
            matches!(error.code, Code::InvalidRequest | Code::TooLarge | Code::Cancelled)
        })
    }

    /// Puts down that a target did not answer.
    pub(crate) fn failed(&mut self, target: &Target, failed: Failed, began: Instant) {
        let took = self.router.clock.instant().saturating_duration_since(began);
        let Failed { error, status } = failed;
        tracing::warn!(%target, code = error.code.as_str(), status, "attempt failed");
        let maybe_billed = maybe_billed(status, error.code);
        let target = target.to_string();
        self.route.tried.push(Attempt { target, code: error.code, status, took, maybe_billed });
        self.last = Some(error);
    }

    /// The receipt, where a target answered.
    pub(crate) fn answered(mut self, target: &Target, dropped: Vec<String>) -> Arc<Route> {
        self.route.target = target.to_string();
        self.route.dropped = dropped;
        Arc::new(self.route)
    }

    /// The failure, where none did.
    pub(crate) fn given_up(self) -> CallError {
        let unknown = || {
            let model = &self.route.requested;
            let public = format!("no model `{model}` here; GET /v1/models lists what there is");
            CallError::new(Code::NotFound, public)
        };
        let mut error = self.last.unwrap_or_else(unknown);
        error.route = Some(Arc::new(self.route));
        error
    }
}

/// Whether an upstream may charge for an attempt that failed so: where it may have done the work
/// and only its answer was lost (trap 56).
pub(crate) fn maybe_billed(status: Option<u16>, code: Code) -> bool {
    match status {
        Some(status) => matches!(status, 200..=299 | 502 | 504),
        None => code == Code::Timeout,
    }
}
