//! A tamper-evident record of every call: hash chain, signed checkpoints, verification.
//!
//! Each [`Event`](doorward_core::Event) becomes one numbered entry. Its hash goes into a chain,
//! and with every durable batch the chain's length and head are signed. Whoever changes, removes
//! or moves an entry later is found by [`verify`], which names the first one that is wrong.
//!
//! ```
//! use doorward_audit::{Chain, Fault, Log, Memory, SigningKey, verify};
//! use doorward_core::{SystemEntropy, Timestamp};
//! # use doorward_core::{Decision, Event, EventId, Kind, Outcome, PrincipalKind, RequestId};
//! # use doorward_core::{TurnId, Who};
//! # fn event(n: u8) -> Event {
//! #     Event {
//! #         id: EventId::from_bytes([n; 16]),
//! #         at: Timestamp::from_micros(0),
//! #         kind: Kind::Admin { action: "key.create".into(), object: "ci".into() },
//! #         turn: TurnId::from_bytes([1; 16]),
//! #         request: RequestId::from_bytes([n; 16]),
//! #         conversation: None,
//! #         who: Who {
//! #             id: "alice@example.com".into(), kind: PrincipalKind::Person, team: None,
//! #             key: None, key_name: None, actors: vec![],
//! #         },
//! #         agent: None,
//! #         decision: Decision::allow("key.tools", "on the key's list"),
//! #         label: None,
//! #         outcome: Outcome::Completed,
//! #         error: None,
//! #         took_us: None,
//! #     }
//! # }
//! let key = SigningKey::generate(&SystemEntropy);
//! let mut log = Memory::default();
//! let mut chain = Chain::new(log.last()?);
//! let entries = vec![chain.seal(&event(1))?, chain.seal(&event(2))?];
//! let checkpoint = key.checkpoint("example", chain.head(), Timestamp::from_micros(0));
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
//! - `leaf = SHA-256(0x00 ‖ entry)`, as in RFC 9162 §2.1.1, so that a Merkle tree can be laid over
//!   the same leaves.
//! - `link(n) = SHA-256(0x01 ‖ link(n-1) ‖ leaf(n))`; `link(0)` is 32 zero bytes.
//! - A checkpoint is an Ed25519 signature (RFC 8032) over the text of [`Checkpoint::text`]. The
//!   log keeps only the last one: an older one would help to hide a cut tail.
//!
//! # What it cannot show
//!
//! Whoever holds the signing key can rewrite the log. Whoever kept an older state of the whole
//! log, checkpoint included, can put it back: keep checkpoints elsewhere and pass the last one to
//! [`Verifier::witness`].

mod chain;
mod checkpoint;
mod export;
mod key;
mod log;
mod recorder;
mod story;
mod verify;

pub use chain::{Chain, Head, Record, RecordError, Sealed};
pub use checkpoint::Checkpoint;
pub use export::{ExportError, export};
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use log::{Log, LogError, Memory};
pub use recorder::{CloseError, Options, Recorder, StartError, Stats};
pub use story::{Step, Story, turn, turns};
pub use verify::{Fault, Verified, Verifier, verify};
