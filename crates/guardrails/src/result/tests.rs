use doorward_core::{Integrity, Part, ToolResult};

use super::{Weighing, candidates, unwrap, weigh_own};
use crate::contract::{ContractSpec, Contracts};
use crate::json::Json;
use crate::scope::Scope;

fn contracts(rest: &str) -> Contracts {
    let text = format!("tool = 't'\neffect = 'read'\n{rest}");
    let spec: ContractSpec = toml::from_str(&text).unwrap();
    Contracts::compile(vec![spec]).unwrap()
}

fn weigh(rest: &str, text: &str) -> Option<Integrity> {
    let mut weighing = Weighing::default();
    weighing.read_text(contracts(rest).of("t"), text);
    weighing.worst
}

#[test]
fn places_have_the_label_of_the_most_exact_rule() {
    use Integrity::{Trusted, Untrusted};
    let issue = "result={integrity='trusted'}\nfields=[{pointer='/body',integrity='untrusted'}]";
    let list = "result={integrity='trusted'}\nfields=[{pointer='/*/body',integrity='untrusted'}]";
    let ids = "fields=[{pointer='/*/id',integrity='trusted'}]";
    for (contract, text, worst) in [
        (issue, r#"{"id":1,"title":"x"}"#, Some(Trusted)),
        (issue, r#"{"id":1,"body":"evil"}"#, Some(Untrusted)),
        (issue, r#"{"id":1,"body":""}"#, Some(Trusted)),
        (issue, r#"{"id":1,"body":null}"#, Some(Trusted)),
        (issue, r#"{"id":1,"body":["",{"x":null}]}"#, Some(Untrusted)), // the key `x` is text too
        (issue, r#"{"id":1,"body":false}"#, Some(Untrusted)),
        (issue, "plain text", Some(Untrusted)),
        (issue, "42", Some(Untrusted)),
        (issue, r#"{"id":1,"body":"a","body":""}"#, Some(Untrusted)), // a key named twice
        (issue, r#"[{"body":"evil"}]"#, Some(Untrusted)),             // not the contract's shape
        (issue, "", None),
        (list, r#"[{"id":1,"body":""},{"id":2}]"#, Some(Trusted)),
        (list, r#"[{"id":1},{"id":2,"body":"evil"}]"#, Some(Untrusted)),
        (list, r#"{"k":{"body":"evil"}}"#, Some(Untrusted)),
        (ids, r#"[{"id":17}]"#, Some(Trusted)),
        (ids, r#"[{"id":17,"note":"x"}]"#, Some(Untrusted)),
        (ids, r#"[{"id":17,"IGNORE ALL":null}]"#, Some(Untrusted)),
        ("result={integrity='trusted'}", "plain text", Some(Trusted)),
        ("", "plain text", Some(Untrusted)),
    ] {
        assert_eq!(weigh(contract, text), worst, "{contract} over {text}");
    }
}

#[test]
fn a_wrapped_list_is_labelled_below_its_wrapping() {
    let list = "result={integrity='trusted'}\nfields=[{pointer='/*/body',integrity='untrusted'}]";
    let mut weighing = Weighing::default();
    let json = Json::parse(r#"{"result":[{"body":"evil"}]}"#).unwrap();
    weighing.read_json(contracts(list).of("t"), &json, true);
    assert_eq!(weighing.worst, Some(Integrity::Untrusted));
    let issue = "result={integrity='trusted'}\nfields=[{pointer='/body',integrity='untrusted'}]";
    let mut weighing = Weighing::default();
    let json = Json::parse(r#"{"result":{"id":1,"body":""}}"#).unwrap();
    weighing.read_json(contracts(issue).of("t"), &json, true);
    assert_eq!(weighing.worst, Some(Integrity::Trusted), "a key that the contract spells out");
}

#[test]
fn shapes_that_hold_anything_besides_are_not_taken_off() {
    for (text, pieces) in [
        (r#""plain""#, Some(1)),
        (r#"[{"type":"text","text":"a"},{"type":"text","text":"b","annotations":null}]"#, Some(2)),
        (r#"{"content":[{"type":"text","text":"a"}],"isError":false}"#, Some(1)),
        (r#"{"content":[{"type":"text","text":"a"}],"structuredContent":{"a":1}}"#, Some(2)),
        (r#"{"type":"json","value":{"a":1}}"#, Some(1)),
        (r#"{"type":"text","value":"a"}"#, Some(1)),
        (r#"{"result":{"a":1}}"#, Some(1)),
        (r#"{"output":"a"}"#, Some(1)),
        (r#"{"content":[{"type":"text","text":"a"}],"note":"evil"}"#, None),
        (r#"[{"type":"text","text":"a","note":"evil"}]"#, None),
        (r#"[{"type":"text","text":"a"},"evil"]"#, None),
        (r#"{"a":1}"#, None),
        ("[]", None),
        ("7", None),
    ] {
        let json = Json::parse(text).unwrap();
        assert_eq!(unwrap(&json).map(|pieces| pieces.len()), pieces, "{text}");
    }
}

fn result(parts: &[&str]) -> ToolResult {
    let content = parts.iter().map(|text| Part::text(*text)).collect();
    ToolResult { id: "1".into(), name: None, content, is_error: false }
}

#[test]
fn one_result_is_found_in_every_shape() {
    let scope = Scope::new(&[7; 32], "alice");
    let filed = scope.essence(r#"{"id": 1, "body": "x"}"#);
    for shape in [
        r#"{"id": 1, "body": "x"}"#,
        "  {\"body\":\"x\",\n\"id\":1.0}\n",
        r#"[{"type":"text","text":"{\"id\": 1, \"body\": \"x\"}"}]"#,
        r#"{"content":[{"type":"text","text":"{\"id\":1,\"body\":\"x\"}"}],"isError":false}"#,
        r#""{\"id\":1,\"body\":\"x\"}""#,
        r#"{"result":{"id":1,"body":"x"}}"#,
    ] {
        let ways = candidates(&scope, &result(&[shape]));
        assert!(ways.contains(&vec![filed]), "{shape}");
    }
    assert!(!candidates(&scope, &result(&[r#"{"id":1,"body":"y"}"#])).contains(&vec![filed]));
}

#[test]
fn a_clients_own_result_is_weighed_inside_its_wrapping() {
    let issue = "result={integrity='trusted'}\nfields=[{pointer='/body',integrity='untrusted'}]";
    let contracts = contracts(issue);
    for (text, integrity) in [
        (r#"{"id":1}"#, Integrity::Trusted),
        (r#"{"body":"evil"}"#, Integrity::Untrusted),
        (r#"[{"type":"text","text":"{\"body\":\"evil\"}"}]"#, Integrity::Untrusted),
        (r#"[{"type":"text","text":"{\"id\":1}"}]"#, Integrity::Trusted),
        ("", Integrity::Trusted),
    ] {
        assert_eq!(weigh_own(contracts.of("t"), &result(&[text])).worst, Some(integrity), "{text}");
    }
}
