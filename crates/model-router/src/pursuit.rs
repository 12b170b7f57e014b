//! One target, asked until it answers or there is no sense in asking it again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_core::{Attempt, CallError, Code, Cx, ModelCall};

use crate::Router;
use crate::answer::{Refused, Stage};
use crate::exchange::Opening;
use crate::fault::{Fault, classify};
use crate::hold::Held;
use crate::keys::{Picked, Shut, Trouble, Want};
use crate::pause::within;
use crate::pins::{Pin, without_state};
use crate::plan::{Step, seconds};
use crate::receipt::Rank;
use crate::vitals::Flight;

/// Nobody is kept waiting longer between two attempts at one target.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The first pause, where the upstream asks for none; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Such a pause is never longer.
const MOST_PAUSE: Duration = Duration::from_secs(5);

/// What is asked, and on whose behalf.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) cx: &'a Cx,
    pub(crate) call: &'a ModelCall,
    pub(crate) home: Option<&'a Pin>,
}

/// An answer that begins.
pub(crate) struct Won {
    pub(crate) opening: Opening,
    pub(crate) held: Held,
    pub(crate) flight: Flight,
    pub(crate) key: u64,
}

/// How asking a target ended.
pub(crate) enum End {
    /// It answers.
    Won(Box<Won>),
    /// It was asked and does not answer.
    Lost {
        error: CallError,
        /// No other target would answer either.
        terminal: bool,
    },
    /// It was not asked.
    Excluded {
        reason: String,
        rank: Rank,
        error: CallError,
        /// It may be asked when nothing else is left.
        again: bool,
    },
}

/// Everything that came of asking one target.
pub(crate) struct Outcome {
    pub(crate) step: Step,
    pub(crate) tried: Vec<Attempt>,
    pub(crate) wait: Option<Duration>,
    pub(crate) end: End,
}

impl Router {
    /// Asks a target. `last`: no other one is left.
    pub(crate) async fn pursue(&self, asked: Asked<'_>, step: Step, last: bool) -> Outcome {
        let mut pursuit = Pursuit {
            router: self,
            asked,
            call: Cow::Borrowed(asked.call),
            left: step.course.retries.unwrap_or(u32::from(last)),
            last,
            step: &step,
            pauses: 0,
            refused_keys: Vec::new(),
            stripped: false,
            tried: Vec::new(),
            wait: None,
            failure: None,
        };
        let end = loop {
            if let Some(end) = pursuit.once().await {
                break end;
            }
        };
        let (tried, wait) = (pursuit.tried, pursuit.wait);
        Outcome { step, tried, wait, end }
    }
}

struct Pursuit<'a> {
    router: &'a Router,
    asked: Asked<'a>,
    call: Cow<'a, ModelCall>,
    step: &'a Step,
    last: bool,
    /// How often it may yet be asked again.
    left: u32,
    pauses: u32,
    refused_keys: Vec<u64>,
    stripped: bool,
    tried: Vec<Attempt>,
    wait: Option<Duration>,
    failure: Option<CallError>,
}

impl Pursuit<'_> {
    /// Asks once; `None` to ask again.
    async fn once(&mut self) -> Option<End> {
        let picked = match self.pick().await {
            Ok(Ok(picked)) => picked,
            Ok(Err(shut)) => return self.shut(shut).await,
            Err(error) => return Some(End::Lost { error, terminal: false }),
        };
        let candidate = &self.step.candidate;
        let held = match Held::reserve(self.call.purse.as_ref(), &candidate.name).await {
            Ok(held) => held,
            Err(error) => return Some(self.unaffordable(error)),
        };
        let flight = Flight::begin(candidate.clone(), self.router.clock.clone());
        let limit = self.step.course.patience.opening(self.call.stream);
        let attempt = self.router.attempt(self.asked.cx, &self.call, candidate, &picked);
        let found = within(self.router.pause.as_deref(), limit, attempt).await;
        match found.ok_or_else(too_slow).flatten() {
            Ok(opening) => {
                let key = picked.id;
                Some(End::Won(Box::new(Won { opening, held, flight, key })))
            }
            Err(refused) => self.lost(refused, held, flight, &picked).await,
        }
    }

    async fn pick(&self) -> Result<Result<Picked, Shut>, CallError> {
        let candidate = &self.step.candidate;
        let home = self.asked.home.filter(|home| home.target == candidate.name);
        let want = Want {
            upstream: &candidate.target.upstream,
            model: &candidate.target.model,
            now: self.router.clock.instant(),
            rather: home.map(|home| home.key),
            not: &self.refused_keys,
            last_resort: self.last || self.step.resort.is_some(),
        };
        candidate.keys.pick(&*self.router.credentials, self.asked.cx, want).await
    }

    /// An attempt failed: puts down what it took, learns from it, and says whether to go on.
    async fn lost(
        &mut self,
        refused: Refused,
        held: Held,
        mut flight: Flight,
        picked: &Picked,
    ) -> Option<End> {
        let fault = classify(&refused);
        let reached = refused.stage == Stage::Sent && fault.may_be_billed();
        held.failed(&self.step.candidate.name, reached);
        let Refused { error, status, stage } = refused;
        if stage == Stage::Unfit {
            let reason = error.public.to_string();
            return Some(End::Excluded { reason, rank: Rank::Unfit, error, again: false });
        }
        self.note(&error, status, flight.began(), reached);
        match fault {
            Fault::Key(trouble) => self.key(trouble, error, &mut flight, picked),
            Fault::State if !self.stripped => {
                flight.refused();
                self.strip(error)
            }
            Fault::State | Fault::Call => {
                flight.refused();
                Some(End::Lost { error, terminal: true })
            }
            Fault::Missing => {
                flight.refused();
                Some(End::Lost { error, terminal: false })
            }
            Fault::Ours => Some(End::Lost { error, terminal: false }),
            Fault::Busy | Fault::Unreached => {
                let wait = error.retry_after.filter(|_| fault == Fault::Busy);
                flight.failed(error.code, wait);
                drop(flight);
                self.again(wait, error).await
            }
            Fault::Broken => {
                flight.failed(error.code, None);
                Some(End::Lost { error, terminal: false })
            }
        }
    }

    fn note(&mut self, error: &CallError, status: Option<u16>, began: Instant, billed: bool) {
        let took = self.router.clock.instant().saturating_duration_since(began);
        let target = &self.step.candidate.name;
        let code = error.code;
        tracing::warn!(%target, code = code.as_str(), status, "attempt failed");
        self.wait = [self.wait, error.retry_after].into_iter().flatten().min();
        let target = target.to_string();
        self.tried.push(Attempt { target, code, status, took, maybe_billed: billed });
    }

    /// The trouble lies in the key: it rests, and the next one is shown at once.
    fn key(
        &mut self,
        trouble: Trouble,
        error: CallError,
        flight: &mut Flight,
        picked: &Picked,
    ) -> Option<End> {
        flight.refused();
        let Step { candidate, .. } = self.step;
        let now = self.router.clock.instant();
        candidate.keys.rest(picked.id, &candidate.target.model, trouble, now);
        self.refused_keys.push(picked.id);
        self.failure = Some(match trouble {
            Trouble::Refused | Trouble::Forbidden => exhausted(&candidate.target.upstream, error),
            Trouble::UsedUp | Trouble::TooMuch(_) => error,
        });
        None
    }

    /// No key can be shown now.
    async fn shut(&mut self, shut: Shut) -> Option<End> {
        let Shut { left, trouble, .. } = shut;
        let busy = matches!(trouble, Trouble::TooMuch(_));
        if let Some(failure) = self.failure.take() {
            if !busy {
                return Some(End::Lost { error: failure, terminal: false });
            }
            // As a last resort a key that nobody told to wait need not rest in full.
            let told = (trouble != Trouble::TooMuch(None) || !self.last).then_some(left);
            let end = self.again(told, failure).await;
            if end.is_none() {
                self.refused_keys.clear();
            }
            return end;
        }
        let candidate = &self.step.candidate;
        self.wait = [self.wait, Some(left)].into_iter().flatten().min();
        let (reason, error) = if busy {
            let public = format!("`{}` has sent too much", candidate.name);
            (
                format!("rate limited for {} more", seconds(left)),
                CallError::new(Code::RateLimited, public),
            )
        } else {
            let none = CallError::new(Code::Upstream, "");
            ("no usable credential".to_owned(), exhausted(&candidate.target.upstream, none))
        };
        let again = trouble == Trouble::TooMuch(None);
        let error = error.with_retry_after(left);
        Some(End::Excluded { reason, rank: Rank::Shut, error, again })
    }

    fn unaffordable(&mut self, error: CallError) -> End {
        // What was tried before says more than the empty purse.
        if let Some(failure) = self.failure.take() {
            return End::Lost { error: failure, terminal: false };
        }
        let reason = format!("budget: {}", error.public);
        End::Excluded { reason, rank: Rank::Purse, error, again: false }
    }

    /// The upstream cannot read state in the call's history: once more without.
    fn strip(&mut self, error: CallError) -> Option<End> {
        let candidate = &self.step.candidate;
        let endpoint = candidate.upstream.endpoint_for(&self.call, &candidate.target.model);
        let dialect = endpoint.map(|endpoint| endpoint.id);
        let Some(bare) = dialect.and_then(|dialect| without_state(&self.call, dialect)) else {
            return Some(End::Lost { error, terminal: true });
        };
        tracing::warn!(target = %candidate.name, "refuses reasoning state; asked without");
        self.call = Cow::Owned(bare);
        self.stripped = true;
        None
    }

    /// The target refused unbilled: waits and asks again, where there is sense in it.
    async fn again(&mut self, told: Option<Duration>, error: CallError) -> Option<End> {
        let lost = Some(End::Lost { error, terminal: false });
        let Some(pause) = self.router.pause.as_ref().filter(|_| self.left > 0) else { return lost };
        let wait = self.backoff(told);
        let end = self.router.clock.instant() + wait;
        let late = self.asked.cx.deadline.is_some_and(|deadline| end >= deadline);
        if late || wait > LONGEST_PAUSE {
            return lost;
        }
        self.left -= 1;
        self.pauses += 1;
        pause.pause(wait).await;
        None
    }

    /// How long to wait: as told, or longer each time; with a part left to chance, so that many
    /// who failed together do not come back together.
    fn backoff(&self, told: Option<Duration>) -> Duration {
        let mut bytes = [0; 2];
        self.router.entropy.fill(&mut bytes);
        let chance = f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX);
        if let Some(wait) = told {
            return wait + wait.mul_f64(chance * 0.1) + Duration::from_millis(1);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(8)).min(MOST_PAUSE);
        pause.mul_f64(0.8 + 0.4 * chance)
    }
}

fn too_slow() -> Refused {
    let public = "the model provider did not begin to answer in time";
    let error = CallError::new(Code::Timeout, public);
    Refused { error, status: None, stage: Stage::Sent }
}

/// No credential is left that the upstream accepts. This is the gateway's trouble: the caller's
/// own credential is good.
fn exhausted(upstream: &Arc<str>, cause: CallError) -> CallError {
    let public = format!("no credential for upstream `{upstream}` is accepted there");
    let error = CallError::new(Code::Upstream, public).with_rule("upstream_credentials_exhausted");
    if cause.public.is_empty() { error } else { error.with_source(cause) }
}
