//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::check::Verified;

/// How many parts the cache is locked in.
const SHARDS: usize = 16;

/// Verified tokens by the hash of their text. Bounded: of each part's two halves the older one
/// is dropped once the younger is full.
pub(crate) struct Cache {
    half: usize,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    young: HashMap<[u8; 32], Arc<Verified>>,
    old: HashMap<[u8; 32], Arc<Verified>>,
}

impl Cache {
    /// Of about this many tokens; of none, for 0.
    pub(crate) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { half: most.div_ceil(2 * SHARDS), shards }
    }

    fn shard(&self, hash: &[u8; 32]) -> &Mutex<Shard> {
        &self.shards[usize::from(hash[0]) % SHARDS]
    }

    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Arc<Verified>> {
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.young.get(hash) {
            return Some(found.clone());
        }
        let found = shard.old.remove(hash)?;
        shard.insert(self.half, *hash, found.clone());
        Some(found)
    }

    pub(crate) fn keep(&self, hash: [u8; 32], verified: Arc<Verified>) {
        if self.half > 0 {
            let mut shard = self.shard(&hash).lock().unwrap_or_else(PoisonError::into_inner);
            shard.insert(self.half, hash, verified);
        }
    }

    pub(crate) fn forget(&self, hash: &[u8; 32]) {
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.remove(hash);
        shard.old.remove(hash);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let counted = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(counted).sum()
    }
}

impl Shard {
    fn insert(&mut self, half: usize, hash: [u8; 32], verified: Arc<Verified>) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verified);
    }
}
