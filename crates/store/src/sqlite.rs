//! One SQLite file.
//!
//! Every user of it has a connection of their own and runs on a thread of their own; WAL lets
//! them read while one writes. A commit returns when the disk has it (`synchronous = FULL`).

mod content;
mod keys;
mod log;
mod migrations;
mod oauth;
mod pins;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_audit::{ContentError, LogError};
use doorward_identity::KeyStoreError;
use rusqlite::{Connection, OpenFlags};

pub use content::SqliteContent;
pub use keys::SqliteKeys;
pub use log::SqliteLog;
pub use oauth::SqliteOAuth;
pub use pins::SqlitePins;

/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(5);

/// After how many pages the write-ahead log is moved into the database; 16 MiB.
const WAL_PAGES: u32 = 4096;

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder could not be made or read.
    #[error("cannot open the database {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot open the database {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A newer version of this program wrote the file.
    #[error(
        "the database {} is of a newer version (schema {found}, this program knows {known})",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known.
        known: i64,
    },
    /// The file has not been set up, and may only be read.
    #[error("the database {} has not been set up yet", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
}

/// A store in one SQLite file, readable by its owner alone.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    read_only: bool,
}

impl Sqlite {
    /// Opens the file; makes it, its folder and its tables where they are missing.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened, is no database, or was written by a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let store = Self { path: path.as_ref().to_owned(), read_only: false };
        make_private(&store.path)
            .map_err(|source| OpenError::File { path: store.path.clone(), source })?;
        let mut connection = store.connect(false).map_err(|source| store.refused(source))?;
        let applied = migrations::apply(&mut connection).map_err(|source| store.refused(source))?;
        store.check_version(applied)?;
        Ok(store)
    }

    /// Opens a file that is there, for reading only. The gateway may be writing to it.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened, is no database, or is of another version.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let store = Self { path: path.as_ref().to_owned(), read_only: true };
        let connection = store.connect(true).map_err(|source| store.refused(source))?;
        let applied = migrations::applied(&connection).map_err(|source| store.refused(source))?;
        if applied < migrations::KNOWN {
            return Err(OpenError::Older { path: store.path });
        }
        store.check_version(applied)?;
        Ok(store)
    }

    /// The audit log, for the one writer there may be; for reading, where the file was opened so.
    ///
    /// # Errors
    ///
    /// [`LogError::Locked`] where another process, or another part of this one, writes it.
    pub fn log(&self) -> Result<SqliteLog, LogError> {
        if self.read_only {
            return self.log_reader();
        }
        let lock = log::lock(&self.path)?;
        let connection = self.connect(false).map_err(LogError::storage)?;
        SqliteLog::new(connection, &self.path, Some(lock))
    }

    /// The audit log for what may be written beside its writer: legal holds, and how far readers
    /// have come.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn log_beside(&self) -> Result<SqliteLog, LogError> {
        let connection = self.connect(self.read_only).map_err(LogError::storage)?;
        SqliteLog::new(connection, &self.path, None)
    }

    /// The audit log for reading, while it may be written to.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn log_reader(&self) -> Result<SqliteLog, LogError> {
        let connection = self.connect(true).map_err(LogError::storage)?;
        SqliteLog::new(connection, &self.path, None)
    }

    /// What was said in calls, encrypted.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn content(&self) -> Result<SqliteContent, ContentError> {
        let connection = self.connect(self.read_only).map_err(ContentError::storage)?;
        Ok(SqliteContent::new(connection))
    }

    /// The virtual keys.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn keys(&self) -> Result<SqliteKeys, KeyStoreError> {
        let connection = self.connect(self.read_only).map_err(KeyStoreError::storage)?;
        Ok(SqliteKeys::new(connection))
    }

    /// The authorization server's memory.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn oauth(&self) -> Result<SqliteOAuth, OpenError> {
        let connection = self.connect(self.read_only).map_err(|source| self.refused(source))?;
        Ok(SqliteOAuth::new(connection))
    }

    /// The pins of MCP tools.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn pins(&self) -> Result<SqlitePins, OpenError> {
        let connection = self.connect(self.read_only).map_err(|source| self.refused(source))?;
        Ok(SqlitePins::new(connection))
    }

    fn connect(&self, read_only: bool) -> rusqlite::Result<Connection> {
        let mode = if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        // Each connection stays within one lock or one thread: SQLite need not lock again.
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        if !read_only {
            // What is deleted, content above all, is overwritten.
            connection.pragma_update(None, "secure_delete", true)?;
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        }
        Ok(connection)
    }

    fn check_version(&self, found: i64) -> Result<(), OpenError> {
        let known = migrations::KNOWN;
        if found > known {
            return Err(OpenError::Newer { path: self.path.clone(), found, known });
        }
        Ok(())
    }

    fn refused(&self, source: rusqlite::Error) -> OpenError {
        OpenError::Sqlite { path: self.path.clone(), source }
    }
}

/// Makes the file, readable by its owner alone, before SQLite would with the usual rights; its
/// side files take its rights over. A file that is there is never opened here: closing it again
/// would drop this process's locks on it (POSIX `fcntl`), and with them SQLite's.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private_folder().create(folder)?;
    }
    match private_file().create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => restrict(path),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn private_folder() -> fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
}

#[cfg(unix)]
fn private_file() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(unix)]
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut rights = fs::metadata(path)?.permissions();
    let owners = rights.mode() & !0o077;
    if owners == rights.mode() {
        return Ok(());
    }
    rights.set_mode(owners);
    fs::set_permissions(path, rights)
}

#[cfg(not(unix))]
fn private_folder() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    builder
}

#[cfg(not(unix))]
fn private_file() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    options
}

#[cfg(not(unix))]
fn restrict(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
