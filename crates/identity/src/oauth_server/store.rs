//! What an authorization server remembers, and where.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{BoxFuture, Entropy, KeyId, Principal, PrincipalKind, Scopes, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

use super::client::ClientMetadata;

/// What a store answers.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, OAuthStoreError>>;

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[error("the OAuth store failed")]
pub struct OAuthStoreError(#[source] Box<dyn Error + Send + Sync>);

impl OAuthStoreError {
    /// It failed for this cause.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// What is kept of a secret text: a hash. Codes, refresh tokens and handles have 256 random bits,
/// so that their hash tells nothing; compared in constant time.
///
/// ```
/// use doorward_identity::oauth_server::SecretHash;
/// let hash = SecretHash::of("code", "k3yt");
/// assert!(hash == SecretHash::of("code", "k3yt"));
/// assert!(hash != SecretHash::of("refresh", "k3yt"), "each kind has hashes of its own");
/// ```
#[derive(Clone, Copy, Eq, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "equal in constant time, equal all the same"
)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a text that serves this purpose.
    pub fn of(purpose: &str, text: &str) -> Self {
        let context = "doorward 2026 oauth server secret";
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(purpose.as_bytes()).update(&[0]).update(text.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// From what [`as_bytes`](Self::as_bytes) gave.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they are kept.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("no hash"))
    }
}

/// One consent's tokens: what came of a code, and of each other by refreshing. Revoked together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FamilyId(Arc<str>);

impl FamilyId {
    /// A fresh one.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// From its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Its text: no secret, it is part of every token's id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whom tokens speak of, as they were when they signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The principal's id.
    pub id: Arc<str>,
    /// Person or service.
    pub kind: PrincipalKind,
    /// The team.
    pub team: Option<Arc<str>>,
    /// The groups, where they are known.
    pub groups: Option<Vec<Arc<str>>>,
    /// The roles.
    pub roles: Vec<Arc<str>>,
    /// What they may use at all: tokens never allow more.
    pub limits: Scopes,
    /// The virtual key that they signed in with, if they did.
    pub key: Option<KeyId>,
}

impl Subject {
    /// Of this principal.
    pub fn of(principal: &Principal) -> Self {
        let identity = principal.identity.as_ref();
        Self {
            id: principal.id.clone(),
            kind: principal.kind,
            team: principal.team.clone(),
            groups: identity.and_then(|identity| identity.groups.clone()),
            roles: identity.map(|identity| identity.roles.clone()).unwrap_or_default(),
            limits: (*principal.scopes).clone(),
            key: principal.key,
        }
    }
}

/// A family of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Its id.
    pub id: FamilyId,
    /// The client.
    pub client: Arc<str>,
    /// Who consented.
    pub subject: Subject,
    /// To which scopes.
    pub scopes: Vec<String>,
    /// At which resource.
    pub resource: Arc<str>,
    /// The key that refresh tokens are bound to, by its thumbprint (RFC 9449 §5).
    pub key: Option<Arc<str>>,
    /// The certificate that refresh tokens are bound to (RFC 8705 §4).
    pub certificate: Option<Arc<str>>,
    /// When it ends, however often it is refreshed.
    pub expires: Timestamp,
}

/// A code that was given out. It is good once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCode {
    /// What comes of it.
    pub family: FamilyId,
    /// Where it was sent: the redirect URI of the request, as written.
    pub redirect_uri: Arc<str>,
    /// The S256 challenge (RFC 7636 §4.2).
    pub challenge: Arc<str>,
    /// The key that may redeem it (RFC 9449 §10).
    pub key: Option<Arc<str>>,
    /// When it ends.
    pub expires: Timestamp,
}

/// What came of showing a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// No such code.
    Unknown,
    /// It is shown for the first time, and used up now.
    Once(Box<IssuedCode>, Box<Family>),
    /// It was shown before: its family has just been revoked.
    Again,
}

/// A refresh token that is shown, to be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// What is shown.
    pub shown: SecretHash,
    /// What replaces it.
    pub next: SecretHash,
    /// The time.
    pub now: Timestamp,
    /// How long the token before the current one may still be replaced, for answers that got lost.
    pub grace: Duration,
    /// When the last access token of the family has ended, should it be revoked now.
    pub until: Timestamp,
}

/// What came of showing a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It is replaced; the only one of its family that is good from now on is `next`.
    Turned,
    /// It was replaced long ago, or its successor was: the family has just been revoked.
    Reused,
    /// There is no such token, or its family has ended or was revoked.
    Gone,
}

/// A person who consents, to what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsentKey {
    /// The principal's id.
    pub principal: Arc<str>,
    /// The client.
    pub client: Arc<str>,
    /// The redirect URI.
    pub redirect_uri: Arc<str>,
    /// The resource.
    pub resource: Arc<str>,
}

/// A question that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Who is asked.
    pub principal: Arc<str>,
    /// The hash of the browser session that is asked in.
    pub session: SecretHash,
    /// The hash of the page's token.
    pub csrf: SecretHash,
    /// The client.
    pub client: Arc<str>,
    /// Where the answer goes.
    pub redirect_uri: Arc<str>,
    /// The client's `state`.
    pub state: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The resource.
    pub resource: Arc<str>,
    /// The S256 challenge.
    pub challenge: Arc<str>,
    /// The key that the code will be bound to.
    pub key: Option<Arc<str>>,
}

/// A client that registered itself (RFC 7591).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredClient {
    /// Its id, made here.
    pub id: Arc<str>,
    /// The hash of its secret, where it has one.
    pub secret: Option<SecretHash>,
    /// What it said of itself.
    pub metadata: ClientMetadata,
    /// When it registered.
    pub created: Timestamp,
}

/// Something that is worth nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One access token, by its id (`jti`).
    Token(Arc<str>),
    /// All of a family's.
    Family(FamilyId),
    /// All of a principal's that were issued up to then.
    Subject(Arc<str>, Timestamp),
}

/// Where an authorization server keeps what it must not forget. Of every secret it gets a hash
/// only. Several servers may share one: what says "once" means once for all of them.
///
/// [`MemoryOAuth`](super::MemoryOAuth) is complete; it is gone with the process.
pub trait OAuthStore: Send + Sync + fmt::Debug {
    /// Keeps a question until then.
    fn ask<'a>(&'a self, id: SecretHash, asked: &'a Pending, until: Timestamp) -> Stored<'a, ()>;

    /// Takes a question away, if it has not ended: of several that ask, one gets it.
    fn answer(&self, id: SecretHash, now: Timestamp) -> Stored<'_, Option<Pending>>;

    /// The scopes that were consented to before.
    fn consented<'a>(&'a self, key: &'a ConsentKey) -> Stored<'a, Vec<String>>;

    /// Remembers a consent to these scopes beside those of before.
    fn consent<'a>(
        &'a self,
        key: &'a ConsentKey,
        scopes: &'a [String],
        at: Timestamp,
    ) -> Stored<'a, ()>;

    /// Begins a family with the code that leads to it.
    fn open<'a>(
        &'a self,
        code: SecretHash,
        issued: &'a IssuedCode,
        family: &'a Family,
    ) -> Stored<'a, ()>;

    /// Uses a code up. One that was used before revokes its family, whose last access token has
    /// ended by `until`. In one step: of two that show the same code, one is the second.
    fn redeem(&self, code: SecretHash, now: Timestamp, until: Timestamp) -> Stored<'_, Redeemed>;

    /// Gives a family its first refresh token, if it is to have any, and the bonds and the end
    /// that it has by now. `false` where it was revoked meanwhile.
    fn start<'a>(&'a self, family: &'a Family, refresh: Option<SecretHash>) -> Stored<'a, bool>;

    /// The family of a code, used or not.
    fn family_of_code(&self, code: SecretHash) -> Stored<'_, Option<Family>>;

    /// The family of a refresh token, replaced or not, unless it was revoked.
    fn family_of_refresh(&self, refresh: SecretHash) -> Stored<'_, Option<Family>>;

    /// Whether the refresh token is the one that is good now.
    fn is_current(&self, refresh: SecretHash) -> Stored<'_, bool>;

    /// Replaces a refresh token, in one step:
    ///
    /// - the current one becomes the previous one, and `next` the current one;
    /// - the previous one, within `grace` of having been replaced, takes `next` in the place of
    ///   its first successor, which is worth nothing from then on;
    /// - any other of the family revokes it.
    fn rotate(&self, turn: Turn) -> Stored<'_, Rotation>;

    /// Keeps what a family's principal is by now.
    fn update<'a>(&'a self, family: &'a Family) -> Stored<'a, ()>;

    /// Revokes a family.
    fn revoke_family<'a>(&'a self, id: &'a FamilyId, until: Timestamp) -> Stored<'a, ()>;

    /// Revokes all of a principal's families, tokens issued up to `now`, and forgets what they
    /// consented to.
    fn revoke_subject<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> Stored<'a, ()>;

    /// Revokes one access token.
    fn revoke_token<'a>(&'a self, id: &'a str, until: Timestamp) -> Stored<'a, ()>;

    /// What was revoked after the place `after`, each with its place and with the time when it
    /// no longer matters, in order. Cheap: it is asked for every second.
    fn revocations(&self, after: u64) -> Stored<'_, Vec<(u64, Revocation, Timestamp)>>;

    /// Marks something that may happen once; `false` where it has happened. Remembered until then.
    fn once(&self, mark: SecretHash, until: Timestamp) -> Stored<'_, bool>;

    /// Keeps a client that registered, if there are fewer than `most`; tells whether it did.
    fn register<'a>(&'a self, client: &'a RegisteredClient, most: usize) -> Stored<'a, bool>;

    /// A client that registered.
    fn registered<'a>(&'a self, id: &'a str) -> Stored<'a, Option<RegisteredClient>>;

    /// Notes that a client was used.
    fn used<'a>(&'a self, id: &'a str, at: Timestamp) -> Stored<'a, ()>;

    /// Forgets what has ended by `now`, and clients that were neither used nor registered since
    /// `unused`.
    fn sweep(&self, now: Timestamp, unused: Timestamp) -> Stored<'_, ()>;
}
