//! Calls in streams: held until whole, never released half.

use doorward_core::{Code, Flow, Frame, ModelEvent};
use futures_util::FutureExt;

use crate::driver::{Chat, Made, World, events};

const MAIL: &str = "mail__send_email";
const TO_CAROL: &str = r#"{"recipients":["carol@corp.com"]}"#;

fn frames(events: Vec<ModelEvent>) -> impl Iterator<Item = Frame> {
    events.into_iter().map(|event| Frame { events: vec![event], raw: Some("raw".into()) })
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text { choice: 0, text: text.into() }
}

#[test]
fn text_flows_while_calls_wait() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Mail carol");
    let (mut admission, ..) = chat.admit();
    let mut list = events("a", &[("c1", MAIL, TO_CAROL), ("c2", MAIL, TO_CAROL)]);
    // The second call begins before the first has ended, with text between.
    let start = list.remove(6);
    list.insert(3, start);
    list.insert(5, text("b"));
    let flows: String = frames(list)
        .map(|frame| match admission.watch.frame(frame) {
            Flow::Pass(frame) => {
                assert!(frame.raw.is_some());
                'p'
            }
            Flow::Hold => 'h',
            Flow::Judge => {
                let out = admission.watch.judge().now_or_never().unwrap().unwrap();
                assert!(out.iter().all(|frame| frame.raw.is_some()), "untouched bytes");
                'j'
            }
        })
        .collect();
    assert_eq!(flows, "pphhhphhhhjpp");
    assert_eq!(admission.watch.decided().len(), 2);
}

#[test]
fn a_call_in_many_pieces_is_judged_whole() {
    let world = World::new();
    let chat = Chat::poisoned(&world);
    let mut list = vec![ModelEvent::ToolStart {
        call: 0,
        choice: 0,
        id: "c2".into(),
        name: "local_delete".into(),
        state: None,
    }];
    for char in r#"{"path":"/srv/ü"}"#.chars() {
        list.push(ModelEvent::ToolDelta { call: 0, json: char.into() });
    }
    list.extend([ModelEvent::ToolEnd { call: 0 }, ModelEvent::Done]);
    let answered = chat.answer(frames(list));
    let calls = answered.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].0.as_str(), calls[0].1.as_str()), ("c2", "doorward__denied"));
    assert!(!format!("{:?}", answered.sent).contains("/srv"), "nothing of the call gets out");
}

#[test]
fn a_whole_reply_in_one_frame_is_judged_alike() {
    let world = World::new();
    let chat = Chat::poisoned(&world);
    let made: [Made<'_>; 2] =
        [("c2", "local_delete", r#"{"path":"/x"}"#), ("c3", "local_read", r#"{"p":1}"#)];
    let frame = Frame { events: events("Hm.", &made), raw: Some("raw".into()) };
    let answered = chat.answer(std::iter::once(frame));
    let names: Vec<String> = answered.calls().into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["doorward__denied", "local_read"]);
    assert_eq!(answered.sent.first(), events("Hm.", &made).first());
    assert_eq!(answered.sent.last(), Some(&ModelEvent::Done));
}

#[test]
fn a_cut_stream_releases_no_call() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Mail carol");
    let whole = events("a", &[("c1", MAIL, TO_CAROL)]);
    for cut in 3..6 {
        let answered = chat.answer(frames(whole[..cut].to_vec()));
        assert!(answered.calls().is_empty(), "cut at {cut}");
        assert!(answered.decisions.is_empty());
        assert!(answered.sent.contains(&text("a")));
    }
    assert!(!world.judge(&chat.cx(), MAIL, TO_CAROL).decision.is_allowed(), "no grant either");
}

#[test]
fn a_complete_answer_whose_calls_were_not_closed_is_judged_at_its_end() {
    let world = World::new();
    let chat = Chat::poisoned(&world);
    let mut list = events("", &[("c1", "local_delete", r#"{"path":"/x"}"#)]);
    list.retain(|event| !matches!(event, ModelEvent::ToolEnd { .. }));
    let answered = chat.answer(frames(list));
    assert_eq!(answered.calls()[0].1, "doorward__denied");
    assert_eq!(answered.sent.last(), Some(&ModelEvent::Done));
}

#[test]
fn arguments_that_are_no_object_are_refused() {
    let world = World::new();
    for (arguments, allowed) in [
        ("", true),
        ("{}", true),
        (" {} ", true),
        (r#"{"recipients":["#, false),
        (r#"["carol@corp.com"]"#, false),
        (r#""x""#, false),
        (r#"{"a":1,"a":2}"#, false),
        ("{}{}", false),
    ] {
        let mut chat = world.chat();
        chat.user("Do it");
        let list = events("", &[("c1", MAIL, arguments), ("c2", "local_x", arguments)]);
        let answered = chat.answer(frames(list));
        for (_, decision) in &answered.decisions {
            assert_eq!(decision.is_allowed(), allowed, "{arguments}");
        }
        let names: Vec<String> = answered.calls().into_iter().map(|(_, name, _)| name).collect();
        let second = if allowed { "local_x" } else { "doorward__denied" };
        assert_eq!(names, [MAIL, second], "{arguments}");
    }
}

#[test]
fn pieces_of_no_known_call_drop_out() {
    let world = World::new();
    let chat = Chat::poisoned(&world);
    let delta = |call| ModelEvent::ToolDelta { call, json: r#"{"path":"/x"}"#.into() };
    let start = |call, name: &str| ModelEvent::ToolStart {
        call,
        choice: 0,
        id: "c".into(),
        name: name.into(),
        state: None,
    };
    let end = |call| ModelEvent::ToolEnd { call };
    for list in [
        vec![delta(0), end(0), ModelEvent::Done],
        vec![end(0), ModelEvent::Done],
        // Judged as one tool, then begun again as another.
        vec![
            start(0, "local_read"),
            end(0),
            start(0, "local_delete"),
            delta(0),
            end(0),
            ModelEvent::Done,
        ],
        // Begun twice before it ended.
        vec![start(0, "local_read"), start(0, "local_delete"), delta(0), end(0), ModelEvent::Done],
        // More of it after its end.
        vec![start(0, "local_read"), end(0), delta(0), ModelEvent::Done],
    ] {
        let shown = format!("{list:?}");
        let answered = chat.answer(frames(list));
        assert!(!format!("{:?}", answered.sent).contains("/x"), "{shown}");
        assert!(!format!("{:?}", answered.sent).contains("local_delete"), "{shown}");
        assert_eq!(answered.sent.last(), Some(&ModelEvent::Done), "{shown}");
    }
}

#[test]
fn a_call_beyond_all_bounds_is_an_error() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Mail carol");
    let (mut admission, ..) = chat.admit();
    let start = ModelEvent::ToolStart {
        call: 0,
        choice: 0,
        id: "c".into(),
        name: "local_x".into(),
        state: None,
    };
    assert!(matches!(admission.watch.frame(Frame::of(vec![start])), Flow::Hold));
    let chunk = "x".repeat(1 << 20);
    let delta = || Frame::of(vec![ModelEvent::ToolDelta { call: 0, json: chunk.clone() }]);
    let held = (0..20).take_while(|_| matches!(admission.watch.frame(delta()), Flow::Hold)).count();
    assert_eq!(held, 7);
    let error = admission.watch.judge().now_or_never().unwrap().unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
}

#[test]
fn each_of_several_answers_is_recognised() {
    let world = World::new();
    let mut chat = world.chat();
    chat.user("Hello");
    let list = vec![
        ModelEvent::Text { choice: 0, text: "Hi.".into() },
        ModelEvent::Text { choice: 1, text: "Ho.".into() },
        ModelEvent::Done,
    ];
    chat.answer(frames(list));
    for (said, trusted) in [("Hi.", true), ("Ho.", true), ("Hi.Ho.", false)] {
        chat.messages.truncate(1);
        chat.assistant(said).user("And?");
        assert_eq!(chat.label().is_trusted(), trusted, "{said}");
    }
}
