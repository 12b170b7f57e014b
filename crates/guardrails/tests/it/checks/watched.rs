//! Requests, answers and calls through checks and engine together.

use std::sync::Arc;

use doorward_core::{
    Body, Citation, DialectId, Finish, Frame, Guard, IssuerState, Message, ModelEvent, Part,
    RawCall, Reasoning, Role, ToolCall, ToolName, ToolReply, ToolResult, ToolUse,
};
use doorward_guardrails::checks::{Action, Check, Stage};
use doorward_guardrails::{Stance, ToolEngine};
use futures_util::FutureExt;
use serde_json::value::RawValue;

use super::{AWS, CARD, IBAN, admit, asked, compile, cx, drive, frames, guard, rules, said, text};

fn thought(text: &str) -> ModelEvent {
    ModelEvent::Reasoning { choice: 0, text: text.to_owned() }
}

fn signature() -> ModelEvent {
    let state = IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data: "c2ln".into() };
    ModelEvent::ReasoningSignature { state }
}

fn call(number: u32, name: &str, pieces: &[&str]) -> Vec<ModelEvent> {
    let (id, name) = (number.to_string(), name.to_owned());
    let mut events = vec![ModelEvent::ToolStart { call: number, choice: 0, id, name, state: None }];
    events.extend(
        pieces.iter().map(|json| ModelEvent::ToolDelta { call: number, json: (*json).to_owned() }),
    );
    events.push(ModelEvent::ToolEnd { call: number });
    events
}

fn calls(frames: &[Frame]) -> Vec<(String, String)> {
    let mut calls: Vec<(u32, String, String)> = Vec::new();
    for event in frames.iter().flat_map(|frame| &frame.events) {
        match event {
            ModelEvent::ToolStart { call, name, .. } => {
                calls.push((*call, name.clone(), String::new()));
            }
            ModelEvent::ToolDelta { call, json } => {
                calls.iter_mut().find(|(number, ..)| number == call).unwrap().2.push_str(json);
            }
            _ => {}
        }
    }
    calls.into_iter().map(|(_, name, json)| (name, json)).collect()
}

#[test]
fn a_request_is_changed_wherever_it_holds_text() {
    let guard = guard(vec![Check::secrets(), Check::personal()]);
    let mut request = asked(&format!("mine is {AWS}"));
    let reasoning = Reasoning { text: format!("{IBAN}?"), ..Reasoning::default() };
    let tool_use = ToolUse {
        id: "c".into(),
        name: "pay".into(),
        arguments: format!(r#"{{"to": "{IBAN}", "card": 4111111111111111}}"#),
        ..ToolUse::default()
    };
    let result = ToolResult {
        id: "c".into(),
        name: None,
        content: vec![Part::text(format!("paid with {CARD}"))],
        is_error: false,
    };
    let said = [Body::Reasoning(reasoning), Body::ToolUse(tool_use)].map(Part::from).to_vec();
    request.messages.push(Message { role: Role::Assistant, parts: said, name: None });
    let parts = vec![Body::ToolResult(result).into()];
    request.messages.push(Message { role: Role::User, parts, name: None });
    let extra = RawValue::from_string(format!(r#"{{"note":"{AWS}"}}"#)).unwrap();
    request.extra.push(("metadata".into(), extra));
    request.raw = Some(RawCall {
        dialect: DialectId::OPENAI_CHAT,
        body: format!("{{{AWS}}}").into(),
        model: 0..0,
        headers: vec![],
    });
    let admission = admit(&guard, &mut request).unwrap();
    let seen = format!("{request:?}");
    for value in [AWS, IBAN, CARD, "4111111111111111"] {
        assert!(!seen.contains(value), "{value} in {seen}");
    }
    assert!(seen.contains(r#"\"card\": \"[redacted:credit_card]\""#), "{seen}");
    assert!(request.raw.unwrap().body.is_empty(), "written anew");
    let found = admission.watch.found();
    let names = ["check.secrets.aws_access_key", "check.pii.iban", "check.pii.credit_card"];
    assert_eq!(rules(&found), names);
    assert!(!format!("{found:?}").contains("AKIA"));
}

#[test]
fn what_is_clean_keeps_its_bytes() {
    let guard = guard(vec![Check::secrets(), Check::invisible()]);
    let mut request = asked("What is the weather like?");
    let raw = RawCall {
        dialect: DialectId::OPENAI_CHAT,
        body: "{}".into(),
        model: 0..0,
        headers: vec![],
    };
    request.raw = Some(raw);
    let mut admission = admit(&guard, &mut request).unwrap();
    assert_eq!(&*request.raw.unwrap().body, b"{}");
    let mut events = vec![thought("Hm. "), text("It is "), text("fine. ")];
    events.extend(call(0, "look", &[r#"{"at":"#, r#""sky"}"#]));
    events.push(ModelEvent::Done);
    let out = drive(&mut admission, frames(events)).unwrap();
    assert!(out.iter().all(|frame| frame.raw.is_some()), "{out:?}");
    assert_eq!(out.len(), 8);
    assert!(admission.watch.found().is_empty());
}

#[test]
fn a_whole_body_is_looked_at_whole() {
    let guard = guard(vec![Check::personal()]);
    let finish = ModelEvent::Finish { choice: 0, reason: Finish::Stop, native: "stop".into() };
    for (body, changes) in [("Write to the person", false), ("Write to a@corp.com", true)] {
        let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
        let events = vec![text(body), finish.clone(), ModelEvent::Done];
        let frame = Frame { events, raw: Some("raw".into()) };
        let out = drive(&mut admission, [frame]).unwrap();
        assert_eq!((out.len(), out[0].raw.is_none()), (1, changes), "{body}");
    }
}

#[test]
fn a_refused_answer_breaks_off_before_the_first_letter_of_it() {
    let guard = guard(vec![Check::secrets().action(Action::Deny)]);
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let mut shown = String::new();
    let mut refused = None;
    for char in format!("It is {AWS}. ").chars() {
        match admission.watch.frame(Frame::of(vec![text(&char.to_string())])) {
            doorward_core::Flow::Pass(frame) => shown.push_str(&said(&[frame])),
            doorward_core::Flow::Hold => {}
            doorward_core::Flow::Judge => {
                refused = admission.watch.judge().now_or_never().unwrap().err();
                break;
            }
        }
    }
    assert_eq!(shown, "It is ");
    assert_eq!(refused.unwrap().rule.as_deref(), Some("check.secrets.aws_access_key"));
    assert!(!admission.watch.found()[0].is_allowed());
}

#[test]
fn what_is_only_observed_flows_at_once_and_as_it_came() {
    let guard = guard(vec![Check::secrets().action(Action::Observe)]);
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let pieces = AWS.split_at(9);
    let out = drive(&mut admission, frames(vec![text(pieces.0), text(pieces.1), ModelEvent::Done]));
    let out = out.unwrap();
    assert!(out.iter().all(|frame| frame.raw.is_some()));
    let found = admission.watch.found();
    assert_eq!(rules(&found), ["check.secrets.aws_access_key"]);
    assert!(found[0].is_allowed());
}

#[test]
fn observing_tells_what_would_have_been() {
    let engine = ToolEngine::builder().key([1; 32]).stance(Stance::Observe).build();
    let checks = compile(vec![Check::secrets().action(Action::Deny)]).stance(Stance::Observe);
    let guard = checks.around(Arc::new(engine));
    let mut request = asked(AWS);
    let admission = admit(&guard, &mut request).unwrap();
    assert_eq!(rules(&admission.watch.found()), ["would.check.secrets.aws_access_key"]);
    assert!(format!("{request:?}").contains(AWS));
}

#[test]
fn a_changed_thought_loses_its_signature_and_an_untouched_one_keeps_it() {
    for (words, signed) in [("nothing here. ", true), (AWS, false)] {
        let guard = guard(vec![Check::secrets()]);
        let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
        let events = vec![thought(words), signature(), text("so. "), ModelEvent::Done];
        let out = drive(&mut admission, frames(events)).unwrap();
        let is_signature =
            |event: &ModelEvent| matches!(event, ModelEvent::ReasoningSignature { .. });
        let kept = out.iter().flat_map(|frame| &frame.events).any(is_signature);
        assert_eq!(kept, signed, "{words}");
        assert!(!format!("{out:?}").contains(AWS));
    }
}

#[test]
fn a_signed_thought_in_a_request_is_left_out_never_changed() {
    let signed = |text: &str| {
        Part::from(Body::Reasoning(Reasoning {
            text: text.into(),
            signature: Some("c2ln".into()),
            redacted: None,
            issuer: Some(DialectId::ANTHROPIC_MESSAGES),
        }))
    };
    let assistant = |parts| Message { role: Role::Assistant, parts, name: None };
    let guard = guard(vec![Check::secrets()]);
    let mut request = asked("Hi");
    request.messages.push(assistant(vec![signed("clean"), signed(AWS), Part::text("so")]));
    admit(&guard, &mut request).unwrap();
    assert_eq!(request.messages[1].parts.len(), 2);
    assert!(format!("{request:?}").contains("clean"));

    // The thought that led to the calls now answered has to go back as it was.
    let tool_use = Part::from(Body::ToolUse(ToolUse::default()));
    let mut request = asked("Hi");
    request.messages.push(assistant(vec![signed(AWS), tool_use]));
    let error = admit(&guard, &mut request).unwrap_err();
    assert_eq!(error.rule.as_deref(), Some("check.signed"));
}

#[test]
fn arguments_are_looked_at_whole_and_changed_or_refused() {
    let split = [r#"{"a": "AKIAIOSF"#, r"ODNN7EXAM", r#"PLE", "b": [1, "x"]}"#];
    let guard_of = |action| guard(vec![Check::secrets().action(action).at([Stage::Arguments])]);
    let mut events = call(0, "shell", &split);
    events.extend(call(1, "shell", &[r#"{"b":2}"#]));
    events.extend([text("so"), ModelEvent::Done]);

    let mut admission = admit(&guard_of(Action::Redact), &mut asked("Hi")).unwrap();
    let out = drive(&mut admission, frames(events.clone())).unwrap();
    let changed = r#"{"a": "[redacted:aws_access_key]", "b": [1, "x"]}"#;
    let expected = [("shell", changed), ("shell", r#"{"b":2}"#)];
    assert_eq!(calls(&out), expected.map(|(name, json)| (name.to_owned(), json.to_owned())));
    assert_eq!(rules(&admission.watch.found()), ["check.secrets.aws_access_key"]);

    let mut admission = admit(&guard_of(Action::Deny), &mut asked("Hi")).unwrap();
    let out = drive(&mut admission, frames(events)).unwrap();
    let told = calls(&out);
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("doorward__denied", "shell"));
    assert!(told[0].1.contains("aws access key") && !told[0].1.contains("AKIA"), "{}", told[0].1);
}

#[test]
fn half_a_call_goes_nowhere_and_arguments_that_are_no_json_are_text() {
    let guard = guard(vec![Check::secrets()]);
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let mut events = call(0, "shell", &["{\"a\":1"]);
    events.pop();
    assert!(calls(&drive(&mut admission, frames(events)).unwrap()).is_empty());

    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let mut events = call(0, "shell", &["{not json ", AWS]);
    events.push(ModelEvent::Done);
    let out = drive(&mut admission, frames(events)).unwrap();
    assert!(!format!("{out:?}").contains(AWS), "{out:?}");
}

#[test]
fn probabilities_and_citations_tell_no_more_than_the_text() {
    let guard = guard(vec![Check::secrets()]);
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let json = |json: &str| ModelEvent::Logprobs { choice: 0, json: json.to_owned() };
    let citation = Citation { text: Some(format!("it says {AWS}")), ..Citation::default() };
    let events = vec![
        text("a "),
        json("[1]"),
        text("AKIAIOSF"),
        json("[2]"),
        text("ODNN7EXAMPLE "),
        json("[3]"),
        ModelEvent::Citation { choice: 0, citation },
        ModelEvent::Done,
    ];
    let out = drive(&mut admission, frames(events)).unwrap();
    let told = format!("{out:?}");
    assert!(told.contains("[1]") && !told.contains("[2]") && !told.contains("[3]"), "{told}");
    assert!(!told.contains(AWS) && told.contains("it says [redacted"), "{told}");
}

#[test]
fn several_answers_are_texts_of_their_own() {
    let guard = guard(vec![Check::secrets()]);
    let mut admission = admit(&guard, &mut asked("Hi")).unwrap();
    let of = |choice, text: &str| ModelEvent::Text { choice, text: text.to_owned() };
    let (a, b) = AWS.split_at(10);
    let events = vec![of(0, a), of(1, a), of(0, b), of(1, "! "), ModelEvent::Done];
    let out = drive(&mut admission, frames(events)).unwrap();
    let said = |wanted: u32| -> String {
        let texts = out.iter().flat_map(|frame| &frame.events).map(|event| match event {
            ModelEvent::Text { choice, text } if *choice == wanted => text.as_str(),
            _ => "",
        });
        texts.collect()
    };
    assert_eq!((said(0).as_str(), said(1).as_str()), ("[redacted:aws_access_key]", "AKIAIOSFOD! "));
}

#[test]
fn what_was_taken_out_is_recognised_when_it_comes_back() {
    // The engine keeps the chain of what the client saw: its next request is no stranger's.
    let guard = guard(vec![Check::secrets()]);
    let mut request = asked("Hi");
    let mut admission = admit(&guard, &mut request).unwrap();
    let out = drive(&mut admission, frames(vec![text("key: "), text(AWS), ModelEvent::Done]));
    let mut next = asked("Hi");
    next.messages.push(Message::text(Role::Assistant, said(&out.unwrap())));
    next.messages.push(Message::text(Role::User, "and?"));
    let again = admit(&guard, &mut next).unwrap();
    assert_eq!(again.conversation, admission.conversation);
    assert!(again.label.is_trusted(), "{:?}", again.label);
}

#[test]
fn a_result_is_changed_before_it_is_handed_out() {
    let guard = guard(vec![Check::secrets().at([Stage::Result]), Check::personal()]);
    let arguments = RawValue::from_string("{}".into()).unwrap();
    let call = ToolCall::new(ToolName::new("crm__get"), arguments);
    let result = format!(
        r#"{{"content":[{{"type":"text","text":"{AWS}"}}],"structuredContent":{{"iban":"{IBAN}","n":1.50}}}}"#
    );
    let mut reply = ToolReply::complete(RawValue::from_string(result).unwrap(), false);
    let found = guard.screen_result(&cx(), &call, &mut reply).now_or_never().unwrap().unwrap();
    let left = r#"{"content":[{"type":"text","text":"[redacted:aws_access_key]"}],"structuredContent":{"iban":"[redacted:iban]","n":1.50}}"#;
    assert_eq!(reply.result.get(), left);
    assert_eq!(rules(&found), ["check.secrets.aws_access_key", "check.pii.iban"]);
}
