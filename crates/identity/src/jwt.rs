//! Tokens of identity providers: many issuers at once.
//!
//! A token is accepted where its issuer is known, its signature is by one of the issuer's keys,
//! and its claims are those that the issuer is trusted for (RFC 9068 §4, RFC 8725). A caller who
//! is refused learns nothing of why; the log does.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Authenticator, Presented, Secret, SystemClock};
//! use doorward_identity::jwt::{Issuer, Jwt, Keys, Mapping};
//! use doorward_identity::oauth_client::{HyperHttp, Reach};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let http = Arc::new(HyperHttp::new(Reach::default(), None)?);
//! let keys = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
//!     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
//! let jwt = Jwt::builder(http, Arc::new(SystemClock))
//!     .issuer(Issuer::entra("72f988bf-86f1-41af-91ab-2d7cd011db47", ["api://doorward"]))
//!     .issuer(
//!         Issuer::new("https://acme.okta.com/oauth2/default", ["api://doorward"])
//!             .with_mapping(Mapping::okta())
//!             .with_keys(Keys::Inline(keys.to_owned())),
//!     )
//!     .build()?;
//!
//! // A token that nobody signed opens nothing.
//! let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2FjbWUub2t0YS5jb20ifQ.";
//! let shown = Presented { token: Some(Secret::new(unsigned)), ..Presented::default() };
//! assert_eq!(jwt.authenticate(&shown).await.unwrap_err().to_string(), "invalid token");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
#[cfg(feature = "oauth-server")]
mod assertion;
mod builder;
mod cache;
mod check;
mod claim;
mod compact;
mod directory;
mod fetch;
mod issuer;
mod key;
mod keyring;
mod mapping;
mod proof;
mod refused;
mod revocation;

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Authenticator, BoxFuture, CallError, Clock, Code, Presented, Principal};
use serde_json::Value;

pub use self::algorithm::{Algorithm, AlgorithmError};
#[cfg(feature = "oauth-server")]
pub use self::assertion::{Assertion, Assertions, Expected};
pub use self::builder::{Builder, JwtBuildError};
use self::cache::Cache;
use self::check::{Trusted, Verified};
#[cfg(feature = "oauth-server")]
pub(crate) use self::claim::seconds;
pub use self::claim::{Claim, Requirement};
#[cfg(not(feature = "oauth-server"))]
use self::compact::Compact;
#[cfg(feature = "oauth-server")]
pub(crate) use self::compact::{Compact, Strict};
pub use self::directory::{Directory, Member};
#[cfg(feature = "oauth-server")]
pub(crate) use self::fetch::Fetcher;
pub use self::issuer::{Freshness, Issuer, Keys};
use self::issuer::{Named, TENANT};
#[cfg(not(feature = "oauth-server"))]
use self::key::VerifyingKey;
#[cfg(feature = "oauth-server")]
pub(crate) use self::key::{Jwks, KeySet, VerifyingKey};
#[cfg(feature = "oauth-server")]
pub(crate) use self::keyring::Keyring;
#[cfg(feature = "oauth-server")]
pub(crate) use self::mapping::actors;
pub use self::mapping::{Allowance, Holds, Mapping, Name};
#[cfg(feature = "oauth-server")]
pub(crate) use self::proof::Proofs;
#[cfg(not(feature = "oauth-server"))]
use self::proof::Proofs;
use self::refused::Refused;
pub use self::revocation::{Revocations, Revoked, TokenMark};
use crate::guesses::Failures;

/// How long a caller is told to wait while an issuer's keys cannot be had.
const WAIT: Duration = Duration::from_secs(5);

/// Establishes who calls by a token of one of several issuers.
///
/// Tokens seen before are known by their hash, for as long as they hold, their key does and
/// nobody revoked them. It is used within a Tokio runtime: keys are fetched there.
pub struct Jwt {
    inner: Arc<Inner>,
}

struct Inner {
    trusted: Vec<Arc<Trusted>>,
    clock: Arc<dyn Clock>,
    longest: usize,
    cache: Cache<Verified>,
    revocations: Option<Arc<dyn Revocations>>,
    proofs: Proofs,
    failures: Failures,
}

/// How it stands with an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer.
    pub issuer: Arc<str>,
    /// How many of its keys can be used.
    pub keys: usize,
    /// How long ago they were fetched; `None` where they never were or are configured.
    pub age: Option<Duration>,
    /// Why the last fetch failed, if it did.
    pub failure: Option<String>,
}

impl Jwt {
    /// Fetches the keys that are due, each issuer's beside the others'. Called at the start and
    /// every minute or so, no call waits for keys; without it, calls fetch them when needed.
    pub async fn refresh(&self) {
        let rings = self.inner.trusted.iter().map(|trusted| trusted.ring.clone());
        let fetches: Vec<_> =
            rings.map(|ring| tokio::spawn(async move { ring.refresh().await })).collect();
        for fetch in fetches {
            // One that fails leaves its own mark.
            drop(fetch.await);
        }
    }

    /// Takes these for the keys of an issuer whose keys are in the configuration; tells whether
    /// there is one.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn replace_keys(&self, issuer: &str, jwks: &Jwks) -> bool {
        let found = self.inner.trusted.iter().find(|trusted| &*trusted.issuer.url == issuer);
        found.is_some_and(|trusted| trusted.ring.replace_fixed(jwks))
    }

    /// How it stands with each issuer's keys.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let status = |trusted: &Arc<Trusted>| {
            let (keys, age, failure) = trusted.ring.status();
            IssuerStatus { issuer: trusted.issuer.url.clone(), keys, age, failure }
        };
        self.inner.trusted.iter().map(status).collect()
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.inner.trusted.iter().map(|t| t.issuer.url()).collect();
        f.debug_struct("Jwt").field("issuers", &issuers).finish_non_exhaustive()
    }
}

impl Authenticator for Jwt {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Arc<Principal>, CallError>> {
        let inner = &*self.inner;
        let text = presented.token.as_ref().map_or("", |token| token.expose());
        if text.len() > inner.longest {
            return Box::pin(ready(Err(inner.refuse(Refused::Shape("too long"), presented))));
        }
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        if let Some(known) = inner.recall(&hash) {
            return Box::pin(ready(inner.admit(&known, &hash, text, presented)));
        }
        Box::pin(async move {
            match inner.verify(text, hash).await {
                Ok(verified) => inner.admit(&verified, &hash, text, presented),
                Err(refused) => Err(inner.refuse(refused, presented)),
            }
        })
    }
}

impl Inner {
    /// What was found of the token a while ago, if it still is so.
    fn recall(&self, hash: &[u8; 32]) -> Option<Arc<Verified>> {
        let known = self.cache.find(hash)?;
        if known.holds(self.clock.now(), self.clock.instant()) {
            return Some(known);
        }
        self.cache.forget(hash);
        None
    }

    /// The principal, unless the token was revoked or is shown by somebody else. Asked every time.
    fn admit(
        &self,
        verified: &Verified,
        hash: &[u8; 32],
        text: &str,
        presented: &Presented,
    ) -> Result<Arc<Principal>, CallError> {
        let revoked = self.revocations.as_ref();
        if revoked.is_some_and(|revoked| revoked.is_revoked(&verified.mark(hash))) {
            return Err(self.refuse(Refused::Revoked, presented));
        }
        let times = (self.clock.now(), self.clock.instant());
        let proven = match (&verified.terms.bound, &presented.proof) {
            (Some(bound), Some(proof)) => self.proofs.check(proof, bound, text, times),
            (Some(_), None) => Err(Refused::Proof("there is none")),
            (None, Some(_)) => Err(Refused::Proof("of a token that is not bound")),
            (None, None) => Ok(()),
        };
        proven.map_err(|refused| self.refuse(refused, presented))?;
        if let Some(bound) = &verified.terms.certificate
            && presented.certificate.as_deref() != Some(bound)
        {
            return Err(self.refuse(Refused::Certificate, presented));
        }
        Ok(verified.principal.clone())
    }

    /// Looks at everything.
    async fn verify(&self, text: &str, hash: [u8; 32]) -> Result<Arc<Verified>, Refused> {
        let compact = Compact::read(text, self.longest)?;
        let (trusted, named, epoch) = self.signed(&compact).await?;
        let (header, claims) = (&compact.header, &compact.claims);
        check::kind(&trusted.issuer, header, claims)?;
        let terms = check::terms(&trusted.issuer, named, claims, self.clock.now())?;
        let instant = self.clock.instant();
        let shown = (text, named.iss, claims);
        let made = check::found(trusted.clone(), epoch, shown, terms, instant);
        let verified = Arc::new(made.await?);
        self.cache.keep(hash, verified.clone());
        Ok(verified)
    }

    /// Whose the signature is, and the keyring's number at the time.
    async fn signed<'t>(
        &'t self,
        compact: &'t Compact<'_>,
    ) -> Result<(&'t Arc<Trusted>, Named<'t>, u64), Refused> {
        let Compact { header, claims, signed, signature } = compact;
        if header.jwk.is_some() {
            return Err(Refused::Header("jwk"));
        }
        let iss = claims.get("iss").and_then(Value::as_str).ok_or(Refused::Issuer)?;
        let (trusted, named) = self.trusted(iss).ok_or(Refused::Issuer)?;
        if !trusted.issuer.algorithms.contains(&header.algorithm) {
            return Err(Refused::Algorithm);
        }
        let found = trusted.ring.find(header.kid.as_deref(), header.algorithm).await?;
        let fits = |key: &Arc<VerifyingKey>| {
            is_for(key, named) && key.verifies(header.algorithm, signed, signature)
        };
        if !found.keys.iter().any(fits) {
            return Err(Refused::Signature);
        }
        Ok((trusted, named, found.epoch))
    }

    fn trusted<'t>(&self, iss: &'t str) -> Option<(&Arc<Trusted>, Named<'t>)> {
        self.trusted.iter().find_map(|trusted| Some((trusted, trusted.issuer.named(iss)?)))
    }

    #[cold]
    fn refuse(&self, refused: Refused, presented: &Presented) -> CallError {
        if refused == Refused::Unavailable {
            return CallError::new(Code::Overloaded, "tokens cannot be checked right now")
                .with_retry_after(WAIT)
                .with_source(refused);
        }
        let source = presented.source.filter(|_| refused.is_guess());
        match source.and_then(|ip| self.failures.count(ip, self.clock.instant())) {
            Some(wait) => CallError::new(Code::RateLimited, "too many invalid tokens from here")
                .with_rule("token.guesses")
                .with_retry_after(wait),
            None => CallError::new(Code::Unauthenticated, "invalid token"),
        }
        .with_source(refused)
    }
}

/// Whether a key of a set for many tenants is for this one: Entra says so of each of its keys.
fn is_for(key: &VerifyingKey, named: Named<'_>) -> bool {
    let Named { iss, tenant } = named;
    key.issuer.as_deref().is_none_or(|issuer| match tenant {
        Some(tenant) => issuer.replace(TENANT, tenant) == iss,
        None => issuer == iss || issuer.contains(TENANT),
    })
}
