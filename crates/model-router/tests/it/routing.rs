//! Which target is tried, what it is sent, and when another one is.

use std::time::Duration;

use doorward_core::{Code, Models, TraceContext};
use doorward_model_router::{Inbound, TransportError};

use crate::script::{CHAT, MESSAGE, Scripted, by_host, chat, cx, events, messages, router, text};

#[tokio::test]
async fn another_target_is_tried_only_where_it_may_differ() {
    const WRONG: &str = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
    for (status, body, tried, code) in [
        (500, "{}", 2, None),
        (503, "", 2, None),
        (529, "not json", 2, None),
        (429, WRONG, 2, None),
        (401, WRONG, 2, None),
        (404, WRONG, 2, None),
        (200, "{\"error\":{\"message\":\"overloaded\"}}", 2, None),
        (200, "<html>", 2, None),
        (400, WRONG, 1, Some(Code::InvalidRequest)),
        (413, WRONG, 1, Some(Code::TooLarge)),
    ] {
        let transport = Scripted::new(move |request| {
            let first = request.uri().host() == Some("chat");
            let (status, body) = if first { (status, body) } else { (200, MESSAGE) };
            Ok(Inbound::whole(status, body))
        });
        let found = router(transport.clone()).complete(&cx(), chat("pair", false)).await;
        assert_eq!(transport.count(), tried, "{status} {body}");
        match (found, code) {
            (Ok(reply), None) => {
                assert_eq!(reply.route.target, "messages/b");
                assert_eq!(reply.route.tried[0].target, "chat/a");
                assert_eq!(text(reply).await.unwrap(), "from messages");
            }
            (Err(error), Some(code)) => assert_eq!(error.code, code),
            (found, _) => panic!("{status} {body}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_failed_connection_leads_to_the_next_target() {
    let transport = Scripted::new(|request| match request.uri().host() {
        Some("chat") => Err(TransportError::Connect("refused".into())),
        _ => Ok(Inbound::whole(200, MESSAGE)),
    });
    let reply = router(transport).complete(&cx(), chat("pair", false)).await.unwrap();
    assert_eq!(reply.route.tried[0].status, None);
}

#[tokio::test]
async fn an_error_as_the_first_event_is_hidden_and_a_later_one_is_not() {
    const START: &str =
        "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    const FAULT: &str = "data: {\"error\":{\"message\":\"overloaded\",\"code\":529}}\n\n";
    let transport = Scripted::new(|request| {
        Ok(match request.uri().host() {
            Some("chat") => events(&[": wait\n\n", FAULT]),
            _ => events(&[
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"m\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ]),
        })
    });
    let reply = router(transport).complete(&cx(), chat("pair", true)).await.unwrap();
    assert_eq!(reply.route.target, "messages/b");

    let transport = Scripted::new(|_| Ok(events(&[START, "data: {\"id\":"])));
    let reply = router(transport.clone()).complete(&cx(), chat("pair", true)).await.unwrap();
    assert_eq!(text(reply).await.unwrap_err().code, Code::Upstream, "a cut stream");
    assert_eq!(transport.count(), 1, "nothing is tried again after the first byte");
}

#[tokio::test]
async fn each_upstream_gets_its_own_credential_and_nothing_else() {
    let transport = Scripted::new(by_host(&[
        ("chat", 200, CHAT),
        ("messages", 200, MESSAGE),
        ("third", 200, CHAT),
    ]));
    let router = router(transport.clone());
    for (model, header, value) in [
        ("chat/x", "authorization", "Bearer key-of-chat"),
        ("messages/x", "x-api-key", "key-of-messages"),
        ("third/x", "authorization", "Bearer key-of-third"),
    ] {
        let mut call = messages(model);
        call.raw.as_mut().unwrap().headers = vec![
            ("anthropic-version".into(), "2026-10-21".into()),
            ("anthropic-beta".into(), "b-1".into()),
        ];
        router.complete(&cx(), call).await.unwrap();
        let sent = transport.last();
        assert_eq!(sent.headers()[header], value);
        assert!(!format!("{sent:?}").contains("key-of"), "not printed");
        let version = sent.headers().get("anthropic-version");
        let same = model.starts_with("messages");
        assert_eq!(version.is_some(), same, "the client's headers go to its own dialect only");
        assert!(!same || version.unwrap() == "2026-10-21");
        assert_eq!(sent.headers().contains_key("x-api-key"), same);
    }
    router.complete(&cx(), chat("messages/x", false)).await.unwrap();
    assert_eq!(transport.last().headers()["anthropic-version"], "2023-06-01");
    assert_eq!(transport.last().uri(), "http://messages/v1/messages");
}

#[tokio::test]
async fn waiting_times_and_limits_are_handed_on() {
    let transport = Scripted::new(|_| {
        let mut inbound = Inbound::whole(429, "{}");
        inbound.head.headers.insert("retry-after-ms", "1500".parse().unwrap());
        Ok(inbound)
    });
    let error = router(transport).complete(&cx(), chat("chat/x", false)).await.unwrap_err();
    assert_eq!(
        (error.code, error.retry_after),
        (Code::RateLimited, Some(Duration::from_millis(1500)))
    );

    let transport = Scripted::new(|_| {
        let mut inbound = Inbound::whole(200, CHAT);
        for name in ["x-ratelimit-remaining-requests", "x-request-id", "set-cookie", "server"] {
            inbound.head.headers.insert(name, "7".parse().unwrap());
        }
        Ok(inbound)
    });
    let reply = router(transport).complete(&cx(), chat("chat/x", false)).await.unwrap();
    let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-ratelimit-remaining-requests", "x-upstream-request-id"]);
}

#[tokio::test]
async fn usage_is_asked_for_only_where_the_gateway_needs_it_and_the_upstream_can() {
    let transport = Scripted::new(by_host(&[("chat", 500, "{}"), ("third", 500, "{}")]));
    let router = router(transport.clone());
    for (model, wanted, asked) in
        [("chat/x", true, true), ("chat/x", false, false), ("third/x", true, false)]
    {
        let mut call = chat(model, true);
        call.ask_usage = wanted;
        router.complete(&cx(), call).await.unwrap_err();
        let body = String::from_utf8(transport.last().body().to_vec()).unwrap();
        assert_eq!(body.contains("include_usage"), asked, "{model} {wanted}: {body}");
    }
}

#[tokio::test]
async fn trace_context_goes_on() {
    let transport = Scripted::new(by_host(&[("chat", 200, CHAT)]));
    let mut cx = cx();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    cx.trace = Some(TraceContext { traceparent: parent.into(), tracestate: None });
    router(transport.clone()).complete(&cx, chat("chat/x", false)).await.unwrap();
    assert_eq!(transport.last().headers()["traceparent"], parent);
}

#[tokio::test]
async fn models_are_those_declared_told_and_named_by_aliases() {
    let transport = Scripted::new(|request| match request.uri().path() {
        "/models" => Ok(Inbound::whole(200, r#"{"object":"list","data":[{"id":"gpt-5","x":1}]}"#)),
        _ => Ok(Inbound::whole(500, "down")),
    });
    let router = router(transport);
    router.discover(&cx()).await;
    let models: Vec<String> = router.models().into_iter().map(|model| model.id).collect();
    assert_eq!(models, ["pair", "chat/gpt-5", "third/gpt-5"]);
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn the_router_is_a_tower_service() {
    use doorward_model_router::Completion;
    use tower_service::Service;

    let transport = Scripted::new(by_host(&[("chat", 200, CHAT)]));
    let mut service = std::sync::Arc::new(router(transport));
    let call = Completion { cx: cx(), call: chat("chat/x", false) };
    assert_eq!(text(service.call(call).await.unwrap()).await.unwrap(), "from chat");
}
