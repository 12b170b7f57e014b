use super::*;

type Delta<'a> = (Option<u64>, &'a str, &'a str, &'a str);

/// Feeds `(index, id, name, arguments)` and tells each call as `id name arguments`.
fn calls(pieces: &[Delta<'_>]) -> Result<Vec<String>, &'static str> {
    let (mut calls, mut events) = (Calls::default(), Vec::new());
    for &(index, id, name, arguments) in pieces {
        let piece = Piece { index, id, name, arguments, ..Piece::default() };
        calls.piece(0, &piece, "chatcmpl-abc", &mut events)?;
    }
    calls.end(None, "chatcmpl-abc", &mut events);
    let mut told: Vec<(String, bool)> = Vec::new();
    for event in events {
        match event {
            ModelEvent::ToolStart { call, id, name, .. } => {
                assert_eq!(call as usize, told.len(), "calls count 0, 1, 2");
                told.push((format!("{id} {name} "), false));
            }
            ModelEvent::ToolDelta { call, json } => {
                assert!(!told[call as usize].1, "nothing comes after the end");
                told[call as usize].0.push_str(&json);
            }
            ModelEvent::ToolEnd { call } => told[call as usize].1 = true,
            other => unreachable!("{other:?}"),
        }
    }
    assert!(told.iter().all(|(_, ended)| *ended));
    Ok(told.into_iter().map(|(call, _)| call).collect())
}

#[test]
fn trap_16_calls_are_told_apart_whatever_the_indexes() {
    let both = ["a f {\"x\":1}".to_owned(), "b g {}".to_owned()];
    let cases: &[(&str, &[Delta<'_>])] = &[
        (
            "as it should be",
            &[
                (Some(0), "a", "f", ""),
                (Some(0), "", "", "{\"x\""),
                (Some(0), "", "", ":1}"),
                (Some(1), "b", "g", "{}"),
            ],
        ),
        ("from one, with a gap", &[(Some(1), "a", "f", "{\"x\":1}"), (Some(7), "b", "g", "{}")]),
        ("all zero", &[(Some(0), "a", "f", "{\"x\":1}"), (Some(0), "b", "g", "{}")]),
        ("missing", &[(None, "a", "f", "{\"x\""), (None, "", "", ":1}"), (None, "b", "g", "{}")]),
        (
            "id with every delta",
            &[(Some(0), "a", "f", "{\"x\""), (Some(0), "a", "f", ":1}"), (Some(1), "b", "g", "{}")],
        ),
        (
            "name after the id",
            &[(Some(0), "a", "", ""), (Some(0), "", "f", "{\"x\":1}"), (Some(1), "b", "g", "{}")],
        ),
        (
            "blanks after the end",
            &[
                (Some(0), "a", "f", "{\"x\":1}"),
                (Some(1), "b", "g", "{}"),
                (Some(0), "", "", " \n"),
            ],
        ),
    ];
    for (why, pieces) in cases {
        assert_eq!(calls(pieces).as_deref(), Ok(&both[..]), "{why}");
    }
}

#[test]
fn trap_17_blank_tails_stay_within_the_call() {
    let told =
        calls(&[(Some(0), "a", "f", "{}"), (Some(0), "", "", "  "), (Some(0), "", "", "\n")]);
    assert_eq!(told, Ok(vec!["a f {}  \n".to_owned()]));
}

#[test]
fn trap_18_no_arguments_are_an_empty_object_and_an_empty_id_is_replaced() {
    let told = calls(&[(Some(0), "", "f", ""), (Some(1), "", "g", "{}")]);
    let expected = ["call_chatcmplabc_0 f {}", "call_chatcmplabc_1 g {}"].map(str::to_owned);
    assert_eq!(told, Ok(expected.to_vec()));
}

#[test]
fn a_judged_call_cannot_grow() {
    let first = [(Some(0), "a", "f", "{}"), (Some(1), "b", "g", "{}")];
    assert!(calls(&[first[0], first[1], (Some(0), "", "", ",")]).is_err());
    assert!(calls(&[first[0], (Some(0), "", "other", "")]).is_err(), "nor change its name");
    assert!(calls(&[(Some(0), "a", "", "{")]).is_err(), "nor begin without one");
}

#[test]
fn free_text_is_wrapped() {
    let (mut calls, mut events) = (Calls::default(), Vec::new());
    for arguments in ["say \"", "hi\""] {
        let piece = Piece {
            index: Some(0),
            id: "a",
            name: "f",
            arguments,
            free_text: true,
            ..Piece::default()
        };
        calls.piece(0, &piece, "", &mut events).unwrap();
    }
    calls.end(None, "", &mut events);
    let json: String = events
        .iter()
        .filter_map(|event| match event {
            ModelEvent::ToolDelta { json, .. } => Some(json.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(json, r#"{"input":"say \"hi\""}"#);
}

#[test]
fn ids_are_made_to_fit_and_stay_apart() {
    assert_eq!(fitting_id("toolu_01-A", 64), "toolu_01-A");
    let (a, b) = (fitting_id("functions.f:0", 64), fitting_id("functions_f.0", 64));
    assert!(a.starts_with("functions_f_0_") && a != b);
    assert_eq!(a, fitting_id("functions.f:0", 64));
    assert!(fitting_id(&"x".repeat(300), 40).len() <= 40);
}

#[test]
fn schemas_say_that_arguments_are_an_object() {
    let schema = |text: &str| {
        let schema = Some(crate::json::raw(text.to_owned()));
        let tool = ToolDef {
            name: "f".into(),
            description: None,
            schema,
            strict: None,
            cache_control: None,
            opaque: None,
            custom: false,
            hidden: false,
        };
        schema_of(&tool, false).into_owned()
    };
    let empty = r#"{"type":"object","properties":{}}"#;
    for (given, written) in [
        ("{}", empty),
        ("{ }", empty),
        (r#"{"type":"object"}"#, r#"{"type":"object"}"#),
        (r#"{"a":{"type":"x"}}"#, r#"{"type":"object","a":{"type":"x"}}"#),
        ("true", "true"),
    ] {
        assert_eq!(schema(given), written);
    }
}
