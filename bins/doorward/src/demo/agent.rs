//! A small agent, as any application has one: it asks the model, runs the tools that the model
//! calls, and goes on until there is an answer. It knows one base URL and one key.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use doorward_console::Failure;
use doorward_console::story::Paint;
use doorward_core::Secret;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The most model calls of one turn.
const ROUNDS: usize = 6;

pub(super) struct Agent {
    base: String,
    key: Secret,
    paint: Paint,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Agent {
    pub(super) fn new(gateway: SocketAddr, key: Secret, paint: Paint) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { base: format!("http://{gateway}"), key, paint, client }
    }

    /// Plays one turn and tells what happens.
    pub(super) async fn turn(&self, task: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let tools = self.tools().await?;
        let mut messages = vec![json!({ "role": "user", "content": task })];
        for _ in 0..ROUNDS {
            let ask = json!({
                "model": "scripted/hijackable", "messages": messages, "tools": tools,
            });
            let answer = self.post("/v1/chat/completions", &ask).await?;
            let message = answer["choices"][0]["message"].clone();
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            messages.push(message.clone());
            if calls.is_empty() {
                let text = message["content"].as_str().unwrap_or_default();
                writeln!(out, "   model  {}", self.paint.good(&format!("“{text}”")))?;
                return Ok(());
            }
            for call in &calls {
                messages.push(self.run(call, out).await?);
            }
        }
        Err(Failure::new("the turn did not end"))
    }

    /// The tools that the gateway shows this key, as the model wants them declared.
    async fn tools(&self) -> Result<Vec<Value>, Failure> {
        let list = self.rpc("tools/list", &json!({})).await?;
        let tools = list["tools"].as_array().cloned().unwrap_or_default();
        if tools.is_empty() {
            return Err(Failure::new(format!("no tools: {list}")));
        }
        let declared = |tool: &Value| {
            json!({
                "type": "function",
                "function": {
                    "name": tool["name"], "description": tool["description"],
                    "parameters": tool["inputSchema"],
                },
            })
        };
        Ok(tools.iter().map(declared).collect())
    }

    async fn run(&self, call: &Value, out: &mut dyn Write) -> Result<Value, Failure> {
        let paint = self.paint;
        let name = call["function"]["name"].as_str().unwrap_or_default();
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        writeln!(out, "   model  calls {} {}", paint.strong(name), paint.faint(arguments))?;
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let ask = json!({ "name": name, "arguments": arguments });
        let result = self.rpc("tools/call", &ask).await?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let shown: String = first.chars().take(200).collect();
        let failed = result["isError"] == json!(true);
        let shown = if failed { paint.bad(&shown) } else { paint.faint(&shown) };
        writeln!(out, "   tool   {shown}")?;
        Ok(json!({ "role": "tool", "tool_call_id": call["id"], "content": text }))
    }

    async fn rpc(&self, method: &str, params: &Value) -> Result<Value, Failure> {
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post("/mcp", &ask).await?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(Failure::new(format!("{method}: {answer}"))),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::of(format!("POST {path}"), error)
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Full::from(body.to_string()))
            .map_err(|error| failed(error.into()))?;
        let answer = self.client.request(request).await.map_err(|error| failed(error.into()))?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|e| failed(e.into()))?.to_bytes();
        if !status.is_success() {
            let told = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Failure::new(format!("POST {path}: {status}: {told}")));
        }
        serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))
    }
}
