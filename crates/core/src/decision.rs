//! What was decided, by which rule, and why.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
}

/// One decision with its explanation. `reason` and `remedies` are shown to the caller: they hold
/// no secrets and no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Allowed or not.
    pub effect: Effect,
    /// The rule that decided, by a stable name.
    pub rule: Arc<str>,
    /// Why, in plain words.
    pub reason: Cow<'static, str>,
    /// What would lead on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<Cow<'static, str>>,
}

impl Decision {
    /// Allowed by this rule.
    pub fn allow(rule: impl Into<Arc<str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { effect: Effect::Allow, rule: rule.into(), reason: reason.into(), remedies: vec![] }
    }

    /// Denied by this rule.
    pub fn deny(rule: impl Into<Arc<str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { effect: Effect::Deny, ..Self::allow(rule, reason) }
    }

    /// Adds a way that would lead on.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedies.push(remedy.into());
        self
    }

    /// Whether it may happen.
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }
}
