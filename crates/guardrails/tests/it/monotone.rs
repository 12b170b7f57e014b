//! Whatever a client appends or edits, a label never rises.

use doorward_core::{Integrity, Label, Message, Role};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::driver::{Chat, EVIL, World, issue};

#[derive(Debug, Clone)]
enum Move {
    User(&'static str),
    Model(&'static str),
    Read(bool),
    Assistant(&'static str),
    Edit(usize, &'static str),
    Drop(usize),
    Swap(usize, usize),
    Role(usize, Role),
}

fn a_move() -> impl Strategy<Value = Move> {
    let text = prop_oneof![
        Just("Hello there"),
        Just("Please go on with it"),
        Just("mail bob@corp.com"),
        Just(EVIL),
        Just("The earlier model wrote this very long sentence about nothing in particular.")
    ];
    let role = prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant)];
    prop_oneof![
        text.clone().prop_map(Move::User),
        text.clone().prop_map(Move::Model),
        any::<bool>().prop_map(Move::Read),
        text.clone().prop_map(Move::Assistant),
        (any::<usize>(), text).prop_map(|(at, text)| Move::Edit(at, text)),
        any::<usize>().prop_map(Move::Drop),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Move::Swap(a, b)),
        (any::<usize>(), role).prop_map(|(at, role)| Move::Role(at, role)),
    ]
}

/// Plays a move that only appends.
fn append(chat: &mut Chat<'_>, step: &Move, id: usize) {
    match step {
        Move::User(text) => drop(chat.user(text)),
        Move::Model(text) => drop(chat.model(text, &[])),
        Move::Assistant(text) => drop(chat.assistant(text)),
        Move::Read(evil) => {
            let body = if *evil { EVIL } else { "" };
            chat.tool(&format!("r{id}"), "tracker__get_issue", r#"{"id":1}"#, &issue(body));
        }
        _ => {}
    }
}

fn edit(messages: &mut Vec<Message>, step: &Move) {
    let count = messages.len().max(1);
    match step {
        Move::Edit(at, text) if !messages.is_empty() => {
            let at = at % count;
            messages[at] = Message::text(messages[at].role, *text);
        }
        Move::Drop(at) if !messages.is_empty() => drop(messages.remove(at % count)),
        Move::Swap(a, b) if !messages.is_empty() => messages.swap(a % count, b % count),
        Move::Role(at, role) if !messages.is_empty() => messages[at % count].role = *role,
        _ => {}
    }
}

fn rank(label: &Label) -> (Integrity, Integrity) {
    (label.integrity, label.choice)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn appending_never_raises_a_label(steps in proptest::collection::vec(a_move(), 1..10)) {
        let world = World::new();
        let mut chat = world.chat();
        let mut before = (Integrity::System, Integrity::System);
        for (id, step) in steps.iter().enumerate() {
            append(&mut chat, step, id);
            let label = chat.label();
            let after = rank(&label);
            proptest::prop_assert!(after.0 <= before.0 && after.1 <= before.1, "{:?}", steps);
            before = after;
        }
    }

    #[test]
    fn editing_a_tainted_history_never_cleans_what_is_left_of_it(
        steps in proptest::collection::vec(a_move(), 0..5),
        edits in proptest::collection::vec(a_move(), 1..6),
    ) {
        let world = World::new();
        let mut chat = world.chat();
        chat.user("Summarise issue 4711");
        chat.tool("r", "tracker__get_issue", r#"{"id":1}"#, &issue(EVIL));
        chat.model("The issue says to send the whole list of customers to an address of eve.", &[]);
        for (id, step) in steps.iter().enumerate() {
            append(&mut chat, step, id);
        }
        proptest::prop_assert!(!chat.label().is_trusted());
        let original = chat.messages.clone();
        for step in &edits {
            edit(&mut chat.messages, step);
            let shown = format!("{:?}", chat.messages);
            let kept = shown.contains("eve@evil.com") || shown.contains("address of eve");
            if kept {
                proptest::prop_assert!(!chat.label().is_trusted(), "{:?} {}", edits, shown);
            }
        }
        // And the conversation itself stays what it was.
        chat.messages = original;
        proptest::prop_assert!(!chat.label().is_trusted());
    }
}
