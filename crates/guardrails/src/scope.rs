//! Keyed hashes of one principal's data.

use blake3::Hasher;

use crate::json::Json;
use crate::turn_store::Mark;

/// What a mark is a mark of; marks of different kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Owner = 0,
    Chain = 1,
    Text = 2,
    Structure = 3,
    Media = 4,
    Leaf = 5,
    Slot = 6,
    System = 7,
}

/// The key of one principal. It does not depend on the agent, so that two agents of one person
/// cannot launder for each other.
#[derive(Clone)]
pub(crate) struct Scope {
    key: [u8; 32],
    seed: u64,
}

impl Scope {
    pub(crate) fn new(key: &[u8; 32], principal: &str) -> Self {
        let mut hasher = Hasher::new_keyed(key);
        hasher.update(b"doorward guardrails principal\0");
        hasher.update(principal.as_bytes());
        let mut bytes = [0; 40];
        hasher.finalize_xof().fill(&mut bytes);
        let (mut key, mut seed) = ([0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        seed.copy_from_slice(&bytes[32..]);
        Self { key, seed: u64::from_le_bytes(seed) }
    }

    /// The secret that fingerprints start from.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The principal itself.
    pub(crate) fn owner(&self) -> Mark {
        self.mark(Kind::Owner, &[])
    }

    /// The mark of some pieces; where one ends and the next begins counts.
    pub(crate) fn mark(&self, kind: Kind, pieces: &[&[u8]]) -> Mark {
        let mut hasher = self.hasher(kind);
        for piece in pieces {
            feed(&mut hasher, piece);
        }
        seal(&hasher)
    }

    /// A hasher for marks of a kind.
    pub(crate) fn hasher(&self, kind: Kind) -> Hasher {
        let mut hasher = Hasher::new_keyed(&self.key);
        hasher.update(&[kind as u8]);
        hasher
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

/// Adds one piece with its length.
pub(crate) fn feed(hasher: &mut Hasher, piece: &[u8]) {
    hasher.update(&(piece.len() as u64).to_le_bytes());
    hasher.update(piece);
}

/// The mark of what was fed.
pub(crate) fn seal(hasher: &Hasher) -> Mark {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Mark::from_bytes(bytes)
}
