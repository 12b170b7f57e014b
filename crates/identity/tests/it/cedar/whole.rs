use std::sync::Arc;

use doorward_core::{Action, Authorizer as _, Label, Pattern, Principal, Scopes, ToolName};
use doorward_identity::cedar::{Otherwise, Policies, Verdict};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{HOUSE, cx, load};

#[test]
fn scopes_stay_the_upper_bound() {
    let policies = load("permit(principal, action, resource);", Otherwise::Deny).unwrap();
    let scopes = Scopes { tools: Some(vec![Pattern::new("a__*")]), ..Scopes::default() };
    let principal = Principal { scopes: Arc::new(scopes), ..Principal::service("ci") };
    let (inside, outside) = (ToolName::new("a__x"), ToolName::new("b__x"));
    assert!(policies.authorize(&cx(principal.clone()), Action::Tool(&inside)).is_allowed());
    let refused = policies.authorize(&cx(principal), Action::Tool(&outside));
    assert_eq!(&*refused.rule, "key.tools");
}

#[test]
fn a_default_that_allows_leaves_what_no_policy_forbids() {
    let text =
        "@id(\"x\") forbid(principal, action == Action::\"call_model\", resource == Model::\"x\");";
    let policies = load(text, Otherwise::Allow).unwrap();
    let ci = cx(Principal::service("ci"));
    let allowed = policies.authorize(&ci, Action::Model("y"));
    assert_eq!((allowed.is_allowed(), &*allowed.rule), (true, "key.models"));
    assert_eq!(&*policies.authorize(&ci, Action::Model("x")).rule, "policy.x");
}

#[test]
fn a_refusal_gives_the_policys_reason_and_an_explanation_every_policys() {
    let policies = load(HOUSE, Otherwise::Deny).unwrap();
    let dora = cx(Principal::person("dora@corp.example"));
    let tool = ToolName::new("mail__send_email");
    let arguments = RawValue::from_string(r#"{"to":"x@evil.test"}"#.into()).unwrap();
    let action = Action::Call { tool: &tool, arguments: &arguments, label: &Label::user() };
    let refused = policies.authorize(&dora, action);
    assert_eq!(refused.reason, "mail goes to the house only");

    let explained = policies.explain(&dora, action);
    let verdict = |id: &str| {
        let found = explained.policies.iter().find(|one| &*one.id == id).unwrap();
        (found.verdict.clone(), found.place.line)
    };
    assert_eq!(verdict("staff"), (Verdict::Applies, 1));
    assert_eq!(verdict("mail.inside").0, Verdict::Applies);
    assert_eq!(verdict("mail.cc").0, Verdict::ConditionsFail);
    assert_eq!(verdict("night").0, Verdict::OutOfScope);
    assert_eq!(verdict("relay").0, Verdict::OtherAction);
    let listed = policies.explain(&dora, Action::Tool(&tool));
    let mail = listed.policies.iter().find(|one| &*one.id == "mail.inside").unwrap();
    assert_eq!(mail.verdict, Verdict::WaitsForCall);
    assert!(listed.decision.is_allowed());
}

#[test]
fn arguments_that_can_be_read_in_two_ways_are_refused() {
    let policies = load(HOUSE, Otherwise::Deny).unwrap();
    let dora = cx(Principal::person("dora@corp.example"));
    let tool = ToolName::new("mail__send_email");
    for text in [
        r#"{"to":"b@corp.example","to":"x@evil.test"}"#,
        r#"{"to":"b@corp.example","bcc":1,"bcc":2}"#,
        r#"{"to":"b@corp.example","t\u006f":"x@evil.test"}"#,
        r#"["to"]"#,
        r#""to""#,
    ] {
        let arguments = RawValue::from_string(text.into()).unwrap();
        let action = Action::Call { tool: &tool, arguments: &arguments, label: &Label::user() };
        assert_eq!(&*policies.authorize(&dora, action).rule, "policy.arguments", "{text}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,20}".prop_map(Into::into),
    ];
    let name = "(to|cc|money|amount|dose|at|from|path|\\PC{0,8})";
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(name, inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

thread_local! {
    static POLICIES: Arc<Policies> = Arc::new(load(HOUSE, Otherwise::Deny).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_called_with_whatever_is_answered(
        value in json(), tool in "(mail__send_email|bank__transfer|lab__measure|\\PC{0,12})",
    ) {
        let policies = POLICIES.with(Arc::clone);
        let arguments = serde_json::value::to_raw_value(&value).unwrap();
        let tool = ToolName::new(tool);
        let action = Action::Call { tool: &tool, arguments: &arguments, label: &Label::default() };
        let dora = cx(Principal::person("dora@corp.example"));
        let decision = policies.authorize(&dora, action);
        prop_assert!(!decision.rule.is_empty());
        prop_assert_eq!(&policies.explain(&dora, action).decision, &decision);
    }
}
