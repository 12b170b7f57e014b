//! The front: both eras on one URL, each by its own rules.

mod across;
mod desk;
mod live;
mod news;
mod pair;
mod rounds;
mod rules;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{
    BoxFuture, CallError, Code, Cx, Gap, Scope, ToolCall, ToolList, ToolName, ToolReply, ToolSpec,
    Tools,
};
use doorward_mcp_broker::{Front, FrontBody, ServerInfo};
use futures_util::StreamExt as _;
use http::{Request, Response};
use serde_json::Value;

use crate::peers::{cx, raw};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A plane with 600 tools; what a call does depends on the tool's name.
#[derive(Default)]
struct Plane {
    dropped: Arc<AtomicBool>,
}

struct Watch(Arc<AtomicBool>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Tools for Plane {
    fn list<'a>(
        &'a self,
        _cx: &'a Cx,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        Box::pin(async move {
            if let Scope::Profile(_) = scope {
                return Err(CallError::new(Code::NotFound, "no such profile"));
            }
            let tool = |n| {
                let definition = format!(
                    "{{\"name\":\"s__t{n}\", \"x\" : 1e2,\"outputSchema\":{{\"type\":\"array\"}}}}"
                );
                Arc::new(ToolSpec {
                    name: ToolName::new(format!("s__t{n}")),
                    server: "s".into(),
                    definition: raw(&definition),
                })
            };
            let gap = Gap {
                server: "gone".into(),
                reason: "server `gone` went away".into(),
                consent: None,
            };
            Ok(ToolList { tools: (0..600).map(tool).collect(), gaps: vec![gap] })
        })
    }

    fn resolve<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        Box::pin(async move {
            match name {
                "nothing" => Err(CallError::new(Code::NotFound, "no tool `nothing`")),
                name => Ok(ToolName::new(name)),
            }
        })
    }

    fn call<'a>(
        &'a self,
        _cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            let error = |code| CallError::new(code, "in our words");
            match call.tool.as_str() {
                "forbidden" => Err(error(Code::Forbidden)),
                "limited" => Err(error(Code::RateLimited)),
                "broken" => Err(error(Code::Upstream)),
                "slow" => {
                    let _watch = Watch(self.dropped.clone());
                    tokio::time::sleep(Duration::from_millis(120)).await;
                    Ok(ToolReply::complete(raw("{\n\"content\":[]}"), false))
                }
                _ => {
                    let result = format!(
                        r#"{{"content":[],"structuredContent":[1],"said":{}}}"#,
                        call.arguments
                    );
                    Ok(ToolReply::complete(raw(&result), false))
                }
            }
        })
    }
}

fn front() -> Front {
    Front::new(Arc::new(Plane::default()), ServerInfo::new("doorward", "1"))
}

/// A POST with these headers, written `name: value`.
fn post(headers: &[&str], body: &str) -> Request<Bytes> {
    let mut request = Request::post("/mcp").header("content-type", "application/json");
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

async fn ask(front: &Front, request: Request<Bytes>) -> Response<FrontBody> {
    front.exchange(&cx(), &Scope::All, request).await
}

/// The status and the message; `Null` where there is no body.
async fn asked(request: Request<Bytes>) -> (u16, Value) {
    asked_of(&front(), request).await
}

async fn asked_of(front: &Front, request: Request<Bytes>) -> (u16, Value) {
    let response = ask(front, request).await;
    let status = response.status().as_u16();
    match response.into_body() {
        FrontBody::Whole(body) if body.is_empty() => (status, Value::Null),
        FrontBody::Whole(body) => (status, serde_json::from_slice(&body).unwrap()),
        FrontBody::Stream(_) => panic!("a stream"),
    }
}

fn rpc(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"x-1","method":"{method}","params":{{{params}}}}}"#)
}

#[tokio::test]
async fn each_request_is_sorted_and_refused_by_its_eras_rules() {
    const V: &str = "MCP-Protocol-Version: 2026-07-28";
    let list = rpc("tools/list", META);
    let call = rpc("tools/call", &format!(r#""name":"größe",{META}"#));
    let plain = rpc("tools/call", &format!(r#""name":"a b",{META}"#));
    let bare = |method| rpc(method, "");
    let future = META.replace("2026-07-28", "2027-01-01");
    let no_capabilities = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let no_version = r#""_meta":{"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let coded = "Mcp-Name: =?base64?Z3LDtsOfZQ==?=";
    let (m_list, m_call) = ("Mcp-Method: tools/list", "Mcp-Method: tools/call");
    // headers, body, HTTP status, JSON-RPC code (0: a result)
    let cases: &[(&[&str], String, u16, i64)] = &[
        // not one message
        (&[], "{".into(), 400, -32700),
        (&[], "3".into(), 400, -32600),
        (&[], r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(), 400, -32600),
        (&[], r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#.into(), 400, -32602),
        // modern
        (&[V, m_list], list.clone(), 200, 0),
        (&[V, "mcp-method:  tools/list\t"], list.clone(), 200, 0),
        (&[V, "Mcp-Method: server/discover"], rpc("server/discover", META), 200, 0),
        (&[V, m_list], bare("tools/list"), 400, -32602),
        (&[V, m_list], rpc("tools/list", no_version), 400, -32602),
        (&[V, m_list], rpc("tools/list", no_capabilities), 400, -32602),
        (&[m_list], list.clone(), 400, -32020),
        (&[V], list.clone(), 400, -32020),
        (&[V, "Mcp-Method: Tools/List"], list.clone(), 400, -32020),
        (&["MCP-Protocol-Version: 2025-11-25", m_list], list.clone(), 400, -32020),
        (&[V, V, m_list], list.clone(), 400, -32020),
        (&["MCP-Protocol-Version: 2027-01-01", m_list], rpc("tools/list", &future), 400, -32022),
        (&[V, m_call, coded], call.clone(), 200, 0),
        (&[V, m_call, "Mcp-Name: a b"], plain.clone(), 200, 0),
        (&[V, m_call], plain.clone(), 400, -32020),
        (&[V, m_call, "Mcp-Name: other"], plain.clone(), 400, -32020),
        (&[V, m_call, "Mcp-Name: A B"], plain.clone(), 400, -32020),
        (&[V, m_call, "Mcp-Name: =?base64?!?="], plain.clone(), 400, -32020),
        (&[V, "Mcp-Method: initialize"], rpc("initialize", META), 404, -32601),
        (&[V, "Mcp-Method: ping"], rpc("ping", META), 404, -32601),
        (&[V, "Mcp-Method: logging/setLevel"], rpc("logging/setLevel", META), 404, -32601),
        (&[V, "Mcp-Method: resources/list"], rpc("resources/list", META), 404, -32601),
        (&[V, m_list], rpc("tools/list", &format!(r#""cursor":"",{META}"#)), 200, -32602),
        (&[V, m_list], rpc("tools/list", &format!(r#""cursor":"from-x",{META}"#)), 200, -32602),
        (&[V, m_list, "Mcp-Session-Id: stray", "Last-Event-ID: 3"], list.clone(), 200, 0),
        // legacy
        (&[], rpc("initialize", r#""protocolVersion":"2025-06-18""#), 200, 0),
        (&["MCP-Protocol-Version: 1999-01-01"], rpc("initialize", ""), 200, 0),
        (&[], bare("ping"), 200, 0),
        (&[], bare("tools/list"), 200, 0),
        (&["MCP-Protocol-Version: 2024-11-05"], bare("tools/list"), 200, 0),
        (&["MCP-Protocol-Version: 2025-11-25"], bare("tools/list"), 200, 0),
        (&["MCP-Protocol-Version: 1999-01-01"], bare("tools/list"), 400, -32600),
        (&["MCP-Protocol-Version: draft"], bare("tools/list"), 400, -32600),
        (&[], bare("resources/list"), 200, -32601),
        (&[], bare("server/discover"), 200, -32601),
        (&[], rpc("tools/call", r#""name":"t""#), 200, 0),
        (&[], rpc("tools/call", ""), 200, -32602),
        (&[], rpc("tools/call", r#""name":7"#), 400, -32602),
        (&[], rpc("tools/call", r#""name":"t","name":"u""#), 400, -32602),
        (&[], rpc("tools/call", r#""name":"t","arguments":[]"#), 200, -32602),
        (&[], rpc("tools/call", r#""name":"nothing""#), 200, -32602),
        (&[], rpc("tools/call", r#""name":"forbidden""#), 200, -32602),
        // batches
        (&["MCP-Protocol-Version: 2025-06-18"], format!("[{}]", bare("ping")), 400, -32600),
        (&[V], format!("[{list}]"), 400, -32600),
        (&[], "[]".into(), 400, -32600),
        (&[], "[{]".into(), 400, -32700),
    ];
    for (headers, body, status, code) in cases {
        let (got, message) = asked(post(headers, body)).await;
        let got_code = message["error"]["code"].as_i64().unwrap_or(0);
        assert_eq!((got, got_code), (*status, *code), "{headers:?} {body}\n{message}");
        assert!(message["error"].is_object() || message["result"].is_object(), "{message}");
        if body.contains("x-1") && !body.starts_with('[') {
            assert_eq!(message["id"], "x-1", "{body}");
        }
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_is_answered_with_those_that_are() {
    let meta = META.replace("2026-07-28", "2027-01-01");
    let headers = ["MCP-Protocol-Version: 2027-01-01", "Mcp-Method: tools/list"];
    let (_, message) = asked(post(&headers, &rpc("tools/list", &meta))).await;
    let data = &message["error"]["data"];
    assert_eq!(data.to_string(), r#"{"supported":["2026-07-28"],"requested":"2027-01-01"}"#);
}

#[tokio::test]
async fn the_handshake_agrees_on_a_version_and_gives_a_session() {
    for (asked_for, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let body = rpc("initialize", &format!(r#""protocolVersion":"{asked_for}""#));
        let response = ask(&front(), post(&[], &body)).await;
        assert!(response.headers().contains_key("mcp-session-id"));
        let FrontBody::Whole(body) = response.into_body() else { panic!("a stream") };
        let message: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(message["result"]["protocolVersion"], agreed, "{asked_for}");
        assert_eq!(message["result"]["capabilities"].to_string(), r#"{"tools":{}}"#);
        assert_eq!(message["result"]["serverInfo"]["name"], "doorward");
    }
}

#[tokio::test]
async fn only_posts_of_json_are_taken() {
    for (method, kind, status) in [
        ("GET", "application/json", 405),
        ("DELETE", "application/json", 405),
        ("PUT", "application/json", 405),
        ("POST", "text/plain", 415),
        ("POST", "application/x-www-form-urlencoded", 415),
        ("POST", "Application/JSON; charset=utf-8", 200),
    ] {
        let request = Request::builder().method(method).uri("/mcp").header("content-type", kind);
        let request = request.body(rpc("ping", "").into()).unwrap();
        let response = ask(&front(), request).await;
        assert_eq!(response.status().as_u16(), status, "{method} {kind}");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
    }
}

#[tokio::test]
async fn what_wants_no_answer_gets_none() {
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#,
    ] {
        assert_eq!(asked(post(&[], body)).await, (202, Value::Null), "{body}");
    }
}

#[tokio::test]
async fn an_old_client_may_send_a_batch() {
    let batch = r#"[
        {"jsonrpc":"2.0","id":1,"method":"ping"},
        {"jsonrpc":"2.0","method":"notifications/initialized"},
        {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}},
        {"jsonrpc":"2.0","id":3,"method":"initialize"},
        7
    ]"#;
    let (status, answers) = asked(post(&["MCP-Protocol-Version: 2025-03-26"], batch)).await;
    let answers = answers.as_array().unwrap();
    assert_eq!((status, answers.len()), (200, 4));
    assert_eq!(answers[1]["result"]["said"].to_string(), "{}");
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(answers[3]["error"]["code"], -32600);
}

#[tokio::test]
async fn a_failure_of_ours_is_told_as_a_result_so_that_the_turn_goes_on() {
    for name in ["limited", "broken"] {
        let body = rpc("tools/call", &format!(r#""name":"{name}""#));
        let (status, message) = asked(post(&[], &body)).await;
        assert_eq!((status, &message["result"]["isError"]), (200, &true.into()));
        assert_eq!(message["result"]["content"][0]["text"], "in our words");
    }
    let (_, message) = asked(post(&[], &rpc("tools/call", r#""name":"forbidden""#))).await;
    assert_eq!(message["error"]["message"], "Unknown tool: forbidden");
}

#[tokio::test]
async fn results_are_told_in_the_clients_era() {
    let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: t"];
    let arguments = r#""name":"t","arguments":{"b":1.50,"a":123456789012345678901234567890}"#;
    let body = rpc("tools/call", &format!("{arguments},{META}"));
    let FrontBody::Whole(modern) = ask(&front(), post(&headers, &body)).await.into_body() else {
        panic!("a stream")
    };
    let modern = str::from_utf8(&modern).unwrap();
    assert!(modern.contains(r#""said":{"b":1.50,"a":123456789012345678901234567890}"#));
    let modern: Value = serde_json::from_str(modern).unwrap();
    assert_eq!(modern["result"]["resultType"], "complete");
    assert_eq!(modern["result"]["structuredContent"].to_string(), "[1]");
    let info = &modern["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "doorward");

    let (_, legacy) = asked(post(&[], &rpc("tools/call", arguments))).await;
    assert_eq!(
        legacy["result"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["content", "said"]
    );
}

#[tokio::test]
async fn a_list_comes_in_pages_with_its_gaps() {
    let front = front();
    let mut cursor = String::new();
    let mut names = Vec::new();
    for page in 0..3 {
        let (_, message) = asked_of(&front, post(&[], &rpc("tools/list", &cursor))).await;
        let result = &message["result"];
        let tools = result["tools"].as_array().unwrap();
        assert_eq!(tools.len(), if page < 2 { 250 } else { 100 });
        assert!(tools[0]["outputSchema"].is_null(), "old clients know object schemas only");
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        assert_eq!(result["_meta"]["doorward/gaps"][0]["server"], "gone");
        assert_eq!(result["nextCursor"].is_null(), page == 2);
        assert!(result["ttlMs"].is_null());
        cursor = format!(r#""cursor":{}"#, result["nextCursor"]);
    }
    names.dedup();
    assert_eq!(names.len(), 600);

    let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/list"];
    let (_, message) = asked(post(&headers, &rpc("tools/list", META))).await;
    let result = &message["result"];
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&0.into(), &"private".into()));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["tools"][0]["outputSchema"]["type"], "array");
}

#[tokio::test]
async fn a_route_that_leads_nowhere_is_not_found() {
    let scope = Scope::Profile("nobody".into());
    let response = front().exchange(&cx(), &scope, post(&[], &rpc("tools/list", ""))).await;
    assert_eq!(response.status(), 404);
}

const STREAM: &str = "Accept: application/json, text/event-stream";

#[tokio::test]
async fn a_slow_call_becomes_a_stream_where_the_client_takes_one() {
    let front =
        front().stream_after(Duration::from_millis(20)).keep_alive(Duration::from_millis(30));
    let slow = rpc("tools/call", r#""name":"slow""#);
    let response = ask(&front, post(&[STREAM], &slow)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let FrontBody::Stream(stream) = response.into_body() else { panic!("whole") };
    let events: Vec<_> =
        stream.map(|event| String::from_utf8(event.to_vec()).unwrap()).collect().await;
    let (last, alive) = events.split_last().unwrap();
    assert!(
        alive.len() >= 2 && alive.iter().all(|comment| comment == ": working\n\n"),
        "{events:?}"
    );
    let data = last.strip_prefix("event: message\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    assert!(!data.contains('\n'));
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["id"], "x-1");

    let whole = ask(&front, post(&["Accept: application/json"], &slow)).await;
    assert!(matches!(whole.into_body(), FrontBody::Whole(_)));
    let quick = ask(&front, post(&[STREAM], &rpc("tools/call", r#""name":"t""#))).await;
    assert_eq!(quick.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn dropping_the_answer_stops_the_call() {
    for stream_after in [Duration::from_millis(5), Duration::from_secs(5)] {
        let dropped = Arc::new(AtomicBool::new(false));
        let plane = Plane { dropped: dropped.clone() };
        let front =
            Front::new(Arc::new(plane), ServerInfo::new("d", "1")).stream_after(stream_after);
        let request = post(&[STREAM], &rpc("tools/call", r#""name":"slow""#));
        let answer = tokio::time::timeout(Duration::from_millis(40), ask(&front, request)).await;
        assert_eq!(answer.is_ok(), stream_after.as_millis() == 5);
        drop(answer);
        assert!(dropped.load(Ordering::SeqCst), "{stream_after:?}");
    }
}
