use doorward_core::{Frame, ModelEvent};

use super::*;

#[test]
fn reasons_are_mapped_both_ways() {
    for (native, calls, reason, word) in [
        ("end_turn", false, Finish::Stop, "end_turn"),
        ("stop_sequence", false, Finish::Stop, "stop_sequence"),
        ("tool_use", false, Finish::ToolCalls, "tool_use"),
        ("end_turn", true, Finish::ToolCalls, "tool_use"),
        ("pause_turn", true, Finish::Pause, "pause_turn"),
        ("refusal", false, Finish::ContentFilter, "refusal"),
        ("max_tokens", false, Finish::Length, "max_tokens"),
        ("model_context_window_exceeded", false, Finish::Length, "model_context_window_exceeded"),
        ("compaction", false, Finish::Other, "end_turn"),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, finish_word(found, native)), (reason, word), "{native} {calls}");
    }
}

#[test]
fn trap_27_arguments_keep_their_bytes_or_are_wrapped() {
    for (arguments, input, is_object) in [
        ("{\"z\": 1,  \"a\":2}", "{\"z\": 1,  \"a\":2}", true),
        ("", "{}", true),
        (" \n", "{}", true),
        ("[1]", r#"{"arguments":"[1]"}"#, false),
        ("{\"a\":", r#"{"arguments":"{\"a\":"}"#, false),
    ] {
        let (found, fits) = input_of(arguments);
        assert_eq!((&*found, fits), (input, is_object), "{arguments:?}");
    }
}

#[test]
fn an_upstreams_error_is_relayed_as_it_came() {
    let body = Bytes::from_static(
        br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
    );
    let error = AnthropicMessages.read_error(529, body.clone());
    assert_eq!((error.code, &*error.public), (Code::Overloaded, "busy"));
    assert_eq!(AnthropicMessages.write_error(&error, "req_1"), (529, body));
}

#[test]
fn an_overload_keeps_its_status_where_it_came_with_one() {
    let chat = crate::OpenAiChat.read_error(529, Bytes::from_static(b"busy"));
    assert_eq!(AnthropicMessages.write_error(&chat, "req_1").0, 529);
    let own = CallError::new(Code::Overloaded, "no room");
    assert_eq!(AnthropicMessages.write_error(&own, "req_1").0, 503);
}

#[test]
fn the_rule_that_refused_is_the_error_code() {
    let error = CallError::new(Code::Forbidden, "no").with_rule("no-mail");
    let (status, body) = AnthropicMessages.write_error(&error, "req_1");
    assert_eq!(status, 403);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains(r#""type":"permission_error""#), "{text}");
    assert!(text.contains(r#""error_code":"no-mail""#), "{text}");
}

#[test]
fn models_are_listed() {
    let models = ["a", "b"].map(|id| Model { id: id.into(), owner: "doorward".into() });
    let one = |id| {
        format!(
            r#"{{"type":"model","id":"{id}","display_name":"{id}","created_at":"1970-01-01T00:00:00Z"}}"#
        )
    };
    assert_eq!(AnthropicMessages.write_model(&models[0]), one("a"));
    let all = format!(
        r#"{{"data":[{},{}],"has_more":false,"first_id":"a","last_id":"b"}}"#,
        one("a"),
        one("b")
    );
    assert_eq!(AnthropicMessages.write_models(&models), all);
    let none = r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#;
    assert_eq!(AnthropicMessages.write_models(&[]), none);
}

#[test]
fn trap_53_a_stream_begins_with_an_estimate_and_ends_with_the_count() {
    let options = WriterOptions { streaming: true, input_estimate: 7, ..WriterOptions::default() };
    let (mut writer, mut out) = (AnthropicMessages.writer(options), BytesMut::new());
    let start = ModelEvent::Start { id: "i".into(), model: "m".into(), created: None, usage: None };
    let usage = Usage { input: 9, output: 2, ..Usage::default() };
    let stop = ModelEvent::Finish { choice: 0, reason: Finish::Stop, native: "stop".into() };
    for event in [start, stop, ModelEvent::Usage(usage), ModelEvent::Done] {
        writer.write(&Frame::of(vec![event]), &mut out);
    }
    writer.finish(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let (begin, end) = text.split_once("message_delta").unwrap();
    assert!(begin.contains(r#""input_tokens":7"#), "{text}");
    assert!(end.contains(r#""input_tokens":9"#) && !end.contains(r#""input_tokens":7"#), "{text}");
}
