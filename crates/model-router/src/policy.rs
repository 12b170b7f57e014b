//! Which upstreams a call's data may go to: labels that somebody requires.

use std::collections::BTreeMap;
use std::fmt::Write;

use doorward_core::{CallError, Code, Cx};

use crate::Upstream;

/// Labels that an upstream must have, each one of the values.
pub(crate) type Labels = BTreeMap<String, Vec<String>>;

/// Everything that is required of an upstream for one call: by the key, by the team and by the
/// request. All of it must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy<'a> {
    required: [Option<&'a Labels>; 3],
}

impl<'a> Policy<'a> {
    pub(crate) fn new(cx: &'a Cx, teams: &'a BTreeMap<String, Labels>, wished: &'a Labels) -> Self {
        let team = cx.principal.team.as_deref().and_then(|team| teams.get(team));
        let said = |labels: &'a Labels| (!labels.is_empty()).then_some(labels);
        Self { required: [said(&cx.principal.scopes.require), team, said(wished)] }
    }

    fn labels(&self) -> impl Iterator<Item = (&'a String, &'a Vec<String>)> {
        self.required.into_iter().flatten().flatten()
    }

    /// Which requirement an upstream does not meet, in words. One that does not say is not
    /// trusted to.
    pub(crate) fn misfit(&self, upstream: &Upstream) -> Option<String> {
        self.labels().find_map(|(label, wanted)| match upstream.labels.get(label) {
            Some(has) if wanted.contains(has) => None,
            Some(has) => Some(format!("label {label}: `{has}` is not {}", wanted.join(" or "))),
            None => Some(format!("label {label}: not said, wanted {}", wanted.join(" or "))),
        })
    }

    /// No upstream meets the requirements. This is no failure that another try could mend.
    pub(crate) fn refusal(&self, model: &str) -> CallError {
        let mut wanted = String::new();
        for (label, values) in self.labels() {
            let comma = if wanted.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(wanted, "{comma}{label} = {}", values.join(" or "));
        }
        let public = format!("no upstream for `{model}` has the required labels: {wanted}");
        CallError::new(Code::Forbidden, public).with_rule("data-policy")
    }
}
