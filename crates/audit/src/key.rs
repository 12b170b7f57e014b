//! The keys behind checkpoints.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Entropy, Timestamp};
use ed25519_dalek::Signer as _;

use crate::checkpoint::{seconds, seconds_of, timed};
use crate::note::{Note, NoteSignature, SignatureKind};
use crate::{Checkpoint, LinkedCheckpoint, TreeHead};

/// Text or bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 public key in 64 hexadecimal digits")]
pub struct KeyError;

/// Whatever holds the key did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the audit key did not sign")]
pub struct SignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What signs checkpoints: a [`SigningKey`] from a file, or whatever asks a key service. It is
/// called on the recorder's own thread, once for each batch, and may block.
///
/// ```
/// use doorward_audit::{SignError, Signer, SigningKey, VerifyingKey};
///
/// /// Stands for a key that never leaves its service.
/// struct Remote(SigningKey);
///
/// impl Signer for Remote {
///     fn verifying_key(&self) -> VerifyingKey {
///         self.0.verifying_key()
///     }
///     fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
///         self.0.sign(message) // here: ask the service
///     }
/// }
/// ```
pub trait Signer: Send {
    /// The public half.
    fn verifying_key(&self) -> VerifyingKey;

    /// An Ed25519 signature (RFC 8032) over the message.
    ///
    /// # Errors
    ///
    /// Where the key cannot be reached. Nothing is recorded then; it is tried again.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// Signs how far a log reaches, twice: plainly, and together with the time.
///
/// # Errors
///
/// Where the signer fails.
pub fn sign_checkpoint(
    signer: &dyn Signer,
    origin: &str,
    head: TreeHead,
    time: Timestamp,
) -> Result<Checkpoint, SignError> {
    let (key, text) = (signer.verifying_key(), Checkpoint::text_of(origin, head));
    let plain = plain(origin, key.as_bytes(), signer.sign(text.as_bytes())?);
    let seconds = seconds(time);
    let with_time = signer.sign(Checkpoint::timed_text(&text, seconds).as_bytes())?;
    let signatures = vec![plain, timed(origin, key.as_bytes(), seconds, with_time)];
    Ok(Checkpoint { origin: origin.into(), size: head.size, root: head.root, signatures })
}

/// Signs a text as a note under this name.
pub(crate) fn sign_note(signer: &dyn Signer, name: &str, text: String) -> Result<Note, SignError> {
    let key = signer.verifying_key();
    let signature = plain(name, key.as_bytes(), signer.sign(text.as_bytes())?);
    Ok(Note { text, signatures: vec![signature] })
}

fn plain(name: &str, key: &[u8; 32], signature: [u8; 64]) -> NoteSignature {
    let id = SignatureKind::Plain.id(name, key);
    NoteSignature { name: name.to_owned(), id, bytes: signature.to_vec() }
}

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

    /// Signs how far a log reaches, as [`sign_checkpoint`] does.
    pub fn checkpoint(&self, origin: &str, head: TreeHead, time: Timestamp) -> Checkpoint {
        let (key, text) = (self.verifying_key(), Checkpoint::text_of(origin, head));
        let seconds = seconds(time);
        let with_time = self.sign_bytes(Checkpoint::timed_text(&text, seconds).as_bytes());
        let signatures = vec![
            plain(origin, key.as_bytes(), self.sign_bytes(text.as_bytes())),
            timed(origin, key.as_bytes(), seconds, with_time),
        ];
        Checkpoint { origin: origin.into(), size: head.size, root: head.root, signatures }
    }

    /// Adds a witness's signature with the time under a checkpoint (C2SP tlog-cosignature). Use
    /// a key for nothing else.
    pub fn cosign(&self, checkpoint: &mut Checkpoint, name: &str, time: Timestamp) {
        let seconds = seconds(time);
        let message = Checkpoint::timed_text(&checkpoint.text(), seconds);
        let signature = self.sign_bytes(message.as_bytes());
        let line = timed(name, self.verifying_key().as_bytes(), seconds, signature);
        checkpoint.signatures.retain(|known| (&known.name, known.id) != (&line.name, line.id));
        checkpoint.signatures.push(line);
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        Self::verifying_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.sign_bytes(message))
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

    /// Whether the log that has this key signed the checkpoint. Where it also told a time, that
    /// must be signed too.
    pub fn accepts(&self, checkpoint: &Checkpoint) -> bool {
        let text = checkpoint.text();
        self.accepts_note(&checkpoint.origin, &text, &checkpoint.signatures)
            && self.timed_under(&checkpoint.origin, &text, &checkpoint.signatures) != Some(false)
    }

    /// Whether a witness with this key and name has signed the checkpoint.
    pub fn witnessed(&self, name: &str, checkpoint: &Checkpoint) -> bool {
        self.timed_under(name, &checkpoint.text(), &checkpoint.signatures) == Some(true)
    }

    /// Whether version 1 of the format signed this with the secret half of this key.
    pub fn accepts_linked(&self, checkpoint: &LinkedCheckpoint) -> bool {
        self.accepts_bytes(checkpoint.text().as_bytes(), &checkpoint.signature)
    }

    /// The key as C2SP signed-note writes it: `name+number+base64`. Other programs check
    /// checkpoints with it.
    pub fn note_key(&self, name: &str) -> String {
        let id = u32::from_be_bytes(SignatureKind::Plain.id(name, self.as_bytes()));
        format!("{name}+{id:08x}+{}", STANDARD.encode([&[1], &self.as_bytes()[..]].concat()))
    }

    pub(crate) fn accepts_note(
        &self,
        name: &str,
        text: &str,
        signatures: &[NoteSignature],
    ) -> bool {
        let id = SignatureKind::Plain.id(name, self.as_bytes());
        let mut own = signatures.iter().filter(|one| one.name == name && one.id == id).peekable();
        let holds = |one: &NoteSignature| {
            let bytes = one.bytes.as_slice().try_into();
            bytes.is_ok_and(|bytes| self.accepts_bytes(text.as_bytes(), bytes))
        };
        own.peek().is_some() && own.all(holds)
    }

    /// Whether the timed signatures of this key under this name hold; `None` without any.
    fn timed_under(&self, name: &str, text: &str, signatures: &[NoteSignature]) -> Option<bool> {
        let id = SignatureKind::Timed.id(name, self.as_bytes());
        let mut own = signatures.iter().filter(|one| one.name == name && one.id == id).peekable();
        own.peek()?;
        Some(own.all(|one| {
            seconds_of(one).is_some_and(|(seconds, signature)| {
                let message = Checkpoint::timed_text(text, seconds);
                self.accepts_bytes(message.as_bytes(), &signature)
            })
        }))
    }

    fn accepts_bytes(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
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
    use doorward_core::Digest;

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
    fn notes_of_other_programs_are_understood() {
        // The example in the documentation of Go's sumdb/note.
        let public = "1a5cd907143c384c41e830c5bce12aa8817ec5649aaabf2c31388b35b2d744d6";
        let key: VerifyingKey = public.parse().unwrap();
        let named = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(key.note_key("PeterNeumann"), named);
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdn\
            gotpRZb6KE6RyyBwJnAM=\n";
        let Note { text, signatures } = note.parse().unwrap();
        assert!(key.accepts_note("PeterNeumann", &text, &signatures));
        assert!(!key.accepts_note("PeterNeumann", &text.replace('p', "q"), &signatures));
    }

    #[test]
    fn a_checkpoint_is_accepted_only_as_it_was_signed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let head = TreeHead { size: 3, root: Digest::from_bytes([3; 32]) };
        let signed = key.checkpoint("a", head, Timestamp::from_micros(1_000_000));
        let public = key.verifying_key();
        assert!(public.accepts(&signed));
        let without = |at: usize| {
            let mut signatures = signed.signatures.clone();
            signatures.remove(at);
            Checkpoint { signatures, ..signed.clone() }
        };
        let flipped = |at: usize, byte: usize| {
            let mut signatures = signed.signatures.clone();
            signatures[at].bytes[byte] ^= 1;
            Checkpoint { signatures, ..signed.clone() }
        };
        for changed in [
            Checkpoint { origin: "b".into(), ..signed.clone() },
            Checkpoint { size: 2, ..signed.clone() },
            Checkpoint { root: Digest::from_bytes([1; 32]), ..signed.clone() },
            Checkpoint { signatures: vec![], ..signed.clone() },
            without(0),
            flipped(0, 5),
            flipped(1, 7),
            flipped(1, 30),
        ] {
            assert!(!public.accepts(&changed), "{changed:?}");
        }
        assert!(!SigningKey::from_bytes(&[8; 32]).verifying_key().accepts(&signed));
        // The time may be missing; the signature may not.
        assert!(public.accepts(&without(1)));
        assert_eq!(without(1).time(), None);
    }

    #[test]
    fn a_witness_s_signature_is_its_own() {
        let (key, witness) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[9; 32]));
        let head = TreeHead { size: 3, root: Digest::from_bytes([3; 32]) };
        let mut signed = key.checkpoint("a", head, Timestamp::from_micros(0));
        witness.cosign(&mut signed, "w", Timestamp::from_micros(5_000_000));
        witness.cosign(&mut signed, "w", Timestamp::from_micros(6_000_000));
        assert_eq!(signed.signatures.len(), 3, "the later replaces the earlier");
        let public = witness.verifying_key();
        assert!(public.witnessed("w", &signed) && !public.witnessed("x", &signed));
        assert!(key.verifying_key().accepts(&signed) && !public.accepts(&signed));
        assert!(!key.verifying_key().witnessed("w", &signed));
        assert_eq!(signed.time(), Some(Timestamp::from_micros(0)), "the log's own");
    }
}
