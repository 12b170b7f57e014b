//! Responses: what its cases do not show.

use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, Frame, IssuerState, ModelCall, ModelEvent};
use doorward_wire::{
    AnthropicMessages, Destination, Dialect, OpenAiChat, OpenAiResponses, Quirks, WriterOptions,
    responses,
};
use serde_json::{Value, json};

use crate::cases::{all, read_answer, speak, spoken};

fn read(body: &str) -> ModelCall {
    OpenAiResponses.read_call(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn events(out: &str) -> Vec<Value> {
    let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn told(options: WriterOptions, frames: &[Frame]) -> String {
    let (mut writer, mut out) = (OpenAiResponses.writer(options), BytesMut::new());
    for frame in frames {
        writer.write(frame, &mut out);
    }
    writer.finish(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn stream() -> WriterOptions {
    WriterOptions { streaming: true, ..WriterOptions::default() }
}

fn forwarded() -> WriterOptions {
    WriterOptions { same_dialect: true, ..stream() }
}

fn frames_of(case: &str) -> (Vec<Frame>, String) {
    let case = all("answers").into_iter().find(|found| found.name() == case).unwrap();
    let (words, text) = case.from();
    let (frames, end) = read_answer(speak(words[0]), true, text.as_bytes(), 4096);
    assert_eq!(end, Ok(()));
    (frames, text.to_owned())
}

/// What real clients need of a stream: numbers without gaps, items that begin before more is
/// said of them, in order, and that end as the whole answer repeats them.
fn holds_together(out: &str) {
    let (mut begun, mut ended) = (0, std::collections::BTreeMap::new());
    for (at, event) in events(out).iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(at), "{out}");
        let index = event["output_index"].as_u64();
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(index, Some(begun), "{out}");
                begun += 1;
            }
            "response.output_item.done" => {
                assert!(index.unwrap() < begun, "{out}");
                ended.insert(index.unwrap(), event["item"].clone());
            }
            "response.completed" => {
                let items: Vec<Value> = ended.values().cloned().collect();
                assert_eq!(event["response"]["output"], Value::from(items), "{out}");
            }
            _ => assert!(index.is_none_or(|index| index < begun), "{out}"),
        }
    }
}

/// All frames of one call in another's place, as the guard leaves them.
fn denied(frames: &[Frame], which: u32) -> Vec<Frame> {
    let mut out = Vec::new();
    for frame in frames {
        let concerns = |event: &ModelEvent| match event {
            ModelEvent::ToolStart { call, .. }
            | ModelEvent::ToolDelta { call, .. }
            | ModelEvent::ToolEnd { call } => *call == which,
            _ => false,
        };
        if !frame.events.iter().any(concerns) {
            out.push(frame.clone());
            continue;
        }
        let mut events = Vec::new();
        for event in frame.events.clone() {
            match event {
                ModelEvent::ToolStart { call, choice, id, state, .. } if call == which => {
                    let name = "denied".to_owned();
                    events.push(ModelEvent::ToolStart { call, choice, id, name, state });
                    events.push(ModelEvent::ToolDelta { call, json: "{\"why\":1}".into() });
                }
                ModelEvent::ToolDelta { call, .. } if call == which => {}
                event => events.push(event),
            }
        }
        out.push(Frame::of(events));
    }
    out
}

#[test]
fn a_denied_call_is_nowhere_in_the_stream() {
    let (frames, _) = frames_of("responses-parallel-tools-trap-14-18.case");
    for (which, gone) in [(0, "\"get\""), (1, "\"now\"")] {
        let out = told(forwarded(), &denied(&frames, which));
        assert!(!out.contains(gone) && out.contains("\"denied\""), "{out}");
        holds_together(&out);
    }
    let (frames, _) = frames_of("responses-custom-tool-trap-26.case");
    let out = told(forwarded(), &denied(&frames, 0));
    assert!(!out.contains("apply_patch") && !out.contains("Begin"), "{out}");
    holds_together(&out);
}

#[test]
fn a_call_left_out_is_left_out_of_the_whole_answer_too() {
    let (frames, _) = frames_of("responses-parallel-tools-trap-14-18.case");
    for (which, gone) in [(0, "\"get\""), (1, "\"now\"")] {
        let concerns = |event: &ModelEvent| match event {
            ModelEvent::ToolStart { call, .. }
            | ModelEvent::ToolDelta { call, .. }
            | ModelEvent::ToolEnd { call } => *call == which,
            _ => false,
        };
        let kept = frames.iter().filter(|frame| !frame.events.iter().any(concerns));
        let out = told(forwarded(), &kept.cloned().collect::<Vec<_>>());
        assert!(!out.contains(gone), "{out}");
        holds_together(&out);
    }
}

#[test]
fn text_told_otherwise_is_told_so_everywhere() {
    let (mut frames, _) = frames_of("responses-text-trap-50.case");
    let changed = frames.iter_mut().find(|frame| {
        frame
            .events
            .iter()
            .any(|event| matches!(event, ModelEvent::Text { text, .. } if text == "lo é"))
    });
    *changed.unwrap() = Frame::of(vec![ModelEvent::Text { choice: 0, text: "[gone]".into() }]);
    let out = told(forwarded(), &frames);
    assert!(!out.contains("lo é"), "{out}");
    assert_eq!(out.matches("Hel[gone]").count(), 4, "{out}");
    holds_together(&out);
}

#[test]
fn nothing_is_forwarded_after_the_end() {
    let (frames, text) = frames_of("responses-text-trap-50.case");
    let raw = Bytes::from_static(
        b"data: {\"type\":\"response.output_item.done\",\"output_index\":9,\"item\":{\"type\":\"function_call\"}}\n\n",
    );
    let late = Frame { events: Vec::new(), raw: Some(raw) };
    let out = told(forwarded(), &[&frames[..], &[late]].concat());
    assert_eq!(out, text);
}

#[test]
fn trap_26_a_custom_call_is_told_as_one() {
    let text = "*** Begin Patch\n+\"é\"";
    let arguments = json!({ "input": text }).to_string();
    let start = |name: &str| ModelEvent::ToolStart {
        call: 0,
        choice: 0,
        id: "c1".into(),
        name: name.into(),
        state: None,
    };
    for size in [1, 5, 1000] {
        let chars: Vec<char> = arguments.chars().collect();
        let mut events = vec![start("apply_patch")];
        for piece in chars.chunks(size) {
            events.push(ModelEvent::ToolDelta { call: 0, json: piece.iter().collect() });
        }
        events.extend([ModelEvent::ToolEnd { call: 0 }, ModelEvent::Done]);
        let custom_tools = vec!["apply_patch".to_owned()];
        let frames: Vec<Frame> =
            events.iter().map(|event| Frame::of(vec![event.clone()])).collect();
        let out = told(WriterOptions { custom_tools: custom_tools.clone(), ..stream() }, &frames);
        holds_together(&out);
        let said = |kind: &str| -> String {
            let all = events_of(&out, kind);
            all.iter()
                .filter_map(|event| event["delta"].as_str().or(event["input"].as_str()))
                .collect()
        };
        assert_eq!(said("response.custom_tool_call_input.delta"), text);
        assert_eq!(said("response.custom_tool_call_input.done"), text);
        let item = &events_of(&out, "response.output_item.done")[0]["item"];
        assert_eq!((&item["type"], &item["input"]), (&json!("custom_tool_call"), &json!(text)));
        let whole = WriterOptions { custom_tools, ..WriterOptions::default() };
        let out: Value = serde_json::from_str(&told(whole, &frames)).unwrap();
        assert_eq!(out["output"][0]["input"], text);
    }
    // What is no such object is told as it is.
    let custom_tools = vec!["p".to_owned()];
    let delta = ModelEvent::ToolDelta { call: 0, json: "{\"patch\":1}".into() };
    let events = vec![start("p"), delta, ModelEvent::ToolEnd { call: 0 }, ModelEvent::Done];
    let out = told(WriterOptions { custom_tools, ..stream() }, &[Frame::of(events)]);
    let item = &events_of(&out, "response.output_item.done")[0]["item"];
    assert_eq!(item["input"], "{\"patch\":1}");
}

fn events_of(out: &str, kind: &str) -> Vec<Value> {
    events(out).into_iter().filter(|event| event["type"] == kind).collect()
}

#[test]
fn trap_33_state_of_a_call_comes_back_with_it() {
    let state = IssuerState { issuer: DialectId::GEMINI, data: "SIG".into() };
    let start = ModelEvent::ToolStart {
        call: 0,
        choice: 0,
        id: "c1".into(),
        name: "f".into(),
        state: Some(state.clone()),
    };
    let thought = IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data: "ONLY".into() };
    let frames = [Frame::of(vec![
        ModelEvent::ReasoningSignature { state: thought },
        start,
        ModelEvent::ToolDelta { call: 0, json: "{}".into() },
        ModelEvent::ToolEnd { call: 0 },
        ModelEvent::Done,
    ])];
    let streamed = told(stream(), &frames);
    holds_together(&streamed);
    let last = events_of(&streamed, "response.completed").remove(0);
    let whole: Value = serde_json::from_str(&told(WriterOptions::default(), &frames)).unwrap();
    for answer in [&last["response"], &whole] {
        let items = responses::output_items(answer.to_string().as_bytes()).unwrap();
        let body = Bytes::from_static(br#"{"model":"m","input":"go on"}"#);
        let body = responses::continue_from(body, &items).unwrap();
        let call = OpenAiResponses.read_call(body).unwrap();
        let debug = format!("{:?}", call.messages[0]);
        assert!(debug.contains(&format!("state: Some({state:?})")), "{debug}");
        let claude = AnthropicMessages.write_call(&call, &Destination::new("c")).unwrap();
        let text = String::from_utf8(claude.body.to_vec()).unwrap();
        assert!(text.contains(r#"{"type":"thinking","thinking":"","signature":"ONLY"}"#), "{text}");
    }
}

#[test]
fn an_answer_repeats_its_request() {
    let body = r#"{"model":"m","instructions":"Be\nbrief.","input":"Hi","stream":true,"temperature":0.5,
      "tools":[{"type":"function","name":"f","parameters":{"type":"object",
        "properties":{}},"strict":false},{"type":"web_search",
        "search_context_size":"low"}],"tool_choice":{"type":"function","name":"f"},
      "text":{"format":{"type":"json_schema","name":"n","schema":{"type":
        "object"}}},"reasoning":{"effort":"low"},"metadata":{"k":
        "v"},"store":false,"user":"u","parallel_tool_calls":false,"max_output_tokens":9}"#;
    let mut options = OpenAiResponses.options(&read(body));
    let previous = serde_json::value::to_raw_value("resp_0").unwrap();
    options.echo.push(("previous_response_id".to_owned(), previous));
    let out = told(options, &[Frame::of(vec![ModelEvent::Done])]);
    holds_together(&out);
    let asked: Value = serde_json::from_str(body).unwrap();
    for event in events(&out) {
        let response = &event["response"];
        for name in ["instructions", "temperature", "tool_choice", "metadata", "store", "user"] {
            assert_eq!(response[name], asked[name], "{name}");
        }
        assert_eq!(response["tools"][1], asked["tools"][1]);
        assert_eq!(response["tools"][0]["name"], "f");
        assert_eq!(response["previous_response_id"], "resp_0");
        assert_eq!(response["text"]["format"]["schema"], asked["text"]["format"]["schema"]);
        assert_eq!(response["reasoning"], json!({"effort":"low","summary":null}));
        assert_eq!(response["max_output_tokens"], 9);
        assert_eq!(response["parallel_tool_calls"], false);
        // And what it did not say.
        assert_eq!(response["top_p"], 1.0);
        assert_eq!(response["truncation"], "disabled");
        assert_eq!(response["safety_identifier"], Value::Null);
    }
}

#[test]
fn the_schema_of_clients_that_check_is_met() {
    // @ai-sdk/openai and the OpenAI SDKs refuse an answer without these.
    let (frames, _) = frames_of("chat-text-usage-after-finish-trap-1-4.case");
    let out = told(WriterOptions { id: "resp_9".into(), ..stream() }, &frames);
    holds_together(&out);
    let all = events(&out);
    let kinds: Vec<&str> = all.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
    assert_eq!(*kinds.last().unwrap(), "response.completed");
    let response = &all.last().unwrap()["response"];
    for (name, is) in [
        ("id", Value::is_string as fn(&Value) -> bool),
        ("created_at", Value::is_number),
        ("model", Value::is_string),
        ("output", Value::is_array),
        ("parallel_tool_calls", Value::is_boolean),
        ("tool_choice", Value::is_string),
        ("tools", Value::is_array),
        ("error", Value::is_null),
        ("incomplete_details", Value::is_null),
    ] {
        assert!(is(&response[name]), "{name} {response}");
    }
    for field in ["input_tokens", "output_tokens", "total_tokens"] {
        assert!(response["usage"][field].is_number(), "{response}");
    }
    assert!(response["usage"]["input_tokens_details"]["cached_tokens"].is_number());
    assert!(response["usage"]["output_tokens_details"]["reasoning_tokens"].is_number());
    assert!(response["output"][0]["id"].as_str().unwrap().starts_with("msg_9"));
}

#[test]
fn earlier_items_stand_in_front() {
    let earlier =
        responses::items_of(br#"{"input":[{"role":"user","content":"a"},{"x":1}]}"#).unwrap();
    for (body, expected) in [
        (
            r#"{"model":"m","input":"Hi","previous_response_id":"r"}"#,
            r#"{"model":"m","input":[{"role":"user","content":"a"},{"x":1},{"type":"message","role":"user","content":"Hi"}]}"#,
        ),
        (
            r#"{"previous_response_id":"r", "model":"m","input": [ {"b":2} ]}"#,
            r#"{"model":"m","input": [{"role":"user","content":"a"},{"x":1}, {"b":2} ]}"#,
        ),
        (
            r#"{"model":"m","input":[]}"#,
            r#"{"model":"m","input":[{"role":"user","content":"a"},{"x":1}]}"#,
        ),
        (r#"{"model":"m"}"#, r#"{"input":[{"role":"user","content":"a"},{"x":1}],"model":"m"}"#),
        (r#"{"previous_response_id":"r"}"#, r#"{"input":[{"role":"user","content":"a"},{"x":1}]}"#),
        (r#"{"input":null}"#, r#"{"input":[{"role":"user","content":"a"},{"x":1}]}"#),
    ] {
        let whole = responses::continue_from(Bytes::from(body), &earlier).unwrap();
        assert_eq!(whole, expected);
    }
    let alone = responses::continue_from(Bytes::from(r#"{"input":[{"b":2}]}"#), &[]).unwrap();
    assert_eq!(alone, r#"{"input":[{"b":2}]}"#);
    assert!(responses::continue_from(Bytes::from(r#"{"input":5}"#), &earlier).is_err());
    assert!(responses::continue_from(Bytes::from("[]"), &earlier).is_err());
    assert!(responses::items_of(b"{}").unwrap().is_empty());
    assert!(responses::output_items(br#"{"output":5}"#).is_err());
}

#[test]
fn items_that_are_kept_take_the_place_of_their_names() {
    let body = r#"{"model":"m","input":[{"type":"item_reference","id":"a"},{"id":"b"}, {"role":"user","content":"item_reference","id":"a"},{"type":"item_reference","id":"gone"}]}"#;
    let find = |id: &str| {
        let item = json!({"type":"message","role":"assistant","content":id});
        (id != "gone").then(|| serde_json::value::to_raw_value(&item).unwrap())
    };
    let whole = responses::resolve_references(Bytes::from(body), find).unwrap();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["input"][0]["content"], "a");
    assert_eq!(whole["input"][1]["content"], "b");
    assert_eq!(whole["input"][2]["content"], "item_reference");
    assert_eq!(whole["input"][3]["id"], "gone");
    let plain = Bytes::from(r#"{"input":"x"}"#);
    let same = responses::resolve_references(plain.clone(), |_| None).unwrap();
    assert_eq!(same.as_ptr(), plain.as_ptr());
}

#[test]
fn what_openai_keeps_does_not_cross() {
    let to = Destination::new("m");
    for (body, path) in [
        (r#"{"model":"m","prompt":{"id":"p"}}"#, "prompt"),
        (r#"{"model":"m","input":"x","previous_response_id":"r"}"#, "previous_response_id"),
    ] {
        let call = read(body);
        assert_eq!(OpenAiResponses.write_call(&call, &to).unwrap().body, body);
        for other in spoken().filter(|name| *name != "openai-responses") {
            let error = speak(other).write_call(&call, &to).unwrap_err();
            assert_eq!(error.path, path, "{other}");
        }
    }
    let mut call = read(r#"{"model":"m","input":"x","previous_response_id":"r"}"#);
    assert_eq!(call.previous.take().as_deref(), Some("r"));
    assert!(OpenAiChat.write_call(&call, &to).is_ok());
}

const TOOLS: &str = r#"{"tools": [ {"type":"function","name":"a"} ,
  {"type":"custom","name":"b"},{"type":"web_search"} ], "model":"m","input":"x","tool_choice":CHOICE,"parallel_tool_calls":true }"#;

fn hide(mut call: ModelCall, names: &[&str]) -> ModelCall {
    for tool in &mut call.tools {
        tool.hidden = names.contains(&tool.name.as_str());
    }
    call
}

#[test]
fn hidden_tools_are_taken_out_and_nothing_else() {
    let to = Destination::new("m");
    let forced = r#"{"type":"custom","name":"b"}"#;
    let listed = r#"{"type":"allowed_tools","mode":"required","tools":[]}"#;
    for (choice, hidden, expected) in [
        (
            "\"auto\"",
            "a",
            TOOLS
                .replace("{\"type\":\"function\",\"name\":\"a\"} ,\n  ", "")
                .replace("CHOICE", "\"auto\""),
        ),
        (
            forced,
            "b",
            TOOLS
                .replace("{\"type\":\"custom\",\"name\":\"b\"},", "")
                .replace("CHOICE", "\"auto\""),
        ),
        (
            listed,
            "web_search",
            TOOLS.replace(",{\"type\":\"web_search\"}", "").replace("CHOICE", "\"required\""),
        ),
    ] {
        let call = hide(read(&TOOLS.replace("CHOICE", choice)), &[hidden]);
        let written = OpenAiResponses.write_call(&call, &to).unwrap();
        assert_eq!(written.body, expected, "{choice} {hidden}");
        assert_eq!(written.dropped, []);
    }
    let call = hide(read(&TOOLS.replace("CHOICE", forced)), &["a", "b", "web_search"]);
    assert_eq!(
        OpenAiResponses.write_call(&call, &to).unwrap().body,
        r#"{"model":"m","input":"x" }"#
    );
}

#[test]
fn only_the_models_name_changes() {
    let body = "{ \"x\":{\"model\":\"m\"}, \"mod\\u0065l\" :\t\"m\\u0031\" ,\"input\": [ ] }\n";
    let call = read(body);
    let to = Destination::new("a\"b");
    let written = OpenAiResponses.write_call(&call, &to).unwrap();
    assert_eq!(written.body, body.replace("\"m\\u0031\"", "\"a\\\"b\""));
    let body = Bytes::from_static(br#"{"model":"m","input":"x"}"#);
    let call = OpenAiResponses.read_call(body.clone()).unwrap();
    let same = OpenAiResponses.write_call(&call, &Destination::new("m")).unwrap();
    assert_eq!(same.body.as_ptr(), body.as_ptr());
}

#[test]
fn a_changed_call_is_written_anew_with_what_only_its_dialect_knows() {
    let body = r#"{"model":"m","instructions":"i","input":[
        {"type":"message","role":"developer","content":"d"},
        {"type":"message","role":"user","content":[{"type":"input_video","url":"u"}]},
        {"type":"reasoning","summary":[],"encrypted_content":"E"},
        {"type":"web_search_call","id":"ws_1","status":"completed"},
        {"type":"custom_tool_call","call_id":"c","name":"p","input":"text"},
        {"type":"custom_tool_call_output","call_id":"c","output":"ok"},
        {"type":"computer_call_output","call_id":"cc","output":{"type":"computer_screenshot"}}],
      "tools":[{"type":"custom","name":"p","format":{"type":"text"}},{"type":"web_search"}],
      "reasoning":{"effort":"low","mode":"pro"},"text":{"verbosity":"low","format":{"type":"text"}},
      "store":false,"include":["reasoning.encrypted_content"],"metadata":{"a":"b"},"top_logprobs":1,
      "truncation":"auto","prompt_cache_key":"k","service_tier":"flex","max_tool_calls":3,"stream":true}"#;
    let mut call = read(body);
    call.raw.as_mut().unwrap().body = Bytes::new();
    let written = OpenAiResponses.write_call(&call, &Destination::new("m")).unwrap();
    assert_eq!(written.dropped, []);
    let same: Value = serde_json::from_slice(&written.body).unwrap();
    let expected: Value = serde_json::from_str(body).unwrap();
    assert_eq!(same, expected);
}

#[test]
fn quirks_are_heeded_both_ways_of_writing() {
    let body = r#"{"model":"m","input":[{"role":"developer","content":"d"},{"role":"user","content":"u"},
        {"type":"function_call","call_id":"call_12345","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_12345","output":"o"},
        {"role":"system","content":"s"}],
      "tools":[{"type":"function","name":"f","strict":true,"parameters":{"type":"object","$comment":"c"}},{"type":"custom","name":"p"}],
      "text":{"format":{"type":"json_schema","name":"n","schema":{"$comment":"c"},"strict":true}},
      "temperature":0.1,"top_p":0.2,"metadata":{"a":"b"},"max_output_tokens":5,"provider":{"sort":"price"},"stream":true}"#;
    let quirks = Quirks {
        omit: vec!["metadata".into()],
        rename: [("max_output_tokens".into(), "max_tokens".into())].into(),
        set: [("safe".into(), "true".into())].into(),
        no_developer: true,
        one_system: true,
        no_strict: true,
        schema_omit: vec!["$comment".into()],
        one_sampling: true,
        tool_id_length: Some(9),
        no_custom_tools: true,
        stream_in_path: true,
        ..Quirks::none()
    };
    for anew in [false, true] {
        let mut call = read(body);
        if anew {
            call.raw.as_mut().unwrap().body = Bytes::new();
        }
        let to = Destination { quirks: &quirks, ..Destination::new("m") };
        let written = OpenAiResponses.write_call(&call, &to).unwrap();
        let text = String::from_utf8(written.body.to_vec()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        for absent in [
            "developer",
            "strict",
            "$comment",
            "top_p",
            "metadata",
            "provider",
            "call_12345",
            "\"stream\"",
            "\"custom\"",
        ] {
            assert!(!text.contains(absent), "{absent} {text}");
        }
        assert_eq!((&value["max_tokens"], &value["safe"]), (&json!(5), &json!(true)));
        assert_eq!(value["input"][2]["call_id"], value["input"][3]["call_id"]);
        assert_eq!(value["input"][4]["role"], "user");
        let paths: Vec<&str> = written.dropped.iter().map(|it| it.path.as_str()).collect();
        assert!(paths.contains(&"metadata") && paths.contains(&"top_p"), "{paths:?}");
    }
    let quirks = Quirks { inline_media: true, ..Quirks::none() };
    let call = read(
        r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://a/b"}]}]}"#,
    );
    let to = Destination { quirks: &quirks, ..Destination::new("m") };
    let error = OpenAiResponses.write_call(&call, &to).unwrap_err();
    assert_eq!(error.path, "messages[0].parts[0]");
}
