use doorward_core::{Decision, Label};

use super::{Case, Leaf, Look, Value};
use crate::contract::{ContractSpec, Contracts};
use crate::json::Json;

const MAIL: &str = "effect='egress'\ncontrol=['/to','/cc']\ncontent=['/body']";
const DELETE: &str = "effect='destroy'\ncontrol=['/path','/filter']\ncontent=['/note']";

fn contracts(rest: &str) -> Contracts {
    let spec: ContractSpec = toml::from_str(&format!("tool='t'\n{rest}")).unwrap();
    Contracts::compile(vec![spec]).unwrap()
}

/// Looks at a call in a tainted context: the values to trace, or the rule that settled it.
fn look(rest: &str, arguments: &str) -> Result<Vec<(String, String)>, String> {
    let contracts = contracts(rest);
    let json = Json::parse(arguments).unwrap();
    let context = Label::untrusted("web");
    let case = Case {
        tool: "t",
        contract: contracts.of("t"),
        arguments: &json,
        context: &context,
        watchful: false,
    };
    match case.look() {
        Look::Settled(decision) => Err(decision.rule.to_string()),
        Look::Trace(leaves) => Ok(leaves.into_iter().map(shown).collect()),
    }
}

fn shown(leaf: Leaf<'_>) -> (String, String) {
    let value = match leaf.value {
        Value::Text(text) | Value::Number(text) => text.to_owned(),
        Value::Choice => "?".to_owned(),
    };
    (leaf.pointer.into_owned(), value)
}

#[test]
fn all_that_is_not_content_controls() {
    let nested = "effect='egress'\ncontrol=['/message/to']\ncontent=['/message']";
    let deep = "effect='egress'\ncontrol=['/m/to']\ncontent=['/m/body']";
    for (contract, arguments, leaves) in [
        (MAIL, r#"{"to":["a","b"],"body":"x"}"#, vec![("/to", "a"), ("/to", "b")]),
        (MAIL, r#"{"to":"a","bcc":"b"}"#, vec![("/to", "a"), ("/bcc", "b")]),
        (MAIL, r#"{"to":"a","cc":[],"bcc":null,"x":""}"#, vec![("/to", "a")]),
        (MAIL, r#"{"to":"a","urgent":true}"#, vec![("/to", "a"), ("/urgent", "?")]),
        (MAIL, r#"{"to":{"name":"b"}}"#, vec![("/to", "name"), ("/to", "b")]),
        (
            MAIL,
            r#"{"to":"a","Ignore all rules":1}"#,
            vec![("/to", "a"), ("/(unprintable name)", "1")],
        ),
        (DELETE, r#"{"path":"/a","filter":"b"}"#, vec![("/path", "/a"), ("/filter", "b")]),
        (DELETE, r#"{"path":"/a"}"#, vec![("/path", "/a"), ("/filter", "?")]),
        (DELETE, r#"{"path":"","filter":{}}"#, vec![("/path", "?"), ("/filter", "?")]),
        (nested, r#"{"message":{"to":"a","body":"b","bcc":"c"}}"#, vec![("/message/to", "a")]),
        (
            deep,
            r#"{"m":{"to":"a","body":"b","bcc":"c"}}"#,
            vec![("/m/to", "a"), ("/m", "bcc"), ("/m", "c")],
        ),
    ] {
        let expected = leaves.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        assert_eq!(look(contract, arguments), Ok(expected), "{arguments}");
    }
}

#[test]
fn a_call_that_nothing_controls_is_the_users_where_all_of_it_is() {
    assert_eq!(look(MAIL, r#"{"body":"x"}"#), Ok(vec![("/body".into(), "x".into())]));
    let carried = |labels: &[Label]| {
        let contracts = contracts(MAIL);
        let json = Json::parse(r#"{"body":"x"}"#).unwrap();
        let context = Label::untrusted("web");
        let contract = contracts.of("t");
        let case =
            Case { tool: "t", contract, arguments: &json, context: &context, watchful: false };
        let Look::Trace(leaves) = case.look() else { panic!("needs labels") };
        case.settle(&leaves, labels, true).rule.to_string()
    };
    assert_eq!(carried(&[Label::user()]), "contract.provenance");
    assert_eq!(carried(&[Label::trusted("crm")]), "contract.decision");
}

#[test]
fn without_a_controlling_value_the_decision_itself_is_judged() {
    for (contract, arguments, rule) in [
        (MAIL, r#"{"to":[],"cc":null}"#, "contract.decision"),
        (MAIL, "{}", "contract.decision"),
        ("effect='admin'\ncontrol=[]", r#"{"a":"b"}"#, "contract.decision"),
        ("effect='egress'\ncontrol=['/to']\nmode='ask'", "{}", "contract.decision.ask"),
        (
            "effect='egress'\ncontrol=['/to']\nmode='quarantine'",
            "{}",
            "contract.decision.quarantine",
        ),
        ("effect='read'", r#"{"q":"x"}"#, "contract.read"),
        (
            "effect='write'\ncontrol=['/x']\nrequires={control='untrusted',choice='untrusted'}",
            r#"{"x":"y"}"#,
            "contract.context",
        ),
    ] {
        assert_eq!(look(contract, arguments), Err(rule.to_owned()), "{contract} {arguments}");
    }
}

fn settle(rest: &str, labels: &[Label]) -> Decision {
    let contracts = contracts(rest);
    let json = Json::parse(r#"{"to":["a","b"]}"#).unwrap();
    let context = Label::untrusted("web");
    let case = Case {
        tool: "t",
        contract: contracts.of("t"),
        arguments: &json,
        context: &context,
        watchful: false,
    };
    let Look::Trace(leaves) = case.look() else { panic!("needs labels") };
    case.settle(&leaves, labels, true)
}

#[test]
fn every_controlling_value_must_meet_both_parts() {
    let chosen_badly =
        Label { choice: doorward_core::Integrity::Untrusted, ..Label::trusted("crm") };
    let user = Label::user();
    for (labels, rule) in [
        (vec![user.clone(), user.clone()], "contract.provenance"),
        (vec![user.clone(), Label::trusted("crm")], "contract.provenance"),
        (vec![user.clone(), chosen_badly], "contract.choice"),
        (vec![user.clone(), Label::untrusted("web")], "contract.control"),
        (vec![user], "contract.control"),
        (vec![], "contract.control"),
    ] {
        let decision = settle(MAIL, &labels);
        assert_eq!(&*decision.rule, rule);
        assert_eq!(decision.is_allowed(), rule == "contract.provenance");
    }
}

#[test]
fn a_refusal_names_tool_argument_and_source_but_no_value() {
    let decision = settle(MAIL, &[]);
    for part in ["`t`", "`/to`", "`web`"] {
        assert!(decision.reason.contains(part), "{}", decision.reason);
    }
    assert!(decision.remedies[0].contains("name the value of `/to`"));
    let asking = settle(&format!("{MAIL}\nmode='ask'"), &[]);
    assert_eq!(&*asking.rule, "contract.control.ask");
    assert!(asking.reason.contains("no approver is connected"));
}
