//! Fifty clients of both eras at once: each sees what is its own, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixture::{Fixture, program};
use crate::gateway::{Gateway, Site};
use crate::wire::{Http, LEGACY, MODERN, Messages, Wire, http};

const CLIENTS: usize = 50;
const KEYS: usize = 5;
const PATIENCE: Duration = Duration::from_mins(1);
const READ: &str =
    "[[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = { integrity = \"trusted\" }\n";

/// A user and a model that say whom they answer.
fn answer(question: &Value) -> Value {
    let params = &question["params"];
    match question["method"].as_str() {
        Some("elicitation/create") => {
            let marker = params["message"].as_str().unwrap_or_default();
            json!({ "action": "accept", "content": { "answer": format!("user of {marker}") } })
        }
        Some("sampling/createMessage") => {
            let marker = params["messages"][0]["content"]["text"].as_str().unwrap_or_default();
            let text = format!("model of {marker}");
            json!({ "role": "assistant", "content": { "type": "text", "text": text }, "model": "m" })
        }
        _ => json!({ "roots": [] }),
    }
}

/// Everything that arrives on a stream, until it or the test ends.
fn collect(mut messages: Messages) -> mpsc::UnboundedReceiver<Value> {
    let (send, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            if send.send(message).is_err() {
                return;
            }
        }
    });
    received
}

/// One client's own findings: what it saw that it should not have, and what it missed.
struct Client {
    wire: Wire,
    marker: String,
    /// The session's stream, or that of a listening request.
    stream: mpsc::UnboundedReceiver<Value>,
    faults: Vec<String>,
}

impl Client {
    async fn begin(http: Http, url: &str, key: &str, number: usize) -> Self {
        let version = if number.is_multiple_of(2) { LEGACY } else { MODERN };
        let wire = Wire::begin(http, url, key, version).await;
        let marker = format!("marker-{number:02}");
        let uri = format!("test://marker/{marker}");
        let mut faults = vec![];
        let messages = if wire.is_modern() {
            let params = json!({ "notifications": { "resourceSubscriptions": [uri] } });
            wire.start("subscriptions/listen", &params).await.1
        } else {
            let (status, messages) = wire.listen().await;
            if status != 200 {
                faults.push(format!("{marker}: a session without a stream: {status}"));
            }
            messages
        };
        let mut client = Self { wire, marker, stream: collect(messages), faults };
        if client.wire.is_modern() {
            // The first message says what is agreed on: before it, a change would be missed.
            let first = client.next("notifications/subscriptions/acknowledged").await;
            client.check(first.is_some(), "the subscription is not acknowledged");
        } else {
            let params = json!({ "uri": uri });
            let done = client.wire.request("resources/subscribe", params, json!({}), answer).await;
            client.check(done.error.is_null(), &format!("cannot subscribe: {}", done.error));
            let params = json!({ "level": "debug" });
            client.wire.request("logging/setLevel", params, json!({}), answer).await;
        }
        client
    }

    fn check(&mut self, holds: bool, fault: &str) {
        if !holds {
            self.faults.push(format!("{}: {fault}", self.marker));
        }
    }

    /// The next message of a method on the client's stream; others are looked at and dropped.
    async fn next(&mut self, method: &str) -> Option<Value> {
        let found = timeout(Duration::from_secs(30), async {
            while let Some(message) = self.stream.recv().await {
                if message["method"] == method {
                    return Some(message);
                }
            }
            None
        });
        found.await.ok().flatten()
    }

    async fn asks(&mut self) {
        for (tool, who) in [("ask", "user"), ("sample", "model")] {
            let params = json!({ "name": tool, "arguments": { "marker": self.marker } });
            let done = self.wire.request("tools/call", params, json!({}), answer).await;
            let expected = format!("{0}: {who} of {0}", self.marker);
            self.check(
                done.text() == expected,
                &format!("{tool} says {:?} {}", done.text(), done.error),
            );
            self.check(done.asked.len() == 1, &format!("{tool} asked {} times", done.asked.len()));
            let asked = json!(done.asked).to_string();
            self.check(only(&asked, &self.marker), &format!("{tool} asked for others: {asked}"));
        }
    }

    /// `logs`: whether the server says which call a line of its log belongs to.
    async fn reports(&mut self, logs: bool) {
        let token = format!("token of {}", self.marker);
        let params =
            json!({ "name": "progress", "arguments": { "marker": self.marker, "steps": 4 } });
        let done = self
            .wire
            .request("tools/call", params, json!({ "progressToken": token }), answer)
            .await;
        let reports = of_method(&done.notifications, "notifications/progress");
        self.check(reports.len() == 4, &format!("{} reports", reports.len()));
        for report in reports {
            let own = report["params"]["progressToken"] == json!(token)
                && report["params"]["message"] == json!(self.marker);
            self.check(own, &format!("a report of another: {report}"));
        }

        let params = json!({ "name": "log", "arguments": { "marker": self.marker } });
        let level = if self.wire.is_modern() {
            json!({ "io.modelcontextprotocol/logLevel": "info" })
        } else {
            json!({})
        };
        let done = self.wire.request("tools/call", params, level, answer).await;
        let mut lines = of_method(&done.notifications, "notifications/message");
        while logs && lines.len() < 3 && !self.wire.is_modern() {
            // By the older protocol they may come on the session's stream.
            let Some(line) = self.next("notifications/message").await else { break };
            lines.push(line);
        }
        // Where nobody can tell whose a line is, it must be nobody's.
        self.check(lines.len() == 3 || !logs, &format!("{} lines of the log", lines.len()));
        for line in lines {
            self.check(
                line["params"]["data"] == json!(self.marker),
                &format!("another's log: {line}"),
            );
        }
    }

    /// Every third client cancels; the others' calls go on.
    async fn cancels(&mut self, cancel: bool) {
        let seconds = if cancel { 30 } else { 1 };
        let arguments = json!({ "marker": self.marker, "seconds": seconds });
        let params = json!({ "name": "wait", "arguments": arguments });
        if !cancel {
            let done = self.wire.request("tools/call", params, json!({}), answer).await;
            let expected = format!("{} was not cancelled", self.marker);
            self.check(
                done.text() == expected,
                &format!("wait says {:?} {}", done.text(), done.error),
            );
            return;
        }
        let wire = self.wire.clone();
        let message = wire.message("tools/call", &params, &json!({}));
        let id = message["id"].clone();
        let call = tokio::spawn(async move {
            // Held, not read: dropping it is what cancels by the newer protocol.
            let answer = wire.post(&message).await;
            tokio::time::sleep(PATIENCE).await;
            drop(answer);
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        if !self.wire.is_modern() {
            let params = json!({ "requestId": id, "reason": "a test" });
            self.wire.notify("notifications/cancelled", &params).await;
        }
        call.abort();
    }

    async fn is_told_of_changes(&mut self) {
        let uri = format!("test://marker/{}", self.marker);
        let done = self.wire.call("touch", json!({ "uri": uri })).await;
        self.check(done.error.is_null(), &format!("cannot touch: {}", done.error));
        let told = self.next("notifications/resources/updated").await;
        let own = told.as_ref().is_some_and(|told| told["params"]["uri"] == json!(uri));
        self.check(own, &format!("told of {told:?}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        while let Ok(message) = self.stream.try_recv() {
            self.check(only(&message.to_string(), &self.marker), &format!("another's: {message}"));
        }
    }
}

fn of_method(messages: &[Value], method: &str) -> Vec<Value> {
    messages.iter().filter(|message| message["method"] == method).cloned().collect()
}

/// Whether a text speaks of no other client.
fn only(text: &str, marker: &str) -> bool {
    text.match_indices("marker-").all(|(at, _)| text[at..].starts_with(marker))
}

fn gateway_over(section: &str) -> (Site, Vec<String>, Gateway) {
    let site = Site::new(&[section, READ].concat());
    let keys = (0..KEYS)
        .map(|n| {
            site.key(&["--name", &format!("key-{n}"), "--owner", &format!("user{n}@example.com")])
        })
        .collect();
    let gateway = site.start();
    (site, keys, gateway)
}

/// Everything that all clients found, and that exactly those were cancelled who cancelled.
async fn fifty_at_once(url: &str, keys: &[String], logs: bool) {
    let client = http();
    let mut running = JoinSet::new();
    for number in 0..CLIENTS {
        let (http, url, key) = (client.clone(), url.to_owned(), keys[number % keys.len()].clone());
        running.spawn(async move {
            let work = async {
                let mut client = Client::begin(http, &url, &key, number).await;
                client.asks().await;
                client.reports(logs).await;
                client.cancels(number.is_multiple_of(3)).await;
                client.is_told_of_changes().await;
                client.faults
            };
            timeout(PATIENCE, work).await.unwrap_or_else(|_| vec![format!("{number}: hangs")])
        });
    }
    let mut faults = vec![];
    while let Some(done) = running.join_next().await {
        match done {
            Ok(found) => faults.extend(found),
            Err(error) => faults.push(error.to_string()),
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));

    let wire = Wire::begin(client, url, &keys[0], MODERN).await;
    let expected: BTreeSet<String> =
        (0..CLIENTS).step_by(3).map(|number| format!("marker-{number:02}")).collect();
    let mut cancelled = BTreeSet::new();
    for _ in 0..50 {
        let list = wire.call("cancelled", json!({})).await;
        cancelled = serde_json::from_str(list.text()).unwrap();
        if cancelled == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(cancelled, expected);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn fifty_clients_of_the_fixture_alone_show_that_the_test_is_fair() {
    let fixture = Fixture::start("both");
    fifty_at_once(&fixture.url, &["none".to_owned()], true).await;
}

async fn fifty_through_the_gateway(era: &str) {
    let fixture = Fixture::start(era);
    let section =
        format!("[[server]]\nname = \"fixture\"\nurl = \"{}\"\nprefix = false\n\n", fixture.url);
    let (_site, keys, gateway) = gateway_over(&section);
    // A server of the older era says its log on the stream beside the calls.
    fifty_at_once(&format!("{}/mcp/fixture", gateway.data), &keys, era != "legacy").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn fifty_clients_at_once_see_only_their_own() {
    fifty_through_the_gateway("both").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn fifty_clients_at_once_see_only_their_own_over_a_legacy_server() {
    fifty_through_the_gateway("legacy").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn fifty_clients_at_once_see_only_their_own_over_a_modern_server() {
    fifty_through_the_gateway("modern").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn two_identities_never_share_a_servers_state() {
    let program = program();
    let section = format!(
        "[[server]]\nname = \"notes\"\ncommand = [{program:?}, \"--stdio\"]\nprefix = false\n\n"
    );
    let (_site, keys, gateway) = gateway_over(&section);
    let url = format!("{}/mcp/notes", gateway.data);
    for version in [LEGACY, MODERN] {
        let alice = Wire::begin(http(), &url, &keys[0], version).await;
        let bob = Wire::begin(http(), &url, &keys[1], version).await;
        let kept = alice.call("remember", json!({ "value": "alice's secret" })).await;
        assert_eq!(kept.text(), "It is kept.", "{kept:?}");
        let recalled = bob.call("recall", json!({})).await;
        assert_eq!(recalled.text(), "nothing", "{version}: {recalled:?}");
        // The same client finds its own again, so it is not merely forgotten.
        let recalled = alice.call("recall", json!({})).await;
        assert_eq!(recalled.text(), "alice's secret", "{version}");
    }
}
