//! WebAssembly components: one that serves MCP, and what it gets when it asks for more.
//!
//! The component is built with `rustc --target wasm32-wasip2`. Where that target is not installed
//! (`rustup target add wasm32-wasip2`), that is said and nothing is tested; with
//! `DOORWARD_TEST_WASM=require` it is a failure.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use doorward_sandbox::{Child, Limits, Network, Sandbox, SpawnError, Spec, Wasm};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::{Ended, LAUNCHER, Scene, end, soon};

static GUEST: OnceLock<Option<PathBuf>> = OnceLock::new();

/// The component, built once.
fn guest() -> Option<String> {
    let built = GUEST.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let component = folder.join("guest.wasm");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/component/guest.rs");
        let told = Command::new("rustc")
            .args([
                "--edition=2024",
                "--target=wasm32-wasip2",
                "-Copt-level=s",
                "-Clto=fat",
                "-Cstrip=symbols",
            ])
            .arg("-o")
            .args([&component, &source])
            .output()
            .unwrap();
        if told.status.success() {
            return Some(component);
        }
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        // Any other failure is one of the component.
        assert!(said.contains("wasm32-wasip2") && said.contains("E0463"), "{said}");
        None
    });
    if built.is_none() {
        println!("SKIPPED: no target wasm32-wasip2 here; components were NOT run");
        #[expect(clippy::disallowed_methods, reason = "how the tests are to be run is said there")]
        let wanted = std::env::var("DOORWARD_TEST_WASM").is_ok_and(|value| value == "require");
        assert!(!wanted, "no target wasm32-wasip2 here");
    }
    built.as_ref().map(|path| path.to_str().unwrap().to_owned())
}

/// A component at work.
struct Server {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(sandbox: &Wasm, spec: &Spec) -> Self {
        let mut child = sandbox.spawn(spec).unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdin, lines }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Option<Value> {
        let id = 7;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.stdin.write_all(format!("{call}\n").as_bytes()).await.unwrap();
        let line = tokio::time::timeout(Duration::from_mins(1), self.lines.next_line()).await;
        let answer: Value = serde_json::from_str(&line.expect("it answers").unwrap()?).unwrap();
        assert_eq!(answer["id"], id);
        Some(answer)
    }

    /// What a tool says, and whether it failed. None where the component is no more.
    async fn call(&mut self, tool: &str, argument: &str) -> Option<Result<String, String>> {
        let answer = self.ask("tools/call", json!({ "name": tool, "argument": argument })).await?;
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        Some(if result["isError"] == true { Err(text) } else { Ok(text) })
    }

    async fn succeeds(&mut self, tool: &str, argument: &str) -> String {
        self.call(tool, argument).await.expect("it lives").expect(tool)
    }

    async fn fails(&mut self, tool: &str, argument: &str) -> String {
        self.call(tool, argument).await.expect("it lives").expect_err(tool)
    }

    async fn end(mut self) -> Ended {
        drop(self.stdin);
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
        let status = self.child.wait().await.unwrap();
        Ended { code: status.code(), out: String::new(), err }
    }
}

fn sandbox() -> Wasm {
    Wasm::new(LAUNCHER)
}

#[tokio::test]
async fn a_component_serves_mcp_over_stdio() {
    let Some(guest) = guest() else { return };
    let mut server = Server::start(&sandbox(), &Spec::new([guest.as_str(), "--flag", "a b"]));
    let hello = server.ask("initialize", json!({})).await.unwrap();
    assert_eq!(hello["result"]["serverInfo"]["name"], "guest");
    let list = server.ask("tools/list", json!({})).await.unwrap();
    assert_eq!(list["result"]["tools"][0]["name"], "echo");
    assert_eq!(server.succeeds("echo", "hello").await, "hello");
    assert_eq!(server.succeeds("args", "").await, "--flag a b");
    assert!(server.ask("no/such", json!({})).await.unwrap()["error"]["code"] == -32601);
    let ended = server.end().await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), "ready\n"));

    let ended = end(sandbox().spawn(&Spec::new([guest.as_str(), "exit=7"])).unwrap()).await;
    // WASI 0.2 knows success and failure.
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn a_component_sees_only_the_variables_it_is_given() {
    let Some(guest) = guest() else { return };
    let mut spec = Spec::new([guest]);
    spec.env.insert("TOKEN".into(), "s3cret".into());
    let mut server = Server::start(&sandbox(), &spec);
    assert_eq!(server.succeeds("env", "").await, "TOKEN=s3cret");
    let id = server.child.id().unwrap();
    let environ = std::fs::read(format!("/proc/{id}/environ")).unwrap();
    assert!(environ.is_empty(), "{}", String::from_utf8_lossy(&environ));
}

#[tokio::test]
async fn a_component_reads_and_writes_only_what_it_is_given() {
    let Some(guest) = guest() else { return };
    let scene =
        Scene::new(&[("read/x", "readable"), ("write/x", "old"), ("secret", "TELL NOBODY")]);
    std::os::unix::fs::symlink("../secret", scene.path("read/way")).unwrap();
    std::os::unix::fs::symlink(scene.path("secret"), scene.path("write/way")).unwrap();
    let mut spec = Spec::new([guest]);
    spec.read = vec![scene.path("read")];
    spec.write = vec![scene.path("write")];
    let mut server = Server::start(&sandbox(), &spec);
    assert_eq!(server.succeeds("read", &scene.text("read/x")).await, "readable");
    assert_eq!(server.succeeds("write", &scene.text("write/x")).await, "written");
    assert_eq!(server.succeeds("write", &scene.text("write/new")).await, "written");
    for (tool, path) in [
        ("read", "/etc/passwd".to_owned()),
        ("read", "/proc/self/environ".to_owned()),
        ("read", scene.text("secret")),
        ("read", format!("{}/../secret", scene.text("read"))),
        ("read", format!("{}/../../../../../../etc/passwd", scene.text("write"))),
        ("read", scene.text("read/way")),
        ("read", scene.text("write/way")),
        ("write", scene.text("read/x")),
        ("write", scene.text("read/new")),
        ("write", scene.text("write/way")),
        ("write", "/tmp/new".to_owned()),
        ("remove", scene.text("read/x")),
        ("link", format!("{} {}", scene.text("write/link"), scene.text("secret"))),
    ] {
        let said = server.fails(tool, &path).await;
        assert!(!said.contains("TELL"), "{tool} {path}: {said}");
    }
    assert_eq!(std::fs::read_to_string(scene.path("write/x")).unwrap(), "written");
    assert_eq!(std::fs::read_to_string(scene.path("read/x")).unwrap(), "readable");
    assert_eq!(std::fs::read_to_string(scene.path("secret")).unwrap(), "TELL NOBODY");
}

#[tokio::test]
async fn a_component_has_no_network_it_is_not_given() {
    let Some(guest) = guest() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let heard = datagrams.local_addr().unwrap().to_string();
    listener.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();

    let mut spec = Spec::new([guest]);
    let mut server = Server::start(&sandbox(), &spec);
    for (tool, argument) in [
        ("connect", at.as_str()),
        ("connect", "169.254.169.254:80"),
        ("datagram", &heard),
        ("resolve", "localhost"),
    ] {
        server.fails(tool, argument).await;
    }
    assert!(listener.accept().is_err());
    assert!(datagrams.recv(&mut [0]).is_err());

    spec.network = Network::Proxy;
    let refused = sandbox().spawn(&spec).unwrap_err();
    assert!(matches!(refused, SpawnError::Unsupported { .. }), "{refused}");

    // What was refused is there to be had.
    spec.network = Network::Host;
    let mut server = Server::start(&sandbox(), &spec);
    listener.set_nonblocking(false).unwrap();
    let answer = std::thread::spawn(move || {
        std::io::Write::write_all(&mut listener.accept().unwrap().0, b"hello").unwrap();
    });
    assert_eq!(server.succeeds("connect", &at).await, "hello");
    answer.join().unwrap();
    assert!(server.succeeds("resolve", "localhost").await.contains(":80"));
    server.succeeds("datagram", &heard).await;
}

#[tokio::test]
async fn an_endless_loop_ends_by_fuel() {
    let Some(guest) = guest() else { return };
    let sandbox = sandbox().fuel(20_000_000);
    let mut server = Server::start(&sandbox, &Spec::new([guest.clone()]));
    assert_eq!(server.call("spin", "").await, None);
    let ended = server.end().await;
    assert_eq!(ended.code, Some(134));
    assert!(ended.err.contains("fuel"), "{ended:?}");

    // A server that goes on being asked goes on: each time within the fuel, together far beyond.
    let mut server = Server::start(&sandbox, &Spec::new([guest]));
    for _ in 0..20 {
        server.succeeds("work", "1000000").await;
    }
    assert_eq!(server.call("work", "100000000").await, None);
}

#[tokio::test]
async fn a_component_has_the_memory_it_is_given() {
    let Some(guest) = guest() else { return };
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    let mut server = Server::start(&sandbox(), &Spec { limits, ..Spec::new([guest.clone()]) });
    let said = server.fails("grow", "").await;
    let megabytes: u32 = said.strip_suffix(" MiB").unwrap().parse().unwrap();
    assert!((32..64).contains(&megabytes), "{said}");
    assert_eq!(server.succeeds("echo", "still here").await, "still here");

    // Not even enough to begin with.
    let limits = Limits { memory: 1 << 10, ..limits };
    let refused = sandbox().spawn(&Spec { limits, ..Spec::new([guest]) }).unwrap_err();
    assert!(matches!(&refused, SpawnError::Exec { reason, .. } if reason.contains("memory")));
}

#[tokio::test]
async fn a_fault_ends_only_the_component() {
    let Some(guest) = guest() else { return };
    for (tool, why) in [("recurse", "wasm trap"), ("panic", "as asked")] {
        let mut server = Server::start(&sandbox(), &Spec::new([guest.clone()]));
        assert_eq!(server.call(tool, "").await, None, "{tool}");
        let ended = server.end().await;
        assert_eq!(ended.code, Some(134), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
    }
    // Processor time is the last resort.
    let limits = Limits { cpu_seconds: Some(4), ..Limits::default() };
    let spec = Spec { limits, ..Spec::new([guest]) };
    let mut server = Server::start(&sandbox().fuel(u64::MAX), &spec);
    assert_eq!(server.call("spin", "").await, None);
    assert!(!server.child.wait().await.unwrap().success());
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let scene = Scene::new(&[("text.wasm", "no component"), ("module.wasm", "\0asm\x01\0\0\0")]);
    for name in ["text.wasm", "module.wasm"] {
        let error = sandbox().spawn(&Spec::new([scene.text(name)])).unwrap_err();
        assert!(matches!(error, SpawnError::Exec { .. }), "{name}: {error}");
    }
    let error = sandbox().spawn(&Spec::new(["/no/such.wasm"])).unwrap_err();
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
    assert!(matches!(sandbox().spawn(&Spec::default()), Err(SpawnError::EmptyCommand)));
    let mut spec = Spec::new([scene.text("text.wasm")]);
    spec.read = vec![scene.path("module.wasm")];
    let error = sandbox().spawn(&spec).unwrap_err();
    assert!(error.to_string().contains("folders only"), "{error}");
}

#[tokio::test]
async fn a_component_ends_with_its_child() {
    let Some(guest) = guest() else { return };
    for how in ["kill", "drop", "terminate"] {
        let mut server = Server::start(&sandbox(), &Spec::new([guest.clone()]));
        assert_eq!(server.succeeds("echo", "up").await, "up");
        let id = server.child.id().unwrap();
        match how {
            "kill" => server.child.kill().await.unwrap(),
            "drop" => drop(server),
            _ => {
                server.child.terminate().unwrap();
                assert_eq!(server.child.wait().await.unwrap().code(), Some(143));
            }
        }
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        soon(how, || !runs()).await;
    }
}
