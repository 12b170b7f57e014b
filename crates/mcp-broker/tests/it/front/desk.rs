//! A scripted plane behind a front, and clients that speak raw HTTP messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{
    BoxFuture, BoxStream, CallError, Client, Code, Cx, Fetch, FetchCall, Interest, Item, ItemKind,
    ItemList, LogLevel, Manner, News, Offers, Principal, Question, Remark, RpcFault, Scope, Stage,
    ToolCall, ToolList, ToolName, ToolReply, ToolSpec, Tools,
};
use doorward_mcp_broker::{Front, FrontBody, ServerInfo};
use futures_util::StreamExt as _;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::peers::raw;

pub(crate) const BOTH: &str = "application/json, text/event-stream";

/// A plane whose tools do what their names say.
pub(crate) struct Stand {
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) news: broadcast::Sender<News>,
    pub(crate) listening: Arc<AtomicUsize>,
    pub(crate) fetched: Arc<std::sync::Mutex<Vec<String>>>,
    pub(crate) capabilities: &'static str,
}

impl Default for Stand {
    fn default() -> Self {
        Self {
            running: Arc::default(),
            news: broadcast::channel(64).0,
            listening: Arc::default(),
            fetched: Arc::default(),
            capabilities: r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
        }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn done(value: &Value) -> ToolReply {
    ToolReply::complete(raw(&json!({"content": [], "said": value}).to_string()), false)
}

fn staged(stage: Stage, result: &str) -> ToolReply {
    ToolReply { result: raw(result), is_error: false, stage }
}

fn question(message: &str) -> Question {
    let params = json!({"message": message, "requestedSchema": {"type": "object"}});
    Question { method: "elicitation/create".into(), params: Some(raw(&params.to_string())) }
}

async fn asked(client: &dyn Client, question: Question) -> Value {
    match client.ask(question).await {
        Ok(answer) => serde_json::from_str(answer.get()).unwrap(),
        Err(fault) => json!({"refused": fault.code}),
    }
}

fn chat(client: &dyn Client) {
    let progress = |n: f64| Remark::Progress(raw(&json!({"progress": n, "total": 3}).to_string()));
    let log = |level, text: &str| Remark::Log(level, raw(&json!({"data": text}).to_string()));
    client.tell(progress(1.0));
    client.tell(progress(1.0));
    client.tell(log(LogLevel::Debug, "small"));
    client.tell(log(LogLevel::Error, "grave"));
    client.tell(progress(0.5));
    client.tell(progress(2.0));
}

impl Stand {
    async fn run(&self, call: ToolCall) -> Result<ToolReply, CallError> {
        let _running = Counted::new(&self.running);
        let exchange = &call.exchange;
        let client = exchange.client.as_deref();
        let text = |raw: Option<&serde_json::value::RawValue>| raw.map(|raw| raw.get().to_owned());
        Ok(match (call.tool.as_str(), client) {
            ("ask", Some(client)) => done(&asked(client, question("one?")).await),
            ("ask_both", Some(client)) => {
                let both = (asked(client, question("one?")), asked(client, question("two?")));
                let (one, two) = futures_util::future::join(both.0, both.1).await;
                done(&json!([one, two]))
            }
            ("ask_twice", Some(client)) => {
                let one = asked(client, question("one?")).await;
                let two = asked(client, question("two?")).await;
                done(&json!([one, two]))
            }
            ("ask_url", Some(client)) => {
                let params = json!({"mode": "url", "url": "https://x", "elicitationId": "e"});
                let params = Some(raw(&params.to_string()));
                done(&asked(client, Question { method: "elicitation/create".into(), params }).await)
            }
            ("ask_roots", Some(client)) => {
                done(&asked(client, Question { method: "roots/list".into(), params: None }).await)
            }
            ("give_up", Some(client)) => {
                let wait = Duration::from_millis(30);
                let answer = tokio::time::timeout(wait, client.ask(question("quick?"))).await;
                done(&json!(answer.is_err()))
            }
            ("chat", Some(client)) => {
                chat(client);
                done(&json!("chatted"))
            }
            ("chat_slowly", Some(client)) => {
                chat(client);
                tokio::time::sleep(Duration::from_millis(100)).await;
                client.tell(Remark::Progress(raw(r#"{"progress":3}"#)));
                tokio::time::sleep(Duration::from_millis(100)).await;
                done(&json!("chatted"))
            }
            ("who", Some(client)) => done(&json!({
                "id": client.id(),
                "live": client.manner() == Manner::Live,
                "capabilities": client.capabilities(),
                "level": client.log_level(),
                "progress": client.wants_progress(),
            })),
            ("slow", _) => {
                tokio::time::sleep(Duration::from_secs(20)).await;
                done(&json!("slow"))
            }
            ("round", _) => match &exchange.resume {
                Some(resume) => done(&json!({
                    "responses": text(resume.responses.as_deref()),
                    "state": text(resume.state.as_deref()),
                })),
                None => staged(
                    Stage::InputRequired,
                    r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"up-1","x":1e2}"#,
                ),
            },
            ("offered", _) => done(&json!({
                "offered": text(exchange.offered.as_deref()),
                "resumed": exchange.resume.is_some(),
                "task": text(exchange.task.as_deref()),
            })),
            ("task", _) => staged(Stage::Task, r#"{"task":{"taskId":"t1","ttl":5}}"#),
            ("consent", _) => {
                let error = CallError::new(Code::Unauthenticated, "connect first");
                return Err(error.with_consent("https://gw/connect/x"));
            }
            (name, _) if name.starts_with("fault") => {
                let code = name["fault".len()..].parse().unwrap();
                let data = match code {
                    -32042 => {
                        r#"{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://up/1","message":"go"}]}"#
                    }
                    _ => r#"{"requiredCapabilities":{"sampling":{}}}"#,
                };
                ToolReply::fault(&RpcFault {
                    data: Some(raw(data)),
                    ..RpcFault::new(code, "theirs")
                })
            }
            (_, _) => done(&json!({"arguments": &*call.arguments})),
        })
    }
}

impl Tools for Stand {
    fn list<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
    ) -> BoxFuture<'a, Result<ToolList, CallError>> {
        Box::pin(async {
            let mirrored = json!({"name": "mirrored", "inputSchema": {"type": "object",
                "properties": {"a": {"type": "string", "x-mcp-header": "A"},
                               "n": {"type": "integer", "x-mcp-header": "N"}}}});
            let tools =
                [("mirrored", mirrored.to_string()), ("plain", r#"{"name":"plain"}"#.into())];
            let tools = tools.iter().map(|(name, definition)| {
                let (name, definition) = (ToolName::new(*name), raw(definition));
                Arc::new(ToolSpec { name, server: "s".into(), definition })
            });
            Ok(ToolList { tools: tools.collect(), gaps: Vec::new() })
        })
    }

    fn resolve<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        name: &'a str,
    ) -> BoxFuture<'a, Result<ToolName, CallError>> {
        Box::pin(async move { Ok(ToolName::new(name)) })
    }

    fn call<'a>(
        &'a self,
        _cx: &'a Cx,
        call: ToolCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(self.run(call))
    }

    fn offers<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Offers, CallError>> {
        Box::pin(async {
            Ok(Offers {
                capabilities: Some(raw(self.capabilities)),
                instructions: Some("be kind".into()),
                server_info: None,
            })
        })
    }

    fn items<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        kind: ItemKind,
    ) -> BoxFuture<'a, Result<ItemList, CallError>> {
        Box::pin(async move {
            let items = (1..=3).map(|n| {
                let definition = match kind {
                    ItemKind::Prompts => json!({"name": format!("p{n}"), "title": "T"}),
                    ItemKind::Resources => json!({"uri": format!("u:{n}"), "name": "r"}),
                    ItemKind::Templates => json!({"uriTemplate": format!("u:{n}/{{x}}")}),
                };
                let key = format!("{kind:?}{n}").into();
                let definition = raw(&definition.to_string());
                Arc::new(Item { server: "s".into(), key, definition })
            });
            Ok(ItemList { items: items.collect(), gaps: Vec::new() })
        })
    }

    fn locate<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        _fetch: Fetch,
        params: &'a serde_json::value::RawValue,
    ) -> BoxFuture<'a, Result<Arc<str>, CallError>> {
        Box::pin(async move {
            if params.get().contains("nothing") {
                return Err(CallError::new(Code::NotFound, "not here"));
            }
            Ok("s".into())
        })
    }

    fn fetch<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        call: FetchCall,
    ) -> BoxFuture<'a, Result<ToolReply, CallError>> {
        Box::pin(async move {
            self.fetched.lock().unwrap().push(format!("{} {}", call.fetch.method(), call.params));
            let params: Value = serde_json::from_str(call.params.get()).unwrap_or_default();
            let result = match call.fetch {
                Fetch::Resource => json!({"contents": [{"uri": params["uri"]}]}),
                Fetch::Prompt if params["name"] == "ask" && call.exchange.resume.is_none() => {
                    let asking = r#"{"inputRequests":{"k":{"method":"roots/list"}}}"#;
                    return Ok(staged(Stage::InputRequired, asking));
                }
                Fetch::Prompt => json!({"messages": []}),
                Fetch::TaskGet => json!({"taskId": params["taskId"], "ttl": 5}),
                _ => json!({}),
            };
            Ok(ToolReply::complete(raw(&result.to_string()), false))
        })
    }

    fn listen<'a>(
        &'a self,
        _cx: &'a Cx,
        _scope: &'a Scope,
        mut interest: Interest,
    ) -> BoxFuture<'a, Result<(Interest, BoxStream<'static, News>), CallError>> {
        Box::pin(async move {
            interest.updates.retain(|uri| !uri.contains("nothing"));
            let wanted = interest.clone();
            let counted = Counted::new(&self.listening);
            let state = (self.news.subscribe(), counted);
            let all = futures_util::stream::unfold(state, |(mut news, counted)| async move {
                news.recv().await.ok().map(|one| (one, (news, counted)))
            });
            let own = all.filter(move |news| {
                let own = match news {
                    News::Tools => wanted.tools,
                    News::Prompts => wanted.prompts,
                    News::Resources => wanted.resources,
                    News::Updated { uri, .. } => wanted.updates.contains(uri),
                    News::Task { id, .. } => wanted.tasks.contains(id),
                };
                std::future::ready(own)
            });
            let own: BoxStream<'static, News> = Box::pin(own);
            Ok((interest, own))
        })
    }
}

pub(crate) fn front(stand: &Arc<Stand>) -> Front {
    Front::new(stand.clone(), ServerInfo::new("doorward", "1"))
}

pub(crate) fn cx(principal: &str) -> Cx {
    Cx { principal: Arc::new(Principal::person(principal)), ..crate::peers::cx() }
}

/// A client of one revision.
pub(crate) struct Peer {
    pub(crate) front: Front,
    pub(crate) principal: &'static str,
    pub(crate) scope: Scope,
    pub(crate) version: &'static str,
    pub(crate) capabilities: &'static str,
    pub(crate) session: Option<String>,
    pub(crate) accept: &'static str,
}

impl Peer {
    pub(crate) fn new(front: &Front, version: &'static str) -> Self {
        Self {
            front: front.clone(),
            principal: "ann",
            scope: Scope::All,
            version,
            capabilities: r#"{"elicitation":{}}"#,
            session: None,
            accept: BOTH,
        }
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Response<FrontBody> {
        self.front.exchange(&cx(self.principal), &self.scope, request).await
    }

    fn request(&self, method: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri("/mcp")
            .header("accept", self.accept)
            .header("mcp-protocol-version", self.version);
        match &self.session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
    }

    pub(crate) async fn post(&self, body: &str) -> Response<FrontBody> {
        let request = self.request("POST").header("content-type", "application/json");
        self.send(request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()).await
    }

    pub(crate) async fn bare(&self, method: &str, headers: &[(&str, &str)]) -> Response<FrontBody> {
        let request = headers
            .iter()
            .fold(self.request(method), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Bytes::new()).unwrap()).await
    }

    /// A request of this peer's era, with its headers.
    pub(crate) async fn ask(
        &self,
        id: u64,
        method: &str,
        mut params: Value,
    ) -> Response<FrontBody> {
        let mut request = self.request("POST").header("content-type", "application/json");
        if self.version == "2026-07-28" {
            let capabilities: Value = serde_json::from_str(self.capabilities).unwrap();
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = self.version.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
            request = request.header("mcp-method", method);
            let name = ["name", "uri", "taskId"].iter().find_map(|name| params[*name].as_str());
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(request.body(Bytes::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn call(&self, id: u64, tool: &str) -> Response<FrontBody> {
        self.ask(id, "tools/call", json!({"name": tool, "arguments": {}})).await
    }

    /// Shakes hands; from now on this is a session.
    pub(crate) async fn open(mut self) -> Self {
        let capabilities: Value = serde_json::from_str(self.capabilities).unwrap();
        let params = json!({"protocolVersion": self.version, "capabilities": capabilities});
        let response = self.ask(0, "initialize", params).await;
        let session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        assert_eq!(whole(response).1["result"]["protocolVersion"], self.version);
        self.session = Some(session);
        self
    }
}

/// A whole answer: its status and message.
pub(crate) fn whole(response: Response<FrontBody>) -> (u16, Value) {
    let status = response.status().as_u16();
    match response.into_body() {
        FrontBody::Whole(body) if body.is_empty() => (status, Value::Null),
        FrontBody::Whole(body) => (status, serde_json::from_slice(&body).unwrap()),
        FrontBody::Stream(_) => panic!("a stream"),
    }
}

/// The events of a stream.
pub(crate) struct Events {
    stream: BoxStream<'static, Bytes>,
    ready: VecDeque<Event>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) retry: Option<String>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

pub(crate) fn events(response: Response<FrontBody>) -> Events {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    match response.into_body() {
        FrontBody::Stream(stream) => Events { stream, ready: VecDeque::new() },
        FrontBody::Whole(body) => panic!("whole: {body:?}"),
    }
}

impl Events {
    /// The next event, comments passed over; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let wait = tokio::time::timeout(Duration::from_secs(5), self.stream.next());
            let piece = wait.await.unwrap()?;
            let text = String::from_utf8(piece.to_vec()).unwrap();
            for block in text.split("\n\n").filter(|block| !block.is_empty()) {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ").unwrap_or((line, "")) {
                        ("id", id) => event.id = id.into(),
                        ("event", kind) => event.kind = kind.into(),
                        ("data", data) => event.data = data.into(),
                        ("retry", after) => event.retry = Some(after.into()),
                        _ => assert!(line.starts_with(':'), "{line}"),
                    }
                }
                if !block.starts_with(':') {
                    self.ready.push_back(event);
                }
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if !event.data.is_empty() {
                return event.json();
            }
        }
    }

    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// Until it is so; fails after a while.
pub(crate) async fn until(what: impl Fn() -> bool) {
    for _ in 0..300 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be");
}
