//! Where entries are kept.

use std::collections::BTreeMap;

use doorward_core::TurnId;

use crate::{Checkpoint, Head, Sealed};

/// A log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The entries to append do not follow on what the log ends with: somebody else wrote to it.
    #[error("another writer appended to the log: it ends at record {found}, not at {expected}")]
    Conflict {
        /// Where the log ends.
        found: u64,
        /// Where the entries to append begin.
        expected: u64,
    },
    /// Another process holds the log for writing.
    #[error("the log is already open for writing: {0}")]
    Locked(String),
    /// The log is open for reading only.
    #[error("the log is open for reading only")]
    ReadOnly,
    /// The storage failed.
    #[error("the log's storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl LogError {
    /// The storage failed, for this cause.
    pub fn storage(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage(source.into())
    }
}

/// Storage for a chain. It runs on the recorder's own thread and may block.
///
/// An implementation stores what it is given and hands it back unjudged; [`verify`](crate::verify)
/// judges. See [`Memory`] for one that is complete.
///
/// ```
/// use doorward_audit::{Head, Log, Memory};
/// let mut log = Memory::default();
/// assert_eq!(log.last()?, Head::EMPTY);
/// assert!(log.read(1, 10)?.is_empty());
/// # Ok::<(), doorward_audit::LogError>(())
/// ```
pub trait Log: Send {
    /// The last entry's number and link; [`Head::EMPTY`] where there is none.
    fn last(&mut self) -> Result<Head, LogError>;

    /// Makes the entries durable together with the checkpoint that covers them, or nothing at
    /// all. The checkpoint replaces the one before.
    ///
    /// # Errors
    ///
    /// [`LogError::Conflict`] where the first entry does not carry on the log's head.
    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError>;

    /// Up to `most` entries numbered `from` and above, by number. Fewer only at the end.
    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError>;

    /// The checkpoint of the last batch.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError>;

    /// The entries of one turn, by number. A log that has no index for it looks through all.
    fn turn(&mut self, turn: TurnId) -> Result<Vec<Sealed>, LogError> {
        let needle = format!(r#""turn":"{turn}""#).into_bytes();
        let mut found = Vec::new();
        let mut from = 1;
        loop {
            let page = self.read(from, 1024)?;
            let Some(last) = page.last() else { return Ok(found) };
            from = last.seq.saturating_add(1);
            found.extend(page.into_iter().filter(|sealed| {
                sealed.entry.windows(needle.len()).any(|window| window == needle)
            }));
        }
    }
}

impl Log for Box<dyn Log> {
    fn last(&mut self) -> Result<Head, LogError> {
        (**self).last()
    }

    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError> {
        (**self).append(entries, checkpoint)
    }

    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        (**self).read(from, most)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        (**self).checkpoint()
    }

    fn turn(&mut self, turn: TurnId) -> Result<Vec<Sealed>, LogError> {
        (**self).turn(turn)
    }
}

/// A log in memory, for tests and for embedders who send the entries elsewhere. Gone with the
/// process.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    entries: BTreeMap<u64, Sealed>,
    checkpoint: Option<Checkpoint>,
}

impl Memory {
    /// A log with this content, whatever it is: for looking at tampering. Of two entries filed
    /// under one number the later stays.
    pub fn from_parts(
        entries: impl IntoIterator<Item = Sealed>,
        checkpoint: Option<Checkpoint>,
    ) -> Self {
        let entries = entries.into_iter().map(|sealed| (sealed.seq, sealed)).collect();
        Self { entries, checkpoint }
    }

    /// The entries as they stand, by number.
    pub fn entries(&self) -> impl Iterator<Item = &Sealed> {
        self.entries.values()
    }

    /// The entry filed under a number, to be changed behind the chain's back.
    pub fn entry_mut(&mut self, seq: u64) -> Option<&mut Sealed> {
        self.entries.get_mut(&seq)
    }
}

impl Log for Memory {
    fn last(&mut self) -> Result<Head, LogError> {
        let head = |(_, last): (&u64, &Sealed)| Head { size: last.seq, link: last.link };
        Ok(self.entries.last_key_value().map_or(Head::EMPTY, head))
    }

    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError> {
        let head = self.last()?;
        if let Some(first) = entries.first()
            && !first.follows(&head)
        {
            return Err(LogError::Conflict {
                found: head.size,
                expected: first.seq.saturating_sub(1),
            });
        }
        self.entries.extend(entries.iter().map(|sealed| (sealed.seq, sealed.clone())));
        self.checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        Ok(self.entries.range(from..).take(most).map(|(_, sealed)| sealed.clone()).collect())
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        Ok(self.checkpoint.clone())
    }
}
