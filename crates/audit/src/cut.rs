//! The signed statement of what was pruned.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Digest, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::sign_note;
use crate::note::NoteSignature;
use crate::{SignError, Signer, Tree, VerifyingKey};

/// A signed statement: of the log of this origin, records up to `base` are gone, and records up
/// to `upto` may have kept only their hashes. What `base` records hashed to stays as the tree's
/// frontier, so that everything after them verifies as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Whose log it is.
    pub origin: Arc<str>,
    /// How many of the first records are gone.
    pub base: u64,
    /// The last record that may lack its text.
    pub upto: u64,
    /// The link of the last record that is gone.
    pub link: Digest,
    /// The roots of the complete subtrees over the records that are gone, largest first.
    pub frontier: Vec<Digest>,
    /// When it was signed.
    pub time: Timestamp,
    /// The log's signature over [`text`](Self::text), as a line of a signed note.
    #[serde(serialize_with = "write_lines", deserialize_with = "read_lines")]
    pub signatures: Vec<NoteSignature>,
}

impl Cut {
    /// Signs that a log was pruned.
    ///
    /// # Errors
    ///
    /// Where the signer fails.
    pub fn sign(
        signer: &dyn Signer,
        origin: &str,
        kept: (&Tree, Digest),
        upto: u64,
        time: Timestamp,
    ) -> Result<Self, SignError> {
        let (tree, link) = kept;
        let mut cut = Self {
            origin: origin.into(),
            base: tree.size(),
            upto,
            link,
            frontier: tree.frontier().to_vec(),
            time,
            signatures: vec![],
        };
        cut.signatures = sign_note(signer, origin, cut.text())?.signatures;
        Ok(cut)
    }

    /// What is signed: a line that names the kind, then origin, both numbers, the root and the
    /// link in base 64, and microseconds since 1970, each on a line of its own.
    pub fn text(&self) -> String {
        let Self { origin, base, upto, .. } = self;
        let root = self.tree().map(|tree| STANDARD.encode(tree.root().as_bytes()));
        let (root, link) = (root.unwrap_or_default(), STANDARD.encode(self.link.as_bytes()));
        let time = self.time.as_micros();
        format!("doorward-prune/v1\n{origin}\n{base} {upto}\n{root}\n{link}\n{time}\n")
    }

    /// The tree over the records that are gone; `None` where the frontier does not fit.
    pub fn tree(&self) -> Option<Tree> {
        Tree::from_frontier(self.base, self.frontier.clone())
    }

    pub(crate) fn signed_by(&self, key: &VerifyingKey) -> bool {
        self.tree().is_some() && key.accepts_note(&self.origin, &self.text(), &self.signatures)
    }

    /// The root over these leaves, where they are just one of the subtrees kept.
    pub(crate) fn subtree(&self, first: u64, count: u64) -> Option<Digest> {
        if !count.is_power_of_two() || self.base & count == 0 {
            return None;
        }
        // The subtrees before it are those of the higher bits.
        let higher = self.base & !(count | (count - 1));
        let at = usize::try_from(higher.count_ones()).ok()?;
        (first == higher).then(|| self.frontier.get(at).copied()).flatten()
    }
}

fn write_lines<S: Serializer>(lines: &[NoteSignature], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lines.iter().map(ToString::to_string))
}

fn read_lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NoteSignature>, D::Error> {
    let lines = Vec::<String>::deserialize(deserializer)?;
    let read = lines.iter().map(|line| line.parse()).collect::<Result<_, _>>();
    read.map_err(serde::de::Error::custom)
}
