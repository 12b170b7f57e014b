//! Servers made of a closure, and a launcher that runs them over in-memory streams.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{BoxFuture, Cx, Principal, RequestId, ToolCall, ToolName, TurnId};
use doorward_mcp_broker::{
    Broker, Builder, Command, LaunchError, Launched, Launcher, Process, Server,
};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a scripted server does about a message.
pub(crate) enum Act {
    Say(String),
    Later(Duration, String),
    Exit,
}

/// A server's script: what to do about each message.
pub(crate) type Script = Arc<dyn Fn(&Value) -> Vec<Act> + Send + Sync>;

type Body = Arc<dyn Fn(DuplexStream, DuplexStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// Runs servers in this process.
#[derive(Clone, Default)]
pub(crate) struct Local {
    bodies: HashMap<String, Body>,
    pub(crate) launches: Arc<AtomicUsize>,
    pub(crate) alive: Arc<AtomicUsize>,
}

struct Running {
    task: Option<JoinHandle<()>>,
    alive: Arc<AtomicUsize>,
}

impl Process for Running {
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(task) = self.task.take() {
                task.abort();
                task.await.ok();
                self.alive.fetch_sub(1, Ordering::SeqCst);
            }
        })
    }
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
        Box::pin(async {
            if let Some(task) = &mut self.task {
                task.await.ok();
                self.task = None;
                self.alive.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(Some(0))
        })
    }
}

impl Launcher for Local {
    fn launch<'a>(
        &'a self,
        server: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        Box::pin(async move {
            self.launches.fetch_add(1, Ordering::SeqCst);
            let Some(body) = self.bodies.get(server) else {
                let source = io::Error::from(io::ErrorKind::NotFound).into();
                return Err(LaunchError { program: command.program.clone(), source });
            };
            let (stdin, server_in) = tokio::io::duplex(1 << 16);
            let (server_out, stdout) = tokio::io::duplex(1 << 16);
            self.alive.fetch_add(1, Ordering::SeqCst);
            let task = Some(tokio::spawn(body(server_in, server_out)));
            Ok(Launched {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr: None,
                process: Box::new(Running { task, alive: self.alive.clone() }),
            })
        })
    }
}

impl Local {
    pub(crate) fn with_body<F, R>(mut self, name: &str, body: F) -> Self
    where
        F: Fn(DuplexStream, DuplexStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let body: Body = Arc::new(move |stdin, stdout| Box::pin(body(stdin, stdout)));
        self.bodies.insert(name.into(), body);
        self
    }

    pub(crate) fn with(self, name: &str, script: Script) -> Self {
        self.with_body(name, move |stdin, stdout| run(script.clone(), stdin, stdout))
    }

    /// A broker over all servers, with short waits.
    pub(crate) fn broker(&self, adjust: impl Fn(Server) -> Server) -> Broker {
        self.builder(adjust).build().unwrap()
    }

    pub(crate) fn builder(&self, adjust: impl Fn(Server) -> Server) -> Builder {
        let mut names: Vec<_> = self.bodies.keys().collect();
        names.sort();
        let builder =
            Broker::builder().launcher(self.clone()).list_wait(Duration::from_millis(1500));
        names.into_iter().fold(builder, |builder, name| {
            builder.server(adjust(Server::stdio(name, [name.as_str()])))
        })
    }
}

async fn run(script: Script, stdin: DuplexStream, mut stdout: DuplexStream) {
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let mut lines = BufReader::new(stdin).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { return };
                let message: Value = serde_json::from_str(&line).unwrap();
                for act in script(&message) {
                    match act {
                        Act::Say(line) => say.send(line).unwrap(),
                        Act::Later(wait, line) => {
                            let say = say.clone();
                            tokio::spawn(async move {
                                tokio::time::sleep(wait).await;
                                say.send(line).ok();
                            });
                        }
                        Act::Exit => return,
                    }
                }
            }
            Some(line) = said.recv() => {
                if stdout.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A reply with this result.
pub(crate) fn reply(to: &Value, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, to["id"])
}

/// A refusal with this code.
pub(crate) fn refuse(to: &Value, code: i64, message: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":"{message}"}}}}"#,
        to["id"]
    )
}

/// The answers of an ordinary legacy server with these tools (written definitions); `None` for
/// what a script must answer itself.
pub(crate) fn legacy(message: &Value, tools: &str) -> Option<Vec<Act>> {
    let said = match message["method"].as_str()? {
        "initialize" => reply(
            message,
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        ),
        "tools/list" => reply(message, &format!(r#"{{"tools":{tools}}}"#)),
        "tools/call" => return None,
        method if method.starts_with("notifications/") => return Some(vec![]),
        _ => refuse(message, -32000, "Server not initialized"),
    };
    Some(vec![Act::Say(said)])
}

/// A legacy server with one tool `echo` that answers with its arguments.
pub(crate) fn echo() -> Script {
    Arc::new(|message| {
        legacy(message, r#"[{"name":"echo","inputSchema":{"type":"object"}}]"#).unwrap_or_else(
            || {
                let text = message["params"]["arguments"].to_string();
                let text = serde_json::to_string(&text).unwrap();
                let result = format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#);
                vec![Act::Say(reply(message, &result))]
            },
        )
    })
}

/// A script that also keeps what it was sent.
pub(crate) fn recording(script: Script) -> (Script, Arc<Mutex<Vec<Value>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let script: Script = Arc::new(move |message| {
        kept.lock().unwrap().push(message.clone());
        script(message)
    });
    (script, seen)
}

pub(crate) fn cx() -> Cx {
    Cx {
        turn: TurnId::from_bytes([1; 16]),
        request: RequestId::from_bytes([2; 16]),
        principal: Arc::new(Principal::person("ann@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
    }
}

pub(crate) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

pub(crate) fn call(tool: &str, arguments: &str) -> ToolCall {
    ToolCall::new(ToolName::new(tool), raw(arguments))
}

/// Waits until something is so.
pub(crate) async fn until(what: impl Fn() -> bool) {
    for _ in 0..300 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to be");
}
