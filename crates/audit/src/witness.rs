//! Who else has seen how far the log reached.
//!
//! Whoever holds the signing key can sign two histories, and whoever holds the data folder can put
//! back an old one. A witness keeps the checkpoints that it was shown, somewhere else, and takes a
//! new one only with the proof that it grew out of the last.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Clock, Digest};

use crate::delivery::{Post, PostError};
use crate::note::{NoteError, NoteSignature, notes};
use crate::proof::{ProofError, consistency, extends};
use crate::{Checkpoint, Log, LogError, SigningKey, VerifyingKey};

/// How much of a file's end is read for its last checkpoint.
const TAIL: u64 = 64 * 1024;

/// A witness did not take a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The log is shorter than what the witness saw.
    #[error("the witness saw {seen} records, the log has {size}: it was put back")]
    RolledBack {
        /// What it saw.
        seen: u64,
        /// What it was shown.
        size: u64,
    },
    /// The log is not what the witness saw.
    #[error("the log did not grow out of the {seen} records that the witness saw: it was forked")]
    Forked {
        /// What it saw.
        seen: u64,
    },
    /// The checkpoint is not the log's.
    #[error("the checkpoint is not signed by the log that the witness knows")]
    NotSigned,
    /// There is nothing to show yet.
    #[error("the log has no checkpoint yet")]
    NoCheckpoint,
    /// The proof could not be made.
    #[error("the log cannot prove how it grew")]
    Proof(#[from] ProofError),
    /// What the witness keeps or answers is no checkpoint.
    #[error("what the witness has is no checkpoint")]
    Note(#[from] NoteError),
    /// The witness's file failed.
    #[error("the witness cannot write down what it saw")]
    Io(#[from] io::Error),
    /// The witness could not be reached.
    #[error("the witness could not be reached")]
    Post(#[from] PostError),
    /// The witness refused.
    #[error("the witness answered {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] LogError),
}

/// Somebody who keeps the checkpoints that they saw. May block.
pub trait Witness: Send {
    /// The size that the witness saw last; 0 where it has seen nothing.
    ///
    /// # Errors
    ///
    /// Where the witness cannot be asked.
    fn seen(&mut self) -> Result<u64, WitnessError>;

    /// Shows a checkpoint, with the proof that it grew out of the one of size `seen`. Returns the
    /// witness's signatures, if it makes any.
    ///
    /// # Errors
    ///
    /// Where the witness does not take it: above all, because it saw another history.
    fn see(
        &mut self,
        checkpoint: &Checkpoint,
        seen: u64,
        path: &[Digest],
    ) -> Result<Vec<NoteSignature>, WitnessError>;
}

/// Shows a log's last checkpoint to a witness. Returns it with the witness's signatures. Do so
/// every few minutes: what was recorded since the last time is what a thief of the key could
/// still rewrite unseen.
///
/// # Errors
///
/// Where the witness does not take it.
pub fn show_witness(
    log: &mut dyn Log,
    witness: &mut dyn Witness,
) -> Result<Checkpoint, WitnessError> {
    let mut checkpoint = log.checkpoint()?.ok_or(WitnessError::NoCheckpoint)?;
    let (seen, size) = (witness.seen()?, checkpoint.size);
    if seen > size {
        return Err(WitnessError::RolledBack { seen, size });
    }
    let path = consistency(log, seen, size)?;
    checkpoint.signatures.extend(witness.see(&checkpoint, seen, &path)?);
    Ok(checkpoint)
}

/// A witness that is a file to which checkpoints are appended, each a small text: on another
/// machine's disk, in a folder that is committed and pushed, on a medium that is written once.
#[derive(Debug)]
pub struct FileWitness {
    path: PathBuf,
    log: (String, VerifyingKey),
    cosigner: Option<(String, SigningKey, Arc<dyn Clock>)>,
}

impl FileWitness {
    /// Keeps the checkpoints of the log of this origin and key in this file.
    pub fn new(path: impl Into<PathBuf>, origin: impl Into<String>, key: VerifyingKey) -> Self {
        Self { path: path.into(), log: (origin.into(), key), cosigner: None }
    }

    /// Also signs what it takes, under this name.
    #[must_use]
    pub fn cosign(
        mut self,
        name: impl Into<String>,
        key: SigningKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        self.cosigner = Some((name.into(), key, clock));
        self
    }

    /// The last checkpoint that it took.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or its end is no checkpoint of the log.
    pub fn last(&self) -> Result<Option<Checkpoint>, WitnessError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut text = Vec::new();
        file.take(TAIL).read_to_end(&mut text)?;
        // The first note may be cut, even within a character.
        let text = String::from_utf8_lossy(&text);
        let Some(last) = notes(&text).last() else { return Ok(None) };
        let checkpoint: Checkpoint = last.parse()?;
        self.own(&checkpoint)?;
        Ok(Some(checkpoint))
    }

    fn own(&self, checkpoint: &Checkpoint) -> Result<(), WitnessError> {
        let (origin, key) = &self.log;
        if *checkpoint.origin == **origin && key.accepts(checkpoint) {
            Ok(())
        } else {
            Err(WitnessError::NotSigned)
        }
    }
}

/// The checkpoints in a text in which they stand one after the other, as [`FileWitness`] writes
/// them.
///
/// # Errors
///
/// Where one is none.
pub fn read_checkpoints(text: &str) -> Result<Vec<Checkpoint>, NoteError> {
    notes(text).map(str::parse).collect()
}

impl Witness for FileWitness {
    fn seen(&mut self) -> Result<u64, WitnessError> {
        Ok(self.last()?.map_or(0, |last| last.size))
    }

    fn see(
        &mut self,
        checkpoint: &Checkpoint,
        _seen: u64,
        path: &[Digest],
    ) -> Result<Vec<NoteSignature>, WitnessError> {
        self.own(checkpoint)?;
        let last = self.last()?;
        if let Some(last) = &last {
            let (seen, size) = (last.size, checkpoint.size);
            if seen > size {
                return Err(WitnessError::RolledBack { seen, size });
            }
            if !extends((seen, &last.root), (size, &checkpoint.root), path) {
                return Err(WitnessError::Forked { seen });
            }
        }
        let mut taken = checkpoint.clone();
        let known = taken.signatures.len();
        if let Some((name, key, clock)) = &self.cosigner {
            key.cosign(&mut taken, name, clock.now());
        }
        if last.is_none_or(|last| last.size < taken.size) {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.write_all(format!("{taken}\n").as_bytes())?;
            file.sync_data()?;
        }
        Ok(taken.signatures.split_off(known.min(taken.signatures.len())))
    }
}

/// A witness reached over HTTP (C2SP tlog-witness, `add-checkpoint`).
#[derive(Debug)]
pub struct HttpWitness<P> {
    post: P,
    seen: u64,
}

impl<P: Post> HttpWitness<P> {
    /// Shows checkpoints by posting to the witness's `add-checkpoint` address; `seen` is the size
    /// that it is known to have seen, 0 where that is not known.
    pub fn new(post: P, seen: u64) -> Self {
        Self { post, seen }
    }
}

impl<P: Post> Witness for HttpWitness<P> {
    fn seen(&mut self) -> Result<u64, WitnessError> {
        Ok(self.seen)
    }

    fn see(
        &mut self,
        checkpoint: &Checkpoint,
        seen: u64,
        path: &[Digest],
    ) -> Result<Vec<NoteSignature>, WitnessError> {
        let hashes: String =
            path.iter().map(|hash| STANDARD.encode(hash.as_bytes()) + "\n").collect();
        let body = format!("old {seen}\n{hashes}\n{checkpoint}");
        let answer = self.post.post(body.into_bytes(), "text/plain; charset=utf-8")?;
        let text = String::from_utf8_lossy(&answer.body);
        match answer.status {
            200 => {
                self.seen = checkpoint.size;
                Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
            }
            // It saw another size, and says which: known from now on.
            409 => {
                let size = checkpoint.size;
                self.seen = text.trim().parse().unwrap_or(self.seen);
                let seen = self.seen;
                Err(if seen > size {
                    WitnessError::RolledBack { seen, size }
                } else {
                    WitnessError::Refused { status: 409 }
                })
            }
            422 => Err(WitnessError::Forked { seen }),
            status => Err(WitnessError::Refused { status }),
        }
    }
}
