//! What the rules find, and what they leave.

use doorward_core::Pattern;
use doorward_guardrails::checks::{Action, Check, Checks, Stage};

use super::{AWS, CARD, IBAN, compile, rules};

fn screened(checks: &Checks, text: &str) -> (String, Vec<String>) {
    let told = checks.text(Stage::Request, text).unwrap();
    (told.text, rules(&told.found).into_iter().map(str::to_owned).collect())
}

/// Put together here, so that no scanner takes this file for a leak.
fn secrets() -> Vec<(&'static str, String)> {
    let run = |count| "aB3dE6gH9j".repeat(count);
    let hex = |count| "0123456789abcdef".repeat(count);
    vec![
        ("aws_access_key", AWS.to_owned()),
        ("gcp_api_key", format!("AIza{}", &run(4)[..35])),
        ("gcp_oauth_secret", format!("GOCSPX-{}", &run(3)[..28])),
        ("gcp_access_token", format!("ya29.{}", run(6))),
        ("github_token", format!("ghp_{}", &run(4)[..36])),
        ("github_fine_grained_token", format!("github_pat_{}", &run(9)[..82])),
        ("gitlab_token", format!("glpat-{}", run(2))),
        ("npm_token", format!("npm_{}", &run(4)[..36])),
        ("slack_token", format!("xoxb-{}-{}-{}", "123456789012", "123456789012", run(2))),
        ("slack_webhook", format!("https://hooks.slack.com/services/T0/B0/{}", run(3))),
        ("stripe_key", format!("sk_live_{}", run(3))),
        ("stripe_webhook_secret", format!("whsec_{}", run(4))),
        ("anthropic_key", format!("sk-ant-api03-{}", run(9))),
        ("openai_key", format!("sk-proj-{}", run(10))),
        ("openai_key", format!("sk-{}", run(5))),
        ("huggingface_token", format!("hf_{}", &run(4)[..34])),
        ("sendgrid_key", format!("SG.{}.{}", &run(3)[..22], &run(5)[..43])),
        ("telegram_token", format!("123456789:AA{}", &run(4)[..33])),
        ("digitalocean_token", format!("dop_v1_{}", hex(4))),
        ("databricks_token", format!("dapi{}", hex(2))),
        ("doorward_key", format!("dw-{}", &run(8)[..72])),
        ("jwt", format!("eyJ{}.eyJ{}.{}", run(2), run(4), run(4))),
    ]
}

#[test]
fn every_kind_of_secret_is_taken_out_whole() {
    let checks = compile(vec![Check::secrets()]);
    for (rule, secret) in secrets() {
        for (before, after) in [("", ""), ("key: ", " and so on"), ("(\"", "\")"), ("=", "\n")] {
            let (text, found) = screened(&checks, &format!("{before}{secret}{after}"));
            assert_eq!(text, format!("{before}[redacted:{rule}]{after}"));
            assert_eq!(found, [format!("check.secrets.{rule}")]);
        }
    }
}

#[test]
fn of_a_setting_only_the_value_is_taken_out() {
    let checks = compile(vec![Check::secrets()]);
    let forty = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    for (text, left) in [
        (
            format!("aws_secret_access_key = {forty}"),
            "aws_secret_access_key = [redacted:aws_secret_key]",
        ),
        (
            "postgres://app:hunter22@db.internal/x".to_owned(),
            "postgres://app:[redacted:connection_string]@db.internal/x",
        ),
        (
            "Authorization: Bearer abcdefghij0123456789".to_owned(),
            "Authorization: Bearer [redacted:authorization_header]",
        ),
    ] {
        assert_eq!(screened(&checks, &text).0, left);
    }
}

#[test]
fn a_private_key_goes_with_its_body() {
    let checks = compile(vec![Check::secrets()]);
    let body = "MIIEpAIBAAKCAQEA0123456789abcdef+/==\n".repeat(100);
    for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        let pem =
            format!("-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----");
        let (text, found) = screened(&checks, &format!("a\n{pem}\nb"));
        assert_eq!(text, "a\n[redacted:private_key]\nb");
        assert_eq!(found.len(), 1);
    }
    let (text, _) = screened(&checks, "It begins with `-----BEGIN PRIVATE KEY-----`, you know?");
    assert_eq!(text, "It begins with `[redacted:private_key]`, you know?");
}

#[test]
fn a_token_longer_than_any_window_leaves_nothing() {
    let checks = compile(vec![Check::secrets()]);
    let jwt = format!("eyJ{}.eyJ{}.{}", "a".repeat(100), "b".repeat(9000), "c".repeat(300));
    assert_eq!(screened(&checks, &format!("t {jwt} u")).0, "t [redacted:jwt] u");
}

#[test]
fn personal_data_proves_itself() {
    let checks = compile(vec![Check::personal()]);
    for (rule, text) in [
        ("email", "alice.b+c@mail.corp.com"),
        ("phone", "+49 (151) 234-5678"),
        ("phone_us", "(415) 555-2671"),
        ("iban", IBAN),
        ("iban", "GB82WEST12345698765432"),
        ("credit_card", CARD),
        ("credit_card", "378282246310005"),
        ("us_ssn", "123-45-6789"),
        ("ipv4", "203.0.113.7"),
        ("ipv6", "2001:db8::8a2e:370:7334"),
        ("uk_nhs", "943 476 5919"),
        ("uk_nino", "AB 12 34 56 C"),
        ("de_steuer_id", "86095742719"),
        ("es_dni", "12345678Z"),
        ("it_codice_fiscale", "RSSMRA85T10A562S"),
        ("br_cpf", "529.982.247-25"),
        ("pl_pesel", "44051401359"),
        ("in_aadhaar", "2345 6789 0124"),
        ("se_personnummer", "811218-9876"),
        ("ch_ahv", "756.9217.0769.85"),
    ] {
        let (left, found) = screened(&checks, &format!("It is {text}, they say."));
        assert_eq!(left, format!("It is [redacted:{rule}], they say."), "{text}");
        assert_eq!(found, [format!("check.pii.{rule}")]);
    }
    let (left, _) = screened(&checks, "BSN: 111222333.");
    assert_eq!(left, "BSN: [redacted:nl_bsn].");
}

#[test]
fn what_only_looks_alike_stays() {
    let checks = compile(vec![Check::secrets(), Check::personal()]);
    for text in [
        "order 4111 1111 1111 1112 of 1700000000, version 1.2.3",
        "DE88 3704 0044 0532 0130 00",
        "Face::Bad at 12:30:45, std::net::Ipv4Addr",
        "127.0.0.1 and ::1 and 300.1.2.3",
        "000-12-3456 666-12-3456",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "sk-learn, sk-toggleable, AKIA, eyJhbGciOi",
        "mailto: me at corp dot com; @handle; a@b",
        "https://user@host/path and git@github.com:x/y",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ] {
        let (left, found) = screened(&checks, text);
        assert_eq!((left.as_str(), found.len()), (text, 0), "{found:?}");
    }
}

#[test]
fn rules_are_chosen_and_values_allowed() {
    let checks = compile(vec![
        Check::personal().rules(["email"]).allow(vec![Pattern::new("*@example.com")]),
        Check::personal().except(["email", "iban"]).action(Action::Mask),
    ]);
    let (left, found) = screened(&checks, &format!("a@example.com b@corp.com {CARD} {IBAN}"));
    assert_eq!(left, format!("a@example.com [redacted:email] **** **** **** 1111 {IBAN}"));
    assert_eq!(found, ["check.pii.email", "check.pii.credit_card"]);
}

#[test]
fn a_checksum_counts_where_it_is_asked_for() {
    let fake = format!("ghp_{}", "a".repeat(36));
    let strict = compile(vec![Check::secrets().verify(true)]);
    assert_eq!(screened(&strict, &fake).0, fake);
    let lax = compile(vec![Check::secrets()]);
    assert_eq!(screened(&lax, &fake).0, "[redacted:github_token]");
}

#[test]
fn own_patterns_and_guesses() {
    let own = vec![("ticket".to_owned(), "SEC-[0-9]{4,6}".to_owned())];
    let checks =
        compile(vec![Check::patterns(own), Check::secrets().rules(["assigned", "random"])]);
    let (left, found) = screened(&checks, "SEC-12345: password = \"hunter2hunter2\"");
    assert_eq!(left, "[redacted:ticket]: password = \"[redacted:assigned]\"");
    assert_eq!(found, ["check.patterns.ticket", "check.secrets.assigned"]);
    let default = compile(vec![Check::secrets()]);
    assert_eq!(screened(&default, "password = \"hunter2hunter2\"").1.len(), 0);
}

#[test]
fn a_refusal_names_the_rule_and_never_the_value() {
    let checks = compile(vec![Check::secrets().action(Action::Deny)]);
    let error = checks.text(Stage::Request, &format!("x {AWS}")).unwrap_err();
    assert_eq!(error.rule.as_deref(), Some("check.secrets.aws_access_key"));
    assert!(!format!("{error:?}").contains("AKIA"), "{error:?}");
}

#[test]
fn what_cannot_be_meant_is_told() {
    let own = |name: &str, regex: &str| Check::patterns(vec![(name.into(), regex.into())]);
    for (check, key, words) in [
        (Check::personal().rules(["ibna"]), "rules", "there is no rule `ibna`"),
        (own("a", "(b"), "patterns", "unclosed group"),
        (own("a", "b*"), "patterns", "matches nothing at all"),
        (own("a b", "b"), "patterns", "no name"),
        (Check::links().action(Action::Mask), "action", "cannot"),
        (Check::secrets().at([]), "stages", "nowhere"),
        (Check::size(doorward_guardrails::checks::Sizes::default()), "max_bytes", "nothing"),
    ] {
        let error = Checks::compile(vec![check]).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn an_endless_text_of_one_kind_stays_cheap() {
    let checks = compile(vec![Check::secrets(), Check::personal(), Check::links()]);
    for piece in ["a", "a.", "1 ", "a:", "+1", "AKIA", "](", "-----BEGIN "] {
        let text = piece.repeat(64 << 10 >> piece.len().ilog2());
        assert!(checks.text(Stage::Answer, &text).is_ok());
    }
}
