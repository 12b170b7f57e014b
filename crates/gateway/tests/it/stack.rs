//! The real parts, put together as [`Gateway::start`](doorward_gateway::Gateway::start) does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_audit::{Options, Outage, Recorder};
use doorward_core::{
    Authorizer, Clock, Credential, Event, EventId, Models, Outcome, Scopes, Secret, SystemEntropy,
    Timestamp, Tools,
};
use doorward_gateway::{
    Connect, Edge, EdgeLimits, EdgeMcp, EdgeParts, Enforced, Metrics, Policy, RecordTools,
    serve_connection,
};
use doorward_guardrails::checks::{Check, Checks};
use doorward_guardrails::{ContractSpec, Contracts, EffectKind, ToolEngine, Ungranted};
use doorward_identity::{
    Guesses, KeyStore, Memory, NewKey, Pepper, Rules, StaticCredentials, VirtualKeys, mint,
};
use doorward_ledger::{Amount, Limits, Price, Prices, Rule, Unpriced};
use doorward_mcp_broker::{Broker, SealKeys, Server};
use doorward_model_router::{Provider, Router};
use doorward_testkit::log::signing_key;
use doorward_testkit::shared_log::SharedLog;
use tokio::io::DuplexStream;

use crate::client::Client;
use crate::tracker::InProcess;
use crate::upstream::Upstream;

/// What Doorward shows its providers.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-5f0c7d1e";

/// The runtime's clock, so that a test that holds it holds all time.
#[derive(Debug)]
struct RuntimeClock(tokio::time::Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000).after(self.0.elapsed())
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// What differs from one test to the next.
pub(crate) struct Setup {
    pub(crate) rules: Vec<Rule>,
    pub(crate) scopes: Scopes,
    pub(crate) limits: EdgeLimits,
    pub(crate) record_tools: RecordTools,
    /// What becomes of model calls while the log takes no records, and how many may wait for it.
    pub(crate) outage: (Outage, usize),
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) checks: Vec<Check>,
    /// Puts something between the policy and the router.
    pub(crate) models: fn(Arc<dyn Models>) -> Arc<dyn Models>,
    /// The pages where people connect tools.
    pub(crate) connect: Option<Connect>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: vec![],
            scopes: Scopes::default(),
            limits: EdgeLimits {
                body: 64 << 10,
                in_flight: 16,
                timeout: Duration::from_mins(1),
                hosts: Some(vec!["gateway.test".into()]),
                origins: vec![],
                relay: true,
                kept: 64 << 10,
            },
            record_tools: RecordTools::Before,
            outage: (Outage::Admit, Options::default().capacity),
            authorizer: Arc::new(Rules::default()),
            checks: vec![],
            models: |models| models,
            connect: None,
        }
    }
}

/// A gateway in memory.
pub(crate) struct Stack {
    pub(crate) key: Secret,
    pub(crate) upstream: Upstream,
    pub(crate) log: SharedLog,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) metrics: Arc<Metrics>,
    edge: Arc<Edge>,
}

impl Setup {
    pub(crate) fn build(self, upstream: Upstream) -> Stack {
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock(tokio::time::Instant::now()));
        let (entropy, metrics) = (Arc::new(SystemEntropy), Arc::new(Metrics::default()));
        let log = SharedLog::default();
        let recorder = Arc::new(record(log.clone(), &clock, self.outage));
        let broker = Arc::new(broker(&clock));
        let guard = ToolEngine::builder()
            .contracts(contracts())
            .names(broker.clone())
            .clock(clock.clone())
            .key([9; 32])
            .build();
        let counters = Arc::new(doorward_ledger::Memory::default());
        let ledger = Limits::new(self.rules, prices(), counters, clock.clone()).unwrap();
        let policy = Policy {
            authorizer: self.authorizer,
            guard: Arc::new(Checks::compile(self.checks).unwrap().around(Arc::new(guard))),
            ledger: Arc::new(ledger),
            sink: recorder.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            metrics: metrics.clone(),
            record_tools: self.record_tools,
        };
        let models = (self.models)(Arc::new(router(&upstream, &clock)));
        let tools: Arc<dyn Tools> = broker;
        let (keys, key) = keys(&clock, self.scopes);
        let parts = EdgeParts {
            authenticator: Arc::new(keys),
            mcp: EdgeMcp {
                keys: SealKeys::random(&*entropy),
                epoch: 1,
                session_for: Duration::from_hours(1),
                page: 250,
                search: vec![],
            },
            clock,
            entropy,
            metrics: metrics.clone(),
            upstreams: ["chat".to_owned(), "claude".to_owned()].into(),
            limits: self.limits,
            connect: self.connect,
        };
        let edge =
            Edge::new(Enforced::new(models, policy.clone()), Enforced::new(tools, policy), parts);
        Stack { key, upstream, log, recorder, metrics, edge }
    }
}

fn record(log: SharedLog, clock: &Arc<dyn Clock>, outage: (Outage, usize)) -> Recorder {
    let (queued, capacity) = outage;
    let retry = Duration::from_millis(5);
    let options =
        Options { retry_first: retry, retry_most: retry, queued, capacity, ..Options::default() };
    Recorder::start(log, signing_key(), clock.clone(), options).unwrap()
}

fn broker(clock: &Arc<dyn Clock>) -> Broker {
    let hasty =
        Server { timeout: Duration::from_millis(50), ..Server::stdio("hasty", ["tracker"]) };
    Broker::builder()
        .launcher(InProcess)
        .clock(clock.clone())
        .server(Server::stdio("tracker", ["tracker"]))
        .server(hasty)
        .build()
        .unwrap()
}

fn contracts() -> Contracts {
    let send = ContractSpec {
        control: Some(vec!["/to".into()]),
        ungranted: Some(Ungranted::Deny),
        ..ContractSpec::new("*__send", EffectKind::Egress)
    };
    let read = |tool| ContractSpec::new(tool, EffectKind::Read);
    Contracts::compile(vec![send, read("*__get_issue"), read("*__hang")]).unwrap()
}

fn router(upstream: &Upstream, clock: &Arc<dyn Clock>) -> Router {
    let key = || Credential::Key(Secret::new(UPSTREAM_KEY));
    let credentials =
        StaticCredentials::default().with_upstream("chat", key()).with_upstream("claude", key());
    let of = |name: &str, provider: &str, url: &str| {
        let provider = Provider::named(provider).unwrap();
        let upstream = doorward_model_router::Upstream::new(name, provider, Some(url)).unwrap();
        upstream.with_models(["m-1".to_owned()])
    };
    Router::builder(Arc::new(upstream.clone()), Arc::new(credentials))
        .clock(clock.clone())
        .upstream(of("chat", "openai-compatible", "http://chat.test/v1"))
        .upstream(of("claude", "anthropic", "http://claude.test"))
        .build()
        .unwrap()
}

/// A dollar a token.
fn prices() -> Prices {
    let price = Price::new(Amount::whole(1_000_000), Amount::whole(1_000_000));
    Prices::new(Unpriced::Deny).with("chat/m-1", price.clone()).with("claude/m-1", price)
}

fn keys(clock: &Arc<dyn Clock>, scopes: Scopes) -> (VirtualKeys, Secret) {
    let pepper = || Pepper::from_bytes([5; 32]);
    let wanted = NewKey::person("laptop", "alice@example.com").with_scopes(scopes);
    let (text, record) = mint(&SystemEntropy, &**clock, &pepper(), wanted).unwrap();
    let store = Arc::new(Memory::default());
    store.insert(&record).unwrap();
    let keys = VirtualKeys::new(store, pepper(), clock.clone(), Guesses::default()).unwrap();
    (keys, text)
}

impl Stack {
    /// A connection.
    pub(crate) fn stream(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 16);
        let source = IpAddr::from([127, 0, 0, 1]);
        tokio::spawn(serve_connection(far, source, self.edge.clone()));
        near
    }

    /// A connection that shows the key.
    pub(crate) async fn client(&self) -> Client {
        Client::over(self.stream(), self.key.expose()).await
    }

    /// Says that no more requests should come.
    pub(crate) fn retire(&self) {
        self.edge.retire();
    }

    /// Waits for every call to end and for every record to be written, and gives them out by
    /// call.
    pub(crate) async fn close(self) -> BTreeMap<EventId, Vec<Event>> {
        let recorder = self.recorder.clone();
        let closed =
            tokio::task::spawn_blocking(move || recorder.close(Duration::from_secs(10))).await;
        closed.unwrap().unwrap();
        let mut calls: BTreeMap<EventId, Vec<Event>> = BTreeMap::new();
        for event in self.log.events() {
            calls.entry(event.id).or_default().push(event);
        }
        calls
    }
}

/// How each call ended: one entry each, besides the one that says that it began.
pub(crate) fn endings(calls: &BTreeMap<EventId, Vec<Event>>) -> Vec<&Event> {
    let mut endings: Vec<&Event> = Vec::new();
    for entries in calls.values() {
        let (began, ended): (Vec<_>, Vec<_>) =
            entries.iter().partition(|event| event.outcome == Outcome::Started);
        assert!(began.len() <= 1, "{entries:#?}");
        assert_eq!(ended.len(), 1, "{entries:#?}");
        endings.extend(ended);
    }
    endings.sort_by_key(|event| event.at);
    endings
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came to be: {what}");
}
