#![expect(clippy::print_stdout, reason = "an example talks")]
//! A router over two upstreams, one of them down: `cargo run -p doorward-model-router --example
//! router`. A scripted transport stands in for the network, so that it needs neither keys nor a
//! runtime's features; with the feature `http`, `HttpTransport` takes its place.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{
    CallError, Cx, ModelEvent, Models, Principal, RequestId, SystemEntropy, TurnId,
};
use doorward_model_router::{
    Alias, BoxFuture, Inbound, NoCredentials, Outbound, Provider, Router, Target, Transport,
    TransportError, Upstream,
};
use doorward_wire::{Dialect, OpenAiChat};
use futures_util::StreamExt;

/// The first upstream is overloaded, the second answers.
#[derive(Debug)]
struct Scripted;

impl Transport for Scripted {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let answer = match request.uri().host() {
            Some("first.test") => Inbound::whole(529, r#"{"error":{"message":"overloaded"}}"#),
            _ => Inbound::whole(
                200,
                r#"{"id":"c1","object":"chat.completion","created":1,"model":"b","choices":[
                    {"index":0,"message":{"role":"assistant","content":"Hello from the second."},
                     "finish_reason":"stop"}]}"#,
            ),
        };
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let upstream = |name: &str, url: &str| {
        let provider = Provider::named("openai-compatible").ok_or("a shipped descriptor")?;
        Ok::<_, Box<dyn std::error::Error>>(Upstream::new(name, provider, Some(url))?)
    };
    let router = Router::builder(Arc::new(Scripted), Arc::new(NoCredentials))
        .upstream(upstream("first", "http://first.test/v1")?)
        .upstream(upstream("second", "http://second.test/v1")?)
        .alias(Alias::new(
            doorward_core::Pattern::new("fast"),
            ["first/a".parse::<Target>()?, "second/b".parse()?],
        ))
        .build()?;
    let cx = Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(Principal::person("alice@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    };
    let ask = |model: &str| {
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#);
        OpenAiChat.read_call(Bytes::from(body))
    };

    let mut reply = router.complete(&cx, ask("fast")?).await?;
    for attempt in &reply.route.tried {
        println!("{} failed: {}", attempt.target, attempt.code.as_str());
    }
    print!("{} says: ", reply.route.target);
    while let Some(frame) = reply.frames.next().await {
        for event in frame?.events {
            if let ModelEvent::Text { text, .. } = event {
                println!("{text}");
            }
        }
    }

    let refused: Result<_, CallError> = router.complete(&cx, ask("nobody/at-all")?).await;
    if let Err(error) = refused {
        println!("refused: {error}");
    }
    Ok(())
}
