//! Virtual keys in SQLite.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::{KeyId, PrincipalKind, Timestamp};
use doorward_identity::{KeyHash, KeyRecord, KeyStore, KeyStoreError};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row};

/// Virtual keys in a [`Sqlite`](crate::Sqlite) file. Other processes may change them meanwhile.
#[derive(Debug)]
pub struct SqliteKeys {
    connection: Mutex<Connection>,
}

impl SqliteKeys {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for SqliteKeys {
    fn keys(&self) -> Result<Vec<KeyRecord>, KeyStoreError> {
        let sql =
            "SELECT id, name, owner, owner_kind, team, hash, scopes, created, expires, revoked
                   FROM virtual_key ORDER BY number";
        let connection = self.lock();
        let mut select = connection.prepare_cached(sql).map_err(KeyStoreError::storage)?;
        let rows = select.query_map([], record_of).map_err(KeyStoreError::storage)?;
        rows.collect::<Result<_, _>>().map_err(KeyStoreError::storage)
    }

    fn insert(&self, key: &KeyRecord) -> Result<(), KeyStoreError> {
        let sql = "INSERT INTO virtual_key (id, name, owner, owner_kind, team, hash, scopes,
                                            created, expires, revoked)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let scopes = serde_json::to_string(&key.scopes).map_err(KeyStoreError::storage)?;
        let values = (
            key.id.to_string(),
            &*key.name,
            &*key.owner,
            word_of(key.owner_kind),
            key.team.as_deref(),
            key.hash.as_bytes().as_slice(),
            scopes,
            key.created.as_micros(),
            key.expires.map(Timestamp::as_micros),
            key.revoked.map(Timestamp::as_micros),
        );
        match self.lock().execute(sql, values) {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(KeyStoreError::Duplicate(key.id))
            }
            Err(error) => Err(KeyStoreError::storage(error)),
        }
    }

    fn revoke(&self, id: KeyId, at: Timestamp) -> Result<(), KeyStoreError> {
        let connection = self.lock();
        let sql = "UPDATE virtual_key SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
        let changed = connection
            .execute(sql, (id.to_string(), at.as_micros()))
            .map_err(KeyStoreError::storage)?;
        if changed == 1 {
            return Ok(());
        }
        let known = "SELECT 1 FROM virtual_key WHERE id = ?1";
        let known = connection
            .query_row(known, [id.to_string()], |_| Ok(()))
            .optional()
            .map_err(KeyStoreError::storage)?;
        known.ok_or(KeyStoreError::Unknown(id))
    }

    fn version(&self) -> Result<u64, KeyStoreError> {
        let sql = "SELECT version FROM virtual_key_version";
        let version: i64 = self
            .lock()
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .map_err(KeyStoreError::storage)?;
        Ok(version.cast_unsigned())
    }
}

const fn word_of(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Person => "person",
        PrincipalKind::Service => "service",
    }
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|t| t.map(Timestamp::from_micros));
    let id: String = row.get(0)?;
    let owner_kind = match row.get::<_, String>(3)?.as_str() {
        "person" => PrincipalKind::Person,
        "service" => PrincipalKind::Service,
        other => return Err(wrong(3, Type::Text, format!("no kind of owner: {other}"))),
    };
    let scopes: String = row.get(6)?;
    Ok(KeyRecord {
        id: id.parse().map_err(|error| wrong(0, Type::Text, error))?,
        name: row.get::<_, Arc<str>>(1)?,
        owner: row.get::<_, Arc<str>>(2)?,
        owner_kind,
        team: row.get::<_, Option<Arc<str>>>(4)?,
        hash: KeyHash::from_bytes(row.get(5)?),
        // A key whose list cannot be read must not become a key without one.
        scopes: serde_json::from_str(&scopes).map_err(|error| wrong(6, Type::Text, error))?,
        created: Timestamp::from_micros(row.get(7)?),
        expires: time(8)?,
        revoked: time(9)?,
    })
}

fn wrong(
    column: usize,
    found: Type,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, found, error.into())
}
