//! Upstreams that go wrong in every way we know, with a good one behind each: what a client gets,
//! what was paid for twice, and what the ledger says of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use doorward_testkit::chaos::{ANSWER, Attempt, Chaos, TOKENS, Way};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site};
use crate::process::show;

/// Calls per way; every second one streams.
const CALLS: usize = 10;
/// A limit that is wide enough for everything here, and the most an answer may have.
const LIMIT: u64 = 1_000_000;
const MOST: u64 = 16;
/// By how many tokens a call's prompt may be taken for more than a probe's, which is shorter.
const SLACK: u64 = 16;

/// The configuration's words for how long an upstream may be silent.
const PATIENCE: &str = "timeouts = { first_token = \"2s\", idle = \"2s\", total = \"5s\" }\n";

/// Each way under its own upstream, so that one's health does not hide another's.
fn sections(chaos: &Chaos, good: &Chaos) -> String {
    let mut text = format!(
        "[[limit]]\nname = \"all\"\nwhat = \"tokens\"\namount = {LIMIT}\nwindow = \"day\"\nper = \"key\"\n\n"
    );
    let upstream = |name: &str, url: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nprovider = \"openai-compatible\"\nbase_url = \"{url}\"\n\
             stream_usage = true\nmodels = [\"m\"]\n\n"
        )
    };
    text += &upstream("good", &good.base_url(Way::Well));
    for way in Way::ALL {
        let name = way.name();
        text += &upstream(name, &chaos.base_url(way));
        let _ = write!(
            text,
            "[[alias]]\nname = \"try-{name}\"\nstrategy = \"fallback\"\n{PATIENCE}\
             targets = [\"{name}/m\", \"good/m\"]\n\n"
        );
    }
    text
}

/// How a call looked to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    /// The whole answer.
    Served,
    /// Some of the answer, and then an error that the client can tell from an end.
    Broken,
    /// An error and nothing else.
    Lost,
    /// Something that looks like a whole answer and is none.
    Misled,
}

fn whole(status: u16, body: &[u8]) -> Got {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer["choices"][0]["message"]["content"].as_str() {
        Some(ANSWER) if status == 200 => Got::Served,
        None if status >= 400 && answer["error"]["message"].is_string() => Got::Lost,
        _ => Got::Misled,
    }
}

fn streamed(status: u16, body: &[u8], cut: bool) -> Got {
    if status >= 400 {
        return whole(status, body);
    }
    let text = String::from_utf8_lossy(body);
    let (mut said, mut finished, mut failed) = (String::new(), false, cut);
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        let choice = &event["choices"][0];
        said += choice["delta"]["content"].as_str().unwrap_or_default();
        finished |= choice["finish_reason"] == json!("stop");
        failed |= event["error"].is_object();
    }
    match (said.as_str(), finished && !failed) {
        (ANSWER, true) => Got::Served,
        ("", false) => Got::Lost,
        (_, false) if failed => Got::Broken,
        _ => Got::Misled,
    }
}

async fn call(gateway: &Gateway, key: &str, way: Way, number: usize) -> Got {
    let stream = number % 2 == 1;
    let ask = json!({
        "model": format!("try-{}", way.name()), "stream": stream, "max_tokens": MOST,
        "messages": [{ "role": "user", "content": format!("{} {number}", way.name()) }],
    });
    let mut answer = gateway.post_raw("/v1/chat/completions", key, &ask).await;
    let status = answer.status().as_u16();
    let (mut body, mut cut) = (Vec::new(), false);
    while let Some(frame) = answer.body_mut().frame().await {
        let Ok(frame) = frame else {
            cut = true;
            break;
        };
        body.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    if stream { streamed(status, &body, cut) } else { whole(status, &body) }
}

/// What the ledger counts for a key, found from outside: a call is admitted as long as what is
/// used, what its prompt is taken for and its `max_tokens` fit in the limit.
struct Probe<'g> {
    gateway: &'g Gateway,
    /// What the ledger takes a probe's prompt for.
    prompt: u64,
}

impl<'g> Probe<'g> {
    /// Learns what a prompt is taken for, with a key that has used nothing.
    async fn new(gateway: &'g Gateway, fresh: &str) -> Self {
        let mut probe = Self { gateway, prompt: 0 };
        probe.prompt = probe.used(fresh).await;
        probe
    }

    async fn used(&self, key: &str) -> u64 {
        let (mut low, mut high, mut own) = (0, 16_384, 0);
        while low < high {
            let middle = u64::midpoint(low, high);
            let most = LIMIT - self.prompt - middle - own;
            let ask = json!({
                "model": "good/m", "max_tokens": most,
                "messages": [{ "role": "user", "content": "probe" }],
            });
            let (status, told) = self.gateway.post("/v1/chat/completions", key, &ask).await;
            match status {
                200 => {
                    high = middle;
                    own += TOKENS.0 + TOKENS.1;
                }
                429 | 402 => low = middle + 1,
                _ => panic!("{status}: {told}"),
            }
        }
        low
    }
}

/// What happened on one way.
#[derive(Debug, Default)]
struct Row {
    got: BTreeMap<&'static str, usize>,
    /// Calls that two upstreams had their price for.
    twice: usize,
    tried: usize,
    /// Tokens that upstreams reported.
    reported: u64,
    /// Attempts that have or may have their price, and that nobody told.
    untold: u64,
    /// Tokens that the ledger counts, and the most that it may.
    ledger: u64,
    most: u64,
}

impl Row {
    fn new(way: Way, got: &[Got], attempts: &[Attempt], reserved: u64) -> Self {
        let mut row = Self::default();
        for got in got {
            let name = match got {
                Got::Served => "served",
                Got::Broken => "broken",
                Got::Lost => "lost",
                Got::Misled => "misled",
            };
            *row.got.entry(name).or_default() += 1;
        }
        let each = TOKENS.0 + TOKENS.1;
        for number in 0..got.len() {
            let mark = format!("{} {number}", way.name());
            let of: Vec<&Attempt> = attempts.iter().filter(|a| a.mark == mark).collect();
            row.tried += of.iter().filter(|a| a.way == way).count();
            let billed = of.iter().filter(|a| a.billed).count();
            let completed = of.iter().filter(|a| a.completed).count();
            row.twice += usize::from(billed > 1);
            row.untold += of.iter().filter(|a| !a.completed && !a.way.refuses()).count() as u64;
            row.reported += each * completed as u64;
        }
        // What nobody told is at most what was reserved for it. An attempt that broke, or that
        // nothing came of, keeps all of it: only the provider knows (docs/decisions/0009).
        row.most = row.reported + row.untold * reserved;
        row
    }

    fn of(&self, name: &str) -> usize {
        self.got.get(name).copied().unwrap_or(0)
    }

    /// What must hold; empty where all does.
    fn faults(&self, way: Way) -> Vec<String> {
        let mut faults = vec![];
        let mut must = |holds: bool, told: String| {
            if !holds {
                faults.push(told);
            }
        };
        must(self.of("misled") == 0, format!("{} misled", self.of("misled")));
        if way.completes() || !way.tells() {
            must(self.of("served") == CALLS, format!("{} of {CALLS} served", self.of("served")));
            must(self.twice == 0, format!("{} paid twice", self.twice));
        }
        if way.completes() || way.refuses() {
            must(
                self.ledger == self.reported,
                format!("the ledger has {}, {} were reported", self.ledger, self.reported),
            );
        }
        if !way.tells() && !way.refuses() {
            let least = self.reported + self.untold * MOST;
            must(self.ledger >= least, format!("the ledger has {}, not {least}", self.ledger));
        }
        // A stream that has begun cannot be begun again elsewhere; the rest can.
        must(
            self.of("lost") == 0 && self.of("broken") <= CALLS / 2,
            format!("{} lost, {} broken", self.of("lost"), self.of("broken")),
        );
        must(
            (self.reported..=self.most).contains(&self.ledger),
            format!("the ledger has {}, not {}..={}", self.ledger, self.reported, self.most),
        );
        must(self.tried > 0, "it was never tried".to_owned());
        faults
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_served_is_and_is_paid_for_once() {
    let (chaos, good) = (Chaos::start().await.unwrap(), Chaos::start().await.unwrap());
    let site = Site::new(&sections(&chaos, &good));
    let keys: Vec<String> = Way::ALL.iter().map(|way| site.key(&["--name", way.name()])).collect();
    let fresh = site.key(&["--name", "fresh"]);
    let gateway = Arc::new(site.start());

    // All ways at once, the calls of each one after the other: some wait long.
    let mut running = vec![];
    for (way, key) in Way::ALL.into_iter().zip(keys.clone()) {
        let gateway = gateway.clone();
        running.push(tokio::spawn(async move {
            let mut got = vec![];
            for number in 0..CALLS {
                got.push(call(&gateway, &key, way, number).await);
            }
            got
        }));
    }
    let mut all = vec![];
    for way in running {
        all.push(way.await.unwrap());
    }
    let attempts = [chaos.attempts(), good.attempts()].concat();

    let probe = Probe::new(&gateway, &fresh).await;
    let (mut table, mut faults) = (String::new(), vec![]);
    let head =
        ["served", "broken", "lost", "misled", "tried", "twice", "reported", "ledger", "at most"];
    let _ = writeln!(table, "{:14}{}", "", head.map(|name| format!("{name:>9}")).concat());
    for ((way, got), key) in Way::ALL.into_iter().zip(&all).zip(&keys) {
        let mut row = Row::new(way, got, &attempts, probe.prompt + MOST + SLACK);
        row.ledger = probe.used(key).await;
        let _ = write!(table, "{:14}", way.name());
        for count in ["served", "broken", "lost", "misled"].map(|name| row.of(name) as u64) {
            let _ = write!(table, "{count:>9}");
        }
        for sum in [row.tried as u64, row.twice as u64, row.reported, row.ledger, row.most] {
            let _ = write!(table, "{sum:>9}");
        }
        table.push('\n');
        faults.extend(row.faults(way).into_iter().map(|told| format!("{}: {told}", way.name())));
    }
    show("chaos.txt", &table);
    assert!(
        faults.is_empty(),
        "{}
{table}",
        faults.join("\n")
    );
}
