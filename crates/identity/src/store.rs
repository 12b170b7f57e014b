//! Where virtual keys are kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_core::{KeyId, Timestamp};

use crate::KeyRecord;

/// Keys could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is a key with this id or hash already.
    #[error("there is such a key already: {0}")]
    Duplicate(KeyId),
    /// There is no such key.
    #[error("there is no key {0}")]
    Unknown(KeyId),
    /// The storage failed.
    #[error("the key store failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl KeyStoreError {
    /// The storage failed, for this cause.
    pub fn storage(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage(source.into())
    }
}

/// Storage for virtual keys. May block: it is never asked on the way of a call.
///
/// See [`Memory`] for one that is complete.
///
/// ```
/// use doorward_core::{KeyId, Timestamp};
/// use doorward_identity::{KeyStore, KeyStoreError, Memory};
/// let store = Memory::default();
/// assert!(store.keys()?.is_empty());
/// let unknown = store.revoke(KeyId::from_bytes([1; 16]), Timestamp::from_micros(0));
/// assert!(matches!(unknown, Err(KeyStoreError::Unknown(_))));
/// # Ok::<(), KeyStoreError>(())
/// ```
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// All keys, revoked ones too, in the order they were made.
    fn keys(&self) -> Result<Vec<KeyRecord>, KeyStoreError>;

    /// Keeps a new key.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Duplicate`] where its id or hash is taken.
    fn insert(&self, key: &KeyRecord) -> Result<(), KeyStoreError>;

    /// Revokes a key. One that is revoked already keeps its time.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError::Unknown`] where there is none.
    fn revoke(&self, id: KeyId, at: Timestamp) -> Result<(), KeyStoreError>;

    /// A number that changes with every change of the keys, whoever makes it. Cheap: it is asked
    /// for every second.
    fn version(&self) -> Result<u64, KeyStoreError>;
}

/// Keys in memory, for tests and for embedders who keep them elsewhere. Gone with the process.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<KeyRecord>,
    at: HashMap<KeyId, usize>,
    version: u64,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for Memory {
    fn keys(&self) -> Result<Vec<KeyRecord>, KeyStoreError> {
        Ok(self.lock().keys.clone())
    }

    fn insert(&self, key: &KeyRecord) -> Result<(), KeyStoreError> {
        let mut state = self.lock();
        if state.keys.iter().any(|other| other.id == key.id || other.hash == key.hash) {
            return Err(KeyStoreError::Duplicate(key.id));
        }
        let place = state.keys.len();
        state.at.insert(key.id, place);
        state.keys.push(key.clone());
        state.version += 1;
        Ok(())
    }

    fn revoke(&self, id: KeyId, at: Timestamp) -> Result<(), KeyStoreError> {
        let mut state = self.lock();
        let place = state.at.get(&id).copied();
        match place.and_then(|place| state.keys.get_mut(place)) {
            Some(key) if key.revoked.is_none() => key.revoked = Some(at),
            Some(_) => return Ok(()),
            None => return Err(KeyStoreError::Unknown(id)),
        }
        state.version += 1;
        Ok(())
    }

    fn version(&self) -> Result<u64, KeyStoreError> {
        Ok(self.lock().version)
    }
}
