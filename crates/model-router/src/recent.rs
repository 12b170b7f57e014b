//! What was seen lately, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

/// Remembers values by 64-bit keys: at least the last `most` ones that were noted or found, at
/// most twice as many. Keys are hashes; the hasher is its own, so that nobody outside can aim at
/// a collision.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    hasher: RandomState,
    most: usize,
    shelves: Mutex<Shelves<V>>,
}

/// The younger shelf fills, then replaces the older one.
#[derive(Debug)]
struct Shelves<V> {
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V: Clone> Recent<V> {
    pub(crate) fn new(most: usize) -> Self {
        let shelves = Mutex::new(Shelves { young: HashMap::new(), old: HashMap::new() });
        Self { hasher: RandomState::new(), most, shelves }
    }

    /// The key of something.
    pub(crate) fn key(&self, thing: impl Hash) -> u64 {
        self.hasher.hash_one(thing)
    }

    pub(crate) fn note(&self, key: u64, value: V) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.put(key, value, self.most);
    }

    pub(crate) fn find(&self, key: u64) -> Option<V> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shelves.young.get(&key) {
            return Some(value.clone());
        }
        let value = shelves.old.remove(&key)?;
        shelves.put(key, value.clone(), self.most);
        Some(value)
    }
}

impl<V> Shelves<V> {
    fn put(&mut self, key: u64, value: V, most: usize) {
        if self.young.len() >= most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let recent = Recent::new(10);
        for key in 0..1000 {
            recent.note(key, key);
            assert_eq!(recent.find(0), Some(0), "used all the time, at {key}");
            let shelves = recent.shelves.lock().unwrap();
            assert!(shelves.young.len() + shelves.old.len() <= 20);
        }
        assert_eq!(recent.find(999), Some(999));
        assert_eq!(recent.find(5), None);
    }
}
