use std::collections::BTreeMap;

use doorward_core::SystemClock;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;
use crate::Server;
use crate::launch::{Command, Launched, Launcher, Process};

fn read(text: &str) -> Result<ToolReply, Failure> {
    neutral(RawValue::from_string(text.into()).unwrap())
}

#[test]
fn a_result_is_freed_of_its_era() {
    for (result, plain, is_error) in [
        (r#"{"content":[],"x":1.0}"#, r#"{"content":[],"x":1.0}"#, false),
        (r#"{"resultType":"complete","x":1e2}"#, r#"{"x":1e2}"#, false),
        (r#"{"isError":true}"#, r#"{"isError":true}"#, true),
    ] {
        let reply = read(result).unwrap();
        assert_eq!((reply.result.get(), reply.is_error), (plain, is_error), "{result}");
    }
}

#[test]
fn what_is_no_result_is_refused() {
    for result in [
        "null",
        "[]",
        "3",
        r#"{"resultType":"other"}"#,
        r#"{"isError":1}"#,
        r#"{"isError":true,"isError":false}"#,
    ] {
        assert!(read(result).is_err(), "{result}");
    }
    for (result, stage) in [
        (r#"{"resultType":"input_required","requestState":"s"}"#, Stage::InputRequired),
        (r#"{"resultType":"task","taskId":"t"}"#, Stage::Task),
        (r#"{"task":{"taskId":"t"}}"#, Stage::Task),
        (r#"{"task":{"taskId":"t"},"content":[]}"#, Stage::Complete),
    ] {
        let reply = read(result).unwrap();
        assert_eq!((reply.stage, reply.result.get()), (stage, result));
    }
}

#[test]
fn a_modern_server_is_told_who_asks() {
    let meta = RawValue::from_string(
        r#"{"progressToken":1,"io.modelcontextprotocol/logLevel":"debug","mine":{"a": 1}}"#.into(),
    )
    .unwrap();
    let whose = Whose { principal: "p".into(), credential: None };
    let params = RawValue::from_string(r#"{"name":"t"}"#.into()).unwrap();
    let ask = Ask { params: Some(&params), meta: Some(&meta), ..Ask::new("tools/call", &whose) };
    assert_eq!(ask.params(Era::Legacy, Some(1)), r#"{"name":"t","_meta":{"mine":{"a": 1}}}"#);
    let modern = ask.params(Era::Modern, Some(1));
    assert!(modern.contains(r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#));
    assert!(!modern.contains("progressToken") && !modern.contains("logLevel"), "{modern}");
}

/// A process made of a closure: what it says to each line.
struct Scripted(Arc<Script>);

type Script = dyn Fn(&serde_json::Value) -> Vec<String> + Send + Sync;

struct Task(tokio::task::JoinHandle<()>);

impl Process for Task {
    fn kill(&mut self) -> BoxFuture<'_, ()> {
        self.0.abort();
        Box::pin(async {})
    }
    fn wait(&mut self) -> BoxFuture<'_, std::io::Result<Option<i32>>> {
        Box::pin(async {
            if !self.0.is_finished() {
                (&mut self.0).await.ok();
            }
            Ok(None)
        })
    }
}

impl Launcher for Scripted {
    fn launch<'a>(
        &'a self,
        _server: &'a str,
        _command: &'a Command,
    ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
        let (stdin, server_in) = tokio::io::duplex(1 << 16);
        let (mut server_out, stdout) = tokio::io::duplex(1 << 16);
        let script = self.0.clone();
        let task = tokio::spawn(async move {
            let mut lines = BufReader::new(server_in).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                for said in script(&serde_json::from_str(&line).unwrap()) {
                    if said == "die" {
                        return;
                    }
                    server_out.write_all(format!("{said}\n").as_bytes()).await.unwrap();
                }
            }
        });
        let (stdin, stdout) = (Box::new(stdin), Box::new(stdout));
        let launched = Launched { stdin, stdout, stderr: None, process: Box::new(Task(task)) };
        Box::pin(async { Ok(launched) })
    }
}

type Seen = Arc<std::sync::Mutex<Vec<serde_json::Value>>>;

fn link(
    adjust: impl Fn(Server) -> Server,
    script: impl Fn(&serde_json::Value) -> Vec<String> + Send + Sync + 'static,
) -> (Box<dyn Link>, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let launcher = Scripted(Arc::new(move |message| {
        kept.lock().unwrap().push(message.clone());
        script(message)
    }));
    let command =
        Command { program: "p".into(), args: vec![], env: BTreeMap::default(), cwd: None };
    let server = adjust(Server::stdio("s", ["p"]));
    let clock = Arc::new(SystemClock);
    let pool = child::Child::new(&server, command, Arc::new(launcher), clock, Arc::default());
    (Box::new(pool), seen)
}

fn reply(to: &serde_json::Value, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, to["id"])
}

fn legacy(message: &serde_json::Value) -> Vec<String> {
    let told = match message["method"].as_str() {
        Some("initialize") => {
            r#"{"protocolVersion":"2025-06-18","capabilities":{"x":{ }},"serverInfo":{"name":"s"},"instructions":"do"}"#
        }
        Some("server/discover") => {
            return vec![format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"no"}}}}"#,
                message["id"]
            )];
        }
        Some("die") => return vec!["die".into()],
        Some("resources/subscribe") => {
            let params = message["params"].to_string();
            return vec![
                reply(message, "{}"),
                format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{params}}}"#
                ),
            ];
        }
        Some(method) if !method.starts_with("notifications/") => "{}",
        _ => return vec![],
    };
    vec![reply(message, told)]
}

fn of(principal: &str) -> Whose {
    Whose { principal: principal.into(), credential: None }
}

async fn heard(news: &mut broadcast::Receiver<Rumour>) -> Rumour {
    let wait = Duration::from_secs(5);
    tokio::time::timeout(wait, news.recv()).await.unwrap().unwrap()
}

fn count(seen: &Seen, method: &str) -> usize {
    seen.lock().unwrap().iter().filter(|message| message["method"] == method).count()
}

#[tokio::test]
async fn a_server_introduces_itself() {
    let (link, _) = link(|s| s, legacy);
    let hello = link.hello(&of("ann")).await.unwrap();
    assert_eq!((hello.era, hello.version), (Era::Legacy, "2025-06-18"));
    assert_eq!(hello.capabilities.get(), r#"{"x":{ }}"#);
    assert_eq!(hello.server_info.as_ref().unwrap().get(), r#"{"name":"s"}"#);
    assert_eq!(hello.instructions.as_deref(), Some("do"));
}

#[tokio::test]
async fn a_followed_resource_is_subscribed_once_and_again_after_a_restart() {
    let (link, seen) = link(|s| s, legacy);
    let ann = of("ann");
    let mut news = link.rumours(&ann);
    for _ in 0..2 {
        link.follow(&ann, "a://b", true).await.unwrap();
    }
    let Rumour::Updated(params) = heard(&mut news).await else { panic!("something else") };
    assert_eq!(params.get(), r#"{"uri":"a://b"}"#);
    assert_eq!(count(&seen, "resources/subscribe"), 1);
    link.ask(Ask::new("die", &ann)).await.unwrap_err();
    // Nobody asks anything: it comes back because somebody listens.
    let told: Vec<_> = [
        heard(&mut news).await,
        heard(&mut news).await,
        heard(&mut news).await,
        heard(&mut news).await,
    ]
    .into();
    assert!(told.iter().any(|rumour| matches!(rumour, Rumour::Updated(_))), "{told:?}");
    assert!(told.iter().any(|rumour| matches!(rumour, Rumour::Tools)), "{told:?}");
    assert_eq!(count(&seen, "resources/subscribe"), 2);
    link.follow(&ann, "a://b", false).await.unwrap();
    assert_eq!(count(&seen, "resources/unsubscribe"), 0, "one still follows");
    link.follow(&ann, "a://b", false).await.unwrap();
    assert_eq!(count(&seen, "resources/unsubscribe"), 1);
}

#[tokio::test]
async fn rumours_reach_their_own_principal_and_of_lists_the_gateway() {
    let (link, _) = link(
        |s| s,
        |message| {
            match message["method"].as_str() {
        Some("stir") => ["tools/list_changed", "prompts/list_changed", "resources/updated", "tasks/status"]
            .map(|news| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{news}","params":{{"taskId":"k"}}}}"#))
            .into_iter()
            .chain([reply(message, "{}")])
            .collect(),
        _ => legacy(message),
    }
        },
    );
    let (ann, bob, gateway) = (of("ann"), of("bob"), of("doorward"));
    let mut heard_by = [&ann, &bob, &gateway].map(|whose| link.rumours(whose));
    link.ask(Ask::new("stir", &ann)).await.unwrap();
    let mut told = |at: usize| std::iter::from_fn(|| heard_by[at].try_recv().ok()).count();
    assert_eq!((told(0), told(1), told(2)), (4, 0, 2));
}

#[tokio::test]
async fn a_modern_server_is_listened_to_anew_when_the_interest_changes() {
    let (link, seen) = link(
        |s| s,
        |message| {
            match message["method"].as_str() {
        Some("server/discover") => vec![reply(
            message,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"prompts":{"listChanged":true}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"m"}}}"#,
        )],
        Some("subscriptions/listen") => vec![
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}"#.into(),
            r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#.into(),
        ],
        _ => vec![],
    }
        },
    );
    let ann = of("ann");
    let mut news = link.rumours(&ann);
    assert!(matches!(heard(&mut news).await, Rumour::Prompts));
    link.follow(&ann, "a://b", true).await.unwrap();
    assert!(matches!(heard(&mut news).await, Rumour::Prompts));
    let hello = link.hello(&ann).await.unwrap();
    assert_eq!(hello.server_info.as_ref().unwrap().get(), r#"{"name":"m"}"#);
    let seen = seen.lock().unwrap();
    let wanted: Vec<_> = seen
        .iter()
        .filter(|message| message["method"] == "subscriptions/listen")
        .map(|message| message["params"]["notifications"].to_string())
        .collect();
    assert_eq!(
        wanted,
        [
            r#"{"promptsListChanged":true}"#,
            r#"{"promptsListChanged":true,"resourceSubscriptions":["a://b"]}"#,
        ]
    );
}

#[tokio::test]
async fn a_listener_keeps_its_connection_and_its_going_lets_it_end() {
    let idle_after = Duration::from_millis(100);
    let (link, _) = link(move |s| Server { idle_after, ..s }, legacy);
    let news = link.rumours(&of("ann"));
    link.hello(&of("ann")).await.unwrap();
    tokio::time::sleep(idle_after * 4).await;
    assert_eq!(link.condition().state, State::Up);
    drop(news);
    for _ in 0..100 {
        if link.condition().state == State::Idle {
            return;
        }
        tokio::time::sleep(idle_after).await;
    }
    panic!("never ended");
}

#[cfg(feature = "http")]
#[tokio::test]
async fn a_refused_credential_is_told_with_what_the_server_wants() {
    use tokio::io::AsyncReadExt as _;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _read = stream.read(&mut buffer).await.unwrap();
            let answer = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer scope=\"a\"\r\n\
                www-authenticate: DPoP\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let url = format!("http://{at}/mcp?key=secret");
    let server = Server::http("web", &url);
    let pool = Arc::new(origin::Origin::new(&server, &url, Arc::default()).unwrap());
    let failure = pool.ask(Ask::new("tools/list", &of("ann"))).await.unwrap_err();
    assert!(!format!("{failure:?}").contains("secret"));
    let Failure::Refused { status, url, challenges } = failure else { panic!("{failure:?}") };
    assert_eq!((status, url), (401, format!("http://{at}/mcp")));
    assert_eq!(challenges, ["Bearer scope=\"a\"", "DPoP"]);
}
