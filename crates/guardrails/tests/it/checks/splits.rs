//! However an answer is cut into pieces, the same comes out.

use std::sync::{Arc, OnceLock};

use doorward_core::ModelEvent;
use doorward_guardrails::ToolEngine;
use doorward_guardrails::checks::{Action, Check, CheckedGuard, Checks, Stage};
use proptest::prelude::*;

use super::{AWS, CARD, IBAN, admit, asked, compile, drive, frames, said, text};

fn all() -> Vec<Check> {
    vec![
        Check::invisible(),
        Check::secrets(),
        Check::personal().action(Action::Mask),
        Check::links(),
    ]
}

/// Compiled once: that costs more than a hundred cases.
fn checks() -> Checks {
    static CHECKS: OnceLock<Checks> = OnceLock::new();
    CHECKS.get_or_init(|| compile(all())).clone()
}

fn guarded() -> CheckedGuard {
    checks().around(Arc::new(ToolEngine::builder().key([1; 32]).build()))
}

fn whole(text: &str) -> String {
    checks().text(Stage::Answer, text).unwrap().text
}

/// Pieces that mean something to some rule, next to pieces that almost do.
fn pieces() -> impl Strategy<Value = String> {
    let known: Vec<String> = [
        AWS,
        IBAN,
        CARD,
        "alice@corp.com",
        "bob@x",
        "+49 151 2345678",
        "123-45-6789",
        "![a](https://evil.example/?d=1)",
        "[b]: //evil.example/x",
        "<img src=\"https://e.example\">",
        "https://",
        "www.evil.example/a",
        "2001:db8::1",
        "postgres://u:secret1@h/d",
        "-----BEGIN PRIVATE KEY-----\nMIIabc/+=\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "ghp_",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
        "👩🏽\u{200d}💻",
        "a\u{200b}b",
        "\u{e0061}\u{e0062}",
        "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        " ",
        "\n",
        ".",
        "é",
        "-",
        "1",
        "A",
        "](",
        "://",
        "and ",
    ]
    .map(str::to_owned)
    .into();
    let pick = prop_oneof![6 => proptest::sample::select(known), 1 => "[ -~]{0,12}"];
    proptest::collection::vec(pick, 0..14).prop_map(|pieces| pieces.concat())
}

fn cut(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|cut| text.floor_char_boundary(if text.is_empty() { 0 } else { cut % text.len() }))
        .collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn any_split_tells_what_the_whole_tells(
        body in pieces(),
        cuts in proptest::collection::vec(any::<usize>(), 0..24),
    ) {
        let guard = guarded();
        let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
        let mut events: Vec<ModelEvent> = cut(&body, &cuts).iter().map(|it| text(it)).collect();
        events.push(ModelEvent::Done);
        let out = drive(&mut admission, frames(events)).unwrap();
        prop_assert_eq!(said(&out), whole(&body));
    }

    /// What was shown at any moment is the beginning of what is shown in the end.
    #[test]
    fn nothing_is_shown_that_would_be_taken_back(body in pieces()) {
        let guard = guarded();
        let end = whole(&body);
        let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
        let mut shown = String::new();
        for char in body.chars() {
            let frame = doorward_core::Frame::of(vec![text(&char.to_string())]);
            if let doorward_core::Flow::Pass(frame) = admission.watch.frame(frame) {
                shown.push_str(&said(&[frame]));
            }
            prop_assert!(end.starts_with(&shown), "{:?} is no beginning of {:?}", shown, end);
        }
    }
}

#[test]
fn no_more_than_is_safe_is_shown_of_a_match_at_any_cut() {
    let both = compile(vec![Check::secrets(), Check::personal()]);
    for secret in [AWS, CARD, IBAN, "123-45-6789", "sk-proj-abcdefghijklmnopqrstuvwx"] {
        for at in 1..secret.len() {
            // Other things come between the halves.
            for between in [
                ModelEvent::Reasoning { choice: 0, text: "hm".into() },
                ModelEvent::ToolStart {
                    call: 0,
                    choice: 0,
                    id: "c".into(),
                    name: "t".into(),
                    state: None,
                },
                ModelEvent::Usage(doorward_core::Usage::default()),
            ] {
                let engine = ToolEngine::builder().key([1; 32]).build();
                let guard = both.clone().around(Arc::new(engine));
                let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
                let (a, b) = (text(&secret[..at]), text(&secret[at..]));
                let out = drive(&mut admission, frames(vec![a, between, b, ModelEvent::Done]));
                let said = said(&out.unwrap());
                // Six digits of a card and twelve letters of a key's prefix tell nothing.
                let longest = (1..=secret.len())
                    .rev()
                    .find(|length| said.contains(&secret[..*length]))
                    .unwrap_or(0);
                assert!(longest <= 12, "{secret} cut at {at}: {said}");
            }
        }
    }
}

#[test]
fn prose_is_kept_back_by_no_more_than_a_word() {
    let guard = guarded();
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let (mut came, mut shown) = (0, 0);
    for word in "The quick brown fox jumps over the lazy dog, and 17 times so. "
        .repeat(8)
        .split_inclusive(' ')
    {
        came += word.len();
        let frame = doorward_core::Frame::of(vec![text(word)]);
        if let doorward_core::Flow::Pass(frame) = admission.watch.frame(frame) {
            shown += said(&[frame]).len();
        }
        assert!(came - shown <= word.len() + 3, "{} bytes wait", came - shown);
    }
}
