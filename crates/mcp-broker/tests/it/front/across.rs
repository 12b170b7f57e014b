//! Clients of one era before servers of the other: what the one asks live is asked of the other in
//! rounds, and the other way round.

use std::sync::Arc;

use doorward_mcp_broker::{Front, ServerInfo};
use serde_json::{Value, json};

use super::desk::{Peer, events, whole};
use crate::peers::{ALL, Act, Local, Script, modern, recording, reply};
use crate::upstream::elicits;

const MODERN: &str = "2026-07-28";
const T: &str = r#"[{"name":"t","inputSchema":{"type":"object"}}]"#;

/// What clients are asked, and their answers.
fn questions() -> [(&'static str, Value); 3] {
    let said = json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "a"}});
    [
        ("elicitation/create", json!({"action": "accept", "content": {"name": "Ann"}})),
        ("sampling/createMessage", said),
        ("roots/list", json!({"roots": [{"uri": "file:///mine"}]})),
    ]
}

fn peer(script: Script, version: &'static str, capabilities: &'static str) -> Peer {
    let broker = Local::default().with("s", script).broker(|s| s);
    let front = Front::new(Arc::new(broker), ServerInfo::new("doorward", "1"));
    Peer { capabilities, ..Peer::new(&front, version) }
}

fn call() -> Value {
    json!({"name": "s__t", "arguments": {"who": "Ann"}})
}

#[tokio::test]
async fn a_legacy_servers_questions_come_to_a_modern_client_in_rounds() {
    for (method, answer) in questions() {
        let peer = peer(elicits(method), MODERN, ALL);
        let (status, asking) = whole(peer.ask(1, "tools/call", call()).await);
        let asking = &asking["result"];
        assert_eq!((status, &asking["resultType"]), (200, &"input_required".into()), "{asking}");
        let asked = json!({"method": method, "params": {"message": "Ann"}});
        assert_eq!(asking["inputRequests"], json!({"q1": asked}));
        assert_eq!(peer.front.parked(), 1);
        let mut retry = call();
        retry["inputResponses"] = json!({"q1": answer});
        retry["requestState"] = asking["requestState"].clone();
        let end = whole(peer.ask(2, "tools/call", retry).await).1["result"].clone();
        assert_eq!((&end["resultType"], &end["said"]), (&"complete".into(), &answer), "{method}");
        assert_eq!(peer.front.parked(), 0);
    }
}

#[tokio::test]
async fn a_call_that_failed_for_want_of_a_capability_says_which() {
    for (method, able, needed) in [
        ("elicitation/create", r#"{"sampling":{},"roots":{}}"#, json!({"elicitation": {}})),
        ("sampling/createMessage", r#"{"elicitation":{}}"#, json!({"sampling": {}})),
        ("roots/list", "{}", json!({"roots": {}})),
    ] {
        let modern = peer(elicits(method), MODERN, able);
        let (status, message) = whole(modern.ask(1, "tools/call", call()).await);
        let error = &message["error"];
        assert_eq!((status, &error["code"]), (400, &(-32021).into()), "{message}");
        assert_eq!(error["data"]["requiredCapabilities"], needed);
        // There was no such code before: the tool says so itself.
        let dated = peer(elicits(method), "2025-11-25", able).open().await;
        let (status, message) = whole(dated.ask(1, "tools/call", call()).await);
        assert_eq!((status, &message["result"]["isError"]), (200, &true.into()), "{message}");
    }
}

/// A modern server whose tool asks everything at once, and once more one thing alone.
fn asks_all() -> Script {
    Arc::new(|message| {
        modern(message, T).unwrap_or_else(|| {
            let request = |method| json!({"method": method, "params": {"message": method}});
            let all: serde_json::Map<String, Value> = questions()
                .iter()
                .map(|(method, _)| ((*method).into(), request(*method)))
                .collect();
            let params = &message["params"];
            let result = match params["requestState"].as_str() {
                None => json!({"resultType": "input_required", "inputRequests": all,
                    "requestState": "second"}),
                Some("second") => json!({"resultType": "input_required", "inputRequests":
                    {"again": request("elicitation/create")},
                    "requestState": params["inputResponses"].to_string()}),
                Some(first) => json!({"resultType": "complete", "content": [], "said":
                    [serde_json::from_str::<Value>(first).unwrap(), params["inputResponses"]]}),
            };
            vec![Act::Say(reply(message, &result.to_string()))]
        })
    })
}

#[tokio::test]
async fn a_modern_servers_rounds_come_to_a_legacy_client_live() {
    for version in ["2025-06-18", "2025-11-25"] {
        let (script, seen) = recording(asks_all());
        let peer = peer(script, version, ALL).open().await;
        let mut stream = events(peer.ask(7, "tools/call", call()).await);
        let answers: serde_json::Map<String, Value> =
            questions().into_iter().map(|(method, answer)| (method.into(), answer)).collect();
        for _ in 0..4 {
            let asked = stream.message().await;
            let method = asked["method"].as_str().unwrap();
            assert_eq!(asked["params"]["message"], method);
            let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": answers[method]});
            assert_eq!(whole(peer.post(&answer.to_string()).await).0, 202);
        }
        let end = stream.message().await;
        assert_eq!(end["id"], 7);
        let again = json!({"again": answers["elicitation/create"]});
        assert_eq!(end["result"]["said"], json!([answers, again]), "{version}");
        assert!(end["result"].get("resultType").is_none(), "unknown before 2026-07-28");
        let seen = seen.lock().unwrap();
        let calls: Vec<_> = seen.iter().filter(|m| m["method"] == "tools/call").collect();
        assert_eq!(calls.len(), 3);
        assert!(calls.iter().all(|call| call["params"]["arguments"] == json!({"who": "Ann"})));
    }
}
