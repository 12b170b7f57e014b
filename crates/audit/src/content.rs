//! What was said, kept apart from the record: redacted, encrypted, for a time of its own.
//!
//! The record has only digests. They are over a salt that is stored with the content, so that
//! deleting it leaves the record whole and the digest meaningless.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use doorward_core::{Clock, ContentDigest, ContentPart, Digest, Entropy, EventId, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Marks what is hashed as content.
const CONTENT: u8 = 0x02;
const SALT: usize = 32;

/// Content could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It is encrypted with a key that is not there.
    #[error("content is encrypted with key {0}, which is not configured")]
    NoKey(u32),
    /// It cannot be decrypted, or is not what the record has the digest of.
    #[error("content was altered")]
    Altered,
    /// The cipher failed.
    #[error("content could not be encrypted")]
    Cipher,
    /// A pointer is none.
    #[error("`{0}` is no JSON pointer (RFC 6901)")]
    Pointer(String),
    /// The storage failed.
    #[error("the content's storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ContentError {
    /// The storage failed, for this cause.
    pub fn storage(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage(source.into())
    }
}

/// What is kept, and for how long. Nothing is, unless somebody says so.
///
/// ```
/// use std::time::Duration;
/// use doorward_audit::ContentPolicy;
/// use doorward_core::ContentPart;
/// let policy = ContentPolicy::new(Duration::from_secs(30 * 86_400))
///     .keep(ContentPart::Arguments)
///     .redact("/password")?
///     .redact("/accounts/*/iban")?;
/// assert!(policy.keeps(ContentPart::Arguments) && !policy.keeps(ContentPart::Request));
/// assert!(ContentPolicy::default().redact("password").is_err());
/// # Ok::<(), doorward_audit::ContentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentPolicy {
    parts: Vec<ContentPart>,
    redact: Vec<Vec<String>>,
    retention: Duration,
}

impl ContentPolicy {
    /// Keeps nothing yet; what is kept, for this long.
    pub fn new(retention: Duration) -> Self {
        Self { retention, ..Self::default() }
    }

    /// Also keeps this part.
    #[must_use]
    pub fn keep(mut self, part: ContentPart) -> Self {
        self.parts.push(part);
        self
    }

    /// Takes out what a JSON pointer names (RFC 6901; `*` for every member) before anything is
    /// hashed or stored.
    ///
    /// # Errors
    ///
    /// Where it is no pointer.
    pub fn redact(mut self, pointer: &str) -> Result<Self, ContentError> {
        let rest = pointer.strip_prefix('/');
        let rest = rest.ok_or_else(|| ContentError::Pointer(pointer.to_owned()))?;
        let unescape = |step: &str| step.replace("~1", "/").replace("~0", "~");
        self.redact.push(rest.split('/').map(unescape).collect());
        Ok(self)
    }

    /// Whether it keeps this part.
    pub fn keeps(&self, part: ContentPart) -> bool {
        self.parts.contains(&part)
    }

    /// The text without what is to be taken out. A text that is no JSON cannot be looked into:
    /// where something is to be taken out, all of it is.
    fn redacted(&self, text: &[u8]) -> Vec<u8> {
        if self.redact.is_empty() {
            return text.to_vec();
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
            return br#""[redacted]""#.to_vec();
        };
        for pointer in &self.redact {
            take_out(&mut value, pointer);
        }
        serde_json::to_vec(&value).unwrap_or_default()
    }
}

fn take_out(value: &mut Value, pointer: &[String]) {
    let Some((step, rest)) = pointer.split_first() else {
        *value = Value::from("[redacted]");
        return;
    };
    match value {
        Value::Object(map) if step == "*" => {
            for member in map.values_mut() {
                take_out(member, rest);
            }
        }
        Value::Array(list) if step == "*" => {
            for member in list {
                take_out(member, rest);
            }
        }
        Value::Object(map) => {
            if let Some(member) = map.get_mut(step) {
                take_out(member, rest);
            }
        }
        Value::Array(list) => {
            if let Some(member) = step.parse().ok().and_then(|at: usize| list.get_mut(at)) {
                take_out(member, rest);
            }
        }
        _ => {}
    }
}

/// A key that content is encrypted with, and its number.
#[derive(Clone)]
pub struct ContentKey {
    id: u32,
    bytes: Zeroizing<[u8; 32]>,
}

impl ContentKey {
    /// This key under this number.
    pub fn new(id: u32, bytes: [u8; 32]) -> Self {
        Self { id, bytes: Zeroizing::new(bytes) }
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys, by number. To rotate, make a new one current and keep the old while its content is
/// kept; to destroy all content of a key at once, destroy the key.
#[derive(Debug, Clone)]
pub struct ContentKeys {
    current: ContentKey,
    previous: Vec<ContentKey>,
}

impl ContentKeys {
    /// One key that encrypts and decrypts.
    pub fn new(current: ContentKey) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// Adds a key that still decrypts.
    #[must_use]
    pub fn with_previous(mut self, key: ContentKey) -> Self {
        self.previous.push(key);
        self
    }

    fn cipher(key: &ContentKey) -> Result<LessSafeKey, ContentError> {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, key.bytes.as_slice());
        unbound.map(LessSafeKey::new).map_err(|_| ContentError::Cipher)
    }

    fn find(&self, id: u32) -> Result<LessSafeKey, ContentError> {
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        Self::cipher(keys.find(|key| key.id == id).ok_or(ContentError::NoKey(id))?)
    }
}

/// A part of what was said, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRow {
    /// The call.
    pub event: EventId,
    /// Which part.
    pub part: ContentPart,
    /// The key's number.
    pub key: u32,
    /// Nonce, then salt and content, encrypted (AES-256-GCM-SIV, RFC 8452).
    pub sealed: Vec<u8>,
    /// When it is to be deleted.
    pub expires: Timestamp,
}

/// Where content is stored. May block.
pub trait ContentStore: Send {
    /// Stores a part durably; one that is there is replaced.
    ///
    /// # Errors
    ///
    /// Where the storage fails.
    fn put(&mut self, row: &ContentRow) -> Result<(), ContentError>;

    /// A part, where it is still stored.
    fn part(
        &mut self,
        event: EventId,
        part: ContentPart,
    ) -> Result<Option<ContentRow>, ContentError>;

    /// Deletes all of a call; how many parts there were.
    fn forget(&mut self, event: EventId) -> Result<u64, ContentError>;

    /// Deletes what expired by now; how many parts.
    fn expire(&mut self, now: Timestamp) -> Result<u64, ContentError>;
}

impl<S: ContentStore> ContentStore for &mut S {
    fn put(&mut self, row: &ContentRow) -> Result<(), ContentError> {
        (**self).put(row)
    }

    fn part(
        &mut self,
        event: EventId,
        part: ContentPart,
    ) -> Result<Option<ContentRow>, ContentError> {
        (**self).part(event, part)
    }

    fn forget(&mut self, event: EventId) -> Result<u64, ContentError> {
        (**self).forget(event)
    }

    fn expire(&mut self, now: Timestamp) -> Result<u64, ContentError> {
        (**self).expire(now)
    }
}

/// Content in memory, for tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryContent(BTreeMap<(EventId, ContentPart), ContentRow>);

impl ContentStore for MemoryContent {
    fn put(&mut self, row: &ContentRow) -> Result<(), ContentError> {
        self.0.insert((row.event, row.part), row.clone());
        Ok(())
    }

    fn part(
        &mut self,
        event: EventId,
        part: ContentPart,
    ) -> Result<Option<ContentRow>, ContentError> {
        Ok(self.0.get(&(event, part)).cloned())
    }

    fn forget(&mut self, event: EventId) -> Result<u64, ContentError> {
        let before = self.0.len();
        self.0.retain(|(known, _), _| *known != event);
        Ok((before - self.0.len()) as u64)
    }

    fn expire(&mut self, now: Timestamp) -> Result<u64, ContentError> {
        let before = self.0.len();
        self.0.retain(|_, row| row.expires > now);
        Ok((before - self.0.len()) as u64)
    }
}

/// Keeps what a policy says, encrypted, and gives the digests for the record.
///
/// ```
/// use std::time::Duration;
/// use doorward_audit::{Content, ContentKey, ContentKeys, ContentPolicy, MemoryContent};
/// use doorward_core::{ContentPart, EventId, SystemClock, SystemEntropy};
///
/// let policy = ContentPolicy::new(Duration::from_secs(60))
///     .keep(ContentPart::Arguments)
///     .redact("/password")?;
/// let keys = ContentKeys::new(ContentKey::new(1, [7; 32]));
/// let mut content = Content::new(MemoryContent::default(), policy, keys);
///
/// let call = EventId::from_bytes([1; 16]);
/// let said = br#"{"user":"alice","password":"hunter2"}"#;
/// let digest = content
///     .keep(call, ContentPart::Arguments, said, &SystemEntropy, &SystemClock)?
///     .expect("the policy keeps arguments");
/// // `digest` goes into the call's record.
/// let kept = content.read(call, &digest)?.expect("not expired");
/// assert_eq!(kept, br#"{"user":"alice","password":"[redacted]"}"#);
///
/// content.forget(call)?;
/// assert_eq!(content.read(call, &digest)?, None);
/// # Ok::<(), doorward_audit::ContentError>(())
/// ```
#[derive(Debug)]
pub struct Content<S> {
    store: S,
    policy: ContentPolicy,
    keys: ContentKeys,
}

impl<S: ContentStore> Content<S> {
    /// Keeps in this store, by this policy, with these keys.
    pub fn new(store: S, policy: ContentPolicy, keys: ContentKeys) -> Self {
        Self { store, policy, keys }
    }

    /// Keeps a part of a call, where the policy says so. The digest is over what is kept.
    ///
    /// # Errors
    ///
    /// Where it cannot be encrypted or stored.
    pub fn keep(
        &mut self,
        event: EventId,
        part: ContentPart,
        text: &[u8],
        entropy: &dyn Entropy,
        clock: &dyn Clock,
    ) -> Result<Option<ContentDigest>, ContentError> {
        if !self.policy.keeps(part) {
            return Ok(None);
        }
        let text = Zeroizing::new(self.policy.redacted(text));
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE_LEN]);
        entropy.fill(&mut salt);
        entropy.fill(&mut nonce);
        let digest = digest_of(&salt, &text);
        let mut sealed = [salt.as_slice(), &text].concat();
        let key = &self.keys.current;
        ContentKeys::cipher(key)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(event, part, key.id)),
                &mut sealed,
            )
            .map_err(|_| ContentError::Cipher)?;
        let sealed = [nonce.as_slice(), &sealed].concat();
        let expires = clock.now().after(self.policy.retention);
        self.store.put(&ContentRow { event, part, key: key.id, sealed, expires })?;
        Ok(Some(ContentDigest { part, digest }))
    }

    /// A part of a call, checked against the digest in its record; `None` where it was deleted.
    ///
    /// # Errors
    ///
    /// [`ContentError::Altered`] where it is not what was recorded.
    pub fn read(
        &mut self,
        event: EventId,
        recorded: &ContentDigest,
    ) -> Result<Option<Vec<u8>>, ContentError> {
        let Some(row) = self.store.part(event, recorded.part)? else { return Ok(None) };
        let key = self.keys.find(row.key)?;
        let (nonce, sealed) =
            row.sealed.split_first_chunk::<NONCE_LEN>().ok_or(ContentError::Altered)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(bound(event, recorded.part, row.key));
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain)
            .map_err(|_| ContentError::Altered)?;
        let (salt, text) = opened.split_first_chunk::<SALT>().ok_or(ContentError::Altered)?;
        if digest_of(salt, text) != recorded.digest {
            return Err(ContentError::Altered);
        }
        Ok(Some(text.to_vec()))
    }

    /// Deletes all content of a call. Its record stays, and verifies.
    ///
    /// # Errors
    ///
    /// Where the storage fails.
    pub fn forget(&mut self, event: EventId) -> Result<u64, ContentError> {
        self.store.forget(event)
    }

    /// Deletes what is older than the policy keeps it.
    ///
    /// # Errors
    ///
    /// Where the storage fails.
    pub fn expire(&mut self, now: Timestamp) -> Result<u64, ContentError> {
        self.store.expire(now)
    }
}

fn digest_of(salt: &[u8; SALT], text: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update([CONTENT]).chain_update(salt).chain_update(text);
    Digest::from_bytes(hash.finalize().into())
}

/// What is authenticated with the content: whose it is. A part cannot pass for another's.
fn bound(event: EventId, part: ContentPart, key: u32) -> Vec<u8> {
    [event.as_bytes(), part.as_str().as_bytes(), &key.to_be_bytes()].concat()
}
