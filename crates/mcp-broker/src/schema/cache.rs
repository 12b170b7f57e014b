//! Compiled schemas, kept by what they say.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Checked, SchemaError};

/// Compiled schemas by the SHA-256 of their text: a schema that many lists repeat is compiled
/// once. The one unused for longest makes room.
///
/// ```
/// use doorward_mcp_broker::schema::SchemaCache;
/// use serde_json::value::RawValue;
/// let cache = SchemaCache::new(100);
/// let schema = RawValue::from_string(r#"{"type":"object"}"#.into())?;
/// let (one, two) = (cache.checked(&schema)?, cache.checked(&schema)?);
/// assert!(std::sync::Arc::ptr_eq(&one, &two));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SchemaCache {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    uses: u64,
    schemas: HashMap<[u8; 32], Entry>,
}

struct Entry {
    last: u64,
    outcome: Result<Arc<Checked>, SchemaError>,
}

impl SchemaCache {
    /// A cache of at most so many schemas.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), kept: Mutex::default() }
    }

    /// The compiled schema. That one cannot be compiled is remembered too.
    ///
    /// # Errors
    ///
    /// As [`Checked::compile`].
    pub fn checked(&self, schema: &RawValue) -> Result<Arc<Checked>, SchemaError> {
        let key: [u8; 32] = Sha256::digest(schema.get().as_bytes()).into();
        if let Some(outcome) = self.with(|kept| kept.find(&key)) {
            return outcome;
        }
        // Outside of the lock: a second one may do it too, to the same end.
        let outcome = Checked::compile(schema).map(Arc::new);
        self.with(|kept| {
            if kept.schemas.len() >= self.most {
                let oldest = kept.schemas.iter().min_by_key(|(_, entry)| entry.last);
                if let Some(oldest) = oldest.map(|(key, _)| *key) {
                    kept.schemas.remove(&oldest);
                }
            }
            kept.uses += 1;
            let last = kept.uses;
            kept.schemas.insert(key, Entry { last, outcome: outcome.clone() });
        });
        outcome
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn find(&mut self, key: &[u8; 32]) -> Option<Result<Arc<Checked>, SchemaError>> {
        let entry = self.schemas.get_mut(key)?;
        self.uses += 1;
        entry.last = self.uses;
        Some(entry.outcome.clone())
    }
}

impl Default for SchemaCache {
    /// Room for 4,096 schemas.
    fn default() -> Self {
        Self::new(4096)
    }
}

impl fmt::Debug for SchemaCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.with(|kept| kept.schemas.len());
        f.debug_struct("SchemaCache").field("most", &self.most).field("kept", &kept).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes() {
        let cache = SchemaCache::new(2);
        let schema = |n: u32| RawValue::from_string(format!(r#"{{"minimum":{n}}}"#)).unwrap();
        let first = cache.checked(&schema(1)).unwrap();
        cache.checked(&schema(2)).unwrap();
        cache.checked(&schema(1)).unwrap();
        cache.checked(&schema(3)).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.checked(&schema(1)).unwrap()));
        assert_eq!(cache.with(|kept| kept.schemas.len()), 2);
    }
}
