use std::collections::BTreeMap;

use doorward_core::{Body, Media, MediaKind, MediaSource, ToolChoice};

use super::family::Family;
use super::media::{Names, shape};
use super::*;
use crate::{AnthropicMessages, OpenAiChat};

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn messages(body: &str) -> ModelCall {
    AnthropicMessages.read_call(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn chat(body: &str) -> ModelCall {
    OpenAiChat.read_call(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn written(call: &ModelCall, to: &Destination<'_>) -> serde_json::Value {
    serde_json::from_slice(&BedrockConverse.write_call(call, to).unwrap().body).unwrap()
}

#[test]
fn reasons_are_mapped_and_keep_their_words() {
    for (native, calls, reason, word) in [
        ("end_turn", false, Finish::Stop, "end_turn"),
        ("end_turn", true, Finish::ToolCalls, "tool_use"),
        ("tool_use", true, Finish::ToolCalls, "tool_use"),
        ("stop_sequence", false, Finish::Stop, "stop_sequence"),
        ("max_tokens", true, Finish::Length, "max_tokens"),
        ("model_context_window_exceeded", false, Finish::Length, "model_context_window_exceeded"),
        ("guardrail_intervened", false, Finish::ContentFilter, "guardrail_intervened"),
        ("content_filtered", false, Finish::ContentFilter, "content_filtered"),
        ("malformed_tool_use", true, Finish::Other, "malformed_tool_use"),
        ("whatever", false, Finish::Other, "end_turn"),
    ] {
        let found = finish_of(native, calls);
        assert_eq!((found, finish_word(found, native)), (reason, word), "{native} {calls}");
    }
}

#[test]
fn an_upstreams_error_is_understood_and_relayed() {
    for (status, body, code) in [
        (429, r#"{"message":"Too many requests"}"#, Code::RateLimited),
        (400, r#"{"message":"The text field is blank"}"#, Code::InvalidRequest),
        (403, r#"{"Message":"User: arn:aws:iam::1:user/x is not authorized"}"#, Code::Upstream),
        (424, r#"{"message":"model failed","originalStatusCode":500}"#, Code::Upstream),
        (408, r#"{"message":"took too long"}"#, Code::Timeout),
        (503, r#"{"message":"unavailable"}"#, Code::Overloaded),
    ] {
        let body = Bytes::from_static(body.as_bytes());
        let error = BedrockConverse.read_error(status, body.clone());
        assert_eq!(error.code, code, "{status}");
        let (told, text) = BedrockConverse.write_error(&error, "req_1");
        if status == 403 {
            // Trap 57: about Doorward's own credential, and it names an account.
            assert!(told == 502 && !String::from_utf8_lossy(&text).contains("arn:"));
        } else {
            assert_eq!((told, text), (status, body));
        }
    }
    let error = CallError::new(Code::RateLimited, "slow down");
    let (status, body) = BedrockConverse.write_error(&error, "req_1");
    let expected = r#"{"__type":"ThrottlingException","message":"slow down"}"#;
    assert_eq!((status, body.as_ref()), (429, expected.as_bytes()));
}

#[test]
fn a_binary_stream_is_a_stream_in_every_dialect_that_may_come_so() {
    for dialect in [&BedrockConverse as &dyn Dialect, &AnthropicMessages] {
        assert!(dialect.is_stream(Some("application/vnd.amazon.eventstream")));
        assert!(!dialect.is_stream(Some("application/json")));
    }
}

#[test]
fn families_are_known_by_the_models_name() {
    for (model, family) in [
        (CLAUDE, Family::Claude),
        ("us.amazon.nova-2-lite-v1:0", Family::Nova),
        ("openai.gpt-oss-120b-1:0", Family::OpenAi),
        ("mistral.mistral-large-2407-v1:0", Family::Mistral),
        ("meta.llama4-scout-17b-instruct-v1:0", Family::Other),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x", Family::Claude),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1", Family::Claude),
    ] {
        assert_eq!(Family::of(model), family, "{model}");
    }
}

#[test]
fn trap_42_betas_go_into_the_body_as_far_as_the_host_takes_them() {
    let mut call = messages(r#"{"model":"m","max_tokens":9,"messages":[]}"#);
    let header = ("anthropic-beta".to_owned(), "a-1, b-2,c-3".to_owned());
    call.raw.as_mut().unwrap().headers.push(header);
    let mut quirks = Quirks::none();
    let field = ("anthropic_beta".to_owned(), "anthropic-beta".to_owned());
    quirks.headers_in_body = BTreeMap::from([field]);
    quirks.betas = vec!["a-*".into(), "c-3".into()];
    let to = Destination { quirks: &quirks, ..Destination::new(CLAUDE) };
    let out = BedrockConverse.write_call(&call, &to).unwrap();
    let expected = r#""additionalModelRequestFields":{"anthropic_beta":["a-1","c-3"]}"#;
    let body = String::from_utf8(out.body.to_vec()).unwrap();
    assert!(body.contains(expected), "{body}");
    assert!(out.dropped.iter().any(|dropped| dropped.path == "anthropic-beta"));
}

#[test]
fn each_family_is_asked_to_think_in_its_own_words() {
    let call = chat(
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"reasoning_effort":"low","top_k":5}"#,
    );
    for (model, expected) in [
        (CLAUDE, r#"{"thinking":{"type":"enabled","budget_tokens":2048}}"#),
        ("openai.gpt-oss-20b-1:0", r#"{"reasoning_effort":"low"}"#),
        (
            "amazon.nova-2-lite-v1:0",
            r#"{"inferenceConfig":{"topK":5},"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}}"#,
        ),
    ] {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        let out = written(&call, &Destination::new(model));
        assert_eq!(out["additionalModelRequestFields"], expected, "{model}");
    }
    assert_eq!(written(&call, &Destination::new(CLAUDE))["inferenceConfig"]["maxTokens"], 6144);
    for (thinking, expected) in [(true, "adaptive"), (false, "disabled")] {
        let mut call = chat(r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#);
        call.params.thinking = Some(thinking);
        let out = written(&call, &Destination::new(CLAUDE));
        assert_eq!(out["additionalModelRequestFields"]["thinking"]["type"], expected);
    }
}

#[test]
fn trap_30_only_a_claude_gets_anthropics_signatures() {
    let call = messages(
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"S"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}"#,
    );
    let thought = |model: &str| {
        let out = written(&call, &Destination::new(model));
        out["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]["signature"].clone()
    };
    assert_eq!(thought(CLAUDE), "S");
    assert!(thought("amazon.nova-pro-v1:0").is_null());
}

#[test]
fn trap_21_hidden_tools_leave_no_tool_blocks() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#;
    let mut call = chat(body);
    let to = Destination::new(CLAUDE);
    assert!(written(&call, &to).get("toolConfig").is_some());
    call.tools[0].hidden = true;
    let out = written(&call, &to).to_string();
    assert!(!out.contains("toolConfig") && !out.contains("toolUse"), "{out}");
    call.tools[0].hidden = false;
    call.tool_choice = ToolChoice::None;
    let out = written(&call, &to).to_string();
    assert!(!out.contains("toolConfig") && !out.contains("toolResult"), "{out}");
}

#[test]
fn media_told_as_text_are_not_lost() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]}]}]}"#;
    let out = written(&messages(body), &Destination::new(CLAUDE));
    assert_eq!(out["messages"][1]["content"][1]["image"]["source"]["bytes"], "iVBO");
}

#[test]
fn trap_47_document_names_are_plain_unique_and_stable() {
    let document = |name: Option<&str>| Media {
        kind: MediaKind::File,
        source: MediaSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data: String::new(),
        },
        name: name.map(str::to_owned),
        detail: None,
    };
    let long = "x".repeat(500);
    let given = [
        (Some("report.pdf"), "report"),
        (Some("report.pdf"), "report-2"),
        (Some("a/b  c\t(1)[2].docx"), "a-b c (1)[2]-docx"),
        (Some("größe"), "gr--e"),
        (Some("  "), "document-5"),
        (None, "document-6"),
        (Some(long.as_str()), &long[..192]),
    ];
    for _ in 0..2 {
        let mut names = Names::default();
        for (name, expected) in &given {
            let media = document(*name);
            let found = names.next(&media, shape(&media).unwrap());
            assert_eq!(found, *expected);
        }
    }
}

#[test]
fn trap_46_media_goes_as_bytes_or_lies_in_s3() {
    let media = |kind, source| Media { kind, source, name: None, detail: None };
    let url = |url: &str| MediaSource::Url(url.to_owned());
    let bytes = |media_type: &str| MediaSource::Base64 {
        media_type: media_type.to_owned(),
        data: String::new(),
    };
    for (kind, source, goes) in [
        (MediaKind::Image, url("https://169.254.169.254/a.png"), false),
        (MediaKind::Image, url("s3://bucket/a.jpg"), true),
        (MediaKind::Image, url("s3://bucket/a"), false),
        (MediaKind::File, url("s3://bucket/a.mp4"), true),
        (MediaKind::Image, bytes("image/tiff"), false),
        (MediaKind::Audio, bytes("audio/wav"), true),
        (MediaKind::File, bytes("text/plain; charset=utf-8"), true),
        (MediaKind::File, MediaSource::FileId("f".into()), false),
    ] {
        let media = media(kind, source);
        assert_eq!(shape(&media).is_ok(), goes, "{media:?}");
    }
}

#[test]
fn media_in_s3_comes_back_as_it_was() {
    let body = r#"{"messages":[{"role":"user","content":[{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/a.jpg"}}}},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/a"}}}},{"document":{"format":"pdf","name":"n","source":{"bytes":"JVBE"},"citations":{"enabled":true}}},{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}]}]}"#;
    let mut call = BedrockConverse.read_call(Bytes::from_static(body.as_bytes())).unwrap();
    let kinds: Vec<bool> =
        call.messages[0].parts.iter().map(|part| matches!(part.body, Body::Media(_))).collect();
    assert_eq!(kinds, [true, false, false, true], "what Doorward cannot say in full is kept");
    call.raw.as_mut().unwrap().body = Bytes::new();
    let again = BedrockConverse.write_call(&call, &Destination::new(CLAUDE)).unwrap().body;
    assert_eq!(String::from_utf8(again.to_vec()).unwrap(), body);
}

#[test]
fn trap_47_the_models_name_stays_out_of_the_body() {
    let call = chat(r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#);
    let out = BedrockConverse.write_call(&call, &Destination::new(CLAUDE)).unwrap().body;
    assert_eq!(out, r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#);
}
