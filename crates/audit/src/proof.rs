//! Proofs that cost a few hashes: a record is in the log, a log grew out of an older state.

use doorward_core::Digest;

use crate::tree::{BLOCK, block_level, node_of, split};
use crate::{Cut, Log, LogError, Tree};

/// A proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The log has no such record.
    #[error("the log has no record {seq}")]
    NoRecord {
        /// The record.
        seq: u64,
    },
    /// What the proof needs was pruned.
    #[error("record {seq} was pruned, and what would prove it with it")]
    Pruned {
        /// The record.
        seq: u64,
    },
    /// The log has not been signed in this form yet.
    #[error("the log has no checkpoint to prove against; the next record makes one")]
    NoCheckpoint,
    /// What was put together does not prove what it should: the log was tampered with.
    #[error("the log does not prove its own checkpoint; `verify` names what is wrong")]
    Broken,
    /// A record's text cannot be read.
    #[error("a record cannot be read")]
    Record(#[from] crate::RecordError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] LogError),
}

/// The hashes that lead from one record to the root (RFC 9162 §2.1.3), its sibling first.
///
/// # Errors
///
/// Where the log has no such record below that size, or was pruned there.
pub fn inclusion(log: &mut dyn Log, seq: u64, size: u64) -> Result<Vec<Digest>, ProofError> {
    if seq == 0 || seq > size {
        return Err(ProofError::NoRecord { seq });
    }
    let mut nodes = Nodes::of(log)?;
    let (mut at, mut first, mut count) = (seq - 1, 0, size);
    let mut path = Vec::new();
    while count > 1 {
        let left = split(count);
        if at < left {
            path.push(nodes.over(first + left, count - left)?);
            count = left;
        } else {
            path.push(nodes.over(first, left)?);
            (at, first, count) = (at - left, first + left, count - left);
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show how a tree of `old` leaves became one of `new` (RFC 9162 §2.1.4).
///
/// # Errors
///
/// Where `old` is larger than `new`, or the log was pruned there.
pub fn consistency(log: &mut dyn Log, old: u64, new: u64) -> Result<Vec<Digest>, ProofError> {
    if old > new {
        return Err(ProofError::NoRecord { seq: old });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut nodes = Nodes::of(log)?;
    let (mut rest, mut first, mut count, mut whole) = (old, 0, new, true);
    let mut path = Vec::new();
    while rest != count {
        let left = split(count);
        if rest <= left {
            path.push(nodes.over(first + left, count - left)?);
            count = left;
        } else {
            path.push(nodes.over(first, left)?);
            (rest, first, count) = (rest - left, first + left, count - left);
            whole = false;
        }
    }
    if !whole {
        path.push(nodes.over(first, count)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the hashes lead from a leaf, the entry `seq`, to the root of a tree of this size (RFC
/// 9162 §2.1.3.2).
pub fn includes(leaf: Digest, seq: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if seq == 0 || seq > size {
        return false;
    }
    let (mut at, mut last) = (seq - 1, size - 1);
    let mut node = leaf;
    for hash in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_of(hash, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_of(&node, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Whether the hashes show that the newer tree begins with the older one (RFC 9162 §2.1.4.2).
pub fn extends(old: (u64, &Digest), new: (u64, &Digest), path: &[Digest]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    match old {
        0 => return path.is_empty(),
        _ if old > new => return false,
        _ if old == new => return path.is_empty() && old_root == new_root,
        _ => {}
    }
    let mut path = path.iter();
    let start = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut older, mut newer) = (*start, *start);
    for hash in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            older = node_of(hash, &older);
            newer = node_of(hash, &newer);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            newer = node_of(&newer, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && older == *old_root && newer == *new_root
}

/// The tree over the first `size` entries, from what the log keeps of it.
///
/// # Errors
///
/// Where entries are missing.
pub(crate) fn tree(log: &mut dyn Log, size: u64) -> Result<Tree, ProofError> {
    let mut nodes = Nodes::of(log)?;
    let (mut first, mut frontier) = (0, Vec::new());
    for bit in (0..64).rev().map(|bit| 1_u64 << bit).filter(|bit| size & bit != 0) {
        frontier.push(nodes.over(first, bit)?);
        first += bit;
    }
    Tree::from_frontier(size, frontier).ok_or(ProofError::Broken)
}

/// Hashes over ranges of leaves, from blocks where the log keeps them.
struct Nodes<'a> {
    log: &'a mut dyn Log,
    cut: Option<Cut>,
}

impl<'a> Nodes<'a> {
    fn of(log: &'a mut dyn Log) -> Result<Self, ProofError> {
        let cut = log.cut()?;
        Ok(Self { log, cut })
    }

    /// The root over `count` leaves after the first `first`. Ranges come from [`split`]: those
    /// that are complete are also aligned.
    fn over(&mut self, first: u64, count: u64) -> Result<Digest, ProofError> {
        if let Some(kept) = self.cut.as_ref().and_then(|cut| cut.subtree(first, count)) {
            return Ok(kept);
        }
        if let Some(level) = block_level(count)
            && let Some(root) = self.log.block(level, first / count)?
        {
            return Ok(root);
        }
        if count > BLOCK {
            let left = split(count);
            let (a, b) = (self.over(first, left)?, self.over(first + left, count - left)?);
            return Ok(node_of(&a, &b));
        }
        if self.cut.as_ref().is_some_and(|cut| first < cut.base) {
            return self.over_cut(first, count);
        }
        let leaves = self.log.leaves(first + 1, usize::try_from(count).unwrap_or(usize::MAX))?;
        if leaves.len() as u64 != count {
            return Err(ProofError::NoRecord { seq: first + 1 + leaves.len() as u64 });
        }
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(leaf);
        }
        Ok(tree.root())
    }

    /// A range that reaches into what was pruned: only halves of it may be known.
    fn over_cut(&mut self, first: u64, count: u64) -> Result<Digest, ProofError> {
        if count == 1 {
            return Err(ProofError::Pruned { seq: first + 1 });
        }
        let left = split(count);
        let (a, b) = (self.over(first, left)?, self.over(first + left, count - left)?);
        Ok(node_of(&a, &b))
    }
}
