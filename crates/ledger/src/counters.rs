//! Where the counts are kept.
//!
//! A store that several processes share fits this trait as it is. [`reserve`](Counters::reserve)
//! is one atomic step of the store: a Lua script in Redis, a statement under row locks in
//! PostgreSQL. [`settle`](Counters::settle) does not wait: a remote store queues it, and where the
//! process dies first, the [lease](Hold::until) says what becomes of it. Each call carries the
//! whole [`Hold`], so the store need remember of one no more than its id.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{BoxFuture, KeyId, RequestId, Timestamp};
use serde::{Serialize, Serializer};

mod memory;

pub use memory::Memory;

/// Whose count it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Everybody's together.
    All,
    /// A principal's or a team's, by its name.
    Name(Arc<str>),
    /// A virtual key's.
    Key(KeyId),
    /// An agent's, of a principal.
    Agent {
        /// For whom it acts.
        principal: Arc<str>,
        /// Its name.
        agent: Arc<str>,
    },
}

/// The name, the key's public id, or `agent of principal`; nothing for everybody.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Name(name) => f.write_str(name),
            Self::Key(key) => fmt::Display::fmt(key, f),
            Self::Agent { principal, agent } => write!(f, "{agent} of {principal}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// The rule.
    pub rule: Arc<str>,
    /// Whose.
    pub subject: Subject,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All from a moment until another: windows of one count follow one another.
    Window {
        /// The first moment.
        starts: Timestamp,
        /// The first moment after it: nothing need be kept longer.
        ends: Timestamp,
    },
    /// All within so long before now. What was reserved at a moment counts for at least the
    /// length, and for at most a [sixtieth](ROLLING_PARTS) of it longer.
    Rolling {
        /// How long.
        length: Duration,
    },
    /// What is held now: a hold's claim counts until it is settled or its lease runs out.
    Held,
}

/// Into how many parts a rolling window is cut. A part's amount counts until all of the part is
/// out of the window, so that room comes back late by up to one part, and never early.
pub const ROLLING_PARTS: u32 = 60;

/// One count, over one span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Which.
    pub key: CounterKey,
    /// Over what.
    pub span: Span,
}

/// Room wanted under one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it counts.
    pub count: Count,
    /// How much there is.
    pub most: u64,
    /// How much is wanted.
    pub amount: u64,
}

/// Names one hold among those of all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId {
    /// The request it is for.
    pub request: RequestId,
    /// Its number in this process.
    pub serial: u64,
}

/// Room wanted, and then held, under several limits at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub id: HoldId,
    /// When it was asked for. What it reserves counts from here on, whenever it is settled.
    pub at: Timestamp,
    /// When its lease runs out. One that was not settled until then was left behind by a process
    /// that ended: its claims on [`Span::Held`] are void, the others stand as reserved until
    /// their window is over, since what they stand for may have been spent.
    pub until: Timestamp,
    /// Under which limits. No count is claimed twice.
    pub claims: Vec<Claim>,
}

/// There is not enough room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Under which of the claims, by its place.
    pub claim: usize,
    /// How much is used there.
    pub used: u64,
    /// When so much of it is over that the claim fits, if nothing is added. `None` where that is
    /// not foreseeable, or never.
    pub room_at: Option<Timestamp>,
}

/// Nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// There is not enough room.
    #[error("claim {} is full", .0.claim)]
    Full(Full),
    /// The counts cannot be had.
    #[error("the counts cannot be had")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// How much of a count is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// So much.
    pub amount: u64,
    /// When it is nothing again, if nothing is added. `None` where it is nothing, or that is not
    /// foreseeable.
    pub until: Option<Timestamp>,
}

/// Counts that several callers share.
///
/// ```
/// use std::time::Duration;
/// use doorward_core::{RequestId, Timestamp};
/// use doorward_ledger::{Claim, Count, CounterKey, Counters, Hold, HoldId, Memory, Span, Subject};
///
/// let now = Timestamp::from_micros(0);
/// let key = CounterKey { rule: "tokens".into(), subject: Subject::All };
/// let count = Count { key, span: Span::Window { starts: now, ends: now.after(Duration::from_secs(60)) } };
/// let hold = Hold {
///     id: HoldId { request: RequestId::from_bytes([7; 16]), serial: 1 },
///     at: now,
///     until: now.after(Duration::from_secs(3600)),
///     claims: vec![Claim { count: count.clone(), most: 100, amount: 80 }],
/// };
/// # futures_util::FutureExt::now_or_never(async {
/// let counters = Memory::default();
/// counters.reserve(&hold).await?;
/// counters.settle(&hold, &[25]);
/// assert_eq!(counters.used(&[count], now).await.unwrap()[0].amount, 25);
/// # Ok::<(), doorward_ledger::ReserveError>(())
/// # }).unwrap().unwrap();
/// ```
pub trait Counters: Send + Sync + fmt::Debug {
    /// Adds all the claims, or none of them: at no moment does another caller see some added.
    ///
    /// # Errors
    ///
    /// The first claim for which there is not enough room; or that the counts cannot be had, and
    /// then the hold may stand all the same until it is settled.
    fn reserve<'a>(&'a self, hold: &'a Hold) -> BoxFuture<'a, Result<(), ReserveError>>;

    /// Puts `amounts`, in the claims' order, in the place of what the hold reserved, and lets go
    /// of its claims on [`Span::Held`]. More than was reserved counts in full, even over the
    /// limit: it is spent. A window that is over is left alone. A hold that is not there, because
    /// it never was or is settled, changes nothing; one whose lease ran out may be forgotten.
    fn settle(&self, hold: &Hold, amounts: &[u64]);

    /// How much of each is used, in the same order.
    ///
    /// # Errors
    ///
    /// Where the counts cannot be had.
    fn used<'a>(
        &'a self,
        counts: &'a [Count],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Used>, Box<dyn Error + Send + Sync>>>;
}
