//! How long records are kept, and what holds them longer.

use std::ops::RangeInclusive;
use std::sync::Arc;

use doorward_core::{Event, Timestamp, TurnId};
use serde::{Deserialize, Serialize};

use crate::proof::ProofError;
use crate::{Cut, Fault, Head, Log, LogError, Sealed, SignError, Signer, Verifier};

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// A legal hold: what it names is not pruned, however old it is. What it leaves open does not
/// limit it: a hold that names nothing holds everything.
///
/// ```
/// use doorward_audit::Hold;
/// let hold = Hold { principal: Some("alice@example.com".into()), ..Hold::new("case-17") };
/// assert_eq!(hold.name, "case-17");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// What it is called; one of each name.
    pub name: String,
    /// Holds this principal's records, or those of whom an actor of that name acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<str>>,
    /// Holds this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// Holds records of this time and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Holds records before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Hold {
    /// A hold on everything, to be narrowed.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            principal: None,
            turn: None,
            from: None,
            until: None,
            reason: String::new(),
        }
    }

    /// Whether it holds this record.
    pub fn holds(&self, event: &Event) -> bool {
        let who = &event.who;
        let named =
            |name: &Arc<str>| who.id == *name || who.actors.iter().any(|actor| actor.id == *name);
        self.principal.as_ref().is_none_or(named)
            && self.turn.is_none_or(|turn| turn == event.turn)
            && self.from.is_none_or(|from| event.at >= from)
            && self.until.is_none_or(|until| event.at < until)
    }
}

/// A log that can let go of old records.
pub trait Archive: Log {
    /// Takes out the records up to the cut's base, and the texts of the records in these ranges,
    /// and keeps the cut; all at once or nothing.
    ///
    /// # Errors
    ///
    /// Where the storage fails, or this is not the log's one writer.
    fn prune(&mut self, cut: &Cut, bare: &[RangeInclusive<u64>]) -> Result<(), LogError>;

    /// The legal holds, by name.
    fn holds(&mut self) -> Result<Vec<Hold>, LogError>;

    /// Puts a hold in place; one of the same name is replaced.
    fn hold(&mut self, hold: &Hold) -> Result<(), LogError>;

    /// Lifts a hold; `false` where there is none of that name.
    fn release(&mut self, name: &str) -> Result<bool, LogError>;
}

/// A log could not be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The log is not what was signed. Pruning would cover that up.
    #[error("the log is not intact, so nothing is pruned")]
    Fault(#[from] Fault),
    /// A record cannot be read.
    #[error("a record cannot be read, so nothing is pruned")]
    Record(#[from] crate::RecordError),
    /// The tree could not be computed.
    #[error("the log's tree cannot be computed, so nothing is pruned")]
    Proof(#[from] ProofError),
    /// The statement was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The log failed.
    #[error("the log could not be read or written")]
    Log(#[from] LogError),
}

/// What pruning did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The statement as it stands now.
    pub cut: Cut,
    /// How many records went.
    pub gone: u64,
    /// How many kept only their hashes, because a record before them is held.
    pub bare: u64,
    /// How many were kept for a hold.
    pub held: u64,
}

/// Prunes records that happened before `before`, from the first on; the last record stays. Those
/// numbered above `delivered` stay too: pass how far everybody who reads the log has come, or
/// `u64::MAX`. The log is verified first.
///
/// Records under a [`Hold`] stay whole. In front of the first of them records go; after it only
/// their texts do, since their hashes hold the tree together.
///
/// Returns `None` where nothing is to be pruned.
///
/// # Errors
///
/// Where the log is not intact; nothing is pruned then.
pub fn prune(
    log: &mut dyn Archive,
    signer: &dyn Signer,
    before: Timestamp,
    delivered: u64,
    now: Timestamp,
) -> Result<Option<Pruned>, PruneError> {
    let verified = Verifier::new(signer.verifying_key()).log(as_log(log))?;
    let Some(checkpoint) = verified.checkpoint else { return Ok(None) };
    let known = log.cut()?;
    let base = known.as_ref().map_or(0, |cut| cut.base);
    let last = checkpoint.size.saturating_sub(1).min(delivered);
    let holds = log.holds()?;
    let mut plan = Plan::new(base, known.as_ref().map_or(0, |cut| cut.upto));
    'pages: loop {
        let page = log.read(plan.upto + 1, PAGE)?;
        if page.is_empty() {
            break;
        }
        for sealed in &page {
            if sealed.seq > last || !plan.take(sealed, &holds, before)? {
                break 'pages;
            }
        }
    }
    let upto = plan.upto.max(plan.known);
    if plan.gone() == 0 && plan.stripped == 0 {
        return Ok(None);
    }
    let tree = crate::proof::tree(as_log(log), plan.base)?;
    let link = match plan.link {
        Some(link) => link,
        None => known.as_ref().map_or(Head::EMPTY.link, |cut| cut.link),
    };
    let cut = Cut::sign(signer, &checkpoint.origin, (&tree, link), upto, now)?;
    log.prune(&cut, &plan.bare)?;
    Ok(Some(Pruned { gone: plan.gone(), bare: plan.stripped, held: plan.held, cut }))
}

fn as_log(log: &mut dyn Archive) -> &mut dyn Log {
    log
}

/// What shall go, put together record by record.
struct Plan {
    /// How far the log was pruned before.
    before: u64,
    /// How far texts were missing before.
    known: u64,
    /// Records up to here go.
    base: u64,
    link: Option<doorward_core::Digest>,
    /// The last record looked at.
    upto: u64,
    bare: Vec<RangeInclusive<u64>>,
    stripped: u64,
    held: u64,
}

impl Plan {
    fn new(base: u64, known: u64) -> Self {
        let link = None;
        Self { before: base, known, base, link, upto: base, bare: vec![], stripped: 0, held: 0 }
    }

    fn gone(&self) -> u64 {
        self.base - self.before
    }

    /// Looks at the next record; `false` where it is too young, and the plan ends.
    fn take(
        &mut self,
        sealed: &Sealed,
        holds: &[Hold],
        before: Timestamp,
    ) -> Result<bool, PruneError> {
        let seq = sealed.seq;
        if !sealed.is_bare() {
            let event = sealed.record()?.event;
            if event.at >= before {
                return Ok(false);
            }
            if holds.iter().any(|hold| hold.holds(&event)) {
                self.held += 1;
                self.upto = seq;
                return Ok(true);
            }
        }
        if self.held == 0 {
            self.base = seq;
            self.link = Some(sealed.link);
        } else if !sealed.is_bare() {
            self.stripped += 1;
            match self.bare.last_mut() {
                Some(range) if range.end() + 1 == seq => *range = *range.start()..=seq,
                _ => self.bare.push(seq..=seq),
            }
        }
        self.upto = seq;
        Ok(true)
    }
}
