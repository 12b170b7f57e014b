use doorward_identity::cedar::{Otherwise, cases};

use super::{HOUSE, load};

#[test]
fn the_table_holds() {
    let policies = load(HOUSE, Otherwise::Deny).unwrap();
    let results = cases::run(&policies, include_str!("table.toml")).unwrap();
    assert!(results.len() > 45);
    let failures: Vec<String> = results
        .iter()
        .filter_map(|r| Some(format!("table.toml:{} {}: {}", r.line, r.name, r.failure.as_ref()?)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_case_that_does_not_hold_is_told_with_its_line() {
    let policies = load(HOUSE, Otherwise::Deny).unwrap();
    let text = "[[case]]\nservice = \"ci\"\nmodel = \"m\"\nexpect = \"allow\"\n\n\
                [[case]]\nuser = \"a\"\ngroups = [\"staff\"]\nmodel = \"m\"\nexpect = \"allow\"\n\
                policy = \"other\"\n";
    let results = cases::run(&policies, text).unwrap();
    assert_eq!(results[0].line, 1);
    let told = results[0].failure.as_deref().unwrap();
    assert_eq!(told, "expected allow, got deny by `policy.default`: no policy permits it");
    assert_eq!(results[1].line, 6);
    let told = results[1].failure.as_deref();
    assert_eq!(told, Some("expected `other` to decide, `policy.staff` did"));
}

#[test]
fn wrong_tables_are_told_with_their_line() {
    let policies = load(HOUSE, Otherwise::Deny).unwrap();
    let rest = "model = \"m\"\nexpect = \"deny\"\n";
    for (text, expected) in [
        ("[[case]]\nuser = \"a\"\nmodel = \"m\"\n".to_owned(), "1:1: expected `expect"),
        (format!("\n[[case]]\nuser = \"a\"\nmodle = \"m\"\n{rest}"), "2:1: unknown field `modle`"),
        (format!("[[case]]\nuser = \"a\"\nservice = \"b\"\n{rest}"), "1:1: expected one of `user`"),
        (format!("[[case]]\nuser = \"a\"\ntool = \"t\"\n{rest}"), "1:1: expected one of `model`"),
        (format!("[[case]]\nuser = \"a\"\ntime = \"noon\"\n{rest}"), "1:1: `noon` is not a time"),
        ("[[case]]\nuser = a\n".to_owned(), "2:8: "),
        ("[cases]\n".to_owned(), "1:2: unknown field `cases`"),
    ] {
        let error = cases::run(&policies, &text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
