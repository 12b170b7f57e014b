//! A transport that answers as told and remembers what it was sent.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use doorward_core::{
    Audience, BoxFuture, CallError, Credential, Credentials, Cx, ModelCall, ModelEvent, ModelReply,
    Principal, RequestId, Secret, SystemEntropy, TurnId,
};
use doorward_model_router::{
    Alias, Inbound, Outbound, Provider, Router, Target, Transport, TransportError, Upstream,
};
use doorward_wire::{AnthropicMessages, Dialect, OpenAiChat};
use futures_util::{StreamExt, stream};

pub(crate) type Play = dyn Fn(&Outbound) -> Result<Inbound, TransportError> + Send + Sync;

pub(crate) struct Scripted {
    pub(crate) sent: Mutex<Vec<Outbound>>,
    play: Box<Play>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub(crate) fn new(
        play: impl Fn(&Outbound) -> Result<Inbound, TransportError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { sent: Mutex::default(), play: Box::new(play) })
    }

    pub(crate) fn last(&self) -> Outbound {
        self.sent.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}

impl Transport for Scripted {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let answer = (self.play)(&request);
        self.sent.lock().unwrap().push(request);
        Box::pin(async move { answer })
    }
}

/// An event stream in these pieces.
pub(crate) fn events(pieces: &[&'static str]) -> Inbound {
    let mut inbound = Inbound::whole(200, "");
    let kind = http::HeaderValue::from_static("text/event-stream");
    inbound.head.headers.insert(http::header::CONTENT_TYPE, kind);
    let pieces: Vec<_> =
        pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
    inbound.body = Box::pin(stream::iter(pieces));
    inbound
}

pub(crate) const CHAT: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"from chat"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

pub(crate) const MESSAGE: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"from messages"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;

/// Answers by host: the upstream's name is its host.
pub(crate) fn by_host(
    answers: &'static [(&'static str, u16, &'static str)],
) -> impl Fn(&Outbound) -> Result<Inbound, TransportError> + Send + Sync {
    move |request| {
        let host = request.uri().host().unwrap();
        let (_, status, body) = answers.iter().find(|(name, ..)| *name == host).unwrap();
        Ok(Inbound::whole(*status, *body))
    }
}

/// Every upstream's key is `key-of-` and its name.
#[derive(Debug)]
struct NamedKeys;

impl Credentials for NamedKeys {
    fn credential<'a>(
        &'a self,
        _cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        let (Audience::Upstream(name) | Audience::Server(name)) = audience;
        let key = Credential::Key(Secret::new(format!("key-of-{name}")));
        Box::pin(async move { Ok(Some(key)) })
    }
}

/// A router over `chat`, `messages` and `third` with the aliases `pair` and `*`.
pub(crate) fn router(transport: Arc<dyn Transport>) -> Router {
    let upstream = |name: &str, provider: &str| {
        let provider = Provider::named(provider).unwrap();
        Upstream::new(name, provider, Some(&format!("http://{name}"))).unwrap()
    };
    let targets = ["chat/a", "messages/b"].map(|target| target.parse::<Target>().unwrap());
    Router::builder(transport, Arc::new(NamedKeys))
        .upstream(upstream("chat", "openai"))
        .upstream(upstream("messages", "anthropic"))
        .upstream(upstream("third", "openai-compatible"))
        .alias(Alias::new(doorward_core::Pattern::new("pair"), targets))
        .build()
        .unwrap()
}

pub(crate) fn cx() -> Cx {
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

pub(crate) fn chat(model: &str, stream: bool) -> ModelCall {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    OpenAiChat.read_call(Bytes::from(body)).unwrap()
}

pub(crate) fn messages(model: &str) -> ModelCall {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    AnthropicMessages.read_call(Bytes::from(body)).unwrap()
}

/// The answer's text, or the error that came in its place.
pub(crate) async fn text(mut reply: ModelReply) -> Result<String, CallError> {
    let mut text = String::new();
    while let Some(frame) = reply.frames.next().await {
        for event in frame?.events {
            if let ModelEvent::Text { text: more, .. } = event {
                text.push_str(&more);
            }
        }
    }
    Ok(text)
}

/// Shows every upstream the same credential.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Credential);

impl Credentials for Always {
    fn credential<'a>(
        &'a self,
        _cx: &'a Cx,
        _audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        let credential = self.0.clone();
        Box::pin(async move { Ok(Some(credential)) })
    }
}

pub(crate) fn key(text: &str) -> Credential {
    Credential::Key(Secret::new(text))
}
