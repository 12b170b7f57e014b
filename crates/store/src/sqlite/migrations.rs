//! The tables, step by step.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

/// Every step so far: version, name, what it does. A step that was published is never changed.
const STEPS: [(i64, &str, &str); 5] = [
    (1, "audit", include_str!("migrations/0001_audit.sql")),
    (2, "virtual_key", include_str!("migrations/0002_virtual_key.sql")),
    (3, "tool_pin", include_str!("migrations/0003_tool_pin.sql")),
    (5, "oauth_server", include_str!("migrations/0005_oauth_server.sql")),
    (8, "audit_tree", include_str!("migrations/0008_audit_tree.sql")),
];

/// The newest schema this program knows.
pub(super) const KNOWN: i64 = STEPS[STEPS.len() - 1].0;

/// Brings the tables up to date; tells the schema's version then. Several processes may do so at
/// once.
pub(super) fn apply(connection: &mut Connection) -> rusqlite::Result<i64> {
    let found = applied(connection)?;
    if found >= KNOWN {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
             version INTEGER PRIMARY KEY,
             name    TEXT NOT NULL
         ) STRICT;",
    )?;
    // Another process may have been first.
    let found = applied(&transaction)?;
    for (version, name, sql) in STEPS {
        if version > found {
            transaction.execute_batch(sql)?;
            transaction.execute(
                "INSERT INTO migration (version, name) VALUES (?1, ?2)",
                (version, name),
            )?;
        }
    }
    transaction.commit()?;
    Ok(found.max(KNOWN))
}

/// The schema's version; 0 for an empty file.
pub(super) fn applied(connection: &Connection) -> rusqlite::Result<i64> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'";
    if connection.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    connection.query_row("SELECT coalesce(max(version), 0) FROM migration", [], |row| row.get(0))
}
