//! Keyed hashes of one principal's data.
//!
//! BLAKE3 derives a principal's keys from the engine's. Marks are `SipHash`-1-3 with 128 bits under
//! such a key. Nobody outside sees a mark, so what counts is that no two texts can be found blindly
//! that share one: the best known path to a collision within SipHash-1-x holds with a probability
//! of 2^-167 (Dobraunig, Mendel, Schläffer: *Differential Cryptanalysis of `SipHash`*, SAC 2014).
//! A history of any length is hashed anew with each request, so speed counts as well.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::json::Json;
use crate::turn_store::Mark;

/// What a mark is a mark of; marks of different kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chain = 1,
    Text = 2,
    Structure = 3,
    Media = 4,
    Leaf = 5,
    Slot = 6,
    System = 7,
    Seed = 8,
    /// A name that records go by.
    Name = 9,
    /// A value in a record, with a name of the record.
    Pick = 10,
    /// A beginning that was gone on from with untrusted data.
    Cut = 11,
    /// A binding call that was made in a turn.
    Spent = 12,
}

/// The secret that the keys of principals are derived from.
pub(crate) fn master(key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("doorward guardrails 2026 principals", key)
}

/// The keys of one principal. They do not depend on the agent, so that two agents of one person
/// cannot launder for each other.
#[derive(Clone)]
pub(crate) struct Scope {
    key: (u64, u64),
    owner: Mark,
}

impl Scope {
    pub(crate) fn new(master: &[u8; 32], principal: &str) -> Self {
        let hash = blake3::keyed_hash(master, principal.as_bytes());
        let mut words = [[0; 8]; 4];
        words.as_flattened_mut().copy_from_slice(hash.as_bytes());
        let [low, high, owner @ ..] = words.map(u64::from_le_bytes);
        Self { key: (low, high), owner: mark(owner[0], owner[1]) }
    }

    /// The secret that fingerprints start from.
    pub(crate) fn seed(&self) -> u64 {
        self.hasher(Kind::Seed).0.finish128().h1
    }

    /// The principal itself.
    pub(crate) fn owner(&self) -> Mark {
        self.owner
    }

    /// The mark of some pieces; where one ends and the next begins counts.
    pub(crate) fn mark(&self, kind: Kind, pieces: &[&[u8]]) -> Mark {
        let mut hasher = self.hasher(kind);
        for piece in pieces {
            hasher.feed(piece);
        }
        hasher.seal()
    }

    /// A hasher for marks of a kind.
    pub(crate) fn hasher(&self, kind: Kind) -> Hasher {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(&[kind as u8]);
        Hasher(hasher)
    }

    /// What a text says, however it is written: JSON by its value, other text without the space
    /// around it.
    pub(crate) fn essence(&self, text: &str) -> Mark {
        match Json::parse_structure(text) {
            Some(json) => self.structure(&json),
            None => self.mark(Kind::Text, &[text.trim().as_bytes()]),
        }
    }

    /// The mark of a JSON value.
    pub(crate) fn structure(&self, json: &Json<'_>) -> Mark {
        let mut canonical = Vec::new();
        json.canonical(&mut canonical);
        self.mark(Kind::Structure, &[&canonical])
    }
}

/// Takes in what a mark is made of.
pub(crate) struct Hasher(SipHasher13);

impl Hasher {
    /// Adds bytes as they are.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Adds one piece with its length.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.update(&(piece.len() as u64).to_le_bytes());
        self.update(piece);
    }

    /// The mark of what was taken in.
    pub(crate) fn seal(&self) -> Mark {
        let hash = self.0.finish128();
        mark(hash.h1, hash.h2)
    }
}

fn mark(low: u64, high: u64) -> Mark {
    Mark::from_bytes((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}
