//! Servers reached by HTTP: scripted ones for what goes wrong, a real one for what goes right.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{
    Audience, BoxFuture, CallError, Code, Credential, Credentials, Cx, Scope, Secret, Tools,
};
use doorward_mcp_broker::{Broker, Era, Server, State, Strictness, Validation};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;

use crate::peers::{call, cx, refuse, reply, until};
use crate::real::{Adder, Body, LEGACY, MODERN, serve_connection};

/// One request as the server saw it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Value,
}

impl Seen {
    pub(crate) fn rpc(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

pub(crate) fn plain(status: u16, kind: &str, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).boxed_unsync();
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

pub(crate) fn json(text: String) -> Response<Body> {
    plain(200, "application/json", text)
}

/// A server that answers each request by a closure.
pub(crate) async fn scripted(
    answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
) -> (String, Log) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (answer, log) = (Arc::new(answer), Log::default());
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, log) = (answer.clone(), log.clone());
            tokio::spawn(serve_connection(stream, move |request: Request<Incoming>| {
                let (answer, log) = (answer.clone(), log.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let message = serde_json::from_slice(&body).unwrap_or_default();
                    let seen = Seen { method: head.method, headers: head.headers, message };
                    log.lock().unwrap().push(seen.clone());
                    answer(&seen)
                }
            }));
        }
    });
    (url, seen)
}

pub(crate) fn broker(url: &str) -> Broker {
    let server = Server { timeout: Duration::from_secs(3), ..Server::http("web", url) };
    Broker::builder().server(server).build().unwrap()
}

/// An ordinary legacy server; `None` for calls.
pub(crate) fn legacy(seen: &Seen) -> Option<Response<Body>> {
    let message = &seen.message;
    Some(match seen.rpc() {
        _ if seen.method != Method::POST => plain(200, "text/plain", ""),
        "initialize" => {
            let result = r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#;
            let mut response = json(reply(message, result));
            response.headers_mut().insert("mcp-session-id", "abc".parse().unwrap());
            response
        }
        "tools/list" => json(reply(message, r#"{"tools":[{"name":"t"}]}"#)),
        "tools/call" => return None,
        "server/discover" => {
            plain(400, "application/json", refuse(message, -32000, "Server not initialized"))
        }
        _ => plain(202, "text/plain", ""),
    })
}

#[tokio::test]
async fn a_legacy_session_is_opened_named_and_ended() {
    let (url, log) =
        scripted(|seen| legacy(seen).unwrap_or_else(|| json(reply(&seen.message, "{}")))).await;
    let broker = broker(&url);
    broker.call(&cx(), call("web__t", "{}")).await.unwrap();
    broker.close().await;
    let mut log = log.lock().unwrap();
    // Beside, it is listened for changed lists.
    log.retain(|seen| seen.method != Method::GET);
    let order: Vec<_> = log.iter().map(Seen::rpc).collect();
    let expected = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/call",
        "",
    ];
    assert_eq!(order, expected);
    for (at, seen) in log.iter().enumerate() {
        assert_eq!(seen.header("mcp-session-id"), if at < 2 { "" } else { "abc" }, "{at}");
        let version = match at {
            0 => "2026-07-28",
            1 => "",
            _ => "2025-06-18",
        };
        assert_eq!(seen.header("mcp-protocol-version"), version, "{at}");
    }
    assert_eq!(log[5].method, Method::DELETE);
}

#[tokio::test]
async fn a_lost_session_is_opened_anew_and_the_call_repeated_once() {
    let sessions = Arc::new(Mutex::new(0));
    let (url, log) = scripted(move |seen| {
        let mut sessions = sessions.lock().unwrap();
        match legacy(seen) {
            Some(response) => {
                *sessions += usize::from(seen.rpc() == "initialize");
                response
            }
            None if *sessions < 2 => plain(404, "text/plain", "no such session"),
            None => json(reply(&seen.message, r#"{"ok":1}"#)),
        }
    })
    .await;
    let broker = broker(&url);
    let got = broker.call(&cx(), call("web__t", "{}")).await.unwrap();
    assert_eq!(got.result.get(), r#"{"ok":1}"#);
    let calls = log.lock().unwrap().iter().filter(|seen| seen.rpc() == "tools/call").count();
    assert_eq!((calls, broker.status()[0].restarts), (2, 1));
}

/// A modern server; `None` for calls.
pub(crate) fn modern(seen: &Seen) -> Option<Response<Body>> {
    let message = &seen.message;
    Some(match seen.rpc() {
        "server/discover" => json(reply(
            message,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
        )),
        "tools/list" => json(reply(message, r#"{"tools":[{"name":"größe"},{"name":"t"}]}"#)),
        "tools/call" => return None,
        _ => plain(404, "application/json", refuse(message, -32601, "no")),
    })
}

#[tokio::test]
async fn a_modern_server_gets_the_headers_it_must_check() {
    let (url, log) =
        scripted(|seen| modern(seen).unwrap_or_else(|| json(reply(&seen.message, "{}")))).await;
    let broker = broker(&url);
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    for tool in &list.tools {
        broker.call(&cx(), call(tool.name.as_str(), "{}")).await.unwrap();
    }
    let log = log.lock().unwrap();
    assert!(log.iter().all(|seen| seen.header("mcp-protocol-version") == "2026-07-28"));
    assert!(log.iter().all(|seen| seen.header("mcp-method") == seen.rpc()));
    let named: Vec<_> = log.iter().map(|seen| seen.header("mcp-name")).collect();
    assert_eq!(named, ["", "", "=?base64?Z3LDtsOfZQ==?=", "t"]);
}

#[tokio::test]
async fn a_refusal_that_names_the_newer_revision_is_asked_again_and_not_the_old_way() {
    for (supported, methods) in [
        (r#"["2026-07-28"]"#, &["server/discover", "server/discover", "tools/list"][..]),
        (r#"["2025-11-25"]"#, &["server/discover", "initialize"][..]),
    ] {
        let once = AtomicBool::new(true);
        let (url, log) = scripted(move |seen| {
            if once.swap(false, Ordering::SeqCst) {
                let data =
                    format!(r#""no","data":{{"supported":{supported},"requested":"2026-07-28"}}"#);
                let refused = refuse(&seen.message, -32022, "no").replace("\"no\"", &data);
                return plain(400, "application/json", refused);
            }
            let answer = if supported.contains("2026") { modern(seen) } else { legacy(seen) };
            answer.unwrap_or_else(|| json(reply(&seen.message, "{}")))
        })
        .await;
        let broker = broker(&url);
        assert!(broker.list(&cx(), &Scope::All).await.unwrap().gaps.is_empty());
        let log = log.lock().unwrap();
        let asked: Vec<_> = log.iter().map(Seen::rpc).take(methods.len()).collect();
        assert_eq!(asked, methods);
        let old = log.iter().any(|seen| seen.rpc() == "initialize");
        assert_eq!(old, supported.contains("2025"));
    }
}

#[tokio::test]
async fn arguments_are_mirrored_as_the_servers_own_schema_says() {
    let (url, log) = scripted(|seen| match seen.rpc() {
        "tools/list" => json(reply(
            &seen.message,
            r#"{"tools":[
                {"name":"t","inputSchema":{"properties":{"city":{"type":"string","x-mcp-header":"City"},"n":{"type":"integer","x-mcp-header":"N"}}}},
                {"name":"wrong","inputSchema":{"properties":{"x":{"type":"number","x-mcp-header":"X"}}}}
            ]}"#,
        )),
        _ => modern(seen).unwrap_or_else(|| json(reply(&seen.message, "{}"))),
    })
    .await;
    // An absent argument and one that is null are the same to the mirror; not so to a schema.
    let off = Validation { arguments: Strictness::Off, results: Strictness::Off };
    let server = Server { validate: off, ..Server::http("web", &url) };
    let broker = Broker::builder().server(server).build().unwrap();
    assert_eq!(broker.list(&cx(), &Scope::All).await.unwrap().tools.len(), 1);
    broker.call(&cx(), call("web__t", r#"{"city":"Köln","n":null}"#)).await.unwrap();
    let log = log.lock().unwrap();
    let called = log.last().unwrap();
    assert_eq!(called.header("mcp-param-city"), "=?base64?S8O2bG4=?=");
    assert_eq!(called.header("mcp-param-n"), "");
}

#[tokio::test]
async fn an_answer_may_come_as_a_stream() {
    let (url, log) = scripted(|seen| {
        legacy(seen).unwrap_or_else(|| {
            let said = [
                ": hello\n\n".to_owned(),
                "id: 1\ndata: \n\n".to_owned(),
                "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n\n".into(),
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n".into(),
                format!("data: {}\r\n\r\n", reply(&seen.message, r#"{"x": 1.0}"#)),
            ];
            plain(200, "text/event-stream; charset=utf-8", said.concat())
        })
    })
    .await;
    let got = broker(&url).call(&cx(), call("web__t", "{}")).await.unwrap();
    assert_eq!(got.result.get(), r#"{"x": 1.0}"#);
    until(|| {
        log.lock().unwrap().iter().any(|seen| seen.message["id"] == 9 && seen.rpc().is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_a_legacy_server() {
    let (url, log) = scripted(|seen| {
        legacy(seen).unwrap_or_else(|| {
            let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let body = StreamBody::new(never).boxed_unsync();
            let response = Response::builder().header("content-type", "text/event-stream");
            response.body(body).unwrap()
        })
    })
    .await;
    let broker = broker(&url);
    let running = tokio::spawn(async move { broker.call(&cx(), call("web__t", "{}")).await });
    let find = |rpc: &str| log.lock().unwrap().iter().find(|seen| seen.rpc() == rpc).cloned();
    until(|| find("tools/call").is_some()).await;
    running.abort();
    until(|| find("notifications/cancelled").is_some()).await;
    let (called, cancelled) =
        (find("tools/call").unwrap(), find("notifications/cancelled").unwrap());
    assert_eq!(cancelled.message["params"]["requestId"], called.message["id"]);
    assert_eq!(cancelled.header("mcp-session-id"), "abc");
}

/// Everybody has a key of their own.
struct Keys;

impl Credentials for Keys {
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(async move {
            assert!(matches!(audience, Audience::Server("web")));
            match &*cx.principal.id {
                "nobody" => Err(CallError::new(Code::Unauthenticated, "connect `web` first")),
                id => Ok(Some(Credential::Key(Secret::new(format!("key-of-{id}"))))),
            }
        })
    }
}

pub(crate) fn cx_of(id: &str) -> Cx {
    Cx { principal: Arc::new(doorward_core::Principal::person(id)), ..cx() }
}

#[tokio::test]
async fn each_caller_shows_their_own_credential_and_sees_their_own_list() {
    let (url, log) = scripted(|seen| {
        let own = seen.header("authorization").replace("Bearer key-of-", "");
        match seen.rpc() {
            "tools/list" => json(reply(
                &seen.message,
                &format!(r#"{{"tools":[{{"name":"t"}},{{"name":"{own}"}}]}}"#),
            )),
            _ => legacy(seen).unwrap_or_else(|| json(reply(&seen.message, "{}"))),
        }
    })
    .await;
    let builder = Broker::builder().server(Server::http("web", &url));
    let broker = builder.credentials(Arc::new(Keys)).build().unwrap();
    for id in ["ann", "bob", "ann"] {
        let list = broker.list(&cx_of(id), &Scope::All).await.unwrap();
        let names: Vec<_> = list.tools.iter().map(|tool| tool.name.to_string()).collect();
        let mut expected = vec![format!("web__{id}"), "web__t".to_owned()];
        expected.sort();
        assert_eq!(names, expected);
        broker.call(&cx_of(id), call("web__t", "{}")).await.unwrap();
    }
    let seen_all = log.lock().unwrap().clone();
    let of = |rpc: &str| -> Vec<_> {
        let found = seen_all.iter().filter(|seen| seen.rpc() == rpc);
        found.map(|seen| seen.header("authorization").to_owned()).collect()
    };
    assert_eq!(
        of("tools/list"),
        ["Bearer key-of-ann", "Bearer key-of-bob"],
        "lists are kept apart"
    );
    assert_eq!(of("initialize").len(), 2, "sessions are kept apart");
    let calls = ["Bearer key-of-ann", "Bearer key-of-bob", "Bearer key-of-ann"];
    assert_eq!(of("tools/call"), calls);
    let error = broker.call(&cx_of("nobody"), call("web__t", "{}")).await.unwrap_err();
    assert_eq!(error.code, Code::Unauthenticated);
    assert!(!format!("{broker:?} {:?}", broker.status()).contains("key-of"));
}

#[tokio::test]
async fn what_goes_wrong_upstream_is_told_in_our_words() {
    for (status, kind, text, public) in [
        (302, "text/plain", "moved", "server `web` answered with HTTP status 302"),
        (401, "application/json", "{}", "server `web` answered with HTTP status 401"),
        (500, "text/html", "<h1>secret</h1>", "server `web` answered with HTTP status 500"),
        (200, "text/html", "<h1>", "server `web` answered with a content type that is not MCP's"),
        (
            200,
            "application/json",
            "{}",
            "server `web` answered with something that is no answer to the question",
        ),
        (200, "text/event-stream", ": bye\n\n", "server `web` went away"),
    ] {
        let (url, log) = scripted(move |seen| {
            legacy(seen).unwrap_or_else(|| {
                let mut response = plain(status, kind, text);
                response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
                response
            })
        })
        .await;
        let broker = broker(&url);
        let error = broker.call(&cx(), call("web__t", "{}")).await.unwrap_err();
        assert_eq!((error.code, error.to_string().as_str()), (Code::Upstream, public));
        assert_eq!(broker.status()[0].state, State::Down);
        let calls = log.lock().unwrap().iter().filter(|seen| seen.rpc() == "tools/call").count();
        assert_eq!(calls, 1, "nothing is repeated or followed");
    }
}

#[tokio::test]
async fn a_large_answer_is_refused_whole_or_streamed() {
    for kind in ["application/json", "text/event-stream"] {
        let (url, _) = scripted(move |seen| {
            legacy(seen).unwrap_or_else(|| {
                let said = reply(&seen.message, &format!(r#"{{"x":"{}"}}"#, "y".repeat(100_000)));
                plain(
                    200,
                    kind,
                    format!("data: {said}\n\n").split_off(if kind.ends_with("json") {
                        6
                    } else {
                        0
                    }),
                )
            })
        })
        .await;
        let server = Server { max_result: 10_000, ..Server::http("web", &url) };
        let broker = Broker::builder().server(server).build().unwrap();
        let reply = broker.call(&cx(), call("web__t", "{}")).await.unwrap();
        assert!(reply.is_error && reply.result.get().contains("10000 bytes"), "{kind}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_gap() {
    let broker = broker("http://127.0.0.1:1/mcp");
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    assert_eq!(list.gaps[0].reason, "server `web` could not be reached");
}

#[tokio::test]
async fn a_real_server_is_reached_in_its_own_era() {
    for (versions, era, json) in [
        (LEGACY, Era::Legacy, false),
        (LEGACY, Era::Legacy, true),
        (MODERN, Era::Modern, false),
        (MODERN, Era::Modern, true),
    ] {
        let config = StreamableHttpServerConfig::default().with_json_response(json);
        let service: StreamableHttpService<Adder, LocalSessionManager> =
            StreamableHttpService::new(move || Ok(Adder(versions)), Arc::default(), config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(serve_connection(stream, move |request| {
                    let service = service.clone();
                    async move { service.handle(request).await.map(BodyExt::boxed_unsync) }
                }));
            }
        });
        let broker = broker(&url);
        let got = broker.call(&cx(), call("web__add", r#"{"a":2,"b":3}"#)).await.unwrap();
        assert!(got.result.get().contains(r#""text":"5""#), "{}", got.result);
        assert_eq!(broker.status()[0].era, Some(era));
        broker.close().await;
    }
}
