//! Every client, in every era it has, over all servers through one endpoint.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Site};
use crate::process::{clients, everything, node, show};
use crate::servers::{Server, files, python};

/// A client: its name, its script, and the script's arguments.
struct Row(&'static str, &'static str, &'static [&'static str]);

const ROWS: &[Row] = &[
    Row("inspector, legacy", "inspector.mjs", &["legacy"]),
    Row("inspector, auto", "inspector.mjs", &["auto"]),
    Row("inspector, modern", "inspector.mjs", &["modern"]),
    Row("TypeScript SDK 2, legacy", "sdk_v2.mjs", &["legacy"]),
    Row("TypeScript SDK 2, auto", "sdk_v2.mjs", &["auto"]),
    Row("TypeScript SDK 2, 2026-07-28", "sdk_v2.mjs", &["2026-07-28"]),
    Row("TypeScript SDK 1", "sdk_v1.mjs", &["http"]),
    Row("mcp-remote, SDK 1", "sdk_v1.mjs", &["remote"]),
    Row("mcp-remote, SDK 2, 2026-07-28", "sdk_v2.mjs", &["2026-07-28", "remote"]),
    Row("AI SDK", "ai_sdk.mjs", &[]),
    Row("Python SDK, legacy", "official.py", &["legacy"]),
    Row("Python SDK, auto", "official.py", &["auto"]),
    Row("Python SDK, 2026-07-28", "official.py", &["2026-07-28"]),
    Row("fastmcp, legacy", "fast_client.py", &["legacy"]),
    Row("fastmcp, auto", "fast_client.py", &["auto"]),
    Row("fastmcp, 2026-07-28", "fast_client.py", &["2026-07-28"]),
];

/// A call, and what its first text contains.
struct Step(&'static str, Value, &'static str);

fn steps(folder: &str) -> Vec<Step> {
    let note = format!("{folder}/note.txt");
    vec![
        Step("everything__echo", json!({ "message": "hé" }), "Echo: hé"),
        Step("everyhttp__echo", json!({ "message": "by http" }), "Echo: by http"),
        Step("everysse__echo", json!({ "message": "by sse" }), "Echo: by sse"),
        Step("files__read_text_file", json!({ "path": note }), "written before"),
        Step("fast__add", json!({ "a": 2, "b": 3 }), "5"),
        Step("modern__join", json!({ "first": "a", "second": "b" }), "a-b"),
    ]
}

/// Prompts and resources that must be in the lists of a client that has them.
const PROMPTS: &[&str] = &["simple-prompt", "review"];

fn run(row: &Row, gateway: &Gateway, key: &str, steps: &[Step]) -> Result<Value, String> {
    let Row(_, script, arguments) = row;
    let plan: Vec<Value> = steps
        .iter()
        .map(|Step(name, given, _)| json!({ "name": name, "arguments": given }))
        .collect();
    let program = if script.contains(".py") { python() } else { node() };
    let home = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = Command::new(program)
        .arg(clients().join("mcp").join(script))
        .args(*arguments)
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("URL", format!("{}/mcp", gateway.data))
        .env("KEY", key)
        .env("PLAN", json!(plan).to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let line = String::from_utf8_lossy(&output.stdout);
    let line = line.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|_| {
        let lines: Vec<&str> = told.lines().collect();
        let end = lines[lines.len().saturating_sub(8)..].join("\n");
        format!("ends with {}:\n{end}", output.status)
    })
}

/// What is wrong with what a client found; nothing where all is well.
fn faults(done: &Value, steps: &[Step]) -> Vec<String> {
    let mut faults: Vec<String> =
        serde_json::from_value(done["errors"].clone()).unwrap_or_default();
    let has = |list: &Value, suffix: &str| {
        list.as_array().is_some_and(|all| {
            all.iter().any(|name| name.as_str().is_some_and(|name| name.ends_with(suffix)))
        })
    };
    for Step(name, _, expected) in steps {
        if !has(&done["tools"], name) {
            faults.push(format!("{name} is not listed"));
        }
        if let Some(text) = done["texts"][*name].as_str()
            && !text.contains(expected)
        {
            faults.push(format!("{name} answers {text:?}"));
        }
    }
    if done["texts"].as_object().map_or(0, serde_json::Map::len) < steps.len() && faults.is_empty()
    {
        faults.push("not every step was taken".to_owned());
    }
    for prompt in PROMPTS {
        if !done["prompts"].is_null() && !has(&done["prompts"], prompt) {
            faults.push(format!("no prompt {prompt}"));
        }
    }
    if done["resources"].as_array().is_some_and(Vec::is_empty) {
        faults.push("no resources".to_owned());
    }
    faults
}

async fn all_known(gateway: &Gateway, key: &str, steps: &[Step]) -> Vec<String> {
    let mut missing = vec![];
    for _ in 0..100 {
        let tools = gateway.tools(key).await;
        missing = steps
            .iter()
            .map(|Step(name, ..)| (*name).to_owned())
            .filter(|name| !tools.contains(name))
            .collect();
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn every_client_lists_and_calls_every_server_through_one_endpoint() {
    let http = Server::everything("streamableHttp");
    let sse = Server::everything("sse");
    let (fast, modern) = (Server::fast(), Server::modern());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("open");
    let site = Site::new(
        &[
            files(&folder),
            http.section("everyhttp", "/mcp"),
            sse.section("everysse", "/sse"),
            fast.section("fast", "/mcp"),
            modern.section("modern", "/mcp"),
            everything(),
            "[[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = { integrity = \"trusted\" }\n"
                .to_owned(),
        ]
        .concat(),
    );
    let key = site.key(&["--name", "matrix"]);
    let gateway = site.start();
    let steps = steps(&folder.display().to_string());
    let missing = all_known(&gateway, &key, &steps).await;

    let mut table = String::new();
    let mut failing = BTreeMap::new();
    for row in ROWS {
        let faults = match run(row, &gateway, &key, &steps) {
            Ok(done) => faults(&done, &steps),
            Err(fault) => vec![fault],
        };
        let mark = if faults.is_empty() { "works" } else { "FAILS" };
        _ = writeln!(table, "{mark}  {}", row.0);
        if !faults.is_empty() {
            failing.insert(row.0, faults);
        }
    }
    show("mcp-clients.txt", &table);
    assert!(
        failing.is_empty() && missing.is_empty(),
        "never listed: {missing:?}\n{failing:#?}\n{table}\n{}",
        gateway.log()
    );
}
