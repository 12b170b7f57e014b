//! The record: sealing, handing over, storing, verifying.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use doorward_audit::{
    Chain, Checkpoint, Head, Log, LogError, Memory, Options, RecordProof, Recorder, Sealed,
    Verifier, verify,
};
use doorward_core::{Clock, Sink, SystemClock};
use doorward_store::Sqlite;
use doorward_testkit::log::{append, event, signing_key};
use futures_util::FutureExt;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sealing(&mut criterion);
    handing_over(&mut criterion);
    storing(&mut criterion);
    sustaining(&mut criterion);
    verifying(&mut criterion);
    proving(&mut criterion);
    criterion.final_summary();
}

fn sealing(criterion: &mut Criterion) {
    let (event, mut chain) = (event(1), Chain::default());
    criterion.bench_function("audit/seal", |bench| {
        bench.iter(|| chain.seal(black_box(&event)).unwrap());
    });
}

/// Keeps nothing but its head.
#[derive(Default)]
struct Void(Head);

impl Log for Void {
    fn last(&mut self) -> Result<Head, LogError> {
        Ok(self.0)
    }

    fn append(&mut self, entries: &[Sealed], _checkpoint: &Checkpoint) -> Result<(), LogError> {
        if let Some(last) = entries.last() {
            self.0 = Head { size: last.seq, link: last.link };
        }
        Ok(())
    }

    fn read(&mut self, _from: u64, _most: usize) -> Result<Vec<Sealed>, LogError> {
        Ok(vec![])
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        Ok(None)
    }
}

/// What a call pays for its record: room, and handing it over. The event is made beforehand; the
/// writer catches up between the rounds.
fn handing_over(criterion: &mut Criterion) {
    const ROUND: u64 = 512;
    let recorder =
        Recorder::start(Void::default(), signing_key(), Arc::new(SystemClock), Options::default())
            .unwrap();
    criterion.bench_function("audit/open and commit", |bench| {
        bench.iter_custom(|wanted| {
            let (mut left, mut took) = (wanted, Duration::ZERO);
            while left > 0 {
                let events: Vec<_> = (0..left.min(ROUND)).map(event).collect();
                left -= events.len() as u64;
                let began = SystemClock.instant();
                for event in events {
                    let slot = recorder.open().now_or_never().unwrap().unwrap();
                    drop(slot.commit(event));
                }
                took += began.elapsed();
                while recorder.stats().queued > 0 {
                    std::thread::yield_now();
                }
            }
            took
        });
    });
}

fn storing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audit/append to SQLite on disk");
    for batch in [1, 64, 512] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut log = Sqlite::open(folder.path().join("audit.db")).unwrap().log().unwrap();
        let mut next = 0;
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::from_parameter(batch), |bench| {
            bench.iter(|| {
                append(&mut log, next, next + batch).unwrap();
                next += batch;
            });
        });
    }
}

/// The whole way: room, queue, JSON, hashes, signature, and SQLite with every commit on disk. The
/// writer is the brake; records a second is the figure.
fn sustaining(criterion: &mut Criterion) {
    const RECORDS: u64 = 20_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = Sqlite::open(folder.path().join("audit.db")).unwrap().log().unwrap();
    let recorder =
        Recorder::start(log, signing_key(), Arc::new(SystemClock), Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("record 20000 to SQLite on disk", |bench| {
        bench.iter(|| {
            let last = runtime.block_on(async {
                for number in 1..RECORDS {
                    drop(recorder.open().await.unwrap().commit(event(number)));
                }
                recorder.open().await.unwrap().commit(event(0)).await
            });
            last.unwrap();
        });
    });
    group.finish();
    recorder.close(Duration::from_secs(10)).unwrap();
}

/// A proof out of a log of 100,000 records in SQLite, and its check.
fn proving(criterion: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut log = Sqlite::open(folder.path().join("audit.db")).unwrap().log().unwrap();
    for from in (0..RECORDS).step_by(1000) {
        append(&mut log, from, from + 1000).unwrap();
    }
    let mut seq = 0;
    criterion.bench_function("audit/prove one of 100000", |bench| {
        bench.iter(|| {
            seq = (seq + 7919) % RECORDS;
            RecordProof::of(&mut log, seq + 1).unwrap()
        });
    });
    let proof = RecordProof::of(&mut log, 4711).unwrap();
    let verifier = Verifier::new(signing_key().verifying_key());
    criterion.bench_function("audit/check a proof", |bench| {
        bench.iter(|| verifier.proof(black_box(&proof)).unwrap());
    });
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("verify 100000 in SQLite", |bench| {
        bench.iter(|| verify(&mut log, &signing_key().verifying_key()).unwrap());
    });
}

fn verifying(criterion: &mut Criterion) {
    const RECORDS: u64 = 1000;
    let (mut log, key) = (Memory::default(), signing_key().verifying_key());
    append(&mut log, 0, RECORDS).unwrap();
    let mut group = criterion.benchmark_group("audit");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("verify 1000 records", |bench| {
        bench.iter(|| verify(&mut log, &key).unwrap());
    });
}
