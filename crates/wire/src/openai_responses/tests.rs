use super::*;

#[test]
fn reasons_are_mapped_both_ways() {
    for (native, calls, reason, word) in [
        ("completed", false, Finish::Stop, None),
        ("completed", true, Finish::ToolCalls, None),
        ("max_output_tokens", true, Finish::Length, Some("max_output_tokens")),
        ("content_filter", false, Finish::ContentFilter, Some("content_filter")),
        ("incomplete", false, Finish::Other, None),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, incomplete_word(found)), (reason, word), "{native} {calls}");
    }
}

#[test]
fn agents_ask_again_only_where_it_helps() {
    for (code, word) in [
        (Code::Forbidden, "invalid_prompt"),
        (Code::RateLimited, "rate_limit_exceeded"),
        (Code::BudgetExhausted, "insufficient_quota"),
        (Code::Overloaded, "server_is_overloaded"),
        (Code::Upstream, "server_error"),
    ] {
        assert_eq!(failure_code(code), word);
    }
}

#[test]
fn errors_are_openais() {
    let error = CallError::new(Code::Forbidden, "no").with_rule("no-mail");
    let (status, body) = OpenAiResponses.write_error(&error, "req_1");
    let expected =
        r#"{"error":{"message":"no","type":"permission_error","param":null,"code":"no-mail"}}"#;
    assert_eq!((status, &*body), (403, expected.as_bytes()));
    let body = Bytes::from_static(br#"{"error":{"message":"busy","code":"slow_down"}}"#);
    let error = OpenAiResponses.read_error(503, body.clone());
    assert_eq!(error.code, Code::Overloaded);
    assert_eq!(OpenAiResponses.write_error(&error, "req_1"), (503, body));
}

#[test]
fn tokens_are_counted() {
    let counting = OpenAiResponses.counting().unwrap();
    let body = counting.write_count(7);
    assert_eq!(body, r#"{"object":"response.input_tokens","input_tokens":7}"#);
    assert_eq!(counting.read_count(&body).unwrap(), 7);
    assert!(counting.read_count(b"{}").is_err());
    let body = br#"{"model":"a","input":"Hi","stream":true,"store":false,"tools":[],"max_output_tokens":5}"#;
    let call = OpenAiResponses.read_call(Bytes::from_static(body)).unwrap();
    let written = counting.write_call(&call, &Destination::new("m")).unwrap();
    assert_eq!(written.body, r#"{"model":"m","input":"Hi","tools":[]}"#);
}
