//! Tokens that are worth nothing before they end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::{Secret, Timestamp};

/// What a token is known by.
#[derive(Debug, Clone, Copy)]
pub struct TokenMark<'a> {
    /// Its issuer.
    pub issuer: &'a str,
    /// Its subject at the issuer.
    pub subject: &'a str,
    /// The client it was issued to.
    pub client: Option<&'a str>,
    /// Its id (`jti`).
    pub id: Option<&'a str>,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// The BLAKE3 hash of its text.
    pub hash: &'a [u8; 32],
}

/// Knows what was revoked. Asked on every check, those of tokens seen before too: answers from
/// memory.
pub trait Revocations: Send + Sync + fmt::Debug {
    /// Whether the token is worth nothing any more.
    fn is_revoked(&self, token: &TokenMark<'_>) -> bool;
}

/// Revocations in memory.
///
/// ```
/// use doorward_core::Timestamp;
/// use doorward_identity::jwt::{Revocations, Revoked, TokenMark};
/// let revoked = Revoked::default();
/// let mark = TokenMark {
///     issuer: "https://idp.example", subject: "00u1", client: None, id: Some("t-1"),
///     issued: Some(Timestamp::from_micros(5)), hash: &[0; 32],
/// };
/// assert!(!revoked.is_revoked(&mark));
/// revoked.subject("https://idp.example", "00u1", Timestamp::from_micros(9));
/// assert!(revoked.is_revoked(&mark));
/// ```
#[derive(Debug, Default)]
pub struct Revoked {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    ids: HashMap<(Arc<str>, Arc<str>), Timestamp>,
    texts: HashMap<[u8; 32], Timestamp>,
    subjects: HashMap<(Arc<str>, Arc<str>), Timestamp>,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists")
            .field("ids", &self.ids.len())
            .field("texts", &self.texts.len())
            .field("subjects", &self.subjects.len())
            .finish()
    }
}

impl Revoked {
    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Revokes the issuer's token with this id (`jti`), which ends by itself `until` then.
    pub fn id(&self, issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>, until: Timestamp) {
        self.lock().ids.insert((issuer.into(), id.into()), until);
    }

    /// Revokes the token with this text, which ends by itself `until` then.
    pub fn text(&self, text: &Secret, until: Timestamp) {
        self.lock().texts.insert(*blake3::hash(text.expose().as_bytes()).as_bytes(), until);
    }

    /// Revokes every token of the subject that was issued up to this time, or does not say when.
    pub fn subject(
        &self,
        issuer: impl Into<Arc<str>>,
        subject: impl Into<Arc<str>>,
        before: Timestamp,
    ) {
        self.lock().subjects.insert((issuer.into(), subject.into()), before);
    }

    /// Accepts the subject's tokens again.
    pub fn restore(&self, issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) {
        self.lock().subjects.remove(&(issuer.into(), subject.into()));
    }

    /// Forgets tokens that have ended by themselves.
    pub fn sweep(&self, now: Timestamp) {
        let mut lists = self.lock();
        lists.ids.retain(|_, until| *until > now);
        lists.texts.retain(|_, until| *until > now);
    }
}

impl Revocations for Revoked {
    fn is_revoked(&self, token: &TokenMark<'_>) -> bool {
        let lists = self.lock();
        let named = |name: &str| (Arc::<str>::from(token.issuer), Arc::<str>::from(name));
        (!lists.texts.is_empty() && lists.texts.contains_key(token.hash))
            || (!lists.ids.is_empty()
                && token.id.is_some_and(|id| lists.ids.contains_key(&named(id))))
            || (!lists.subjects.is_empty()
                && lists
                    .subjects
                    .get(&named(token.subject))
                    .is_some_and(|before| token.issued.is_none_or(|issued| issued <= *before)))
    }
}
