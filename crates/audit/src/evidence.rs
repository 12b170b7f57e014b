//! Proofs as texts that verify with nothing but the public key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::Digest;
use serde::{Deserialize, Serialize};

use crate::chain::leaf_of;
use crate::checkpoint::digest_from_base64;
use crate::note::NoteError;
use crate::proof::{ProofError, consistency, extends, includes, inclusion};
use crate::{Checkpoint, Fault, Log, Record, Verifier};

/// How a proof of a record begins (C2SP tlog-proof).
const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// How many hashes a proof may have: a tree has no more levels.
const LONGEST: usize = 64;

/// One record, and the proof that it is in the log: a C2SP tlog-proof whose extra data is the
/// record's text.
///
/// ```
/// use doorward_audit::{Fault, Log, Memory, RecordProof, Verifier};
/// use doorward_testkit::log::{append, event, signing_key};
/// let mut log = Memory::default();
/// append(&mut log, 0, 300)?;
/// let text = RecordProof::of(&mut log, 42)?.to_string();
///
/// // Elsewhere, with the public key alone:
/// let verifier = Verifier::new(signing_key().verifying_key());
/// let proof: RecordProof = text.parse()?;
/// assert_eq!(verifier.proof(&proof)?.event, event(41));
/// let edited = RecordProof { seq: 43, ..proof };
/// assert!(matches!(verifier.proof(&edited), Err(Fault::BadProof { seq: 43 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProof {
    /// The record's number.
    pub seq: u64,
    /// Its text.
    pub entry: Vec<u8>,
    /// The hashes that lead from it to the root.
    pub path: Vec<Digest>,
    /// The checkpoint that has the root.
    pub checkpoint: Checkpoint,
}

impl RecordProof {
    /// Proves that a record is in the log, under its last checkpoint.
    ///
    /// # Errors
    ///
    /// Where there is no such record or checkpoint, or its text was pruned.
    pub fn of(log: &mut dyn Log, seq: u64) -> Result<Self, ProofError> {
        let checkpoint = log.checkpoint()?.ok_or(ProofError::NoCheckpoint)?;
        Self::under(log, seq, checkpoint)
    }

    /// Proves it under this checkpoint, which may be an older one.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of) does.
    pub fn under(log: &mut dyn Log, seq: u64, checkpoint: Checkpoint) -> Result<Self, ProofError> {
        let path = inclusion(log, seq, checkpoint.size)?;
        let found = log.read(seq, 1)?.into_iter().find(|sealed| sealed.seq == seq);
        let sealed = found.ok_or(ProofError::NoRecord { seq })?;
        if sealed.is_bare() {
            return Err(ProofError::Pruned { seq });
        }
        let leaf = leaf_of(&sealed.entry);
        if !includes(leaf, seq, checkpoint.size, &path, &checkpoint.root) {
            return Err(ProofError::Broken);
        }
        Ok(Self { seq, entry: sealed.entry, path, checkpoint })
    }
}

impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF}\nextra {}", STANDARD.encode(&self.entry))?;
        writeln!(f, "index {}", self.seq.saturating_sub(1))?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for RecordProof {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(NoteError("the proof has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(PROOF) {
            return Err(NoteError("it does not begin as a proof of a record"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let entry = extra.and_then(|text| STANDARD.decode(text).ok());
        let entry = entry.ok_or(NoteError("the proof does not hold its record"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index: Option<u64> = index.and_then(|text| text.parse().ok());
        let seq = index.and_then(|index| index.checked_add(1));
        let seq = seq.ok_or(NoteError("the proof has no index"))?;
        let path: Option<Vec<_>> = lines.take(LONGEST + 1).map(digest_from_base64).collect();
        let path = path.filter(|path| path.len() <= LONGEST);
        let path = path.ok_or(NoteError("a line of the proof is no hash"))?;
        Ok(Self { seq, entry, path, checkpoint: checkpoint.parse()? })
    }
}

/// The proof that a log, as a newer checkpoint has it, begins with all that an older one had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthProof {
    /// The older checkpoint.
    pub from: Checkpoint,
    /// The newer one.
    pub to: Checkpoint,
    /// The hashes that tie them together.
    pub path: Vec<Digest>,
}

impl GrowthProof {
    /// Proves that the log grew out of this checkpoint.
    ///
    /// # Errors
    ///
    /// Where it did not, or was pruned beyond it.
    pub fn of(log: &mut dyn Log, from: Checkpoint) -> Result<Self, ProofError> {
        let to = log.checkpoint()?.ok_or(ProofError::NoCheckpoint)?;
        let path = consistency(log, from.size, to.size)?;
        if !extends((from.size, &from.root), (to.size, &to.root), &path) {
            return Err(ProofError::Broken);
        }
        Ok(Self { from, to, path })
    }
}

impl Verifier {
    /// Checks a proof of one record and gives the record.
    ///
    /// # Errors
    ///
    /// What is wrong: the checkpoint, or the way from the record to it.
    pub fn proof(&self, proof: &RecordProof) -> Result<Record, Fault> {
        let RecordProof { seq, entry, path, checkpoint } = proof;
        self.checkpoint(checkpoint)?;
        let leaf = leaf_of(entry);
        let record = serde_json::from_slice::<Record>(entry).ok();
        let record = record.filter(|record| record.seq == *seq);
        let holds = includes(leaf, *seq, checkpoint.size, path, &checkpoint.root);
        record.filter(|_| holds).ok_or(Fault::BadProof { seq: *seq })
    }

    /// Checks that one checkpoint grew out of the other.
    ///
    /// # Errors
    ///
    /// [`Fault::Forked`] where both were signed for the same size with different roots.
    pub fn growth(&self, proof: &GrowthProof) -> Result<(), Fault> {
        let GrowthProof { from, to, path } = proof;
        self.checkpoint(to)?;
        Verifier::new(*self.key()).checkpoint(from)?;
        if from.origin != to.origin {
            let (found, expected) = (from.origin.to_string(), to.origin.to_string());
            return Err(Fault::WrongOrigin { found, expected });
        }
        if from.size == to.size && from.root != to.root {
            return Err(Fault::Forked { size: from.size });
        }
        if extends((from.size, &from.root), (to.size, &to.root), path) {
            Ok(())
        } else {
            Err(Fault::BadProof { seq: from.size })
        }
    }
}
