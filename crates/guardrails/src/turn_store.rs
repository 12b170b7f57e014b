//! The memory of trust: what is kept, and the trait of whoever keeps it.

use std::fmt;
use std::sync::Arc;

use doorward_core::{
    BoxFuture, ConversationId, Decision, GrantId, Integrity, Label, RequestId, Timestamp, TurnId,
};
use serde::{Deserialize, Serialize};

/// A keyed hash under which something is kept. Marks of different principals never meet: the
/// principal is part of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark([u8; 16]);

impl Mark {
    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What is known of a conversation up to some message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The conversation.
    pub conversation: ConversationId,
    /// The turn that the last message belongs to.
    pub turn: TurnId,
    /// All that the model was told so far, at its worst.
    pub label: Label,
    /// Whether a model or a tool has spoken in it, or only people.
    pub answered: bool,
    /// The system texts that were already weighed, each with whether they carried taint.
    #[serde(default)]
    pub system: Vec<(Mark, bool)>,
    /// Which texts of the user, counted from 0, are not the user's own words.
    #[serde(default)]
    pub borrowed: Vec<u32>,
    /// The results on file that were read.
    #[serde(default)]
    pub results: Vec<Mark>,
    /// Whether one of the lists above ran out of room: then none of them may raise a label.
    #[serde(default)]
    pub crowded: bool,
}

/// One leaf of a result on file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledLeaf {
    /// The result that it is part of.
    pub result: Mark,
    /// How far it is trusted.
    pub integrity: Integrity,
}

/// A result's label, and the result that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledText {
    /// The result.
    pub result: Mark,
    /// The label of this form of it.
    pub label: Arc<Label>,
}

/// All that is kept of one result, or of one answer of a model that had read untrusted data.
#[derive(Debug, Clone)]
pub struct Filing {
    /// Whose it is, for [`TurnStore::prints_of`].
    pub owner: Mark,
    /// Whole texts, in every shape that a client may send them in.
    pub texts: Vec<(Mark, FiledText)>,
    /// Single values.
    pub leaves: Vec<(Mark, FiledLeaf)>,
    /// Fingerprints of untrusted text.
    pub prints: Vec<u64>,
    /// The label that text with such a fingerprint has.
    pub printed: Arc<Label>,
}

impl Filing {
    /// Nothing yet, of this principal.
    pub fn of(owner: Mark) -> Self {
        let (texts, leaves, prints) = (Vec::new(), Vec::new(), Vec::new());
        Self { owner, texts, leaves, prints, printed: Arc::default() }
    }
}

/// The permission to run one tool call once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The grant.
    pub id: GrantId,
    /// The conversation it came from.
    pub conversation: ConversationId,
    /// The turn.
    pub turn: TurnId,
    /// The model request that decided the call.
    pub cause: RequestId,
    /// The label of the context in which it was decided.
    pub label: Label,
    /// The conversation as the client named it.
    pub hint: Option<Arc<str>>,
}

/// A refused call of a model, remembered for the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What was decided.
    pub decision: Decision,
    /// The conversation it came from.
    pub conversation: ConversationId,
    /// The turn.
    pub turn: TurnId,
    /// The model request that asked for the call.
    pub cause: RequestId,
    /// The label of the context in which it was decided.
    pub label: Label,
    /// The conversation as the client named it.
    pub hint: Option<Arc<str>>,
}

/// What was decided on a call when the model asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It may run; the grant is used up now.
    Grant(Grant),
    /// It may not.
    Denial(Denial),
}

/// The store cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the memory of trust does not answer: {0}")]
pub struct StoreError(pub Arc<str>);

/// An answer of the store.
pub type Stored<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Keeps the memory of trust. Everything has an expiry; nothing past it is given out. A store may
/// forget early, save for fingerprints: a forgotten conversation or result counts as untrusted,
/// a forgotten fingerprint lets pasted text pass as the person's own.
///
/// [`Memory`](crate::Memory) keeps it in this process.
///
/// ```
/// use doorward_core::{ConversationId, Label, Timestamp, TurnId};
/// use doorward_guardrails::{Mark, Memory, Standing, TurnStore};
/// use futures_util::FutureExt;
///
/// let (store, now) = (Memory::default(), Timestamp::from_micros(0));
/// let standing = Standing {
///     conversation: ConversationId::from_bytes([1; 16]),
///     turn: TurnId::from_bytes([2; 16]),
///     label: Label::user(),
///     answered: false,
///     system: vec![],
///     borrowed: vec![],
///     results: vec![],
///     crowded: false,
/// };
/// let prefix = Mark::from_bytes([3; 16]);
/// let later = Timestamp::from_micros(10);
/// store.remember(prefix, &standing, later).now_or_never().unwrap()?;
/// let known = store.recall(&[prefix], now).now_or_never().unwrap()?;
/// assert_eq!(known, Some((0, standing)));
/// // Past its expiry it is not known any more.
/// assert_eq!(store.recall(&[prefix], later).now_or_never().unwrap()?, None);
/// # Ok::<(), doorward_guardrails::StoreError>(())
/// ```
pub trait TurnStore: Send + Sync {
    /// The longest of these prefixes (shortest first) that is known: its place in the list and
    /// what is known of it.
    fn recall<'a>(
        &'a self,
        prefixes: &'a [Mark],
        now: Timestamp,
    ) -> Stored<'a, Option<(usize, Standing)>>;

    /// Keeps what is known of a prefix.
    fn remember<'a>(
        &'a self,
        prefix: Mark,
        standing: &'a Standing,
        expires: Timestamp,
    ) -> Stored<'a, ()>;

    /// Keeps a result. Of two labels of one text the worse one stays.
    fn file(&self, filing: Filing, expires: Timestamp) -> Stored<'_, ()>;

    /// The texts on file, one answer per mark.
    fn texts<'a>(&'a self, marks: &'a [Mark], now: Timestamp)
    -> Stored<'a, Vec<Option<FiledText>>>;

    /// The leaves on file, one answer per mark.
    fn leaves<'a>(&'a self, marks: &'a [Mark], now: Timestamp) -> Stored<'a, Vec<Vec<FiledLeaf>>>;

    /// Whether fingerprints of a principal may be on file. Who has none cannot repeat any, so no
    /// text needs to be compared. `true` is always right; `false` only where each fingerprint filed
    /// for this owner has expired. Default: `true`.
    fn prints_of(&self, _owner: Mark, _now: Timestamp) -> Stored<'_, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// The join of the labels of all fingerprints that are on file.
    fn printed<'a>(&'a self, prints: &'a [u64], now: Timestamp) -> Stored<'a, Option<Label>>;

    /// Keeps a grant for the call that `slot` marks. It lifts refusals of the same call in the
    /// same conversation.
    fn grant(&self, slot: Mark, grant: Grant, expires: Timestamp) -> Stored<'_, ()>;

    /// Keeps a refusal of the call that `slot` marks. It voids grants of the same call in the
    /// same conversation.
    fn refuse(&self, slot: Mark, denial: Denial, expires: Timestamp) -> Stored<'_, ()>;

    /// What was decided on the call that `slot` marks; a grant is used up. Among several those
    /// with the same `hint` (a client's name for the conversation, or a conversation's id) come
    /// first; then the lowest: a refusal, which stays, before the grant with the worst label.
    fn claim<'a>(
        &'a self,
        slot: Mark,
        hint: Option<&'a str>,
        now: Timestamp,
    ) -> Stored<'a, Option<Claim>>;

    /// Notes that a principal has a conversation that holds untrusted data.
    fn taint<'a>(&'a self, owner: Mark, label: &'a Label, expires: Timestamp) -> Stored<'a, ()>;

    /// The label of a principal's worst live conversation, where one holds untrusted data.
    fn tainted(&self, owner: Mark, now: Timestamp) -> Stored<'_, Option<Label>>;
}
