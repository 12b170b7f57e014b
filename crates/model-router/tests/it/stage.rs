//! Upstreams that behave as told, under a clock that jumps, with a purse that counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{
    BoxFuture, CallError, Clock, Code, Purse, Reservation, Settled, Spent, Timestamp,
};
use doorward_model_router::{
    Alias, Inbound, NoCredentials, Outbound, Pause, Provider, Router, RouterBuilder, Transport,
    TransportError, Upstream,
};
use futures_util::{StreamExt, stream};

/// How an upstream behaves.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A whole answer.
    Whole(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// A stream in pieces, each after a pause.
    Stream(Vec<(Duration, &'static str)>, Ending),
    /// No answer ever.
    Hang,
    /// No connection.
    Refuse,
    /// The connection breaks before the answer.
    Break,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Clean,
    Reset,
    Silence,
}

pub(crate) const SAID: &str =
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"from bad\"}}]}\n\n";
pub(crate) const ROLE: &str = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
pub(crate) const END: &str = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
pub(crate) const GOOD: &str = "data: {\"id\":\"g\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"from good\"}}]}\n\ndata: {\"id\":\"g\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
pub(crate) const GOOD_WHOLE: &str = r#"{"id":"g","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"from good"},"finish_reason":"stop"}]}"#;

impl Act {
    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, vec![], "{}")
    }

    pub(crate) fn with(status: u16, name: &'static str, value: &'static str) -> Self {
        Self::Whole(status, vec![(name, value)], "{}")
    }

    pub(crate) fn events(pieces: &[&'static str], ending: Ending) -> Self {
        Self::Stream(pieces.iter().map(|piece| (Duration::ZERO, *piece)).collect(), ending)
    }

    /// The answer of an upstream that is well.
    pub(crate) fn good(streaming: bool) -> Self {
        if streaming {
            Self::events(&[GOOD], Ending::Clean)
        } else {
            Self::Whole(200, vec![], GOOD_WHOLE)
        }
    }

    async fn play(self) -> Result<Inbound, TransportError> {
        match self {
            Self::Whole(status, headers, body) => {
                let mut inbound = Inbound::whole(status, body);
                let kind = http::HeaderValue::from_static("application/json");
                inbound.head.headers.insert(http::header::CONTENT_TYPE, kind);
                for (name, value) in headers {
                    inbound.head.headers.insert(name, value.parse().unwrap());
                }
                Ok(inbound)
            }
            Self::Stream(pieces, ending) => {
                let mut inbound = Inbound::whole(200, "");
                let kind = http::HeaderValue::from_static("text/event-stream");
                inbound.head.headers.insert(http::header::CONTENT_TYPE, kind);
                let pieces = stream::iter(pieces).then(|(wait, piece)| async move {
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                    Ok(Bytes::from_static(piece.as_bytes()))
                });
                inbound.body = match ending {
                    Ending::Clean => Box::pin(pieces),
                    Ending::Silence => Box::pin(pieces.chain(stream::pending())),
                    Ending::Reset => {
                        let broken = Err(TransportError::Broken("reset".into()));
                        Box::pin(pieces.chain(stream::iter([broken])))
                    }
                };
                Ok(inbound)
            }
            Self::Hang => std::future::pending().await,
            Self::Refuse => Err(TransportError::Connect("refused".into())),
            Self::Break => Err(TransportError::Broken("reset".into())),
        }
    }
}

type Script = dyn Fn(&str, usize, &Outbound) -> Act + Send + Sync;

/// Plays by the host's name and by how often it was asked before.
pub(crate) struct Stage {
    script: Box<Script>,
    pub(crate) asked: Mutex<BTreeMap<String, usize>>,
    pub(crate) sent: Mutex<Vec<Outbound>>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

impl Stage {
    pub(crate) fn new(
        script: impl Fn(&str, usize, &Outbound) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), asked: Mutex::default(), sent: Mutex::default() })
    }

    pub(crate) fn asked(&self, host: &str) -> usize {
        self.asked.lock().unwrap().get(host).copied().unwrap_or_default()
    }

    pub(crate) fn last_body(&self) -> String {
        let sent = self.sent.lock().unwrap();
        String::from_utf8(sent.last().unwrap().body().to_vec()).unwrap()
    }
}

impl Transport for Stage {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        let host = request.uri().host().unwrap().to_owned();
        let mut asked = self.asked.lock().unwrap();
        let count = asked.entry(host.clone()).or_default();
        let act = (self.script)(&host, *count, &request);
        *count += 1;
        drop(asked);
        self.sent.lock().unwrap().push(request);
        Box::pin(act.play())
    }
}

/// Time as tokio's paused runtime has it.
#[derive(Debug)]
pub(crate) struct JumpingClock(tokio::time::Instant);

impl JumpingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for JumpingClock {
    /// Starts at 2026-10-21T07:27:30Z.
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_792_567_650_000_000).after(self.0.elapsed())
    }

    fn instant(&self) -> std::time::Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[derive(Debug)]
pub(crate) struct Sleep;

impl Pause for Sleep {
    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Counts every reservation and what became of it.
#[derive(Debug, Default)]
pub(crate) struct CountingPurse {
    pub(crate) attempts: Mutex<Vec<String>>,
    /// Target and whether the worst case stands.
    pub(crate) failed: Mutex<Vec<bool>>,
    pub(crate) loose: Arc<AtomicUsize>,
    /// Targets that there is no money for.
    pub(crate) too_dear: Vec<&'static str>,
}

#[derive(Debug)]
struct Room(Arc<AtomicUsize>);

impl Reservation for Room {
    fn settle(self: Box<Self>, _spent: &Spent) -> Settled {
        self.0.fetch_sub(1, Ordering::SeqCst);
        Settled::default()
    }

    fn preview(&self, _spent: &Spent) -> Settled {
        Settled::default()
    }
}

impl CountingPurse {
    /// Reservations that nobody has settled.
    pub(crate) fn loose(&self) -> usize {
        self.loose.load(Ordering::SeqCst)
    }

    /// Failed attempts that may be billed.
    pub(crate) fn billed(&self) -> usize {
        self.failed.lock().unwrap().iter().filter(|reached| **reached).count()
    }
}

impl Purse for CountingPurse {
    fn attempt<'a>(
        &'a self,
        target: &'a str,
    ) -> BoxFuture<'a, Result<Box<dyn Reservation>, CallError>> {
        if self.too_dear.contains(&target) {
            let error = CallError::new(Code::BudgetExhausted, "limit `day` is used up");
            return Box::pin(async { Err(error.with_rule("day")) });
        }
        self.attempts.lock().unwrap().push(target.to_owned());
        self.loose.fetch_add(1, Ordering::SeqCst);
        let room: Box<dyn Reservation> = Box::new(Room(self.loose.clone()));
        Box::pin(async { Ok(room) })
    }

    fn failed(&self, hold: Box<dyn Reservation>, spent: &Spent) {
        self.failed.lock().unwrap().push(spent.reached);
        hold.settle(spent);
    }
}

pub(crate) fn upstream(name: &str) -> Upstream {
    let provider = Provider::named("openai-compatible").unwrap();
    Upstream::new(name, provider, Some(&format!("http://{name}"))).unwrap()
}

pub(crate) fn alias(text: &str) -> Alias {
    toml::from_str(text).unwrap()
}

/// A router over upstreams called `bad`, `good` and `third`, on jumping time.
pub(crate) fn builder(stage: &Arc<Stage>) -> RouterBuilder {
    Router::builder(stage.clone(), Arc::new(NoCredentials))
        .upstream(upstream("bad"))
        .upstream(upstream("good"))
        .upstream(upstream("third"))
        .clock(JumpingClock::new())
        .entropy(Arc::new(doorward_testkit::clock::TestEntropy::seeded(7)))
        .pause(Arc::new(Sleep))
}
