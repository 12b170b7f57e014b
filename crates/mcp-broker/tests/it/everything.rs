//! `@modelcontextprotocol/server-everything`, where it is installed: `DOORWARD_EVERYTHING` names
//! its program. Skipped otherwise.
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{LogLevel, Scope, Secret, Tools};
use doorward_mcp_broker::{Broker, Direct, Server, ServerKind};
use serde_json::json;

use crate::peers::{ALL, Person, call_of, cx};

fn program() -> Option<String> {
    option_env!("DOORWARD_EVERYTHING").map(ToOwned::to_owned)
}

fn path() -> BTreeMap<String, Secret> {
    BTreeMap::from([("PATH".to_owned(), Secret::new("/usr/local/bin:/usr/bin:/bin"))])
}

async fn check(server: Server) {
    let broker = Broker::builder().launcher(Direct).server(server).build().unwrap();
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    let names: Vec<_> = list.tools.iter().map(|tool| tool.name.to_string()).collect();
    eprintln!("{names:?} {:?}", list.gaps);
    assert!(names.len() >= 10, "{names:?} {:?}", list.gaps);
    let person = Person::new("ann", ALL).hearing(Some(LogLevel::Debug), true);
    let person = Arc::new(person.answering(|method, _| {
        Ok(match method {
            "sampling/createMessage" => {
                json!({"role": "assistant", "model": "m", "stopReason": "endTurn",
                "content": {"type": "text", "text": "sampled"}})
            }
            "elicitation/create" => json!({"action": "decline"}),
            _ => json!({"roots": []}),
        })
    }));
    for (tool, arguments) in [
        ("e__echo", r#"{"message":"hi"}"#),
        ("e__trigger-long-running-operation", r#"{"duration":1,"steps":2}"#),
        ("e__trigger-sampling-request", r#"{"prompt":"p","maxTokens":5}"#),
        ("e__trigger-elicitation-request", "{}"),
        ("e__get-roots-list", "{}"),
        ("e__simulate-research-query", r#"{"topic":"x"}"#),
    ] {
        let got = broker.call(&cx(), call_of(&person, tool, arguments)).await;
        eprintln!(
            "{tool}: {:?}",
            got.map(|got| got.result.get().chars().take(300).collect::<String>())
        );
    }
    eprintln!(
        "asked {:?}",
        person.asked.lock().unwrap().iter().map(|a| a.0.clone()).collect::<Vec<_>>()
    );
    eprintln!("told {}", person.told.lock().unwrap().len());
    eprintln!("{:?}", broker.status());
    broker.close().await;
}

#[tokio::test]
async fn the_official_server_speaks_on_all_its_transports() {
    let Some(program) = program() else { return };
    let command = vec![program.clone(), "stdio".into()];
    check(Server::new("e", ServerKind::Stdio { command, env: path(), cwd: None })).await;
    for (mode, port, path_of) in [("streamableHttp", 39311, "/mcp"), ("sse", 39312, "/sse")] {
        let child = tokio::process::Command::new(&program)
            .arg(mode)
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!("== {mode}");
        check(Server::http("e", format!("http://127.0.0.1:{port}{path_of}"))).await;
        drop(child);
    }
}
