//! Where entries are kept.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use doorward_core::{Digest, TurnId};

use crate::{Archive, Block, Checkpoint, Cut, Head, Hold, LinkedCheckpoint, Sealed};

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

    /// The checkpoint that version 1 of the format left, where nothing was appended since.
    fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError> {
        Ok(None)
    }

    /// What was pruned, if anything.
    fn cut(&mut self) -> Result<Option<Cut>, LogError> {
        Ok(None)
    }

    /// Up to `most` leaf hashes from this number on.
    fn leaves(&mut self, from: u64, most: usize) -> Result<Vec<Digest>, LogError> {
        Ok(self.read(from, most)?.iter().map(|sealed| sealed.leaf).collect())
    }

    /// Takes note of complete blocks; they may be stored with the next batch. A log that keeps
    /// none makes proofs that read every leaf.
    fn keep_blocks(&mut self, _blocks: &[Block]) -> Result<(), LogError> {
        Ok(())
    }

    /// The root of a block, where it is kept.
    fn block(&mut self, _level: u8, _number: u64) -> Result<Option<Digest>, LogError> {
        Ok(None)
    }

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

/// Hands every call on, so that a boxed log keeps what its own kind does better than the default.
macro_rules! forward {
    ($to:ty) => {
        impl Log for $to {
            fn last(&mut self) -> Result<Head, LogError> {
                (**self).last()
            }

            fn append(&mut self, entries: &[Sealed], signed: &Checkpoint) -> Result<(), LogError> {
                (**self).append(entries, signed)
            }

            fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
                (**self).read(from, most)
            }

            fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
                (**self).checkpoint()
            }

            fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError> {
                (**self).linked()
            }

            fn cut(&mut self) -> Result<Option<Cut>, LogError> {
                (**self).cut()
            }

            fn leaves(&mut self, from: u64, most: usize) -> Result<Vec<Digest>, LogError> {
                (**self).leaves(from, most)
            }

            fn keep_blocks(&mut self, blocks: &[Block]) -> Result<(), LogError> {
                (**self).keep_blocks(blocks)
            }

            fn block(&mut self, level: u8, number: u64) -> Result<Option<Digest>, LogError> {
                (**self).block(level, number)
            }

            fn turn(&mut self, turn: TurnId) -> Result<Vec<Sealed>, LogError> {
                (**self).turn(turn)
            }
        }
    };
}

forward!(Box<dyn Log>);
forward!(&mut dyn Log);

/// A log in memory, for tests and for embedders who send the entries elsewhere. Gone with the
/// process.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    entries: BTreeMap<u64, Sealed>,
    checkpoint: Option<Checkpoint>,
    blocks: BTreeMap<(u8, u64), Digest>,
    cut: Option<Cut>,
    holds: BTreeMap<String, Hold>,
}

impl Memory {
    /// A log with this content, whatever it is: for looking at tampering. Of two entries filed
    /// under one number the later stays.
    pub fn from_parts(
        entries: impl IntoIterator<Item = Sealed>,
        checkpoint: Option<Checkpoint>,
    ) -> Self {
        let entries = entries.into_iter().map(|sealed| (sealed.seq, sealed)).collect();
        Self { entries, checkpoint, ..Self::default() }
    }

    /// The entries as they stand, by number.
    pub fn entries(&self) -> impl Iterator<Item = &Sealed> {
        self.entries.values()
    }

    /// The entry filed under a number, to be changed behind the chain's back.
    pub fn entry_mut(&mut self, seq: u64) -> Option<&mut Sealed> {
        self.entries.get_mut(&seq)
    }

    /// A block's root, to be changed behind the chain's back.
    pub fn block_mut(&mut self, level: u8, number: u64) -> Option<&mut Digest> {
        self.blocks.get_mut(&(level, number))
    }

    /// What was pruned, to be changed behind the chain's back.
    pub fn cut_mut(&mut self) -> &mut Option<Cut> {
        &mut self.cut
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

    fn cut(&mut self) -> Result<Option<Cut>, LogError> {
        Ok(self.cut.clone())
    }

    fn keep_blocks(&mut self, blocks: &[Block]) -> Result<(), LogError> {
        let kept = blocks.iter().map(|block| ((block.level, block.number), block.root));
        self.blocks.extend(kept);
        Ok(())
    }

    fn block(&mut self, level: u8, number: u64) -> Result<Option<Digest>, LogError> {
        Ok(self.blocks.get(&(level, number)).copied())
    }
}

impl Archive for Memory {
    fn prune(&mut self, cut: &Cut, bare: &[RangeInclusive<u64>]) -> Result<(), LogError> {
        self.entries.retain(|seq, _| *seq > cut.base);
        for range in bare {
            for (_, sealed) in self.entries.range_mut(range.clone()) {
                sealed.entry.clear();
            }
        }
        self.cut = Some(cut.clone());
        Ok(())
    }

    fn holds(&mut self) -> Result<Vec<Hold>, LogError> {
        Ok(self.holds.values().cloned().collect())
    }

    fn hold(&mut self, hold: &Hold) -> Result<(), LogError> {
        self.holds.insert(hold.name.clone(), hold.clone());
        Ok(())
    }

    fn release(&mut self, name: &str) -> Result<bool, LogError> {
        Ok(self.holds.remove(name).is_some())
    }
}
