//! What the edge itself refuses, in the client's own dialect.

use std::time::Duration;

use doorward_core::{Code, Outcome};
use doorward_gateway::EdgeLimits;
use doorward_ledger::{Amount, Rule, Unit, Window};
use http::Method;

use crate::client::{WIRES, Wire, call};
use crate::stack::{Setup, endings, until};
use crate::upstream::{Play, Upstream, greets};

#[tokio::test]
async fn requests_that_lead_nowhere_are_told_so() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    let (post, get) = (Method::POST, Method::GET);
    let ask = Wire::Chat.ask("chat/m-1", false);
    for (method, path, body, status, told) in [
        (&post, "/v1/chat/completion", &*ask, 404, "no such route"),
        (&post, "/", &ask, 404, "no such route"),
        (&get, "/v1/", "", 404, "no such route"),
        (&get, "/mcp/a/b", "", 404, "no such route"),
        (&get, "/v1/chat/completions", "", 405, "POST only"),
        (&Method::PUT, "/v1/messages", "{}", 405, "POST only"),
        (&get, "/v1/models/nobody%2Fnothing", "", 404, "nobody/nothing"),
        (&post, "/v1/chat/completions", "{", 400, ""),
        (&post, "/v1/chat/completions", "", 400, ""),
        (&post, "/v1/chat/completions", r#"{"model":"chat/m-1"}"#, 400, "messages"),
        (&post, "/v1/messages", r#"{"model":"chat/m-1","messages":5}"#, 400, "messages"),
    ] {
        let request = client.request(method.clone(), path, body.to_owned());
        let answer = client.send(request).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let wire = if path == "/v1/messages" { Wire::Messages } else { Wire::Chat };
        wire.error(&answer.json());
        assert!(answer.body.contains(told), "{method} {path}: {answer:?}");
        let allowed = (status == 405).then_some("POST");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    }
    for method in [&get, &Method::DELETE] {
        let request = client.request(method.clone(), "/mcp", "");
        assert_eq!(client.send(request).await.status, 405, "{method} /mcp");
    }
    drop(client);
    assert_eq!(stack.upstream.asked().len(), 0);
    assert!(stack.close().await.is_empty(), "none of it was a call");
}

#[tokio::test]
async fn an_unknown_model_is_not_found_and_recorded() {
    for wire in WIRES {
        let stack = Setup::default().build(Upstream::new(greets));
        let answer = stack.client().await.ask(wire, "nobody/m-1", false).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        wire.error(&answer.json());
        let calls = stack.close().await;
        let [ending] = endings(&calls)[..] else { panic!("{calls:?}") };
        assert_eq!((ending.outcome, ending.error), (Outcome::Failed, Some(Code::NotFound)));
    }
}

#[tokio::test]
async fn strangers_are_turned_away_before_anything_else() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut client = stack.client().await;
    for (header, value, status) in [
        ("authorization", "Bearer dw-nobody", 401),
        ("authorization", "Basic YTpi", 401),
        ("origin", "https://evil.test", 403),
        ("host", "evil.test", 403),
    ] {
        for (path, wire) in [
            ("/v1/messages", Wire::Messages),
            ("/v1/chat/completions", Wire::Chat),
            ("/v1/models", Wire::Chat),
            ("/mcp", Wire::Chat),
            ("/nowhere", Wire::Chat),
        ] {
            let body = wire.ask("chat/m-1", false);
            let mut request = client.request(Method::POST, path, body);
            request.headers_mut().insert(header, value.parse().unwrap());
            let answer = client.send(request).await;
            assert_eq!(answer.status, status, "{header}: {value}, {path}: {answer:?}");
            wire.error(&answer.json());
            let challenged = answer.header("www-authenticate").is_some();
            assert_eq!(challenged, status == 401, "{header}: {value}, {path}");
        }
    }
    // Whether anyone is there, everyone may know.
    for (path, status) in [("/healthz", 200), ("/readyz", 200)] {
        let mut request = client.request(Method::GET, path, "");
        request.headers_mut().remove("authorization");
        assert_eq!(client.send(request).await.status, status, "{path}");
    }
    stack.retire();
    let request = client.request(Method::GET, "/readyz", "");
    assert_eq!(client.send(request).await.status, 503);
    drop(client);
    assert_eq!(stack.upstream.asked().len(), 0);
    assert!(stack.metrics.render().contains("doorward_requests_refused_total 20"));
    assert!(stack.close().await.is_empty());
}

#[tokio::test]
async fn a_request_over_the_limit_is_too_large() {
    let limits = EdgeLimits { body: 1024, ..Setup::default().limits };
    let stack = Setup { limits, ..Setup::default() }.build(Upstream::new(greets));
    let padding = |body: String, size: usize| format!("{}{body}", " ".repeat(size - body.len()));
    for (path, wire, body) in [
        ("/v1/chat/completions", Wire::Chat, Wire::Chat.ask("chat/m-1", false)),
        ("/v1/messages", Wire::Messages, Wire::Messages.ask("chat/m-1", false)),
        ("/mcp", Wire::Chat, call("tracker__get_issue")),
    ] {
        for (size, status) in [(1024, 200), (1025, 413), (60 << 10, 413)] {
            let mut client = stack.client().await;
            let request = client.request(Method::POST, path, padding(body.clone(), size));
            let answer = client.send(request).await;
            assert_eq!(answer.status, status, "{path}, {size} bytes: {answer:?}");
            if status == 413 {
                wire.error(&answer.json());
            }
        }
    }
    assert_eq!(endings(&stack.close().await).len(), 3);
}

#[tokio::test]
async fn too_many_requests_at_once_are_turned_away() {
    let limits = EdgeLimits { in_flight: 1, ..Setup::default().limits };
    let upstream = Upstream::new(|_| Play::Nothing);
    let stack = Setup { limits, ..Setup::default() }.build(upstream);
    let mut first = stack.client().await;
    let waiting = tokio::spawn(async move { first.ask(Wire::Chat, "chat/m-1", false).await });
    until("the first is upstream", || stack.upstream.asked().len() == 1).await;

    let mut client = stack.client().await;
    for wire in WIRES {
        let answer = client.ask(wire, "chat/m-1", false).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        wire.error(&answer.json());
    }
    assert_eq!(client.call("tracker__get_issue").await.status, 503);
    let request = client.request(Method::GET, "/healthz", "");
    assert_eq!(client.send(request).await.status, 200, "whoever looks after us is let in");

    waiting.abort();
    drop(waiting.await);
    until("the first has ended", || stack.upstream.open() == 0).await;
    assert_eq!(client.call("tracker__get_issue").await.status, 200);
    drop(client);
    let calls = stack.close().await;
    let outcomes: Vec<Outcome> = endings(&calls).iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Completed]);
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_ends() {
    let limits = EdgeLimits { in_flight: 1, ..Setup::default().limits };
    let upstream = Upstream::new(|_| {
        Play::events(&crate::upstream::CHAT_EVENTS[..1], crate::upstream::End::Silent)
    });
    let stack = Setup { limits, ..Setup::default() }.build(upstream);
    let mut first = stack.client().await;
    let body = Wire::Chat.ask("chat/m-1", true);
    let request = first.request(Method::POST, "/v1/chat/completions", body);
    let stream = first.open(request).await;
    assert_eq!(stream.status(), 200);
    let mut client = stack.client().await;
    assert_eq!(client.call("tracker__get_issue").await.status, 503);
    drop((first, stream));
    until("the stream is closed", || stack.upstream.open() == 0).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(client.call("tracker__get_issue").await.status, 200);
}

#[tokio::test]
async fn a_used_up_limit_is_told_in_the_clients_dialect() {
    for (unit, amount, status, code) in [
        (Unit::Requests, Amount::whole(1), 429, Code::RateLimited),
        (Unit::Tokens, Amount::whole(1000), 429, Code::RateLimited),
        (Unit::Usd, Amount::whole(1000), 402, Code::BudgetExhausted),
    ] {
        for wire in WIRES {
            for stream in [false, true] {
                let case = format!("{unit:?}, {wire:?}, stream: {stream}");
                let rules = vec![Rule::new("scarce", unit, amount, Window::Day)];
                // The first call takes more than anyone could know, and so all there is.
                let upstream = Upstream::new(|request| dear(&greets(request)));
                let stack = Setup { rules, ..Setup::default() }.build(upstream);
                let mut client = stack.client().await;
                let first = client.ask(wire, "chat/m-1", false).await;
                assert_eq!(first.status, 200, "{case}: {first:?}");

                let refused = client.ask(wire, "chat/m-1", stream).await;
                assert_eq!(refused.status, status, "{case}: {refused:?}");
                wire.error(&refused.json());
                assert!(refused.body.contains("`scarce` is used up"), "{case}: {refused:?}");
                let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
                assert!((86_000..=86_400).contains(&wait), "{case}: {wait}");
                drop(client);
                assert_eq!(stack.upstream.asked().len(), 1, "{case}");

                let calls = stack.close().await;
                let [_, ending] = endings(&calls)[..] else { panic!("{case}: {calls:?}") };
                assert_eq!((ending.outcome, ending.error), (Outcome::Denied, Some(code)), "{case}");
                assert_eq!(&*ending.decision.rule, "scarce", "{case}");
            }
        }
    }
}

/// The same answer, for 20,000 tokens.
fn dear(play: &Play) -> Play {
    let Play::Answer { status, kind, pieces, end } = play.clone() else { return play.clone() };
    let dearer =
        |piece: &[u8]| String::from_utf8_lossy(piece).replace("tokens\":20", "tokens\":20000");
    let pieces = pieces.into_iter().map(|(wait, piece)| (wait, dearer(&piece).into())).collect();
    Play::Answer { status, kind, pieces, end }
}
