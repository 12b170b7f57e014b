//! Answers from the cache: when they serve, when not, and for whom.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{Code, ModelCall, ModelReply, Models};
use doorward_model_router::{CacheLimits, Cached, Inbound, Outbound, ResponseCache, Router};
use doorward_testkit::clock::TestClock;
use doorward_wire::{Dialect, OpenAiChat};
use futures_util::StreamExt;

use crate::script::{CHAT, MESSAGE, Scripted, chat, cx, events, messages, router, text};

const STREAM: &[&str] = &[
    "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"from\"}}]}\n\n",
    "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" chat\"}}]}\n\n",
    "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

fn cached(transport: &Arc<Scripted>, limits: CacheLimits) -> (Cached<Router>, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let cache = ResponseCache::new(limits, clock.clone());
    (Cached::new(router(transport.clone()), Arc::new(cache)), clock)
}

fn answers() -> Arc<Scripted> {
    Scripted::new(|request: &Outbound| {
        let streaming = request.headers()["accept"] == "text/event-stream";
        Ok(match request.uri().host() {
            Some("messages") => Inbound::whole(200, MESSAGE),
            _ if streaming => events(STREAM),
            _ => Inbound::whole(200, CHAT),
        })
    })
}

fn scoped(mut call: ModelCall, scope: &str) -> ModelCall {
    call.cache = Some(scope.into());
    call
}

async fn ask(models: &Cached<Router>, call: ModelCall) -> bool {
    let reply = models.complete(&cx(), call).await.unwrap();
    let cached = reply.route.cached;
    assert!(text(reply).await.unwrap().starts_with("from"));
    cached
}

#[tokio::test]
async fn an_equal_call_is_answered_again_and_another_is_not() {
    let transport = answers();
    let (models, _) = cached(&transport, CacheLimits::default());
    assert!(!ask(&models, scoped(chat("chat/a", false), "alice")).await);
    assert!(ask(&models, scoped(chat("chat/a", false), "alice")).await);
    assert_eq!(transport.count(), 1);

    let body = r#"{"model":"chat/a","stream":false,"max_tokens":9,"messages":[{"role":"user","content":"ho"}]}"#;
    let other = OpenAiChat.read_call(Bytes::from(body)).unwrap();
    let mut wished = chat("chat/a", false);
    wished.preferences.only = vec!["chat".into()];
    let mut hidden = chat("chat/a", false);
    let tool =
        r#"{"model":"x","messages":[],"tools":[{"type":"function","function":{"name":"t"}}]}"#;
    hidden.tools = OpenAiChat.read_call(Bytes::from(tool)).unwrap().tools;
    hidden.tools[0].hidden = true;
    for (call, scope) in [
        (other, "alice"),
        (wished, "alice"),
        (hidden, "alice"),
        (chat("chat/b", false), "alice"),
        (messages("chat/a"), "alice"),
        (chat("chat/a", false), "bob"),
    ] {
        assert!(!ask(&models, scoped(call, scope)).await);
    }
    assert_eq!(transport.count(), 7);

    let unscoped = chat("chat/a", false);
    assert!(!ask(&models, unscoped).await, "without a scope there is no cache");
}

#[tokio::test]
async fn a_call_that_was_written_anew_is_known_by_what_it_says() {
    let transport = answers();
    let (models, _) = cached(&transport, CacheLimits::default());
    let anew = |said: &str| {
        let mut call = chat("chat/a", false);
        call.raw.as_mut().unwrap().body = Bytes::new();
        call.messages = vec![doorward_core::Message::text(doorward_core::Role::User, said)];
        scoped(call, "alice")
    };
    assert!(!ask(&models, anew("one")).await);
    assert!(!ask(&models, anew("two")).await);
    assert!(ask(&models, anew("one")).await);
}

async fn told(mut reply: ModelReply, stream: bool) -> String {
    let mut call = chat("chat/a", stream);
    call.stream_usage = true;
    let mut options = OpenAiChat.options(&call);
    options.same_dialect = true;
    let mut writer = OpenAiChat.writer(options);
    let mut out = bytes::BytesMut::new();
    while let Some(frame) = reply.frames.next().await {
        writer.write(&frame.unwrap(), &mut out);
    }
    writer.finish(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[tokio::test]
async fn either_form_serves_the_other() {
    for first in [false, true] {
        let transport = answers();
        let (models, _) = cached(&transport, CacheLimits::default());
        assert!(!ask(&models, scoped(chat("chat/a", first), "alice")).await);
        for stream in [false, true] {
            let call = scoped(chat("chat/a", stream), "alice");
            let reply = models.complete(&cx(), call).await.unwrap();
            assert!(reply.route.cached && reply.hold.is_none());
            assert_eq!(reply.streaming, stream);
            let told = told(reply, stream).await;
            if first == stream {
                let same = if stream { STREAM.concat() } else { CHAT.to_owned() };
                assert_eq!(told, same, "byte for byte");
            } else if stream {
                assert!(told.contains("\"delta\"") && told.ends_with("data: [DONE]\n\n"), "{told}");
            } else {
                let body: serde_json::Value = serde_json::from_str(&told).unwrap();
                assert_eq!(body["choices"][0]["message"]["content"], "from chat");
                assert_eq!(body["choices"][0]["finish_reason"], "stop");
            }
        }
        assert_eq!(transport.count(), 1);
    }
}

#[tokio::test]
async fn what_did_not_come_to_its_end_is_not_kept() {
    const FAULT: &str = "data: {\"error\":{\"message\":\"overloaded\",\"code\":529}}\n\n";
    const FILTER: &str =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n";
    for pieces in [&STREAM[..2], &[STREAM[0], FAULT], &[STREAM[0], FILTER, STREAM[3]]] {
        let pieces: Vec<&'static str> = pieces.to_vec();
        let transport = Scripted::new(move |_| Ok(events(&pieces)));
        let (models, _) = cached(&transport, CacheLimits::default());
        let call = || scoped(chat("chat/a", true), "alice");
        drop(text(models.complete(&cx(), call()).await.unwrap()).await);
        assert_eq!(models.cache().held().0, 0);
    }
    // Nor is an answer whose reader went away, or a refusal.
    let transport = answers();
    let (models, _) = cached(&transport, CacheLimits::default());
    drop(models.complete(&cx(), scoped(chat("chat/a", true), "alice")).await.unwrap());
    assert_eq!(models.cache().held().0, 0);
    let transport = Scripted::new(|_| Ok(Inbound::whole(400, "{}")));
    let (models, _) = cached(&transport, CacheLimits::default());
    let refused = models.complete(&cx(), scoped(chat("chat/a", false), "alice")).await;
    assert_eq!(refused.unwrap_err().code, Code::InvalidRequest);
    assert_eq!(models.cache().held().0, 0);
}

#[tokio::test]
async fn answers_age_and_make_room() {
    let transport = answers();
    let (models, clock) = cached(&transport, CacheLimits::default());
    let call = |model: &str| scoped(chat(model, false), "alice");
    assert!(!ask(&models, call("chat/a")).await);
    let (_, one) = models.cache().held();
    clock.advance(Duration::from_secs(3599));
    assert!(ask(&models, call("chat/a")).await);
    clock.advance(Duration::from_secs(1));
    assert!(!ask(&models, call("chat/a")).await, "an hour is over");

    let limits = CacheLimits { bytes: 2 * one, ..CacheLimits::default() };
    let (models, _) = cached(&transport, limits);
    for model in ["chat/a", "chat/b", "chat/a", "chat/c"] {
        ask(&models, call(model)).await;
    }
    assert_eq!(models.cache().held(), (2, 2 * one));
    assert!(ask(&models, call("chat/a")).await, "used last");
    assert!(!ask(&models, call("chat/b")).await, "used longest ago");

    let (models, _) = cached(&transport, CacheLimits { entry: one - 1, ..CacheLimits::default() });
    ask(&models, call("chat/a")).await;
    assert_eq!(models.cache().held(), (0, 0), "too long for the cache");
}
