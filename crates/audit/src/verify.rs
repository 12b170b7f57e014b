//! Finding what was changed, taken out or moved.

use doorward_core::Digest;

use crate::chain::{leaf_of, seq_within};
use crate::{Checkpoint, Head, Log, LogError, Sealed, VerifyingKey};

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// What is wrong with a log: the first thing that is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A record's text is not what was sealed.
    #[error("record {seq} was altered")]
    Altered {
        /// The record.
        seq: u64,
    },
    /// A record is not there, but later ones are.
    #[error("record {seq} is missing")]
    Missing {
        /// The record.
        seq: u64,
    },
    /// In a record's place stands another one of the log.
    #[error("record {seq} is not in its place: the order was changed")]
    Reordered {
        /// The place.
        seq: u64,
    },
    /// A record is whole but not tied to the one before: forged, or sealed again after a change.
    #[error("record {seq} is not linked to the one before it: forged or rewritten")]
    BadLink {
        /// The record.
        seq: u64,
    },
    /// There are fewer records than were signed for.
    #[error("the log ends at record {size}, but {expected} were signed for: its end is cut off")]
    TruncatedTail {
        /// How many were signed for.
        expected: u64,
        /// How many there are.
        size: u64,
    },
    /// There are more records than were signed for.
    #[error(
        "records from {from} on are covered by no checkpoint: added behind the recorder's back"
    )]
    Unsigned {
        /// The first of them.
        from: u64,
    },
    /// There are records but no checkpoint.
    #[error("the log has {size} records and no checkpoint: it was removed")]
    NoCheckpoint {
        /// How many records there are.
        size: u64,
    },
    /// The records are tied together, but not into what was signed: the chain was built anew.
    #[error("the chain up to record {size} is not the one that was signed: it was rewritten")]
    BadCheckpoint {
        /// How far the checkpoint reaches.
        size: u64,
    },
    /// The checkpoint was not signed with this key.
    #[error("the checkpoint at record {size} was not signed with this key")]
    BadSignature {
        /// How far the checkpoint reaches.
        size: u64,
    },
    /// The checkpoint is another log's.
    #[error("the checkpoint is of `{found}`, not of `{expected}`")]
    WrongOrigin {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The log could not be read.
    #[error("the log could not be read")]
    Unreadable(#[from] LogError),
}

/// A log as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has, all of them covered by the checkpoint.
    pub records: u64,
    /// The last record's link.
    pub link: Digest,
    /// The checkpoint; `None` where the log is empty. Keep it elsewhere: with it, a later
    /// [`Verifier::witness`] shows that nothing up to here was changed or cut off.
    pub checkpoint: Option<Checkpoint>,
}

/// Checks a whole log against the key that signed it.
///
/// # Errors
///
/// The first fault found.
pub fn verify(log: &mut dyn Log, key: &VerifyingKey) -> Result<Verified, Fault> {
    Verifier::new(*key).log(log)
}

/// Checks logs, with what else is known of them.
///
/// ```
/// use doorward_audit::{Fault, Head, Memory, SigningKey, Verifier};
/// use doorward_core::Timestamp;
///
/// let key = SigningKey::from_bytes(&[7; 32]);
/// let seen = key.checkpoint("a", Head { size: 9, ..Head::EMPTY }, Timestamp::from_micros(0));
///
/// // An emptied log looks like a new one, unless somebody kept a checkpoint.
/// let verifier = Verifier::new(key.verifying_key());
/// assert!(verifier.log(&mut Memory::default()).is_ok());
/// let fault = verifier.witness(seen).log(&mut Memory::default()).unwrap_err();
/// assert!(matches!(fault, Fault::TruncatedTail { expected: 9, size: 0 }));
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    key: VerifyingKey,
    origin: Option<String>,
    witness: Option<Checkpoint>,
}

impl Verifier {
    /// Checks against this key.
    pub fn new(key: VerifyingKey) -> Self {
        Self { key, origin: None, witness: None }
    }

    /// Also checks whose log it is.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Also checks that the log still holds what this checkpoint, kept elsewhere, was signed
    /// over.
    #[must_use]
    pub fn witness(mut self, checkpoint: Checkpoint) -> Self {
        self.witness = Some(checkpoint);
        self
    }

    /// Checks a log. It may be written to meanwhile: what is there at the end is covered.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn log(&self, log: &mut dyn Log) -> Result<Verified, Fault> {
        self.check(&mut Pages { log, next: 1 })
    }

    /// Checks what [`export`](crate::export) wrote.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub fn export(&self, lines: impl std::io::BufRead) -> Result<Verified, Fault> {
        self.check(&mut crate::export::Lines::new(lines))
    }

    fn check(&self, source: &mut dyn Source) -> Result<Verified, Fault> {
        if let Some(witness) = &self.witness {
            self.signed(witness)?;
        }
        let mut head = Head::EMPTY;
        self.walk(source, &mut head)?;
        let checkpoint = source.checkpoint()?;
        if let Some(checkpoint) = &checkpoint {
            self.signed(checkpoint)?;
            // Written while this walked: go on to where the checkpoint reaches.
            let mut beyond = head;
            while beyond.size < checkpoint.size && self.walk_to(source, &mut beyond, checkpoint)? {}
            head = beyond;
        }
        agree(head, checkpoint.as_ref())?;
        if let Some(witness) = &self.witness
            && witness.size > head.size
        {
            return Err(Fault::TruncatedTail { expected: witness.size, size: head.size });
        }
        Ok(Verified { records: head.size, link: head.link, checkpoint })
    }

    fn signed(&self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        if let Some(expected) = &self.origin
            && **expected != *checkpoint.origin
        {
            let found = checkpoint.origin.to_string();
            return Err(Fault::WrongOrigin { found, expected: expected.clone() });
        }
        if self.key.accepts(checkpoint) {
            Ok(())
        } else {
            Err(Fault::BadSignature { size: checkpoint.size })
        }
    }

    /// Walks over all there is.
    fn walk(&self, source: &mut dyn Source, head: &mut Head) -> Result<(), Fault> {
        loop {
            let page = source.page()?;
            if page.is_empty() {
                return Ok(());
            }
            self.steps(&page, head, u64::MAX, source)?;
        }
    }

    /// Walks over one more page, up to where the checkpoint reaches; `false` where there is none.
    fn walk_to(
        &self,
        source: &mut dyn Source,
        head: &mut Head,
        checkpoint: &Checkpoint,
    ) -> Result<bool, Fault> {
        let page = source.page()?;
        self.steps(&page, head, checkpoint.size, source)?;
        Ok(!page.is_empty())
    }

    fn steps(
        &self,
        page: &[Sealed],
        head: &mut Head,
        until: u64,
        source: &mut dyn Source,
    ) -> Result<(), Fault> {
        let witness = self.witness.as_ref().map(Checkpoint::head);
        for (at, sealed) in page.iter().enumerate() {
            if head.size >= until {
                return Ok(());
            }
            let seq = head.size + 1;
            let leaf = leaf_of(&sealed.entry);
            let in_place = sealed.seq == seq && seq_within(&sealed.entry) == Some(seq);
            if !in_place || leaf != sealed.leaf {
                let place = Place { seq, leaf, found: sealed };
                return Err(place.judge(&page[at + 1..], source)?);
            }
            if !sealed.follows(head) {
                return Err(Fault::BadLink { seq });
            }
            *head = Head { size: seq, link: sealed.link };
            if witness.is_some_and(|seen| seen.size == seq && seen.link != head.link) {
                return Err(Fault::BadCheckpoint { size: seq });
            }
        }
        Ok(())
    }
}

/// Whether a log ends where its checkpoint, already known to be signed, says.
pub(crate) fn agree(head: Head, checkpoint: Option<&Checkpoint>) -> Result<(), Fault> {
    let size = head.size;
    let Some(checkpoint) = checkpoint else {
        return if size == 0 { Ok(()) } else { Err(Fault::NoCheckpoint { size }) };
    };
    match checkpoint.size {
        expected if expected > size => Err(Fault::TruncatedTail { expected, size }),
        expected if expected < size => Err(Fault::Unsigned { from: expected + 1 }),
        _ if checkpoint.link == head.link => Ok(()),
        size => Err(Fault::BadCheckpoint { size }),
    }
}

/// Entries in the order they are kept in, and the checkpoint after them.
pub(crate) trait Source {
    /// The next entries; none at the end.
    fn page(&mut self) -> Result<Vec<Sealed>, LogError>;
    /// The last checkpoint. Asked for when the entries are at their end.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError>;
}

struct Pages<'a> {
    log: &'a mut dyn Log,
    next: u64,
}

impl Source for Pages<'_> {
    fn page(&mut self) -> Result<Vec<Sealed>, LogError> {
        let page = self.log.read(self.next, PAGE)?;
        if let Some(last) = page.last() {
            self.next = last.seq.saturating_add(1);
        }
        Ok(page)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        self.log.checkpoint()
    }
}

/// A place where the wrong thing stands.
struct Place<'a> {
    /// The number that belongs here.
    seq: u64,
    /// The hash of the text found here.
    leaf: Digest,
    /// What is found here.
    found: &'a Sealed,
}

impl Place<'_> {
    /// Tells altered, missing and reordered apart by what stands further on.
    fn judge(&self, rest: &[Sealed], source: &mut dyn Source) -> Result<Fault, LogError> {
        let seq = self.seq;
        let within = seq_within(&self.found.entry);
        if self.found.seq == seq && within == Some(seq) {
            return Ok(Fault::Altered { seq });
        }
        if self.stands_in(rest) {
            return Ok(Fault::Reordered { seq });
        }
        loop {
            let page = source.page()?;
            if page.is_empty() {
                break;
            }
            if self.stands_in(&page) {
                return Ok(Fault::Reordered { seq });
            }
        }
        let whole = self.leaf == self.found.leaf;
        Ok(if self.found.seq > seq || (whole && within > Some(seq)) {
            Fault::Missing { seq }
        } else if self.found.seq < seq || whole {
            Fault::Reordered { seq }
        } else {
            Fault::Altered { seq }
        })
    }

    /// Whether among these is what belongs here, or the place of what is found here.
    fn stands_in(&self, entries: &[Sealed]) -> bool {
        entries.iter().any(|other| {
            other.seq == self.seq
                || seq_within(&other.entry) == Some(self.seq)
                || (other.leaf == self.leaf && self.leaf != self.found.leaf)
        })
    }
}
