//! What a server asks a client reaches the one whose call it is about, in either era.

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};
use crate::sessions::{BOTH, open, within};

/// The messages of a stream of events, one by one.
struct Events {
    body: Incoming,
    read: String,
}

impl Events {
    async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let data: String =
                    event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                self.read = rest.to_owned();
                if !data.trim().is_empty() {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let frame = self.body.frame().await.unwrap().unwrap();
            self.read.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        }
    }
}

/// Begins a call within a session.
async fn begin(gateway: &Gateway, key: &str, session: &str, tool: &str, question: &str) -> Events {
    let name = format!("desk__{tool}");
    let params = json!({ "name": name, "arguments": { "question": question } });
    let ask = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", BOTH),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", session),
    ];
    let answer = gateway.send(Method::POST, "/mcp", &headers, ask.to_string()).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    Events { body: answer.into_body(), read: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_reach_the_client_whose_call_asked_them() {
    let fixture = Fixture::new("desk", &["ask_user", "ask_model"]);
    // One process for both, so that nothing but the broker keeps them apart.
    let site = Site::new(&[fixture.section("shared = true"), HARMLESS.into()].concat());
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&alice).await.len(), 2, "{}", gateway.log());
    let able = json!({ "elicitation": {}, "sampling": {} });
    let mut calls = Vec::new();
    for (key, who) in [(&alice, "alice"), (&bob, "bob")] {
        let session = open(&gateway, key, able.clone()).await;
        let events = begin(&gateway, key, &session, "ask_user", who).await;
        calls.push((key, who, session, events));
    }
    let mut asked = Vec::new();
    for (_, who, _, events) in &mut calls {
        let question = events.next().await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["message"], *who);
        asked.push(question["id"].clone());
    }
    // Somebody else's answer is nobody's.
    let (key, _, session, _) = &calls[1];
    let forged = json!({ "jsonrpc": "2.0", "id": asked[0], "result": { "action": "forged" } });
    within(&gateway, key, session, Method::POST, &forged).await;
    for ((key, who, session, events), id) in calls.iter_mut().zip(&asked) {
        let content = json!({ "action": "accept", "content": { "name": who } });
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": content });
        assert_eq!(within(&gateway, key, session, Method::POST, &answer).await.0, 202);
        let last = events.next().await;
        assert_eq!(last["id"], 5, "{last}");
        let said = last["result"]["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(said).unwrap(), content);
    }
    let (key, _, session, _) = &calls[0];
    let mut events = begin(&gateway, key, session, "ask_model", "what is 2+2?").await;
    let question = events.next().await;
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    let said =
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "4" } });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": said });
    assert_eq!(within(&gateway, key, session, Method::POST, &answer).await.0, 202);
    let last = events.next().await.to_string();
    assert!(last.contains("assistant"), "{last}");

    // A client that cannot be asked is not, and the server hears so.
    let mute = open(&gateway, &alice, json!({})).await;
    let params = json!({ "name": "desk__ask_user", "arguments": { "question": "you?" } });
    let ask = json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": params });
    let (_, text) = within(&gateway, &alice, &mute, Method::POST, &ask).await;
    assert!(!text.contains("elicitation/create") && text.contains("code"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_handshake_answers_in_a_further_round() {
    let fixture = Fixture::new("desk", &["ask_user"]);
    let site = Site::new(&[fixture.section(""), HARMLESS.into()].concat());
    let key = site.key(&["--name", "ci"]);
    let other = site.key(&["--name", "other"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&key).await.len(), 1, "{}", gateway.log());
    let ask = async |key: &str, id: u64, more: Value| {
        let mut params = json!({
            "name": "desk__ask_user", "arguments": { "question": "who?" },
            "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                       "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } },
        });
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", BOTH),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "desk__ask_user"),
        ];
        let answer = gateway.send(Method::POST, "/mcp", &headers, message.to_string()).await;
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let first = ask(&key, 1, json!({})).await;
    let asking = &first["result"];
    assert_eq!(asking["resultType"], "input_required", "{first}");
    let (name, question) = asking["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "who?");
    let said = json!({ "action": "accept", "content": { "name": "me" } });
    let more = json!({ "inputResponses": { name: said }, "requestState": asking["requestState"] });
    let stolen = ask(&other, 2, more.clone()).await;
    assert!(stolen.get("error").is_some(), "a state is its principal's: {stolen}");
    let last = ask(&key, 3, more).await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    let text = last["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), said);
}
