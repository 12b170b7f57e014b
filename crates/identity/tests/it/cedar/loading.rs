use doorward_core::{Action, Authorizer as _, Principal};
use doorward_identity::cedar::{Otherwise, Policies, PolicySource, Reloading};

use super::{DECLARED, HOUSE, cx, load, options};

/// Each line of the error, as `place … words in it`.
#[track_caller]
fn refused(sources: &[PolicySource], expected: &[&str]) {
    let error = Policies::load(sources, None, options(Otherwise::Deny)).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        let (place, words) = expected.split_once(" … ").unwrap();
        assert!(line.starts_with(place) && line.contains(words), "{line}\nis not {expected}");
    }
}

#[test]
fn every_fault_is_told_with_its_place() {
    let any = "(principal, action, resource)";
    for (text, expected) in [
        ("permit(principal, action, resource".to_owned(), &["p.cedar:1:35: … end"] as &[&str]),
        (format!("permit{any};\n\nforbit{any};"), &["p.cedar:3:1: … forbit"]),
        (format!("permit{any}\nwhen {{ context.no == 1 }};"), &["p.cedar:2:8: … `no`"]),
        (
            format!(
                "permit{any}\nwhen {{ context.time.hour < \"8\" }};\n\n\
                 forbid(principal, action, resource == Tol::\"x\");"
            ),
            &["p.cedar:2:28: … String", "p.cedar:4:39: … Tol"],
        ),
        (
            "permit(principal, action == Action::\"fly\", resource);".to_owned(),
            &["p.cedar:1:29: … fly"],
        ),
        (
            "forbid(principal, action == Action::\"call_tool\", resource);".to_owned(),
            &["p.cedar:1:1: … `action in`"],
        ),
        (format!("permit{any}\nwhen {{ context.agent == \"x\" }};"), &["p.cedar:2:8: … has"]),
        (
            "permit(principal == ?principal, action, resource);".to_owned(),
            &["p.cedar:1:1: … templates"],
        ),
        (
            format!("@id(\"a\") permit{any};\n@id(\"a\") forbid{any};"),
            &["p.cedar:2:1: … p.cedar:1:1"],
        ),
        (format!("@id(\"\") permit{any};"), &["p.cedar:1:1: … empty"]),
    ] {
        refused(&[PolicySource::new("p.cedar", text)], expected);
    }
}

#[test]
fn names_are_unique_over_files() {
    let text = "@id(\"a\") permit(principal, action, resource);";
    let sources = [PolicySource::new("one.cedar", text), PolicySource::new("two.cedar", text)];
    refused(&sources, &["two.cedar:1:1: … one.cedar:1:1"]);
}

#[test]
fn wrong_declarations_are_told() {
    for (text, expected) in [
        ("@tool(\"a__b\")\ntype A = { x: Text };", "t.cedarschema:2: … Text"),
        ("entity Thing;", "t.cedarschema:1:8: … only types"),
        ("@tool(\"nothing\")\ntype A = {};", "t.cedarschema:2:1: … not a tool's name"),
        ("@tool(\"a__*\")\ntype A = {};", "t.cedarschema:2:1: … not a tool's name"),
        (
            "@tool(\"a__b\")\ntype A = {};\n@tool(\"a__b\")\ntype B = {};",
            "t.cedarschema:4:1: … by `A` already",
        ),
        ("type Label = {};", "t.cedarschema:1:1: … another type"),
        ("@tool(\"a__b\")\ntype A = { x: User };", "t.cedarschema:2:1: … JSON"),
        ("type A = {\n", "t.cedarschema: … end"),
    ] {
        refused(&[PolicySource::new("t.cedarschema", text)], &[expected]);
    }
}

#[test]
fn wrong_entities_are_told() {
    let sources = [PolicySource::new("p.cedar", "permit(principal, action, resource);")];
    let one = |kind: &str, attrs: &str, parents: &str| {
        format!(
            "[{{ \"uid\": {{ \"type\": \"{kind}\", \"id\": \"x\" }},\n\
             \"attrs\": {attrs}, \"parents\": [{parents}] }}]"
        )
    };
    let owner = "{ \"type\": \"Role\", \"id\": \"owner\" }";
    for (text, expected) in [
        ("[".to_owned(), "e.json:1:1: "),
        (one("Tool", "{}", ""), "`Tool::\"x\"`: expected a User"),
        (one("Group", "{}", owner), "`Group::\"x\"` cannot be in"),
        (one("User", "{\"id\":\"y\"}", ""), "`User::\"x\"`: attributes"),
    ] {
        let entities = PolicySource::new("e.json", text);
        let error = Policies::load(&sources, Some(&entities), options(Otherwise::Deny));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("e.json:1:") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_permit_under_a_default_that_allows_is_warned_of() {
    let policies = load(HOUSE, Otherwise::Allow).unwrap();
    assert!(policies.warnings().iter().any(|w| w.to_string().contains("`staff` changes nothing")));
    assert_eq!(load(HOUSE, Otherwise::Deny).unwrap().warnings(), []);
}

#[test]
fn what_is_wrong_leaves_the_last_good_set_in_force() {
    let reloading = Reloading::new(load(HOUSE, Otherwise::Deny).unwrap());
    let alice = cx(Principal::service("ci"));
    assert!(!reloading.authorize(&alice, Action::Model("m")).is_allowed());
    assert_eq!(reloading.epoch(), 1);

    let wrong = [PolicySource::new("p.cedar", "permit(principal, action, resource) when { 1 };")];
    assert!(reloading.reload(&wrong, None).is_err());
    assert_eq!(reloading.epoch(), 1);
    assert!(!reloading.authorize(&alice, Action::Model("m")).is_allowed());

    let good = [
        PolicySource::new("t.cedarschema", DECLARED),
        PolicySource::new("p.cedar", "permit(principal, action, resource);"),
    ];
    assert_eq!(reloading.reload(&good, None), Ok(2));
    assert!(reloading.authorize(&alice, Action::Model("m")).is_allowed());
}
