//! Clients with a handshake: questions while a call runs, streams to come back to, cancellation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_mcp_broker::{Front, Limits};
use serde_json::{Value, json};

use super::desk::{Event, Peer, Stand, events, front, until, whole};

async fn peer(version: &'static str) -> Peer {
    Peer::new(&front(&Arc::new(Stand::default())), version).open().await
}

async fn reply(peer: &Peer, id: &Value, result: Value) -> u16 {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    whole(peer.post(&body).await).0
}

#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_call_and_the_reply_in_the_session() {
    for version in ["2025-06-18", "2025-11-25"] {
        let peer = peer(version).await;
        let mut stream = events(peer.call(7, "ask_twice").await);
        let mut ids = Vec::new();
        for (text, answer) in [("one?", 1), ("two?", 2)] {
            let question = stream.message().await;
            assert_eq!(question["method"], "elicitation/create");
            assert_eq!(question["params"]["message"], text);
            let id = question["id"].as_str().unwrap().to_owned();
            assert!(id.len() > 20, "not to be guessed: {id}");
            let result = json!({"action": "accept", "content": {"n": answer}});
            assert_eq!(reply(&peer, &question["id"], result).await, 202);
            ids.push(id);
        }
        assert_ne!(ids[0], ids[1]);
        let end = stream.message().await;
        assert_eq!(end["id"], 7);
        assert_eq!(end["result"]["said"][1]["content"]["n"], 2);
        assert!(stream.next().await.is_none(), "the answer is the last");
    }
}

#[tokio::test]
async fn a_reply_counts_only_from_its_own_session_and_principal() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand);
    let ann = Peer::new(&front, "2025-11-25").open().await;
    let other = Peer::new(&front, "2025-11-25").open().await;
    let mut bob = Peer::new(&front, "2025-11-25");
    bob.principal = "bob";
    let mut bob = bob.open().await;
    let mut stream = events(ann.call(1, "ask").await);
    let question = stream.message().await;
    let forged = json!({"action": "accept", "content": {"by": "another"}});
    assert_eq!(reply(&other, &question["id"], forged.clone()).await, 202);
    assert_eq!(reply(&bob, &question["id"], forged.clone()).await, 202);
    bob.session.clone_from(&ann.session);
    assert_eq!(reply(&bob, &question["id"], forged).await, 404, "a session id proves nothing");
    reply(&ann, &question["id"], json!({"action": "decline"})).await;
    assert_eq!(stream.message().await["result"]["said"], json!({"action": "decline"}));
    let refusal = json!({"jsonrpc": "2.0", "id": question["id"],
        "error": {"code": -1, "message": "late"}});
    assert_eq!(whole(ann.post(&refusal.to_string()).await).0, 202, "late replies do no harm");
}

#[tokio::test]
async fn a_clients_refusal_reaches_who_asked() {
    let peer = peer("2025-11-25").await;
    let mut stream = events(peer.call(1, "ask").await);
    let id = stream.message().await["id"].clone();
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": "no"}});
    peer.post(&error.to_string()).await;
    assert_eq!(stream.message().await["result"]["said"]["refused"], -1);
}

#[tokio::test]
async fn who_cannot_answer_is_not_asked() {
    let peer_without = peer("2025-11-25").await;
    let said = |message: Value| message["result"]["said"]["refused"].clone();
    assert_eq!(said(whole(peer_without.call(1, "ask_roots").await).1), -32021);
    assert_eq!(said(whole(peer_without.call(1, "ask_url").await).1), -32021);
    let mut deaf = peer("2025-11-25").await;
    deaf.accept = "application/json";
    assert_eq!(said(whole(deaf.call(1, "ask").await).1), -32603, "no stream to ask on");
}

#[tokio::test]
async fn a_question_taken_back_is_cancelled_at_the_client() {
    let peer = peer("2025-11-25").await;
    let mut stream = events(peer.call(1, "give_up").await);
    let question = stream.message().await;
    let cancelled = stream.message().await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], question["id"]);
    assert_eq!(stream.message().await["result"]["said"], true);
}

#[tokio::test]
async fn an_elicitation_by_url_has_an_id_where_the_revision_has_ids() {
    let front = front(&Arc::new(Stand::default()));
    let mut peer = Peer::new(&front, "2025-11-25");
    peer.capabilities = r#"{"elicitation":{"url":{}}}"#;
    let peer = peer.open().await;
    let question = events(peer.call(1, "ask_url").await).message().await;
    assert_eq!(question["params"]["elicitationId"], "e");
}

fn told(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| match message["method"].as_str() {
        Some("notifications/progress") => {
            let progress = message["params"]["progress"].as_f64().unwrap();
            format!("{} {progress}", message["params"]["progressToken"])
        }
        Some(_) => format!("log {}", message["params"]["data"]),
        None => format!("end {}", message["id"]),
    };
    messages.iter().map(kind).collect()
}

#[tokio::test]
async fn progress_grows_under_the_clients_token_and_logs_keep_to_the_level() {
    let peer = peer("2025-11-25").await;
    let chat = |token: Value| {
        let params = json!({"name": "chat", "_meta": {"progressToken": token}});
        peer.ask(5, "tools/call", params)
    };
    let all = |events: Vec<Event>| {
        let messages = events.iter().filter(|event| !event.data.is_empty());
        told(&messages.map(Event::json).collect::<Vec<_>>())
    };
    let first = all(events(chat("a".into()).await).rest().await);
    assert_eq!(first, ["\"a\" 1", "log \"grave\"", "\"a\" 2", "end 5"]);
    whole(peer.ask(1, "logging/setLevel", json!({"level": "debug"})).await);
    let second = all(events(chat(9.into()).await).rest().await);
    assert_eq!(second, ["9 1", "log \"small\"", "log \"grave\"", "9 2", "end 5"]);
    let bare = all(events(peer.call(6, "chat").await).rest().await);
    assert_eq!(bare, ["log \"small\"", "log \"grave\"", "end 6"], "no token, no progress");
    let mut deaf = peer;
    deaf.accept = "application/json";
    assert_eq!(whole(deaf.call(1, "chat").await).1["result"]["said"], "chatted");
}

#[tokio::test]
async fn a_client_that_loses_its_stream_comes_back_to_it() {
    for version in ["2025-03-26", "2025-11-25"] {
        let stand = Arc::new(Stand::default());
        let peer = Peer::new(&front(&stand), version).open().await;
        let mut stream = events(peer.call(3, "chat_slowly").await);
        let mut last = stream.next().await.unwrap();
        if version == "2025-11-25" {
            assert_eq!((last.data.as_str(), last.retry.as_deref()), ("", Some("1000")));
            last = stream.next().await.unwrap();
        }
        assert_eq!(last.json()["params"]["data"], "grave");
        drop(stream);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(stand.running.load(Ordering::SeqCst), 1, "the call outlives the connection");
        let again = peer.bare("GET", &[("last-event-id", &last.id)]).await;
        let rest = events(again).rest().await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!(rest[0].json()["id"], 3);
        assert_ne!(rest[0].id, last.id);
        until(|| peer.front.streams() == 0).await;
    }
}

#[tokio::test]
async fn who_likes_streams_better_can_come_back_to_a_quick_answer_too() {
    let mut peer = peer("2025-11-25").await;
    peer.accept = "text/event-stream, application/json";
    let mut stream = events(peer.call(7, "plain").await);
    let priming = stream.next().await.unwrap();
    assert!(priming.data.is_empty() && priming.retry.is_some(), "{priming:?}");
    drop(stream);
    let again = peer.bare("GET", &[("last-event-id", &priming.id)]).await;
    assert_eq!(events(again).message().await["id"], 7);
}

#[tokio::test]
async fn an_answer_given_while_the_client_was_away_is_kept_for_it() {
    let peer = peer("2025-11-25").await;
    let mut stream = events(peer.call(3, "chat_slowly").await);
    let primer = stream.next().await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let rest = events(peer.bare("GET", &[("last-event-id", &primer.id)]).await).rest().await;
    let messages: Vec<_> = rest.iter().map(Event::json).collect();
    assert_eq!(told(&messages), ["log \"grave\"", "end 3"]);
    until(|| peer.front.streams() == 0).await;
}

#[tokio::test]
async fn a_stream_is_replayed_to_its_own_session_only() {
    let front = front(&Arc::new(Stand::default()));
    let ann = Peer::new(&front, "2025-11-25").open().await;
    let other = Peer::new(&front, "2025-11-25").open().await;
    let mut stream = events(ann.call(3, "chat_slowly").await);
    let primer = stream.next().await.unwrap();
    let mut foreign = events(other.bare("GET", &[("last-event-id", &primer.id)]).await);
    let nothing = tokio::time::timeout(Duration::from_millis(50), foreign.next()).await;
    assert!(nothing.is_err(), "the stream of news, nothing of the other session");
    assert_eq!(stream.rest().await.len(), 2, "and the reader is still the first");
}

#[tokio::test]
async fn an_orphaned_run_is_not_kept_for_ever() {
    let stand = Arc::new(Stand::default());
    let limits = Limits { linger: Duration::from_millis(60), ..Limits::default() };
    let front: Front = front(&stand).limits(limits).stream_after(Duration::from_millis(5));
    let peer = Peer::new(&front, "2025-11-25").open().await;
    let stream = events(peer.call(1, "slow").await);
    assert_eq!(front.streams(), 1);
    drop(stream);
    until(|| stand.running.load(Ordering::SeqCst) == 0).await;
    until(|| front.streams() == 0).await;
}

#[tokio::test]
async fn without_room_for_streams_a_call_lives_with_its_connection() {
    let stand = Arc::new(Stand::default());
    let limits = Limits { streams_each: 1, ..Limits::default() };
    let front: Front = front(&stand).limits(limits).stream_after(Duration::from_millis(5));
    let peer = Peer::new(&front, "2025-11-25").open().await;
    let one = events(peer.call(1, "slow").await);
    let two = events(peer.call(2, "slow").await);
    assert_eq!((front.streams(), stand.running.load(Ordering::SeqCst)), (1, 2));
    drop(two);
    assert_eq!(stand.running.load(Ordering::SeqCst), 1);
    drop(one);
}

#[tokio::test]
async fn a_cancelled_request_stops_and_gets_no_answer() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand).stream_after(Duration::from_millis(5));
    let peer = Peer::new(&front, "2025-11-25").open().await;
    let other = Peer::new(&front, "2025-11-25").open().await;
    let stream = events(peer.call(9, "slow").await);
    let cancel = |id: Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
            .to_string()
    };
    assert_eq!(other.post(&cancel(9.into())).await.status(), 202);
    assert_eq!(peer.post(&cancel("9".into())).await.status(), 202);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(stand.running.load(Ordering::SeqCst), 1, "another's, or another id");
    assert_eq!(peer.post(&cancel(9.into())).await.status(), 202);
    until(|| stand.running.load(Ordering::SeqCst) == 0).await;
    assert!(stream.rest().await.iter().all(|event| event.data.is_empty()));
    until(|| front.streams() == 0).await;
}
