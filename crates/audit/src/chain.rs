//! Entries and the hashes that tie them together.

use doorward_core::{Digest, Event};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::proof::{self, ProofError};
use crate::tree::BLOCK;
use crate::{Block, Log, Tree, TreeHead};

/// Marks what is hashed as an entry (RFC 9162 §2.1.1).
const LEAF: u8 = 0x00;
/// Marks what is hashed as a link.
const LINK: u8 = 0x01;

/// How far a chain reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries it has; also the last entry's number.
    pub size: u64,
    /// The last entry's link.
    pub link: Digest,
}

impl Head {
    /// The head of a chain without entries.
    pub const EMPTY: Self = Self { size: 0, link: Digest::from_bytes([0; 32]) };
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// One entry as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its number, from 1.
    pub seq: u64,
    /// The JSON text that is hashed. Empty where it was pruned; the hashes stay.
    pub entry: Vec<u8>,
    /// The entry's hash.
    pub leaf: Digest,
    /// The hash over everything up to here.
    pub link: Digest,
}

impl Sealed {
    /// Whether its text was pruned.
    pub fn is_bare(&self) -> bool {
        self.entry.is_empty()
    }

    /// Whether it carries on a chain that reaches this far: next number, fitting link.
    pub fn follows(&self, head: &Head) -> bool {
        self.seq == head.size.saturating_add(1) && self.link == link_of(&head.link, &self.leaf)
    }

    /// Reads the entry's text.
    ///
    /// # Errors
    ///
    /// Where the text is no entry, was pruned, or has another number than it is filed under.
    pub fn record(&self) -> Result<Record, RecordError> {
        let record: Record = serde_json::from_slice(&self.entry)
            .map_err(|source| RecordError { seq: self.seq, source: Some(source) })?;
        if record.seq == self.seq {
            Ok(record)
        } else {
            Err(RecordError { seq: self.seq, source: None })
        }
    }
}

/// One entry, read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// An entry could not be read or written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} is no audit record")]
pub struct RecordError {
    /// Its number.
    pub seq: u64,
    /// What is wrong with the text; `None` where only the number in it is.
    pub source: Option<serde_json::Error>,
}

/// Seals events into consecutive entries, and grows the tree over them.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    head: Head,
    tree: Tree,
    blocks: Vec<Block>,
}

impl Chain {
    /// Goes on after this head, with the tree over the entries up to there.
    pub const fn new(head: Head, tree: Tree) -> Self {
        Self { head, tree, blocks: Vec::new() }
    }

    /// Goes on where a log ends. Where the log keeps no [blocks](Block) yet, it is read through
    /// once and handed them.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read or entries are missing.
    pub fn resume(log: &mut dyn Log) -> Result<Self, ProofError> {
        let head = log.last()?;
        let base = log.cut()?.map_or(0, |cut| cut.base);
        let first = base.next_multiple_of(BLOCK);
        let unknown = first.checked_add(BLOCK).is_some_and(|end| end <= head.size)
            && log.block(1, first / BLOCK)?.is_none();
        let tree = if unknown { rebuild(log, head)? } else { proof::tree(log, head.size)? };
        Ok(Self::new(head, tree))
    }

    /// How far the chain reaches.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Size and root of the tree: what is signed.
    pub fn tree_head(&self) -> TreeHead {
        self.tree.head()
    }

    /// The blocks that were completed since they were last taken.
    pub fn take_blocks(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.blocks)
    }

    /// Seals the next entry.
    ///
    /// # Errors
    ///
    /// Where the event cannot be written as JSON; the chain is as before then.
    pub fn seal(&mut self, event: &Event) -> Result<Sealed, RecordError> {
        #[derive(Serialize)]
        struct Entry<'a> {
            seq: u64,
            event: &'a Event,
        }
        let seq = self.head.size + 1;
        let mut entry = Vec::with_capacity(640);
        serde_json::to_writer(&mut entry, &Entry { seq, event })
            .map_err(|source| RecordError { seq, source: Some(source) })?;
        let leaf = leaf_of(&entry);
        let link = link_of(&self.head.link, &leaf);
        self.head = Head { size: seq, link };
        self.blocks.extend(self.tree.push(leaf));
        Ok(Sealed { seq, entry, leaf, link })
    }
}

/// The tree over all entries, from their leaves; the log is told its blocks.
fn rebuild(log: &mut dyn Log, head: Head) -> Result<Tree, ProofError> {
    const PAGE: usize = 4096;
    let mut tree = match log.cut()? {
        Some(cut) => cut.tree().ok_or(ProofError::Broken)?,
        None => Tree::default(),
    };
    while tree.size() < head.size {
        let page = log.leaves(tree.size() + 1, PAGE)?;
        if page.is_empty() {
            return Err(ProofError::NoRecord { seq: tree.size() + 1 });
        }
        let mut blocks = Vec::new();
        for leaf in page {
            if tree.size() < head.size {
                blocks.extend(tree.push(leaf));
            }
        }
        log.keep_blocks(&blocks)?;
    }
    Ok(tree)
}

/// The hash of an entry's text.
pub(crate) fn leaf_of(entry: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::new().chain_update([LEAF]).chain_update(entry).finalize().into())
}

/// The hash over everything up to an entry.
pub(crate) fn link_of(previous: &Digest, leaf: &Digest) -> Digest {
    let hash = Sha256::new()
        .chain_update([LINK])
        .chain_update(previous.as_bytes())
        .chain_update(leaf.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The number that an entry's text begins with, if it is an entry's text.
pub(crate) fn seq_within(entry: &[u8]) -> Option<u64> {
    let rest = entry.strip_prefix(br#"{"seq":"#)?;
    let digits = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}
