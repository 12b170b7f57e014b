//! Same dialect: every byte is kept but those that must change.

use bytes::Bytes;
use doorward_core::ModelCall;
use doorward_wire::{AnthropicMessages, Destination, Dialect, OpenAiChat};

fn read(dialect: &dyn Dialect, body: &str) -> ModelCall {
    dialect.read_call(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn hide(mut call: ModelCall, names: &[&str]) -> ModelCall {
    for tool in &mut call.tools {
        tool.hidden = names.contains(&tool.name.as_str());
    }
    call
}

fn written(dialect: &dyn Dialect, call: &ModelCall, model: &str, ask_usage: bool) -> String {
    let written =
        dialect.write_call(call, &Destination { ask_usage, ..Destination::new(model) }).unwrap();
    assert_eq!(written.dropped, [], "the same dialect carries everything");
    String::from_utf8(written.body.to_vec()).unwrap()
}

#[test]
fn the_same_model_is_no_copy_at_all() {
    let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
    let call = OpenAiChat.read_call(body.clone()).unwrap();
    let to = Destination::new("m");
    assert_eq!(OpenAiChat.write_call(&call, &to).unwrap().body.as_ptr(), body.as_ptr());
}

#[test]
fn only_the_models_name_changes() {
    let body = "{ \"x\":{\"model\":\"m\"}, \"mod\\u0065l\" :\t\"m\\u0031\" ,\"messages\": [ ] }\n";
    let call = read(&OpenAiChat, body);
    assert_eq!(call.model, "m1");
    let expected = body.replace("\"m\\u0031\"", "\"a\\\"b\"");
    assert_eq!(written(&OpenAiChat, &call, "a\"b", false), expected);
}

#[test]
fn usage_is_asked_for_where_the_client_did_not() {
    for (body, expected) in [
        (
            r#"{"model":"m","messages":[],"stream":true}"#,
            r#"{"model":"m","stream_options":{"include_usage":true},"messages":[],"stream":true}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage" : false}}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage" : true}}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"a":1}}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"a":1}}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{ }}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":null}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":"\"stream_options\""}],"stream":true}"#,
            r#"{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"\"stream_options\""}],"stream":true}"#,
        ),
        (r#"{"model":"m","messages":[]}"#, r#"{"model":"m","messages":[]}"#),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        let mut call = read(&OpenAiChat, body);
        assert_eq!(written(&OpenAiChat, &call, "m", true), expected, "{body}");
        assert_eq!(written(&OpenAiChat, &call, "m", false), body);
        call.ask_usage = true;
        assert_eq!(written(&OpenAiChat, &call, "m", false), body, "the destination decides");
    }
}

const TOOLS: &str = r#"{"tools": [ {"type":"function","function":{"name":"a"}} ,
  {"type":"function","function":{"name":"b"}},{"type":"function","function":{"name":"c"}} ], "model":"m","messages":[],"tool_choice":CHOICE,"parallel_tool_calls":true }"#;

#[test]
fn hidden_tools_are_taken_out_and_nothing_else() {
    let body = TOOLS.replace("CHOICE", "\"auto\"");
    let call = read(&OpenAiChat, &body);
    let (a, b, c) = (
        r#"{"type":"function","function":{"name":"a"}}"#,
        r#"{"type":"function","function":{"name":"b"}}"#,
        r#"{"type":"function","function":{"name":"c"}}"#,
    );
    for (names, expected) in [
        (&["a"][..], body.replace(&format!("{a} ,\n  "), "")),
        (&["b"], body.replace(&format!("{b},"), "")),
        (&["c"], body.replace(&format!(",{c}"), "")),
        (&["a", "c"], body.replace(&format!("{a} ,\n  "), "").replace(&format!(",{c}"), "")),
        (&["b", "c"], body.replace(&format!(" ,\n  {b},{c}"), "")),
    ] {
        let call = hide(call.clone(), names);
        assert_eq!(written(&OpenAiChat, &call, "m", false), expected, "{names:?}");
    }
    let call = hide(call, &["a", "b", "c"]);
    let expected = r#"{"model":"m","messages":[] }"#;
    assert_eq!(written(&OpenAiChat, &call, "m", false), expected, "and what needs tools");
}

#[test]
fn a_choice_that_names_a_hidden_tool_becomes_free() {
    let forced = r#"{"type":"function","function":{"name":"b"}}"#;
    let listed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[]}}"#;
    for (choice, hidden, expected) in [
        (forced, "b", "\"auto\""),
        (forced, "a", forced),
        (listed, "a", "\"required\""),
        ("\"required\"", "a", "\"required\""),
    ] {
        let call = hide(read(&OpenAiChat, &TOOLS.replace("CHOICE", choice)), &[hidden]);
        let out = written(&OpenAiChat, &call, "m", false);
        assert!(out.contains(&format!("\"tool_choice\":{expected},")), "{choice} {out}");
    }
    let body = r#"{"model":"m","max_tokens":5,"messages":[],"tools":[{"name":"a","input_schema":{}},{"name":"b","input_schema":{}}],"tool_choice":{"type":"tool","name":"b","disable_parallel_tool_use":true}}"#;
    let call = hide(read(&AnthropicMessages, body), &["b"]);
    let out = written(&AnthropicMessages, &call, "m", false);
    let expected = r#""tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}"#;
    assert!(out.ends_with(expected), "{out}");
}

#[test]
fn hidden_tools_do_not_cross_either() {
    let body = TOOLS.replace("CHOICE", r#"{"type":"function","function":{"name":"b"}}"#);
    let call = hide(read(&OpenAiChat, &body), &["b"]);
    let to = Destination::new("m");
    let out = AnthropicMessages.write_call(&call, &to).unwrap().body;
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let names: Vec<_> =
        value["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(value["tool_choice"]["type"], "auto");
    let call = hide(call, &["a", "b", "c"]);
    let out = AnthropicMessages.write_call(&call, &to).unwrap().body;
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert!(value.get("tools").is_none() && value.get("tool_choice").is_none());
}

#[test]
fn a_changed_call_is_written_anew_with_what_only_its_dialect_knows() {
    for (dialect, body) in [
        (
            &OpenAiChat as &dyn Dialect,
            r#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"video_url","video_url":{"url":"u"}}]},{"role":"assistant","content":null,"audio":{"id":"au"}}],"tools":[{"type":"custom","custom":{"name":"p"}}],"top_k":4,"logit_bias":{"1":2}}"#,
        ),
        (
            &AnthropicMessages,
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"search_result","source":"s"}]}],"tools":[{"type":"bash_20250124","name":"bash"}],"thinking":{"type":"adaptive"},"output_config":{"effort":"low"},"mcp_servers":[]}"#,
        ),
    ] {
        let mut call = read(dialect, body);
        call.raw.as_mut().unwrap().body = Bytes::new();
        let out = written(dialect, &call, "m", false);
        let same: serde_json::Value = serde_json::from_str(&out).unwrap();
        let expected: serde_json::Value = serde_json::from_str(body).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&same[name], value, "{name}");
        }
    }
}

#[test]
fn a_span_that_is_not_the_models_name_is_refused() {
    let mut call = read(&OpenAiChat, r#"{"model":"m","messages":[]}"#);
    call.raw.as_mut().unwrap().model = 900..903;
    let to = Destination::new("x");
    assert!(OpenAiChat.write_call(&call, &to).is_err());
}
