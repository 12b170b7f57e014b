//! The official `@modelcontextprotocol/server-everything` on all its transports, where
//! `DOORWARD_EVERYTHING` named its program when the tests were built.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{LogLevel, Scope, Secret, Stage, Tools};
use doorward_mcp_broker::{Broker, Direct, Era, Server, ServerKind};
use serde_json::json;

use crate::peers::{ALL, Person, call_of, cx};

async fn check(server: Server) {
    let server = Server { timeout: Duration::from_secs(20), ..server };
    let broker = Broker::builder().launcher(Direct).server(server).build().unwrap();
    let list = broker.list(&cx(), &Scope::All).await.unwrap();
    assert!(list.tools.len() >= 10, "{:?}", list.gaps);
    let person = Person::new("ann", ALL).hearing(Some(LogLevel::Debug), true);
    let person = Arc::new(person.answering(|method, _| {
        Ok(match method {
            "sampling/createMessage" => json!({
                "role": "assistant", "model": "m", "stopReason": "endTurn",
                "content": {"type": "text", "text": "sampled"},
            }),
            "elicitation/create" => json!({"action": "decline"}),
            _ => json!({"roots": [{"uri": "file:///mine", "name": "mine"}]}),
        })
    }));
    for (tool, arguments, says) in [
        ("e__echo", r#"{"message":"hi"}"#, "Echo: hi"),
        ("e__trigger-long-running-operation", r#"{"duration":1,"steps":2}"#, "completed"),
        ("e__trigger-sampling-request", r#"{"prompt":"p","maxTokens":5}"#, "sampled"),
        ("e__trigger-elicitation-request", "{}", "declined"),
        ("e__get-roots-list", "{}", "roots"),
        ("e__simulate-research-query", r#"{"topic":"x"}"#, "Research"),
    ] {
        let got = broker.call(&cx(), call_of(&person, tool, arguments)).await.unwrap();
        assert_eq!(got.stage, Stage::Complete);
        assert!(!got.is_error && got.result.get().contains(says), "{tool}: {}", got.result);
    }
    let asked = person.asked.lock().unwrap().clone();
    for method in ["roots/list", "sampling/createMessage", "elicitation/create"] {
        assert!(asked.iter().any(|(asked, _)| asked == method), "{method}: {asked:?}");
    }
    let progress = person.told.lock().unwrap().iter().filter(|t| t["progress"].is_number()).count();
    assert!(progress >= 2, "{progress}");
    assert_eq!(broker.status()[0].era, Some(Era::Legacy));
    assert_eq!(broker.status()[0].restarts, 0);
    broker.close().await;
}

#[tokio::test]
async fn the_official_server_is_served_on_all_its_transports() {
    let Some(program) = option_env!("DOORWARD_EVERYTHING") else { return };
    let path = Secret::new("/usr/local/bin:/usr/bin:/bin");
    let env = BTreeMap::from([("PATH".to_owned(), path)]);
    let command = vec![program.into(), "stdio".into()];
    check(Server::new("e", ServerKind::Stdio { command, env, cwd: None })).await;
    for (mode, path) in [("streamableHttp", "/mcp"), ("sse", "/sse")] {
        let port = {
            let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            free.local_addr().unwrap().port()
        };
        let child = tokio::process::Command::new(program)
            .arg(mode)
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        check(Server::http("e", format!("http://127.0.0.1:{port}{path}"))).await;
        drop(child);
    }
}
