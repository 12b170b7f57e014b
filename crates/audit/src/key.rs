//! The keys behind checkpoints.

use std::fmt;
use std::str::FromStr;

use doorward_core::{Entropy, Timestamp};
use ed25519_dalek::Signer as _;

use crate::{Checkpoint, Head};

/// Text or bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 public key in 64 hexadecimal digits")]
pub struct KeyError;

/// The secret half: signs checkpoints. Keep it where those who can write to the log cannot read.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Draws a fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Self::from_bytes(&seed)
    }

    /// From its 32 secret bytes (RFC 8032 §5.1.5).
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its 32 secret bytes, to be kept.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs how far a log reaches.
    pub fn checkpoint(&self, origin: &str, head: Head, time: Timestamp) -> Checkpoint {
        let text = Checkpoint::text_of(origin, head, time);
        let signature = self.0.sign(text.as_bytes()).to_bytes();
        Checkpoint { origin: origin.into(), size: head.size, link: head.link, time, signature }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(hidden, public {})", self.verifying_key())
    }
}

/// The public half: checks checkpoints. Written in 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    ///
    /// Where they are no point on the curve, or one of the few weak ones.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(KeyError),
        }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether the checkpoint was signed with the secret half of this key.
    pub fn accepts(&self, checkpoint: &Checkpoint) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&checkpoint.signature);
        self.0.verify_strict(checkpoint.text().as_bytes(), &signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = bytes_from_hex(text).ok_or(KeyError)?;
        Self::from_bytes(&bytes)
    }
}

/// Reads exactly `N` bytes of hexadecimal text.
pub(crate) fn bytes_from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_bytes_and_text() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key();
        assert_eq!(SigningKey::from_bytes(&key.to_bytes()).verifying_key(), public);
        assert_eq!(public.to_string().parse(), Ok(public));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(64), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<VerifyingKey>(), Err(KeyError), "{wrong}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let shown = format!("{:?}", SigningKey::from_bytes(&[7; 32]));
        assert!(shown.contains("hidden") && !shown.contains("0707"), "{shown}");
    }

    #[test]
    fn a_checkpoint_is_accepted_only_as_it_was_signed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let time = Timestamp::from_micros(1);
        let signed = key.checkpoint("a", Head { size: 3, ..Head::EMPTY }, time);
        let public = key.verifying_key();
        assert!(public.accepts(&signed));
        for changed in [
            Checkpoint { origin: "b".into(), ..signed.clone() },
            Checkpoint { size: 2, ..signed.clone() },
            Checkpoint { link: doorward_core::Digest::from_bytes([1; 32]), ..signed.clone() },
            Checkpoint { time: Timestamp::from_micros(2), ..signed.clone() },
            Checkpoint { signature: [0; 64], ..signed.clone() },
        ] {
            assert!(!public.accepts(&changed), "{changed:?}");
        }
        assert!(!SigningKey::from_bytes(&[8; 32]).verifying_key().accepts(&signed));
    }
}
