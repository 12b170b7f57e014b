//! What is taken out, what stays, and that it is JSON before and after.

use proptest::prelude::*;

use super::*;

fn redaction() -> Redaction {
    Redaction::new([]).unwrap()
}

/// The text of a one-string result after redaction.
fn text(redaction: &Redaction, input: &str) -> String {
    let json = serde_json::json!({ "text": input }).to_string();
    let redacted = redaction.redact(&json).json.into_owned();
    let value: serde_json::Value = serde_json::from_str(&redacted).unwrap();
    value["text"].as_str().unwrap().to_owned()
}

#[test]
fn known_formats_go() {
    let redaction = redaction();
    let a = |n: usize| "aB3".repeat(n.div_ceil(3))[..n].to_owned();
    for (secret, kind) in [
        ("AKIAIOSFODNN7EXAMPLE".to_owned(), "aws_access_key"),
        (format!("ghp_{}", a(36)), "github_token"),
        (format!("github_pat_{}", a(82)), "github_token"),
        (format!("glpat-{}", a(20)), "gitlab_token"),
        (format!("xoxb-1234567890-{}", a(24)), "slack_token"),
        (format!("sk-ant-api03-{}", a(80)), "anthropic_key"),
        (format!("sk-proj-{}", a(60)), "openai_key"),
        (format!("sk-{}", a(48)), "openai_key"),
        (format!("AIza{}", a(35)), "google_key"),
        (format!("ya29.{}", a(40)), "google_token"),
        (format!("sk_live_{}", a(24)), "stripe_key"),
        (format!("rk_test_{}", a(24)), "stripe_key"),
        (format!("whsec_{}", a(32)), "stripe_key"),
        (format!("npm_{}", a(36)), "npm_token"),
        (format!("hf_{}", a(34)), "huggingface_token"),
        (format!("SG.{}.{}", a(22), a(43)), "sendgrid_key"),
        (format!("dw-{}", a(72)), "doorward_key"),
        (format!("eyJ{}.eyJ{}.{}", a(20), a(40), a(43)), "jwt"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----".into(),
            "private_key",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\ncut off".into(), "private_key"),
    ] {
        let told = text(&redaction, &format!("before {secret}"));
        assert_eq!(told, format!("before [redacted:{kind}]"), "{secret}");
        if kind != "private_key" {
            assert_eq!(
                text(&redaction, &format!("({secret}), after")),
                format!("([redacted:{kind}]), after")
            );
        }
    }
}

#[test]
fn values_after_names_go_and_words_stay() {
    let redaction = redaction();
    for (input, output) in [
        ("postgres://app:hunter2@db/x", "postgres://app:[redacted:url_password]@db/x"),
        ("redis://:hunter2@db", "redis://:[redacted:url_password]@db"),
        ("password=hunter2&x=1", "password=[redacted:secret]&x=1"),
        ("DB_PASSWORD=correcthorse", "DB_PASSWORD=[redacted:secret]"),
        ("password: \"a b c\"", "password: \"[redacted:secret]\""),
        ("api_key: 'abcd'", "api_key: '[redacted:secret]'"),
        ("{\"client_secret\": \"xyzzy\"}", "{\"client_secret\": \"[redacted:secret]\"}"),
        ("Authorization: Bearer abcdefgh1", "Authorization: Bearer [redacted:authorization]"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted:aws_secret_key]",
        ),
        ("password: required", "password: required"),
        ("The password: something you know", "The password: something you know"),
        ("password=${DB_PASSWORD}", "password=${DB_PASSWORD}"),
        ("api_key: <your key here>", "api_key: <your key here>"),
        ("see https://example.com:8080/a@b", "see https://example.com:8080/a@b"),
        ("task-1234 sk-short dw-x eyJ.a.b", "task-1234 sk-short dw-x eyJ.a.b"),
    ] {
        assert_eq!(text(&redaction, input), output);
    }
}

#[test]
fn members_named_as_secrets_lose_their_text() {
    let json = r#"{"password":"x","clientSecret" : "y","a":{"api-key":"z"},"password_hint":"dog","secret":{"k":"v"},"secret":7}"#;
    let redacted = redaction().redact(json);
    assert_eq!(
        redacted.json,
        r#"{"password":"[redacted:secret]","clientSecret" : "[redacted:secret]","a":{"api-key":"[redacted:secret]"},"password_hint":"dog","secret":{"k":"v"},"secret":7}"#
    );
    assert_eq!(redacted.counts["secret"], 3);
}

#[test]
fn escapes_hide_nothing_and_other_bytes_stay() {
    let redaction = redaction();
    for (json, expected) in [
        (
            "{ \"a\" : \"\\u0041KIAIOSFODNN7EXAMPL\\u0045 \\u00e9\\/\" ,\"b\":1e2}",
            "{ \"a\" : \"[redacted:aws_access_key] \\u00e9\\/\" ,\"b\":1e2}",
        ),
        (
            r#"["\n\"password\":\"hunter2\"\u0021"]"#,
            r#"["\n\"password\":\"[redacted:secret]\"\u0021"]"#,
        ),
        (
            r#"["postgres:\/\/u:p\u0040x@h\\"]"#,
            r#"["postgres:\/\/u:[redacted:url_password]@x@h\\"]"#,
        ),
        (
            r#"["-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n"]"#,
            r#"["[redacted:private_key]\n"]"#,
        ),
        (r#"{"p\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"[redacted:secret]"}"#),
        (r#"{"AKIAIOSFODNN7EXAMPLE":"name"}"#, r#"{"AKIAIOSFODNN7EXAMPLE":"name"}"#),
        (
            r#"["\ud83d\ude00 AKIAIOSFODNN7EXAMPLE \ud800"]"#,
            r#"["\ud83d\ude00 [redacted:aws_access_key] \ud800"]"#,
        ),
    ] {
        let redacted = redaction.redact(json);
        // Where the password ends in a URL is the first `@`, written as an escape or not.
        let expected =
            expected.replace("[redacted:url_password]@x@h", "[redacted:url_password]\\u0040x@h");
        assert_eq!(redacted.json, expected);
        assert!(serde_json::from_str::<&RawValue>(&redacted.json).is_ok());
    }
}

#[test]
fn nothing_found_is_the_same_text() {
    let json = r#"{"content":[{"type":"text","text":"all is well"}]}"#;
    let redacted = redaction().redact(json);
    assert!(matches!(redacted.json, Cow::Borrowed(_)) && redacted.counts.is_empty());
}

#[test]
fn own_rules_count_too() {
    let own = Redaction::new([("badge", r"badge (?P<s>\d{6})")]).unwrap();
    let redacted = own.redact(r#"["badge 123456, badge 654321"]"#);
    assert_eq!(redacted.json, r#"["badge [redacted:badge], badge [redacted:badge]"]"#);
    assert_eq!(redacted.counts["badge"], 2);
    assert!(matches!(Redaction::new([("x\"y", "a")]), Err(RedactError::Kind(_))));
    assert!(matches!(Redaction::new([("x", "(")]), Err(RedactError::Pattern { .. })));
    assert!(matches!(
        Redaction::new([("x", "((a{0,999}){0,999}){9}")]),
        Err(RedactError::Pattern { .. })
    ));
}

#[test]
fn a_reply_keeps_its_standing() {
    let result =
        RawValue::from_string(r#"{"isError":true,"x":"AKIAIOSFODNN7EXAMPLE"}"#.into()).unwrap();
    let (reply, counts) = redaction().redact_reply(ToolReply::complete(result, true));
    assert!(reply.is_error && reply.result.get().contains("[redacted:aws_access_key]"));
    assert_eq!(counts.len(), 1);
}

#[test]
fn json_stays_json() {
    let redaction = redaction();
    let texts = prop::collection::vec("[ -~\\n\u{e9}😀]{0,40}", 1..5);
    proptest!(|(mut texts in texts, cut in 0..60_usize)| {
        texts.push(format!("{}AKIAIOSFODNN7EXAMPLE password=\"q\\u{cut}\"", " ".repeat(cut)));
        let json = serde_json::to_string(&texts).unwrap();
        let once = redaction.redact(&json);
        prop_assert!(serde_json::from_str::<Vec<String>>(&once.json).is_ok());
        prop_assert!(!once.json.contains("AKIAIOSFODNN7EXAMPLE"));
    });
}
