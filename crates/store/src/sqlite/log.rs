//! The audit log in SQLite.

use std::fs::{File, TryLockError};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use doorward_audit::{
    Archive, Block, Checkpoint, Cut, Head, Hold, LinkedCheckpoint, Log, LogError, Outbox, Sealed,
};
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
    path: PathBuf,
    /// Which file the path named when it was opened.
    file: Option<FileId>,
    /// Held by the one writer; let go of when the process ends, however it ends.
    lock: Option<File>,
    /// Blocks to store with the next batch.
    blocks: Vec<Block>,
}

impl SqliteLog {
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        lock: Option<File>,
    ) -> Result<Self, LogError> {
        let file = file_id(path).map_err(LogError::storage)?;
        Ok(Self { connection, path: path.to_owned(), file, lock, blocks: Vec::new() })
    }

    /// Whether this is the one writer, of a file that is still there. SQLite goes on writing to a
    /// file that was deleted or replaced, where nobody will ever read it.
    fn writes(&self) -> Result<(), LogError> {
        if self.lock.is_none() {
            return Err(LogError::ReadOnly);
        }
        match file_id(&self.path) {
            Ok(found) if found == self.file => Ok(()),
            Ok(_) => Err(LogError::storage("another file is in the database's place")),
            Err(error) => Err(LogError::storage(error)),
        }
    }
}

/// Device and number of a file.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path) -> std::io::Result<Option<FileId>> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|found| Some((found.dev(), found.ino())))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> std::io::Result<Option<FileId>> {
    std::fs::metadata(path).map(|_| None)
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
        self.writes()?;
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
        insert_blocks(&transaction, &self.blocks).map_err(LogError::storage)?;
        replace(&transaction, checkpoint).map_err(LogError::storage)?;
        transaction.commit().map_err(LogError::storage)?;
        self.blocks.clear();
        Ok(())
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
        let sql = "SELECT note FROM audit_note WHERE only = 1";
        let Some(note) = one_text(&self.connection, sql)? else { return Ok(None) };
        note.parse().map(Some).map_err(LogError::storage)
    }

    fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError> {
        let sql = "SELECT origin, size, link, time, signature FROM audit_checkpoint WHERE only = 1";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([], linked_of).optional())
            .map_err(LogError::storage)
    }

    fn cut(&mut self) -> Result<Option<Cut>, LogError> {
        let sql = "SELECT cut FROM audit_cut WHERE only = 1";
        let Some(cut) = one_text(&self.connection, sql)? else { return Ok(None) };
        serde_json::from_str(&cut).map(Some).map_err(LogError::storage)
    }

    fn leaves(&mut self, from: u64, most: usize) -> Result<Vec<Digest>, LogError> {
        let sql = "SELECT leaf FROM audit_entry WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
        let read = || {
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map((from, most), |row| digest(row, 0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(LogError::storage)
    }

    fn keep_blocks(&mut self, blocks: &[Block]) -> Result<(), LogError> {
        self.blocks.extend_from_slice(blocks);
        Ok(())
    }

    fn block(&mut self, level: u8, number: u64) -> Result<Option<Digest>, LogError> {
        let sql = "SELECT root FROM audit_block WHERE level = ?1 AND number = ?2";
        let Ok(number) = i64::try_from(number) else { return Ok(None) };
        self.connection
            .prepare_cached(sql)
            .and_then(|mut select| {
                select.query_row((level, number), |row| digest(row, 0)).optional()
            })
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

impl Archive for SqliteLog {
    fn prune(&mut self, cut: &Cut, bare: &[RangeInclusive<u64>]) -> Result<(), LogError> {
        self.writes()?;
        let text = serde_json::to_string(cut).map_err(LogError::storage)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(LogError::storage)?;
        let run = || {
            let sql = "DELETE FROM audit_entry WHERE seq <= ?1";
            transaction.execute(sql, [signed(cut.base)?])?;
            // Blocks that lie wholly before it are of no more use.
            let sql = "DELETE FROM audit_block WHERE (number + 1) * (1 << (8 * level)) <= ?1";
            transaction.execute(sql, [signed(cut.base)?])?;
            let sql = "UPDATE audit_entry SET entry = '' WHERE seq BETWEEN ?1 AND ?2";
            for range in bare {
                transaction.execute(sql, (signed(*range.start())?, signed(*range.end())?))?;
            }
            let sql = "INSERT OR REPLACE INTO audit_cut (only, cut) VALUES (1, ?1)";
            transaction.execute(sql, [&text])
        };
        run().map_err(LogError::storage)?;
        transaction.commit().map_err(LogError::storage)
    }

    fn holds(&mut self) -> Result<Vec<Hold>, LogError> {
        let read = || {
            let sql = "SELECT hold FROM audit_hold ORDER BY name";
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let texts = read().map_err(LogError::storage)?;
        texts.iter().map(|hold| serde_json::from_str(hold).map_err(LogError::storage)).collect()
    }

    fn hold(&mut self, hold: &Hold) -> Result<(), LogError> {
        let text = serde_json::to_string(hold).map_err(LogError::storage)?;
        let sql = "INSERT OR REPLACE INTO audit_hold (name, hold) VALUES (?1, ?2)";
        self.connection.execute(sql, (&hold.name, text)).map_err(LogError::storage)?;
        Ok(())
    }

    fn release(&mut self, name: &str) -> Result<bool, LogError> {
        let sql = "DELETE FROM audit_hold WHERE name = ?1";
        let gone = self.connection.execute(sql, [name]).map_err(LogError::storage)?;
        Ok(gone > 0)
    }
}

impl Outbox for SqliteLog {
    fn cursor(&mut self, reader: &str) -> Result<u64, LogError> {
        let sql = "SELECT seq FROM audit_cursor WHERE reader = ?1";
        let read = || {
            let mut select = self.connection.prepare_cached(sql)?;
            select.query_row([reader], |row| number(row, 0)).optional()
        };
        Ok(read().map_err(LogError::storage)?.unwrap_or(0))
    }

    fn advance(&mut self, reader: &str, to: u64) -> Result<(), LogError> {
        let sql = "INSERT OR REPLACE INTO audit_cursor (reader, seq) VALUES (?1, ?2)";
        let run = || self.connection.prepare_cached(sql)?.execute((reader, signed(to)?));
        run().map_err(LogError::storage)?;
        Ok(())
    }

    fn cursors(&mut self) -> Result<Vec<(String, u64)>, LogError> {
        let read = || {
            let sql = "SELECT reader, seq FROM audit_cursor ORDER BY reader";
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(LogError::storage)
    }
}

fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|_| rusqlite::Error::InvalidQuery)
}

/// The one text of a table that holds one.
fn one_text(connection: &Connection, sql: &str) -> Result<Option<String>, LogError> {
    let text = |row: &Row<'_>| Ok(String::from_utf8_lossy(bytes(row.get_ref(0)?)).into_owned());
    let read = || connection.prepare_cached(sql)?.query_row([], text).optional();
    read().map_err(LogError::storage)
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
        let seq = signed(*seq)?;
        let entry = ToSqlOutput::Borrowed(ValueRef::Text(entry));
        insert.execute((seq, entry, leaf.as_bytes().as_slice(), link.as_bytes().as_slice()))?;
    }
    Ok(())
}

fn insert_blocks(connection: &Connection, blocks: &[Block]) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO audit_block (level, number, root) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(sql)?;
    for Block { level, number, root } in blocks {
        insert.execute((level, signed(*number)?, root.as_bytes().as_slice()))?;
    }
    Ok(())
}

fn replace(connection: &Connection, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO audit_note (only, note) VALUES (1, ?1)";
    connection.prepare_cached(sql)?.execute([checkpoint.to_string()])?;
    connection.prepare_cached("DELETE FROM audit_checkpoint")?.execute([])?;
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

fn linked_of(row: &Row<'_>) -> rusqlite::Result<LinkedCheckpoint> {
    Ok(LinkedCheckpoint {
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
