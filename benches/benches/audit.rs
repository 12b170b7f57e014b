//! The record: sealing, handing over, storing, verifying.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use doorward_audit::{
    Chain, Checkpoint, Head, Log, LogError, Memory, Options, Recorder, Sealed, verify,
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
    verifying(&mut criterion);
    criterion.final_summary();
}

fn sealing(criterion: &mut Criterion) {
    let (event, mut chain) = (event(1), Chain::new(Head::EMPTY));
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
