//! What a server asks a client reaches the one whose call it is about, in either era.

use std::time::Duration;

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
                self.read = rest.into();
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

/// A call whose server waits for the answer to a question.
struct Asked<'a> {
    gateway: &'a Gateway,
    key: &'a str,
    session: String,
    events: Events,
    question: Value,
}

impl<'a> Asked<'a> {
    async fn new(gateway: &'a Gateway, key: &'a str, tool: &str, question: &str) -> Self {
        let able = json!({ "elicitation": {}, "sampling": {} });
        let session = open(gateway, key, able).await;
        let mut events = begin(gateway, key, &session, tool, question).await;
        let question = events.next().await;
        Self { gateway, key, session, events, question }
    }

    /// Says something to the question with this id.
    async fn say(&self, id: &Value, result: &Value) {
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let (gateway, session) = (self.gateway, &self.session);
        within(gateway, self.key, session, Method::POST, &answer).await;
    }

    /// Answers; what the server got.
    async fn answered(mut self, result: &Value) -> Value {
        self.say(&self.question["id"], result).await;
        let last = self.events.next().await;
        assert_eq!(last["id"], 5, "{last}");
        let said = last["result"]["content"][0]["text"].as_str().unwrap();
        serde_json::from_str(said).unwrap()
    }
}

fn named(who: &str) -> Value {
    json!({ "action": "accept", "content": { "name": who } })
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_reach_the_client_whose_call_asked_them() {
    let fixture = Fixture::new("desk", &["ask_user", "ask_model"]);
    let site = Site::new(&[fixture.section(""), HARMLESS.into()].concat());
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&alice).await.len(), 2, "{}", gateway.log());
    let one = Asked::new(&gateway, &alice, "ask_user", "alice?").await;
    let other = Asked::new(&gateway, &bob, "ask_user", "bob?").await;
    for (asked, message) in [(&one, "alice?"), (&other, "bob?")] {
        assert_eq!(asked.question["method"], "elicitation/create");
        assert_eq!(asked.question["params"]["message"], message);
    }
    // Somebody else's answer is nobody's.
    other.say(&one.question["id"], &named("forged")).await;
    assert_eq!(one.answered(&named("alice")).await, named("alice"));
    assert_eq!(other.answered(&named("bob")).await, named("bob"));

    let thinks = Asked::new(&gateway, &alice, "ask_model", "what is 2+2?").await;
    assert_eq!(thinks.question["method"], "sampling/createMessage");
    let four = json!({ "role": "assistant", "model": "m",
                       "content": { "type": "text", "text": "4" } });
    assert_eq!(thinks.answered(&four).await["content"]["text"], "4");

    // A client that cannot be asked is not, and the server hears so.
    let mute = open(&gateway, &alice, json!({})).await;
    let params = json!({ "name": "desk__ask_user", "arguments": { "question": "you?" } });
    let ask = json!({ "jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": params });
    let (_, text) = within(&gateway, &alice, &mute, Method::POST, &ask).await;
    assert!(!text.contains("elicitation/create") && text.contains("code"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_shared_server_too() {
    let fixture = Fixture::new("desk", &["ask_user"]);
    let site = Site::new(&[fixture.section("shared = true"), HARMLESS.into()].concat());
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&alice).await.len(), 1, "{}", gateway.log());
    let one = Asked::new(&gateway, &alice, "ask_user", "alice?").await;
    // What a server asks on one pipe for all does not say whose call it is about: so the other
    // client's call waits until it could be no other's.
    let session = open(&gateway, &bob, json!({ "elicitation": {} })).await;
    let mut events = begin(&gateway, &bob, &session, "ask_user", "bob?").await;
    let early = tokio::time::timeout(Duration::from_millis(500), events.next()).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(one.answered(&named("alice")).await, named("alice"));
    let question = events.next().await;
    assert_eq!(question["params"]["message"], "bob?");
    let other = Asked { gateway: &gateway, key: &bob, session, events, question };
    assert_eq!(other.answered(&named("bob")).await, named("bob"));
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
