//! What a policy asks about, read off its JSON form.
//!
//! Cedar's JSON policy format: <https://docs.cedarpolicy.com/policies/json-format.html>.

use serde_json::{Value, json};

/// What a policy asks about. Only what some policy asks about is worked out for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked about or not")]
pub(super) struct Mentions {
    /// `context.time`.
    pub(super) time: bool,
    /// `context.arguments` or `context.arguments_complete`.
    pub(super) arguments: bool,
    /// `context.label`.
    pub(super) label: bool,
    /// The principal's groups.
    pub(super) groups: bool,
}

impl Mentions {
    /// Of a policy, a clause or an expression.
    pub(super) fn of(json: &Value) -> Self {
        let mut found = Self::default();
        found.walk(json);
        found
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            time: self.time | other.time,
            arguments: self.arguments | other.arguments,
            label: self.label | other.label,
            groups: self.groups | other.groups,
        }
    }

    /// Whether the answer is known only when a tool is called.
    pub(super) fn wait_for_call(self) -> bool {
        self.arguments || self.label
    }

    fn walk(&mut self, json: &Value) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => {
                if let Some(attribute) = context_attribute(json) {
                    self.attribute(attribute);
                    return;
                }
                for (key, value) in members {
                    match (key.as_str(), value.as_str()) {
                        ("type" | "entity_type", Some("Group")) => self.groups = true,
                        // The record as a whole is asked about.
                        ("Var", Some("context")) => {
                            self.time = true;
                            self.arguments = true;
                            self.label = true;
                        }
                        _ => self.walk(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn attribute(&mut self, name: &str) {
        match name {
            "time" => self.time = true,
            "arguments" | "arguments_complete" => self.arguments = true,
            "label" => self.label = true,
            _ => {}
        }
    }
}

/// `context.name` or `context has name`.
fn context_attribute(json: &Value) -> Option<&str> {
    let access = json.get(".").or_else(|| json.get("has"))?;
    let of_context = access.get("left")?.get("Var")?.as_str() == Some("context");
    let path = access.get("attr").filter(|_| of_context)?;
    // `context has a.b` names a list.
    path.as_array().map_or(Some(path), |names| names.first())?.as_str()
}

/// The policy without the clauses that `dropped` picks: it applies at least wherever the policy
/// does.
pub(super) fn without(policy: &Value, dropped: impl Fn(Mentions) -> bool) -> Value {
    let mut policy = policy.clone();
    if let Some(Value::Array(clauses)) = policy.get_mut("conditions") {
        clauses.retain(|clause| !dropped(Mentions::of(clause)));
    }
    if policy.get("principal").is_some_and(|scope| dropped(Mentions::of(scope))) {
        policy["principal"] = json!({ "op": "All" });
    }
    policy
}

/// The policy's scope alone.
pub(super) fn scope_only(policy: &Value) -> Value {
    let mut policy = policy.clone();
    policy["conditions"] = json!([]);
    policy
}

/// The policy as a permit, so that it is named whenever it applies.
pub(super) fn as_permit(mut policy: Value) -> Value {
    policy["effect"] = json!("permit");
    policy
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    #[test]
    fn what_is_asked_about_is_found_wherever_it_stands() {
        let none = Mentions::default();
        for (text, expected) in [
            ("permit(principal, action, resource);", none),
            (
                "permit(principal in Group::\"a\", action, resource);",
                Mentions { groups: true, ..none },
            ),
            (
                "permit(principal is User in Group::\"a\", action, resource);",
                Mentions { groups: true, ..none },
            ),
            (
                "permit(principal, action, resource) unless { [principal in Group::\"a\"] == [] };",
                Mentions { groups: true, ..none },
            ),
            (
                "permit(principal, action, resource) when { context has label };",
                Mentions { label: true, ..none },
            ),
            (
                "permit(principal, action, resource) when { context has time.hour };",
                Mentions { time: true, ..none },
            ),
            (
                "forbid(principal, action, resource) when { context.arguments has x.y };",
                Mentions { arguments: true, ..none },
            ),
            (
                "forbid(principal, action, resource) when { context[\"arguments_complete\"] };",
                Mentions { arguments: true, ..none },
            ),
            (
                "forbid(principal, action, resource) when { { a: context } == { a: context } };",
                Mentions { time: true, arguments: true, label: true, groups: false },
            ),
            ("forbid(principal, action, resource) when { resource.name == \"Group\" };", none),
        ] {
            let json = Policy::parse(None, text).unwrap().to_json().unwrap();
            assert_eq!(Mentions::of(&json), expected, "{text}");
        }
    }

    #[test]
    fn what_is_dropped_leaves_a_policy_that_applies_more_often() {
        let text = "permit(principal in Group::\"a\", action, resource)\n\
                    when { context.label.trusted } unless { context has agent };";
        let json = Policy::parse(None, text).unwrap().to_json().unwrap();
        let loose = without(&json, |mentions| mentions.groups || mentions.label);
        let told = Policy::from_json(None, loose).unwrap().to_string();
        assert!(!told.contains("Group") && !told.contains("label"), "{told}");
        assert!(told.contains("agent"), "{told}");
    }
}
