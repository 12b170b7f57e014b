//! An issuer's keys, kept fresh: one fetch at a time, however many ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_core::Clock;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use super::algorithm::Algorithm;
use super::fetch::Fetcher;
use super::issuer::{Freshness, Keys};
use super::key::{Jwks, KeySet, VerifyingKey};
use super::refused::Refused;

/// How long a key id that its issuer does not know is not asked for again.
const UNKNOWN: Duration = Duration::from_mins(1);
/// The most such key ids remembered.
const UNKNOWN_MOST: usize = 1024;

/// An issuer's keys.
pub(crate) struct Keyring {
    issuer: Arc<str>,
    /// `None` where the keys are in the configuration.
    source: Option<(Keys, Arc<Fetcher>)>,
    algorithms: Vec<Algorithm>,
    freshness: Freshness,
    clock: Arc<dyn Clock>,
    held: ArcSwap<Held>,
    flight: Arc<tokio::sync::Mutex<()>>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Held {
    keys: KeySet,
    fetched: Option<Instant>,
    /// Changes whenever a key is taken back.
    epoch: u64,
}

/// Keys that a token may be signed with, and the epoch that they are of.
pub(crate) struct Found {
    pub(crate) keys: Vec<Arc<VerifyingKey>>,
    pub(crate) epoch: u64,
}

impl Held {
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Found> {
        let keys = self.keys.find(kid, algorithm);
        (!keys.is_empty()).then_some(Found { keys, epoch: self.epoch })
    }
}

#[derive(Default)]
struct Pace {
    unknown_after: Option<Instant>,
    unknown: HashMap<Box<str>, Instant>,
    failure: Option<Failure>,
}

struct Failure {
    until: Instant,
    wait: Duration,
    cause: String,
}

/// What a fetch is wanted for.
#[derive(Clone, Copy)]
enum Want<'a> {
    Fresh,
    Kid(&'a str),
}

enum Permit {
    Fetch(OwnedMutexGuard<()>),
    /// Somebody fetches already.
    Join,
    No,
}

impl Keyring {
    pub(crate) fn new(
        issuer: Arc<str>,
        source: (Keys, Arc<Fetcher>),
        algorithms: Vec<Algorithm>,
        freshness: Freshness,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            issuer,
            source: Some(source),
            algorithms,
            freshness,
            clock,
            held: ArcSwap::default(),
            flight: Arc::default(),
            pace: Mutex::default(),
        }
    }

    /// Of these keys for good.
    pub(crate) fn fixed(
        issuer: Arc<str>,
        keys: KeySet,
        algorithms: Vec<Algorithm>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            issuer,
            source: None,
            algorithms,
            freshness: Freshness::default(),
            clock,
            held: ArcSwap::from_pointee(Held { keys, fetched: None, epoch: 0 }),
            flight: Arc::default(),
            pace: Mutex::default(),
        }
    }

    /// The number that what was verified by these keys holds for, while they hold.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let held = self.held.load();
        self.is_live(&held).then_some(held.epoch)
    }

    pub(crate) fn status(&self) -> (usize, Option<Duration>, Option<String>) {
        let held = self.held.load();
        let age = held.fetched.map(|at| self.clock.instant().saturating_duration_since(at));
        let failure = self.pace().failure.as_ref().map(|failure| failure.cause.clone());
        (held.keys.len(), age, failure)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_live(&self, held: &Held) -> bool {
        self.source.is_none() || self.is_younger(held, self.freshness.stale)
    }

    fn is_younger(&self, held: &Held, than: Duration) -> bool {
        held.fetched.is_some_and(|at| self.clock.instant().saturating_duration_since(at) < than)
    }

    /// The keys that a token may be signed with. Known keys are had at once; unknown ones cost at
    /// most one fetch, which all who ask share.
    pub(crate) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, Refused> {
        if self.source.is_some() {
            self.freshen().await?;
        }
        if let Some(found) = self.held.load().find(kid, algorithm) {
            return Ok(found);
        }
        let name = kid.unwrap_or_default();
        let permit = self.permit(Want::Kid(name));
        let fetches = matches!(permit, Permit::Fetch(_));
        self.wait(permit).await;
        // Looked for again even where nothing was fetched: somebody else may have done so since.
        let found = self.held.load().find(kid, algorithm);
        if found.is_none() && fetches {
            self.note_unknown(name);
        }
        found.ok_or(Refused::Key)
    }

    /// Sees to it that there are keys: at once where some hold, by a fetch where none do.
    async fn freshen(self: &Arc<Self>) -> Result<(), Refused> {
        if !self.is_live(&self.held.load()) {
            self.wait(self.permit(Want::Fresh)).await;
            if !self.is_live(&self.held.load()) {
                return Err(Refused::Unavailable);
            }
        } else if self.is_due()
            && let Permit::Fetch(guard) = self.permit(Want::Fresh)
        {
            // Nobody waits for it; it goes on by itself.
            drop(self.spawn(guard));
        }
        Ok(())
    }

    /// Fetches the keys if they are due.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        if self.source.is_some() && self.is_due() {
            self.wait(self.permit(Want::Fresh)).await;
        }
    }

    fn is_due(&self) -> bool {
        !self.is_younger(&self.held.load(), self.freshness.every)
    }

    fn permit(&self, want: Want<'_>) -> Permit {
        if self.source.is_none() {
            return Permit::No;
        }
        let now = self.clock.instant();
        let mut pace = self.pace();
        let later = |at: Option<&Instant>| at.is_some_and(|until| now < *until);
        if let Want::Kid(kid) = want
            && later(pace.unknown.get(kid))
        {
            return Permit::No;
        }
        let Ok(guard) = self.flight.clone().try_lock_owned() else { return Permit::Join };
        if later(pace.failure.as_ref().map(|failure| &failure.until)) {
            return Permit::No;
        }
        if let Want::Kid(_) = want {
            if later(pace.unknown_after.as_ref()) {
                return Permit::No;
            }
            pace.unknown_after = Some(now + self.freshness.pause);
        }
        Permit::Fetch(guard)
    }

    /// Waits for the fetch, if there is one.
    async fn wait(self: &Arc<Self>, permit: Permit) {
        match permit {
            // One that fails leaves its own mark.
            Permit::Fetch(guard) => drop(self.spawn(guard).await),
            Permit::Join => drop(self.flight.lock().await),
            Permit::No => {}
        }
    }

    /// Goes on even where the caller does not: others may have joined.
    fn spawn(self: &Arc<Self>, guard: OwnedMutexGuard<()>) -> JoinHandle<()> {
        let ring = self.clone();
        tokio::spawn(async move {
            ring.fetch().await;
            drop(guard);
        })
    }

    async fn fetch(&self) {
        let Some((keys, fetcher)) = &self.source else { return };
        match fetcher.jwks(&self.issuer, keys).await {
            Ok(jwks) => self.replace(&jwks),
            Err(error) => self.note_failure(&error),
        }
    }

    /// Takes these keys, where they are not fetched; tells whether it did.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn replace_fixed(&self, jwks: &Jwks) -> bool {
        if self.source.is_none() {
            self.replace(jwks);
        }
        self.source.is_none()
    }

    fn replace(&self, jwks: &Jwks) {
        let keys = KeySet::read(jwks, &self.algorithms);
        let old = self.held.load();
        let epoch = old.epoch + u64::from(!keys.has_all_of(&old.keys));
        if keys.len() == 0 {
            tracing::warn!(issuer = %self.issuer, "an issuer has no key that can be used");
        }
        let fetched = Some(self.clock.instant());
        self.held.store(Arc::new(Held { keys, fetched, epoch }));
        self.pace().failure = None;
    }

    fn note_failure(&self, error: &dyn std::error::Error) {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        tracing::warn!(issuer = %self.issuer, cause, "an issuer's keys were not fetched");
        let mut pace = self.pace();
        let pause = self.freshness.pause;
        let wait = pace
            .failure
            .as_ref()
            .map_or(pause, |last| last.wait.saturating_mul(2).min(self.freshness.every).max(pause));
        pace.failure = Some(Failure { until: self.clock.instant() + wait, wait, cause });
    }

    fn note_unknown(&self, kid: &str) {
        let now = self.clock.instant();
        let mut pace = self.pace();
        if pace.failure.is_some() {
            return;
        }
        if pace.unknown.len() >= UNKNOWN_MOST {
            pace.unknown.retain(|_, until| now < *until);
        }
        if pace.unknown.len() < UNKNOWN_MOST {
            pace.unknown.insert(kid.into(), now + UNKNOWN);
        }
    }
}
