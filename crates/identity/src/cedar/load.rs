//! From texts to policies that can decide.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, ValidationMode,
    Validator,
};
use serde_json::Value;

use super::fault::{Fault, Place, PolicyError, told};
use super::mention::{Mentions, as_permit, without};
use super::vocabulary::{ByAction, Verb, Vocabulary, is_or_in};

/// A text and what it is called in errors.
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// The file's name. One that ends in `.cedarschema` declares tools' arguments, any other
    /// holds policies.
    pub file: Arc<str>,
    /// What it says.
    pub text: Arc<str>,
}

impl PolicySource {
    /// A text under this name.
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    fn declares(&self) -> bool {
        std::path::Path::new(&*self.file).extension().is_some_and(|end| end == "cedarschema")
    }
}

/// One policy as it was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) id: Arc<str>,
    pub(super) place: Place,
    pub(super) policy: Policy,
    pub(super) json: Value,
    pub(super) mentions: Mentions,
    /// `policy.` and its id, as decisions name it.
    pub(super) rule: Arc<str>,
    /// What to tell somebody whom it refuses, from `@reason`.
    pub(super) reason: Option<Arc<str>>,
}

impl Written {
    pub(super) fn forbids(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }
}

/// The policies that one action is decided by.
#[derive(Debug, Default)]
pub(super) struct Bench {
    /// The whole of them.
    pub(super) policies: PolicySet,
    /// Before the arguments and the label are known: a permit that waits for them may apply, a
    /// forbid that does may not.
    pub(super) before: PolicySet,
    /// Those that ask for groups, as permits and without what they ask of groups.
    pub(super) groups: PolicySet,
    /// As `groups`, of those that do not wait for arguments or label.
    pub(super) groups_before: PolicySet,
    pub(super) mentions: Mentions,
}

/// Everything that is known once the texts are read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) vocabulary: Vocabulary,
    pub(super) written: HashMap<PolicyId, Written>,
    pub(super) benches: ByAction<Bench>,
    pub(super) warnings: Vec<Fault>,
    pub(super) people: People,
}

/// Memberships of the entities file.
#[derive(Debug, Default)]
pub(super) struct People {
    /// All groups above a principal or a group.
    above: HashMap<EntityUid, Vec<EntityUid>>,
}

impl People {
    pub(super) fn above(&self, uid: &EntityUid) -> Option<&[EntityUid]> {
        self.above.get(uid).map(Vec::as_slice)
    }

    /// Cedar's JSON entities (<https://docs.cedarpolicy.com/auth/entities-syntax.html>): users,
    /// services and groups, and the groups they are in.
    fn read(source: &PolicySource) -> Result<Self, PolicyError> {
        let (file, text) = (&source.file, &*source.text);
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line().max(1), error.column().max(1));
            let place = Place { file: file.clone(), line, column };
            PolicyError::one(place, error.to_string())
        })?;
        let wrong = |error: &dyn std::fmt::Display| {
            PolicyError::one(Place::at(file, text, 0), error.to_string())
        };
        let entities = Entities::from_json_value(value, None).map_err(|e| wrong(&e))?;
        let mut people = Self::default();
        for entity in entities.iter() {
            let uid = entity.uid();
            let at = || text.find(uid.id().unescaped()).unwrap_or(0);
            let fault = |message: String| PolicyError::one(Place::at(file, text, at()), message);
            let kind = uid.type_name().to_string();
            let groups = ["User", "Service", "Group"].contains(&kind.as_str());
            let roles = groups && kind != "Group";
            if !groups && kind != "Role" && kind != "Team" {
                return Err(fault(format!("`{uid}`: expected a User, a Service or a Group")));
            }
            if entity.attrs().next().is_some() {
                return Err(fault(format!("`{uid}`: attributes are not read from here")));
            }
            let above: Vec<EntityUid> =
                entities.ancestors(&uid).into_iter().flatten().cloned().collect();
            for parent in &above {
                let parent_kind = parent.type_name().to_string();
                let fits = (groups && parent_kind == "Group")
                    || (roles && (parent_kind == "Role" || parent_kind == "Team"));
                if !fits {
                    return Err(fault(format!("`{uid}` cannot be in `{parent}`")));
                }
            }
            people.above.insert(uid, above);
        }
        Ok(people)
    }
}

/// Reads and checks all.
///
/// # Errors
///
/// All that is wrong with the texts.
pub(super) fn load(
    sources: &[PolicySource],
    entities: Option<&PolicySource>,
) -> Result<Loaded, PolicyError> {
    let vocabulary = Vocabulary::new(sources.iter().filter(|source| source.declares()))?;
    let people = entities.map(People::read).transpose()?.unwrap_or_default();
    let mut faults = Vec::new();
    let mut written: HashMap<PolicyId, Written> = HashMap::new();
    for source in sources.iter().filter(|source| !source.declares()) {
        match read(source) {
            Ok(found) => {
                for policy in found {
                    if let Some(other) = written.get(policy.policy.id()) {
                        let message =
                            format!("`{}` is the policy's name at {} too", policy.id, other.place);
                        faults.push(Fault { place: policy.place, message });
                    } else {
                        written.insert(policy.policy.id().clone(), policy);
                    }
                }
            }
            Err(error) => faults.extend(error.faults().iter().cloned()),
        }
    }
    if !faults.is_empty() {
        return Err(PolicyError::new(faults));
    }
    let warnings = validate(&vocabulary, &written, sources)?;
    let mut benches = ByAction::default();
    for (id, verb) in &vocabulary.verbs {
        benches.insert(id.clone(), bench(verb, &written)?);
    }
    Ok(Loaded { vocabulary, written, benches, warnings, people })
}

fn read(source: &PolicySource) -> Result<Vec<Written>, PolicyError> {
    let (file, text) = (&source.file, &*source.text);
    let set: PolicySet =
        text.parse().map_err(|error| PolicyError::new(told(&error, file, text, 0)))?;
    let place = |byte: Option<usize>| Place::at(file, text, byte.unwrap_or(0));
    if let Some(template) = set.templates().next() {
        let at = place(template.as_ref().loc().map(|loc| loc.span.offset()));
        return Err(PolicyError::one(
            at,
            "templates (`?principal`, `?resource`) are not used here",
        ));
    }
    set.policies()
        .map(|policy| {
            let place = place(policy.as_ref().loc().map(|loc| loc.span.offset()));
            let id: Arc<str> = match policy.annotation("id") {
                Some("") => return Err(PolicyError::one(place, "`@id` is empty")),
                Some(id) => id.into(),
                None => format!("{file}:{}", place.line).into(),
            };
            let json = policy.to_json();
            let json = json.map_err(|e| PolicyError::one(place.clone(), e.to_string()))?;
            Ok(Written {
                rule: format!("policy.{id}").into(),
                reason: policy.annotation("reason").filter(|text| !text.is_empty()).map(Arc::from),
                policy: policy.new_id(PolicyId::new(&*id)),
                mentions: Mentions::of(&json),
                id,
                place,
                json,
            })
        })
        .collect()
}

/// Strict validation. What can never apply is an error: a rule that protects nothing is a
/// mistake.
fn validate(
    vocabulary: &Vocabulary,
    written: &HashMap<PolicyId, Written>,
    sources: &[PolicySource],
) -> Result<Vec<Fault>, PolicyError> {
    use cedar_policy::ValidationWarning as Warning;
    let set = set(written.values().map(|one| one.policy.clone()))?;
    let result = Validator::new(vocabulary.schema.clone()).validate(&set, ValidationMode::Strict);
    let place = |id: &PolicyId, diagnostic: &dyn miette::Diagnostic| {
        let Some(one) = written.get(id) else { return Vec::new() };
        let text = sources.iter().find(|source| source.file == one.place.file);
        let text = text.map(|source| &*source.text).unwrap_or_default();
        let start = one.policy.as_ref().loc().map_or(0, |loc| loc.span.offset());
        told(diagnostic, &one.place.file, text, start)
    };
    let mut faults = Vec::new();
    for error in result.validation_errors() {
        faults.extend(place(error.policy_id(), error).into_iter().map(brief));
    }
    // What is wrong is told for every action that it is wrong for: once is enough.
    faults.sort_by(|a: &Fault, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
    faults.dedup_by(|a, b| a.place == b.place);
    let wrong: HashSet<PolicyId> =
        result.validation_errors().map(|error| error.policy_id().clone()).collect();
    let mut warnings = Vec::new();
    for warning in result.validation_warnings() {
        let id = warning.policy_id();
        let found = place(id, warning).into_iter().map(brief);
        match warning {
            // Of a policy that is wrong the error says enough.
            Warning::ImpossiblePolicy(_) | Warning::InvalidActionApplication(_) => {
                faults.extend(found.map(never).filter(|_| !wrong.contains(id)).take(1));
            }
            _ => warnings.extend(found),
        }
    }
    faults.dedup_by(|a, b| a.place == b.place);
    if faults.is_empty() { Ok(warnings) } else { Err(PolicyError::new(faults)) }
}

/// Without the policy's name, as the place says where it is.
fn brief(mut fault: Fault) -> Fault {
    if let Some((_, rest)) =
        fault.message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "))
    {
        fault.message = rest.to_owned();
    }
    fault
}

fn never(mut fault: Fault) -> Fault {
    fault.message.push_str(
        " (it would never apply; actions that are groups need `action in`, and arguments a \
         declaration)",
    );
    fault
}

fn set(policies: impl IntoIterator<Item = Policy>) -> Result<PolicySet, PolicyError> {
    PolicySet::from_policies(policies)
        .map_err(|error| PolicyError::one(Place::at(&"".into(), "", 0), error.to_string()))
}

/// The policies that may apply to this action, in the forms they are asked in.
fn bench(verb: &Verb, written: &HashMap<PolicyId, Written>) -> Result<Bench, PolicyError> {
    let about: Vec<&Written> = written
        .values()
        .filter(|one| match one.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => verb.uid == uid,
            ActionConstraint::In(uids) => uids.iter().any(|uid| is_or_in(verb, uid)),
        })
        .collect();
    let rebuilt = |one: &Written, json: Value| {
        Policy::from_json(Some(one.policy.id().clone()), json)
            .map_err(|error| PolicyError::one(one.place.clone(), error.to_string()))
    };
    let mut bench = Bench::default();
    let (mut before, mut groups, mut groups_before) = (vec![], vec![], vec![]);
    for one in &about {
        bench.mentions = bench.mentions.join(one.mentions);
        let waits = one.mentions.wait_for_call();
        if !waits {
            before.push(one.policy.clone());
        } else if !one.forbids() {
            before.push(rebuilt(one, without(&one.json, Mentions::wait_for_call))?);
        }
        if one.mentions.groups {
            let loose = as_permit(without(&one.json, |mentions| mentions.groups));
            let loose = rebuilt(one, loose)?;
            if !waits {
                groups_before.push(loose.clone());
            }
            groups.push(loose);
        }
    }
    bench.policies = set(about.iter().map(|one| one.policy.clone()))?;
    bench.before = set(before)?;
    bench.groups = set(groups)?;
    bench.groups_before = set(groups_before)?;
    Ok(bench)
}
