//! Sessions of clients with a handshake, over keys, restarts and replicas.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};

pub(crate) const BOTH: &str = "application/json, text/event-stream";

/// A handshake; the session's id.
pub(crate) async fn open(gateway: &Gateway, key: &str, capabilities: Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
                         "clientInfo": { "name": "e2e", "version": "1" } });
    let ask = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = gateway.post_raw("/mcp", key, &ask).await;
    assert_eq!(answer.status(), 200);
    let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(within(gateway, key, &session, Method::POST, &note).await.0, 202);
    session
}

/// One request of a session; status and body.
pub(crate) async fn within(
    gateway: &Gateway,
    key: &str,
    session: &str,
    method: Method,
    message: &Value,
) -> (u16, String) {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", BOTH),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-session-id", session),
    ];
    let body = if message.is_null() { String::new() } else { message.to_string() };
    let answer = gateway.send(method, "/mcp", &headers, body).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn ping(gateway: &Gateway, key: &str, session: &str) -> u16 {
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    within(gateway, key, session, Method::POST, &ping).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_principals_until_it_is_ended() {
    let site = Site::new("");
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    let session = open(&gateway, &alice, json!({})).await;
    assert_eq!(ping(&gateway, &alice, &session).await, 200);
    assert_eq!(ping(&gateway, &bob, &session).await, 404, "a session id is no credential");
    assert_eq!(ping(&gateway, "dw-nobody", &session).await, 401);
    let ended = within(&gateway, &bob, &session, Method::DELETE, &Value::Null).await;
    assert_eq!(ended.0, 404);
    assert_eq!(ping(&gateway, &alice, &session).await, 200);
    let ended = within(&gateway, &alice, &session, Method::DELETE, &Value::Null).await;
    assert_eq!(ended.0, 204);
    assert_eq!(ping(&gateway, &alice, &session).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_restart_but_not_a_change_of_its_profile() {
    let fixture = Fixture::new("notes", &["add"]);
    let site = Site::new(&[fixture.section(""), HARMLESS.into()].concat());
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    let session = open(&gateway, &key, json!({})).await;
    gateway.stop();
    let gateway = site.start();
    assert_eq!(ping(&gateway, &key, &session).await, 200);
    gateway.stop();

    let known = std::fs::read_to_string(&site.config).unwrap();
    let more = "[[profile]]\nname = \"few\"\nservers = [\"notes\"]\ntools = [\"notes__a*\"]\n";
    std::fs::write(&site.config, [&known, more].concat()).unwrap();
    let gateway = site.start();
    assert_eq!(ping(&gateway, &key, &session).await, 404, "what it was made for is no more");
    let session = open(&gateway, &key, json!({})).await;
    assert_eq!(ping(&gateway, &key, &session).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_the_same_keys_serve_each_others_sessions() {
    let keys = "[mcp]\nsession_keys = [{ env = \"SESSION\" }]\n";
    let (one, two) = (Site::new(keys), Site::new(keys));
    let (first, second) = ("7c".repeat(32), "1f".repeat(32));
    // Each has its own database; the keys' owner is the same.
    let (key_one, key_two) = (
        one.key(&["--name", "ci", "--owner", "alice"]),
        two.key(&["--name", "ci", "--owner", "alice"]),
    );
    let gateway = one.start_with(&[("SESSION", &first)]);
    let session = open(&gateway, &key_one, json!({})).await;
    let replica = two.start_with(&[("SESSION", &first)]);
    assert_eq!(ping(&replica, &key_two, &session).await, 200);
    replica.stop();
    let stranger = two.start_with(&[("SESSION", &second)]);
    assert_eq!(ping(&stranger, &key_two, &session).await, 404);
    drop(stranger);
    // While keys are exchanged, the old one still opens.
    let text = std::fs::read_to_string(&two.config).unwrap();
    let both = text.replace("{ env = \"SESSION\" }", "{ env = \"NEW\" }, { env = \"SESSION\" }");
    std::fs::write(&two.config, both).unwrap();
    let exchanged = two.start_with(&[("NEW", &second), ("SESSION", &first)]);
    assert_eq!(ping(&exchanged, &key_two, &session).await, 200);
    drop(exchanged);

    let told = Site::new(keys);
    let mut command = crate::gateway::doorward();
    command.arg("serve").arg("--config").arg(&told.config).env("SESSION", "beef");
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("64 hexadecimal digits"), "{told}");
    assert!(!told.contains("beef"), "{told}");
}
