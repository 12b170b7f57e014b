//! The MCP broker: lists over many servers, calls through it and without it.
//!
//! All runs on one thread, the servers included, so that calls per second are those of one core.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may fail as a test may")]

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use doorward_benches::{cx, prose};
use doorward_core::{BoxFuture, Clock, Scope, SystemClock, ToolCall, ToolName, ToolReply, Tools};
use doorward_mcp_broker::{
    Broker, Builder, Command, Disclosure, Front, FrontBody, LaunchError, Launched, Launcher,
    Process, Server, ServerInfo,
};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::runtime::Runtime;

const SERVERS: usize = 50;
const TOOLS: u64 = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    lists(&mut criterion);
    calls(&mut criterion);
    criterion.final_summary();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A server with so many tools; `t0` gives back what it was told, `links` a result with 20 links.
#[derive(Clone)]
struct Echo(u64);

impl Echo {
    fn tools(&self) -> Vec<Box<RawValue>> {
        let tool = |name: String, number: u64| {
            let tool = json!({
                "name": name, "description": prose(number, 300),
                "inputSchema": { "type": "object", "properties": {
                    "path": { "type": "string", "description": prose(number, 60) },
                    "limit": { "type": "integer" },
                } },
            });
            to_raw_value(&tool).unwrap()
        };
        let numbered = (0..self.0).map(|number| tool(format!("t{number}"), number));
        numbered.chain([tool("links".into(), 0)]).collect()
    }

    fn call(name: &str, arguments: &RawValue) -> ToolReply {
        let link = |number| json!({"type": "resource_link", "name": "n", "uri": format!("file:///{number}")});
        let content = match name {
            "links" => json!((0..20).map(link).collect::<Vec<_>>()),
            _ => json!([{"type": "text", "text": arguments.get()}]),
        };
        let result = to_raw_value(&json!({ "content": content })).unwrap();
        ToolReply::complete(result, false)
    }
}

/// Runs servers as tasks instead of processes.
struct InProcess(u64);

struct Task;

impl Process for Task {
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Option<i32>>> {
        Box::pin(std::future::pending())
    }
}

fn started(tools: u64) -> (DuplexStream, DuplexStream) {
    let (stdin, server_in) = tokio::io::duplex(1 << 16);
    let (server_out, stdout) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(Echo(tools), server_in, server_out));
    (stdin, stdout)
}

/// A server with a handshake, whose lists may be kept.
async fn serve(echo: Echo, stdin: DuplexStream, mut stdout: DuplexStream) {
    let tools = echo.tools();
    let tools: Vec<_> = tools.iter().map(|tool| tool.get()).collect();
    let tools = format!(r#"{{"tools":[{}]}}"#, tools.join(","));
    let mut lines = BufReader::new(stdin).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}"#.into(),
            "tools/list" => tools.clone(),
            "tools/call" => {
                let name = message["params"]["name"].as_str().unwrap();
                let arguments = to_raw_value(&message["params"]["arguments"]).unwrap();
                Echo::call(name, &arguments).result.get().to_owned()
            }
            _ if message["id"].is_null() => continue,
            _ => {
                let refusal = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}});
                stdout.write_all(format!("{refusal}\n").as_bytes()).await.unwrap();
                continue;
            }
        };
        let reply = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, message["id"]);
        stdout.write_all((reply + "\n").as_bytes()).await.unwrap();
    }
}

impl Launcher for InProcess {
    fn launch<'a>(
        &'a self,
        _server: &'a str,
        _command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        let (stdin, stdout) = started(self.0);
        let (stdin, stdout) = (Box::new(stdin), Box::new(stdout));
        let launched = Launched { stdin, stdout, stderr: None, process: Box::new(Task) };
        Box::pin(async { Ok(launched) })
    }
}

fn many() -> Broker {
    let builder = Broker::builder().launcher(InProcess(TOOLS)).list_wait(Duration::from_mins(2));
    let servers = (0..SERVERS).map(|number| Server::stdio(format!("server{number}"), ["x"]));
    servers.fold(builder, Builder::server).build().unwrap()
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broker/list, 50 servers x 101 tools, warm");
    let (runtime, cx) = (runtime(), cx("ann"));
    let broker = many();
    runtime.block_on(broker.start());
    group.throughput(Throughput::Elements(SERVERS as u64 * (TOOLS + 1)));
    group.bench_function("merged", |bench| {
        bench.iter(|| {
            let list = runtime.block_on(broker.list(&cx, &Scope::All)).unwrap();
            assert!(list.gaps.is_empty() && list.tools.len() == SERVERS * 101);
        });
    });
    for (name, page) in
        [("through the front, first page of 250", 250), ("through the front, all at once", 10_000)]
    {
        let front = Front::new(Arc::new(broker.clone()), ServerInfo::new("bench", "1")).page(page);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let response = runtime.block_on(front.exchange(&cx, &Scope::All, listing()));
                match response.into_body() {
                    FrontBody::Whole(body) => assert!(body.len() > 50_000, "{body:?}"),
                    FrontBody::Stream(_) => unreachable!(),
                }
            });
        });
    }
    let disclosure = Disclosure::new(Arc::new(broker)).search(Scope::All);
    let arguments = || RawValue::from_string(r#"{"query":"report broken login"}"#.into()).unwrap();
    group.bench_function("search_tools", |bench| {
        bench.iter(|| {
            let call = ToolCall::new(ToolName::new("search_tools"), arguments());
            black_box(runtime.block_on(disclosure.call(&cx, call)).unwrap());
        });
    });
}

fn listing() -> http::Request<Bytes> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    http::Request::post("/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/list")
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

/// A server's answer over HTTP, without any of our own code.
async fn answer(
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
            "capabilities": { "tools": {} }, "cacheScope": "public",
        }),
        "tools/list" => json!({
            "resultType": "complete", "tools": [{ "name": "t0", "inputSchema": { "type": "object" } }],
            "ttlMs": 600_000, "cacheScope": "public",
        }),
        _ => json!({
            "resultType": "complete",
            "content": [{ "type": "text", "text": message["params"]["arguments"].to_string() }],
        }),
    };
    let reply = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
    let response = hyper::Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::new(reply.into())).unwrap())
}

async fn http_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let io = TokioIo::new(stream);
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(io, service_fn(answer)));
        }
    });
    url
}

const ARGUMENTS: &str = r#"{"path":"/src/main.rs","limit":20}"#;

async fn through(broker: &Broker, tool: &str) {
    let arguments = RawValue::from_string(ARGUMENTS.into()).unwrap();
    let call = ToolCall::new(ToolName::new(tool), arguments);
    black_box(broker.call(&cx("ann"), call).await.unwrap());
}

fn request(id: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t0","arguments":{ARGUMENTS}}}}}"#
    )
}

type Plain = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

async fn plain(client: &Plain, url: &str) {
    let request = hyper::Request::post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Full::new(request(1).into()))
        .unwrap();
    let response = client.request(request).await.unwrap();
    black_box(response.into_body().collect().await.unwrap());
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broker/call");
    group.measurement_time(Duration::from_secs(5));
    let runtime = runtime();
    let _inside = runtime.enter();
    let url = runtime.block_on(http_server());
    let broker = Broker::builder()
        .launcher(InProcess(1))
        .server(Server::stdio("pipe", ["x"]))
        .server(Server { concurrency: 64, ..Server::http("web", &url) })
        .build()
        .unwrap();
    runtime.block_on(broker.start());
    let client: Plain = Client::builder(TokioExecutor::new()).build_http();

    let (mut stdin, stdout) = started(1);
    let mut lines = BufReader::new(stdout).lines();
    group.bench_function(BenchmarkId::new("stdio", "alone"), |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                let line = request(1) + "\n";
                stdin.write_all(line.as_bytes()).await.unwrap();
                black_box(lines.next_line().await.unwrap().unwrap());
            });
        });
    });
    for (name, tool) in [("stdio", "pipe__t0"), ("stdio, 20 links rewritten", "pipe__links")] {
        group.bench_function(BenchmarkId::new(name, "through the broker"), |bench| {
            bench.iter(|| runtime.block_on(through(&broker, tool)));
        });
    }
    group.bench_function(BenchmarkId::new("HTTP", "alone"), |bench| {
        bench.iter(|| runtime.block_on(plain(&client, &url)));
    });
    group.bench_function(BenchmarkId::new("HTTP", "through the broker"), |bench| {
        bench.iter(|| runtime.block_on(through(&broker, "web__t0")));
    });
    group.finish();
    spread(&runtime, "HTTP alone", async || plain(&client, &url).await);
    spread(&runtime, "HTTP through the broker", async || through(&broker, "web__t0").await);
    spread(&runtime, "stdio through the broker", async || through(&broker, "pipe__t0").await);
}

/// Medians do not tell of the tail: p50 and p99 one after another, then as many as one core does
/// with 32 at once.
fn spread(runtime: &Runtime, name: &str, call: impl AsyncFn()) {
    const ROUNDS: usize = 5_000;
    runtime.block_on(async {
        let mut took = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let began = SystemClock.instant();
            call().await;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let began = SystemClock.instant();
        for _ in 0..ROUNDS / 32 {
            join_all((0..32).map(|_| call())).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(ROUNDS / 32 * 32).unwrap()) / seconds;
        let (p50, p99) = (took[ROUNDS / 2], took[ROUNDS * 99 / 100]);
        println!("{name}: p50 {p50:?}, p99 {p99:?}, {rate:.0} calls/s on one core");
    });
}
