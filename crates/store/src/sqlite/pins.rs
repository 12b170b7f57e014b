//! Pins of MCP tools in SQLite.

use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::BoxFuture;
use doorward_mcp_broker::pin::{Pin, PinError, PinStore};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

/// Pins in a [`Sqlite`](crate::Sqlite) file. Other processes may change them meanwhile.
#[derive(Debug, Clone)]
pub struct SqlitePins {
    connection: Arc<Mutex<Connection>>,
}

impl SqlitePins {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)) }
    }

    /// All pins of all servers, by server and tool. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn all(&self) -> Result<Vec<Pin>, PinError> {
        self.with(|connection| {
            let sql = "SELECT pin FROM tool_pin ORDER BY server, tool";
            connection.prepare_cached(sql)?.query_map([], pin_of)?.collect()
        })
    }

    /// Goes up with each change of any pin. Blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn version(&self) -> Result<u64, PinError> {
        self.with(|connection| {
            let sql = "SELECT version FROM tool_pin_version";
            let version: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(version.cast_unsigned())
        })
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PinError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut connection).map_err(|error| PinError(error.into()))
    }

    /// Blocking work off the runtime's threads.
    fn aside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, PinError>> {
        let pins = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || pins.with(act)).await;
            done.unwrap_or_else(|error| Err(PinError(error.into())))
        })
    }
}

impl PinStore for SqlitePins {
    fn pins<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Vec<Pin>, PinError>> {
        let server = server.to_owned();
        self.aside(move |connection| {
            let sql = "SELECT pin FROM tool_pin WHERE server = ?1 ORDER BY tool";
            connection.prepare_cached(sql)?.query_map([server], pin_of)?.collect()
        })
    }

    fn put(&self, pin: Pin) -> BoxFuture<'_, Result<bool, PinError>> {
        self.aside(move |connection| {
            let text = serde_json::to_string(&pin)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let held = "SELECT revision FROM tool_pin WHERE server = ?1 AND tool = ?2";
            let held: Option<i64> =
                write.query_row(held, (&*pin.server, &*pin.tool), |row| row.get(0)).optional()?;
            let held = held.unwrap_or(0).cast_unsigned();
            if held.checked_add(1) != Some(pin.revision) {
                return Ok(false);
            }
            write.execute(
                "INSERT INTO tool_pin (server, tool, revision, pin) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (server, tool) DO UPDATE SET revision = ?3, pin = ?4",
                (&*pin.server, &*pin.tool, pin.revision.cast_signed(), text),
            )?;
            write.commit()?;
            Ok(true)
        })
    }

    fn remove<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, PinError>> {
        let names = (server.to_owned(), tool.to_owned());
        self.aside(move |connection| {
            let sql = "DELETE FROM tool_pin WHERE server = ?1 AND tool = ?2";
            Ok(connection.execute(sql, names)? > 0)
        })
    }
}

/// A pin that cannot be read must not become no pin, which would be a first use.
fn pin_of(row: &Row<'_>) -> rusqlite::Result<Pin> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}
