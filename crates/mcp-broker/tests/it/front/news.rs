//! News: `subscriptions/listen`, the stream of a GET, and subscriptions to resources.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_core::News;
use doorward_mcp_broker::Limits;
use serde_json::{Value, json};

use super::desk::{Events, Peer, Stand, events, front, until, whole};
use crate::peers::raw;

const MODERN: &str = "2026-07-28";
const TAG: &str = "io.modelcontextprotocol/subscriptionId";

fn updated(uri: &str) -> News {
    let params = raw(&json!({"uri": uri, "_meta": {"kept": 1}}).to_string());
    News::Updated { uri: uri.into(), params }
}

async fn listen(peer: &Peer, filter: Value) -> Events {
    events(peer.ask(41, "subscriptions/listen", json!({"notifications": filter})).await)
}

#[tokio::test]
async fn a_listener_hears_first_what_was_accepted_and_then_only_that() {
    let stand = Arc::new(Stand::default());
    let peer = Peer::new(&front(&stand), MODERN);
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["u:1", "nothing"]});
    let mut stream = listen(&peer, filter).await;
    let ack = stream.message().await;
    assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
    let accepted = json!({"toolsListChanged": true, "resourceSubscriptions": ["u:1"]});
    assert_eq!(ack["params"]["notifications"], accepted);
    assert_eq!(ack["params"]["_meta"][TAG], 41);
    for news in [News::Prompts, News::Tools, updated("u:2"), updated("u:1")] {
        stand.news.send(news).unwrap();
    }
    let tools = stream.message().await;
    assert_eq!(tools["method"], "notifications/tools/list_changed");
    assert_eq!(tools["params"]["_meta"][TAG], 41);
    let update = stream.message().await;
    assert_eq!(update["params"]["uri"], "u:1");
    assert_eq!(update["params"]["_meta"], json!({"kept": 1, TAG: 41}));
    drop(stream);
    assert_eq!(stand.listening.load(Ordering::SeqCst), 0, "dropping the stream ends it");
}

#[tokio::test]
async fn at_its_end_a_subscription_gets_its_result() {
    let epoch = Arc::new(AtomicU64::new(1));
    let stand = Arc::new(Stand::default());
    let front = front(&stand).epoch(epoch.clone()).keep_alive(Duration::from_millis(20));
    let mut stream = listen(&Peer::new(&front, MODERN), json!({"promptsListChanged": true})).await;
    stream.message().await;
    epoch.store(2, Ordering::SeqCst);
    let end = stream.message().await;
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&41.into(), &"complete".into()));
    assert_eq!(end["result"]["_meta"][TAG], 41);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_listener_of_tasks_has_to_know_tasks() {
    let stand = Arc::new(Stand::default());
    let mut peer = Peer::new(&front(&stand), MODERN);
    let ask = json!({"notifications": {"taskIds": ["t"]}});
    let (status, message) = whole(peer.ask(1, "subscriptions/listen", ask).await);
    assert_eq!((status, &message["error"]["code"]), (400, &(-32021).into()));
    peer.capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let mut stream = listen(&peer, json!({"taskIds": ["t"]})).await;
    stream.message().await;
    stand
        .news
        .send(News::Task { id: "t".into(), params: raw(r#"{"taskId":"t","ttl":5}"#) })
        .unwrap();
    let told = stream.message().await;
    assert_eq!(
        (&told["method"], &told["params"]["ttlMs"]),
        (&"notifications/tasks".into(), &5.into())
    );
    for wrong in [json!({}), json!({"notifications": []}), json!({"notifications": {"taskIds": 1}})]
    {
        let refused = whole(peer.ask(1, "subscriptions/listen", wrong).await).1;
        assert_eq!(refused["error"]["code"], -32602);
    }
}

#[tokio::test]
async fn a_session_hears_of_lists_and_of_what_it_subscribed_to_on_one_stream() {
    let stand = Arc::new(Stand::default());
    let peer = Peer::new(&front(&stand), "2025-11-25").open().await;
    let subscribe = |uri| peer.ask(1, "resources/subscribe", json!({ "uri": uri }));
    assert_eq!(whole(subscribe("u:1").await).1["result"], json!({}));
    assert_eq!(whole(subscribe("nothing").await).1["error"]["code"], -32002);
    let mut first = events(peer.bare("GET", &[]).await);
    let mut stream = events(peer.bare("GET", &[]).await);
    assert!(first.next().await.is_none(), "a later stream takes over");
    drop(first);
    let opened = tokio::time::timeout(Duration::from_millis(30), stream.next()).await;
    assert!(opened.is_err(), "no news yet");
    stand.news.send(News::Tools).unwrap();
    stand.news.send(updated("u:2")).unwrap();
    stand.news.send(updated("u:1")).unwrap();
    let list = stream.message().await;
    assert_eq!(list["method"], "notifications/tools/list_changed");
    assert_eq!(stream.message().await["params"], json!({"uri": "u:1", "_meta": {"kept": 1}}));

    whole(subscribe("u:2").await);
    whole(peer.ask(1, "resources/unsubscribe", json!({"uri": "u:1"})).await);
    let quiet = tokio::time::timeout(Duration::from_millis(30), stream.next()).await;
    assert!(quiet.is_err());
    stand.news.send(updated("u:1")).unwrap();
    stand.news.send(updated("u:2")).unwrap();
    assert_eq!(stream.message().await["params"]["uri"], "u:2", "subscriptions changed on the way");
    drop(stream);
    until(|| stand.listening.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn subscribing_needs_a_session_and_somebody_who_offers_it() {
    let stand = Arc::new(Stand::default());
    let stateless = Peer::new(&front(&stand), "2025-11-25");
    let subscribe = json!({"uri": "u:1"});
    let refused = whole(stateless.ask(1, "resources/subscribe", subscribe.clone()).await).1;
    assert_eq!(refused["error"]["code"], -32600);
    let stand = Stand { capabilities: r#"{"resources":{"subscribe":false}}"#, ..Stand::default() };
    let peer = Peer::new(&front(&Arc::new(stand)), "2025-11-25").open().await;
    let refused = whole(peer.ask(1, "resources/subscribe", subscribe).await).1;
    assert_eq!(refused["error"]["code"], -32601);
}

#[tokio::test]
async fn streams_of_news_and_subscriptions_are_bounded() {
    let stand = Arc::new(Stand::default());
    let limits = Limits { listens: 3, listens_each: 2, subscriptions: 2, ..Limits::default() };
    let front = front(&stand).limits(limits);
    let mut peer = Peer::new(&front, MODERN);
    let one = listen(&peer, json!({})).await;
    let two = listen(&peer, json!({})).await;
    let ask = json!({"notifications": {}});
    let refused = whole(peer.ask(1, "subscriptions/listen", ask.clone()).await).1;
    assert_eq!(refused["error"]["code"], -32603);
    peer.principal = "bob";
    let three = listen(&peer, json!({})).await;
    let refused = whole(peer.ask(1, "subscriptions/listen", ask).await).1;
    assert_eq!(refused["error"]["code"], -32603);
    drop((one, two, three));
    drop(listen(&peer, json!({"resourceSubscriptions": ["a", "b"]})).await);
    let many = json!({"notifications": {"resourceSubscriptions": ["a", "b", "c"]}});
    let refused = whole(peer.ask(1, "subscriptions/listen", many).await).1;
    assert_eq!(refused["error"]["code"], -32602);
    let session = Peer::new(&front, "2025-06-18").open().await;
    for (uri, code) in [("a", 0), ("b", 0), ("a", 0), ("c", -32603)] {
        let told = whole(session.ask(1, "resources/subscribe", json!({"uri": uri})).await).1;
        assert_eq!(told["error"]["code"].as_i64().unwrap_or_default(), code, "{uri}");
    }
}
