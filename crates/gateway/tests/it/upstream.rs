//! A model provider behind the router's transport: what it is asked, and what it answers.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::BoxFuture;
use doorward_model_router::{Inbound, Outbound, Transport, TransportError};
use futures_util::{StreamExt, stream};

/// What the provider does about a request.
#[derive(Clone)]
pub(crate) enum Play {
    /// Answers.
    Answer { status: u16, kind: &'static str, pieces: Vec<(Duration, Bytes)>, end: End },
    /// Never says a word.
    Nothing,
    /// Cannot be reached.
    Unreachable,
}

/// What follows the last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays.
    Silent,
}

impl Play {
    pub(crate) fn json(status: u16, body: &'static str) -> Self {
        let pieces = vec![(Duration::ZERO, Bytes::from_static(body.as_bytes()))];
        Self::Answer { status, kind: "application/json", pieces, end: End::Clean }
    }

    pub(crate) fn events(pieces: &[&'static str], end: End) -> Self {
        let pieces =
            pieces.iter().map(|piece| (Duration::ZERO, Bytes::from_static(piece.as_bytes())));
        Self::Answer { status: 200, kind: "text/event-stream", pieces: pieces.collect(), end }
    }

    /// Waits before the piece at this place.
    pub(crate) fn wait(mut self, place: usize, pause: Duration) -> Self {
        if let Self::Answer { pieces, .. } = &mut self {
            pieces[place].0 = pause;
        }
        self
    }
}

type Script = dyn Fn(&Outbound) -> Play + Send + Sync;

/// The provider; clones share it.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Inner>);

struct Inner {
    script: Box<Script>,
    asked: Mutex<Vec<Outbound>>,
    open: Arc<AtomicUsize>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstream")
    }
}

impl Upstream {
    pub(crate) fn new(script: impl Fn(&Outbound) -> Play + Send + Sync + 'static) -> Self {
        let (asked, open) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { script: Box::new(script), asked, open }))
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Outbound> {
        self.0.asked.lock().unwrap().clone()
    }

    /// How many exchanges are still open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }
}

/// An exchange that is open until this is dropped.
struct Exchange(Arc<AtomicUsize>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Transport for Upstream {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let play = (self.0.script)(&request);
        self.0.asked.lock().unwrap().push(request);
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let exchange = Exchange(self.0.open.clone());
        Box::pin(async move {
            let (status, kind, pieces, end) = match play {
                Play::Answer { status, kind, pieces, end } => (status, kind, pieces, end),
                Play::Unreachable => return Err(TransportError::Connect("nobody there".into())),
                Play::Nothing => std::future::pending().await,
            };
            let mut inbound = Inbound::whole(status, "");
            inbound.head.headers.insert("content-type", kind.parse().unwrap());
            inbound.head.headers.insert("x-request-id", "upstream-7".parse().unwrap());
            let pieces = stream::iter(pieces).then(|(pause, piece)| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok(piece)
            });
            let end = match end {
                End::Clean => stream::empty().boxed(),
                End::Cut => stream::iter([Err(TransportError::Broken("cut".into()))]).boxed(),
                End::Silent => stream::pending().boxed(),
            };
            inbound.body = Box::pin(pieces.chain(end).inspect(move |_| {
                let _held = &exchange;
            }));
            Ok(inbound)
        })
    }
}

/// Says "Hello there" and calls `lookup` with `{"q":1}`, in the dialect and the way it was asked.
pub(crate) fn greets(request: &Outbound) -> Play {
    let asked: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    match (request.uri().path().ends_with("/messages"), asked["stream"] == true) {
        (false, false) => Play::json(200, CHAT),
        (false, true) => Play::events(&CHAT_EVENTS, End::Clean),
        (true, false) => Play::json(200, MESSAGE),
        (true, true) => Play::events(&MESSAGE_EVENTS, End::Clean),
    }
}

pub(crate) const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"m-1", "choices":[{"index":0,"message":{"role":"assistant","content":"Hello there","tool_calls":[{"id":"call_1","type":"function","function":{"name":"lookup","arguments":"{\"q\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27}}"#;

pub(crate) const CHAT_EVENTS: [&str; 6] = [
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\", \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello \"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"there\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"lookup\",\"arguments\":\"{\\\"q\\\"\"}}]},\"finish_reason\":null}]}\n\ndata: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":7,\"total_tokens\":27}}\n\n",
    "data: [DONE]\n\n",
];

pub(crate) const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m-1", "content":[{"type":"text","text":"Hello there"},{"type":"tool_use","id":"toolu_1","name":"lookup","input":{"q":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":7}}"#;

pub(crate) const MESSAGE_EVENTS: [&str; 6] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m-1\", \"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello there\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"lookup\",\"input\":{}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"q\\\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];
