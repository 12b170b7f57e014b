//! The audit log in SQLite.

use std::fs::{File, TryLockError};
use std::path::Path;

use doorward_audit::{Checkpoint, Head, Log, LogError, Sealed};
use doorward_core::{Digest, Timestamp, TurnId};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

/// The audit log in a [`Sqlite`](crate::Sqlite) file.
///
/// What is read is handed on as it is: a row that was tampered with is for
/// [`verify`](doorward_audit::verify) to find.
#[derive(Debug)]
pub struct SqliteLog {
    connection: Connection,
    /// Held by the one writer; let go of when the process ends, however it ends.
    lock: Option<File>,
}

impl SqliteLog {
    pub(super) fn new(connection: Connection, lock: Option<File>) -> Self {
        Self { connection, lock }
    }
}

/// Takes the writer's lock. It is on a file of its own: see `make_private` for why the database
/// itself must not be opened and closed beside SQLite.
pub(super) fn lock(database: &Path) -> Result<File, LogError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".writer");
    let file = super::private_file()
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LogError::storage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(LogError::Locked(format!("{} is held by another writer", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(LogError::storage(error)),
    }
}

impl Log for SqliteLog {
    fn last(&mut self) -> Result<Head, LogError> {
        last(&self.connection).map_err(LogError::storage)
    }

    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError> {
        if self.lock.is_none() {
            return Err(LogError::ReadOnly);
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(LogError::storage)?;
        let head = last(&transaction).map_err(LogError::storage)?;
        if let Some(first) = entries.first()
            && !first.follows(&head)
        {
            let expected = first.seq.saturating_sub(1);
            return Err(LogError::Conflict { found: head.size, expected });
        }
        insert(&transaction, entries).map_err(LogError::storage)?;
        replace(&transaction, checkpoint).map_err(LogError::storage)?;
        transaction.commit().map_err(LogError::storage)
    }

    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        let sql = "SELECT seq, entry, leaf, link FROM audit_entry
                   WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // Numbers beyond 2⁶³ are never filed.
        let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
        select(&self.connection, sql, (from, most)).map_err(LogError::storage)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        let sql = "SELECT origin, size, link, time, signature FROM audit_checkpoint WHERE only = 1";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([], checkpoint_of).optional())
            .map_err(LogError::storage)
    }

    fn turn(&mut self, turn: TurnId) -> Result<Vec<Sealed>, LogError> {
        // Within a JSON string the quotes would be escaped: only the field itself fits.
        let sql = "SELECT seq, entry, leaf, link FROM audit_entry
                   WHERE instr(entry, ?1) > 0 ORDER BY seq";
        let field = format!(r#""turn":"{turn}""#);
        select(&self.connection, sql, [field]).map_err(LogError::storage)
    }
}

fn last(connection: &Connection) -> rusqlite::Result<Head> {
    let sql = "SELECT seq, link FROM audit_entry ORDER BY seq DESC LIMIT 1";
    let head = |row: &Row<'_>| Ok(Head { size: number(row, 0)?, link: digest(row, 1)? });
    Ok(connection.prepare_cached(sql)?.query_row([], head).optional()?.unwrap_or_default())
}

fn insert(connection: &Connection, entries: &[Sealed]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_entry (seq, entry, leaf, link) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(sql)?;
    for Sealed { seq, entry, leaf, link } in entries {
        let seq = i64::try_from(*seq).map_err(|_| rusqlite::Error::InvalidQuery)?;
        let entry = ToSqlOutput::Borrowed(ValueRef::Text(entry));
        insert.execute((seq, entry, leaf.as_bytes().as_slice(), link.as_bytes().as_slice()))?;
    }
    Ok(())
}

fn replace(connection: &Connection, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO audit_checkpoint (only, origin, size, link, time, signature)
               VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    let Checkpoint { origin, size, link, time, signature } = checkpoint;
    let size = i64::try_from(*size).map_err(|_| rusqlite::Error::InvalidQuery)?;
    let link = link.as_bytes().as_slice();
    let values = (&**origin, size, link, time.as_micros(), signature.as_slice());
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn select(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Sealed>> {
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map(values, |row| {
        Ok(Sealed {
            seq: number(row, 0)?,
            entry: bytes(row.get_ref(1)?).to_vec(),
            leaf: digest(row, 2)?,
            link: digest(row, 3)?,
        })
    })?;
    rows.collect()
}

fn checkpoint_of(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        origin: String::from_utf8_lossy(bytes(row.get_ref(0)?)).into(),
        size: number(row, 1)?,
        link: digest(row, 2)?,
        time: Timestamp::from_micros(row.get(3)?),
        signature: bytes(row.get_ref(4)?).try_into().unwrap_or([0; 64]),
    })
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

/// A digest; zeros, which fit nothing, where the column was tampered with.
fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    let bytes = bytes(row.get_ref(column)?).try_into().unwrap_or([0; 32]);
    Ok(Digest::from_bytes(bytes))
}

fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}
