//! An HTTP client over a stream in memory, and clients' two ways of speaking to models.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

/// One connection. Dropping it closes it.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
    key: String,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

impl Client {
    pub(crate) async fn over(stream: DuplexStream, key: &str) -> Self {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection, key: key.to_owned() }
    }

    /// A request with the key in it.
    pub(crate) fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Asking {
        let bearer = format!("Bearer {}", self.key);
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway.test")
            .header("authorization", bearer)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Full::new(body.into()))
            .unwrap()
    }

    /// Sends, and waits for the answer's head.
    pub(crate) async fn open(&mut self, request: Asking) -> Response<Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// Sends, and waits for the whole answer.
    pub(crate) async fn send(&mut self, request: Asking) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Asks a model.
    pub(crate) async fn ask(&mut self, wire: Wire, model: &str, stream: bool) -> Answer {
        let request = self.request(Method::POST, wire.path(), wire.ask(model, stream));
        self.send(request).await
    }

    /// Calls a tool.
    pub(crate) async fn call(&mut self, tool: &str) -> Answer {
        let request = self.request(Method::POST, "/mcp", call(tool));
        self.send(request).await
    }
}

pub(crate) type Asking = Request<Full<Bytes>>;

/// The MCP message that calls a tool.
pub(crate) fn call(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": { "id": 1 } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

/// A client's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Chat,
    Messages,
}

/// Both of them.
pub(crate) const WIRES: [Wire; 2] = [Wire::Chat, Wire::Messages];

/// What a client has understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) tool: String,
    pub(crate) arguments: String,
    pub(crate) finish: String,
    pub(crate) usage: [u64; 2],
}

impl Wire {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
        }
    }

    /// A request in this dialect.
    pub(crate) fn ask(self, model: &str, stream: bool) -> String {
        let schema = json!({ "type": "object" });
        let mut ask = json!({
            "model": model, "max_tokens": 50, "stream": stream,
            "messages": [{ "role": "user", "content": "Hi, look up 1" }],
        });
        ask["tools"] = match self {
            Self::Chat => json!([{
                "type": "function", "function": { "name": "lookup", "parameters": schema },
            }]),
            Self::Messages => json!([{ "name": "lookup", "input_schema": schema }]),
        };
        if stream && self == Self::Chat {
            ask["stream_options"] = json!({ "include_usage": true });
        }
        ask.to_string()
    }

    /// What an answer in this dialect says.
    pub(crate) fn hear(self, stream: bool, body: &str) -> Heard {
        let mut heard = Heard::default();
        if !stream {
            let whole = serde_json::from_str(body).unwrap();
            match self {
                Self::Chat => heard.chat(&whole, "message"),
                Self::Messages => heard.message(&whole),
            }
            return heard;
        }
        for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
            match (self, serde_json::from_str(data)) {
                (Self::Chat, Ok(chunk)) => heard.chat(&chunk, "delta"),
                (Self::Messages, Ok(event)) => heard.message_event(&event),
                (_, Err(_)) => assert_eq!((self, data), (Self::Chat, "[DONE]")),
            }
        }
        heard
    }

    /// The kind of an error in this dialect; fails where the body is none.
    pub(crate) fn error(self, body: &Value) -> String {
        if self == Self::Messages {
            assert_eq!(body["type"], "error", "{body}");
        }
        assert!(body["error"]["message"].is_string(), "{body}");
        body["error"]["type"].as_str().unwrap().to_owned()
    }
}

impl Heard {
    fn chat(&mut self, body: &Value, part: &str) {
        let choice = &body["choices"][0];
        let said = &choice[part];
        add(&mut self.text, &said["content"]);
        let call = &said["tool_calls"][0]["function"];
        add(&mut self.tool, &call["name"]);
        add(&mut self.arguments, &call["arguments"]);
        add(&mut self.finish, &choice["finish_reason"]);
        if let Some(usage) = body["usage"].as_object() {
            self.usage =
                ["prompt_tokens", "completion_tokens"].map(|name| usage[name].as_u64().unwrap());
        }
    }

    fn message(&mut self, body: &Value) {
        for block in body["content"].as_array().unwrap() {
            add(&mut self.text, &block["text"]);
            if block["type"] == "tool_use" {
                add(&mut self.tool, &block["name"]);
                self.arguments = block["input"].to_string();
            }
        }
        add(&mut self.finish, &body["stop_reason"]);
        self.count(&body["usage"]);
    }

    fn message_event(&mut self, event: &Value) {
        add(&mut self.tool, &event["content_block"]["name"]);
        add(&mut self.text, &event["delta"]["text"]);
        add(&mut self.arguments, &event["delta"]["partial_json"]);
        add(&mut self.finish, &event["delta"]["stop_reason"]);
        self.count(&event["message"]["usage"]);
        self.count(&event["usage"]);
    }

    fn count(&mut self, usage: &Value) {
        for (count, name) in self.usage.iter_mut().zip(["input_tokens", "output_tokens"]) {
            *count = usage[name].as_u64().unwrap_or(*count);
        }
    }
}

fn add(to: &mut String, piece: &Value) {
    to.push_str(piece.as_str().unwrap_or_default());
}
