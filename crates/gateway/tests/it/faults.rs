//! When parts fail: the log, the code, the client.

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::Outage;
use doorward_core::{
    BoxFuture, CallError, Code, Cx, Event, Kind, Model, ModelCall, ModelReply, Models, Outcome,
};
use doorward_gateway::{EdgeLimits, RecordTools};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{WIRES, Wire};
use crate::stack::{Setup, endings, until};
use crate::upstream::{Upstream, greets};

#[tokio::test]
async fn nothing_runs_while_the_log_takes_no_records() {
    let outage = (Outage::Refuse, 8);
    let stack = Setup { outage, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    // The last call that gets through: its record is what shows that the log is sick.
    stack.log.fail(true);
    assert_eq!(client.ask(Wire::Chat, "chat/m-1", false).await.status, 200);
    until("the recorder knows", || stack.recorder.stats().sick).await;

    for wire in WIRES {
        for stream in [false, true] {
            let answer = client.ask(wire, "chat/m-1", stream).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            wire.error(&answer.json());
            assert!(answer.body.contains("takes no records"), "{answer:?}");
            assert!(!answer.body.contains("device"), "the cause is ours: {answer:?}");
        }
    }
    for tool in ["tracker__get_issue", "tracker__send"] {
        let answer = client.call(tool).await;
        let reply = &answer.json()["result"];
        assert_eq!(reply["isError"], true, "{answer:?}");
        assert!(answer.body.contains("takes no records"), "{answer:?}");
    }
    assert_eq!(stack.upstream.asked().len(), 1, "nothing else went upstream");

    stack.log.fail(false);
    until("the recorder is well again", || !stack.recorder.stats().sick).await;
    assert_eq!(client.ask(Wire::Messages, "chat/m-1", false).await.status, 200);
    assert!(client.call("tracker__get_issue").await.body.contains("login page"));
    drop(client);
    let calls = stack.close().await;
    let outcomes: Vec<Outcome> = endings(&calls).iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Completed; 3], "those that ran, and no other");
}

#[tokio::test]
async fn models_are_asked_while_there_is_room_for_records_and_tools_are_not() {
    let outage = (Outage::Admit, 3);
    let limits = EdgeLimits { timeout: Duration::from_millis(300), ..Setup::default().limits };
    let stack = Setup { limits, outage, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    stack.log.fail(true);
    assert_eq!(client.ask(Wire::Chat, "chat/m-1", false).await.status, 200);
    until("the recorder knows", || stack.recorder.stats().sick).await;
    let answer = client.call("tracker__get_issue").await;
    assert!(answer.body.contains("takes no records"), "{answer:?}");
    for _ in 0..2 {
        assert_eq!(client.ask(Wire::Chat, "chat/m-1", false).await.status, 200);
    }
    let full = client.ask(Wire::Chat, "chat/m-1", false).await;
    assert!(matches!(full.status, 503 | 504), "{full:?}");
    assert_eq!(stack.upstream.asked().len(), 3, "what has no room does not run");

    stack.log.fail(false);
    until("the recorder is well again", || !stack.recorder.stats().sick).await;
    drop(client);
    let calls = stack.close().await;
    let completed = |event: &&Event| event.outcome == Outcome::Completed;
    assert_eq!(endings(&calls).into_iter().filter(completed).count(), 3, "nothing is lost");
}

#[tokio::test]
async fn a_tool_does_not_run_before_its_call_is_on_record() {
    let limits = EdgeLimits { timeout: Duration::from_millis(300), ..Setup::default().limits };
    let stack = Setup { limits, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    stack.log.fail(true);
    // Nobody knows yet that the log is sick. The call waits for its record, and not for ever.
    let answer = client.call("tracker__get_issue").await;
    assert!(!answer.body.contains("login page"), "{answer:?}");
    assert!(answer.body.contains("takes no records"), "{answer:?}");
    stack.log.fail(false);
    drop(client);
    let calls = stack.close().await;
    let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
    assert_eq!((ending.outcome, ending.error), (Outcome::Failed, Some(Code::Internal)));
}

#[tokio::test]
async fn a_reply_is_handed_out_after_its_record() {
    let limits = EdgeLimits { timeout: Duration::from_millis(300), ..Setup::default().limits };
    let setup = Setup { record_tools: RecordTools::After, limits, ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    stack.log.fail(true);
    let answer = client.call("tracker__get_issue").await;
    assert!(!answer.body.contains("login page"), "{answer:?}");
    stack.log.fail(false);
    drop(client);
    let calls = stack.close().await;
    let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
    assert_eq!(ending.outcome, Outcome::Completed, "it did run");
}

/// Panics where the model is `panic`.
struct Brittle(Arc<dyn Models>);

impl Models for Brittle {
    fn complete<'a>(
        &'a self,
        cx: &'a Cx,
        call: ModelCall,
    ) -> BoxFuture<'a, Result<ModelReply, CallError>> {
        assert!(!call.model.starts_with("panic"), "the innermost part broke on {}", call.model);
        if call.model.starts_with("late-panic") {
            return Box::pin(async { panic!("the innermost part broke") });
        }
        self.0.complete(cx, call)
    }

    fn models(&self) -> Vec<Model> {
        self.0.models()
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_request_works() {
    let setup = Setup { models: |models| Arc::new(Brittle(models)), ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let mut panics = 0;
    for wire in WIRES {
        for (model, stream) in [("panic", false), ("panic", true), ("late-panic", true)] {
            let answer = client.ask(wire, model, stream).await;
            assert_eq!(answer.status, 500, "{answer:?}");
            wire.error(&answer.json());
            assert!(!answer.body.contains("innermost"), "{answer:?}");
            panics += 1;
            // On the same connection.
            assert_eq!(client.ask(wire, "claude/m-1", stream).await.status, 200);
        }
    }
    drop(client);
    let calls = stack.close().await;
    let endings = endings(&calls);
    assert_eq!(endings.len(), 2 * panics);
    for ending in endings {
        let Kind::Model { model, .. } = &ending.kind else { panic!("{ending:?}") };
        let panicked = (Outcome::Failed, Some(Code::Internal));
        let expected = if model.contains("panic") { panicked } else { (Outcome::Completed, None) };
        assert_eq!((ending.outcome, ending.error), expected, "{ending:?}");
    }
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_its_place() {
    let timeout = Duration::from_millis(200);
    let limits = EdgeLimits { timeout, in_flight: 1, ..Setup::default().limits };
    let stack = Setup { limits, ..Setup::default() }.build(Upstream::new(greets));
    for path in ["/v1/chat/completions", "/v1/messages", "/mcp"] {
        let mut stream = stack.stream();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway.test\r\nauthorization: Bearer {}\r\n\
             content-length: 1000\r\n\r\n{{\"model\":",
            stack.key.expose()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer));
        let length = read.await.expect("an answer").unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 504"), "{path}: {answer}");
    }
    let mut client = stack.client().await;
    let request = client.request(Method::GET, "/v1/models", "");
    assert_eq!(client.send(request).await.status, 200);
}
