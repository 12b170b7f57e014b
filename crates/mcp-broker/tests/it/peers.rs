//! Servers made of a closure, and a launcher that runs them over in-memory streams.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_core::{
    BoxFuture, Client, Cx, Exchange, LogLevel, Manner, Principal, Question, Remark, RequestId,
    RpcFault, ToolCall, ToolName, TurnId,
};
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
        source: None,
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

/// A client that answers questions by a closure and keeps what it is asked and told.
pub(crate) struct Person {
    id: String,
    capabilities: Box<RawValue>,
    manner: Manner,
    level: Option<LogLevel>,
    progress: bool,
    thinks: Duration,
    answer: Answerer,
    pub(crate) asked: Mutex<Vec<(String, Value)>>,
    pub(crate) told: Mutex<Vec<Value>>,
}

type Answerer = Box<dyn Fn(&str, &Value) -> Result<Value, RpcFault> + Send + Sync>;

/// What a client can do that can be asked everything.
pub(crate) const ALL: &str =
    r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#;

impl Person {
    pub(crate) fn new(id: &str, capabilities: &str) -> Self {
        Self {
            id: id.into(),
            capabilities: raw(capabilities),
            manner: Manner::Live,
            level: None,
            progress: false,
            thinks: Duration::from_millis(5),
            answer: Box::new(|_, _| Ok(serde_json::json!({"action": "accept"}))),
            asked: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub(crate) fn rounds(self) -> Self {
        Self { manner: Manner::Rounds, ..self }
    }

    pub(crate) fn hearing(self, level: Option<LogLevel>, progress: bool) -> Self {
        Self { level, progress, ..self }
    }

    pub(crate) fn thinking(self, thinks: Duration) -> Self {
        Self { thinks, ..self }
    }

    pub(crate) fn answering(
        self,
        answer: impl Fn(&str, &Value) -> Result<Value, RpcFault> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Box::new(answer), ..self }
    }
}

impl Client for Person {
    fn id(&self) -> &str {
        &self.id
    }
    fn capabilities(&self) -> &RawValue {
        &self.capabilities
    }
    fn manner(&self) -> Manner {
        self.manner
    }
    fn log_level(&self) -> Option<LogLevel> {
        self.level
    }
    fn wants_progress(&self) -> bool {
        self.progress
    }
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Box<RawValue>, RpcFault>> {
        Box::pin(async move {
            let params = question.params.as_deref().map_or("null", RawValue::get);
            let params: Value = serde_json::from_str(params).unwrap();
            self.asked.lock().unwrap().push((question.method.clone(), params.clone()));
            tokio::time::sleep(self.thinks).await;
            (self.answer)(&question.method, &params).map(|told| raw(&told.to_string()))
        })
    }
    fn tell(&self, remark: Remark) {
        let (Remark::Progress(params) | Remark::Log(_, params)) = remark;
        self.told.lock().unwrap().push(serde_json::from_str(params.get()).unwrap());
    }
}

/// A call with a client behind it.
pub(crate) fn call_of(person: &Arc<Person>, tool: &str, arguments: &str) -> ToolCall {
    let client: Arc<dyn Client> = person.clone();
    let exchange = Exchange { client: Some(client), ..Exchange::default() };
    ToolCall { exchange, ..call(tool, arguments) }
}

/// A legacy server that offers more than tools, with these tools.
pub(crate) fn legacy_with(capabilities: &str, message: &Value, tools: &str) -> Option<Vec<Act>> {
    if message["method"] == "initialize" {
        let result = format!(
            r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}"#
        );
        return Some(vec![Act::Say(reply(message, &result))]);
    }
    legacy(message, tools)
}

/// The answers of an ordinary modern server; `None` for what a script must answer itself.
pub(crate) fn modern(message: &Value, tools: &str) -> Option<Vec<Act>> {
    let result = match message["method"].as_str()? {
        "server/discover" => {
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}"#
                .to_owned()
        }
        "tools/list" => format!(r#"{{"resultType":"complete","tools":{tools}}}"#),
        "subscriptions/listen" => return Some(vec![]),
        method if method.starts_with("notifications/") => return Some(vec![]),
        _ => return None,
    };
    Some(vec![Act::Say(reply(message, &result))])
}
