use doorward_core::Code;

use super::*;

#[test]
fn reasons_are_mapped_and_calls_win_over_complete() {
    for (native, calls, reason, word) in [
        ("COMPLETE", false, Finish::Stop, "COMPLETE"),
        ("COMPLETE", true, Finish::ToolCalls, "TOOL_CALL"),
        ("STOP_SEQUENCE", false, Finish::Stop, "STOP_SEQUENCE"),
        ("MAX_TOKENS", true, Finish::Length, "MAX_TOKENS"),
        ("TOOL_CALL", true, Finish::ToolCalls, "TOOL_CALL"),
        ("ERROR", true, Finish::Other, "COMPLETE"),
        ("ERROR_TOXIC", false, Finish::ContentFilter, "ERROR_TOXIC"),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, finish_word(found, native)), (reason, word), "{native} {calls}");
    }
}

#[test]
fn an_upstreams_error_is_relayed_as_it_came() {
    let body = Bytes::from_static(br#"{"id":"x","message":"model not found"}"#);
    let error = CohereChat.read_error(404, body.clone());
    assert_eq!((error.code, &*error.public), (Code::NotFound, "model not found"));
    assert_eq!(CohereChat.write_error(&error, "req_1"), (404, body));
}

#[test]
fn usage_is_what_is_billed_else_what_was_counted() {
    for (usage, expected) in [
        (
            r#"{"billed_units":{"input_tokens":5,"output_tokens":2},"tokens":{"input_tokens":71,"output_tokens":4}}"#,
            Some((5, 2, 0)),
        ),
        (
            r#"{"tokens":{"input_tokens":71,"output_tokens":4},"cached_tokens":64}"#,
            Some((71, 4, 64)),
        ),
        (r#"{"billed_units":{"search_units":1},"tokens":{"input_tokens":7}}"#, Some((7, 0, 0))),
        // Trap 3: nothing is made of nothing.
        (r#"{"billed_units":{}}"#, None),
    ] {
        let raw = crate::json::raw(usage.to_owned());
        let found = event::usage(&raw).map(|usage| (usage.input, usage.output, usage.cache_read));
        assert_eq!(found, expected, "{usage}");
    }
}
