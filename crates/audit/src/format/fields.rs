//! What the forms have in common: a record's parts as plain words.

use doorward_core::{Effect, Event, Kind, Operation, Outcome, PrincipalKind};

/// How much a record matters to whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// As it should be.
    Information,
    /// Refused.
    Warning,
    /// Failed.
    Error,
}

/// A record's parts that every form shows.
pub(super) struct Fields<'a> {
    pub(super) event: &'a Event,
    /// `model`, `tool`, `relay` or `admin`.
    pub(super) kind: &'static str,
    /// What was done, as a verb.
    pub(super) operation: String,
    /// To what: a model, a tool, a path, an object.
    pub(super) object: String,
    /// Where it went, where known.
    pub(super) target: Option<String>,
    pub(super) tokens: Option<(u64, u64)>,
    pub(super) cost_nanos: Option<u64>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        let (kind, operation, object, target) = match &event.kind {
            Kind::Model { operation, model, route, .. } => {
                let operation = match operation {
                    Operation::Complete => "complete",
                    Operation::Embed => "embed",
                    Operation::Count => "count",
                };
                let target = route.as_ref().map(|route| route.target.clone());
                ("model", operation.to_owned(), model.clone(), target)
            }
            Kind::Tool { tool, .. } => ("tool", "call".to_owned(), tool.to_string(), None),
            Kind::Relay { method, path, upstream, .. } => {
                ("relay", method.clone(), path.clone(), upstream.clone())
            }
            Kind::Admin { action, object, .. } => ("admin", action.clone(), object.clone(), None),
        };
        let (tokens, cost_nanos) = match &event.kind {
            Kind::Model { usage, settled, .. } => (
                usage.as_ref().map(|usage| (usage.input, usage.output)),
                settled.as_ref().and_then(|settled| settled.cost_nanos),
            ),
            _ => (None, None),
        };
        let target = target.filter(|target| !target.is_empty());
        Self { event, kind, operation, object, target, tokens, cost_nanos }
    }

    pub(super) fn severity(&self) -> Severity {
        Severity::of(self.event)
    }

    pub(super) fn effect(&self) -> &'static str {
        match self.event.decision.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        }
    }

    pub(super) fn principal_kind(&self) -> &'static str {
        match self.event.who.kind {
            PrincipalKind::Person => "person",
            PrincipalKind::Service => "service",
        }
    }

    /// Who acted, nearest first.
    pub(super) fn actors(&self) -> String {
        let ids: Vec<&str> = self.event.who.actors.iter().map(|actor| &*actor.id).collect();
        ids.join(" ")
    }
}

impl Severity {
    pub(crate) fn of(event: &Event) -> Self {
        match event.outcome {
            Outcome::Started | Outcome::Completed | Outcome::Cancelled => Self::Information,
            Outcome::Denied => Self::Warning,
            Outcome::Failed => Self::Error,
        }
    }
}
