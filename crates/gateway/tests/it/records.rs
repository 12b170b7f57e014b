//! Every admitted, denied, failed and cancelled call leaves exactly one record, on both planes.

use std::time::Duration;

use doorward_core::{Code, Kind, Outcome, Pattern, Scopes};
use doorward_gateway::RecordTools;
use doorward_ledger::{Amount, Rule, Unit, Window};
use http::Method;
use http_body_util::BodyExt;

use crate::client::{Client, WIRES, Wire, call};
use crate::stack::{Setup, Stack, endings, until};
use crate::upstream::{CHAT_EVENTS, End, MESSAGE_EVENTS, Play, Upstream, greets};

/// When the client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// When it has all of the answer.
    AtTheEnd,
    /// While nothing has come yet.
    BeforeTheAnswer,
    /// After the first piece of the answer.
    Midway,
}

const REFUSED: &str = r#"{"error":{"message":"the model broke","type":"server_error"}}"#;

fn none() -> Scopes {
    Scopes { models: Some(vec![]), tools: Some(vec![]) }
}

fn no_calls() -> Vec<Rule> {
    vec![Rule::new("none-today", Unit::Requests, Amount::whole(0), Window::Day)]
}

fn begins(request: &doorward_model_router::Outbound, end: End) -> Play {
    let messages = request.uri().path().ends_with("/messages");
    Play::events(if messages { &MESSAGE_EVENTS[..2] } else { &CHAT_EVENTS[..2] }, end)
}

#[tokio::test]
async fn every_model_call_leaves_exactly_one_record() {
    use Leaves::{AtTheEnd, BeforeTheAnswer, Midway};
    let free = Setup::default;
    type Script = fn(&doorward_model_router::Outbound) -> Play;
    let cases: [(&str, fn() -> Setup, Script, bool, Leaves, Outcome, Option<Code>, usize); 10] = [
        ("whole", free, greets, false, AtTheEnd, Outcome::Completed, None, 1),
        ("streamed", free, greets, true, AtTheEnd, Outcome::Completed, None, 1),
        (
            "not on the key's list",
            || Setup { scopes: none(), ..Setup::default() },
            greets,
            false,
            AtTheEnd,
            Outcome::Denied,
            None,
            0,
        ),
        (
            "no room in a limit",
            || Setup { rules: no_calls(), ..Setup::default() },
            greets,
            true,
            AtTheEnd,
            Outcome::Denied,
            Some(Code::RateLimited),
            0,
        ),
        (
            "refused upstream",
            free,
            |_| Play::json(500, REFUSED),
            false,
            AtTheEnd,
            Outcome::Failed,
            Some(Code::Upstream),
            1,
        ),
        (
            "unreachable",
            free,
            |_| Play::Unreachable,
            true,
            AtTheEnd,
            Outcome::Failed,
            Some(Code::Upstream),
            1,
        ),
        (
            "cut",
            free,
            |request| begins(request, End::Cut),
            true,
            AtTheEnd,
            Outcome::Failed,
            Some(Code::Upstream),
            1,
        ),
        (
            "ended too soon",
            free,
            |request| begins(request, End::Clean),
            true,
            AtTheEnd,
            Outcome::Failed,
            Some(Code::Upstream),
            1,
        ),
        (
            "left before the answer",
            free,
            |_| Play::Nothing,
            false,
            BeforeTheAnswer,
            Outcome::Cancelled,
            Some(Code::Cancelled),
            1,
        ),
        (
            "left midway",
            free,
            |request| begins(request, End::Silent),
            true,
            Midway,
            Outcome::Cancelled,
            Some(Code::Cancelled),
            1,
        ),
    ];
    for (case, setup, script, stream, leaves, outcome, error, asked) in cases {
        for wire in WIRES {
            let model = if wire == Wire::Chat { "chat/m-1" } else { "claude/m-1" };
            let stack = setup().build(Upstream::new(script));
            let client = stack.client().await;
            let body = wire.ask(model, stream);
            leave(&stack, client, wire.path(), body, leaves, asked).await;
            assert_eq!(stack.upstream.asked().len(), asked, "{case}, {wire:?}");
            if leaves != AtTheEnd {
                until("the exchange with the upstream is closed", || stack.upstream.open() == 0)
                    .await;
            }
            let calls = stack.close().await;
            let [ending] = endings(&calls)[..] else { panic!("{case}, {wire:?}: {calls:?}") };
            assert_eq!((ending.outcome, ending.error), (outcome, error), "{case}, {wire:?}");
            assert!(matches!(&ending.kind, Kind::Model { model: m, .. } if m == model), "{case}");
            assert_eq!(&*ending.who.id, "alice@example.com", "{case}");
        }
    }
}

/// Sends a request, and leaves when told.
async fn leave(
    stack: &Stack,
    mut client: Client,
    path: &str,
    body: String,
    leaves: Leaves,
    asked: usize,
) {
    let request = client.request(Method::POST, path, body);
    match leaves {
        Leaves::AtTheEnd => drop(client.send(request).await),
        Leaves::Midway => {
            let mut answer = client.open(request).await;
            answer.body_mut().frame().await.unwrap().unwrap();
        }
        Leaves::BeforeTheAnswer => {
            let waiting = tokio::spawn(async move { client.send(request).await });
            until("the call is upstream", || stack.upstream.asked().len() == asked).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            waiting.abort();
            drop(waiting.await);
        }
    }
}

#[tokio::test]
async fn every_tool_call_leaves_exactly_one_record() {
    use Leaves::{AtTheEnd, BeforeTheAnswer};
    let free = Setup::default;
    let scoped = || Setup {
        scopes: Scopes { models: None, tools: Some(vec![Pattern::new("tracker__send")]) },
        ..Setup::default()
    };
    let cases: [(&str, fn() -> Setup, &str, Leaves, Outcome, Option<Code>, &str); 6] = [
        ("run", free, "tracker__get_issue", AtTheEnd, Outcome::Completed, None, "login page"),
        (
            "not on the key's list",
            scoped,
            "tracker__get_issue",
            AtTheEnd,
            Outcome::Denied,
            None,
            "Unknown tool",
        ),
        (
            "without a grant",
            free,
            "tracker__send",
            AtTheEnd,
            Outcome::Denied,
            None,
            "Refused by policy (ungranted)",
        ),
        (
            "no room in a limit",
            || Setup { rules: no_calls(), ..Setup::default() },
            "tracker__get_issue",
            AtTheEnd,
            Outcome::Denied,
            Some(Code::RateLimited),
            "none-today",
        ),
        (
            "no reply in time",
            free,
            "hasty__hang",
            AtTheEnd,
            Outcome::Failed,
            Some(Code::Timeout),
            "isError",
        ),
        (
            "left before the reply",
            free,
            "tracker__hang",
            BeforeTheAnswer,
            Outcome::Cancelled,
            Some(Code::Cancelled),
            "",
        ),
    ];
    for record_tools in [RecordTools::Before, RecordTools::After] {
        for (case, setup, tool, leaves, outcome, error, told) in cases {
            let case = format!("{case}, recorded {record_tools:?}");
            let stack = Setup { record_tools, ..setup() }.build(Upstream::new(greets));
            let mut client = stack.client().await;
            if leaves == AtTheEnd {
                let answer = client.call(tool).await;
                assert!(answer.body.contains(told), "{case}: {answer:?}");
                drop(client);
            } else {
                // Waits for the call to run: on record as started where that is asked for.
                let request = client.request(Method::POST, "/mcp", call(tool));
                let waiting = tokio::spawn(async move { client.send(request).await });
                tokio::time::sleep(Duration::from_millis(100)).await;
                let started = usize::from(record_tools == RecordTools::Before);
                assert_eq!(stack.log.events().len(), started, "{case}");
                waiting.abort();
                drop(waiting.await);
            }
            let calls = stack.close().await;
            let [ending] = endings(&calls)[..] else { panic!("{case}: {calls:?}") };
            assert_eq!((ending.outcome, ending.error), (outcome, error), "{case}");
            assert!(
                matches!(&ending.kind, Kind::Tool { tool: t, .. } if t.as_str() == tool),
                "{case}: {ending:?}"
            );
        }
    }
}

#[tokio::test]
async fn calls_side_by_side_have_a_record_each() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..12 {
        let mut client = stack.client().await;
        running.spawn(async move {
            match number % 3 {
                0 => client.ask(Wire::Chat, "claude/m-1", true).await.status,
                1 => client.ask(Wire::Messages, "chat/m-1", false).await.status,
                _ => client.call("tracker__get_issue").await.status,
            }
        });
    }
    assert_eq!(running.join_all().await, [200; 12]);
    let calls = stack.close().await;
    let endings = endings(&calls);
    assert_eq!(endings.len(), 12);
    assert!(endings.iter().all(|event| event.outcome == Outcome::Completed));
    let requests: std::collections::HashSet<_> =
        endings.iter().map(|event| event.request).collect();
    assert_eq!(requests.len(), 12, "each of its own request");
}
