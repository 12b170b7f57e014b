//! Putting a [`Jwt`] together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::Clock;

use super::algorithm::Algorithm;
use super::cache::Cache;
use super::check::Trusted;
use super::fetch::Fetcher;
use super::issuer::{Issuer, Keys, TENANT};
use super::key::{Jwks, KeySet};
use super::keyring::Keyring;
use super::proof::Proofs;
use super::revocation::Revocations;
use super::{Inner, Jwt};
use crate::Guesses;
use crate::guesses::Failures;
use crate::oauth_client::{AddressError, Http, Reach};

/// The longest token that is looked at, unless said otherwise: Entra's with 200 groups have about
/// nine thousand bytes.
const LONGEST: usize = 16 << 10;
/// How many verified tokens are remembered, unless said otherwise.
const REMEMBERED: usize = 8192;
/// How old a proof of possession may be, and how far ahead.
const PROOF_AGE: Duration = Duration::from_mins(1);
/// The most proofs within the time that they are good for.
const PROOFS_MOST: usize = 200_000;

/// Puts a [`Jwt`] together.
pub struct Builder {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    reach: Reach,
    issuers: Vec<(Issuer, Option<Arc<Fetcher>>)>,
    guesses: Guesses,
    revocations: Option<Arc<dyn Revocations>>,
    longest: usize,
    remembered: usize,
    proof_age: Duration,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<&Issuer> = self.issuers.iter().map(|(issuer, _)| issuer).collect();
        f.debug_struct("Builder").field("issuers", &issuers).finish_non_exhaustive()
    }
}

/// An issuer cannot be trusted as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum JwtBuildError {
    /// A token for anybody would be one for us.
    #[error("the issuer `{0}` has no audience: every token of it would be accepted")]
    Audience(Arc<str>),
    /// Nothing could be accepted.
    #[error("the issuer `{0}` has no algorithm")]
    Algorithm(Arc<str>),
    /// Anybody can open a tenant.
    #[error("the issuer `{0}` is for many tenants: list those that are accepted")]
    Tenants(Arc<str>),
    /// A URL may not be asked.
    #[error("the keys of the issuer `{issuer}` cannot be fetched")]
    Address {
        /// The issuer.
        issuer: Arc<str>,
        /// What is wrong with the URL.
        #[source]
        cause: AddressError,
    },
    /// The metadata of an issuer for many tenants has no place of its own.
    #[error("the issuer `{0}` is for many tenants: say where its metadata is")]
    Place(Arc<str>),
    /// The keys in the configuration are none.
    #[error("the issuer `{0}` has no key that can be used in its key set")]
    Keys(Arc<str>),
    /// Two of a name.
    #[error("there are two issuers `{0}`")]
    Twice(Arc<str>),
}

impl Jwt {
    /// Accepts tokens of no issuer yet; keys are fetched by this.
    pub fn builder(http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Builder {
        Builder {
            http,
            clock,
            reach: Reach::default(),
            issuers: Vec::new(),
            guesses: Guesses::default(),
            revocations: None,
            longest: LONGEST,
            remembered: REMEMBERED,
            proof_age: PROOF_AGE,
        }
    }
}

impl Builder {
    /// Accepts this issuer's tokens.
    #[must_use]
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push((issuer, None));
        self
    }

    /// Accepts this issuer's tokens; its keys are fetched by this, and requests for them may
    /// reach so far.
    #[must_use]
    pub fn issuer_within(mut self, issuer: Issuer, http: Arc<dyn Http>, reach: Reach) -> Self {
        self.issuers.push((issuer, Some(Arc::new(Fetcher { http, reach }))));
        self
    }

    /// How far requests for keys may reach: the same as the [`Http`] has.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// How many tokens that nobody issued one source may show.
    #[must_use]
    pub fn guesses(mut self, guesses: Guesses) -> Self {
        self.guesses = guesses;
        self
    }

    /// Asks there what was revoked.
    #[must_use]
    pub fn revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// The longest token that is looked at, in bytes.
    #[must_use]
    pub fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }

    /// About how many verified tokens are remembered.
    #[must_use]
    pub fn remembered(mut self, most: usize) -> Self {
        self.remembered = most;
        self
    }

    /// How far a proof's time may be from ours.
    #[must_use]
    pub fn proof_age(mut self, most: Duration) -> Self {
        self.proof_age = most;
        self
    }

    /// The authenticator.
    ///
    /// # Errors
    ///
    /// [`JwtBuildError`], by what is wrong with an issuer.
    pub fn build(self) -> Result<Jwt, JwtBuildError> {
        let fetcher = Arc::new(Fetcher { http: self.http, reach: self.reach });
        let mut trusted: Vec<Arc<Trusted>> = Vec::new();
        for (issuer, own) in self.issuers {
            if trusted.iter().any(|other| other.issuer.url == issuer.url) {
                return Err(JwtBuildError::Twice(issuer.url));
            }
            let ring = Arc::new(ring(&issuer, own.as_ref().unwrap_or(&fetcher), &self.clock)?);
            trusted.push(Arc::new(Trusted { issuer, ring }));
        }
        // One that is named beats one that is meant by a pattern.
        trusted.sort_by_key(|trusted| trusted.issuer.url.contains(TENANT));
        let inner = Inner {
            trusted,
            clock: self.clock,
            longest: self.longest,
            cache: Cache::new(self.remembered),
            revocations: self.revocations,
            proofs: Proofs::new(self.proof_age, PROOFS_MOST),
            failures: Failures::new(self.guesses),
        };
        Ok(Jwt { inner: Arc::new(inner) })
    }
}

fn ring(
    issuer: &Issuer,
    fetcher: &Arc<Fetcher>,
    clock: &Arc<dyn Clock>,
) -> Result<Keyring, JwtBuildError> {
    let url = issuer.url.clone();
    if issuer.audiences.is_empty() {
        return Err(JwtBuildError::Audience(url));
    }
    if issuer.algorithms.is_empty() {
        return Err(JwtBuildError::Algorithm(url));
    }
    let many = url.contains(TENANT);
    if many && issuer.tenants.is_empty() {
        return Err(JwtBuildError::Tenants(url));
    }
    let asked: &str = match &issuer.keys {
        Keys::Inline(text) => return fixed(url, text, &issuer.algorithms, clock),
        Keys::Discovered if many => return Err(JwtBuildError::Place(url)),
        Keys::Discovered => &issuer.url,
        Keys::DiscoveredAt(place) | Keys::At(place) => place,
    };
    if let Err(cause) = fetcher.reach.endpoint(asked) {
        return Err(JwtBuildError::Address { issuer: url, cause });
    }
    let (source, algorithms) = ((issuer.keys.clone(), fetcher.clone()), issuer.algorithms.clone());
    Ok(Keyring::new(url, source, algorithms, issuer.freshness, clock.clone()))
}

fn fixed(
    url: Arc<str>,
    text: &str,
    algorithms: &[Algorithm],
    clock: &Arc<dyn Clock>,
) -> Result<Keyring, JwtBuildError> {
    let read: Option<Jwks> = serde_json::from_str(text).ok();
    let keys = read.map(|jwks| KeySet::read(&jwks, algorithms)).filter(|keys| keys.len() > 0);
    let keys = keys.ok_or_else(|| JwtBuildError::Keys(url.clone()))?;
    Ok(Keyring::fixed(url, keys, algorithms.to_vec(), clock.clone()))
}
