//! What an upstream does otherwise: the same on a body as the client sent it and on one written
//! anew.

use bytes::Bytes;
use doorward_core::{Finish, ModelCall, ModelEvent};
use doorward_wire::{
    AnthropicMessages, Destination, Dialect, OpenAiChat, Quirks, WriteError, Written,
};
use serde_json::Value;

use crate::cases::read_answer;

fn read(dialect: &dyn Dialect, body: &str) -> ModelCall {
    dialect.read_call(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn quirks(change: impl FnOnce(&mut Quirks)) -> Quirks {
    let mut quirks = Quirks::none();
    change(&mut quirks);
    quirks
}

fn try_write(
    dialect: &dyn Dialect,
    call: &ModelCall,
    quirks: &Quirks,
) -> Result<Written, WriteError> {
    dialect.write_call(call, &Destination { quirks, ..Destination::new("m") })
}

/// Body and losses, each `path: reason`.
fn write(dialect: &dyn Dialect, call: &ModelCall, quirks: &Quirks) -> (String, Vec<String>) {
    let Written { body, dropped } = try_write(dialect, call, quirks).unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(serde_json::from_str::<Value>(&body).is_ok(), "{body}");
    (body, dropped.into_iter().map(|it| format!("{}: {}", it.path, it.reason)).collect())
}

/// Writes byte for byte and anew; both must be the same JSON and lose the same.
fn both_ways(dialect: &dyn Dialect, body: &str, quirks: &Quirks) -> (String, Vec<String>) {
    let mut call = read(dialect, body);
    let (kept, lost) = write(dialect, &call, quirks);
    call.raw.as_mut().unwrap().body = Bytes::new();
    let (anew, lost_anew) = write(dialect, &call, quirks);
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(value(&kept), value(&anew), "{kept}\n{anew}");
    assert_eq!(lost, lost_anew);
    (kept, lost)
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[test]
fn a_quirk_that_touches_nothing_leaves_every_byte() {
    let body = "{ \"model\" : \"m\",\"messages\":[ {\"role\":\"user\",\"content\":\"hi\"} ] }";
    let all = quirks(|it| {
        it.omit = strings(["seed"]);
        it.rename.insert("max_completion_tokens".into(), "max_tokens".into());
        it.tool_id_length = Some(9);
        (it.no_developer, it.one_system, it.tool_name, it.no_strict) = (true, true, true, true);
        (it.echo_reasoning, it.inline_media, it.one_sampling) = (true, true, true);
        it.schema_omit = strings(["$ref"]);
        it.headers_in_body.insert("anthropic_beta".into(), "anthropic-beta".into());
    });
    for dialect in [&OpenAiChat as &dyn Dialect, &AnthropicMessages] {
        let call = read(dialect, body);
        let written = try_write(dialect, &call, &all).unwrap();
        let kept = &call.raw.as_ref().unwrap().body;
        assert_eq!(written.body.as_ptr(), kept.as_ptr(), "no copy even");
    }
}

#[test]
fn fields_at_the_top_are_omitted_renamed_and_set() {
    let body = r#"{"model":"m","messages":[],"seed":7,"max_completion_tokens":5,"temperature":1,"top_p":0.5,"stream":true}"#;
    let all = quirks(|it| {
        it.omit = strings(["seed"]);
        it.rename.insert("max_completion_tokens".into(), "max_tokens".into());
        it.set.insert("safe_prompt".into(), "true".into());
        (it.one_sampling, it.model_in_path, it.stream_in_path) = (true, true, true);
    });
    let call = read(&OpenAiChat, body);
    let (out, lost) = write(&OpenAiChat, &call, &all);
    assert_eq!(out, r#"{"safe_prompt":true,"messages":[],"max_tokens":5,"temperature":1}"#);
    // Traps 39 and 41.
    let expected = ["seed: this upstream refuses it", "top_p: not together with temperature"];
    assert_eq!(lost, expected);
    let own = r#"{"model":"m","messages":[],"safe_prompt":false}"#;
    let (out, _) = write(&OpenAiChat, &read(&OpenAiChat, own), &all);
    assert_eq!(out, r#"{"messages":[],"safe_prompt":false}"#, "the client's own word stays");
    let both = r#"{"model":"m","messages":[],"max_tokens":1,"max_completion_tokens":5}"#;
    let (out, _) = write(&OpenAiChat, &read(&OpenAiChat, both), &all);
    assert_eq!(out, r#"{"safe_prompt":true,"messages":[],"max_tokens":5}"#);
}

#[test]
fn trap_41_gateway_fields_go_only_to_gateways() {
    let body = r#"{"model":"m","models":["n"],"provider":{"only":["x"],"quantizations":["fp8"]},"messages":[],"plugins":[{"id":"web"}],"usage":{"include":true},"session_id":"s","providerOptions":{"gateway":{"tags":["t"],"caching":"auto"}}}"#;
    let reason = "neither Doorward nor this upstream does it";
    for dialect in [&OpenAiChat as &dyn Dialect, &AnthropicMessages] {
        let call = read(dialect, body);
        assert!(call.preferences.tell_cost && call.preferences.only == ["x"]);
        let (out, lost) = write(dialect, &call, &Quirks::none());
        assert_eq!(out, r#"{"model":"m","messages":[]}"#);
        let paths = ["provider.quantizations", "plugins", "providerOptions.gateway.caching"];
        assert_eq!(lost, paths.map(|path| format!("{path}: {reason}")));
        let known = ["provider", "models", "plugins", "usage", "session_id", "providerOptions"];
        let router = quirks(|it| it.extensions = strings(known));
        assert_eq!(write(dialect, &call, &router), (body.to_owned(), vec![]));
    }
}

#[test]
fn the_routers_reasoning_becomes_an_effort_elsewhere() {
    for (reasoning, expected, lost) in [
        (r#"{"effort":"high"}"#, r#","reasoning_effort":"high""#, 0),
        (r#"{"max_tokens":5000,"exclude":true}"#, r#","reasoning_effort":"medium""#, 0),
        (r#"{"enabled":true}"#, "", 0),
        (r#"{"enabled":false}"#, "", 1),
    ] {
        let body = format!(r#"{{"model":"m","messages":[],"reasoning":{reasoning}}}"#);
        let call = read(&OpenAiChat, &body);
        let (out, losses) = write(&OpenAiChat, &call, &Quirks::none());
        let value: Value = serde_json::from_str(&out).unwrap();
        let expected = format!(r#"{{"model":"m","messages":[]{expected}}}"#);
        assert_eq!(value, serde_json::from_str::<Value>(&expected).unwrap(), "{reasoning}");
        assert_eq!(losses.len(), lost, "{losses:?}");
        let router = quirks(|it| it.extensions = strings(["reasoning"]));
        assert_eq!(both_ways(&OpenAiChat, &body, &router).0, body);
    }
}

const TOOLS: &str = r#"{"model":"m","messages":[
 {"role":"developer","content":"Be brief."},{"role":"system","content":[{"type":"text","text":"Be kind."}]},
 {"role":"user","content":"Go"},
 {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
   {"id":"toolu_01","type":"function","function":{"name":"f","arguments":"{\"z\": 1}"}},
   {"id":"abcDEF123","type":"function","function":{"name":"g","arguments":"{}"}}]},
 {"role":"tool","tool_call_id":"toolu_01","content":"1"},{"role":"tool","tool_call_id":"abcDEF123","content":"2"},
 {"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
 {"role":"tool","tool_call_id":"c","content":"3"}]}"#;

#[test]
fn trap_23_tool_turns_are_as_mistral_wants_them() {
    let mistral = quirks(|it| {
        it.tool_id_length = Some(9);
        it.tool_name = true;
        it.reasoning_field = Some("thinking".into());
    });
    let parts = r#"[{"type":"text","text":"Be kind."}]"#;
    let plain = TOOLS.replace("\"content\":\"\"", "\"content\":null");
    let plain = plain.replace(parts, "\"Be kind.\"");
    let (out, lost) = both_ways(&OpenAiChat, &plain, &mistral);
    let value: Value = serde_json::from_str(&out).unwrap();
    let message = |at: usize| &value["messages"][at];
    let short = message(3)["tool_calls"][0]["id"].as_str().unwrap();
    assert!(short.len() == 9 && short.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(message(4)["tool_call_id"], short);
    assert_eq!(message(4)["name"], "f");
    assert_eq!(message(5)["tool_call_id"], "abcDEF123", "what is short already stays");
    let thought = r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#;
    assert_eq!(message(3)["content"], serde_json::from_str::<Value>(thought).unwrap());
    assert!(message(3).get("reasoning_content").is_none());
    assert!(out.contains(r#""arguments":"{\"z\": 1}""#), "trap 27: {out}");
    assert_eq!(lost, Vec::<String>::new());
}

#[test]
fn trap_34_thought_is_named_and_echoed_as_the_upstream_wants() {
    let call = read(&OpenAiChat, TOOLS);
    for (field, echo, first, second) in [
        (None, true, "reasoning_content", Some("reasoning_content")),
        (Some("reasoning"), true, "reasoning", Some("reasoning")),
        (Some("reasoning"), false, "reasoning", None),
    ] {
        let kind = quirks(|it| {
            it.reasoning_field = field.map(str::to_owned);
            it.echo_reasoning = echo;
        });
        let (out, _) = write(&OpenAiChat, &call, &kind);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["messages"][3][first], "hm", "{out}");
        match second {
            Some(second) => assert_eq!(value["messages"][6][second], "", "{out}"),
            None => assert!(value["messages"][6].get("reasoning").is_none(), "{out}"),
        }
    }
}

#[test]
fn trap_37_system_messages_become_one() {
    let one = quirks(|it| (it.no_developer, it.one_system) = (true, true));
    let call = read(&OpenAiChat, TOOLS);
    let (out, lost) = write(&OpenAiChat, &call, &one);
    let expected = r#"[
 {"role":"system","content":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind."}]},{"role":"user","content":"Go"},"#;
    assert!(out.starts_with(&format!(r#"{{"model":"m","messages":{expected}"#)), "{out}");
    assert_eq!(lost, Vec::<String>::new());
    let later = r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"},{"role":"developer","content":"d"}]}"#;
    let (out, lost) = both_ways(&OpenAiChat, later, &one);
    let expected = r#"{"model":"m","messages":[{"role":"system","content":"a\n\nb"},{"role":"user","content":"c"},{"role":"user","content":"d"}]}"#;
    assert_eq!(out, expected);
    assert_eq!(lost, ["messages[3].role: system text after the first turn goes as the user's"]);
    let only_role = quirks(|it| it.no_developer = true);
    let (out, _) = both_ways(&OpenAiChat, later, &only_role);
    assert_eq!(out, later.replace("developer", "system"));
}

#[test]
fn traps_43_and_44_schemas_lose_what_is_refused() {
    let strict = quirks(|it| {
        it.no_strict = true;
        it.schema_omit = strings(["additionalProperties"]);
    });
    let schema = r#"{"type":"object","additionalProperties":false}"#;
    let chat = format!(
        r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema},"strict":true}}}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"s","schema":{schema},"strict":true}}}}}}"#
    );
    let (out, lost) = both_ways(&OpenAiChat, &chat, &strict);
    assert!(!out.contains("strict") && !out.contains("additional"), "{out}");
    assert_eq!(lost.len(), 4, "{lost:?}");
    let messages = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[],"tools":[{{"name":"f","input_schema":{schema},"strict":true}}],"output_config":{{"format":{{"type":"json_schema","schema":{schema}}}}}}}"#
    );
    let (out, lost) = both_ways(&AnthropicMessages, &messages, &strict);
    assert!(!out.contains("strict") && !out.contains("additional"), "{out}");
    let expected = [
        "tools[0].strict: this upstream refuses it",
        "tools[0].additionalProperties: this upstream refuses the keyword",
        "output_config.format.additionalProperties: this upstream refuses the keyword",
    ];
    assert_eq!(lost, expected);
}

#[test]
fn trap_46_media_by_address_is_refused_where_bytes_are_wanted() {
    let bytes = quirks(|it| it.inline_media = true);
    let chat = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"URL"}}]}]}"#;
    let call = read(&OpenAiChat, &chat.replace("URL", "https://example.org/a.png"));
    for dialect in [&OpenAiChat as &dyn Dialect, &AnthropicMessages] {
        let error = try_write(dialect, &call, &bytes).unwrap_err();
        assert_eq!(error.path, "messages[0].parts[0]");
    }
    let call = read(&OpenAiChat, &chat.replace("URL", "data:image/png;base64,AAAA"));
    assert!(try_write(&AnthropicMessages, &call, &bytes).is_ok());
    let nested = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://x.example"}}]}]}]}"#;
    let error = try_write(&AnthropicMessages, &read(&AnthropicMessages, nested), &bytes);
    assert_eq!(error.unwrap_err().path, "messages[0].parts[0].content[0]");
}

#[test]
fn trap_42_betas_are_filtered_and_go_into_the_body() {
    let bedrock = quirks(|it| {
        it.headers_in_body.insert("anthropic_beta".into(), "anthropic-beta".into());
        it.betas = strings(["context-*", "kept"]);
        it.set.insert("anthropic_version".into(), "\"bedrock-2023-05-31\"".into());
        (it.model_in_path, it.stream_in_path) = (true, true);
    });
    let body =
        r#"{"model":"m","max_tokens":9,"stream":true,"messages":[],"anthropic_beta":["kept"]}"#;
    let mut call = read(&AnthropicMessages, body);
    let header = ("anthropic-beta".to_owned(), "context-1m, secret-2, kept".to_owned());
    call.raw.as_mut().unwrap().headers = vec![header];
    let (out, lost) = write(&AnthropicMessages, &call, &bedrock);
    let expected = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[],"anthropic_beta":["kept","context-1m"]}"#;
    assert_eq!((out.as_str(), lost.len()), (expected, 0));
}

#[test]
fn trap_26_free_form_tools_are_functions_where_they_are_unknown() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Go"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"patch","input":"a\nb"}}]},{"role":"tool","tool_call_id":"c","content":"ok"}],"tools":[{"type":"custom","custom":{"name":"patch","description":"Patches","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: X"}}}}],"tool_choice":{"type":"custom","custom":{"name":"patch"}}}"#;
    assert_eq!(both_ways(&OpenAiChat, body, &Quirks::none()).0, body);
    let unknown = quirks(|it| it.no_custom_tools = true);
    let (out, lost) = both_ways(&OpenAiChat, body, &unknown);
    let value: Value = serde_json::from_str(&out).unwrap();
    let function = &value["tools"][0]["function"];
    assert_eq!(function["parameters"]["required"][0], "input");
    let described = "Patches\n\n`input` must follow this lark grammar:\nstart: X";
    assert_eq!(function["description"], described);
    let called = &value["messages"][1]["tool_calls"][0]["function"];
    assert_eq!(called["arguments"], r#"{"input":"a\nb"}"#);
    assert_eq!(value["tool_choice"]["function"]["name"], "patch");
    assert_eq!(lost, Vec::<String>::new());
    let (out, _) = write(&AnthropicMessages, &read(&OpenAiChat, body), &Quirks::none());
    assert!(out.contains(r#""name":"patch","input":{"input":"a\nb"}"#), "{out}");
}

#[test]
fn trap_45_json_of_a_shape_comes_by_a_tool_and_back_as_text() {
    let by_tool = quirks(|it| it.json_by_tool = true);
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#;
    let (out, lost) = both_ways(&AnthropicMessages, body, &by_tool);
    let expected = r#""tools":[{"name":"doorward_json","description":"Give the answer with this tool, and only with it.","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"doorward_json","disable_parallel_tool_use":true}}"#;
    assert!(out.ends_with(expected) && !out.contains("output_config"), "{out}");
    assert_eq!(lost, Vec::<String>::new());
    let array = body.replace(r#"{"type":"object"}"#, r#"{"type":"array"}"#);
    let error = try_write(&AnthropicMessages, &read(&AnthropicMessages, &array), &by_tool);
    assert_eq!(error.unwrap_err().path, "response_format");

    let answer = r#"{"id":"i","type":"message","model":"m","content":[{"type":"tool_use","id":"t","name":"doorward_json","input":{"a": 1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let (mut reader, mut frames) = (AnthropicMessages.reader(false, &by_tool), Vec::new());
    reader.push(Bytes::from(answer), &mut frames).unwrap();
    reader.finish(&mut frames).unwrap();
    assert!(frames[0].raw.is_none(), "the bytes say something else");
    let text = ModelEvent::Text { choice: 0, text: r#"{"a": 1}"#.into() };
    assert!(frames[0].events.contains(&text));
    let stop =
        |event: &ModelEvent| matches!(event, ModelEvent::Finish { reason: Finish::Stop, .. });
    assert!(frames[0].events.iter().any(stop));
    // Without the quirk it is a tool like any other.
    let (frames, _) = read_answer(&AnthropicMessages, false, answer.as_bytes(), 999);
    assert!(frames[0].raw.is_some());
}

#[test]
fn trap_52_reasoning_beside_the_completion_is_added() {
    let answer = r#"{"id":"i","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":30}}}"#;
    for (outside, expected) in [(false, 2), (true, 32)] {
        let kind = quirks(|it| it.reasoning_outside = outside);
        let (mut reader, mut frames) = (OpenAiChat.reader(false, &kind), Vec::new());
        reader.push(Bytes::from(answer), &mut frames).unwrap();
        reader.finish(&mut frames).unwrap();
        let usage = frames[0].events.iter().find_map(|event| match event {
            ModelEvent::Usage(usage) => Some(usage.output),
            _ => None,
        });
        assert_eq!(usage, Some(expected));
    }
}

#[test]
fn a_value_to_set_that_is_no_json_is_refused() {
    let broken = quirks(|it| drop(it.set.insert("x".into(), "{".into())));
    let call = read(&OpenAiChat, r#"{"model":"m","messages":[]}"#);
    assert_eq!(try_write(&OpenAiChat, &call, &broken).unwrap_err().path, "x");
}
