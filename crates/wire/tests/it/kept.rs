//! State of one issuer on its way through a client of another dialect, and back.

use bytes::{Bytes, BytesMut};
use doorward_core::{
    Billed, Body, Citation, DialectId, Frame, IssuerState, Media, MediaKind, MediaSource,
    ModelCall, ModelEvent, Usage,
};
use doorward_wire::{AnthropicMessages, Destination, Dialect, OpenAiChat, WriterOptions};
use serde_json::{Value, json};

use crate::cases::{read_answer, speak, spoken};

fn state(issuer: DialectId) -> IssuerState {
    IssuerState { issuer, data: "c2ln".into() }
}

/// An answer that thinks, then calls a tool, with state of `issuer` on both.
fn answer(issuer: DialectId) -> Vec<Frame> {
    let on_call = (issuer == DialectId::GEMINI).then(|| state(issuer));
    let events = vec![
        ModelEvent::Start { id: "i".into(), model: "m".into(), created: None, usage: None },
        ModelEvent::Reasoning { choice: 0, text: "hm".into() },
        ModelEvent::ReasoningSignature { state: state(issuer) },
        ModelEvent::RedactedReasoning { state: state(issuer) },
        ModelEvent::ToolStart {
            call: 0,
            choice: 0,
            id: "c1".into(),
            name: "f".into(),
            state: on_call,
        },
        ModelEvent::ToolDelta { call: 0, json: "{}".into() },
        ModelEvent::ToolEnd { call: 0 },
        ModelEvent::Done,
    ];
    vec![Frame::of(events)]
}

fn write(dialect: &dyn Dialect, options: WriterOptions, frames: &[Frame]) -> String {
    let (mut writer, mut out) = (dialect.writer(options), BytesMut::new());
    for frame in frames {
        writer.write(frame, &mut out);
    }
    writer.finish(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

/// What the client of a dialect sends back of an answer.
fn sent_back(name: &str, answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let body = match name {
        "openai-chat" => {
            let message = &answer["choices"][0]["message"];
            json!({"model": "m", "messages": [message, {"role":"tool","tool_call_id":"c1","content":"x"}]})
        }
        "anthropic-messages" => {
            let content = &answer["content"];
            let result = json!([{"type":"tool_result","tool_use_id":"c1"}]);
            json!({"model": "m", "max_tokens": 9, "messages": [
                {"role":"assistant","content":content}, {"role":"user","content":result}]})
        }
        "ai-sdk" => {
            let mut content = answer["content"].clone();
            for part in content.as_array_mut().unwrap() {
                let metadata = part["providerMetadata"].take();
                part["providerOptions"] = metadata;
                if part["type"] == "tool-call" {
                    part["input"] = json!({});
                }
            }
            json!({"prompt": [{"role":"assistant","content":content}]})
        }
        _ => return None,
    };
    Some(body.to_string())
}

/// `issuer data` of every state in a call's history.
fn states(call: &ModelCall) -> Vec<String> {
    let parts = call.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match &part.body {
            Body::Reasoning(thought) => {
                let data = thought.signature.as_ref().or(thought.redacted.as_ref())?;
                Some(format!("{} {data}", thought.issuer?.as_str()))
            }
            Body::ToolUse(call) => {
                call.state.as_ref().map(|it| format!("call {} {}", it.issuer.as_str(), it.data))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn traps_29_to_33_state_finds_its_way_back_through_any_client() {
    for issuer in DialectId::ALL {
        for name in spoken() {
            let dialect = speak(name);
            let whole = write(dialect, WriterOptions::default(), &answer(issuer));
            let Some(body) = sent_back(name, &whole) else { continue };
            let call = dialect.read_call(Bytes::from(body.clone())).unwrap();
            let issuer = issuer.as_str();
            let mut expected = vec![format!("{issuer} c2ln"), format!("{issuer} c2ln")];
            if issuer == "gemini" {
                expected.push("call gemini c2ln".into());
            }
            let found = states(&call);
            let plain = issuer == "openai-chat" && name == "openai-chat";
            assert!(plain || found == expected, "{issuer} by {name}: {found:?}\n{body}");
        }
    }
}

#[test]
fn trap_30_another_issuers_state_never_reaches_anthropic() {
    for issuer in [DialectId::GEMINI, DialectId::OPENAI_RESPONSES, DialectId::BEDROCK_CONVERSE] {
        let whole = write(&AnthropicMessages, WriterOptions::default(), &answer(issuer));
        let body = sent_back("anthropic-messages", &whole).unwrap();
        assert!(body.contains("doorward."), "carried under a tag: {body}");
        let call = AnthropicMessages.read_call(Bytes::from(body)).unwrap();
        let to = Destination::new("m");
        let written = AnthropicMessages.write_call(&call, &to).unwrap();
        let out = String::from_utf8(written.body.to_vec()).unwrap();
        assert!(!out.contains("doorward.") && !out.contains("thinking"), "{out}");
        assert!(out.contains("tool_use") && !written.dropped.is_empty(), "{out}");
    }
}

#[test]
fn a_tagged_state_never_reaches_a_chat_upstream() {
    let whole = write(&OpenAiChat, WriterOptions::default(), &answer(DialectId::BEDROCK_CONVERSE));
    let body = sent_back("openai-chat", &whole).unwrap();
    assert!(body.contains("doorward.bedrock-converse"), "{body}");
    let call = OpenAiChat.read_call(Bytes::from(body)).unwrap();
    let out = OpenAiChat.write_call(&call, &Destination::new("m")).unwrap().body;
    let out = String::from_utf8(out.to_vec()).unwrap();
    assert!(!out.contains("doorward.") && !out.contains("reasoning_details"), "{out}");
}

#[test]
fn a_routers_reasoning_details_come_back_whole() {
    let detail = r#"{"type":"reasoning.encrypted","data":"X","format":"xai-responses-v1","id":"r1","index":0}"#;
    let body = format!(
        r#"{{"id":"i","choices":[{{"index":0,"message":{{"role":"assistant","content":"a","reasoning_details":[{detail}]}},"finish_reason":"stop"}}]}}"#
    );
    let (mut frames, end) = read_answer(&OpenAiChat, false, body.as_bytes(), 9999);
    assert_eq!(end, Ok(()));
    frames[0].raw = None;
    let chat = write(&OpenAiChat, WriterOptions::default(), &frames);
    assert!(chat.contains(detail), "{chat}");
    // And through a client of another dialect.
    let messages = write(&AnthropicMessages, WriterOptions::default(), &frames);
    let back = json!({"model":"m","max_tokens":9,"messages":[
        {"role":"assistant","content":serde_json::from_str::<Value>(&messages).unwrap()["content"]}]});
    let call = AnthropicMessages.read_call(Bytes::from(back.to_string())).unwrap();
    let out = OpenAiChat.write_call(&call, &Destination::new("m")).unwrap().body;
    assert!(!String::from_utf8_lossy(&out).contains("reasoning_details"), "unless it is a router");
    let mut quirks = doorward_wire::Quirks::none();
    quirks.extensions = vec!["reasoning_details".into()];
    let router = Destination { quirks: &quirks, ..Destination::new("m") };
    let out = OpenAiChat.write_call(&call, &router).unwrap().body;
    assert!(String::from_utf8_lossy(&out).contains(detail));
}

#[test]
fn trap_26_calls_of_free_form_tools_are_told_as_such() {
    let events = vec![
        ModelEvent::Start { id: "i".into(), model: "m".into(), created: None, usage: None },
        ModelEvent::ToolStart {
            call: 0,
            choice: 0,
            id: "c".into(),
            name: "patch".into(),
            state: None,
        },
        ModelEvent::ToolDelta { call: 0, json: r#"{"input":"a\"#.into() },
        ModelEvent::ToolDelta { call: 0, json: r#"nb"}"#.into() },
        ModelEvent::ToolEnd { call: 0 },
        ModelEvent::Done,
    ];
    let options = |streaming| WriterOptions {
        streaming,
        custom_tools: vec!["patch".into()],
        ..WriterOptions::default()
    };
    let whole = write(&OpenAiChat, options(false), &[Frame::of(events.clone())]);
    let call = r#"{"id":"c","type":"custom","custom":{"name":"patch","input":"a\nb"}}"#;
    assert!(whole.contains(call), "{whole}");
    let stream = write(&OpenAiChat, options(true), &[Frame::of(events)]);
    let (frames, end) = read_answer(&OpenAiChat, true, stream.as_bytes(), 9999);
    assert_eq!(end, Ok(()));
    let json: String = frames
        .iter()
        .flat_map(|frame| &frame.events)
        .filter_map(|event| match event {
            ModelEvent::ToolDelta { json, .. } => Some(json.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(json, r#"{"input":"a\nb"}"#);
    // An upstream that knows only functions: its own bytes would tell the client of a function.
    let body = r#"{"id":"i","choices":[{"index":0,"message":{"tool_calls":[{"id":"c","function":{"name":"patch","arguments":"{\"input\":\"a\\nb\"}"}}]},"finish_reason":"tool_calls"}]}"#;
    let (frames, _) = read_answer(&OpenAiChat, false, body.as_bytes(), 9999);
    let same = WriterOptions { same_dialect: true, ..options(false) };
    assert!(write(&OpenAiChat, same, &frames).contains(call));
}

#[test]
fn the_cost_is_told_to_who_asked() {
    let chunk = r#"data: {"id":"i","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    let usage =
        r#"data: {"id":"i","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let stream = format!("{chunk}\n\n{usage}\n\ndata: [DONE]\n\n");
    let (mut frames, _) = read_answer(&OpenAiChat, true, stream.as_bytes(), 9999);
    let bill = Billed { cost_usd: Some(0.25), ..Billed::default() };
    frames.insert(2, Frame::of(vec![ModelEvent::Billed(Box::new(bill.clone()))]));
    let options = |tell_cost, same_dialect| WriterOptions {
        streaming: true,
        tell_cost,
        same_dialect,
        ..WriterOptions::default()
    };
    let out = write(&OpenAiChat, options(true, true), &frames);
    let expected = usage.replace(r#""usage":{"#, r#""usage":{"cost":0.25,"#);
    assert_eq!(out, format!("{chunk}\n\n{expected}\n\ndata: [DONE]\n\n"));
    assert_eq!(write(&OpenAiChat, options(false, true), &frames), stream);
    assert!(write(&OpenAiChat, options(true, false), &frames).contains(r#""cost":0.25}"#));

    // Usage beside the answer's end has to go on at once: the cost follows.
    let both = r#"data: {"id":"i","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let stream = format!("{both}\n\ndata: [DONE]\n\n");
    let (mut frames, _) = read_answer(&OpenAiChat, true, stream.as_bytes(), 9999);
    frames.insert(1, Frame::of(vec![ModelEvent::Billed(Box::new(bill.clone()))]));
    let out = write(&OpenAiChat, options(true, true), &frames);
    assert!(out.starts_with(both) && out.contains(r#""cost":0.25}"#), "{out}");
    assert!(out.ends_with("data: [DONE]\n\n"), "{out}");

    let body = r#"{"id":"i","choices":[{"index":0,"message":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let (mut frames, _) = read_answer(&OpenAiChat, false, body.as_bytes(), 9999);
    frames.push(Frame::of(vec![ModelEvent::Billed(Box::new(bill))]));
    let whole = WriterOptions { streaming: false, ..options(true, true) };
    let out = write(&OpenAiChat, whole, &frames);
    assert_eq!(out, body.replace(r#""usage":{"#, r#""usage":{"cost":0.25,"#));
}

#[test]
fn media_citations_and_probabilities_are_told_and_read() {
    let source = MediaSource::Base64 { media_type: "image/png".into(), data: "AAAA".into() };
    let media = Media { kind: MediaKind::Image, source, name: None, detail: None };
    let citation = Citation {
        url: Some("https://example.org".into()),
        title: Some("T".into()),
        text: None,
        start: Some(1),
        end: Some(4),
    };
    let events = vec![
        ModelEvent::Start { id: "i".into(), model: "m".into(), created: Some(1), usage: None },
        ModelEvent::Text { choice: 0, text: "text".into() },
        ModelEvent::Media { choice: 0, media: media.clone() },
        ModelEvent::Citation { choice: 0, citation: citation.clone() },
        ModelEvent::Logprobs { choice: 0, json: r#"[{"token":"text"}]"#.into() },
        ModelEvent::Usage(Usage { input: 1, output: 1, ..Usage::default() }),
        ModelEvent::Done,
    ];
    for streaming in [true, false] {
        let options = WriterOptions { streaming, ..WriterOptions::default() };
        let out = write(&OpenAiChat, options.clone(), &[Frame::of(events.clone())]);
        let (frames, end) = read_answer(&OpenAiChat, streaming, out.as_bytes(), 9999);
        assert_eq!(end, Ok(()), "{out}");
        let again: Vec<&ModelEvent> = frames.iter().flat_map(|frame| &frame.events).collect();
        for event in &events[2..5] {
            assert!(again.contains(&event), "{event:?}\n{out}");
        }
        let out = write(&AnthropicMessages, options, &[Frame::of(events.clone())]);
        let (frames, _) = read_answer(&AnthropicMessages, streaming, out.as_bytes(), 9999);
        let mut events = frames.iter().flat_map(|frame| &frame.events);
        let cited = |event: &ModelEvent| matches!(event, ModelEvent::Citation { citation: it, .. } if it.url == citation.url);
        assert!(events.any(cited), "{out}");
    }
}
