//! The HTTP+SSE endpoint pair of 2024-11-05.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use doorward_core::{News, Scope};
use doorward_mcp_broker::{Front, FrontBody};
use http::{Request, Response};
use serde_json::{Value, json};

use super::desk::{Events, Stand, cx, events, front, until, whole};

/// A client of the pair.
struct Old {
    front: Front,
    stream: Events,
    endpoint: String,
}

async fn open(front: &Front) -> Old {
    let request = Request::get("/sse").header("accept", "text/event-stream");
    let request = request.body(Bytes::new()).unwrap();
    let response = front.open_sse(&cx("ann"), &Scope::All, &request, "/sse").await;
    let mut stream = events(response);
    let first = stream.next().await.unwrap();
    assert_eq!(first.kind, "endpoint");
    assert!(first.data.starts_with("/sse?session_id="));
    Old { front: front.clone(), stream, endpoint: first.data }
}

impl Old {
    async fn post_as(&self, principal: &str, body: &str) -> Response<FrontBody> {
        let request = Request::post(&self.endpoint).body(Bytes::copy_from_slice(body.as_bytes()));
        self.front.exchange(&cx(principal), &Scope::All, request.unwrap()).await
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        assert_eq!(whole(self.post_as("ann", &body.to_string()).await), (202, Value::Null));
        self.stream.message().await
    }
}

#[tokio::test]
async fn answers_come_on_the_stream_in_the_words_of_the_agreed_revision() {
    let stand = Arc::new(Stand::default());
    let mut old = open(&front(&stand)).await;
    let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {"elicitation": {}}});
    let greeted = old.ask(1, "initialize", hello).await;
    assert_eq!(greeted["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(old.ask(2, "ping", json!({})).await["result"], json!({}));
    let listed = old.ask(3, "tools/list", json!({})).await;
    assert_eq!(listed["result"]["tools"][1]["name"], "plain");
    let called = old.ask(4, "tools/call", json!({"name": "plain"})).await;
    assert_eq!((&called["id"], &called["result"]["said"]["arguments"]), (&4.into(), &json!({})));
    let unknown = old.ask(5, "no/such", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);

    let question = old.ask(6, "tools/call", json!({"name": "ask"})).await;
    assert_eq!(question["method"], "elicitation/create");
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}});
    assert_eq!(old.post_as("ann", &reply.to_string()).await.status(), 202);
    assert_eq!(old.stream.message().await["result"]["said"]["action"], "accept");

    stand.news.send(News::Prompts).unwrap();
    assert_eq!(old.stream.message().await["method"], "notifications/prompts/list_changed");
}

#[tokio::test]
async fn an_endpoint_is_its_principals_own_and_ends_with_its_stream() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand);
    let old = open(&front).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(old.post_as("bob", ping).await.status(), 404);
    let slow = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}"#;
    assert_eq!(old.post_as("ann", slow).await.status(), 202);
    until(|| stand.running.load(Ordering::SeqCst) == 1).await;
    for wrong in ["{", "3", "[]"] {
        assert_eq!(old.post_as("ann", wrong).await.status(), 400, "{wrong}");
    }
    let id = old.endpoint.split_once('=').unwrap().1.to_owned();
    let stray = Request::post("/mcp").header("mcp-session-id", &id);
    let stray = stray.body(Bytes::copy_from_slice(ping.as_bytes())).unwrap();
    let stray = front.exchange(&cx("ann"), &Scope::All, stray).await;
    assert_eq!(stray.status(), 404, "no session of Streamable HTTP");
    let Old { stream, endpoint, .. } = old;
    drop(stream);
    until(|| stand.running.load(Ordering::SeqCst) == 0).await;
    assert_eq!((front.sessions_known(), stand.listening.load(Ordering::SeqCst)), (0, 0));
    let late = Request::post(endpoint).body(Bytes::copy_from_slice(ping.as_bytes())).unwrap();
    let late = front.open_sse(&cx("ann"), &Scope::All, &late, "/sse").await;
    assert_eq!(late.status(), 404);
}

#[tokio::test]
async fn a_cancelled_request_of_the_pair_stops() {
    let stand = Arc::new(Stand::default());
    let old = open(&front(&stand)).await;
    let slow = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"slow"}}"#;
    old.post_as("ann", slow).await;
    until(|| stand.running.load(Ordering::SeqCst) == 1).await;
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#;
    assert_eq!(old.post_as("ann", cancel).await.status(), 202);
    until(|| stand.running.load(Ordering::SeqCst) == 0).await;
}
