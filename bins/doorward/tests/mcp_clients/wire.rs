//! An MCP client without an SDK, in both eras, which shows all that it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

pub(crate) const LEGACY: &str = "2025-11-25";
pub(crate) const MODERN: &str = "2026-07-28";

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// One client, with its session where its era has one.
#[derive(Clone)]
pub(crate) struct Wire {
    http: Http,
    url: String,
    key: String,
    version: &'static str,
    pub(crate) session: Option<String>,
    next: Arc<AtomicU64>,
}

/// What came of a request.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) result: Value,
    pub(crate) error: Value,
    /// Notifications on the request's own stream.
    pub(crate) notifications: Vec<Value>,
    /// What the server asked of the client meanwhile.
    pub(crate) asked: Vec<Value>,
}

impl Exchange {
    /// The first text of a tool's answer.
    pub(crate) fn text(&self) -> &str {
        self.result["content"][0]["text"].as_str().unwrap_or_default()
    }
}

/// A stream of messages.
pub(crate) struct Messages {
    body: Incoming,
    rest: Vec<u8>,
    plain: bool,
}

impl Messages {
    fn new(answer: Response<Incoming>) -> Self {
        let kind = answer.headers().get(http::header::CONTENT_TYPE);
        let plain = !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        Self { body: answer.into_body(), rest: vec![], plain }
    }

    /// The next message; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if !self.plain
                && let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n")
            {
                let event: Vec<u8> = self.rest.drain(..end + 2).collect();
                if let Some(message) = message_of(&event) {
                    return Some(message);
                }
                continue;
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                _ if self.plain && !self.rest.is_empty() => {
                    return serde_json::from_slice(&std::mem::take(&mut self.rest)).ok();
                }
                _ => return None,
            };
            if let Ok(data) = frame.into_data() {
                self.rest.extend(data.iter().filter(|byte| **byte != b'\r'));
            }
        }
    }
}

fn message_of(event: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(event);
    let data: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
    serde_json::from_str(&data.join("\n")).ok()
}

impl Wire {
    /// A client; by the older protocol, with its session begun.
    pub(crate) async fn begin(http: Http, url: &str, key: &str, version: &'static str) -> Self {
        let mut wire = Self {
            http,
            url: url.to_owned(),
            key: key.to_owned(),
            version,
            session: None,
            next: Arc::default(),
        };
        if version == LEGACY {
            wire.initialize().await;
        }
        wire
    }

    pub(crate) fn is_modern(&self) -> bool {
        self.version == MODERN
    }

    async fn initialize(&mut self) {
        let params = json!({
            "protocolVersion": self.version,
            "capabilities": { "elicitation": {}, "sampling": {}, "roots": {} },
            "clientInfo": { "name": "wire", "version": "1" },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": self.id(), "method": "initialize", "params": params });
        let answer = self.post(&message).await;
        let session = answer.headers().get("mcp-session-id");
        self.session = session.map(|id| id.to_str().unwrap().to_owned());
        let answer = Messages::new(answer).next().await.unwrap();
        assert!(answer["result"]["protocolVersion"].is_string(), "{answer}");
        self.notify("notifications/initialized", &json!({})).await;
    }

    fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A request without its body's end: the caller reads it.
    pub(crate) async fn post(&self, message: &Value) -> Response<Incoming> {
        let mut request = Request::builder().method(Method::POST).uri(&self.url);
        let method = message["method"].as_str().unwrap_or_default();
        if self.is_modern() {
            request = request.header("mcp-method", method);
            let params = &message["params"];
            if let Some(name) = params["name"].as_str().or_else(|| params["uri"].as_str()) {
                request = request.header("mcp-name", name);
            }
        }
        if method != "initialize" {
            request = request.header("mcp-protocol-version", self.version);
        }
        let request = self
            .signed(request)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Full::new(Bytes::from(message.to_string())))
            .unwrap();
        self.http.request(request).await.unwrap()
    }

    fn signed(&self, mut request: http::request::Builder) -> http::request::Builder {
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        request.header("authorization", format!("Bearer {}", self.key))
    }

    pub(crate) async fn notify(&self, method: &str, params: &Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let answer = self.post(&message).await;
        assert!(answer.status().is_success(), "{method}: {}", answer.status());
    }

    /// The session's own stream.
    pub(crate) async fn listen(&self) -> (u16, Messages) {
        let request = Request::builder()
            .method(Method::GET)
            .uri(&self.url)
            .header("mcp-protocol-version", self.version);
        let request = self.signed(request).header("accept", "text/event-stream");
        let answer = self.http.request(request.body(Full::default()).unwrap()).await.unwrap();
        (answer.status().as_u16(), Messages::new(answer))
    }

    pub(crate) async fn delete(&self) -> u16 {
        let request = Request::builder()
            .method(Method::DELETE)
            .uri(&self.url)
            .header("mcp-protocol-version", self.version);
        let request = self.signed(request).body(Full::default()).unwrap();
        self.http.request(request).await.unwrap().status().as_u16()
    }

    /// A message that is whole for this era, with `extra` in its `_meta`.
    pub(crate) fn message(&self, method: &str, params: &Value, extra: &Value) -> Value {
        let mut params = params.clone();
        let mut meta = extra.clone();
        if self.is_modern() {
            let own = "io.modelcontextprotocol/";
            meta[format!("{own}protocolVersion")] = json!(self.version);
            meta[format!("{own}clientInfo")] = json!({ "name": "wire", "version": "1" });
            meta[format!("{own}clientCapabilities")] =
                json!({ "elicitation": {}, "sampling": {}, "roots": {} });
        }
        if meta.as_object().is_some_and(|meta| !meta.is_empty()) {
            params["_meta"] = meta;
        }
        json!({ "jsonrpc": "2.0", "id": self.id(), "method": method, "params": params })
    }

    /// A request to its end, through as many rounds as the server wants. Questions are answered by
    /// `answer`.
    pub(crate) async fn request(
        &self,
        method: &str,
        params: Value,
        extra: Value,
        answer: impl Fn(&Value) -> Value,
    ) -> Exchange {
        let mut all = Exchange::default();
        let mut round = params.clone();
        for _ in 0..5 {
            let message = self.message(method, &round, &extra);
            self.exchange(&message, &answer, &mut all).await;
            if all.result["resultType"] != "input_required" {
                break;
            }
            let mut responses = json!({});
            for (key, question) in all.result["inputRequests"].as_object().into_iter().flatten() {
                responses[key] = answer(question);
                all.asked.push(question.clone());
            }
            round = params.clone();
            round["inputResponses"] = responses;
            if all.result["requestState"].is_string() {
                round["requestState"] = all.result["requestState"].clone();
            }
        }
        all
    }

    async fn exchange(
        &self,
        message: &Value,
        answer: impl Fn(&Value) -> Value,
        all: &mut Exchange,
    ) {
        let mut messages = Messages::new(self.post(message).await);
        while let Some(got) = messages.next().await {
            if got["method"].is_string() && !got["id"].is_null() {
                let result = answer(&got);
                let reply = json!({ "jsonrpc": "2.0", "id": got["id"], "result": result });
                all.asked.push(got);
                let status = self.post(&reply).await.status();
                assert!(status.is_success(), "a reply is refused: {status}");
            } else if got["method"].is_string() {
                all.notifications.push(got);
            } else {
                all.result = got["result"].clone();
                all.error = got["error"].clone();
                return;
            }
        }
    }

    /// Calls a tool that asks nothing.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Exchange {
        let params = json!({ "name": tool, "arguments": arguments });
        self.request("tools/call", params, json!({}), |_| json!({})).await
    }

    /// Begins a request whose answer is not waited for: its id, and its stream.
    pub(crate) async fn start(&self, method: &str, params: &Value) -> (Value, Messages) {
        let message = self.message(method, params, &json!({}));
        let answer = self.post(&message).await;
        (message["id"].clone(), Messages::new(answer))
    }
}
