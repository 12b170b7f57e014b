//! Both planes where all is well.

use doorward_core::{Kind, Outcome};
use http::Method;
use serde_json::{Value, json};

use crate::client::{Heard, WIRES, Wire};
use crate::stack::{Setup, UPSTREAM_KEY, endings};
use crate::tracker::ISSUE;
use crate::upstream::{CHAT, CHAT_EVENTS, MESSAGE, MESSAGE_EVENTS, Upstream, greets};

#[tokio::test]
async fn every_client_dialect_is_answered_by_every_upstream_dialect() {
    for wire in WIRES {
        for (model, upstream) in [("chat/m-1", Wire::Chat), ("claude/m-1", Wire::Messages)] {
            for stream in [false, true] {
                let case = format!("{wire:?} to {upstream:?}, stream: {stream}");
                let stack = Setup::default().build(Upstream::new(greets));
                let answer = stack.client().await.ask(wire, model, stream).await;
                assert_eq!(answer.status, 200, "{case}: {answer:?}");
                assert_eq!(answer.header("x-doorward-route"), Some(model), "{case}");
                let kind = if stream { "text/event-stream" } else { "application/json" };
                assert_eq!(answer.header("content-type"), Some(kind), "{case}");
                let expected = Heard {
                    text: "Hello there".into(),
                    tool: "lookup".into(),
                    arguments: r#"{"q":1}"#.into(),
                    finish: if wire == Wire::Chat { "tool_calls" } else { "tool_use" }.into(),
                    usage: [20, 7],
                };
                assert_eq!(wire.hear(stream, &answer.body), expected, "{case}: {}", answer.body);
                if wire == upstream {
                    assert_eq!(answer.body, as_it_came(wire, stream), "{case}");
                }

                let asked = stack.upstream.asked();
                let [asked] = &asked[..] else { panic!("{case}: {asked:?}") };
                let (path, header, shown) = match upstream {
                    Wire::Chat => ("/v1/chat/completions", "authorization", "Bearer "),
                    Wire::Messages => ("/v1/messages", "x-api-key", ""),
                };
                assert_eq!((asked.uri().path(), upstream_key(asked, header)), (path, shown));
                let asked: Value = serde_json::from_slice(asked.body()).unwrap();
                assert_eq!(asked["model"], "m-1", "{case}");

                let calls = stack.close().await;
                let [ending] = endings(&calls)[..] else { panic!("{case}: {calls:?}") };
                assert_eq!(ending.outcome, Outcome::Completed, "{case}");
                let Kind::Model { usage: Some(usage), calls, route: Some(route), .. } =
                    &ending.kind
                else {
                    panic!("{case}: {ending:?}")
                };
                assert_eq!((usage.input, usage.output, calls.len()), (20, 7, 1), "{case}");
                assert_eq!(route.target, model, "{case}");
            }
        }
    }
}

/// What stands before the key in a header.
fn upstream_key<'a>(asked: &'a doorward_model_router::Outbound, header: &str) -> &'a str {
    asked.headers()[header].to_str().unwrap().strip_suffix(UPSTREAM_KEY).unwrap()
}

fn as_it_came(wire: Wire, stream: bool) -> String {
    match (wire, stream) {
        (Wire::Chat, false) => CHAT.to_owned(),
        (Wire::Chat, true) => CHAT_EVENTS.concat(),
        (Wire::Messages, false) => MESSAGE.to_owned(),
        (Wire::Messages, true) => MESSAGE_EVENTS.concat(),
    }
}

#[tokio::test]
async fn tools_are_listed_and_called() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let request = client.request(Method::POST, "/mcp", list);
    let listed = client.send(request).await.json();
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let mut expected = vec![];
    for server in ["hasty", "tracker"] {
        expected.extend(["get_issue", "send", "hang"].map(|tool| format!("{server}__{tool}")));
    }
    expected.sort();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "{names:?}");

    let called = client.call("tracker__get_issue").await.json();
    assert_eq!(called["result"]["content"][0]["text"], ISSUE);
    drop(client);
    let calls = stack.close().await;
    let outcomes: Vec<Outcome> = calls.values().flatten().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Started, Outcome::Completed], "a list is no call");
}
