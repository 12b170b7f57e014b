//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many parts the cache is locked in.
const SHARDS: usize = 16;

/// Verified tokens by the hash of their text. Bounded: of each part's two halves the older one
/// is dropped once the younger is full.
pub(crate) struct Cache<T> {
    half: usize,
    shards: Vec<Mutex<Shard<T>>>,
}

struct Shard<T> {
    young: HashMap<[u8; 32], Arc<T>>,
    old: HashMap<[u8; 32], Arc<T>>,
}

impl<T> Cache<T> {
    /// Of about this many tokens; of none, for 0.
    pub(crate) fn new(most: usize) -> Self {
        let empty = || Mutex::new(Shard { young: HashMap::new(), old: HashMap::new() });
        let shards = (0..SHARDS).map(|_| empty()).collect();
        Self { half: most.div_ceil(2 * SHARDS), shards }
    }

    fn shard(&self, hash: &[u8; 32]) -> &Mutex<Shard<T>> {
        &self.shards[usize::from(hash[0]) % SHARDS]
    }

    pub(crate) fn find(&self, hash: &[u8; 32]) -> Option<Arc<T>> {
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.young.get(hash) {
            return Some(found.clone());
        }
        let found = shard.old.remove(hash)?;
        shard.insert(self.half, *hash, found.clone());
        Some(found)
    }

    pub(crate) fn keep(&self, hash: [u8; 32], value: Arc<T>) {
        if self.half > 0 {
            let mut shard = self.shard(&hash).lock().unwrap_or_else(PoisonError::into_inner);
            shard.insert(self.half, hash, value);
        }
    }

    pub(crate) fn forget(&self, hash: &[u8; 32]) {
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.remove(hash);
        shard.old.remove(hash);
    }
}

impl<T> Shard<T> {
    fn insert(&mut self, half: usize, hash: [u8; 32], value: Arc<T>) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_makes_room() {
        let cache = Cache::new(64);
        let hash = |n: u32| *blake3::hash(&n.to_le_bytes()).as_bytes();
        cache.keep(hash(0), Arc::new(0));
        for n in 1..10_000 {
            cache.keep(hash(n), Arc::new(n));
            assert!(cache.find(&hash(0)).is_some(), "used all the time");
        }
        let left = (0..10_000).filter(|n| cache.find(&hash(*n)).is_some()).count();
        assert!((1..=64).contains(&left), "{left}");
        cache.forget(&hash(0));
        assert!(cache.find(&hash(0)).is_none());
        let none = Cache::new(0);
        none.keep(hash(1), Arc::new(1));
        assert!(none.find(&hash(1)).is_none());
    }
}
