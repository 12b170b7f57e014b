//! What was said in calls, in SQLite.

use doorward_audit::{ContentError, ContentRow, ContentStore};
use doorward_core::{ContentPart, EventId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

/// What was said in calls, encrypted, in a [`Sqlite`](crate::Sqlite) file.
#[derive(Debug)]
pub struct SqliteContent {
    connection: Connection,
}

impl SqliteContent {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl ContentStore for SqliteContent {
    fn put(&mut self, row: &ContentRow) -> Result<(), ContentError> {
        let sql = "INSERT OR REPLACE INTO audit_content (event, part, key, sealed, expires)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let ContentRow { event, part, key, sealed, expires } = row;
        let event = event.as_bytes().as_slice();
        let values = (event, part.as_str(), key, sealed, expires.as_micros());
        let run = || self.connection.prepare_cached(sql)?.execute(values);
        run().map(drop).map_err(ContentError::storage)
    }

    fn part(
        &mut self,
        event: EventId,
        part: ContentPart,
    ) -> Result<Option<ContentRow>, ContentError> {
        let sql = "SELECT key, sealed, expires FROM audit_content WHERE event = ?1 AND part = ?2";
        let read = || {
            let mut select = self.connection.prepare_cached(sql)?;
            let values = (event.as_bytes().as_slice(), part.as_str());
            let row = select.query_row(values, |row| {
                let (key, sealed) = (row.get(0)?, row.get(1)?);
                let expires = Timestamp::from_micros(row.get(2)?);
                Ok(ContentRow { event, part, key, sealed, expires })
            });
            row.optional()
        };
        read().map_err(ContentError::storage)
    }

    fn forget(&mut self, event: EventId) -> Result<u64, ContentError> {
        let sql = "DELETE FROM audit_content WHERE event = ?1";
        let gone = self.connection.execute(sql, [event.as_bytes().as_slice()]);
        gone.map(|rows| rows as u64).map_err(ContentError::storage)
    }

    fn expire(&mut self, now: Timestamp) -> Result<u64, ContentError> {
        let sql = "DELETE FROM audit_content WHERE expires <= ?1";
        let gone = self.connection.execute(sql, [now.as_micros()]);
        gone.map(|rows| rows as u64).map_err(ContentError::storage)
    }
}
