//! The credentials of one upstream: which one to show next, and which ones to leave alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::{Audience, CallError, Credential, Credentials, Cx};

use crate::breaker::LONGEST;

/// How long a key that is not accepted is left alone.
const REFUSED: Duration = Duration::from_mins(10);
/// How long a key whose quota is used up is left alone.
const USED_UP: Duration = Duration::from_mins(5);
/// How long a key that may not use a model is left alone there, at first.
const FORBIDDEN: Duration = Duration::from_secs(30);
/// How long a key that sent too much is left alone, at first, where the upstream does not say.
const TOO_MUCH: Duration = Duration::from_secs(1);
/// And at most.
const TOO_MUCH_MOST: Duration = Duration::from_secs(30);
/// The most resting keys that are remembered.
const MOST: usize = 4096;

/// Why a key is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not accepted (401), anywhere.
    Refused,
    /// Its quota is used up (402, `insufficient_quota`), everywhere.
    UsedUp,
    /// It may not use this model (403).
    Forbidden,
    /// It sent too much to this model (429); the upstream asked for this wait, if it did.
    TooMuch(Option<Duration>),
}

impl Trouble {
    /// Whether it concerns one model only: providers count and permit by model.
    fn by_model(self) -> bool {
        matches!(self, Self::Forbidden | Self::TooMuch(_))
    }

    fn rest(self, strikes: u32) -> Duration {
        let grown =
            |first: Duration, most: Duration| first.saturating_mul(1 << strikes.min(16)).min(most);
        match self {
            Self::Refused => REFUSED,
            Self::UsedUp => USED_UP,
            Self::Forbidden => grown(FORBIDDEN, REFUSED),
            Self::TooMuch(Some(wait)) => wait.min(LONGEST),
            Self::TooMuch(None) => grown(TOO_MUCH, TOO_MUCH_MOST),
        }
    }
}

/// A key that is left alone.
#[derive(Debug, Clone, Copy)]
struct Resting {
    until: Instant,
    strikes: u32,
    trouble: Trouble,
}

/// Which credential, and at which model; `None`: at all of them.
type Place = (u64, Option<Arc<str>>);

/// Which of an upstream's credentials are left alone. They are told apart by a keyed hash, not by
/// their place: each caller may have other ones.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    hasher: RandomState,
    next: AtomicUsize,
    resting: Mutex<HashMap<Place, Resting>>,
}

/// A credential to show.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) credential: Option<Credential>,
    /// Tells it from others.
    pub(crate) id: u64,
}

/// No credential can be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shut {
    /// How long until one may be tried again.
    pub(crate) left: Duration,
    pub(crate) trouble: Trouble,
    /// Nobody said until when, and it was not refused for this very call.
    may_be_spared: bool,
}

/// For which target a credential is wanted, and which one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) upstream: &'a str,
    pub(crate) model: &'a Arc<str>,
    pub(crate) now: Instant,
    /// Rather this one than another.
    pub(crate) rather: Option<u64>,
    /// These were refused for this very call.
    pub(crate) not: &'a [u64],
    /// Also one that sent too much, where nobody said until when.
    pub(crate) last_resort: bool,
}

impl Keys {
    fn resting(&self) -> MutexGuard<'_, HashMap<Place, Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next credential that may be shown, round and round.
    pub(crate) async fn pick(
        &self,
        credentials: &dyn Credentials,
        cx: &Cx,
        want: Want<'_>,
    ) -> Result<Result<Picked, Shut>, CallError> {
        let audience = Audience::Upstream(want.upstream);
        let choices = credentials.choices(cx, audience);
        let (mut shut, mut failure) = (None::<Shut>, None);
        let (mut good, mut resort) = (None, None);
        let first = if choices > 1 { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
        for turn in 0..choices.max(1) {
            let found = if choices > 1 {
                credentials.choice(cx, audience, first.wrapping_add(turn) % choices).await
            } else {
                credentials.credential(cx, audience).await
            };
            let credential = match found {
                Ok(credential) => credential,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let id = credential.as_ref().map_or(0, |credential| self.id(credential));
            match self.trouble(id, want) {
                Some(trouble) if want.last_resort && trouble.may_be_spared => {
                    resort = resort.or(Some(Picked { credential, id }));
                }
                Some(trouble) => shut = Some(sooner(shut, trouble)),
                None if want.rather.is_none_or(|rather| rather == id) => {
                    return Ok(Ok(Picked { credential, id }));
                }
                None => good = good.or(Some(Picked { credential, id })),
            }
        }
        match (good.or(resort), shut, failure) {
            (Some(picked), ..) => Ok(Ok(picked)),
            (None, Some(shut), _) => Ok(Err(shut)),
            (None, None, Some(error)) => Err(error),
            (None, None, None) => Ok(Ok(Picked { credential: None, id: 0 })),
        }
    }

    fn trouble(&self, id: u64, want: Want<'_>) -> Option<Shut> {
        let resting = self.resting();
        let refused = want.not.contains(&id);
        if resting.is_empty() && !refused {
            return None;
        }
        let everywhere = resting.get(&(id, None));
        let here = resting.get(&(id, Some(want.model.clone())));
        let found = everywhere.into_iter().chain(here).find_map(|it| {
            let (left, trouble) = (it.until.saturating_duration_since(want.now), it.trouble);
            let may_be_spared = !refused && trouble == Trouble::TooMuch(None);
            (refused || !left.is_zero()).then_some(Shut { left, trouble, may_be_spared })
        });
        let forgotten =
            Shut { left: Duration::ZERO, trouble: Trouble::Refused, may_be_spared: false };
        found.or(refused.then_some(forgotten))
    }

    /// A credential made trouble: it is left alone for a while.
    pub(crate) fn rest(&self, id: u64, model: &Arc<str>, trouble: Trouble, now: Instant) {
        let mut resting = self.resting();
        if resting.len() >= MOST {
            resting.retain(|_, it| it.until > now);
            if resting.len() >= MOST {
                return;
            }
        }
        let place = (id, trouble.by_model().then(|| model.clone()));
        let strikes = resting.get(&place).map_or(0, |before| before.strikes + 1);
        let until = now + trouble.rest(strikes);
        resting.insert(place, Resting { until, strikes, trouble });
    }

    /// A credential was accepted: what it did before is forgotten.
    pub(crate) fn well(&self, id: u64, model: &Arc<str>, now: Instant) {
        let mut resting = self.resting();
        if resting.is_empty() {
            return;
        }
        for place in [(id, None), (id, Some(model.clone()))] {
            // A wait that has begun since is kept.
            if resting.get(&place).is_some_and(|it| it.until <= now) {
                resting.remove(&place);
            }
        }
    }

    /// How many credentials are left alone.
    pub(crate) fn count(&self, model: &Arc<str>, now: Instant) -> usize {
        let resting = self.resting();
        let here = |place: &Option<Arc<str>>| place.as_ref().is_none_or(|place| place == model);
        resting.iter().filter(|((_, place), it)| here(place) && it.until > now).count()
    }

    fn id(&self, credential: &Credential) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        match credential {
            Credential::Key(secret) | Credential::ServiceAccount(secret) => {
                secret.expose().hash(&mut hasher);
            }
            Credential::Header { value, .. } => value.expose().hash(&mut hasher),
            Credential::Aws { access_key_id, .. } => access_key_id.hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// The one of two that is over sooner.
fn sooner(one: Option<Shut>, other: Shut) -> Shut {
    match one {
        Some(one) if one.left <= other.left => one,
        _ => other,
    }
}
