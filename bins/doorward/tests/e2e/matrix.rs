//! Every client against every provider's type: what comes back must be what the provider said, in
//! the client's own terms, whichever wire lies between.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use crate::gateway::Site;
use crate::process::{clients, litellm, node, python, show};
use crate::upstreams::{ENVIRONMENT, Fake, UPSTREAMS, Upstream, sections};

/// What runs a client program.
enum Runtime {
    Node,
    Python,
    /// Python with `litellm` in it.
    Litellm,
}
use Runtime::{Litellm, Node, Python};

/// A client program under `tests/clients/sdks`.
struct Client {
    name: &'static str,
    runtime: Runtime,
    /// The program and its argument.
    program: &'static [&'static str],
    /// Whether it takes a slash in a model's name for part of the name.
    slash: bool,
}

const fn client(
    name: &'static str,
    runtime: Runtime,
    program: &'static [&'static str],
    slash: bool,
) -> Client {
    Client { name, runtime, program, slash }
}

const CLIENTS: &[Client] = &[
    client("openai chat", Node, &["openai_chat.mjs"], true),
    client("openai responses", Node, &["openai_responses.mjs"], true),
    client("ai openai", Node, &["ai.mjs", "openai"], true),
    client("ai openai-compatible", Node, &["ai.mjs", "openai-compatible"], true),
    client("ai anthropic", Node, &["ai.mjs", "anthropic"], true),
    client("ai google", Node, &["ai.mjs", "google"], false),
    client("ai gateway", Node, &["ai.mjs", "gateway"], true),
    client("anthropic", Node, &["anthropic_messages.mjs"], true),
    client("genai 2", Node, &["google_genai.mjs", "2"], false),
    client("genai 3", Node, &["google_genai.mjs", "3"], false),
    client("openai py", Python, &["openai_sdk.py"], true),
    client("anthropic py", Python, &["anthropic_sdk.py"], true),
    client("litellm openai", Litellm, &["litellm_sdk.py", "openai"], true),
    client("litellm anthropic", Litellm, &["litellm_sdk.py", "anthropic"], true),
    client("claude code", Node, &["claude_code.mjs"], true),
    client("codex", Node, &["codex.mjs"], true),
];

/// A check that cannot be, and why.
struct Impossible {
    /// What the client's name begins with.
    client: &'static str,
    upstream: &'static str,
    check: &'static str,
    why: &'static str,
}

const fn impossible(
    client: &'static str,
    upstream: &'static str,
    check: &'static str,
    why: &'static str,
) -> Impossible {
    Impossible { client, upstream, check, why }
}

const NO_CUSTOM: &str = "the fake has no free-form tools on its Responses wire";

const IMPOSSIBLE: &[Impossible] = &[
    impossible("", "anthropic", "embeddings", "Anthropic has no embeddings"),
    impossible("openai responses", "openai", "custom", NO_CUSTOM),
    impossible("openai responses", "azure", "custom", NO_CUSTOM),
    impossible("openai responses", ALONE, "custom", NO_CUSTOM),
    impossible("openai responses", ALONE, "kept", "the fake keeps no answers"),
    impossible("openai responses", ALONE, "count-tokens", "the fake does not count there"),
    impossible("", ALONE, "models", "the fake lists models of its own"),
];

/// The column of `each_client_passes_with_no_gateway_between`.
const ALONE: &str = "the fake";

/// What a client's tools give back is untrusted where nobody says otherwise, and the guard takes
/// the others out of the model's sight then. That is `guard.rs`'s business; here each turn is to
/// carry its tools.
const TRUST: &str =
    "[[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = { integrity = \"trusted\" }\n\n";

/// What a client told of one check.
struct Told {
    client: &'static str,
    upstream: String,
    check: String,
    /// What went wrong, if it did.
    wrong: Option<String>,
}

/// Asks a client to go through the upstreams, and collects what it tells.
fn run(client: &Client, base: &str, key: &str, upstreams: &[Value]) -> Vec<Told> {
    let (runtime, runner) = match client.runtime {
        Node => (node(), "every.mjs"),
        Python => (python(), "every.py"),
        Litellm => (litellm(), "every.py"),
    };
    let output = Command::new(runtime)
        .arg(clients().join("sdks").join(runner))
        .args(client.program)
        .current_dir(clients())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs([("BASE", base), ("KEY", key), ("COLUMNS", &json!(upstreams).to_string())])
        .output()
        .unwrap();
    let mut all: Vec<Told> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| {
            let ok = line["ok"] == json!(true);
            Some(Told {
                client: client.name,
                upstream: line["upstream"].as_str()?.to_owned(),
                check: line["check"].as_str()?.to_owned(),
                wrong: (!ok).then(|| line["told"].as_str().unwrap_or("no reason").to_owned()),
            })
        })
        .collect();
    // A program that died has not told so, and one that did nothing has told of no failure.
    for upstream in upstreams.iter().filter_map(|upstream| upstream["name"].as_str()) {
        if !all.iter().any(|told| told.upstream == upstream) {
            let died = String::from_utf8_lossy(&output.stderr).into_owned();
            let (upstream, check) = (upstream.to_owned(), "to run".to_owned());
            all.push(Told { client: client.name, upstream, check, wrong: Some(died) });
        }
    }
    all
}

/// Runs the clients, a few at a time: they wait more than they work.
fn run_all(of: &(impl Fn(&Client) -> Vec<Told> + Sync)) -> Vec<Told> {
    let clients = CLIENTS.iter().filter(|client| wanted(client.name, "CLIENTS"));
    let open: Mutex<VecDeque<&Client>> = Mutex::new(clients.collect());
    let all = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = open.lock().unwrap().pop_front();
                    let Some(client) = next else { return };
                    let told = of(client);
                    all.lock().unwrap().extend(told);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// Whether a name is asked for by a variable of the environment, which may hold parts of names:
/// `CLIENTS=genai,codex UPSTREAMS=bedrock` runs less of the table.
fn wanted(name: &str, variable: &str) -> bool {
    let Ok(only) = std::env::var(variable) else { return true };
    only.split(',').any(|part| name.contains(part))
}

/// What cannot be, by the names of its checks.
fn skipped(client: &Client, upstream: &str) -> Vec<&'static str> {
    IMPOSSIBLE
        .iter()
        .filter(|i| client.name.starts_with(i.client) && i.upstream == upstream)
        .map(|i| i.check)
        .collect()
}

/// What cannot be, with the reasons, without a gateway between or with one.
fn left_out(alone: bool) -> String {
    let mut text = String::new();
    for i in IMPOSSIBLE.iter().filter(|i| (i.upstream == ALONE) == alone) {
        let client = if i.client.is_empty() { "every client" } else { i.client };
        let _ = writeln!(text, "  {client} over {}: {}: {}", i.upstream, i.check, i.why);
    }
    text
}

/// Passed and told checks, by client and upstream.
fn table(columns: &[&str], all: &[Told]) -> String {
    let mut text = format!("{:22}", "");
    for column in columns {
        let _ = write!(text, "{column:>11}");
    }
    for client in CLIENTS {
        let _ = write!(text, "\n{:22}", client.name);
        for column in columns {
            let of = all.iter().filter(|t| t.client == client.name && t.upstream == *column);
            let (passed, failed): (Vec<_>, Vec<_>) = of.partition(|told| told.wrong.is_none());
            let count = passed.len() + failed.len();
            let cell =
                if count == 0 { "-".to_owned() } else { format!("{}/{count}", passed.len()) };
            let _ = write!(text, "{cell:>11}");
        }
    }
    text + "\n"
}

/// Prints the table, leaves it in the target folder, and fails on any miss.
fn judge(file: &str, columns: &[&str], all: &[Told], left_out: &str) {
    let mut misses = String::new();
    for Told { client, upstream, check, wrong } in all {
        if let Some(wrong) = wrong {
            let _ = writeln!(misses, "\n{client} over {upstream}: {check}");
            for line in wrong.lines().take(12) {
                let _ = writeln!(misses, "  {line}");
            }
        }
    }
    let report = format!("{}\n{left_out}{misses}", table(columns, all));
    show(file, &report);
    assert!(misses.is_empty(), "\n{report}");
}

#[test]
#[ignore = "needs the clients that scripts/test installs"]
fn each_client_passes_with_no_gateway_between() {
    let fake = Fake::providers();
    let all = run_all(&|client| {
        let (model, skip) = ("scripted-1", skipped(client, ALONE));
        let column = json!({ "name": ALONE, "model": model, "embed": model, "skip": skip });
        run(client, &fake.url, "key", &[column])
    });
    judge("clients-alone.txt", &[ALONE], &all, &format!("left out:\n{}", left_out(true)));
}

#[test]
#[ignore = "needs the clients that scripts/test installs"]
fn every_client_reads_every_provider() {
    let began = Instant::now();
    let fake = Fake::providers();
    let upstreams: Vec<&Upstream> =
        UPSTREAMS.iter().filter(|upstream| wanted(upstream.name, "UPSTREAMS")).collect();
    let site = Site::new(&(sections(upstreams.iter().copied(), &fake.url) + TRUST));
    let key = site.key(&["--name", "clients"]);
    let gateway = site.start_with(ENVIRONMENT);

    let all = run_all(&|client| {
        let columns: Vec<Value> = upstreams
            .iter()
            .map(|upstream| {
                let (name, skip) = (upstream.name, skipped(client, upstream.name));
                let [model, embed] = upstream.asked(client.slash);
                json!({ "name": name, "model": model, "embed": embed, "skip": skip })
            })
            .collect();
        run(client, &gateway.data, &key, &columns)
    });
    let columns: Vec<&str> = upstreams.iter().map(|upstream| upstream.name).collect();
    let left_out = format!("in {} s; left out:\n{}", began.elapsed().as_secs(), left_out(false));
    judge("clients.txt", &columns, &all, &left_out);
    assert!(!gateway.log().contains("upstream-secret"), "no upstream's key is logged");
}
