//! Real child processes.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward_core::{Scope, Secret, Tools};
use doorward_mcp_broker::{Broker, Direct, Server, ServerKind};

use crate::peers::{call, cx};

const SERVER: &str = r#"
echo "a banner that is no message"
echo "chatter" >&2
while read -r line; do
  id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"env"},{"name":"die"}]}' ;;
    *'"name":"die"'*) exit 3 ;;
    *'"method":"tools/call"'*) result="{\"content\":[],\"home\":\"$HOME\",\"mine\":\"$MINE\"}" ;;
    *) [ -n "$id" ] && echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"no\"}}"; continue ;;
  esac
  [ -n "$id" ] && echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$result}"
done
"#;

fn shell(name: &str, script: &str) -> Server {
    let env = BTreeMap::from([
        ("PATH".to_owned(), Secret::new("/usr/bin:/bin")),
        ("MINE".to_owned(), Secret::new("yes")),
    ]);
    let command = vec!["/bin/sh".into(), "-c".into(), script.into()];
    Server::new(name, ServerKind::Stdio { command, env, cwd: None })
}

#[tokio::test]
async fn a_child_speaks_runs_in_its_own_environment_and_starts_again() {
    let broker = Broker::builder().launcher(Direct).server(shell("sh", SERVER)).build().unwrap();
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    assert_eq!(list.tools.len(), 2, "{:?}", list.gaps);
    let got = broker.call(&cx(), call("sh__env", "{}")).await.unwrap();
    assert_eq!(got.result.get(), r#"{"content":[],"home":"","mine":"yes"}"#);
    broker.call(&cx(), call("sh__die", "{}")).await.unwrap_err();
    broker.call(&cx(), call("sh__env", "{}")).await.unwrap();
    assert_eq!(broker.status()[0].restarts, 1);
    broker.close().await;
}

#[tokio::test]
async fn a_child_that_will_not_end_is_ended() {
    let stubborn = format!("{SERVER}\ntrap '' TERM; while :; do sleep 1; done");
    let broker = Broker::builder().launcher(Direct).server(shell("sh", &stubborn)).build().unwrap();
    broker.start().await;
    tokio::time::timeout(Duration::from_secs(8), broker.close()).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_gap_that_tells_no_path() {
    let broker = Broker::builder()
        .launcher(Direct)
        .server(Server::stdio("gone", ["/no/such/program", "--token=secret"]))
        .build()
        .unwrap();
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    assert_eq!(list.gaps[0].reason, "server `gone` could not be started");
    assert!(!format!("{broker:?} {:?}", broker.status()).contains("secret"));
}
