//! An audit log in memory that a test holds on to, and makes fail.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_audit::{Block, Checkpoint, Head, Log, LogError, Memory, Sealed};
use doorward_core::{Digest, Event, TurnId};

/// A log in memory; clones share it.
///
/// ```
/// use doorward_audit::Log;
/// use doorward_testkit::log::{append, event};
/// use doorward_testkit::shared_log::SharedLog;
///
/// let log = SharedLog::default();
/// append(&mut log.clone(), 0, 1)?;
/// assert_eq!(log.events(), [event(0)]);
///
/// log.fail(true);
/// assert!(append(&mut log.clone(), 1, 2).is_err());
/// # Ok::<(), doorward_audit::LogError>(())
/// ```
#[derive(Clone, Default)]
pub struct SharedLog(Arc<Inner>);

#[derive(Default)]
struct Inner {
    log: Mutex<Memory>,
    failing: AtomicBool,
}

impl fmt::Debug for SharedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLog").finish_non_exhaustive()
    }
}

impl SharedLog {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no records while `failing`.
    pub fn fail(&self, failing: bool) {
        self.0.failing.store(failing, Ordering::SeqCst);
    }

    /// The events on record, in order. Entries that are no records are left out.
    pub fn events(&self) -> Vec<Event> {
        let records = self.lock();
        let records = records.entries().filter_map(|sealed| sealed.record().ok());
        records.map(|record| record.event).collect()
    }

    /// The entries' texts, one a line, as they are kept.
    pub fn text(&self) -> String {
        let log = self.lock();
        let lines: Vec<_> = log
            .entries()
            .map(|sealed| String::from_utf8_lossy(&sealed.entry).into_owned())
            .collect();
        lines.join("\n")
    }
}

impl Log for SharedLog {
    fn last(&mut self) -> Result<Head, LogError> {
        self.lock().last()
    }

    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError> {
        if self.0.failing.load(Ordering::SeqCst) {
            return Err(LogError::storage("no room left on the device"));
        }
        self.lock().append(entries, checkpoint)
    }

    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        self.lock().read(from, most)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        self.lock().checkpoint()
    }

    fn keep_blocks(&mut self, blocks: &[Block]) -> Result<(), LogError> {
        self.lock().keep_blocks(blocks)
    }

    fn block(&mut self, level: u8, number: u64) -> Result<Option<Digest>, LogError> {
        self.lock().block(level, number)
    }

    fn turn(&mut self, turn: TurnId) -> Result<Vec<Sealed>, LogError> {
        self.lock().turn(turn)
    }
}
