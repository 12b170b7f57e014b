//! Virtual keys, checked against memory.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_core::{
    Authenticator, BoxFuture, CallError, Clock, Code, Presented, Principal, Secret, Timestamp,
};

use crate::guesses::{Failures, Guesses};
use crate::{KeyHash, KeyRecord, KeyStore, KeyStoreError, KeyText, Pepper};

/// Establishes who calls by their virtual key.
///
/// All keys are held in memory, by hash; checking one never waits. [`refresh`](Self::refresh)
/// brings in what changed in the store: call it after every change and at least once a second, and
/// a revoked key is refused within that second. Every refusal reads the same, whatever was wrong.
pub struct VirtualKeys {
    store: Arc<dyn KeyStore>,
    pepper: Pepper,
    clock: Arc<dyn Clock>,
    stale_after: Option<Duration>,
    known: ArcSwap<Known>,
    refreshing: Mutex<()>,
    failures: Failures,
}

/// The keys as they were at one version of the store.
struct Known {
    version: u64,
    /// When the store was last asked.
    asked: Instant,
    keys: Arc<HashMap<[u8; 16], Entry>>,
}

struct Entry {
    hash: KeyHash,
    expires: Option<Timestamp>,
    principal: Arc<Principal>,
}

impl VirtualKeys {
    /// Reads the keys from their store.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub fn new(
        store: Arc<dyn KeyStore>,
        pepper: Pepper,
        clock: Arc<dyn Clock>,
        guesses: Guesses,
    ) -> Result<Self, KeyStoreError> {
        let known = read(&*store, clock.instant())?;
        Ok(Self {
            store,
            pepper,
            clock,
            stale_after: None,
            known: ArcSwap::from_pointee(known),
            refreshing: Mutex::new(()),
            failures: Failures::new(guesses),
        })
    }

    /// Refuses every key once the store could not be asked for so long. Without it, keys stay as
    /// they were last known.
    #[must_use]
    pub fn with_stale_after(mut self, limit: Duration) -> Self {
        self.stale_after = Some(limit);
        self
    }

    /// Brings in what changed; tells whether anything did. May block.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read; the keys stay as they were.
    pub fn refresh(&self) -> Result<bool, KeyStoreError> {
        // One at a time: an older reading must not replace a newer one.
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.clock.instant();
        let known = self.known.load();
        if self.store.version()? == known.version {
            let keys = Arc::clone(&known.keys);
            self.known.store(Arc::new(Known { version: known.version, asked, keys }));
            return Ok(false);
        }
        self.known.store(Arc::new(read(&*self.store, asked)?));
        Ok(true)
    }

    /// How many keys can be used, were it not for their expiry.
    pub fn len(&self) -> usize {
        self.known.load().keys.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a signed-in session keeps of a key in the key's place: enough to see that it still
    /// holds, and worth nothing to whoever reads it.
    pub fn remembered(&self, text: &Secret) -> KeyHash {
        self.pepper.hash(text.expose())
    }

    /// Whoever the key stands for of which this was [remembered](Self::remembered), if it still
    /// holds. Nobody, while keys cannot be checked.
    pub fn recall(&self, hash: &KeyHash) -> Option<Arc<Principal>> {
        let known = self.known.load();
        if self.is_stale(&known) {
            return None;
        }
        self.holder(&known, hash)
    }

    fn is_stale(&self, known: &Known) -> bool {
        self.stale_after.is_some_and(|limit| {
            self.clock.instant().saturating_duration_since(known.asked) > limit
        })
    }

    fn find(&self, known: &Known, presented: &Presented) -> Option<Arc<Principal>> {
        let text = presented.token.as_ref()?.expose();
        if !KeyText::is_shaped(text) {
            return None;
        }
        self.holder(known, &self.pepper.hash(text))
    }

    fn holder(&self, known: &Known, hash: &KeyHash) -> Option<Arc<Principal>> {
        let entry = known.keys.get(&short(hash)).filter(|entry| entry.hash == *hash)?;
        let valid = entry.expires.is_none_or(|end| self.clock.now() < end);
        valid.then(|| Arc::clone(&entry.principal))
    }

    #[cold]
    fn refuse(&self, presented: &Presented) -> CallError {
        let wait = presented.source.and_then(|ip| self.failures.count(ip, self.clock.instant()));
        match wait {
            Some(wait) => CallError::new(Code::RateLimited, "too many invalid API keys from here")
                .with_rule("key.guesses")
                .with_retry_after(wait),
            None => CallError::new(Code::Unauthenticated, "invalid API key"),
        }
    }
}

/// The version is read first: what changes between the two is read again next time.
fn read(store: &dyn KeyStore, asked: Instant) -> Result<Known, KeyStoreError> {
    let version = store.version()?;
    let live = store.keys()?.into_iter().filter(|key| key.revoked.is_none());
    let keys = live.map(|key| (short(&key.hash), Entry::from(key))).collect();
    Ok(Known { version, asked, keys: Arc::new(keys) })
}

/// Half of a hash finds an entry; the whole is compared then.
fn short(hash: &KeyHash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

impl From<KeyRecord> for Entry {
    fn from(key: KeyRecord) -> Self {
        let principal = Principal {
            id: key.owner,
            kind: key.owner_kind,
            team: key.team,
            key: Some(key.id),
            key_name: Some(key.name),
            scopes: Arc::new(key.scopes),
            actors: Vec::new(),
            identity: None,
        };
        Self { hash: key.hash, expires: key.expires, principal: Arc::new(principal) }
    }
}

impl Authenticator for VirtualKeys {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Arc<Principal>, CallError>> {
        let known = self.known.load();
        let checked = if self.is_stale(&known) {
            Err(CallError::new(Code::Overloaded, "API keys cannot be checked right now"))
        } else {
            self.find(&known, presented).ok_or_else(|| self.refuse(presented))
        };
        Box::pin(ready(checked))
    }
}

impl fmt::Debug for VirtualKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualKeys").field("keys", &self.len()).finish_non_exhaustive()
    }
}
