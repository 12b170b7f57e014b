//! A writer that is killed in the middle, or whose disk is full: what it acknowledged is there,
//! nothing is there twice, nothing ran without its record, and the chain is whole.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Log, Options, Recorder, Verifier, verify};
use doorward_core::{Entropy, Event, EventId, Outcome, Sink, SystemClock, SystemEntropy};
use doorward_store::Sqlite;
use doorward_testkit::log::{event, signing_key};

/// Names the file, to the process that is to be killed.
const FILE: &str = "DOORWARD_TEST_KILLED_FILE";
const ROUNDS: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(1);
/// Each life's records have numbers of their own.
const LIFE: u64 = 1_000_000;

fn tell(what: &str, number: u64) {
    writeln!(std::io::stdout().lock(), "{what} {number}").unwrap();
}

/// A tool call: on record as started before it runs, and again when it ended.
async fn tool_call(recorder: &Recorder, number: u64) -> Result<(), doorward_core::SinkError> {
    let first = recorder.open().await?;
    let second = recorder.open().await?;
    first.commit(Event { outcome: Outcome::Started, ..event(number) }).await?;
    tell("ran", number);
    second.commit(event(number)).await?;
    tell("durable", number);
    Ok(())
}

/// What the killed process does: records under load, and tells what ran and what is durable.
#[test]
#[ignore = "runs only as the process that the other tests kill or starve"]
#[expect(clippy::disallowed_methods, reason = "how a test tells its child process where to write")]
fn writer_to_be_killed() {
    let Ok(path) = std::env::var(FILE) else { return };
    let mut log = Sqlite::open(&path).unwrap().log().unwrap();
    let first = (log.last().unwrap().size + 1) * LIFE;
    let retry = Duration::from_millis(20);
    let options = Options {
        capacity: 256,
        batch: 64,
        retry_first: retry,
        retry_most: retry,
        ..Options::default()
    };
    let recorder =
        Arc::new(Recorder::start(log, signing_key(), Arc::new(SystemClock), options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for caller in 0..8 {
        let recorder = Arc::clone(&recorder);
        runtime.spawn(async move {
            for number in (first + caller..).step_by(8) {
                if number % 3 == 0 {
                    // One that waits for its record when the log fails waits on; its caller does not.
                    let call = tokio::time::timeout(PATIENCE, tool_call(&recorder, number));
                    if matches!(call.await, Ok(Err(_))) {
                        tell("refused", number);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                } else if let Ok(slot) = recorder.open_queued().await {
                    drop(slot.commit(event(number)));
                } else {
                    tell("full", number);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    loop {
        std::thread::park();
    }
}

/// A writer in a process of its own, begun by the shell with these words in front.
fn writer(path: &Path, before: &str) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{before} exec '{}' --exact killed::writer_to_be_killed --ignored --nocapture",
            program.display()
        ))
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a writer told before it ended.
#[derive(Default)]
struct Told {
    durable: Vec<u64>,
    ran: Vec<u64>,
    refused: usize,
    full: usize,
}

impl Told {
    fn take(&mut self, line: &str) {
        let Some((what, number)) = line.rsplit_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        match what.rsplit(' ').next() {
            Some("durable") => self.durable.push(number),
            Some("ran") => self.ran.push(number),
            Some("refused") => self.refused += 1,
            Some("full") => self.full += 1,
            _ => {}
        }
    }
}

/// Lets a writer run for some time after its first word, kills it, and returns all it told.
fn killed_after(path: &Path, time: Duration, before: &str) -> Told {
    let mut child = writer(path, before);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Told::default();
    while told.ran.is_empty() {
        told.take(&lines.next().expect("the writer ended by itself").unwrap());
    }
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(time);
    // SIGKILL: nothing of the process runs any more.
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = reading.join().unwrap();
    // The last line may be cut.
    rest.pop();
    for line in &rest {
        told.take(line);
    }
    told
}

/// How often each call is on record as started, and as ended.
fn on_record(log: &mut dyn Log) -> HashMap<EventId, (u32, u32)> {
    let mut found: HashMap<EventId, (u32, u32)> = HashMap::new();
    let mut from = 1;
    loop {
        let page = log.read(from, 1024).unwrap();
        let Some(last) = page.last() else { return found };
        from = last.seq + 1;
        for sealed in page {
            let event = sealed.record().unwrap().event;
            let times = found.entry(event.id).or_default();
            match event.outcome {
                Outcome::Started => times.0 += 1,
                _ => times.1 += 1,
            }
        }
    }
}

fn check(found: &HashMap<EventId, (u32, u32)>, told: &Told, round: u32) {
    let times = |number: &u64| found.get(&event(*number).id).copied().unwrap_or_default();
    for number in &told.ran {
        assert_eq!(times(number).0, 1, "round {round}: {number} ran without its record");
    }
    for number in &told.durable {
        assert_eq!(times(number), (1, 1), "round {round}: {number} was acknowledged");
    }
    let twice = found.values().filter(|(started, ended)| *started > 1 || *ended > 1).count();
    assert_eq!(twice, 0, "round {round}: records twice");
}

#[test]
fn fifty_kills_lose_nothing_acknowledged_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doorward.db");
    drop(Sqlite::open(&path).unwrap());
    let mut all = Told::default();
    let mut verifier = Verifier::new(signing_key().verifying_key());
    for round in 1..=ROUNDS {
        let mut chance = [0; 1];
        SystemEntropy.fill(&mut chance);
        let told = killed_after(&path, Duration::from_micros(u64::from(chance[0]) * 400), "");
        let mut log = Sqlite::open_read_only(&path).unwrap().log().unwrap();
        check(&on_record(&mut log), &told, round);
        // Nothing of an earlier life is lost either: every checkpoint seen still holds.
        let good = verifier.log(&mut log).unwrap();
        if round % 10 == 0 {
            verifier = verifier.witness(good.checkpoint.unwrap());
        }
        all.durable.extend(told.durable);
        all.ran.extend(told.ran);
    }
    let mut log = Sqlite::open_read_only(&path).unwrap().log().unwrap();
    check(&on_record(&mut log), &all, 0);
    println!("{} calls acknowledged over {ROUNDS} lives", all.durable.len());
    // And it goes on from there.
    let log = Sqlite::open(&path).unwrap().log().unwrap();
    let started =
        Recorder::start(log, signing_key(), Arc::new(SystemClock), Options::default()).unwrap();
    started.close(Duration::from_secs(5)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_refuses_tool_calls_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doorward.db");
    drop(Sqlite::open(&path).unwrap());
    // No file may grow beyond 512 KiB; writing more fails as it does on a full disk. Standard
    // output is a pipe and knows no such limit.
    let told =
        killed_after(&path, Duration::from_secs(8), "trap '' XFSZ; ulimit -f 1024 || exit 1;");
    assert!(told.refused > 0, "tool calls were refused");
    assert!(told.full > 0, "model calls were refused once the queue was full");
    let mut log = Sqlite::open_read_only(&path).unwrap().log().unwrap();
    let verified = verify(&mut log, &signing_key().verifying_key()).unwrap();
    assert!(verified.records > 100);
    check(&on_record(&mut log), &told, 0);
    // With room again, it goes on.
    let told = killed_after(&path, Duration::from_millis(200), "");
    check(&on_record(&mut log), &told, 1);
    verify(&mut log, &signing_key().verifying_key()).unwrap();
}
