//! Pins: what an operator approved of a tool, so that a server cannot change it unseen.
//!
//! A tool's definition is what a model obeys. A server may show a harmless one until it is
//! trusted and another one later, so its canonical form is hashed and kept. [`judge`] compares
//! what a server lists now with what is kept, [`Diff`] shows the difference to a person, and
//! [`inspect`] looks for what no person would see.
//!
//! ```
//! use doorward_core::Timestamp;
//! use doorward_mcp_broker::pin::{Canonical, PinPolicy, Standing, judge};
//! use serde_json::value::RawValue;
//!
//! let definition = |text: &str| {
//!     let json = format!(r#"{{"name":"get_issue","description":"{text}","inputSchema":{{}}}}"#);
//!     Canonical::of(&RawValue::from_string(json).unwrap()).unwrap()
//! };
//! let (policy, now) = (PinPolicy::default(), Timestamp::from_micros(0));
//!
//! // Seen for the first time: approved, and to be recorded.
//! let first = judge("tracker", None, &definition("Reads an issue."), &policy, now);
//! assert!(first.listed);
//! let pin = first.record.unwrap();
//!
//! // Changed later: out of every list, until somebody approves what the pin now holds.
//! let later = judge("tracker", Some(&pin), &definition("Reads all secrets."), &policy, now);
//! assert!(!later.listed);
//! assert!(matches!(later.standing, Standing::Changed { .. }));
//! ```

mod canonical;
mod confusable;
mod diff;
mod inspect;
mod phrases;
mod shadow;
mod store;

use std::sync::Arc;

use doorward_core::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

pub use canonical::{CanonError, Canonical};
pub use diff::{Change, Diff};
pub use inspect::{Finding, Severity, inspect, inspect_definition};
pub use shadow::{Named, Shadow, shadows};
pub use store::{MemoryPins, PinError, PinStore};

/// The rule by which a call of a tool that is held back is refused.
pub(crate) const RULE: &str = "pin";

/// Who approves where the policy trusts a first sight.
const FIRST_USE: &str = "first use";

/// What is kept about one tool: what was approved last, and what the server shows now where that
/// is something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The server.
    pub server: Arc<str>,
    /// The tool, by the server's own name.
    pub tool: Arc<str>,
    /// What was approved last; `None` where nothing ever was.
    pub approved: Option<Approval>,
    /// What waits for approval; `None` where the server shows what was approved.
    pub pending: Option<Pending>,
    /// Counts the writes, from 1: a store takes a pin only where it holds the one before.
    pub revision: u64,
}

/// An approved definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The definition in its canonical form.
    pub definition: Canonical,
    /// When it was approved.
    pub at: Timestamp,
    /// By whom: an operator's name, or `first use`.
    pub by: Arc<str>,
}

/// A definition that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The definition in its canonical form.
    pub definition: Canonical,
    /// When it was first seen.
    pub since: Timestamp,
}

/// Why an approval was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// The tool shows what is approved already.
    #[error("nothing waits for approval")]
    NothingPending,
    /// The server changed the tool again since the operator looked at it.
    #[error("the definition changed again since it was shown; look at it once more")]
    ChangedSince,
}

impl Pin {
    /// The pin with its pending definition approved. The operator says which fingerprint was
    /// shown, so that nothing is approved unseen.
    ///
    /// # Errors
    ///
    /// Where nothing is pending, or something else than what was shown.
    pub fn approve(
        &self,
        shown: &Digest,
        by: impl Into<Arc<str>>,
        at: Timestamp,
    ) -> Result<Self, ApproveError> {
        let pending = self.pending.as_ref().ok_or(ApproveError::NothingPending)?;
        if pending.definition.fingerprint() != *shown {
            return Err(ApproveError::ChangedSince);
        }
        let approved = Approval { definition: pending.definition.clone(), at, by: by.into() };
        Ok(self.next(Some(approved), None))
    }

    /// The pin with what policy approved approved by an operator, whose word counts for more: a
    /// tool held back for what it does to others is listed then.
    ///
    /// # Errors
    ///
    /// Where something waits for approval instead, or nothing was approved by policy.
    pub fn vouch(&self, by: impl Into<Arc<str>>, at: Timestamp) -> Result<Self, ApproveError> {
        let approved = self.approved.as_ref().filter(|approval| &*approval.by == FIRST_USE);
        match (&self.pending, approved) {
            (None, Some(approval)) => {
                let definition = approval.definition.clone();
                Ok(self.next(Some(Approval { definition, at, by: by.into() }), None))
            }
            _ => Err(ApproveError::NothingPending),
        }
    }

    /// What an operator has to read: from the approved definition to the pending one.
    pub fn diff(&self) -> Option<Diff> {
        let pending = self.pending.as_ref()?;
        let approved = self.approved.as_ref().map(|approval| &approval.definition);
        Some(Diff::between(approved, &pending.definition))
    }

    fn next(&self, approved: Option<Approval>, pending: Option<Pending>) -> Self {
        let (server, tool) = (self.server.clone(), self.tool.clone());
        Self { server, tool, approved, pending, revision: self.revision.saturating_add(1) }
    }
}

/// What happens to a tool that was never approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstUse {
    /// It is approved as it is first seen.
    #[default]
    Trust,
    /// It is hidden until an operator approves it.
    Ask,
}

/// What happens to a tool that is no longer what was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// It is hidden until an operator approves the change.
    #[default]
    Hide,
    /// It stays listed; the change is recorded and told.
    Warn,
}

/// How strictly tools are held to what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", default)]
pub struct PinPolicy {
    /// For tools never approved.
    pub first_use: FirstUse,
    /// For tools that changed.
    pub on_change: OnChange,
    /// The least severity of a finding that keeps a definition out until an operator approves it,
    /// whatever the other two say.
    pub hold: Severity,
}

impl Default for PinPolicy {
    /// Trust at first sight, hide on change, hold what has a finding that blocks.
    fn default() -> Self {
        Self {
            first_use: FirstUse::default(),
            on_change: OnChange::default(),
            hold: Severity::Block,
        }
    }
}

/// Where a tool's definition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Never approved, and nothing is wrong with it.
    New,
    /// What was approved: by an operator, or just now by the policy.
    Approved,
    /// Not what was approved.
    Changed {
        /// When the change was first seen.
        since: Timestamp,
    },
    /// Not approved, and it holds something that a person should look at first.
    Suspicious {
        /// What was found.
        findings: Vec<Finding>,
    },
}

/// What follows for a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Where it stands.
    pub standing: Standing,
    /// Whether it may be listed and called.
    pub listed: bool,
    /// The pin to store, where anything changed.
    pub record: Option<Pin>,
}

/// Compares what a server shows with what is kept. Pure: nothing is stored here.
pub fn judge(
    server: &str,
    known: Option<&Pin>,
    definition: &Canonical,
    policy: &PinPolicy,
    now: Timestamp,
) -> Judgement {
    let fingerprint = definition.fingerprint();
    let approved = known.and_then(|pin| pin.approved.as_ref());
    if approved.is_some_and(|approval| approval.definition.fingerprint() == fingerprint) {
        // Back to what it was: whatever waited for approval is no longer shown.
        let record = known
            .filter(|pin| pin.pending.is_some())
            .map(|pin| pin.next(pin.approved.clone(), None));
        return Judgement { standing: Standing::Approved, listed: true, record };
    }
    let findings = inspect_definition(definition);
    let held = findings.iter().any(|finding| finding.severity >= policy.hold);
    if approved.is_none() && !held && policy.first_use == FirstUse::Trust {
        let approval = Approval { definition: definition.clone(), at: now, by: FIRST_USE.into() };
        let record = Some(renewed(server, known, definition, Some(approval), None));
        return Judgement { standing: Standing::Approved, listed: true, record };
    }
    let waiting = known
        .and_then(|pin| pin.pending.as_ref())
        .filter(|pending| pending.definition.fingerprint() == fingerprint);
    let since = waiting.map_or(now, |pending| pending.since);
    let record = waiting.is_none().then(|| {
        let pending = Pending { definition: definition.clone(), since };
        renewed(server, known, definition, approved.cloned(), Some(pending))
    });
    let listed = approved.is_some() && !held && policy.on_change == OnChange::Warn;
    let standing = match approved {
        _ if held => Standing::Suspicious { findings },
        Some(_) => Standing::Changed { since },
        None => Standing::New,
    };
    Judgement { standing, listed, record }
}

fn renewed(
    server: &str,
    known: Option<&Pin>,
    definition: &Canonical,
    approved: Option<Approval>,
    pending: Option<Pending>,
) -> Pin {
    match known {
        Some(pin) => pin.next(approved, pending),
        None => Pin {
            server: server.into(),
            tool: definition.name().into(),
            approved,
            pending,
            revision: 1,
        },
    }
}

#[cfg(test)]
mod tests;
