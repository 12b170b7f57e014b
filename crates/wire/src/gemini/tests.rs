use std::time::Duration;

use doorward_core::{
    Body, EmbedInput, Frame, IssuerState, Message, ModelEvent, Part, Reasoning, Role, ToolResult,
    ToolUse,
};
use serde_json::{Value, json};

use super::*;
use crate::AnthropicMessages;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn read(text: &str) -> ModelCall {
    Gemini.read_call(bytes(text)).unwrap()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The contents written for a model, and what was left out.
fn contents(model: &str, messages: Vec<Message>) -> (Value, Vec<String>) {
    let call = ModelCall { messages, ..ModelCall::default() };
    let written = Gemini.write_call(&call, &Destination::new(model)).unwrap();
    let dropped = written.dropped.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect();
    (value(&written.body)["contents"].clone(), dropped)
}

fn call(id: &str, name: &str) -> ToolUse {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), "{}".to_owned());
    ToolUse { id, name, arguments, ..ToolUse::default() }
}

fn result(id: &str, text: &str) -> Part {
    let content = vec![Part::text(text)];
    Body::ToolResult(ToolResult { id: id.into(), name: None, content, is_error: false }).into()
}

fn said(parts: Vec<Part>) -> Message {
    Message { role: Role::Assistant, parts, name: None }
}

fn heard(parts: Vec<Part>) -> Message {
    Message { role: Role::User, parts, name: None }
}

#[test]
fn reasons_are_mapped_both_ways() {
    for (native, calls, reason, word) in [
        ("STOP", false, Finish::Stop, "STOP"),
        ("STOP", true, Finish::ToolCalls, "STOP"),
        ("MAX_TOKENS", true, Finish::Length, "MAX_TOKENS"),
        ("SPII", false, Finish::ContentFilter, "SPII"),
        ("IMAGE_PROHIBITED_CONTENT", true, Finish::ContentFilter, "IMAGE_PROHIBITED_CONTENT"),
        ("LANGUAGE", false, Finish::Other, "LANGUAGE"),
        ("OTHER", false, Finish::Other, "OTHER"),
        // Trap 5: an agent would loop on anything else.
        ("NEW_REASON", true, Finish::ToolCalls, "STOP"),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, finish_word(found, native)), (reason, word), "{native} {calls}");
    }
    assert_eq!(finish_word(Finish::ContentFilter, "refusal"), "SAFETY");
    assert_eq!(finish_word(Finish::Other, "compaction"), "OTHER");
}

#[test]
fn trap_55_the_wait_is_read_and_told() {
    let body = r#"{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}"#;
    let mut error = Gemini.read_error(429, bytes(body));
    assert_eq!(error.retry_after, Some(Duration::from_millis(34_400)));
    assert_eq!(Gemini.write_error(&error, "r"), (429, bytes(body)), "as it came");
    error.relayed = None;
    assert_eq!(Gemini.write_error(&error, "r"), (429, bytes(body)), "and written anew");
    let refused = CallError::new(Code::Forbidden, "no").with_rule("no-mail");
    let details = &value(&Gemini.write_error(&refused, "r").1)["error"]["details"];
    assert_eq!(details[0]["reason"], "no-mail");
}

#[test]
fn trap_57_a_refused_key_is_ours_though_google_says_400() {
    let body = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
    let error = Gemini.read_error(400, bytes(body));
    assert_eq!((error.code, error.relayed.as_ref().unwrap().status), (Code::Upstream, 401));
    let (status, told) = Gemini.write_error(&error, "r");
    assert_eq!(status, 502);
    assert!(!String::from_utf8_lossy(&told).contains("API key"), "{told:?}");
    // Any other complaint about the request is the caller's.
    let error = Gemini.read_error(400, bytes(r#"{"error":{"code":400,"message":"bad"}}"#));
    assert_eq!(error.code, Code::InvalidRequest);
}

#[test]
fn models_are_listed() {
    let model = Model { id: "fast".into(), owner: "doorward".into() };
    let one = r#"{"name":"models/fast","displayName":"fast","supportedGenerationMethods":["generateContent","countTokens"]}"#;
    assert_eq!(Gemini.write_model(&model), one);
    assert_eq!(Gemini.write_models(&[model]), format!(r#"{{"models":[{one}]}}"#));
    assert_eq!(Gemini.write_models(&[]), r#"{"models":[]}"#);
}

#[test]
fn trap_33_signatures_go_back_or_the_validator_is_told_to_skip() {
    let own = |data: &str| Some(state::issued(data));
    let foreign = Some(IssuerState { issuer: DialectId::OPENAI_RESPONSES, data: "x".to_owned() });
    let turn = |one: Option<IssuerState>| {
        let first = ToolUse { state: one, ..call("a", "f") };
        vec![
            said(vec![Body::ToolUse(first).into(), Body::ToolUse(call("b", "g")).into()]),
            heard(vec![result("b", "2"), result("a", "1")]),
        ]
    };
    for (model, state, first) in [
        ("gemini-3-pro-preview", own("U0lH"), json!("U0lH")),
        ("gemini-3-pro-preview", foreign.clone(), json!("skip_thought_signature_validator")),
        ("gemini-3-pro-preview", None, json!("skip_thought_signature_validator")),
        ("gemini-2.5-flash", own("U0lH"), json!("U0lH")),
        ("gemini-2.5-flash", foreign, Value::Null),
    ] {
        let (contents, _) = contents(model, turn(state));
        let parts = &contents[0]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], first, "{model}");
        assert_eq!(parts[1]["thoughtSignature"], Value::Null, "only the first of parallel calls");
        // Trap 22: as many responses as calls, in their order; ids only where they are known.
        let third = model.starts_with("gemini-3");
        let id = |id: &str| if third { json!(id) } else { Value::Null };
        let responses = &contents[1]["parts"];
        assert_eq!(parts[0]["functionCall"]["id"], id("a"), "{model}");
        for (nth, (known, name)) in [("a", "f"), ("b", "g")].into_iter().enumerate() {
            let response = &responses[nth]["functionResponse"];
            assert_eq!((&response["id"], &response["name"]), (&id(known), &json!(name)));
        }
    }
}

#[test]
fn trap_33_state_carried_before_a_call_goes_back_on_it() {
    let sealed = |issuer, data: &str| {
        let redacted = Some(data.to_owned());
        Part::from(Body::Reasoning(Reasoning { redacted, issuer, ..Reasoning::default() }))
    };
    let turn = |before: Part| {
        vec![
            said(vec![before, Body::ToolUse(call("a", "f")).into()]),
            heard(vec![result("a", "1")]),
        ]
    };
    let (found, dropped) = contents("gemini-3-pro", turn(sealed(Some(ID), "U0lH")));
    assert_eq!(found[0]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(found[0]["parts"][0]["thoughtSignature"], "U0lH");
    assert!(dropped.is_empty());
    // Trap 30: another issuer's stays out, and that is reported.
    let anthropic = Some(DialectId::ANTHROPIC_MESSAGES);
    let (found, dropped) = contents("gemini-3-pro", turn(sealed(anthropic, "BLOB")));
    assert_eq!(found[0]["parts"][0]["thoughtSignature"], turns_skip());
    assert_eq!(dropped, ["messages[0].parts[0]: reasoning of another issuer"]);
}

fn turns_skip() -> &'static str {
    "skip_thought_signature_validator"
}

#[test]
fn trap_22_a_call_without_a_result_is_answered_and_a_result_without_a_call_is_text() {
    let messages = vec![
        heard(vec![Part::text("Go")]),
        said(vec![Body::ToolUse(call("a", "f")).into(), Body::ToolUse(call("b", "g")).into()]),
        heard(vec![result("b", "{\"ok\":1}"), result("zz", "lost"), Part::text("Stop that")]),
        said(vec![Body::ToolUse(call("c", "h")).into()]),
    ];
    let (found, dropped) = contents("gemini-2.5-flash", messages);
    let expected = json!([
        {"role": "user", "parts": [{"text": "Go"}]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {}}},
            {"functionCall": {"name": "g", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"error": "no result"}}},
            {"functionResponse": {"name": "g", "response": {"ok": 1}}},
            {"text": "lost"},
            {"text": "Stop that"},
        ]},
        {"role": "model", "parts": [{"functionCall": {"name": "h", "args": {}}}]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "h", "response": {"error": "no result"}}},
        ]},
    ]);
    assert_eq!(found, expected);
    assert_eq!(
        dropped,
        [
            "messages[2].parts[1]: a result without its call goes as text",
            "messages[1].parts[0]: a call without a result is answered for it",
            "messages[3].parts[0]: a call without a result is answered for it",
        ]
    );
}

#[test]
fn what_a_client_gathers_of_a_stream_is_read_as_one_thought() {
    // An Anthropic answer, streamed to a Gemini client, and its history sent back to Anthropic.
    let issued =
        |data: &str| IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data: data.to_owned() };
    let events = [
        ModelEvent::Reasoning { choice: 0, text: "Let me".into() },
        ModelEvent::Reasoning { choice: 0, text: " see".into() },
        ModelEvent::ReasoningSignature { state: issued("SIG==") },
        ModelEvent::RedactedReasoning { state: issued("BLOB") },
        ModelEvent::Text { choice: 0, text: "Yes".into() },
        ModelEvent::Done,
    ];
    let options = WriterOptions { streaming: true, array: true, ..WriterOptions::default() };
    let (mut writer, mut out) = (Gemini.writer(options), BytesMut::new());
    for event in events {
        writer.write(&Frame::of(vec![event]), &mut out);
    }
    writer.finish(&mut out);
    let chunks = value(&out);
    let parts: Vec<&Value> = chunks
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array().unwrap())
        .collect();
    let body = json!({"contents": [
        {"parts": [{"text": "Go"}]}, {"role": "model", "parts": parts}, {"parts": [{"text": "On"}]},
    ]});
    let call = read(&body.to_string());
    let written = AnthropicMessages.write_call(&call, &Destination::new("claude")).unwrap();
    let expected = json!([
        {"type": "thinking", "thinking": "Let me see", "signature": "SIG=="},
        {"type": "redacted_thinking", "data": "BLOB"},
        {"type": "text", "text": "Yes"},
    ]);
    assert_eq!(value(&written.body)["messages"][1]["content"], expected);
    assert_eq!(written.dropped, []);
}

#[test]
fn an_address_is_refused_where_bytes_are_wanted() {
    let quirks = Quirks { inline_media: true, ..Quirks::none() };
    let to = Destination { quirks: &quirks, ..Destination::new("gemini-2.5-pro") };
    for part in [
        r#"{"fileData":{"mimeType":"image/png","fileUri":"https://example.org/a.png"}}"#,
        r#"{"file_data":{"mime_type":"video/mp4","file_uri":"gs://b/film"},"videoMetadata":{}}"#,
    ] {
        let body = format!(r#"{{"contents":[{{"parts":[{{"text":"See"}},{part}]}}]}}"#);
        let error = Gemini.write_call(&read(&body), &to).unwrap_err();
        assert_eq!(error.path, "messages[0].parts[1]", "{part}");
    }
    let inline =
        r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"aQ=="}}]}]}"#;
    assert_eq!(Gemini.write_call(&read(inline), &to).unwrap().body, inline);
}

#[test]
fn an_address_without_a_type_is_refused_from_another_dialect() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.org/picture"}}]}]}"#;
    let call = AnthropicMessages.read_call(bytes(body)).unwrap();
    let error = Gemini.write_call(&call, &Destination::new("gemini-2.5-pro")).unwrap_err();
    assert_eq!(error.path, "messages[0].parts[0]");
}

#[test]
fn each_form_of_a_stream_reaches_a_client_of_the_other() {
    let chunk = |text: &str, end: &str| {
        format!(
            "{{\n \"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{text}\"}}]}}{end}}}],\n \"responseId\": \"r\"}}"
        )
    };
    let (one, two) = (chunk("a", ""), chunk("b", ", \"finishReason\": \"STOP\""));
    let line = |chunk: &str| chunk.replace('\n', " ");
    let events = format!("data: {}\r\n\r\ndata: {}\r\n\r\n", line(&one), line(&two));
    let array = format!("[{one}\n,\r\n{two}\n]\n");
    for (from, array, expected) in [
        (&events, true, format!("[{}\n,\n{}\n]\n", line(&one), line(&two))),
        (&array, false, format!("data: {}\n\ndata: {}\n\n", line(&one), line(&two))),
    ] {
        let (mut reader, mut frames) = (Gemini.reader(true, &Quirks::none()), Vec::new());
        reader.push(bytes(from), &mut frames).unwrap();
        reader.finish(&mut frames).unwrap();
        let options = WriterOptions {
            streaming: true,
            same_dialect: true,
            array,
            ..WriterOptions::default()
        };
        assert_eq!(Gemini.stream_type(&options).starts_with("application/json"), array);
        let (mut writer, mut out) = (Gemini.writer(options), BytesMut::new());
        for frame in &frames {
            writer.write(frame, &mut out);
        }
        writer.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

#[test]
fn a_stream_may_be_one_lone_error() {
    let (mut reader, mut frames) = (Gemini.reader(true, &Quirks::none()), Vec::new());
    let body = r#" {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}} "#;
    reader.push(bytes(body), &mut frames).unwrap();
    assert_eq!(reader.finish(&mut frames), Ok(()));
    let error = ModelEvent::Error { code: Code::Overloaded, message: "busy".into() };
    assert_eq!(frames[0].events, [error]);
    assert!(Gemini.is_stream(Some("application/json; charset=UTF-8")));
    assert!(!Gemini.is_stream(Some("text/html")));
}

#[test]
fn a_lone_item_is_a_list_of_one() {
    let body = r#"{"system_instruction":{"parts":{"text":"S"}},"contents":{"parts":{"text":"Hi"}},"tools":{"functionDeclarations":{"name":"f"}}}"#;
    let call = read(body);
    assert_eq!((call.messages.len(), call.tools[0].name.as_str()), (2, "f"));
    assert_eq!(Gemini.write_call(&call, &Destination::new("m")).unwrap().body, body);
    let mut hidden = call;
    hidden.tools[0].hidden = true;
    let written = Gemini.write_call(&hidden, &Destination::new("m")).unwrap().body;
    assert!(value(&written).get("tools").is_none(), "{written:?}");
}

#[test]
fn an_old_model_is_not_told_to_think() {
    let body = r#"{"model":"m","max_tokens":9000,"messages":[{"role":"user","content":"Hi"}],"thinking":{"type":"enabled","budget_tokens":2000}}"#;
    let call = AnthropicMessages.read_call(bytes(body)).unwrap();
    let written = Gemini.write_call(&call, &Destination::new("gemini-2.0-flash")).unwrap();
    assert_eq!(value(&written.body)["generationConfig"], json!({"maxOutputTokens": 9000}));
    assert_eq!(written.dropped[0].path, "thinking");
}

#[test]
fn gemma_takes_system_text_before_the_users() {
    let body = r#"{"system_instruction":"Be brief.","contents":[{"parts":[{"text":"Hi"}]}]}"#;
    let mut call = read(body);
    call.raw = None;
    let written = Gemini.write_call(&call, &Destination::new("gemma-3-27b-it")).unwrap();
    let expected = r#"{"contents":[{"role":"user","parts":[{"text":"Be brief."},{"text":"Hi"}]}]}"#;
    assert_eq!(written.body, expected);
}

#[test]
fn token_counts_take_the_whole_call() {
    let inner =
        r#"{"contents":[{"parts":[{"text":"Hi"}]}],"systemInstruction":{"parts":[{"text":"S"}]}}"#;
    let to = Destination::new("gemini-2.5-pro");
    let wrapped = GeminiCounting.write_call(&read(inner), &to).unwrap().body;
    let members = inner.strip_prefix('{').unwrap();
    let expected =
        format!(r#"{{"generateContentRequest":{{"model":"models/gemini-2.5-pro",{members}}}"#);
    assert_eq!(wrapped, expected);
    assert_eq!(VertexCounting.write_call(&read(inner), &to).unwrap().body, inner);
    // A client's wrapped request is read as what it wraps, and its model's name replaced.
    let call = Gemini.read_call(bytes(&expected.replace("2.5-pro", "fast"))).unwrap();
    assert_eq!((call.model.as_str(), call.messages.len()), ("gemini-fast", 2));
    assert_eq!(GeminiCounting.write_call(&call, &to).unwrap().body, expected);
    assert_eq!(GeminiCounting.read_count(br#"{"totalTokens":31}"#), Ok(31));
    assert!(GeminiCounting.read_count(b"{}").is_err());
    assert_eq!(GeminiCounting.write_count(31), r#"{"totalTokens":31}"#);
}

#[test]
fn embeddings_go_as_a_batch_whatever_was_asked() {
    let one = r#"{"content":{"parts":[{"text":"a"},{"text":"b"}]},"task_type":"RETRIEVAL_QUERY","outputDimensionality":3,"title":"T"}"#;
    let call = GeminiEmbeddings.read_call(bytes(one)).unwrap();
    assert_eq!(call.input, [EmbedInput::Text("ab".into())]);
    assert_eq!((call.purpose.as_deref(), call.dimensions), (Some("search_query"), Some(3)));
    let to = Destination::new("gemini-embedding-001");
    let written = GeminiEmbedContent.write_call(&call, &to).unwrap();
    let expected = r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"ab"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":3,"title":"T"}]}"#;
    assert_eq!(written.body, expected);
    // A batch keeps its bytes, but for the model.
    let batch =
        expected.replace("gemini-embedding-001", "vectors").replace("[{\"text", "[ {\"text");
    let call = GeminiEmbeddings.read_call(bytes(&batch)).unwrap();
    assert_eq!(call.model, "vectors");
    let written = GeminiEmbeddings.write_call(&call, &to).unwrap();
    assert_eq!(written.body, batch.replace("vectors", "gemini-embedding-001"));
    // One call has one manner.
    let mixed = r#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]},"outputDimensionality":3}]}"#;
    let error = GeminiEmbeddings.read_call(bytes(mixed)).unwrap_err();
    assert!(error.to_string().starts_with("requests[1]: "), "{error}");
    let tokens = doorward_core::EmbedCall {
        input: vec![EmbedInput::Tokens(vec![1])],
        ..doorward_core::EmbedCall::default()
    };
    assert_eq!(GeminiEmbeddings.write_call(&tokens, &to).unwrap_err().path, "input[0]");
}

#[test]
fn embeddings_are_told_in_the_shape_that_was_asked() {
    let body =
        bytes(r#"{"embeddings":[{"values":[0.1,-2]}],"usageMetadata":{"promptTokenCount":2}}"#);
    let reply = GeminiEmbeddings.read_reply(body.clone()).unwrap();
    assert_eq!((&reply.vectors, reply.usage.unwrap().input), (&vec![vec![0.1, -2.0]], 2));
    let told = crate::Embedded { reply: &reply, model: "m", base64: false };
    assert_eq!(GeminiEmbeddings.write_reply(&told), body);
    let one = r#"{"embedding":{"values":[0.1,-2]},"usageMetadata":{"promptTokenCount":2}}"#;
    assert_eq!(GeminiEmbedContent.write_reply(&told), one);
    let predictions = r#"{"predictions":[{"embeddings":{"values":[0.1,-2]}}]}"#;
    assert_eq!(VertexEmbeddings.write_reply(&told), predictions);
    let vertex = r#"{"predictions":[{"embeddings":{"values":[0.1,-2],"statistics":{"token_count":2,"truncated":false}}}]}"#;
    let reply = VertexEmbeddings.read_reply(bytes(vertex)).unwrap();
    let told = crate::Embedded { reply: &reply, model: "m", base64: false };
    assert_eq!(VertexEmbeddings.write_reply(&told), vertex);
    assert_eq!(GeminiEmbeddings.write_reply(&told), body, "not the other dialect's bytes");
}

#[test]
fn vertex_takes_instances() {
    let body = r#"{"instances":[{"content":"a","task_type":"RETRIEVAL_DOCUMENT","title":"T"},{"content":"b","task_type":"RETRIEVAL_DOCUMENT","title":"T"}],"parameters":{"outputDimensionality":8,"autoTruncate":false}}"#;
    let mut call = VertexEmbeddings.read_call(bytes(body)).unwrap();
    assert_eq!((call.purpose.as_deref(), call.dimensions), (Some("search_document"), Some(8)));
    let to = Destination::new("text-embedding-005");
    assert_eq!(VertexEmbeddings.write_call(&call, &to).unwrap().body, body);
    call.raw.as_mut().unwrap().body = Bytes::new();
    assert_eq!(
        value(&VertexEmbeddings.write_call(&call, &to).unwrap().body),
        value(body.as_bytes())
    );
    let one = r#"{"content":{"parts":[{"text":"a"}]},"taskType":"CODE_RETRIEVAL_QUERY"}"#;
    let call = GeminiEmbeddings.read_call(bytes(one)).unwrap();
    let written = VertexEmbeddings.write_call(&call, &to).unwrap();
    assert_eq!(written.body, r#"{"instances":[{"content":"a"}]}"#);
    assert_eq!(written.dropped[0].path, "taskType");
}
