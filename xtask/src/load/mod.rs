//! What the gateway costs, end to end, beside a plain reverse proxy.
//!
//! The proxies run on the first core. The mock provider and the load share one process on the
//! second: this program once more, built with optimisation.

mod contender;
mod generator;
mod measure;
mod mock;
mod peers;
mod process;
mod report;
mod scenario;
mod streams;
mod wire;

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use contender::Contender;
use measure::Extent;
use mock::Mock;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    quick: bool,
    only: Option<String>,
    streams: Option<usize>,
    doorward: Doorward,
    litellm: Option<PathBuf>,
    portkey: Option<PathBuf>,
    /// This is the optimised program on its own core already.
    pinned: bool,
}

/// Which doorward is measured.
#[derive(Debug, Default, PartialEq, Eq)]
enum Doorward {
    /// One that is built from this tree.
    #[default]
    Built,
    At(PathBuf),
    None,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
            match *word {
                "--quick" => options.quick = true,
                "--only" => options.only = Some((*value()?).to_owned()),
                "--streams" => {
                    let count = value()?.parse().ok().filter(|count| *count > 0);
                    options.streams = Some(count.ok_or("--streams takes a number")?);
                }
                "--doorward" => options.doorward = Doorward::At(value()?.into()),
                "--litellm" => options.litellm = Some(value()?.into()),
                "--portkey" => options.portkey = Some(value()?.into()),
                "--no-doorward" => options.doorward = Doorward::None,
                "--pinned" => options.pinned = true,
                other => return Err(format!("load does not know {other}\n\n{}", crate::USAGE)),
            }
        }
        if options.streams.is_some() && options.doorward == Doorward::None {
            return Err("--streams holds streams through doorward".to_owned());
        }
        Ok(options)
    }
}

/// Compares; prints one table.
///
/// # Errors
///
/// What went wrong, for people.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    if !options.pinned {
        return Err(start_pinned(root, words, &options.doorward));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.map_err(|error| error.to_string())?.block_on(async {
        tokio::select! {
            told = compare(root, &options) => told,
            // What was started ends with the comparison, which is dropped here.
            () = interrupted() => Err("interrupted".to_owned()),
        }
    })?;
    writeln!(io::stdout(), "{}", told.text).map_err(|error| error.to_string())?;
    if told.failures.is_empty() { Ok(()) } else { Err(told.failures.join("\n")) }
}

/// What came out: scenarios that failed do not take the others' figures with them.
#[derive(Debug)]
struct Told {
    text: String,
    failures: Vec<String>,
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Builds what is needed and becomes the optimised program on the last core. Comes back only where
/// that fails, with why.
fn start_pinned(root: &Path, words: &[&str], doorward: &Doorward) -> String {
    let mut packages = vec!["xtask"];
    packages.extend((*doorward == Doorward::Built).then_some("doorward"));
    let mut built = Vec::new();
    for package in packages {
        match build(root, package) {
            Ok(program) => built.push(program),
            Err(failure) => return failure,
        }
    }
    // Thousands of connections take as many files.
    let script = "ulimit -n \"$(ulimit -Hn)\"; exec taskset -c \"$0\" \"$@\"";
    let core = cores().saturating_sub(1).min(1).to_string();
    let mut pinned = Command::new("sh");
    pinned.args(["-c", script, &core]).args(built.first()).args(["load", "--pinned"]).args(words);
    if let Some(program) = built.get(1) {
        pinned.arg("--doorward").arg(program);
    }
    format!("sh: {}", pinned.exec())
}

/// Builds a package with optimisation: the program.
fn build(root: &Path, package: &str) -> Result<PathBuf, String> {
    progress(&format!("building {package}"));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", package]).current_dir(root).stderr(Stdio::inherit());
    let told = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if !told.status.success() {
        return Err(format!("{package} does not build; --no-doorward compares without it"));
    }
    let text = String::from_utf8_lossy(&told.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter_map(|message| {
        let named = message["target"]["name"] == package;
        message["executable"].as_str().filter(|_| named).map(PathBuf::from)
    });
    programs.next().ok_or_else(|| format!("{package} builds no program"))
}

/// Cores of the machine, whatever this process is pinned to.
fn cores() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

async fn compare(root: &Path, options: &Options) -> Result<Told, String> {
    let mock = Mock::start().await.map_err(|error| format!("mock: {error}"))?;
    let facts = report::facts(root);
    let program = match &options.doorward {
        Doorward::At(program) => Some(
            fs::canonicalize(program).map_err(|error| format!("{}: {error}", program.display()))?,
        ),
        Doorward::Built | Doorward::None => None,
    };
    if let (Some(count), Some(program)) = (options.streams, &program) {
        let told = streams::hold(program, &mock, count).await?;
        return Ok(Told { text: format!("{facts}\n\n{told}"), failures: vec![] });
    }
    let mut contenders =
        vec![Contender::direct(mock.address), Contender::nginx(mock.address).await?];
    if let Some(program) = &program {
        contenders.push(Contender::doorward(program, mock.address, 16_384).await?);
    }
    if let Some(program) = &options.litellm {
        contenders.push(peers::litellm(program, mock.address).await?);
    }
    if let Some(script) = &options.portkey {
        contenders.push(peers::portkey(script, mock.address).await?);
    }
    let number = AtomicUsize::new(1);
    progress("memory");
    let memory = measure::memory(&mut contenders, &mock.script, &number).await?;
    let extent = if options.quick { Extent::QUICK } else { Extent::WHOLE };
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for scenario in scenario::ALL.iter().filter(|scenario| wanted(scenario.name)) {
        progress(scenario.name);
        let script = &mock.script;
        match measure::scenario(scenario, &mut contenders, script, extent, &number).await {
            Ok(figures) => rows.extend(report::rows(scenario, &figures)),
            Err(failure) => failures.push(format!("{}: {failure}", scenario.name)),
        }
    }
    if rows.is_empty() && failures.is_empty() {
        let names: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
        return Err(format!("no scenario is called so; there are: {}", names.join(", ")));
    }
    Ok(Told { text: report::table(&rows, &memory, &facts), failures })
}

/// Says what goes on. Whoever closed standard error does not want to know.
fn progress(what: &str) {
    let _ = writeln!(io::stderr(), "load: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood_or_refused() {
        let parsed = Options::parse(&["--quick", "--only", "chat", "--doorward", "d"]).unwrap();
        assert!(parsed.quick && parsed.only.as_deref() == Some("chat"));
        assert_eq!(parsed.doorward, Doorward::At("d".into()));
        assert_eq!(Options::parse(&["--streams", "10"]).unwrap().streams, Some(10));
        for wrong in [
            &["--slow"][..],
            &["--only"],
            &["--streams", "many"],
            &["--streams", "0"],
            &["--streams", "5", "--no-doorward"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
