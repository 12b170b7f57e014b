//! Maps whose keys are keyed hashes already, so that hashing them again adds nothing: whoever
//! does not know the key cannot choose where an entry goes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by marks or fingerprints.
pub(crate) type KeyedMap<K, V> = HashMap<K, V, BuildHasherDefault<AsIs>>;

/// A set of marks or fingerprints.
pub(crate) type KeyedSet<K> = HashSet<K, BuildHasherDefault<AsIs>>;

/// Takes the first eight bytes of a key for its hash.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        let word = match bytes.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.0 ^= word;
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    /// The length of a key, which is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
