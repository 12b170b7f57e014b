//! Rounds of 2026-07-28: answers that ask, and the retries that come back to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_mcp_broker::{Front, Limits};
use serde_json::{Value, json};

use super::desk::{Peer, Stand, events, front, until, whole};

const MODERN: &str = "2026-07-28";

fn desk() -> (Arc<Stand>, Peer) {
    let stand = Arc::new(Stand::default());
    let peer = Peer::new(&front(&stand), MODERN);
    (stand, peer)
}

async fn retry(peer: &Peer, id: u64, tool: &str, more: Value) -> Value {
    let mut params = json!({"name": tool, "arguments": {}});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    whole(peer.ask(id, "tools/call", params).await).1
}

async fn first(peer: &Peer, tool: &str) -> Value {
    let (status, message) = whole(peer.call(1, tool).await);
    assert_eq!(status, 200);
    assert_eq!(message["result"]["resultType"], "input_required", "{message}");
    assert!(message["result"].get("ttlMs").is_none(), "not to be cached");
    assert!(message["result"]["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
    message["result"].clone()
}

#[tokio::test]
async fn a_servers_question_parks_the_call_until_the_client_is_back() {
    let (stand, peer) = desk();
    let asking = first(&peer, "ask_twice").await;
    let request = &asking["inputRequests"]["q1"];
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["message"], "one?");
    assert_eq!((peer.front.parked(), stand.running.load(Ordering::SeqCst)), (1, 1));

    let more = json!({"inputResponses": {"q1": {"n": 1}, "extra": {"x": 1}},
                      "requestState": asking["requestState"]});
    let next = retry(&peer, 2, "ask_twice", more).await;
    assert_eq!(next["id"], 2, "each round has its own id");
    assert_eq!(next["result"]["inputRequests"]["q2"]["params"]["message"], "two?");
    assert_ne!(next["result"]["requestState"], asking["requestState"]);

    let more = json!({"inputResponses": {"q2": {"n": 2}},
                      "requestState": next["result"]["requestState"]});
    let end = retry(&peer, 3, "ask_twice", more).await;
    assert_eq!(end["id"], 3);
    assert_eq!(end["result"]["resultType"], "complete");
    assert_eq!(end["result"]["said"], json!([{"n": 1}, {"n": 2}]));
    assert_eq!((peer.front.parked(), stand.running.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn questions_asked_together_come_in_one_answer_and_missing_ones_are_asked_again() {
    let (_, peer) = desk();
    let asking = first(&peer, "ask_both").await;
    assert_eq!(asking["inputRequests"].as_object().unwrap().len(), 2);
    for wrong in [json!({"q1": {"n": 1}, "wrong": {}}), json!({"q1": {"n": 1}, "q2": 12345})] {
        let asking = first(&peer, "ask_both").await;
        let more = json!({"inputResponses": wrong, "requestState": asking["requestState"]});
        let again = retry(&peer, 2, "ask_both", more).await["result"].clone();
        assert_eq!(again["resultType"], "input_required");
        assert!(again["inputRequests"].get("q1").is_none());
        let more = json!({"inputResponses": {"q2": {"n": 2}},
                          "requestState": again["requestState"]});
        let end = retry(&peer, 3, "ask_both", more).await;
        assert_eq!(end["result"]["said"], json!([{"n": 1}, {"n": 2}]));
    }
}

#[tokio::test]
async fn a_request_state_is_good_for_its_principal_its_request_and_once() {
    let (stand, mut peer) = desk();
    for tool in ["ask", "round"] {
        let state = first(&peer, tool).await["requestState"].as_str().unwrap().to_owned();
        let more = |state: &str| json!({"inputResponses": {"q1": {}}, "requestState": state});
        let tampered = format!("{state}-TAMPERED");
        for (tool, state) in [(tool, tampered.as_str()), (tool, "x"), ("offered", &*state)] {
            let refused = retry(&peer, 2, tool, more(state)).await;
            assert_eq!(refused["error"]["code"], -32602, "{tool} {refused}");
        }
        let mut params = json!({"name": tool, "arguments": {"other": 1}});
        params["requestState"] = state.clone().into();
        let refused = whole(peer.ask(2, "tools/call", params).await).1;
        assert_eq!(refused["error"]["code"], -32602, "other arguments");
        let odd = retry(&peer, 2, tool, json!({"requestState": 7})).await;
        assert_eq!(odd["error"]["code"], -32602);
        peer.principal = "bob";
        assert_eq!(retry(&peer, 2, tool, more(&state)).await["error"]["code"], -32602);
        peer.principal = "ann";
        let end = retry(&peer, 2, tool, more(&state)).await;
        assert_eq!(end["result"]["resultType"], "complete", "{end}");
        if tool == "ask" {
            assert_eq!(retry(&peer, 3, tool, more(&state)).await["error"]["code"], -32602);
        }
    }
    assert_eq!(stand.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_servers_own_state_comes_back_to_it_verbatim() {
    let (_, peer) = desk();
    let asking = first(&peer, "round").await;
    assert!(asking["requestState"] != "up-1" && asking["inputRequests"]["k"].is_object());
    let more =
        json!({"inputResponses": {"k": {"roots": []}}, "requestState": asking["requestState"]});
    let end = retry(&peer, 2, "round", more).await["result"]["said"].clone();
    assert_eq!(end, json!({"responses": "{\"k\":{\"roots\":[]}}", "state": "\"up-1\""}));
}

#[tokio::test]
async fn prompts_ask_too_and_a_server_without_state_gets_none() {
    let (stand, peer) = desk();
    let asking = whole(peer.ask(1, "prompts/get", json!({"name": "ask"})).await).1;
    let state = asking["result"]["requestState"].as_str().expect("ours proves the admission");
    let params = json!({"name": "ask", "inputResponses": {"k": {}}, "requestState": state});
    let end = whole(peer.ask(2, "prompts/get", params).await).1;
    assert_eq!(end["result"]["resultType"], "complete");
    let fetched = stand.fetched.lock().unwrap().clone();
    assert_eq!(fetched, [r#"prompts/get {"name":"ask"}"#; 2], "a retry's members stay out");
}

#[tokio::test]
async fn answers_without_state_continue_nothing() {
    let (_, peer) = desk();
    let said = |message: Value| message["result"]["said"].clone();
    let offered = retry(&peer, 1, "offered", json!({"inputResponses": {"k": {}}})).await;
    let told = json!({"offered": "{\"k\":{}}", "resumed": false, "task": null});
    assert_eq!(said(offered), told);
    let again = retry(&peer, 1, "round", json!({"inputResponses": {"k": {}}})).await;
    assert_eq!(again["result"]["resultType"], "input_required");
    let null = retry(&peer, 1, "round", json!({"inputResponses": null})).await;
    assert_eq!(null["result"]["resultType"], "input_required");
    let odd = retry(&peer, 1, "round", json!({"inputResponses": 7})).await;
    assert_eq!(odd["error"]["code"], -32602);
}

#[tokio::test]
async fn another_process_cannot_take_a_parked_call_but_a_servers_round() {
    let keys = doorward_mcp_broker::SealKeys::new(doorward_mcp_broker::SealKey::new(1, [1; 32]));
    let stand = Arc::new(Stand::default());
    let (one, two) = (front(&stand).sessions(&keys), front(&stand).sessions(&keys));
    for (tool, code) in [("ask", Value::from(-32602)), ("round", Value::Null)] {
        let state = first(&Peer::new(&one, MODERN), tool).await["requestState"].clone();
        let more = json!({"inputResponses": {}, "requestState": state});
        let end = retry(&Peer::new(&two, MODERN), 2, tool, more).await;
        assert_eq!(end["error"]["code"], code, "{tool}");
    }
}

#[tokio::test]
async fn parked_calls_are_bounded_in_number_and_time() {
    let stand = Arc::new(Stand::default());
    let limits = Limits {
        parked: 3,
        parked_each: 2,
        parked_for: Duration::from_millis(80),
        ..Limits::default()
    };
    let front: Front = front(&stand).limits(limits);
    let mut peer = Peer::new(&front, MODERN);
    let state = first(&peer, "ask").await["requestState"].clone();
    first(&peer, "ask").await;
    let full = whole(peer.call(1, "ask").await).1;
    assert_eq!(full["result"]["said"]["refused"], -32603, "the server hears that it is full");
    peer.principal = "bob";
    first(&peer, "ask").await;
    assert_eq!(whole(peer.call(1, "ask").await).1["result"]["said"]["refused"], -32603);
    assert_eq!(front.parked(), 3);
    until(|| front.parked() == 0 && stand.running.load(Ordering::SeqCst) == 0).await;
    peer.principal = "ann";
    let more = json!({"inputResponses": {"q1": {}}, "requestState": state});
    assert_eq!(retry(&peer, 2, "ask", more).await["error"]["code"], -32602, "too late");
}

#[tokio::test]
async fn dropping_a_resumed_stream_cancels_the_call() {
    let stand = Arc::new(Stand::default());
    let peer = Peer::new(&front(&stand).stream_after(Duration::from_millis(5)), MODERN);
    let slow = events(peer.call(1, "slow").await);
    assert_eq!(stand.running.load(Ordering::SeqCst), 1);
    drop(slow);
    assert_eq!(stand.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_told_before_a_question_comes_before_it() {
    let (_, peer) = desk();
    let mut params = json!({"name": "chat", "_meta": {"progressToken": "t"}});
    params["_meta"]["io.modelcontextprotocol/logLevel"] = "error".into();
    let all = events(peer.ask(1, "tools/call", params).await).rest().await;
    let kinds: Vec<_> = all.iter().map(|event| event.json()["method"].clone()).collect();
    let (progress, log) = ("notifications/progress", "notifications/message");
    assert_eq!(kinds, [json!(progress), json!(log), json!(progress), Value::Null]);
    assert!(all.iter().all(|event| event.id.is_empty()), "nothing to come back to");
    let quiet = whole(peer.call(2, "chat").await).1;
    assert_eq!(quiet["result"]["said"], "chatted", "no level, no logs");
}

#[tokio::test]
async fn a_url_has_no_id_since_rounds() {
    let (_, mut peer) = desk();
    peer.capabilities = r#"{"elicitation":{"url":{}}}"#;
    let asking = first(&peer, "ask_url").await;
    let params = &asking["inputRequests"]["q1"]["params"];
    assert_eq!(*params, json!({"mode": "url", "url": "https://x"}));
}

#[tokio::test]
async fn consent_is_asked_for_as_each_revision_can() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand);
    let url = r#"{"elicitation":{"form":{},"url":{}}}"#;
    let mut peer = Peer::new(&front, MODERN);
    peer.capabilities = url;
    let asking = first(&peer, "consent").await;
    let params = &asking["inputRequests"]["visit1"]["params"];
    assert_eq!((&params["mode"], &params["url"]), (&"url".into(), &"https://gw/connect/x".into()));
    let more = json!({"inputResponses": {"visit1": {"action": "accept"}},
                      "requestState": asking["requestState"]});
    let again = retry(&peer, 2, "consent", more).await;
    assert_eq!(again["result"]["resultType"], "input_required", "tried afresh");
    peer.capabilities = r#"{"elicitation":{}}"#;
    let plain = whole(peer.call(3, "consent").await).1["result"].clone();
    assert_eq!(plain["isError"], true);
    assert_eq!(plain["content"][0]["text"], "connect first: https://gw/connect/x");

    let mut dated = Peer::new(&front, "2025-11-25");
    dated.capabilities = url;
    let dated = dated.open().await;
    for tool in ["consent", "fault-32042"] {
        let error = whole(dated.call(1, tool).await).1["error"].clone();
        assert_eq!(error["code"], -32042);
        let one = &error["data"]["elicitations"][0];
        assert!(one["url"].is_string() && one["elicitationId"].is_string(), "{one}");
    }
    let old = Peer::new(&front, "2025-06-18").open().await;
    let plain = whole(old.call(1, "fault-32042").await).1["result"].clone();
    assert_eq!(plain["content"][0]["text"], "theirs: https://up/1");
}
