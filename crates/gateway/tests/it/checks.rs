//! Content checks where they stand: between client, model and tools, on record, and set up.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use doorward_core::{
    Clock, Cx, Outcome, Principal, RequestId, Secret, SystemEntropy, ToolName, TurnId,
};
use doorward_gateway::config::{Environment, Root, Syntax, WebhookField, WebhookProtocol};
use doorward_gateway::{Webhook, WebhookOptions};
use doorward_guardrails::checks::{
    Action, Check, Content, Opinion, Question, Stage, ToolAsked, Verdicts,
};
use doorward_testkit::clock::TestClock;
use http::Method;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::WIRES;
use crate::stack::{Setup, endings};
use crate::upstream::{End, Play, Upstream, greets};

const AWS: &str = "AKIAIOSFODNN7EXAMPLE";

/// Says a key in pieces, as a stream or whole.
fn blabs(request: &doorward_model_router::Outbound) -> Play {
    let text = String::from_utf8_lossy(request.body());
    let asked: Value = serde_json::from_str(&text).unwrap();
    let messages = request.uri().path().ends_with("/messages");
    if asked["stream"] != true {
        let play = greets(request);
        let Play::Answer { status, kind, pieces, end } = play else { unreachable!() };
        let told = |bytes: bytes::Bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            bytes::Bytes::from(text.replace("Hello there", &format!("It is {AWS}, I think")))
        };
        let pieces = pieces.into_iter().map(|(pause, bytes)| (pause, told(bytes))).collect();
        return Play::Answer { status, kind, pieces, end };
    }
    let pieces = ["It is AKIAIOSF", "ODNN7EXA", "MPLE, I", " think"];
    let chunk = |text: &&str| -> &'static str {
        let event = if messages {
            let delta = json!({ "type": "text_delta", "text": text });
            let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
            format!("event: content_block_delta\ndata: {data}\n\n")
        } else {
            let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
            let data = json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
                "choices": [choice],
            });
            format!("data: {data}\n\n")
        };
        event.leak()
    };
    let mut events: Vec<&str> = pieces.iter().map(chunk).collect();
    if messages {
        events.insert(0, crate::upstream::MESSAGE_EVENTS[0]);
        events.insert(1, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
        events.push(
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        );
        events.extend(&crate::upstream::MESSAGE_EVENTS[4..]);
    } else {
        events.extend(&crate::upstream::CHAT_EVENTS[3..]);
    }
    Play::events(&events, End::Clean)
}

#[tokio::test]
async fn what_a_check_takes_out_reaches_neither_model_nor_client_nor_record() {
    let checks = vec![Check::secrets()];
    let stack = Setup { checks, ..Setup::default() }.build(Upstream::new(blabs));
    let mut client = stack.client().await;
    for wire in WIRES {
        for stream in [false, true] {
            for upstream in ["chat", "claude"] {
                let body = wire.ask(&format!("{upstream}/m-1"), stream);
                let body = body.replace("Hi, look up 1", &format!("Hi, it is {AWS}"));
                let answer = client.send(client.request(Method::POST, wire.path(), body)).await;
                let heard = wire.hear(stream, &answer.body);
                let told = "It is [redacted:aws_access_key], I think";
                assert_eq!(heard.text, told, "{wire:?} {stream} {upstream}");
                assert!(!answer.body.contains("AKIA"), "{}", answer.body);
                assert_eq!(heard.usage, [20, 7], "{wire:?} {stream} {upstream}");
            }
        }
    }
    for asked in stack.upstream.asked() {
        let body = String::from_utf8_lossy(asked.body());
        assert!(body.contains("Hi, it is [redacted:aws_access_key]"), "{body}");
        assert!(!body.contains("AKIA"));
    }
    drop(client);
    let calls = stack.close().await;
    for event in endings(&calls) {
        let rules: Vec<&str> = event.checks.iter().map(|decision| &*decision.rule).collect();
        assert_eq!(rules, ["check.secrets.aws_access_key"; 2], "request and answer");
        assert!(!serde_json::to_string(event).unwrap().contains("AKIA"));
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_on_record_and_nothing_is_sent() {
    let checks = vec![Check::secrets().action(Action::Deny).at([Stage::Request])];
    let stack = Setup { checks, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    for wire in WIRES {
        let body = wire.ask("chat/m-1", false).replace("look up 1", AWS);
        let answer = client.send(client.request(Method::POST, wire.path(), body)).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains("aws access key") && !answer.body.contains("AKIA"));
    }
    let counted =
        json!({ "model": "claude/m-1", "messages": [{ "role": "user", "content": AWS }] });
    let request = client.request(Method::POST, "/v1/messages/count_tokens", counted.to_string());
    assert_eq!(client.send(request).await.status, 403);
    let input = json!({ "model": "chat/m-1", "input": ["fine", AWS] }).to_string();
    let embed = client.request(Method::POST, "/v1/embeddings", input);
    assert_eq!(client.send(embed).await.status, 403);
    assert!(stack.upstream.asked().is_empty());
    drop(client);
    let calls = stack.close().await;
    for event in endings(&calls) {
        assert_eq!(event.outcome, Outcome::Denied);
        assert_eq!(&*event.decision.rule, "check.secrets.aws_access_key");
    }
}

#[tokio::test]
async fn an_answer_refused_on_its_way_ends_with_an_error_and_shows_none_of_it() {
    let checks = vec![Check::secrets().action(Action::Deny).at([Stage::Answer])];
    let stack = Setup { checks, ..Setup::default() }.build(Upstream::new(blabs));
    let mut client = stack.client().await;
    for wire in WIRES {
        for stream in [false, true] {
            let answer = client.ask(wire, "chat/m-1", stream).await;
            assert!(answer.body.contains("aws access key"), "{answer:?}");
            assert!(!answer.body.contains("AKIA"), "{answer:?}");
        }
    }
    drop(client);
    let calls = stack.close().await;
    assert!(endings(&calls).iter().all(|event| event.outcome == Outcome::Denied));
}

#[tokio::test]
async fn arguments_and_results_of_tools_are_looked_at_at_the_broker() {
    let login = vec![("login".to_owned(), "login page".to_owned())];
    let checks = vec![
        Check::secrets().action(Action::Deny).at([Stage::Arguments]),
        Check::patterns(login).at([Stage::Result]),
    ];
    let stack = Setup { checks, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let call = |id: &str| {
        let params = json!({ "name": "tracker__get_issue", "arguments": { "id": id } });
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
    };
    let fine = client.send(client.request(Method::POST, "/mcp", call("7"))).await.json();
    assert_eq!(fine["result"]["content"][0]["text"], "The [redacted:login] is broken");
    let refused = client.send(client.request(Method::POST, "/mcp", call(AWS))).await.json();
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Refused by policy (check.secrets.aws_access_key)"), "{text}");
    drop(client);
    let calls = stack.close().await;
    let ended = endings(&calls);
    assert_eq!(&*ended[0].checks[0].rule, "check.patterns.login");
    assert_eq!((ended[1].outcome, ended[1].checks.len()), (Outcome::Denied, 1));
    assert_eq!(calls.values().map(Vec::len).sum::<usize>(), 3, "what is refused never began");
}

#[tokio::test]
async fn a_result_can_be_withheld() {
    let login = vec![("login".to_owned(), "login page".to_owned())];
    let checks = vec![Check::patterns(login).at([Stage::Result]).action(Action::Deny)];
    let stack = Setup { checks, ..Setup::default() }.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let withheld = client.call("tracker__get_issue").await;
    assert!(!withheld.body.contains("login page"), "{withheld:?}");
    assert!(withheld.body.contains("check.patterns.login"), "{withheld:?}");
    drop(client);
    let calls = stack.close().await;
    let ended = endings(&calls);
    assert_eq!(ended[0].outcome, Outcome::Completed, "the tool did run");
    assert!(!ended[0].checks[0].is_allowed());
}

fn cx() -> Cx {
    Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(Principal::person("alice@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

fn webhook(upstream: &Upstream, clock: &Arc<TestClock>, options: WebhookOptions) -> Webhook {
    Webhook::new(Arc::new(upstream.clone()), clock.clone(), options)
}

fn options(protocol: WebhookProtocol, send: &[WebhookField]) -> WebhookOptions {
    WebhookOptions {
        url: "http://guard.test/verdict".parse().unwrap(),
        protocol,
        timeout: Duration::from_secs(1),
        secret: Some(Secret::new("key")),
        token: Some(Secret::new("token")),
        send: send.to_vec(),
    }
}

#[tokio::test]
async fn a_webhook_is_told_what_was_declared_and_nothing_else_and_signed() {
    use WebhookField::{Arguments, Content as Whole, Digest, Principal as Who, Tool};
    let upstream = Upstream::new(|_| Play::json(200, r#"{"verdict":"allow"}"#));
    let clock = Arc::new(TestClock::default());
    let (cx, tool) = (cx(), ToolName::new("mail__send"));
    let arguments = to_raw_value(&json!({ "to": "bob" })).unwrap();
    let result = to_raw_value(&json!({ "content": [] })).unwrap();
    let asked = ToolAsked {
        name: &tool,
        description: Some("sends"),
        schema: None,
        arguments: Some(&arguments),
    };
    let question = Question {
        cx: &cx,
        stage: Stage::Result,
        model: None,
        tool: Some(asked),
        content: Content::Json(&result),
    };
    for (send, body) in [
        (&[Whole][..], json!({ "stage": "result", "json": { "content": [] } })),
        (
            &[Digest, Tool],
            json!({
                "stage": "result", "tool": "mail__send",
                "digests": [hex(&Sha256::digest(result.get().as_bytes()))],
            }),
        ),
        (
            &[Whole, Who, Arguments],
            json!({
                "stage": "result", "principal": "alice@example.com", "arguments": { "to": "bob" },
                "json": { "content": [] },
            }),
        ),
    ] {
        let webhook = webhook(&upstream, &clock, options(WebhookProtocol::Doorward, send));
        assert_eq!(webhook.ask(question).await, Ok(Opinion::Allow));
        let sent = upstream.asked().pop().unwrap();
        let told: Value = serde_json::from_slice(sent.body()).unwrap();
        assert_eq!(told, body);
        assert_eq!(sent.headers()["authorization"], "Bearer token");
        let at = clock.now().as_secs().to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let signed = [at.as_bytes(), b".", sent.body()].concat();
        let tag = hex(hmac::sign(&key, &signed).as_ref());
        assert_eq!(sent.headers()["x-doorward-signature"], format!("t={at},v1={tag}"));
        assert!(!format!("{sent:?} {webhook:?}").contains("Bearer token"), "secrets are not shown");
    }
}

#[tokio::test]
async fn other_guards_speak_their_own_forms() {
    use WebhookProtocol::{Doorward, Litellm, OpenaiModeration, Portkey};
    let cx = cx();
    let texts = ["a".to_owned(), "b".to_owned()];
    let question = Question {
        cx: &cx,
        stage: Stage::Request,
        model: Some("fast"),
        tool: None,
        content: Content::Texts(&texts),
    };
    let denied = |reason: &str| Some(Opinion::Deny(reason.to_owned()));
    let other = || Some(Opinion::Replace(vec!["x".into(), "y".into()]));
    for (protocol, answer, opinion) in [
        (Doorward, r#"{"verdict":"deny","reason":"no"}"#, denied("no")),
        (Doorward, r#"{"verdict":"replace","texts":["x","y"]}"#, other()),
        (Doorward, r#"{"verdict":"replace"}"#, None),
        (Doorward, r#"{"verdict":"maybe"}"#, None),
        (
            OpenaiModeration,
            r#"{"results":[{"flagged":false},{"flagged":false}]}"#,
            Some(Opinion::Allow),
        ),
        (
            OpenaiModeration,
            r#"{"results":[{"flagged":true,"categories":{"violence":true,"hate":false}}]}"#,
            denied("violence"),
        ),
        (OpenaiModeration, r#"{"results":[]}"#, None),
        (Litellm, r#"{"action":"NONE"}"#, Some(Opinion::Allow)),
        (Litellm, r#"{"action":"BLOCKED","blocked_reason":"no"}"#, denied("no")),
        (Litellm, r#"{"action":"GUARDRAIL_INTERVENED","texts":["x","y"]}"#, other()),
        (Portkey, r#"{"verdict":true}"#, Some(Opinion::Allow)),
        (Portkey, r#"{"verdict":false}"#, denied("")),
        (Portkey, "nonsense", None),
    ] {
        let upstream = Upstream::new(move |_| Play::json(200, answer));
        let clock = Arc::new(TestClock::default());
        let webhook = webhook(&upstream, &clock, options(protocol, &[WebhookField::Content]));
        assert_eq!(webhook.ask(question).await.ok(), opinion, "{answer}");
        let sent: Value = serde_json::from_slice(upstream.asked()[0].body()).unwrap();
        let expected = match protocol {
            Doorward => json!({ "stage": "request", "texts": ["a", "b"] }),
            OpenaiModeration => json!({ "input": ["a", "b"] }),
            Litellm => json!({ "texts": ["a", "b"], "input_type": "request" }),
            Portkey => json!({ "request": { "text": "a\nb" }, "eventType": "beforeRequestHook" }),
        };
        assert_eq!(sent, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_waited_for_once_and_left_alone_after_five_times() {
    let upstream = Upstream::new(|_| Play::Nothing);
    let clock = Arc::new(TestClock::default());
    let send = [WebhookField::Content];
    let webhook = webhook(&upstream, &clock, options(WebhookProtocol::Doorward, &send));
    let (cx, texts) = (cx(), []);
    let question = Question {
        cx: &cx,
        stage: Stage::Request,
        model: None,
        tool: None,
        content: Content::Texts(&texts),
    };
    for _ in 0..8 {
        assert!(webhook.ask(question).await.is_err());
    }
    assert_eq!(upstream.asked().len(), 5);
    clock.advance(Duration::from_secs(11));
    assert!(webhook.ask(question).await.is_err());
    assert!(webhook.ask(question).await.is_err());
    assert_eq!(upstream.asked().len(), 6, "one tries again");
}

#[test]
fn a_wrong_check_is_told_with_its_line() {
    for (text, told) in [
        (
            "kind = \"pii\"\nrules = [\"iban\", \"credit_crad\"]",
            "c.toml:3:18: check[0].rules[1]: there is no rule `credit_crad`; did you mean `credit_card`?",
        ),
        (
            "kind = \"secret\"",
            "c.toml:2:8: check[0].kind: unknown value `secret`; did you mean `secrets`?",
        ),
        (
            "kind = \"secrets\"\nmax_bytes = \"1KiB\"",
            "c.toml:3:13: check[0].max_bytes: a check of this kind has no use for it",
        ),
        (
            "kind = \"links\"\naction = \"mask\"",
            "c.toml:3:10: check[0].action: a check of links cannot do this",
        ),
        (
            "kind = \"patterns\"\npatterns = [{ name = \"a\", regex = \"(\" }]",
            "c.toml:3:13: check[0].patterns[0]: unclosed group",
        ),
        (
            "kind = \"webhook\"",
            "c.toml:1:1: check[0].webhook: nobody to ask; expected `webhook = { url = \"https://guard.example/verdict\" }`",
        ),
        (
            "kind = \"webhook\"\nwebhook = { url = \"guard\" }",
            "c.toml:3:19: check[0].webhook.url: no http or https URL",
        ),
        (
            "kind = \"webhook\"\nwebhook = { url = \"http://g/\", protocol = \"portkey\", send = [\"content\", \"team\"] }",
            "c.toml:3:61: check[0].webhook.send: this protocol has room for `content` only",
        ),
        ("kind = \"size\"", "c.toml:1:1: check[0].max_bytes: nothing is limited"),
        (
            "kind = \"pii\"\nstages = [\"answer\", \"request\", \"reply\"]",
            "c.toml:3:32: check[0].stages[2]: unknown value `reply`; expected one of `request`, `answer`, `arguments`, `result`",
        ),
    ] {
        let text = format!("[[check]]\n{text}\n");
        let error = Root::parse(&text, Syntax::Toml, "c.toml").unwrap_err().to_string();
        assert_eq!(error, told, "{text}");
    }
}

#[test]
fn a_check_is_set_up_as_written() {
    let text = r#"
        [[check]]
        kind = "secrets"
        action = "deny"
        stages = ["request", "arguments"]
        on_failure = "pass"
        teams = ["web"]
        verify = true

        [[check]]
        kind = "links"
        allow = ["*.corp.example"]
        images_only = true

        [[check]]
        name = "house"
        kind = "webhook"
        webhook = { url = "https://guard.example/v", timeout = "2s", secret = { env = "GUARD_KEY" }, send = ["digest", "principal"] }
    "#;
    let root = Root::parse(text, Syntax::Toml, "c.toml").unwrap();
    assert_eq!(root.check.len(), 3);
    let missing = doorward_gateway::missing_secrets(&root, &Environment::default());
    assert_eq!(missing[0].0, "the webhook of a check");
}
