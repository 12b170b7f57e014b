//! MCP servers in this process, behind the broker's launcher.

use std::io;

use doorward_core::{BoxFuture, ToolReply};
use doorward_mcp_broker::{
    Command, LaunchError, Launched, Launcher, Process, Serve, ServerInfo, serve_stdio,
};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// What the tools say that answer at all.
pub(crate) const ISSUE: &str = "The login page is broken";

/// Its tools: `get_issue` answers, `send` answers, `hang` never does.
struct Tracker;

impl Serve for Tracker {
    fn info(&self) -> ServerInfo {
        ServerInfo::new("tracker", "1.0")
    }

    fn tools(&self) -> Vec<Box<RawValue>> {
        let tool = |name| to_raw_value(&json!({"name": name, "inputSchema": {"type": "object"}}));
        ["get_issue", "send", "hang"].into_iter().flat_map(tool).collect()
    }

    fn call<'a>(&'a self, name: &'a str, _arguments: &'a RawValue) -> BoxFuture<'a, ToolReply> {
        Box::pin(async move {
            if name == "hang" {
                std::future::pending::<()>().await;
            }
            let result = json!({"content": [{"type": "text", "text": ISSUE}]});
            ToolReply::complete(to_raw_value(&result).unwrap(), false)
        })
    }
}

/// Runs a tracker for every server asked for.
pub(crate) struct InProcess;

struct Task;

impl Launcher for InProcess {
    fn launch<'a>(
        &'a self,
        _server: &'a str,
        _command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        let (stdin, server_in) = tokio::io::duplex(1 << 16);
        let (server_out, stdout) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve_stdio(Tracker, server_in, server_out));
        let (stdin, stdout) = (Box::new(stdin), Box::new(stdout));
        let launched = Launched { stdin, stdout, stderr: None, process: Box::new(Task) };
        Box::pin(async { Ok(launched) })
    }
}

impl Process for Task {
    /// Its streams are dropped with it, which ends it.
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
        Box::pin(std::future::pending())
    }
}
