//! Storage for the other rooms' traits: SQLite.
//!
//! One file holds everything of a single gateway. Other processes may look into it, and make or
//! revoke keys, while the gateway runs; only one may write the audit log.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_audit::{Log, LogError};
//! use doorward_core::{SystemClock, SystemEntropy};
//! use doorward_identity::{KeyStore, NewKey, Pepper, mint};
//! use doorward_store::Sqlite;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("doorward.db");
//! let store = Sqlite::open(&path)?;
//!
//! let keys = store.keys()?;
//! let pepper = Pepper::generate(&SystemEntropy);
//! let wanted = NewKey::new("ci", "build@example.com");
//! let (_shown_once, record) = mint(&SystemEntropy, &SystemClock, &pepper, wanted)?;
//! keys.insert(&record)?;
//! assert_eq!(keys.keys()?, [record]);
//!
//! // One process writes the audit log. A second one is told so.
//! let mut log = store.log()?;
//! assert!(log.read(1, 10)?.is_empty());
//! assert!(matches!(Sqlite::open(&path)?.log(), Err(LogError::Locked(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod sqlite;

pub use sqlite::{
    OpenError, Sqlite, SqliteContent, SqliteKeys, SqliteLog, SqliteOAuth, SqlitePins,
};
