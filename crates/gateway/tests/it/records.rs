//! Every admitted, denied, failed and cancelled call leaves exactly one record, on both planes.

use std::time::Duration;

use doorward_core::{Code, Kind, Outcome, Scopes};
use doorward_gateway::RecordTools;
use doorward_ledger::{Amount, Rule, Unit, Window};
use doorward_model_router::Outbound;
use http::Method;
use http_body_util::BodyExt;

use crate::client::{Client, WIRES, Wire, call};
use crate::stack::{Setup, Stack, endings, until};
use crate::tracker::ISSUE;
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
    Scopes { models: Some(vec![]), tools: Some(vec![]), ..Scopes::default() }
}

fn no_calls() -> Vec<Rule> {
    vec![Rule::new("none-today", Unit::Requests, Amount::whole(0), Window::Day)]
}

fn begins(request: &Outbound, end: End) -> Play {
    let messages = request.uri().path().ends_with("/messages");
    Play::events(if messages { &MESSAGE_EVENTS[..2] } else { &CHAT_EVENTS[..2] }, end)
}

/// One model call and its record.
struct ModelCase {
    name: &'static str,
    setup: fn() -> Setup,
    script: fn(&Outbound) -> Play,
    stream: bool,
    leaves: Leaves,
    /// How often the upstream is asked.
    asked: usize,
    outcome: Outcome,
    error: Option<Code>,
}

impl ModelCase {
    /// A call that goes well.
    const WELL: Self = Self {
        name: "whole",
        setup: Setup::default,
        script: greets,
        stream: false,
        leaves: Leaves::AtTheEnd,
        asked: 1,
        outcome: Outcome::Completed,
        error: None,
    };

    /// A call that its upstream fails.
    const FAILED: Self =
        Self { outcome: Outcome::Failed, error: Some(Code::Upstream), ..Self::WELL };

    /// A call whose caller goes away.
    const CANCELLED: Self =
        Self { outcome: Outcome::Cancelled, error: Some(Code::Cancelled), ..Self::WELL };

    async fn run(&self, wire: Wire) {
        let case = format!("{}, {wire:?}", self.name);
        let model = if wire == Wire::Chat { "chat/m-1" } else { "claude/m-1" };
        let stack = (self.setup)().build(Upstream::new(self.script));
        let client = stack.client().await;
        let body = wire.ask(model, self.stream);
        leave(&stack, client, wire.path(), body, self.leaves).await;
        assert_eq!(stack.upstream.asked().len(), self.asked, "{case}");
        if self.leaves != Leaves::AtTheEnd {
            until("the upstream is let go", || stack.upstream.open() == 0).await;
        }
        let calls = stack.close().await;
        let [ending] = endings(&calls)[..] else { panic!("{case}: {calls:?}") };
        assert_eq!((ending.outcome, ending.error), (self.outcome, self.error), "{case}");
        assert!(matches!(&ending.kind, Kind::Model { model: m, .. } if m == model), "{case}");
        assert_eq!(&*ending.who.id, "alice@example.com", "{case}");
    }
}

#[tokio::test]
async fn every_model_call_leaves_exactly_one_record() {
    let cases = [
        ModelCase::WELL,
        ModelCase { name: "streamed", stream: true, ..ModelCase::WELL },
        ModelCase {
            name: "not on the key's list",
            setup: || Setup { scopes: none(), ..Setup::default() },
            asked: 0,
            outcome: Outcome::Denied,
            ..ModelCase::WELL
        },
        ModelCase {
            name: "no room in a limit",
            setup: || Setup { rules: no_calls(), ..Setup::default() },
            stream: true,
            asked: 0,
            outcome: Outcome::Denied,
            error: Some(Code::RateLimited),
            ..ModelCase::WELL
        },
        ModelCase {
            name: "refused upstream",
            script: |_| Play::json(500, REFUSED),
            ..ModelCase::FAILED
        },
        ModelCase { name: "unreachable", script: |_| Play::Unreachable, ..ModelCase::FAILED },
        ModelCase {
            name: "cut",
            script: |request| begins(request, End::Cut),
            stream: true,
            ..ModelCase::FAILED
        },
        ModelCase {
            name: "ended too soon",
            script: |request| begins(request, End::Clean),
            stream: true,
            ..ModelCase::FAILED
        },
        ModelCase {
            name: "left before the answer",
            script: |_| Play::Nothing,
            leaves: Leaves::BeforeTheAnswer,
            ..ModelCase::CANCELLED
        },
        ModelCase {
            name: "left midway",
            script: |request| begins(request, End::Silent),
            stream: true,
            leaves: Leaves::Midway,
            ..ModelCase::CANCELLED
        },
    ];
    for case in cases {
        for wire in WIRES {
            case.run(wire).await;
        }
    }
}

/// Sends a request, and leaves when told.
async fn leave(stack: &Stack, mut client: Client, path: &str, body: String, leaves: Leaves) {
    let request = client.request(Method::POST, path, body);
    match leaves {
        Leaves::AtTheEnd => drop(client.send(request).await),
        Leaves::Midway => {
            let mut answer = client.open(request).await;
            answer.body_mut().frame().await.unwrap().unwrap();
        }
        Leaves::BeforeTheAnswer => {
            let waiting = tokio::spawn(async move { client.send(request).await });
            until("the call is upstream", || stack.upstream.open() == 1).await;
            waiting.abort();
            drop(waiting.await);
        }
    }
}

/// One tool call and its record.
struct ToolCase {
    name: &'static str,
    setup: fn() -> Setup,
    tool: &'static str,
    leaves: Leaves,
    /// A piece of what the client is told.
    told: &'static str,
    outcome: Outcome,
    error: Option<Code>,
}

impl ToolCase {
    /// A call that goes well.
    const WELL: Self = Self {
        name: "run",
        setup: Setup::default,
        tool: "tracker__get_issue",
        leaves: Leaves::AtTheEnd,
        told: ISSUE,
        outcome: Outcome::Completed,
        error: None,
    };

    async fn run(&self, record_tools: RecordTools) {
        let case = format!("{}, recorded {record_tools:?}", self.name);
        let stack = Setup { record_tools, ..(self.setup)() }.build(Upstream::new(greets));
        let mut client = stack.client().await;
        if self.leaves == Leaves::AtTheEnd {
            let answer = client.call(self.tool).await;
            assert!(answer.body.contains(self.told), "{case}: {answer:?}");
            drop(client);
        } else {
            // Waits for the call to run: on record as started where that is asked for.
            let request = client.request(Method::POST, "/mcp", call(self.tool));
            let waiting = tokio::spawn(async move { client.send(request).await });
            tokio::time::sleep(Duration::from_millis(200)).await;
            let started = usize::from(record_tools == RecordTools::Before);
            assert_eq!(stack.log.events().len(), started, "{case}");
            waiting.abort();
            drop(waiting.await);
        }
        let calls = stack.close().await;
        let [ending] = endings(&calls)[..] else { panic!("{case}: {calls:?}") };
        assert_eq!((ending.outcome, ending.error), (self.outcome, self.error), "{case}");
        let Kind::Tool { tool, .. } = &ending.kind else { panic!("{case}: {ending:?}") };
        assert_eq!(tool.as_str(), self.tool, "{case}");
    }
}

#[tokio::test]
async fn every_tool_call_leaves_exactly_one_record() {
    let cases = [
        ToolCase::WELL,
        ToolCase {
            name: "not on the key's list",
            setup: || Setup { scopes: none(), ..Setup::default() },
            told: "Unknown tool",
            outcome: Outcome::Denied,
            ..ToolCase::WELL
        },
        ToolCase {
            name: "without a grant",
            tool: "tracker__send",
            told: "Refused by policy (ungranted)",
            outcome: Outcome::Denied,
            ..ToolCase::WELL
        },
        ToolCase {
            name: "no room in a limit",
            setup: || Setup { rules: no_calls(), ..Setup::default() },
            told: "none-today",
            outcome: Outcome::Denied,
            error: Some(Code::RateLimited),
            ..ToolCase::WELL
        },
        ToolCase {
            name: "no reply in time",
            tool: "hasty__hang",
            told: "isError",
            outcome: Outcome::Failed,
            error: Some(Code::Timeout),
            ..ToolCase::WELL
        },
        ToolCase {
            name: "left before the reply",
            tool: "tracker__hang",
            leaves: Leaves::BeforeTheAnswer,
            outcome: Outcome::Cancelled,
            error: Some(Code::Cancelled),
            ..ToolCase::WELL
        },
    ];
    for case in cases {
        for record_tools in [RecordTools::Before, RecordTools::After] {
            case.run(record_tools).await;
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
