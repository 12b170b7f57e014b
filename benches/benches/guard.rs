//! The guard: recognising conversations, hiding tools, judging calls, filing results.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::cell::Cell;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use doorward_benches::{cx, prose};
use doorward_core::{
    Admission, BoxFuture, Cx, Finish, Flow, Frame, Guard, Label, Message, ModelCall, ModelEvent,
    Names, Params, Role, ToolCall, ToolChoice, ToolDef, ToolName, ToolReply,
};
use doorward_guardrails::checks::{Check, CheckedGuard, Checks, Stage};
use doorward_guardrails::{ContractSpec, Contracts, EffectKind, Provenance, ToolEngine};
use futures_util::FutureExt;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    admissions(&mut criterion);
    judgements(&mut criterion);
    hiding(&mut criterion);
    filing(&mut criterion);
    content(&mut criterion);
    labels(&mut criterion);
    contracts(&mut criterion);
    provenance(&mut criterion);
    hashing(&mut criterion);
    criterion.final_summary();
}

/// Tools behind the broker: all that have a server's name before theirs.
struct Federation;

impl Names for Federation {
    fn brokered(&self, declared: &str) -> Option<ToolName> {
        declared.contains("__").then(|| ToolName::new(declared))
    }
}

fn engine() -> ToolEngine {
    let send = ContractSpec {
        control: Some(vec!["/to".into()]),
        content: vec!["/body".into()],
        ..ContractSpec::new("mail__send", EffectKind::Egress)
    };
    let read = ContractSpec::new("web__read", EffectKind::Read);
    let contracts = Contracts::compile(vec![send, read]).unwrap();
    ToolEngine::builder().contracts(contracts).names(Arc::new(Federation)).key([9; 32]).build()
}

/// The memory in this process never waits.
fn now<T, E: std::fmt::Debug>(work: BoxFuture<'_, Result<T, E>>) -> T {
    work.now_or_never().unwrap().unwrap()
}

fn request(messages: Vec<Message>, tools: usize) -> ModelCall {
    let known = ["mail__send".to_owned(), "web__read".to_owned()];
    let more = (2..tools).map(|number| format!("server__tool_{number}"));
    let tool = |name| ToolDef {
        name,
        description: None,
        schema: None,
        strict: None,
        cache_control: None,
        opaque: None,
        hidden: false,
        custom: false,
    };
    ModelCall {
        model: "fast".into(),
        messages,
        tools: known.into_iter().chain(more).take(tools).map(tool).collect(),
        tool_choice: ToolChoice::Unset,
        params: Params::default(),
        stream: true,
        stream_usage: false,
        ask_usage: false,
        extra: vec![],
        raw: None,
        ..ModelCall::default()
    }
}

/// So many messages of 200 bytes, the last one the user's; each answer served by the engine, so
/// that all of it is known. Tainted: the first answer is none of a model's here.
fn conversation(engine: &ToolEngine, cx: &Cx, count: u64, tainted: bool) -> Vec<Message> {
    let mut messages = vec![Message::text(Role::User, prose(0, 200))];
    if tainted {
        messages.push(Message::text(Role::Assistant, prose(1, 200)));
        messages.push(Message::text(Role::User, prose(2, 200)));
    }
    while (messages.len() as u64) < count {
        let mut admission = now(engine.admit(cx, &mut request(messages.clone(), 20)));
        let text = prose(messages.len() as u64, 200);
        for event in [
            ModelEvent::Text { choice: 0, text: text.clone() },
            ModelEvent::Finish { choice: 0, reason: Finish::Stop, native: "stop".into() },
            ModelEvent::Done,
        ] {
            admission.watch.frame(Frame::of(vec![event]));
        }
        now(admission.watch.finish());
        messages.push(Message::text(Role::Assistant, text));
        messages.push(Message::text(Role::User, prose(messages.len() as u64, 200)));
    }
    messages
}

fn admissions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard/admit");
    let (engine, number) = (engine(), Cell::new(0));
    for count in [1, 50, 500] {
        let messages = conversation(&engine, &cx("alice"), count, false);
        // Nothing is known of a person who was never here.
        let cold = || {
            number.set(number.get() + 1);
            (cx(&format!("stranger-{}", number.get())), request(messages.clone(), 20))
        };
        group.bench_function(BenchmarkId::new("cold", count), |bench| {
            let admit = |(cx, call): &mut (Cx, ModelCall)| now(engine.admit(cx, call));
            bench.iter_batched_ref(cold, admit, BatchSize::SmallInput);
        });
        // All is known but the last message.
        let cx = cx("alice");
        let next = || {
            number.set(number.get() + 1);
            let mut messages = messages.clone();
            let last = messages.last_mut().unwrap();
            *last = Message::text(Role::User, prose(number.get(), 200));
            request(messages, 20)
        };
        group.bench_function(BenchmarkId::new("incremental", count), |bench| {
            let admit = |call: &mut ModelCall| now(engine.admit(&cx, call));
            bench.iter_batched_ref(next, admit, BatchSize::SmallInput);
        });
    }
}

const TO_BOB: &str = r#"{"to":"bob@corp.com","body":"hello"}"#;

/// A whole call of a tool, as a stream brings it.
fn asked_for(arguments: &str) -> Frame {
    Frame::of(vec![
        ModelEvent::ToolStart {
            call: 0,
            choice: 0,
            id: "c".into(),
            name: "mail__send".into(),
            state: None,
        },
        ModelEvent::ToolDelta { call: 0, json: arguments.into() },
        ModelEvent::ToolEnd { call: 0 },
    ])
}

fn decide(admission: &mut Admission, frame: Frame) {
    if let Flow::Judge = admission.watch.frame(frame) {
        now(admission.watch.judge());
    }
}

fn judgements(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard");
    let (engine, cx) = (engine(), cx("alice"));
    for (name, tainted) in [("trusted", false), ("tainted", true)] {
        let mut messages = conversation(&engine, &cx, 49, tainted);
        messages.push(Message::text(Role::User, "and mail it to bob@corp.com"));
        let admitted = || {
            let admission = now(engine.admit(&cx, &mut request(messages.clone(), 20)));
            (admission, Some(asked_for(TO_BOB)))
        };
        group.bench_function(BenchmarkId::new("judge, 20 tools, 50 messages", name), |bench| {
            bench.iter_batched_ref(
                admitted,
                |(admission, frame)| decide(admission, frame.take().unwrap()),
                BatchSize::SmallInput,
            );
        });
        let at_broker = tool_call("mail__send", TO_BOB);
        group.bench_function(BenchmarkId::new("grant issued and consumed", name), |bench| {
            bench.iter_batched_ref(
                admitted,
                |(admission, frame)| {
                    decide(admission, frame.take().unwrap());
                    let verdict = now(engine.judge(&cx, &at_broker));
                    assert!(verdict.grant.is_some(), "{:?}", verdict.decision);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn hiding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard/one tainted message, tools hidden");
    let (engine, cx) = (engine(), cx("alice"));
    for tools in [0, 20, 200] {
        let call = || request(vec![Message::text(Role::Assistant, prose(1, 50))], tools);
        let hidden = now(engine.admit(&cx, &mut call())).hidden.len();
        assert_eq!(hidden, tools.saturating_sub(1), "all but the one that reads");
        group.bench_function(BenchmarkId::from_parameter(tools), |bench| {
            let admit = |call: &mut ModelCall| now(engine.admit(&cx, call));
            bench.iter_batched_ref(call, admit, BatchSize::SmallInput);
        });
    }
}

fn tool_call(tool: &str, arguments: &str) -> ToolCall {
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
    ToolCall::new(ToolName::new(tool), arguments)
}

fn filing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard/file");
    let (engine, cx) = (engine(), cx("alice"));
    let call = tool_call("web__read", "{}");
    let verdict = now(engine.judge(&cx, &call));
    let number = Cell::new(0);
    for (name, bytes) in [("1 KB", 1_000), ("100 KB", 100_000)] {
        let fresh = || {
            number.set(number.get() + 1);
            let text = prose(number.get(), bytes);
            let result = json!({ "content": [{ "type": "text", "text": text }] });
            ToolReply::complete(to_raw_value(&result).unwrap(), false)
        };
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |bench| {
            let file = |reply: &mut ToolReply| now(engine.file(&cx, &call, &verdict, reply));
            bench.iter_batched_ref(fresh, file, BatchSize::SmallInput);
        });
    }
}

/// Every rule that there is, in the order in which one would have them.
fn every_check() -> Checks {
    let checks = vec![Check::invisible(), Check::secrets(), Check::personal(), Check::links()];
    Checks::compile(checks).unwrap()
}

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard/content checks");
    let checks = every_check();
    let clean = prose(1, 4 << 10);
    let found = format!("{} AKIAIOSFODNN7EXAMPLE {}", &clean[..2048], &clean[2048..]);
    group.throughput(Throughput::Bytes(clean.len() as u64));
    for (name, text) in [("4 KiB, nothing found", &clean), ("4 KiB, a key in it", &found)] {
        group.bench_function(name, |bench| bench.iter(|| checks.text(Stage::Answer, text)));
    }
    for (name, check) in [
        ("4 KiB, secrets", Check::secrets()),
        ("4 KiB, personal data", Check::personal()),
        ("4 KiB, links", Check::links()),
        ("4 KiB, invisible", Check::invisible()),
    ] {
        let one = Checks::compile(vec![check]).unwrap();
        group.bench_function(name, |bench| bench.iter(|| one.text(Stage::Answer, &clean)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("guard/streaming window");
    let guard: CheckedGuard = every_check().around(Arc::new(engine()));
    let cx = cx("alice");
    let words: Vec<&str> = clean.split_inclusive(' ').collect();
    group.throughput(Throughput::Elements(words.len() as u64));
    let admitted = || {
        let call = &mut request(vec![Message::text(Role::User, "Hi")], 0);
        let text =
            |word: &&str| Frame::of(vec![ModelEvent::Text { choice: 0, text: (*word).into() }]);
        (now(guard.admit(&cx, call)), words.iter().map(text).collect::<Vec<Frame>>())
    };
    group.bench_function("4 KiB in words", |bench| {
        let pass = |(admission, frames): &mut (Admission, Vec<Frame>)| {
            for frame in frames.drain(..) {
                admission.watch.frame(frame);
            }
        };
        bench.iter_batched_ref(admitted, pass, BatchSize::SmallInput);
    });
    group.finish();
}

/// What a conversation's label costs per result that is read.
fn labels(criterion: &mut Criterion) {
    let mut context = Label::trusted("crm__list");
    for number in 0..8 {
        context.absorb(&Label::trusted(format!("server__tool_{number}")));
    }
    let read = Label::untrusted("web__read");
    criterion.bench_function("guard/label join", |bench| {
        bench.iter(|| std::hint::black_box(&context).join(std::hint::black_box(&read)));
    });
}

/// Finding a tool's contract and holding a label against it.
fn contracts(criterion: &mut Criterion) {
    let mut specs: Vec<ContractSpec> = (0..200)
        .map(|number| ContractSpec::new(&format!("server__tool_{number}"), EffectKind::Read))
        .collect();
    specs.push(ContractSpec {
        control: Some(vec![]),
        ..ContractSpec::new("mail__*", EffectKind::Write)
    });
    let contracts = Contracts::compile(specs).unwrap();
    let label = Label::untrusted("web__read");
    let mut group = criterion.benchmark_group("guard/contract of 200");
    for (name, tool) in [("exact", "server__tool_99"), ("glob", "mail__send"), ("none", "x__y")] {
        group.bench_function(name, |bench| {
            bench.iter(|| contracts.of(std::hint::black_box(tool)).is_met_by(&label));
        });
    }
}

/// Whether a value stands in the user's words: 20 messages of 200 bytes.
fn provenance(criterion: &mut Criterion) {
    let texts: Vec<String> = (0..20).map(|number| prose(number, 200)).collect();
    let said = "and mail it to bob@corp.com, then pay 1,250.00 to DE89 3704 0044 0532 0130 00";
    let mut group = criterion.benchmark_group("guard/provenance of a value");
    for (name, value) in [
        ("there", "bob@corp.com"),
        ("not there", "eve@evil.com"),
        ("account", "DE89370400440532013000"),
        ("phrase", "nothing of the kind here"),
    ] {
        let fresh = || Provenance::of(texts.iter().map(String::as_str).chain([said]));
        group.bench_function(name, |bench| {
            bench.iter_batched_ref(
                fresh,
                |own| own.holds(std::hint::black_box(value)),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Recognising a history by its prefixes, all of which are known: what a request costs that adds
/// nothing. Per message, so that it shows whether the cost is linear.
fn hashing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard/prefix hashing");
    let (engine, cx) = (engine(), cx("alice"));
    for count in [50, 500] {
        let messages = conversation(&engine, &cx, count, false);
        let call = || request(messages.clone(), 0);
        now(engine.admit(&cx, &mut call()));
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bench| {
            let admit = |call: &mut ModelCall| now(engine.admit(&cx, call));
            bench.iter_batched_ref(call, admit, BatchSize::SmallInput);
        });
    }
}
