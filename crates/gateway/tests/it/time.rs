//! Signs of life, and the deadline. All but the tool plane on a clock that the test holds.

use std::time::Duration;

use doorward_core::{Code, Outcome};
use doorward_gateway::EdgeLimits;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::client::{WIRES, Wire};
use crate::stack::{Setup, Stack, endings};
use crate::upstream::{CHAT_EVENTS, End, MESSAGE_EVENTS, Play, Upstream, greets};

const KEEP_ALIVE: &str = ": keep-alive\n\n";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn within(timeout: Duration) -> Setup {
    Setup { limits: EdgeLimits { timeout, ..Setup::default().limits }, ..Setup::default() }
}

/// The pieces of a stream and the second each came in, from the request on.
async fn timed(began: Instant, mut body: Incoming) -> Vec<(u64, String)> {
    let mut pieces = vec![];
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        pieces.push((began.elapsed().as_secs(), String::from_utf8_lossy(&piece).into_owned()));
    }
    pieces
}

async fn stream(stack: &Stack, wire: Wire, model: &str) -> (u16, u64, Vec<(u64, String)>) {
    let mut client = stack.client().await;
    let request = client.request(Method::POST, wire.path(), wire.ask(model, true));
    let began = Instant::now();
    let (head, body) = client.open(request).await.into_parts();
    let opened = began.elapsed().as_secs();
    (head.status.as_u16(), opened, timed(began, body).await)
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_shows_signs_of_life() {
    for (wire, events) in [(Wire::Chat, &CHAT_EVENTS), (Wire::Messages, &MESSAGE_EVENTS)] {
        // Says something, thinks for 25 seconds, then says the rest.
        let upstream = Upstream::new(move |_| Play::events(events, End::Clean).wait(1, secs(25)));
        let stack = Setup::default().build(upstream);
        let model = if wire == Wire::Chat { "chat/m-1" } else { "claude/m-1" };
        let (status, opened, pieces) = stream(&stack, wire, model).await;
        assert_eq!((status, opened), (200, 0));
        let times: Vec<_> = pieces.iter().map(|(at, piece)| (*at, piece == KEEP_ALIVE)).collect();
        assert_eq!(times[..3], [(0, false), (10, true), (20, true)], "{wire:?}: {pieces:?}");
        assert!(times[3..].iter().all(|time| *time == (25, false)), "{wire:?}: {pieces:?}");
        let said: String =
            pieces.iter().map(|(_, piece)| &**piece).filter(|piece| *piece != KEEP_ALIVE).collect();
        assert_eq!(said, events.concat(), "nothing else was put in");
        assert_eq!(wire.hear(true, &said).text, "Hello there");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_talks_needs_no_signs_of_life() {
    // The guard holds the tool call back until it is whole: for a while nothing is said then.
    let all = || Play::events(&CHAT_EVENTS, End::Clean);
    let slow = move |_: &_| (1..6).fold(all(), |play, place| play.wait(place, secs(4)));
    let stack = Setup::default().build(Upstream::new(slow));
    let (_, _, pieces) = stream(&stack, Wire::Chat, "chat/m-1").await;
    let times: Vec<u64> = pieces.iter().map(|(at, _)| *at).collect();
    assert!(pieces.iter().all(|(_, piece)| piece != KEEP_ALIVE), "{pieces:?}");
    assert_eq!((times.first(), times.last()), (Some(&0), Some(&20)));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_its_time_is_waited_for_within_the_stream() {
    for wire in WIRES {
        let upstream = Upstream::new(|request| greets(request).wait(0, secs(35)));
        let stack = Setup::default().build(upstream);
        let (status, opened, pieces) = stream(&stack, wire, "chat/m-1").await;
        assert_eq!((status, opened), (200, 10), "the head is a sign of life too");
        let alive: Vec<u64> =
            pieces.iter().filter(|(_, piece)| piece == KEEP_ALIVE).map(|(at, _)| *at).collect();
        assert_eq!(alive, [20, 30], "{pieces:?}");
        let said: String = pieces.iter().map(|(_, piece)| &**piece).collect();
        assert_eq!(wire.hear(true, &said).text, "Hello there", "{said}");
        let calls = stack.close().await;
        assert_eq!(endings(&calls)[0].outcome, Outcome::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_given_up() {
    for wire in WIRES {
        for stream in [false, true] {
            let stack = within(secs(5)).build(Upstream::new(|_| Play::Nothing));
            let began = Instant::now();
            let answer = stack.client().await.ask(wire, "chat/m-1", stream).await;
            assert_eq!((answer.status, began.elapsed().as_secs()), (504, 5), "{answer:?}");
            wire.error(&answer.json());
            assert_eq!(stack.upstream.open(), 0, "the upstream was let go");
            let calls = stack.close().await;
            let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
            assert_eq!((ending.outcome, ending.error), (Outcome::Failed, Some(Code::Timeout)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_too_long_ends_with_an_error_and_not_cleanly() {
    type Script = fn(&doorward_model_router::Outbound) -> Play;
    let silent: Script = |_| Play::Nothing;
    let midway: Script = |_| Play::events(&CHAT_EVENTS[..2], End::Silent);
    for (script, timeout) in [(silent, 25), (midway, 25), (midway, 4)] {
        for wire in WIRES {
            let stack = within(secs(timeout)).build(Upstream::new(script));
            let (status, _, pieces) = stream(&stack, wire, "chat/m-1").await;
            assert_eq!(status, 200);
            let (at, last) = pieces.last().unwrap();
            assert_eq!(*at, timeout, "{wire:?}: {pieces:?}");
            assert!(last.contains("took too long"), "{wire:?}: {pieces:?}");
            let clean = ["[DONE]", "message_stop"];
            assert!(!clean.iter().any(|end| last.contains(end)), "{wire:?}: {pieces:?}");
            let error = last.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            wire.error(&serde_json::from_str(error).unwrap());
            assert_eq!(stack.upstream.open(), 0, "the upstream was let go");
            let calls = stack.close().await;
            let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
            assert_eq!((ending.outcome, ending.error), (Outcome::Failed, Some(Code::Timeout)));
        }
    }
}

#[tokio::test]
async fn a_tool_that_takes_too_long_is_given_up() {
    let stack = within(Duration::from_millis(300)).build(Upstream::new(greets));
    let answer = stack.client().await.call("tracker__hang").await;
    assert_eq!(answer.json()["result"]["isError"], true, "{answer:?}");
    let calls = stack.close().await;
    let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
    assert_eq!((ending.outcome, ending.error), (Outcome::Failed, Some(Code::Timeout)));
}
