use std::time::Duration;

use doorward_core::Relayed;

use super::*;

#[test]
fn reasons_are_mapped_and_calls_win_over_stop() {
    for (native, calls, reason, word) in [
        ("stop", false, Finish::Stop, "stop"),
        ("stop", true, Finish::ToolCalls, "tool_calls"),
        ("whatever", true, Finish::ToolCalls, "tool_calls"),
        ("whatever", false, Finish::Other, "stop"),
        ("length", true, Finish::Length, "length"),
        ("model_length", false, Finish::Length, "length"),
        ("SAFETY", false, Finish::ContentFilter, "content_filter"),
        ("function_call", true, Finish::ToolCalls, "function_call"),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, finish_word(found, native)), (reason, word), "{native} {calls}");
    }
}

#[test]
fn an_upstreams_error_is_relayed_as_it_came() {
    let body = Bytes::from_static(br#"{ "error": {"message":"slow","extra":1} }"#);
    let error = OpenAiChat.read_error(429, body.clone());
    assert_eq!((error.code, &*error.public), (Code::RateLimited, "slow"));
    assert_eq!(OpenAiChat.write_error(&error, "req_1"), (429, body));
}

#[test]
fn trap_57_an_upstreams_refusal_of_our_key_is_a_502() {
    let body = Bytes::from_static(br#"{"error":{"message":"bad key sk-1"}}"#);
    for status in [401, 403] {
        let error = OpenAiChat.read_error(status, body.clone());
        let (told, text) = OpenAiChat.write_error(&error, "req_1");
        assert_eq!(told, 502);
        assert!(!String::from_utf8_lossy(&text).contains("sk-1"));
    }
}

#[test]
fn trap_62_a_content_filter_is_the_requests_end() {
    let body = br#"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400}}"#;
    let error = OpenAiChat.read_error(400, Bytes::from_static(body));
    assert_eq!(error.code, Code::InvalidRequest, "nobody tries it elsewhere");
    assert_eq!(OpenAiChat.write_error(&error, "req_1"), (400, Bytes::from_static(body)));
    assert_eq!(finish_of("content_filter", true), Finish::ContentFilter);
}

#[test]
fn another_dialects_error_is_written_anew() {
    let mut error = CallError::new(Code::Overloaded, "busy").with_retry_after(Duration::ZERO);
    let body = Bytes::from_static(b"{\"type\":\"error\"}");
    error.relayed =
        Some(Box::new(Relayed { dialect: DialectId::ANTHROPIC_MESSAGES, status: 529, body }));
    let (status, body) = OpenAiChat.write_error(&error, "req_1");
    let expected = r#"{"error":{"message":"busy","type":"overloaded_error","param":null,"code":"overloaded"}}"#;
    assert_eq!((status, body.as_ref()), (503, expected.as_bytes()));
}

#[test]
fn models_are_listed() {
    let models = [Model { id: "fast".into(), owner: "doorward".into() }];
    let one = r#"{"id":"fast","object":"model","created":0,"owned_by":"doorward"}"#;
    assert_eq!(OpenAiChat.write_model(&models[0]), one);
    let all = format!(r#"{{"object":"list","data":[{one}]}}"#);
    assert_eq!(OpenAiChat.write_models(&models), all);
}
