use doorward_core::{ToolDef, Usage};

use super::*;
use crate::Embedded;

fn read(body: &str) -> ModelCall {
    AiSdk.read_addressed(Bytes::copy_from_slice(body.as_bytes()), "a/m:nitro", true).unwrap()
}

#[test]
fn models_are_listed_as_its_client_reads_them() {
    let models = [Model { id: "openai/gpt-5".into(), owner: "openai".into() }];
    let expected = r#"{"models":[{"id":"openai/gpt-5","name":"openai/gpt-5","specification":{"specificationVersion":"v4","provider":"openai","modelId":"openai/gpt-5"}}]}"#;
    assert_eq!(AiSdk.write_models(&models), expected);
}

#[test]
fn errors_have_the_types_that_its_client_knows() {
    for (code, status, kind) in [
        (Code::InvalidRequest, 400, "invalid_request_error"),
        (Code::Unauthenticated, 401, "authentication_error"),
        (Code::Forbidden, 403, "forbidden"),
        (Code::NotFound, 404, "model_not_found"),
        (Code::RateLimited, 429, "rate_limit_exceeded"),
        (Code::Upstream, 502, "internal_server_error"),
    ] {
        let error = CallError::new(code, "no").with_rule("r-1");
        let (told, body) = AiSdk.write_error(&error, "");
        let expected = format!(
            r#"{{"error":{{"message":"no","type":"{kind}","param":{{"ruleId":"r-1"}},"code":"r-1"}}}}"#
        );
        assert_eq!((told, body), (status, Bytes::from(expected)));
    }
}

#[test]
fn the_gateways_options_become_wishes_and_parameters() {
    let call = read(
        r#"{"prompt":[],"providerOptions":{
            "gateway":{"order":["x"],"sort":"cost","zeroDataRetention":true,"models":["b/n",{"model":"c","when":{}}],"byok":{}},
            "openai":{"reasoningEffort":"high","serviceTier":"flex","store":false},
            "anthropic":{"thinking":{"type":"enabled","budgetTokens":2000}},"mine":{"a":1}}}"#,
    );
    assert_eq!(call.model, "a/m");
    let wishes = &call.preferences;
    assert_eq!((wishes.order.join(""), wishes.models.join("")), ("x".into(), "b/n".into()));
    assert_eq!(wishes.require["retention"], ["none"]);
    assert_eq!(wishes.sort, Some(doorward_core::Sort::Throughput), "the name's own wish is later");
    assert_eq!(call.params.reasoning_effort.as_deref(), Some("high"));
    assert_eq!(call.params.service_tier.as_deref(), Some("flex"));
    assert_eq!(call.params.thinking_budget, Some(2000));
    let to = Destination::new("m");
    let written = crate::OpenAiChat.write_call(&call, &to).unwrap();
    let lost: Vec<&str> = written.dropped.iter().map(|dropped| dropped.path.as_str()).collect();
    let expected =
        ["providerOptions.openai", "providerOptions.mine", "providerOptions.gateway.byok"];
    assert_eq!(lost, expected, "and only what nobody does is lost");
}

#[test]
fn hidden_tools_do_not_reach_a_gateway() {
    let mut call = read(
        r#"{"prompt":[{"role":"user","content":[{"type":"text","text":"x"}]}],"tools":[
            {"type":"function","name":"a","inputSchema":{}},{"type":"function","name":"b","inputSchema":{}}],
            "toolChoice":{"type":"tool","toolName":"b"}}"#,
    );
    let to = Destination::new("m");
    let raw = call.raw.as_ref().unwrap().body.clone();
    assert_eq!(AiSdk.write_call(&call, &to).unwrap().body, raw, "untouched, byte for byte");
    let hide = |tool: &mut ToolDef| tool.hidden = tool.name == "b";
    call.tools.iter_mut().for_each(hide);
    let expected = r#"{"prompt":[{"role":"user","content":[{"type":"text","text":"x"}]}],"tools":[{"type":"function","name":"a","inputSchema":{}}],"toolChoice":{"type":"auto"}}"#;
    assert_eq!(AiSdk.write_call(&call, &to).unwrap().body, expected);
}

#[test]
fn a_call_that_is_not_what_was_streamed_is_refused() {
    let stream = |input: &str| {
        format!(
            "data: {{\"type\":\"tool-input-start\",\"id\":\"c\",\"toolName\":\"f\"}}\n\n\
             data: {{\"type\":\"tool-input-delta\",\"id\":\"c\",\"delta\":\"{{\\\"a\\\":1}}\"}}\n\n\
             data: {{\"type\":\"tool-call\",\"toolCallId\":\"c\",\"toolName\":\"f\",\"input\":\"{input}\"}}\n\n"
        )
    };
    let read = |input: &str| {
        let (mut reader, mut frames) = (AiSdk.reader(true, &Quirks::none()), Vec::new());
        reader.push(Bytes::from(stream(input)), &mut frames)
    };
    assert_eq!(read(r#"{\"a\":1}"#), Ok(()));
    assert_eq!(read(r#"{ \"a\": 1 }"#), Ok(()), "the same value");
    let error = read(r#"{\"a\":2}"#).unwrap_err();
    assert_eq!(error.to_string(), "input: not what was streamed of the call");
}

#[test]
fn embeddings_are_read_and_written() {
    let embeddings = AiSdk.embeddings().unwrap();
    let body =
        r#"{"values":["a","b"],"dimensions":3,"providerOptions":{"gateway":{"only":["x"]}}}"#;
    let mut call = embeddings.read_call(Bytes::from(body)).unwrap();
    assert_eq!((call.input.len(), call.dimensions), (2, Some(3)));
    assert_eq!(call.preferences.only, ["x"]);
    let to = Destination::new("m");
    assert_eq!(embeddings.write_call(&call, &to).unwrap().body, body);
    (call.raw, call.extra) = (None, Vec::new());
    let anew = embeddings.write_call(&call, &to).unwrap().body;
    assert_eq!(anew, r#"{"values":["a","b"],"dimensions":3}"#);
    let answer = r#"{"embeddings":[[0.5,1]],"usage":{"tokens":4}}"#;
    let mut reply = embeddings.read_reply(Bytes::from(answer)).unwrap();
    assert_eq!(reply.usage, Some(Usage { input: 4, ..Usage::default() }));
    reply.raw = None;
    let told = embeddings.write_reply(&Embedded { reply: &reply, model: "m", base64: false });
    assert_eq!(told, answer);
    assert!(embeddings.read_call(Bytes::from(r#"{"values":[]}"#)).is_err());
}
