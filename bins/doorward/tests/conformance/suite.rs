//! Runs the suite, and reads what it leaves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{clients, node};

/// What one run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether every scored scenario passed.
    pub(crate) conforms: bool,
    /// Scenarios by name.
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    /// What the suite printed.
    pub(crate) printed: String,
}

/// The checks of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) passed: usize,
    /// What failed: the check, and why.
    pub(crate) failed: Vec<String>,
    /// What only warns.
    pub(crate) warned: Vec<String>,
}

impl Report {
    pub(crate) fn passed(&self) -> usize {
        self.scenarios.values().map(|scenario| scenario.passed).sum()
    }

    pub(crate) fn failed(&self) -> usize {
        self.scenarios.values().map(|scenario| scenario.failed.len()).sum()
    }

    /// The failing checks of the scenarios with these names; those of a scenario that did not run
    /// are that it did not.
    pub(crate) fn failing<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> String {
        let mut told = String::new();
        for name in names {
            match self.scenarios.get(name) {
                None => _ = writeln!(told, "  {name}: did not run"),
                Some(scenario) => {
                    for check in &scenario.failed {
                        _ = writeln!(told, "  {name}: {check}");
                    }
                }
            }
        }
        told
    }

    /// All failing checks.
    pub(crate) fn all_failing(&self) -> String {
        self.failing(self.scenarios.keys().map(String::as_str))
    }

    /// One line for each scenario.
    pub(crate) fn table(&self) -> String {
        let mut told = String::new();
        for (name, Scenario { passed, failed, warned }) in &self.scenarios {
            let mark = if failed.is_empty() { "passes" } else { "FAILS " };
            let (failed, warned) = (failed.len(), warned.len());
            _ = writeln!(told, "{mark} {name}: {passed} passed, {failed} failed, {warned} warned");
        }
        told
    }
}

/// Server mode: the suite is the client of `url`.
pub(crate) async fn against(url: &str, arguments: &[&str]) -> Report {
    let mut all = vec!["server".to_owned(), "--url".to_owned(), url.to_owned()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    run(all, vec![]).await
}

/// Client mode: the suite starts the driver for one scenario, at one version.
pub(crate) async fn drive(scenario: &str, version: &str) -> Report {
    let driver = clients().join("mcp/driver.mjs");
    let command = format!("{} {}", node().display(), driver.display());
    let all = ["client", "--command", &command, "--scenario", scenario, "--timeout", "60000"];
    let mut all = all.map(str::to_owned).to_vec();
    if !version.is_empty() {
        all.extend(["--spec-version".to_owned(), version.to_owned()]);
    }
    run(all, vec![("DOORWARD", env!("CARGO_BIN_EXE_doorward").to_owned())]).await
}

/// What the suite scores a client of a revision by.
pub(crate) fn required_of_clients(version: &str) -> Vec<String> {
    let file =
        format!("node_modules/@modelcontextprotocol/conformance/requirements/{version}.yaml");
    let text = std::fs::read_to_string(clients().join(file)).unwrap();
    let list = text.lines().skip_while(|line| *line != "client:").skip(1);
    let items = list.map_while(|line| line.strip_prefix("  - "));
    items.map(str::to_owned).collect()
}

async fn run(arguments: Vec<String>, environment: Vec<(&'static str, String)>) -> Report {
    tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        let program =
            clients().join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
        // The suite's own children look for `node`, and the system's may be too old.
        let node = node().canonicalize().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(node.parent().unwrap().to_path_buf())
                .chain(std::env::split_paths(&path)),
        )
        .unwrap();
        let output = Command::new(&node)
            .arg(program)
            .args(&arguments)
            .arg("-o")
            .arg(folder.path())
            .env("PATH", path)
            .envs(environment)
            .output()
            .unwrap();
        read(folder.path(), &output)
    })
    .await
    .unwrap()
}

fn read(folder: &Path, output: &Output) -> Report {
    let mut report = Report {
        conforms: output.status.success(),
        printed: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        ..Report::default()
    };
    for file in files(folder) {
        let checks: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let scenario = report.scenarios.entry(name(folder, &file)).or_default();
        for check in checks {
            let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
            let why =
                if check["errorMessage"].is_string() { "errorMessage" } else { "description" };
            let told = format!("{}: {}", text("id"), text(why));
            match text("status").as_str() {
                "SUCCESS" => scenario.passed += 1,
                "FAILURE" => scenario.failed.push(told),
                "WARNING" => scenario.warned.push(told),
                _ => {}
            }
        }
    }
    assert!(!report.scenarios.is_empty(), "nothing ran:\n{}", report.printed);
    report
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.ends_with("checks.json") {
            found.push(path);
        }
    }
    found
}

/// The scenario's name out of `[server-]{name}-{time}/checks.json`; names may have slashes.
fn name(folder: &Path, file: &Path) -> String {
    let path = file.parent().unwrap().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    // A time is as long as `2026-11-24T01-06-39-225Z`, with a dash before.
    let end = path.len().saturating_sub("-2026-11-24T01-06-39-225Z".len());
    let name = &path[..end];
    // Those that are called so themselves have it twice.
    name.strip_prefix("server-").unwrap_or(name).to_owned()
}
