use doorward_core::{Code, Model};

use super::*;

#[test]
fn times_are_read_with_any_offset() {
    for (text, seconds) in [
        ("2026-02-03T04:05:06Z", Some(1_770_091_506)),
        ("2026-02-03T05:05:06.123456789+01:00", Some(1_770_091_506)),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(time::read(text), seconds, "{text}");
    }
    assert_eq!(time::write(1_770_091_506), "2026-02-03T04:05:06Z");
    assert_eq!(time::write(i64::MAX), "1970-01-01T00:00:00Z");
}

#[test]
fn trap_13_lines_are_a_stream() {
    for (kind, streams) in [
        (None, true),
        (Some("application/x-ndjson"), true),
        (Some("Application/X-NDJSON; charset=utf-8"), true),
        (Some("application/json; charset=utf-8"), false),
        (Some("text/event-stream"), false),
    ] {
        assert_eq!(OllamaChat.is_stream(kind), streams, "{kind:?}");
    }
}

#[test]
fn a_keep_alive_means_nothing() {
    let line = OllamaChat.keep_alive(&WriterOptions::default());
    let (mut reader, mut frames) = (OllamaChat.reader(true, &Quirks::none()), Vec::new());
    let start = br#"{"model":"m","created_at":"2026-02-03T04:05:06Z","message":{},"done":false}"#;
    reader.push(Bytes::from([start, b"\n" as &[u8], line].concat()), &mut frames).unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[1].events, []);
}

#[test]
fn errors_are_a_sentence() {
    let error = CallError::new(Code::NotFound, "no model `x`");
    let (status, body) = OllamaChat.write_error(&error, "req_1");
    assert_eq!((status, body.as_ref()), (404, br#"{"error":"no model `x`"}"# as &[u8]));
    let theirs = Bytes::from_static(br#"{"error":"model 'x' not found"}"#);
    let error = OllamaChat.read_error(404, theirs.clone());
    assert_eq!((error.code, &*error.public), (Code::NotFound, "model 'x' not found"));
    assert_eq!(OllamaChat.write_error(&error, "req_1"), (404, theirs));
}

#[test]
fn ids_are_the_same_while_a_conversation_goes_on() {
    let turn = r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},{"role":"tool","content":"x","tool_name":"f"}"#;
    let read = |turns: usize| {
        let body = format!(r#"{{"model":"m","messages":[{}]}}"#, vec![turn; turns].join(","));
        OllamaChat.read_call(Bytes::from(body)).unwrap().messages
    };
    let (short, long) = (read(2), read(3));
    assert_eq!(format!("{short:?}"), format!("{:?}", &long[..4]));
    assert!(format!("{long:?}").contains("call_2"));
}

#[test]
fn models_are_listed() {
    let models = [Model { id: "fast".into(), owner: "doorward".into() }];
    let one = r#"{"name":"fast","model":"fast","modified_at":"1970-01-01T00:00:00Z","size":0,"digest":"","details":{}}"#;
    assert_eq!(OllamaChat.write_model(&models[0]), one);
    assert_eq!(OllamaChat.write_models(&models), format!(r#"{{"models":[{one}]}}"#));
}
