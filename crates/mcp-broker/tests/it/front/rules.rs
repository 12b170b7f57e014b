//! The rules of each era towards clients, one test a rule.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::{BOTH, Peer, Stand, cx, events, front, whole};

const MODERN: &str = "2026-07-28";

fn peer(version: &'static str) -> Peer {
    Peer::new(&front(&Arc::new(Stand::default())), version)
}

/// A modern call with these headers.
async fn mirrored(arguments: Value, headers: &[(&str, &str)]) -> (u16, Value) {
    let params = json!({"name": "mirrored", "arguments": arguments, "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {}}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let request = Request::post("/mcp")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "mirrored");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    let (status, message) = whole(peer(MODERN).send(request).await);
    (status, message["error"]["code"].clone())
}

/// Arguments, headers, and whether the call is taken.
type Case<'a> = (Value, &'a [(&'a str, &'a str)], bool);

#[tokio::test]
async fn mirrored_arguments_must_say_what_the_body_says() {
    let coded = "=?base64?SGVsbG8=?=";
    let cases: &[Case<'_>] = &[
        (json!({}), &[], true),
        (json!({"a": null}), &[], true),
        (json!({"a": "x"}), &[("Mcp-Param-A", "x")], true),
        (json!({"a": "x"}), &[("mcp-param-a", "  x ")], true),
        (json!({"a": "Hello"}), &[("Mcp-Param-A", coded)], true),
        (json!({"a": "SGVsbG8="}), &[("Mcp-Param-A", "SGVsbG8=")], true),
        (json!({"a": "=?base64?SGVsbG8="}), &[("Mcp-Param-A", "=?base64?SGVsbG8=")], true),
        (json!({"n": 7}), &[("Mcp-Param-N", "7")], true),
        (json!({"n": 7}), &[("Mcp-Param-N", "7.0")], true),
        (json!({"a": "x"}), &[("Mcp-Param-A", "x"), ("Mcp-Param-Other", "y")], true),
        (json!({"a": "x"}), &[], false),
        (json!({"a": "x"}), &[("Mcp-Param-A", "X")], false),
        (json!({"a": "x"}), &[("Mcp-Param-A", "x"), ("Mcp-Param-A", "x")], false),
        (json!({}), &[("Mcp-Param-A", "x")], false),
        (json!({"a": null}), &[("Mcp-Param-A", "null")], false),
        (json!({"a": "7"}), &[("Mcp-Param-A", "7.0")], false),
        (json!({"n": 7}), &[("Mcp-Param-N", "8")], false),
        (json!({"n": 7}), &[("Mcp-Param-N", "seven")], false),
        (json!({"a": "Hello"}), &[("Mcp-Param-A", "=?base64?SGVsbG8?=")], false),
        (json!({"a": "Hello"}), &[("Mcp-Param-A", "=?base64?SGVs!!!bG8=?=")], false),
        (json!({"a": "ü"}), &[("Mcp-Param-A", "ü")], false),
    ];
    for (arguments, headers, accepted) in cases {
        let expected = if *accepted { (200, Value::Null) } else { (400, (-32020).into()) };
        assert_eq!(mirrored(arguments.clone(), headers).await, expected, "{arguments} {headers:?}");
    }
}

#[tokio::test]
async fn names_are_mirrored_for_each_method_that_has_one() {
    let peer = peer(MODERN);
    for (method, params) in
        [("prompts/get", json!({"name": "p1"})), ("resources/read", json!({"uri": "u:1"}))]
    {
        let (status, message) = whole(peer.ask(1, method, params.clone()).await);
        assert_eq!((status, message["result"].is_object()), (200, true), "{method} {message}");
        let mut bare = params;
        bare["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": bare});
        for name in [None, Some("other")] {
            let request = Request::post("/mcp")
                .header("mcp-protocol-version", MODERN)
                .header("mcp-method", method);
            let request = match name {
                Some(name) => request.header("mcp-name", name),
                None => request,
            };
            let request = request.body(Bytes::from(body.to_string())).unwrap();
            let (status, message) = whole(peer.send(request).await);
            assert_eq!((status, &message["error"]["code"]), (400, &(-32020).into()), "{method}");
        }
    }
}

#[tokio::test]
async fn removed_and_unknown_methods_are_not_found_since_2026() {
    let peer = peer(MODERN);
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
        "tasks/list",
        "unknown/method",
    ] {
        let (status, message) = whole(peer.ask(500, method, json!({})).await);
        assert_eq!((status, &message["error"]["code"]), (404, &(-32601).into()), "{method}");
        assert_eq!(message["id"], 500);
    }
}

#[tokio::test]
async fn methods_are_there_where_somebody_offers_them() {
    let stand = Stand { capabilities: r#"{"tools":{}}"#, ..Stand::default() };
    let bare = Arc::new(stand);
    for (method, params) in [
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "u:1"})),
        ("prompts/get", json!({"name": "p1"})),
        ("completion/complete", json!({"ref": {}})),
    ] {
        let full = whole(peer(MODERN).ask(1, method, params.clone()).await).1;
        assert!(full["result"].is_object(), "{method} {full}");
        let (status, none) =
            whole(Peer::new(&front(&bare), MODERN).ask(1, method, params.clone()).await);
        assert_eq!((status, &none["error"]["code"]), (404, &(-32601).into()), "{method}");
        let dated = Peer::new(&front(&bare), "2025-11-25");
        let (status, none) = whole(dated.ask(1, method, params).await);
        assert_eq!((status, &none["error"]["code"]), (200, &(-32601).into()), "{method}");
    }
}

#[tokio::test]
async fn what_can_be_cached_says_for_how_long_and_for_whom() {
    let peer = peer(MODERN);
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "u:1"})),
    ] {
        let result = whole(peer.ask(1, method, params).await).1["result"].clone();
        assert_eq!(result["ttlMs"], 0, "{method}");
        assert_eq!(
            (&result["cacheScope"], &result["resultType"]),
            (&"private".into(), &"complete".into())
        );
        assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string());
    }
}

#[tokio::test]
async fn discovery_and_handshake_tell_what_is_offered() {
    let discovered = whole(peer(MODERN).ask(1, "server/discover", json!({})).await).1;
    assert_eq!(discovered["result"]["supportedVersions"], json!([MODERN]));
    assert_eq!(discovered["result"]["instructions"], "be kind");
    assert_eq!(discovered["result"]["capabilities"]["resources"]["subscribe"], true);
    for (version, tasks, completions) in
        [("2025-11-25", true, true), ("2025-06-18", false, true), ("2024-11-05", false, false)]
    {
        let params = json!({"protocolVersion": version, "capabilities": {}});
        let greeted = whole(peer(version).ask(1, "initialize", params).await).1["result"].clone();
        assert_eq!(greeted["instructions"], "be kind");
        let capabilities = &greeted["capabilities"];
        let has = |name| capabilities.get(name).is_some();
        assert_eq!((has("tasks"), has("completions")), (tasks, completions), "{version}");
        assert!(!has("extensions"));
    }
}

#[tokio::test]
async fn resources_not_found_are_told_by_each_eras_code() {
    for (version, method, name, code) in [
        (MODERN, "resources/read", "uri", -32602),
        ("2025-11-25", "resources/read", "uri", -32002),
        (MODERN, "prompts/get", "name", -32602),
        ("2025-11-25", "prompts/get", "name", -32602),
    ] {
        let (status, message) = whole(peer(version).ask(1, method, json!({name: "nothing"})).await);
        assert_eq!((status, &message["error"]["code"]), (200, &code.into()), "{version} {method}");
        assert!(!message.to_string().contains("\"contents\""));
    }
}

#[tokio::test]
async fn a_servers_codes_pass_where_the_protocol_leaves_them_to_servers() {
    for (fault, version, status, code) in [
        ("fault-32021", MODERN, 400, -32021),
        ("fault-32020", MODERN, 200, -32603),
        ("fault-32022", MODERN, 200, -32603),
        ("fault-32099", MODERN, 200, -32603),
        ("fault-32002", MODERN, 200, -32602),
        ("fault-32010", MODERN, 200, -32010),
        ("fault-32602", MODERN, 200, -32602),
        ("fault-7", MODERN, 200, -7),
        ("fault-32021", "2025-11-25", 200, -32602),
        ("fault-32050", "2025-11-25", 200, -32603),
        ("fault-32002", "2025-11-25", 200, -32002),
    ] {
        let (got, message) = whole(peer(version).call(1, fault).await);
        let error = &message["error"];
        assert_eq!((got, &error["code"]), (status, &code.into()), "{fault} {version}");
        assert_eq!(error["message"], "theirs");
    }
    let missing = whole(peer(MODERN).call(1, "fault-32021").await).1;
    assert_eq!(missing["error"]["data"]["requiredCapabilities"], json!({"sampling": {}}));
}

#[tokio::test]
async fn tasks_are_an_extension_to_declare_since_2026_and_part_of_2025_11_25() {
    let mut modern = peer(MODERN);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let (status, message) = whole(modern.ask(1, method, json!({"taskId": "t"})).await);
        assert_eq!((status, &message["error"]["code"]), (400, &(-32021).into()), "{method}");
        let needed = &message["error"]["data"]["requiredCapabilities"];
        assert!(needed["extensions"]["io.modelcontextprotocol/tasks"].is_object());
    }
    modern.capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let got = whole(modern.ask(1, "tasks/get", json!({"taskId": "t"})).await).1;
    assert_eq!(got["result"]["ttlMs"], 5);
    let created = whole(modern.call(1, "task").await).1["result"].clone();
    assert_eq!((&created["resultType"], &created["taskId"]), (&"task".into(), &"t1".into()));

    let dated = peer("2025-11-25");
    let got = whole(dated.ask(1, "tasks/get", json!({"taskId": "t"})).await).1;
    assert_eq!(got["result"], json!({"taskId": "t", "ttl": 5}));
    let created = whole(dated.call(1, "task").await).1["result"].clone();
    assert_eq!(created["task"]["ttl"], 5);
    let asked = json!({"name": "offered", "task": {"ttl": 9}});
    let said = whole(dated.ask(1, "tools/call", asked.clone()).await).1["result"]["said"].clone();
    assert_eq!(said["task"], "{\"ttl\":9}");
    let said = whole(modern.ask(1, "tools/call", asked).await).1["result"]["said"].clone();
    assert_eq!(said["task"], Value::Null, "unknown since 2026-07-28");

    let old = peer("2025-06-18");
    assert_eq!(whole(old.call(1, "task").await).1["result"]["isError"], true);
    let none = whole(old.ask(1, "tasks/get", json!({"taskId": "t"})).await).1;
    assert_eq!(none["error"]["code"], -32601);
}

#[tokio::test]
async fn lists_of_all_kinds_come_in_pages_by_cursors_of_their_own() {
    let stand = Arc::new(Stand::default());
    let front = front(&stand).page(2);
    let peer = Peer::new(&front, "2025-11-25");
    let mut cursors = Vec::new();
    for (method, list) in [
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let first = whole(peer.ask(1, method, json!({})).await).1["result"].clone();
        assert_eq!(first[list].as_array().unwrap().len(), 2, "{first}");
        let cursor = first["nextCursor"].clone();
        let second = whole(peer.ask(1, method, json!({"cursor": cursor})).await).1;
        assert_eq!(second["result"][list].as_array().unwrap().len(), 1);
        assert!(second["result"].get("nextCursor").is_none());
        cursors.push((method, cursor));
    }
    let (foreign, _) = cursors[0];
    let mixed = whole(peer.ask(1, foreign, json!({"cursor": cursors[1].1})).await).1;
    assert_eq!(mixed["error"]["code"], -32602, "another list's cursor");
    for wrong in ["", "2", "from-2"] {
        let refused = whole(peer.ask(1, foreign, json!({"cursor": wrong})).await).1;
        assert_eq!(refused["error"]["code"], -32602, "{wrong}");
    }
}

#[tokio::test]
async fn an_answer_is_of_a_kind_that_the_client_takes() {
    let mut peer = peer("2025-11-25");
    for (accept, status) in [
        (BOTH, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html", 406),
        ("image/*, text/plain;q=0.5", 406),
    ] {
        peer.accept = accept;
        assert_eq!(peer.call(1, "plain").await.status().as_u16(), status, "{accept}");
    }
    // Both are taken, and the first is liked better; errors of HTTP have no stream.
    peer.accept = "text/event-stream, application/json";
    for method in ["ping", "tools/list", "initialize"] {
        let all = events(peer.ask(2, method, json!({})).await).rest().await;
        assert_eq!((all.len(), &all[0].json()["id"]), (1, &2.into()), "{method}");
    }
    assert_eq!(events(peer.call(3, "plain").await).rest().await.len(), 1);
    peer.version = MODERN;
    assert_eq!(events(peer.call(3, "plain").await).rest().await.len(), 1);
    assert_eq!(whole(peer.call(3, "fault-32021").await).0, 400);
    assert_eq!(whole(peer.ask(3, "ping", json!({})).await).0, 404);
    peer.version = "2025-11-25";
    peer.accept = "text/event-stream";
    for response in [peer.call(4, "plain").await, peer.ask(4, "ping", json!({})).await] {
        let all = events(response).rest().await;
        assert_eq!((all.len(), &all[0].json()["id"]), (1, &4.into()));
        assert_eq!(all[0].kind, "message");
    }
    let greeted = peer.ask(0, "initialize", json!({"protocolVersion": "2025-11-25"})).await;
    assert!(greeted.headers().contains_key("mcp-session-id"));
    assert_eq!(events(greeted).rest().await.len(), 1);
    peer.version = MODERN;
    let listen = peer.ask(1, "subscriptions/listen", json!({"notifications": {}})).await;
    assert_eq!(listen.status(), 200);
    peer.accept = "application/json";
    let listen = peer.ask(1, "subscriptions/listen", json!({"notifications": {}})).await;
    assert_eq!(listen.status(), 406);
}

#[tokio::test]
async fn batches_belong_to_2025_03_26_sessions_too() {
    let front = front(&Arc::new(Stand::default()));
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"prompts/list"}]"#;
    for (version, status) in [("2025-03-26", 200), ("2025-06-18", 400), ("2024-11-05", 400)] {
        let peer = Peer::new(&front, version).open().await;
        assert_eq!(whole(peer.post(batch).await).0, status, "{version}");
    }
}

fn header_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "mcp-protocol-version",
        "mcp-session-id",
        "mcp-method",
        "mcp-name",
        "mcp-param-a",
        "accept",
        "content-type",
        "last-event-id",
    ])
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "initialize",
        "tools/list",
        "tools/call",
        "resources/read",
        "prompts/get",
        "tasks/get",
        "subscriptions/listen",
        "completion/complete",
        "resources/subscribe",
        "logging/setLevel",
        "notifications/cancelled",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "null",
        "\"x\"",
        "[]",
        "{}",
        "true",
        "{\"a\":[1e400]}",
        "\"\\ud800\"",
    ]);
    let name = prop::sample::select(vec![
        "name",
        "arguments",
        "cursor",
        "uri",
        "taskId",
        "_meta",
        "level",
        "notifications",
        "requestState",
        "inputResponses",
        "capabilities",
        "protocolVersion",
        "requestId",
    ]);
    let params = prop::collection::vec((name, value), 0..4).prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        members.join(",")
    });
    let message = (method, params).prop_map(|(method, params)| {
        let id = if method.starts_with("notifications") { "" } else { "\"id\":1," };
        format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{{{params}}}}}"#).into_bytes()
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), message]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_bytes_from_a_client_break_the_front(
        method in prop::sample::select(vec!["POST", "POST", "POST", "GET", "DELETE", "PUT"]),
        query in prop::sample::select(vec!["", "?session_id=x", "?session_id", "?&=&"]),
        headers in prop::collection::vec((header_name(), prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            prop::sample::select(vec![MODERN, "2025-11-25", "tools/call", BOTH])
                .prop_map(|text| text.as_bytes().to_vec()),
        ]), 0..5),
        body in body(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut request = Request::builder().method(method).uri(format!("/mcp{query}"));
            for (name, value) in &headers {
                if let Ok(value) = http::HeaderValue::from_bytes(value) {
                    request = request.header(*name, value);
                }
            }
            let request = request.body(Bytes::from(body)).unwrap();
            let front = front(&Arc::new(Stand::default()));
            let response = front.exchange(&cx("ann"), &doorward_core::Scope::All, request).await;
            assert!(response.status().as_u16() < 500);
        });
    }
}
