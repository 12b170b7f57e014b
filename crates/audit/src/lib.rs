//! A tamper-evident record of every call: hash chain, Merkle tree, signed checkpoints, proofs.
//!
//! Each [`Event`](doorward_core::Event) becomes one numbered entry. Its hash goes into a chain and
//! into a Merkle tree, and with every durable batch the tree's size and root are signed. Whoever
//! changes, removes or moves an entry later is found by [`verify`], which names the first one that
//! is wrong. A [`RecordProof`] shows with a few hashes that one record is in the log, a
//! [`GrowthProof`] that the log grew out of an older state, to whoever has the public key.
//!
//! ```
//! use doorward_audit::{Chain, Fault, Log, Memory, SigningKey, verify};
//! use doorward_core::{SystemEntropy, Timestamp};
//! # use doorward_core::{Change, Decision, Event, EventId, Kind, Outcome, PrincipalKind, RequestId};
//! # use doorward_core::{TurnId, Who};
//! # fn event(n: u8) -> Event {
//! #     Event {
//! #         id: EventId::from_bytes([n; 16]),
//! #         at: Timestamp::from_micros(0),
//! #         kind: Kind::Admin {
//! #             action: "key.create".into(), object: "ci".into(), change: Change::default(),
//! #         },
//! #         turn: TurnId::from_bytes([1; 16]),
//! #         request: RequestId::from_bytes([n; 16]),
//! #         conversation: None,
//! #         who: Who {
//! #             id: "alice@example.com".into(), kind: PrincipalKind::Person, team: None,
//! #             key: None, key_name: None, actors: vec![], issuer: None, subject: None,
//! #         },
//! #         agent: None,
//! #         decision: Decision::allow("key.tools", "on the key's list"),
//! #         checks: vec![],
//! #         label: None,
//! #         outcome: Outcome::Completed,
//! #         error: None,
//! #         took_us: None,
//! #         would: None,
//! #         content: vec![],
//! #     }
//! # }
//! let key = SigningKey::generate(&SystemEntropy);
//! let mut log = Memory::default();
//! let mut chain = Chain::resume(&mut log)?;
//! let entries = vec![chain.seal(&event(1))?, chain.seal(&event(2))?];
//! let checkpoint = key.checkpoint("example", chain.tree_head(), Timestamp::from_micros(0));
//! log.append(&entries, &checkpoint)?;
//!
//! // As written, it verifies.
//! assert_eq!(verify(&mut log, &key.verifying_key())?.records, 2);
//!
//! // One changed byte is found, and named.
//! log.entry_mut(2).unwrap().entry[20] ^= 1;
//! let fault = verify(&mut log, &key.verifying_key()).unwrap_err();
//! assert!(matches!(fault, Fault::Altered { seq: 2 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a running gateway a [`Recorder`] stands before the log. It is a
//! [`Sink`](doorward_core::Sink): room is taken before a call runs, the event is handed over when
//! it ended, and one thread writes whole batches.
//!
//! # Format
//!
//! - Entry `n` is the JSON text `{"seq":n,"event":{…}}`; the first is 1.
//! - `leaf = SHA-256(0x00 ‖ entry)`, and over the leaves the tree of RFC 9162 §2.1.
//! - `link(n) = SHA-256(0x01 ‖ link(n-1) ‖ leaf(n))`; `link(0)` is 32 zero bytes.
//! - A [`Checkpoint`] is the tree's size and root as a C2SP tlog-checkpoint, signed with Ed25519
//!   (RFC 8032). The log keeps only the last one: an older one would help to hide a cut tail.
//!
//! # What it cannot show
//!
//! Whoever holds the signing key can rewrite the log. Whoever kept an older state of the whole
//! log, checkpoint included, can put it back. Against both, let a [`Witness`] see checkpoints, or
//! keep them elsewhere, and pass them to [`Verifier::witness`].

mod chain;
mod checkpoint;
#[cfg(feature = "content")]
mod content;
mod cut;
mod delivery;
mod evidence;
mod export;
mod fault;
mod format;
mod key;
mod linked;
mod log;
mod note;
mod proof;
mod recorder;
mod report;
mod retention;
mod story;
mod tree;
mod verify;
mod witness;

pub use chain::{Chain, Head, Record, RecordError, Sealed};
pub use checkpoint::Checkpoint;
#[cfg(feature = "content")]
pub use content::{
    Content, ContentError, ContentKey, ContentKeys, ContentPolicy, ContentRow, ContentStore,
    MemoryContent,
};
pub use cut::Cut;
pub use delivery::{
    Delivery, DeliveryError, DeliveryOptions, DeliveryStats, Destination, FileDestination,
    HttpDestination, Outbox, Post, PostAnswer, PostError, Syslog, SyslogTransport, deliver,
};
pub use evidence::{GrowthProof, RecordProof};
pub use export::{ExportError, export};
pub use fault::Fault;
pub use format::{Format, UnknownFormat, export_as};
pub use key::{KeyError, SignError, Signer, SigningKey, VerifyingKey, sign_checkpoint};
pub use linked::LinkedCheckpoint;
pub use log::{Log, LogError, Memory};
pub use note::{NoteError, NoteSignature};
pub use proof::{ProofError, consistency, extends, includes, inclusion};
pub use recorder::{CloseError, Options, Outage, Recorder, StartError, Stats};
pub use report::{About, ReportError, Reported, report};
pub use retention::{Archive, Hold, PruneError, Pruned, prune};
pub use story::{Step, Story, turn, turns};
pub use tree::{Block, Tree, TreeHead};
pub use verify::{Verified, Verifier, verify};
pub use witness::{
    FileWitness, HttpWitness, Witness, WitnessError, read_checkpoints, show_witness,
};
