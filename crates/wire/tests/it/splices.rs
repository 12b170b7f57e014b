//! Same dialect: every byte is kept but those that must change.

use bytes::Bytes;
use doorward_core::ModelCall;
use doorward_wire::{
    AnthropicMessages, BedrockConverse, CohereChat, Destination, Dialect, Gemini, OllamaChat,
    OpenAiChat, Quirks,
};

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

const CLAUDE: &str = "anthropic.claude-sonnet-4-6";

#[test]
fn hidden_tools_are_taken_out_of_every_dialect() {
    for (dialect, body, expected) in [
        (
            &BedrockConverse as &dyn Dialect,
            r#"{"messages":[],"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}},{"toolSpec":{"name":"b","inputSchema":{"json":{}}}}],"toolChoice":{"tool":{"name":"b"}}}}"#,
            r#"{"messages":[],"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}}],"toolChoice":{"auto":{}}}}"#,
        ),
        (
            &CohereChat,
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a"}}, {"type":"function","function":{"name":"b"}}],"tool_choice":"REQUIRED"}"#,
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":"REQUIRED"}"#,
        ),
        (
            &OllamaChat,
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a"}}, {"type":"function","function":{"name":"b"}}],"keep_alive":1}"#,
            r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a"}}],"keep_alive":1}"#,
        ),
    ] {
        let call = read(dialect, body);
        assert_eq!(written(dialect, &call, "m", false), body, "byte for byte");
        assert_eq!(written(dialect, &hide(call, &["b"]), "m", false), expected);
    }
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
        (
            &Gemini,
            r#"{"contents":[{"role":"user","parts":[{"fileData":{"fileUri":"gs://b/film","mimeType":"video/mp4"},"videoMetadata":{"fps":1}},{"fileData":{"fileUri":"https://example.org/picture"}},{"inlineData":{"mimeType":"image/png","data":"aQ=="},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}]},{"role":"model","parts":[{"executableCode":{"language":"PYTHON","code":"1"}},{"text":"t","thought":true},{"text":"u","thoughtSignature":"eA=="}]}],"tools":[{"functionDeclarations":[{"name":"f","behavior":"BLOCKING"}]},{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED","allowedFunctionNames":["f"]},"retrievalConfig":{"languageCode":"it"}},"generationConfig":{"temperature":0.5,"mediaResolution":"MEDIA_RESOLUTION_LOW","responseMimeType":"text/x.enum","responseJsonSchema":{"enum":["a"]},"thinkingConfig":{"includeThoughts":true,"thinkingBudget":-1,"later":1}},"safetySettings":[],"cachedContent":"c","labels":{"a":"b"},"serviceTier":"flex"}"#,
        ),
        (
            &Gemini,
            r#"{"contents":[],"generationConfig":{"responseMimeType":"text/plain","thinkingConfig":{"thinkingLevel":"high"}}}"#,
        ),
        (&Gemini, r#"{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}"#),
        (
            &BedrockConverse,
            r#"{"messages":[{"role":"user","content":[{"hologram":1},{"guardContent":{"text":{"text":"g"}}}]},{"role":"assistant","content":[{"reasoningContent":{"redactedContent":"cnNu"}},{"text":"a"}]},{"role":"user","content":[{"text":"b"},{"cachePoint":{"type":"default"}}]}],"system":[{"guardContent":{"text":{"text":"s"}}}],"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]},"additionalModelRequestFields":{"top_k":4,"thinking":{"type":"adaptive","display":"omitted"},"anthropic_beta":["x"]},"guardrailConfig":{"guardrailIdentifier":"g"},"promptVariables":{"a":{"text":"b"}}}"#,
        ),
        (
            &CohereChat,
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"hologram"}]},{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"data":"d"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"strict_tools":true,"documents":["d"],"citation_options":{"mode":"FAST"},"thinking":{"type":"enabled"},"k":4,"p":1}"#,
        ),
        (
            &OllamaChat,
            r#"{"model":"m","messages":[{"role":"assistant","content":"a","thinking":"t"}],"stream":false,"think":"high","options":{"num_predict":5,"mirostat":2},"keep_alive":"5m"}"#,
        ),
    ] {
        let mut call = read(dialect, body);
        call.raw.as_mut().unwrap().body = Bytes::new();
        let out = written(dialect, &call, if call.model.is_empty() { CLAUDE } else { "m" }, false);
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

const GEMINI: &str = r#"{"contents":[], "tools": [ {"functionDeclarations":[{"name":"a"} ,{"name":"b"}, {"name":"c"}],"googleSearch":{}} , {"codeExecution":{}} ],"tool_config":{"functionCallingConfig":CALLING} , "labels":{} }"#;

#[test]
fn hidden_functions_are_taken_out_of_their_declarations() {
    let body = GEMINI.replace("CALLING", r#"{"mode":"AUTO"}"#);
    let call = read(&Gemini, &body);
    for (names, expected) in [
        (&["a"][..], body.replace(r#"{"name":"a"} ,"#, "")),
        (&["c"], body.replace(r#", {"name":"c"}"#, "")),
        (&["a", "googleSearch"], body.replace(r#"{"name":"a"} ,"#, "").replace(r#","googleSearch":{}"#, "")),
        (&["codeExecution"], body.replace(r#" , {"codeExecution":{}}"#, "")),
        (
            &["a", "b", "c"],
            body.replace(r#""functionDeclarations":[{"name":"a"} ,{"name":"b"}, {"name":"c"}],"#, ""),
        ),
        (
            &["a", "b", "c", "googleSearch"],
            body.replace(r#"{"functionDeclarations":[{"name":"a"} ,{"name":"b"}, {"name":"c"}],"googleSearch":{}} , "#, ""),
        ),
        (
            &["a", "b", "c", "googleSearch", "codeExecution"],
            r#"{"contents":[], "labels":{} }"#.to_owned(),
        ),
    ] {
        let call = hide(call.clone(), names);
        assert_eq!(written(&Gemini, &call, "m", true), expected, "{names:?}");
    }
}

#[test]
fn a_mode_that_names_hidden_functions_names_the_others() {
    for (calling, hidden, expected) in [
        (
            r#"{"mode":"ANY","allowedFunctionNames":["a","b"]}"#,
            "a",
            r#"{"mode":"ANY","allowedFunctionNames":["b"]}"#,
        ),
        (r#"{"mode":"ANY","allowed_function_names":["b"]}"#, "b", r#"{"mode":"AUTO"}"#),
        (r#"{"mode":"VALIDATED","allowedFunctionNames":["b"]}"#, "b", r#"{"mode":"VALIDATED"}"#),
        (r#"{"mode":"ANY"}"#, "b", r#"{"mode":"ANY"}"#),
    ] {
        let call = hide(read(&Gemini, &GEMINI.replace("CALLING", calling)), &[hidden]);
        let out = written(&Gemini, &call, "m", false);
        assert!(
            out.contains(&format!("\"functionCallingConfig\":{expected}}}")),
            "{calling} {out}"
        );
        let call = ModelCall { raw: None, ..call };
        let out = Gemini.write_call(&call, &Destination::new("m")).unwrap().body;
        assert!(!String::from_utf8_lossy(&out).contains(&format!("\"{hidden}\"")), "{out:?}");
    }
}

#[test]
fn a_name_in_the_body_is_replaced_where_it_stands() {
    let body = r#"{ "model" : "models/fast","contents":[{"parts":[{"text":"models/fast"}]}]}"#;
    let call = Gemini.read_addressed(Bytes::from_static(body.as_bytes()), "fast", true).unwrap();
    assert!(call.stream && call.model == "fast");
    let expected = body.replacen("fast", "gemini-3-pro", 1);
    assert_eq!(written(&Gemini, &call, "gemini-3-pro", true), expected);
}

#[test]
fn an_upstreams_differences_touch_nothing_else() {
    let body = r#"{"contents":[] ,"service_tier":"flex", "labels":{"a":"b"}}"#;
    let quirks: Quirks = Quirks {
        omit: vec!["serviceTier".into()],
        rename: [("labels".to_owned(), "tags".to_owned())].into(),
        set: [("extra".to_owned(), "1".to_owned()), ("labels".to_owned(), "{}".to_owned())].into(),
        ..Quirks::none()
    };
    let to = Destination { quirks: &quirks, ..Destination::new("m") };
    let mut call = read(&Gemini, body);
    for expected in [
        r#"{"extra":1,"contents":[] ,"tags":{"a":"b"}}"#,
        r#"{"contents":[],"tags":{"a":"b"},"extra":1}"#,
    ] {
        let written = Gemini.write_call(&call, &to).unwrap();
        assert_eq!(written.body, expected);
        assert_eq!(written.dropped.len(), 1);
        assert_eq!(written.dropped[0].path, "serviceTier");
        call.raw.as_mut().unwrap().body = Bytes::new();
    }
}
