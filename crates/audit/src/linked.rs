//! The checkpoint of the format's first version: over the chain instead of the tree.

use std::fmt::Write as _;
use std::sync::Arc;

use doorward_core::{Digest, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::bytes_from_hex;
use crate::{Head, SigningKey};

/// A signed statement of version 1: at this time, the log of this origin had this many entries,
/// ending in this link. Logs that were written then still carry one; the next record replaces it
/// with a [`Checkpoint`](crate::Checkpoint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedCheckpoint {
    /// Whose log it is.
    pub origin: Arc<str>,
    /// How many entries it has.
    pub size: u64,
    /// The last entry's link.
    pub link: Digest,
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519 signature over [`text`](Self::text); in hexadecimal where written.
    #[serde(serialize_with = "write_signature", deserialize_with = "read_signature")]
    pub signature: [u8; 64],
}

impl LinkedCheckpoint {
    /// As version 1 signed; for looking at old logs.
    pub fn sign(key: &SigningKey, origin: &str, head: Head, time: Timestamp) -> Self {
        let Head { size, link } = head;
        let mut signed = Self { origin: origin.into(), size, link, time, signature: [0; 64] };
        signed.signature = key.sign_bytes(signed.text().as_bytes());
        signed
    }

    /// What is signed: a line that names the format, then origin, size, link in hexadecimal and
    /// microseconds since 1970, each on a line of its own.
    pub fn text(&self) -> String {
        let Self { origin, size, link, .. } = self;
        format!("doorward-audit/v1\n{origin}\n{size}\n{link}\n{}\n", self.time.as_micros())
    }

    /// How far the log reached.
    pub fn head(&self) -> Head {
        Head { size: self.size, link: self.link }
    }
}

fn write_signature<S: Serializer>(signature: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(128);
    for byte in signature {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    serializer.serialize_str(&text)
}

fn read_signature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    bytes_from_hex(&text).ok_or_else(|| {
        serde::de::Error::custom("expected an Ed25519 signature in 128 hexadecimal digits")
    })
}
