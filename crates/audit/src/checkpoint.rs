//! Signed statements about how far a log reaches.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Digest, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::TreeHead;
use crate::note::{Note, NoteError, NoteSignature, SignatureKind};

/// A signed statement: the log of this origin had this many entries, with this root.
///
/// Written, it is a text that fits into a commit, an issue or a mail: C2SP tlog-checkpoint, with
/// an Ed25519 signature of the log and one that also tells the time (tlog-cosignature). Witnesses
/// add theirs.
///
/// ```
/// use doorward_audit::{Checkpoint, SigningKey, Tree};
/// use doorward_core::Timestamp;
///
/// let key = SigningKey::from_bytes(&[7; 32]);
/// let time = Timestamp::from_micros(1_767_225_600_000_000);
/// let signed = key.checkpoint("example.com/log", Tree::default().head(), time);
/// let text = signed.to_string();
/// assert!(text.starts_with("example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— "));
///
/// let read: Checkpoint = text.parse()?;
/// assert_eq!(read, signed);
/// assert_eq!(read.time(), Some(time));
/// assert!(key.verifying_key().accepts(&read));
/// assert!(!key.verifying_key().accepts(&Checkpoint { size: 1, ..read }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log it is, as its operator calls it; also the name of its key. One word.
    pub origin: Arc<str>,
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The log's signatures, and those of witnesses.
    pub signatures: Vec<NoteSignature>,
}

impl Checkpoint {
    /// What is signed: origin, size and root in base 64, each on a line of its own.
    pub fn text(&self) -> String {
        Self::text_of(&self.origin, self.tree_head())
    }

    /// How far the log reached.
    pub fn tree_head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }

    /// When the log says it signed it, in whole seconds. Believe it once the key
    /// [accepts](crate::VerifyingKey::accepts) the checkpoint.
    pub fn time(&self) -> Option<Timestamp> {
        let own = self.signatures.iter().filter(|signature| *signature.name == *self.origin);
        own.filter_map(time_of).max()
    }

    pub(crate) fn text_of(origin: &str, TreeHead { size, root }: TreeHead) -> String {
        format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.as_bytes()))
    }

    /// What a cosignature made at this time signs (C2SP tlog-cosignature).
    pub(crate) fn timed_text(text: &str, seconds: u64) -> String {
        format!("cosignature/v1\ntime {seconds}\n{text}")
    }
}

/// The seconds in front of a timed signature.
pub(crate) fn seconds_of(signature: &NoteSignature) -> Option<(u64, [u8; 64])> {
    let (seconds, rest) = signature.bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*seconds), rest.try_into().ok()?))
}

/// When a timed signature says it was made.
pub(crate) fn time_of(signature: &NoteSignature) -> Option<Timestamp> {
    let (seconds, _) = seconds_of(signature)?;
    i64::try_from(seconds).ok()?.checked_mul(1_000_000).map(Timestamp::from_micros)
}

/// A timed signature's bytes as a line has them.
pub(crate) fn timed(
    name: &str,
    key: &[u8; 32],
    seconds: u64,
    signature: [u8; 64],
) -> NoteSignature {
    let bytes = [&seconds.to_be_bytes()[..], &signature].concat();
    NoteSignature { name: name.to_owned(), id: SignatureKind::Timed.id(name, key), bytes }
}

/// Whole seconds, for a signature's time.
pub(crate) fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_secs()).unwrap_or(0)
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text())?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let Note { text, signatures } = text.parse()?;
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError("a checkpoint has three lines"));
        };
        if origin.is_empty() {
            return Err(NoteError("it names no origin"));
        }
        let whole = |text: &str| text == "0" || !text.starts_with(['0', '+']);
        let size = Some(size).filter(|text| whole(text)).and_then(|text| text.parse().ok());
        let size = size.ok_or(NoteError("the second line is no size"))?;
        let root = digest_from_base64(root).ok_or(NoteError("the third line is no root"))?;
        Ok(Self { origin: origin.into(), size, root, signatures })
    }
}

pub(crate) fn digest_from_base64(text: &str) -> Option<Digest> {
    Some(Digest::from_bytes(STANDARD.decode(text).ok()?.try_into().ok()?))
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
