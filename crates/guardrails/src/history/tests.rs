use doorward_core::{
    Body, Media, MediaKind, MediaSource, Message, Part, Reasoning, Role, ToolResult, ToolUse,
};

use super::History;
use crate::scope::Scope;
use crate::turn_store::Mark;

fn call(id: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.into(), "read".into(), arguments.into());
    Body::ToolUse(ToolUse { id, name, arguments, ..ToolUse::default() }).into()
}

fn result(id: &str, texts: &[&str]) -> Part {
    let content = texts.iter().map(|text| Part::text(*text)).collect();
    Body::ToolResult(ToolResult { id: id.into(), name: None, content, is_error: false }).into()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts, name: None }
}

fn tip(messages: &[Message]) -> Option<Mark> {
    History::of(messages).chain(&Scope::new(&[1; 32], "alice")).pop()
}

fn conversation() -> Vec<Message> {
    vec![
        Message::text(Role::User, "hi"),
        message(Role::Assistant, vec![Part::text("Let me look."), call("1", r#"{"a":1,"b":2}"#)]),
        message(Role::User, vec![result("1", &["found"]), Part::text("go on")]),
    ]
}

#[test]
fn clients_ways_of_writing_one_conversation_hash_alike() {
    let expected = tip(&conversation());
    let thought = Body::Reasoning(Reasoning { text: "hm".into(), ..Reasoning::default() });
    let mut split = conversation();
    split[1] = message(
        Role::Assistant,
        vec![thought.into(), Part::text("Let me"), Part::text(" look.\n")],
    );
    split.insert(2, message(Role::Assistant, vec![call("1", "{ \"b\": 2.0, \"a\": 1 }")]));
    split[3] = message(Role::User, vec![result("1", &["found\n"])]);
    split.push(Message::text(Role::User, "go on "));
    split.insert(0, Message::text(Role::System, "now it is 10:00"));
    split.push(Message::text(Role::Developer, "be brief"));
    split.push(Message::text(Role::User, ""));
    assert_eq!(tip(&split), expected);
}

#[test]
fn any_change_of_substance_hashes_otherwise() {
    let expected = tip(&conversation());
    let changes: [fn(&mut Vec<Message>); 9] = [
        |m| m[0] = Message::text(Role::User, "ho"),
        |m| m[0].name = Some("eve".into()),
        |m| m[1].parts[0] = Part::text("Let me look!"),
        |m| m[1].parts[1] = call("1", r#"{"a":1,"b":3}"#),
        |m| m[1].parts[1] = call("2", r#"{"a":1,"b":2}"#),
        |m| m[2].parts[0] = result("1", &["found nothing"]),
        |m| m[2].parts.swap(0, 1),
        |m| m[2].parts[0] = Part::text("found"),
        |m| drop(m.remove(1)),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut edited = conversation();
        change(&mut edited);
        assert_ne!(tip(&edited), expected, "change {at}");
    }
    let bob = History::of(&conversation()).chain(&Scope::new(&[1; 32], "bob")).pop();
    assert_ne!(bob, expected, "another principal");
}

#[test]
fn a_text_never_hashes_like_a_picture() {
    let answered = |content: Vec<Part>| {
        let mut messages = conversation();
        let result = ToolResult { id: "1".into(), name: None, content, is_error: false };
        messages[2].parts[0] = Body::ToolResult(result).into();
        tip(&messages)
    };
    let source = MediaSource::Base64 { media_type: "image/png".into(), data: "AAAA".into() };
    let picture = Media { kind: MediaKind::Image, source, name: None, detail: None };
    let picture: Part = Body::Media(picture).into();
    let length = String::from_utf8(4_u64.to_le_bytes().to_vec()).unwrap();
    // The very bytes that a picture is hashed by, as a server could write them.
    for spelt in [format!("x\0b{length}AAAA"), format!("x\0b{}AAAA", '\u{4}')] {
        assert_ne!(
            answered(vec![Part::text(spelt)]),
            answered(vec![Part::text("x"), picture.clone()])
        );
    }
    assert_eq!(
        answered(vec![Part::text("x"), Part::text("y")]),
        answered(vec![Part::text("xy")]),
        "clients cut texts as they like"
    );
}
