use super::*;

fn table(server: &str, tools: &[&str]) -> Table {
    let mut table = Table::new(server.into());
    table.learn(tools.iter().copied());
    table
}

fn federated(table: &Table, own: &str) -> String {
    table.federated(own).unwrap().to_string()
}

#[test]
fn names_fit_every_model_api() {
    let long = "a_very_long_tool_name_that_goes_on_and_on_and_on_and_on_and_on_and_on";
    for own in ["get_issue", "get.issue", "größe", "日本", "a b", "", long, "x/y:z"] {
        let name = federated(&table("tracker", &[own]), own);
        assert!(name.starts_with("tracker__"), "{name}");
        assert!(name.len() <= LONGEST && name.bytes().all(is_legal), "{name}");
    }
    assert_eq!(federated(&table("tracker", &["get.issue"]), "get.issue"), "tracker__get_issue");
}

#[test]
fn a_cut_name_is_stable_and_its_own() {
    let (one, two) = ("x".repeat(80) + "1", "x".repeat(80) + "2");
    let names = table("s", &[&one, &two]);
    assert_eq!(federated(&names, &one).len(), LONGEST);
    assert_ne!(federated(&names, &one), federated(&names, &two));
    assert_eq!(federated(&names, &one), federated(&table("s", &[&one]), &one));
}

#[test]
fn a_collision_is_settled_the_same_way_in_any_order() {
    let (there, back) = (table("s", &["a.b", "a_b", "a b"]), table("s", &["a b", "a_b", "a.b"]));
    assert_eq!(federated(&there, "a_b"), "s__a_b");
    for own in ["a.b", "a_b", "a b"] {
        assert_eq!(federated(&there, own), federated(&back, own));
    }
    assert_eq!(there.taken.len(), 3);
}

#[test]
fn a_name_keeps_its_meaning_when_tools_come_later() {
    let mut names = table("s", &["a.b"]);
    assert!(names.learn(["a_b", "a.b"].into_iter()));
    assert_eq!(federated(&names, "a.b"), "s__a_b");
    assert_ne!(federated(&names, "a_b"), "s__a_b");
    assert!(!names.learn(["a_b"].into_iter()), "nothing new");
}

#[test]
fn a_prefix_can_be_cut_off_again() {
    for (name, fits) in [
        ("tracker", true),
        ("my-server_2", true),
        ("_x", true),
        ("", false),
        ("a__b", false),
        ("a_", false),
        ("a.b", false),
        ("ä", false),
        (&"x".repeat(33), false),
    ] {
        assert_eq!(is_server_name(name), fits, "{name}");
    }
}

#[test]
fn declared_names_lead_to_the_brokers() {
    let tracker = table("tracker", &["get_issue", "issue"]);
    let mail = table("mail", &["send", "tracker__issue"]);
    let bare = table("fs", &["read", "both"]);
    let other = table("kv", &["both"]);
    let tables = [(&tracker, false), (&mail, false), (&bare, true), (&other, true)];
    let index = Index::of(tables.into_iter());
    for (declared, name) in [
        ("tracker__get_issue", Some("tracker__get_issue")),
        ("mcp__doorward__tracker__get_issue", Some("tracker__get_issue")),
        ("doorward-tracker__get_issue", Some("tracker__get_issue")),
        ("doorward_tracker__get_issue", Some("tracker__get_issue")),
        ("a.tracker__get_issue", Some("tracker__get_issue")),
        ("a/tracker__get_issue", Some("tracker__get_issue")),
        ("a:tracker__get_issue", Some("tracker__get_issue")),
        ("xtracker__get_issue", None),
        ("get_issue", None),
        ("tracker__get_issue_", None),
        // the longest federated name at the end wins
        ("mcp__mail__tracker__issue", Some("mail__tracker__issue")),
        ("x__tracker__issue", Some("tracker__issue")),
        ("read", Some("fs__read")),
        ("mcp__doorward__read", Some("fs__read")),
        ("my_read", None),
        ("both", None),
        ("", None),
        ("_", None),
        ("größe_tracker__issue", Some("tracker__issue")),
    ] {
        let found = index.behind(declared);
        assert_eq!(found.as_ref().map(ToolName::as_str), name, "{declared}");
    }
}
