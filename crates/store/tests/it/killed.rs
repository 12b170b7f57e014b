//! A writer that is killed in the middle: what it acknowledged is there, and the chain is whole.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Log, Options, Recorder, verify};
use doorward_core::{Sink, SystemClock};
use doorward_store::Sqlite;
use doorward_testkit::log::{event, signing_key};

/// Names the file, to the process that is to be killed.
const FILE: &str = "DOORWARD_TEST_KILLED_FILE";
const ROUNDS: u64 = 4;
/// Each round's records have numbers of their own.
const ROUND: u64 = 1_000_000_000;

/// What the killed process does: records under load, and tells which records are durable.
#[test]
#[ignore = "runs only as the process that the other test kills"]
#[expect(clippy::disallowed_methods, reason = "how a test tells its child process where to write")]
fn writer_to_be_killed() {
    let Ok(path) = std::env::var(FILE) else { return };
    let log = Sqlite::open(&path).unwrap().log().unwrap();
    let first = log_size(Path::new(&path)) + ROUND;
    let options = Options { capacity: 256, batch: 64, ..Options::default() };
    let recorder =
        Arc::new(Recorder::start(log, signing_key(), Arc::new(SystemClock), options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for caller in 0..8 {
        let recorder = Arc::clone(&recorder);
        runtime.spawn(async move {
            for number in (first + caller..).step_by(8) {
                let receipt = recorder.open().await.unwrap().commit(event(number));
                if number % 3 != 0 {
                    receipt.await.unwrap();
                    writeln!(std::io::stdout().lock(), "durable {number}").unwrap();
                }
            }
        });
    }
    loop {
        std::thread::park();
    }
}

fn log_size(path: &Path) -> u64 {
    let mut log = Sqlite::open_read_only(path).unwrap().log().unwrap();
    log.last().unwrap().size * 1000
}

/// Lets a writer run until it told of so many records, kills it, and returns all it told of.
fn killed_after(path: &Path, told: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::writer_to_be_killed", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.rsplit_once("durable ").and_then(|(_, n)| n.parse().ok());
    let mut durable: Vec<u64> =
        lines.by_ref().map_while(Result::ok).filter_map(number).take(told).collect();
    assert_eq!(durable.len(), told, "the writer ended by itself");
    // SIGKILL: nothing of the process runs any more.
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
    // The last line may be cut.
    rest.pop();
    durable.extend(rest.into_iter().filter_map(number));
    durable
}

#[test]
fn no_acknowledged_record_is_lost_when_the_writer_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doorward.db");
    drop(Sqlite::open(&path).unwrap());
    let mut durable = Vec::new();
    for round in 1..=ROUNDS {
        durable.extend(killed_after(&path, 150 * usize::try_from(round).unwrap()));
        let mut log = Sqlite::open_read_only(&path).unwrap().log().unwrap();
        let verified = verify(&mut log, &signing_key().verifying_key()).unwrap();
        let kept: HashSet<_> = log
            .read(1, usize::MAX)
            .unwrap()
            .iter()
            .map(|sealed| sealed.record().unwrap().event.id)
            .collect();
        assert_eq!(kept.len() as u64, verified.records, "each once");
        let lost: Vec<_> = durable.iter().filter(|n| !kept.contains(&event(**n).id)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
    }
    // And it goes on from there.
    let log = Sqlite::open(&path).unwrap().log().unwrap();
    let started =
        Recorder::start(log, signing_key(), Arc::new(SystemClock), Options::default()).unwrap();
    started.close(Duration::from_secs(5)).unwrap();
}
