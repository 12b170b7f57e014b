//! Figures, not tests. On a quiet machine:
//! `cargo test --release -p doorward-store --test it -- --ignored --nocapture figures`
#![expect(clippy::cast_precision_loss, reason = "figures to look at")]

use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Log, Options, Recorder, verify};
use doorward_core::{Authenticator, Clock, Presented, Sink, SystemClock};
use doorward_identity::{Guesses, KeyStore, NewKey, VirtualKeys};
use doorward_store::Sqlite;
use doorward_testkit::keys::{minted, pepper};
use doorward_testkit::log::{append, event, signing_key};

/// CPU time of this thread so far; Linux only.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// CPU time of the recorder's thread so far; Linux only.
fn writer_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |folder: std::path::PathBuf| {
        let name = std::fs::read_to_string(folder.join("comm")).ok()?;
        let stat = std::fs::read_to_string(folder.join("schedstat")).ok()?;
        name.starts_with("doorward-audit").then(|| stat.split(' ').next()?.parse().ok())?
    };
    tasks.filter_map(|task| of(task.ok()?.path())).map(Duration::from_nanos).sum()
}

#[test]
#[ignore = "takes figures"]
fn appending_in_batches() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Sqlite::open(folder.path().join("doorward.db")).unwrap();
    let mut log = store.log().unwrap();
    let (rounds, batch) = (400, 512);
    let (wall, used) = (SystemClock.instant(), cpu());
    for round in 0..rounds {
        append(&mut log, round * batch, (round + 1) * batch).unwrap();
    }
    let (wall, used, count) = (wall.elapsed(), cpu().saturating_sub(used), (rounds * batch) as f64);
    println!(
        "append: {:.0} records/s, {:.2} µs CPU each (event, JSON, hashes, SQLite; batches of {batch})",
        count / wall.as_secs_f64(),
        used.as_secs_f64() * 1e6 / count
    );

    let begun = SystemClock.instant();
    let verified = verify(&mut log, &signing_key().verifying_key()).unwrap();
    println!("verify: {:.0} records/s", verified.records as f64 / begun.elapsed().as_secs_f64());
    let mut lines = Vec::new();
    doorward_audit::export(&mut log, &mut lines).unwrap();
    println!("{} bytes a record", lines.len() as u64 / verified.records);
    let size = std::fs::metadata(folder.path().join("doorward.db")).unwrap().len();
    println!("{} bytes a record on disk", size / verified.records);
    let begun = SystemClock.instant();
    assert_eq!(log.turn(event(5000).turn).unwrap().len(), 10);
    println!("turn looked up in {:?}", begun.elapsed());
}

#[test]
#[ignore = "takes figures"]
fn recording() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = Sqlite::open(folder.path().join("doorward.db")).unwrap().log().unwrap();
    let recorder =
        Recorder::start(log, signing_key(), Arc::new(SystemClock), Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As fast as it goes: the writer is the brake.
    let count = 200_000;
    let wall = SystemClock.instant();
    runtime.block_on(async {
        for number in 0..count {
            drop(recorder.open().await.unwrap().commit(event(number)));
        }
    });
    while recorder.stats().recorded < count {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "sustained: {:.0} records/s in {} batches",
        count as f64 / wall.elapsed().as_secs_f64(),
        recorder.stats().batches
    );

    // At a steady 5,000 a second: what a call costs its caller, without making the event.
    let mut caller = Duration::ZERO;
    let before = (recorder.stats().batches, writer_cpu());
    let mut made = 0;
    runtime.block_on(async {
        for burst in 0..1000_u64 {
            let events: Vec<_> = (0..10).map(|n| event(burst * 10 + n)).collect();
            let used = cpu();
            for event in events {
                drop(recorder.open().await.unwrap().commit(event));
                made += 1;
            }
            caller += cpu().saturating_sub(used);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let per = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(made);
    let (batches, writer) =
        (recorder.stats().batches - before.0, writer_cpu().saturating_sub(before.1));
    println!(
        "steady: {:.2} µs CPU a call on the caller's thread, {:.2} µs on the writer's, {} batches",
        per(caller),
        per(writer),
        batches
    );

    // One after the other, each awaited.
    let wall = SystemClock.instant();
    runtime.block_on(async {
        for number in 0..500 {
            recorder.open().await.unwrap().commit(event(number)).await.unwrap();
        }
    });
    println!("awaited: {:.0} µs each", wall.elapsed().as_secs_f64() * 1e6 / 500.0);
    recorder.close(Duration::from_secs(10)).unwrap();
}

#[test]
#[ignore = "takes figures"]
fn checking_keys() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("doorward.db")).unwrap().keys().unwrap());
    let mut texts = Vec::new();
    for seed in 0..1000 {
        let (text, record) = minted(seed, NewKey::new("ci", "build"));
        store.insert(&record).unwrap();
        texts.push(Presented { token: Some(text), ..Presented::default() });
    }
    let keys =
        VirtualKeys::new(store, pepper(), Arc::new(SystemClock), Guesses::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = SystemClock.instant();
    let rounds = 300;
    runtime.block_on(async {
        for _ in 0..rounds {
            for shown in &texts {
                assert!(keys.authenticate(shown).await.is_ok());
            }
        }
    });
    let checks = rounds * texts.len();
    println!("key check: {:.0} ns", begun.elapsed().as_secs_f64() * 1e9 / checks as f64);
    let begun = SystemClock.instant();
    for _ in 0..1000 {
        assert!(!keys.refresh().unwrap());
    }
    println!("refresh, nothing changed: {:.1} µs", begun.elapsed().as_secs_f64() * 1e3);
}
