//! Two MCP servers behind one front, all in this process: no network, no child processes.
//!
//! `cargo run -p doorward-mcp-broker --example broker`

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{BoxFuture, Cx, Names as _, Principal, RequestId, Scope, ToolReply, TurnId};
use doorward_mcp_broker::{
    Broker, Command, Front, FrontBody, LaunchError, Launched, Launcher, Process, Serve, Server,
    ServerInfo, serve_stdio,
};
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::JoinHandle;

/// A server with one tool that says what it was told.
#[derive(Clone)]
struct Parrot {
    name: &'static str,
    tool: &'static str,
}

impl Serve for Parrot {
    fn info(&self) -> ServerInfo {
        ServerInfo::new(self.name, "1.0")
    }

    fn tools(&self) -> Vec<Box<RawValue>> {
        let tool = serde_json::json!({
            "name": self.tool,
            "description": "Says what it was told.",
            "inputSchema": { "type": "object" },
        });
        to_raw_value(&tool).into_iter().collect()
    }

    fn call<'a>(&'a self, _name: &'a str, arguments: &'a RawValue) -> BoxFuture<'a, ToolReply> {
        Box::pin(async move {
            let said = format!("{} heard {arguments}", self.name);
            let result = serde_json::json!({ "content": [{ "type": "text", "text": said }] });
            match to_raw_value(&result) {
                Ok(result) => ToolReply::complete(result, false),
                Err(_) => ToolReply::error("could not write the result"),
            }
        })
    }
}

/// Runs servers as tasks instead of processes.
struct InProcess(HashMap<&'static str, Parrot>);

impl Launcher for InProcess {
    fn launch<'a>(
        &'a self,
        server: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            let parrot = self.0.get(server).cloned().ok_or_else(|| LaunchError {
                program: command.program.clone(),
                source: "no such server".into(),
            })?;
            let (stdin, server_in) = tokio::io::duplex(1 << 16);
            let (server_out, stdout) = tokio::io::duplex(1 << 16);
            let task = tokio::spawn(async move {
                serve_stdio(parrot, server_in, server_out).await.ok();
            });
            Ok(Launched {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr: None,
                process: Box::new(Task(Some(task))),
            })
        })
    }
}

struct Task(Option<JoinHandle<()>>);

impl Process for Task {
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        if let Some(task) = self.0.take() {
            task.abort();
        }
        Box::pin(async {})
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
        Box::pin(async {
            if let Some(task) = &mut self.0 {
                task.await.ok();
                self.0 = None;
            }
            Ok(Some(0))
        })
    }
}

/// Asks the front as an HTTP client would, and shows the answer.
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn ask(front: &Front, cx: &Cx, method: &str, params: &str) -> Result<(), Box<dyn Error>> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let request = http::Request::post("/mcp")
        .header("content-type", "application/json")
        .body(Bytes::from(body))?;
    let response = front.exchange(cx, &Scope::All, request).await;
    if let FrontBody::Whole(body) = response.into_body() {
        println!("{method} {params}\n  {}\n", String::from_utf8_lossy(&body));
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let parrots = HashMap::from([
        ("tracker", Parrot { name: "tracker", tool: "get_issue" }),
        ("mail", Parrot { name: "mail", tool: "send_email" }),
    ]);
    let broker = Broker::builder()
        .launcher(InProcess(parrots))
        .server(Server::stdio("tracker", ["tracker-mcp"]))
        .server(Server::stdio("mail", ["mail-mcp"]))
        // Never starts, and harms nobody.
        .server(Server::stdio("gone", ["gone-mcp"]))
        .build()?;
    broker.start().await;

    let cx = Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([1; 16]),
        principal: Arc::new(Principal::person("ann@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    };
    let front = Front::new(Arc::new(broker.clone()), ServerInfo::new("doorward", "1.0"));
    ask(&front, &cx, "initialize", r#"{"protocolVersion":"2025-11-25"}"#).await?;
    ask(&front, &cx, "tools/list", "{}").await?;
    let call = r#"{"name":"tracker__get_issue","arguments":{"id":7}}"#;
    ask(&front, &cx, "tools/call", call).await?;
    ask(&front, &cx, "tools/call", r#"{"name":"tracker__drop_all"}"#).await?;

    let declared = "mcp__doorward__mail__send_email";
    println!("{declared} is {:?}", broker.brokered(declared));
    for server in broker.status() {
        println!("{}: {:?}, {} tools", server.name, server.state, server.tools);
    }
    broker.close().await;
    Ok(())
}
