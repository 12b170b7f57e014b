//! What can be wrong with a log.

use crate::LogError;

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
    /// A record's text is not there, and no signed statement says that it was pruned.
    #[error("the text of record {seq} was taken out, and was not pruned")]
    Stripped {
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
    /// A kept root is not that of the records it covers: proofs made with it would fail.
    #[error("the kept root over records {first} to {last} is not theirs")]
    BadBlock {
        /// The first record it covers.
        first: u64,
        /// The last.
        last: u64,
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
    /// The statement of what was pruned was not signed with this key, or is not this log's.
    #[error("records up to {base} are gone, and no statement signed with this key says so")]
    BadCut {
        /// How far it says that the log was pruned.
        base: u64,
    },
    /// The checkpoint is another log's.
    #[error("the checkpoint is of `{found}`, not of `{expected}`")]
    WrongOrigin {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The key signed two histories: one was seen by a witness, the other is here.
    #[error(
        "up to record {size} the log is not what a witness saw: it was forked, or put back and \
         continued"
    )]
    Forked {
        /// How far the witnessed checkpoint reaches.
        size: u64,
    },
    /// Too few of the witnesses asked for have signed the checkpoint.
    #[error("the checkpoint at record {size} is signed by {found} witnesses of {needed}")]
    Unwitnessed {
        /// How far the checkpoint reaches.
        size: u64,
        /// How many have.
        found: usize,
        /// How many should have.
        needed: usize,
    },
    /// The hashes of a proof do not lead to what it says.
    #[error("record {seq} is not proved: the proof or the record was edited")]
    BadProof {
        /// The record; for a proof of consistency, how far the older checkpoint reaches.
        seq: u64,
    },
    /// A report's text is not what was signed.
    #[error("the report is not what was signed: {wrong}")]
    BadReport {
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The log could not be read.
    #[error("the log could not be read")]
    Unreadable(#[from] LogError),
}
