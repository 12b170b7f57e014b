//! Why a decision is what it is.

use std::fmt;
use std::sync::Arc;

use cedar_policy::{Authorizer as Engine, Policy, PolicySet};
use doorward_core::Decision;
use serde_json::Value;

use super::fault::Place;
use super::load::Written;
use super::mention::{as_permit, scope_only};
use super::policies::Policies;
use super::question::{Question, Unaskable};

/// A decision and what became of every policy.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The policies, in the order they were written.
    pub policies: Vec<Considered>,
    /// Whether the principal's groups were known.
    pub groups_known: bool,
    /// Why the policies could not be asked, where that is so.
    pub error: Option<String>,
}

/// One policy, and what became of it.
#[derive(Debug, Clone)]
pub struct Considered {
    /// Its name: `@id`, or its file and line.
    pub id: Arc<str>,
    /// Where it stands.
    pub place: Place,
    /// Whether it is a `forbid`.
    pub forbids: bool,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It applies.
    Applies,
    /// It is about another action.
    OtherAction,
    /// It is about another principal or another thing.
    OutOfScope,
    /// Its conditions do not hold.
    ConditionsFail,
    /// It waits for the arguments or the label of a call.
    WaitsForCall,
    /// It could not be evaluated: the call is denied.
    Fails(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applies => "applies",
            Self::OtherAction => "is about another action",
            Self::OutOfScope => "is about another principal or another thing",
            Self::ConditionsFail => "does not apply: its conditions do not hold",
            Self::WaitsForCall => "waits for the call: it asks for arguments or the label",
            Self::Fails(error) => return write!(f, "fails: {error}"),
        })
    }
}

pub(super) fn explain(
    policies: &Policies,
    decision: Decision,
    question: Result<Question, Unaskable>,
) -> Explanation {
    let question = match question {
        Ok(question) => question,
        Err(Unaskable::Arguments(error) | Unaskable::Other(error)) => {
            let (groups_known, error) = (true, Some(error));
            return Explanation { decision, policies: Vec::new(), groups_known, error };
        }
    };
    let mut written: Vec<&Written> = policies.loaded().written.values().collect();
    written.sort_by(|a, b| a.place.cmp(&b.place));
    let bench = policies.loaded().benches.get(&*question.verb);
    let considered = written.into_iter().map(|one| {
        let about = bench.is_some_and(|bench| bench.policies.policy(one.policy.id()).is_some());
        Considered {
            id: one.id.clone(),
            place: one.place.clone(),
            forbids: one.forbids(),
            verdict: if about { verdict(one, &question) } else { Verdict::OtherAction },
        }
    });
    let considered = considered.collect();
    let groups_known = question.groups_known;
    Explanation { decision, policies: considered, groups_known, error: None }
}

/// What becomes of one policy alone.
fn verdict(one: &Written, question: &Question) -> Verdict {
    match holds(one, as_permit(scope_only(&one.json)), question) {
        Ok(true) => {}
        Ok(false) => return Verdict::OutOfScope,
        Err(error) => return Verdict::Fails(error),
    }
    if question.before && one.mentions.wait_for_call() {
        return Verdict::WaitsForCall;
    }
    match holds(one, as_permit(one.json.clone()), question) {
        Ok(true) => Verdict::Applies,
        Ok(false) => Verdict::ConditionsFail,
        Err(error) => Verdict::Fails(error),
    }
}

fn holds(one: &Written, json: Value, question: &Question) -> Result<bool, String> {
    let id = one.policy.id().clone();
    let policy = Policy::from_json(Some(id), json).map_err(|error| error.to_string())?;
    let set = PolicySet::from_policies([policy]).map_err(|error| error.to_string())?;
    let response = Engine::new().is_authorized(&question.request, &set, &question.entities);
    match response.diagnostics().errors().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(response.decision() == cedar_policy::Decision::Allow),
    }
}
