use super::*;

#[test]
fn a_path_leads_to_the_value_at_a_byte() {
    let text = r#"{"a":[1,{"b":"x,]","c":5}],"d":{}}"#;
    let at = |needle: &str| path(text, text.find(needle).unwrap_or_default() + needle.len());
    assert_eq!(at("5"), "a[1].c");
    assert_eq!(at("x,"), "a[1].b");
    assert_eq!(at("[1"), "a[0]");
    assert_eq!(at("\"d\":{"), "d");
    assert_eq!(at("{}"), "d");
}

#[test]
fn a_field_given_twice_is_refused() {
    let error = |text: &str| match Source::new(text.as_bytes()).and_then(|s| s.members()) {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    };
    assert!(error(r#"{"a":1,"\u0061":2}"#).contains("duplicate field `a`"));
    assert!(error("[]").contains("expected an object"));
    assert_eq!(error(r#"{"a":1}"#), "");
}

#[test]
fn a_known_name_in_another_case_is_refused() {
    let source = Source::new(br#"{"Tools":[]}"#).unwrap();
    let error = source.members().unwrap().rest(&["tools"]).unwrap_err();
    assert!(error.to_string().contains("did you mean `tools`"), "{error}");
}

#[test]
fn depth_counts_brackets_outside_strings() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(depth_exceeds(&deep, 128));
    assert!(!depth_exceeds(&deep, 200));
    assert!(!depth_exceeds(&format!("[\"{}\"]", "[".repeat(500)), 128));
}

#[test]
fn data_urls_are_split() {
    assert_eq!(data_url("data:image/png;base64,AAAA"), Some(("image/png", "AAAA")));
    assert_eq!(data_url("data:text/plain,hi"), None);
    assert_eq!(data_url("https://a/b"), None);
}
