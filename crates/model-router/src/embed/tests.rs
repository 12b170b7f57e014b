use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use doorward_core::{
    BoxFuture, EmbedInput, Models, Principal, Purse, RawCall, RequestId, Reservation, Settled,
    Spent, TurnId,
};
use doorward_wire::{ReadError, WriteError, Written};

use super::*;
use crate::{Inbound, NoCredentials, Provider, Transport, TransportError, Upstream};

/// Embeddings as lists of texts and of numbers, a text's vector being its length.
#[derive(Debug)]
struct Lengths;

impl Embeddings for Lengths {
    fn read_call(&self, _: Bytes) -> Result<EmbedCall, ReadError> {
        Err(ReadError::Cut)
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let body = match &call.raw {
            Some(raw) => raw.body.clone(),
            None => format!("{}:{}", to.model, texts(call).join(",")).into(),
        };
        Ok(Written { body, dropped: vec![] })
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let text = String::from_utf8_lossy(&body).into_owned();
        let vectors = text.split(',').map(|n| vec![n.parse().unwrap_or_default()]).collect();
        Ok(EmbedReply {
            dialect: DialectId::OPENAI_CHAT,
            route: Arc::default(),
            headers: vec![],
            model: "m".into(),
            vectors,
            usage: Some(Usage { input: 10, ..Usage::default() }),
            raw: Some(body),
            hold: None,
        })
    }

    fn write_reply(&self, _: &doorward_wire::Embedded<'_>) -> Bytes {
        Bytes::new()
    }
}

fn texts(call: &EmbedCall) -> Vec<String> {
    let text = |input: &EmbedInput| match input {
        EmbedInput::Text(text) => text.clone(),
        EmbedInput::Tokens(tokens) => tokens.len().to_string(),
    };
    call.input.iter().map(text).collect()
}

#[derive(Debug, Default)]
struct Scripted {
    sent: Mutex<Vec<String>>,
    /// The host that does not answer.
    down: &'static str,
}

impl Transport for Scripted {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let texts = body.split_once(':').map_or(body.as_str(), |(_, texts)| texts);
        let lengths: Vec<String> = texts.split(',').map(|t| t.len().to_string()).collect();
        let host = request.uri().host().unwrap_or_default();
        let answer = if host == self.down {
            Inbound::whole(503, "{}")
        } else {
            Inbound::whole(200, lengths.join(","))
        };
        self.sent.lock().unwrap().push(format!("{host} {body}"));
        Box::pin(async move { Ok(answer) })
    }
}

#[derive(Debug, Default)]
struct Counting {
    reserved: AtomicUsize,
    failed: Mutex<Vec<Spent>>,
}

#[derive(Debug)]
struct Held;

impl Reservation for Held {
    fn settle(self: Box<Self>, _: &Spent) -> Settled {
        Settled::default()
    }

    fn preview(&self, _: &Spent) -> Settled {
        Settled::default()
    }
}

impl Purse for Counting {
    fn attempt<'a>(
        &'a self,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>> {
        self.reserved.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match target {
                "dear/m" => Err(CallError::new(Code::BudgetExhausted, "too dear")),
                _ => Ok(Box::new(Held) as Box<dyn Reservation>),
            }
        })
    }

    fn failed(&self, _: Box<dyn Reservation>, spent: &Spent) {
        self.failed.lock().unwrap().push(spent.clone());
    }
}

fn upstream(name: &str, batch: Option<usize>) -> Upstream {
    let provider = Provider::named("openai-compatible").unwrap();
    let mut upstream = Upstream::new(name, provider, Some(&format!("http://{name}/v1"))).unwrap();
    let address = crate::address::Address::new(format!("http://{name}/v1/embeddings")).unwrap();
    upstream.embeddings = vec![EmbeddingsEndpoint {
        id: Some(DialectId::OPENAI_CHAT),
        codec: &Lengths,
        address,
        batch: batch.and_then(std::num::NonZeroUsize::new),
        quirks: doorward_wire::Quirks::none(),
        only: vec![],
    }];
    upstream
}

/// A router over these, with the alias `pair` for these targets.
fn router(transport: &Arc<Scripted>, upstreams: Vec<Upstream>, targets: &[&str]) -> Router {
    let targets = targets.iter().map(|target| target.parse::<Target>().unwrap());
    let name = doorward_core::Pattern::new("pair");
    let alias = crate::Alias::new(name, targets);
    let builder = Router::builder(transport.clone(), Arc::new(NoCredentials)).alias(alias);
    upstreams.into_iter().fold(builder, crate::RouterBuilder::upstream).build().unwrap()
}

fn cx() -> Cx {
    Cx {
        turn: TurnId::from_bytes([0; 16]),
        request: RequestId::from_bytes([0; 16]),
        principal: Arc::new(Principal::person("alice@example.com")),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

fn call(model: &str, said: &[&str]) -> EmbedCall {
    let input = said.iter().map(|text| EmbedInput::Text((*text).to_owned())).collect();
    EmbedCall { model: model.to_owned(), input, ..EmbedCall::default() }
}

#[tokio::test]
async fn a_long_list_is_split_and_its_vectors_joined_in_order() {
    let transport = Arc::new(Scripted::default());
    let router = router(&transport, vec![upstream("a", Some(2))], &["a/m"]);
    let said = ["1", "22", "333", "4444", "55555"];
    let reply = router.embed(&cx(), call("a/m", &said)).await.unwrap();
    assert_eq!(reply.vectors, [[1.0], [2.0], [3.0], [4.0], [5.0]]);
    assert_eq!(reply.usage.unwrap().input, 30, "three requests");
    assert!(reply.raw.is_none(), "no upstream sent this");
    assert_eq!(*transport.sent.lock().unwrap(), ["a m:1,22", "a m:333,4444", "a m:55555"]);
}

#[tokio::test]
async fn the_clients_own_bytes_go_through() {
    let transport = Arc::new(Scripted::default());
    let router = router(&transport, vec![upstream("a", Some(2))], &["a/m"]);
    let mut call = call("a/m", &["1"]);
    let body = Bytes::from_static(b"as:7");
    let dialect = DialectId::OPENAI_CHAT;
    call.raw = Some(RawCall { dialect, body, model: 0..0, headers: vec![] });
    let reply = router.embed(&cx(), call).await.unwrap();
    assert_eq!(*transport.sent.lock().unwrap(), ["a as:7"]);
    assert_eq!(reply.raw.unwrap(), "1");
    assert_eq!(reply.route.target, "a/m");
}

#[tokio::test]
async fn each_attempt_is_reserved_for_and_the_last_ones_hold_is_handed_on() {
    let transport = Arc::new(Scripted { down: "a", ..Scripted::default() });
    let all = vec![upstream("dear", None), upstream("a", None), upstream("b", None)];
    let router = router(&transport, all, &["dear/m", "a/m", "b/m"]);
    let purse = Arc::new(Counting::default());
    let mut call = call("pair", &["1"]);
    call.purse = Some(purse.clone());
    let reply = router.embed(&cx(), call).await.unwrap();
    assert_eq!(reply.route.target, "b/m");
    let tried: Vec<Code> = reply.route.tried.iter().map(|tried| tried.code).collect();
    assert_eq!(tried, [Code::Overloaded]);
    assert_eq!(reply.route.excluded[0].target, "dear/m", "there was no room for it");
    assert!(reply.hold.is_some());
    assert_eq!(purse.reserved.load(Ordering::Relaxed), 3);
    let failed = purse.failed.lock().unwrap();
    assert_eq!(failed.len(), 1);
    assert!(!failed[0].reached, "a 503 was not billed");
    assert_eq!(failed[0].target.as_deref(), Some("a/m"));
}

#[tokio::test]
async fn another_number_of_vectors_is_a_fault() {
    let transport = Arc::new(Scripted::default());
    let router = router(&transport, vec![upstream("a", None)], &["a/m"]);
    // The text's comma makes two of one.
    let error = router.embed(&cx(), call("a/m", &["1,2"])).await.unwrap_err();
    assert_eq!(error.code, Code::Upstream);
}

#[tokio::test]
async fn who_makes_no_embeddings_says_so() {
    let transport = Arc::new(Scripted::default());
    let mut without = upstream("a", None);
    without.embeddings.clear();
    let router = router(&transport, vec![without], &["a/m"]);
    for model in ["a/m", "nobody/m"] {
        let error = router.embed(&cx(), call(model, &["1"])).await.unwrap_err();
        assert_eq!(error.code, Code::NotFound, "{model}");
    }
    assert!(transport.sent.lock().unwrap().is_empty());
}
