//! Texts that only this gateway can make and read: session ids, request states, cursors.
//!
//! AES-256-GCM-SIV (RFC 8452), so that nonces drawn at random stay safe however many texts a key
//! makes. What a text is for is part of what is authenticated: a cursor is no session.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::Entropy;
use zeroize::Zeroizing;

/// The bytes of a key's number in front of a sealed text.
const ID_LEN: usize = 4;

/// One key, and the number that sealed texts name it by.
#[derive(Clone)]
pub struct SealKey {
    id: u32,
    bytes: Zeroizing<[u8; 32]>,
}

impl SealKey {
    /// This key under this number.
    pub fn new(id: u32, bytes: [u8; 32]) -> Self {
        Self { id, bytes: Zeroizing::new(bytes) }
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys that session ids and other handles are sealed with. All replicas that share them
/// serve each other's sessions.
///
/// To rotate: put the new key in front, keep the old as previous until its sessions have expired.
///
/// ```
/// use doorward_mcp_broker::{SealKey, SealKeys};
/// let keys = SealKeys::new(SealKey::new(2, [2; 32])).with_previous(SealKey::new(1, [1; 32]));
/// assert!(!format!("{keys:?}").contains("bytes"));
/// ```
#[derive(Debug, Clone)]
pub struct SealKeys {
    current: SealKey,
    previous: Vec<SealKey>,
}

impl SealKeys {
    /// One key that seals and opens.
    pub fn new(current: SealKey) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// Adds a key that still opens.
    #[must_use]
    pub fn with_previous(mut self, key: SealKey) -> Self {
        self.previous.push(key);
        self
    }

    /// A key of this process alone: its sessions end with it.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut_slice());
        Self::new(SealKey::new(0, *bytes))
    }
}

/// What a sealed text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client's session.
    Session,
    /// The state of a request that is asked for more.
    State,
    /// A place in a list.
    Cursor,
    /// A browser's session at the gateway's own pages.
    Page,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"doorward mcp session 1",
            Self::State => b"doorward mcp request state 1",
            Self::Cursor => b"doorward mcp cursor 1",
            Self::Page => b"doorward page session 1",
        }
    }
}

/// Seals and opens.
///
/// ```
/// use doorward_core::SystemEntropy;
/// use doorward_mcp_broker::{Purpose, Seal, SealKeys};
/// let seal = Seal::new(&SealKeys::random(&SystemEntropy));
/// let text = seal.close(&SystemEntropy, Purpose::Page, b"alice").unwrap_or_default();
/// assert_eq!(seal.open(Purpose::Page, &text).as_deref(), Some(b"alice".as_slice()));
/// assert_eq!(seal.open(Purpose::Cursor, &text), None);
/// ```
pub struct Seal {
    /// The first seals.
    keys: Vec<(u32, LessSafeKey)>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Seal {
    /// With these keys.
    pub fn new(keys: &SealKeys) -> Self {
        let all = std::iter::once(&keys.current).chain(&keys.previous);
        let keys = all.filter_map(|key| {
            let unbound = UnboundKey::new(&AES_256_GCM_SIV, key.bytes.as_slice()).ok()?;
            Some((key.id, LessSafeKey::new(unbound)))
        });
        Self { keys: keys.collect() }
    }

    /// The text that stands for `plain`; `None` where the cipher fails, which it has no cause to.
    pub fn close(&self, entropy: &dyn Entropy, purpose: Purpose, plain: &[u8]) -> Option<String> {
        let (id, key) = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plain.len() + 16);
        sealed.extend_from_slice(plain);
        let aad = Aad::from(purpose.label());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        let whole = [&id.to_be_bytes(), nonce.as_slice(), &sealed].concat();
        Some(URL_SAFE_NO_PAD.encode(whole))
    }

    /// What a text stands for; `None` where we did not make it, or not for this.
    pub fn open(&self, purpose: Purpose, text: &str) -> Option<Vec<u8>> {
        let whole = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, rest) = whole.split_at_checked(ID_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let id = u32::from_be_bytes(id.try_into().ok()?);
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        self.keys.iter().filter(|(known, _)| *known == id).find_map(|(_, key)| {
            let mut plain = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(nonce);
            let aad = Aad::from(purpose.label());
            let length = key.open_in_place(nonce, aad, &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        })
    }
}

#[cfg(test)]
mod tests {
    use doorward_core::SystemEntropy;

    use super::*;

    fn key(id: u32) -> SealKey {
        SealKey::new(id, [u8::try_from(id).unwrap(); 32])
    }

    #[test]
    fn what_was_sealed_opens_for_its_purpose_alone() {
        let seal = Seal::new(&SealKeys::new(key(1)));
        let text = seal.close(&SystemEntropy, Purpose::Session, b"hello").unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "fit for a header: {text}");
        assert_eq!(seal.open(Purpose::Session, &text).unwrap(), b"hello");
        assert!(seal.open(Purpose::State, &text).is_none());
        assert!(seal.open(Purpose::Cursor, &text).is_none());
        let again = seal.close(&SystemEntropy, Purpose::Session, b"hello").unwrap();
        assert_ne!(text, again, "each text is its own");
    }

    #[test]
    fn any_change_of_a_text_voids_it() {
        let seal = Seal::new(&SealKeys::new(key(1)));
        let text = seal.close(&SystemEntropy, Purpose::State, b"hello").unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if changed != text {
                assert!(seal.open(Purpose::State, &changed).is_none(), "{at}");
            }
        }
        for wrong in ["", "A", "AAAAAAAAAAAAAAAAAAAAAAAAAA", &text[..20], &format!("{text}-x")] {
            assert!(seal.open(Purpose::State, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_rotated_key_still_opens_and_a_dropped_one_does_not() {
        let old = Seal::new(&SealKeys::new(key(1)));
        let text = old.close(&SystemEntropy, Purpose::Session, b"x").unwrap();
        let both = Seal::new(&SealKeys::new(key(2)).with_previous(key(1)));
        assert_eq!(both.open(Purpose::Session, &text).unwrap(), b"x");
        let fresh = both.close(&SystemEntropy, Purpose::Session, b"x").unwrap();
        assert!(old.open(Purpose::Session, &fresh).is_none());
        assert!(Seal::new(&SealKeys::new(key(2))).open(Purpose::Session, &text).is_none());
        let same_number = Seal::new(&SealKeys::new(SealKey::new(1, [9; 32])));
        assert!(same_number.open(Purpose::Session, &text).is_none());
    }
}
