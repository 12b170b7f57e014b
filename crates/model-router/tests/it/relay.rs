//! What is sent on as it is: to whom, with what, and what never goes along.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{CallError, Code, DialectId, Models, RelayCall};
use doorward_model_router::{Inbound, Outbound, Provider, Router, RouterBuilder, Upstream};
use futures_util::{StreamExt, stream};

use crate::script::{Always, Scripted, cx, key};

fn router(transport: &Arc<Scripted>, upstreams: &[(&str, &str)]) -> Router {
    let builder = Router::builder(transport.clone(), Arc::new(Always(key("ours"))));
    let make = |(name, provider): &(&str, &str)| {
        Upstream::new(*name, Provider::named(provider).unwrap(), None).unwrap()
    };
    upstreams.iter().map(make).fold(builder, RouterBuilder::upstream).build().unwrap()
}

fn call(dialect: DialectId, method: &str, path: &str) -> RelayCall {
    let headers = [
        ("authorization", "Bearer theirs"),
        ("cookie", "theirs"),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-length", "6"),
        ("te", "trailers"),
    ];
    let body: [Result<Bytes, CallError>; 2] =
        [Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"def"))];
    RelayCall {
        upstream: None,
        model: None,
        dialect,
        method: method.to_owned(),
        path: path.to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: Box::pin(stream::iter(body)),
    }
}

fn answers() -> Arc<Scripted> {
    Scripted::new(|_: &Outbound| {
        let mut inbound = Inbound::whole(201, "made");
        for (name, value) in [
            ("content-type", "application/json"),
            ("set-cookie", "session=1"),
            ("connection", "keep-alive, x-odd"),
            ("x-odd", "1"),
            ("access-control-allow-origin", "*"),
            ("x-request-id", "r-1"),
            ("openai-processing-ms", "7"),
        ] {
            inbound.head.headers.insert(name, value.parse().unwrap());
        }
        Ok(inbound)
    })
}

#[tokio::test]
async fn a_request_goes_through_with_our_credential_and_without_theirs() {
    let transport = answers();
    let router = router(&transport, &[("openai", "openai"), ("claude", "anthropic")]);
    let path = "/files?purpose=batch&key=theirs";
    let reply = router.relay(&cx(), call(DialectId::OPENAI_CHAT, "POST", path)).await.unwrap();
    let sent = transport.last();
    assert_eq!(sent.uri(), "https://api.openai.com/v1/files?purpose=batch");
    assert_eq!(sent.method(), "POST");
    assert_eq!(sent.body(), "abcdef");
    assert_eq!(sent.headers()["authorization"], "Bearer ours");
    assert_eq!(sent.headers()["content-type"], "multipart/form-data; boundary=b");
    assert_eq!(sent.headers()["content-length"], "6");
    assert!(!sent.headers().contains_key("cookie") && !sent.headers().contains_key("te"));
    let all =
        sent.headers().values().any(|value| value.as_bytes().windows(6).any(|w| w == b"theirs"));
    assert!(!all, "nothing of the client's credential");

    assert_eq!((reply.upstream.as_str(), reply.status), ("openai", 201));
    let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "openai-processing-ms", "x-upstream-request-id"]);
    let body: Vec<Bytes> = reply.body.map(|piece| piece.unwrap()).collect().await;
    assert_eq!(body.concat(), b"made");
}

#[tokio::test]
async fn the_upstream_is_the_named_one_the_models_or_the_only_one() {
    let upstreams =
        [("one", "openai"), ("two", "openai"), ("claude", "anthropic"), ("groq", "groq")];
    let (chat, messages) = (DialectId::OPENAI_CHAT, DialectId::ANTHROPIC_MESSAGES);
    for (named, model, dialect, path, found) in [
        (Some("two"), None, chat, "/files", Ok("two")),
        (None, Some("two/whisper-1"), chat, "/audio/transcriptions", Ok("two")),
        (None, Some("whisper-1"), chat, "/audio/transcriptions", Ok("one")),
        (None, Some("groq/whisper-large"), chat, "/audio/speech", Ok("groq")),
        (None, None, messages, "/messages/batches", Ok("claude")),
        (None, None, messages, "/files/f-1/content", Ok("claude")),
        (None, None, chat, "/files", Err(Code::InvalidRequest)),
        (Some("claude"), None, chat, "/files", Err(Code::NotFound)),
        (Some("nobody"), None, chat, "/files", Err(Code::NotFound)),
        (None, None, chat, "/filesystem", Err(Code::NotFound)),
        (Some("one"), None, chat, "/chat/completions", Err(Code::NotFound)),
        (Some("one"), None, chat, "/responses", Err(Code::NotFound)),
        (Some("claude"), None, messages, "/messages", Err(Code::NotFound)),
        (Some("one"), None, chat, "/files/../chat/completions", Err(Code::InvalidRequest)),
    ] {
        let transport = answers();
        let mut call = call(dialect, "GET", path);
        call.upstream = named.map(str::to_owned);
        call.model = model.map(str::to_owned);
        let reply = router(&transport, &upstreams).relay(&cx(), call).await;
        let reply = reply.map(|reply| reply.upstream).map_err(|error| error.code);
        assert_eq!(reply.as_deref().map_err(|code| *code), found, "{named:?} {model:?} {path}");
    }
}

/// Trap 57: that our key is bad is not the caller's affair.
#[tokio::test]
async fn a_refused_credential_is_the_gateways_fault() {
    let transport = Scripted::new(|_| Ok(Inbound::whole(401, "bad key ours")));
    let router = router(&transport, &[("openai", "openai")]);
    let error =
        router.relay(&cx(), call(DialectId::OPENAI_CHAT, "GET", "/files")).await.unwrap_err();
    assert_eq!(error.code, Code::Upstream);
    let transport = Scripted::new(|_| Ok(Inbound::whole(404, "no such file")));
    let router = self::router(&transport, &[("openai", "openai")]);
    let reply = router.relay(&cx(), call(DialectId::OPENAI_CHAT, "GET", "/files/x")).await.unwrap();
    assert_eq!(reply.status, 404, "everything else is told as it is");
}
