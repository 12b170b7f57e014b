//! The recorder before logs that block, fail, lie and break.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use doorward_audit::{
    Checkpoint, Fault, Head, Log, LogError, Memory, Options, Outage, Recorder, Sealed, SignError,
    Signer, SigningKey, StartError, VerifyingKey, verify,
};
use doorward_core::{Event, Sink, Slot, SystemClock};
use doorward_testkit::log::{append, event, signing_key};
use futures_util::FutureExt as _;

/// A log that a test holds on to, and makes misbehave.
#[derive(Clone, Default)]
struct Double(Arc<Inner>);

#[derive(Default)]
struct Inner {
    log: Mutex<Memory>,
    shut: Mutex<bool>,
    opened: Condvar,
    /// Appends to fail from now on.
    failing: AtomicU32,
    /// Whether a failing append stores its entries all the same.
    lying: AtomicBool,
    panicking: AtomicBool,
}

impl Double {
    fn shut(&self, shut: bool) {
        *self.0.shut.lock().unwrap() = shut;
        self.0.opened.notify_all();
    }

    fn fail(&self, times: u32) {
        self.0.failing.store(times, Ordering::SeqCst);
    }

    fn size(&self) -> u64 {
        self.0.log.lock().unwrap().last().unwrap().size
    }

    /// The records, once the log is known to be whole.
    fn events(&self) -> Vec<Event> {
        let mut log = self.0.log.lock().unwrap();
        verify(&mut *log, &signing_key().verifying_key()).unwrap();
        log.entries().map(|sealed| sealed.record().unwrap().event).collect()
    }
}

impl Log for Double {
    fn last(&mut self) -> Result<Head, LogError> {
        self.0.log.lock().unwrap().last()
    }

    fn append(&mut self, entries: &[Sealed], checkpoint: &Checkpoint) -> Result<(), LogError> {
        let shut = self.0.shut.lock().unwrap();
        drop(self.0.opened.wait_while(shut, |shut| *shut).unwrap());
        assert!(!self.0.panicking.load(Ordering::SeqCst), "the log breaks");
        let left = self.0.failing.load(Ordering::SeqCst);
        if left > 0 {
            self.0.failing.store(left - 1, Ordering::SeqCst);
            if self.0.lying.load(Ordering::SeqCst) {
                self.0.log.lock().unwrap().append(entries, checkpoint)?;
            }
            return Err(LogError::storage("disk full"));
        }
        self.0.log.lock().unwrap().append(entries, checkpoint)
    }

    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        self.0.log.lock().unwrap().read(from, most)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        self.0.log.lock().unwrap().checkpoint()
    }
}

fn options() -> Options {
    let retry = Duration::from_millis(5);
    Options { retry_first: retry, retry_most: retry, ..Options::default() }
}

fn start(log: &Double, options: Options) -> Recorder {
    Recorder::start(log.clone(), signing_key(), Arc::new(SystemClock), options).unwrap()
}

const LONG: Duration = Duration::from_secs(10);

async fn record(recorder: &Recorder, number: u64) -> Result<(), doorward_core::SinkError> {
    recorder.open().await?.commit(event(number)).await
}

/// Waits for something another thread does.
async fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_receipt_comes_after_the_commit_and_not_before() {
    let log = Double::default();
    log.shut(true);
    let recorder = start(&log, options());
    let mut receipt = recorder.open().await.unwrap().commit(event(1));
    for _ in 0..10 {
        assert!((&mut receipt).now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(log.size(), 0);
    log.shut(false);
    receipt.await.unwrap();
    assert_eq!(log.size(), 1);
}

#[tokio::test]
async fn an_awaited_record_does_not_linger() {
    let log = Double::default();
    let recorder = start(&log, Options { linger: LONG, ..options() });
    let waited = tokio::time::timeout(LONG / 2, async {
        drop(recorder.open().await.unwrap().commit(event(1)));
        record(&recorder, 2).await
    });
    waited.await.unwrap().unwrap();
    assert_eq!(log.events(), [event(1), event(2)]);
}

#[tokio::test]
async fn a_dropped_receipt_changes_nothing() {
    let log = Double::default();
    let recorder = start(&log, options());
    for number in 0..3 {
        drop(recorder.open().await.unwrap().commit(event(number)));
    }
    until("three records", || recorder.stats().recorded == 3).await;
    assert_eq!(log.events(), [event(0), event(1), event(2)]);
}

#[tokio::test]
async fn many_records_take_few_transactions_and_keep_their_order() {
    let log = Double::default();
    let recorder = start(&log, options());
    for number in 0..10_000 {
        drop(recorder.open().await.unwrap().commit(event(number)));
    }
    recorder.close(LONG).unwrap();
    let stats = recorder.stats();
    assert_eq!((stats.recorded, stats.queued), (10_000, 0));
    assert!(stats.batches < 500, "{} transactions", stats.batches);
    let expected: Vec<Event> = (0..10_000).map(event).collect();
    assert!(log.events() == expected, "each once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_callers_lose_nothing() {
    let log = Double::default();
    let recorder = Arc::new(start(&log, Options { capacity: 16, batch: 4, ..options() }));
    let caller = |caller: u64| {
        let recorder = Arc::clone(&recorder);
        async move {
            for number in caller * 100..caller * 100 + 100 {
                let receipt = recorder.open().await.unwrap().commit(event(number));
                if number % 7 == 0 {
                    receipt.await.unwrap();
                }
            }
        }
    };
    let callers: Vec<_> = (0..16).map(|number| tokio::spawn(caller(number))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    recorder.close(LONG).unwrap();
    let mut numbers: Vec<_> = log.events().iter().map(|event| event.id).collect();
    assert_eq!(numbers.len(), 1600);
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 1600, "each once");
}

#[tokio::test]
async fn room_is_bounded_and_an_unused_one_is_given_back() {
    let log = Double::default();
    let recorder = start(&log, Options { capacity: 2, ..options() });
    let (first, second) = (recorder.open().await.unwrap(), recorder.open().await.unwrap());
    let mut third = recorder.open();
    assert!((&mut third).now_or_never().is_none(), "full");
    drop(first);
    let third = third.await.unwrap();
    assert_eq!(recorder.stats().abandoned, 1);
    drop((second, third));
    assert_eq!(recorder.stats().abandoned, 3);
    recorder.close(LONG).unwrap();
    assert_eq!(log.size(), 0);
}

#[tokio::test]
async fn a_record_holds_its_room_until_it_is_durable() {
    let log = Double::default();
    log.shut(true);
    let recorder = start(&log, Options { capacity: 1, ..options() });
    drop(recorder.open().await.unwrap().commit(event(1)));
    let mut next = recorder.open();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!((&mut next).now_or_never().is_none(), "blocks rather than drops");
    log.shut(false);
    next.await.unwrap();
}

/// A call that hands its record over however it ends.
struct Call(Option<Box<dyn Slot>>);

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            drop(slot.commit(event(1)));
        }
    }
}

#[tokio::test]
async fn a_record_can_be_handed_over_while_dropping() {
    let log = Double::default();
    let recorder = start(&log, options());
    let call = Call(Some(recorder.open().await.unwrap()));
    let cancelled = tokio::spawn(async move {
        let _call = call;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    recorder.close(LONG).unwrap();
    assert_eq!(log.events(), [event(1)]);
}

#[tokio::test]
async fn while_writing_fails_no_calls_are_admitted_and_nothing_is_lost() {
    let log = Double::default();
    let recorder = start(&log, options());
    let early = recorder.open().await.unwrap();
    log.fail(u32::MAX);
    let mut receipt = recorder.open().await.unwrap().commit(event(1));
    assert!((&mut receipt).now_or_never().is_none());
    until("trouble", || recorder.stats().sick).await;
    let Err(refused) = recorder.open().await else { panic!("a sick log admits no calls") };
    assert!(refused.to_string().contains("disk full"), "{refused}");
    // A call that was admitted before can still hand its record over.
    let mut late = early.commit(event(2));
    assert!((&mut late).now_or_never().is_none());
    log.fail(0);
    receipt.await.unwrap();
    late.await.unwrap();
    record(&recorder, 3).await.unwrap();
    assert_eq!(log.events(), [event(1), event(2), event(3)]);
    assert!(recorder.stats().failures > 0 && !recorder.stats().sick);
}

#[tokio::test]
async fn those_who_wait_for_room_learn_of_the_trouble() {
    let log = Double::default();
    let recorder = start(&log, Options { capacity: 1, ..options() });
    let slot = recorder.open().await.unwrap();
    let mut waiting = recorder.open();
    assert!((&mut waiting).now_or_never().is_none());
    log.fail(u32::MAX);
    drop(slot.commit(event(1)));
    assert!(tokio::time::timeout(LONG, waiting).await.unwrap().is_err());
}

#[tokio::test]
async fn a_write_that_failed_but_was_durable_is_not_repeated() {
    let log = Double::default();
    log.0.lying.store(true, Ordering::SeqCst);
    let recorder = start(&log, options());
    log.fail(1);
    record(&recorder, 1).await.unwrap();
    record(&recorder, 2).await.unwrap();
    assert_eq!(log.events(), [event(1), event(2)]);
}

#[tokio::test]
async fn a_second_writer_does_not_fork_the_chain() {
    let log = Double::default();
    let recorder = start(&log, options());
    record(&recorder, 1).await.unwrap();
    append(&mut log.clone(), 50, 51).unwrap();
    let mut receipt = recorder.open().await.unwrap().commit(event(2));
    assert!((&mut receipt).now_or_never().is_none());
    until("trouble", || recorder.stats().sick).await;
    let Err(refused) = recorder.open().await else { panic!("a forked log admits no calls") };
    assert!(refused.to_string().contains("another writer"), "{refused}");
    let error = recorder.close(Duration::ZERO).unwrap_err();
    assert_eq!((error.unwritten, error.open), (1, 0));
    assert!(receipt.await.is_err());
    assert_eq!(log.events(), [event(1), event(50)]);
}

#[tokio::test]
async fn closing_waits_for_calls_that_were_admitted() {
    let log = Double::default();
    let recorder = Arc::new(start(&log, options()));
    let slot = recorder.open().await.unwrap();
    let closing = tokio::task::spawn_blocking({
        let recorder = Arc::clone(&recorder);
        move || recorder.close(LONG)
    });
    until("refusal", || recorder.open().now_or_never().is_some_and(|open| open.is_err())).await;
    let receipt = slot.commit(event(1));
    closing.await.unwrap().unwrap();
    receipt.await.unwrap();
    assert_eq!(log.events(), [event(1)]);
    recorder.close(LONG).unwrap();
}

#[tokio::test]
async fn closing_tells_what_is_not_on_record() {
    let log = Double::default();
    let recorder = start(&log, options());
    let slot = recorder.open().await.unwrap();
    log.fail(u32::MAX);
    let receipt = recorder.open().await.unwrap().commit(event(1));
    let error = recorder.close(Duration::from_millis(20)).unwrap_err();
    assert_eq!((error.unwritten, error.open), (1, 1));
    assert!(error.to_string().contains("disk full"), "{error}");
    assert!(receipt.await.is_err());
    assert!(slot.commit(event(2)).await.is_err(), "too late");
    assert_eq!(recorder.stats().lost, 1);
}

#[tokio::test]
async fn a_log_that_breaks_leaves_nobody_waiting() {
    let log = Double::default();
    let recorder = start(&log, Options { capacity: 2, ..options() });
    log.0.panicking.store(true, Ordering::SeqCst);
    assert!(record(&recorder, 1).await.is_err());
    assert!(tokio::time::timeout(LONG, recorder.open()).await.unwrap().is_err());
    assert_eq!(recorder.close(LONG).unwrap_err().unwritten, 1);
}

#[tokio::test]
async fn without_closing_what_was_handed_over_is_still_written() {
    let log = Double::default();
    let recorder = start(&log, options());
    let slot = recorder.open().await.unwrap();
    drop(recorder.open().await.unwrap().commit(event(1)));
    drop(recorder);
    slot.commit(event(2)).await.unwrap();
    assert_eq!(log.events(), [event(1), event(2)]);
}

#[test]
fn a_log_that_does_not_end_as_signed_is_not_carried_on() {
    let mut whole = Memory::default();
    append(&mut whole, 0, 5).unwrap();
    let entries: Vec<Sealed> = whole.entries().cloned().collect();
    let checkpoint = whole.checkpoint().unwrap();
    let start = |log: Memory, key: SigningKey| match Recorder::start(
        log,
        key,
        Arc::new(SystemClock),
        Options { origin: "test".into(), ..Options::default() },
    ) {
        Ok(_) => None,
        Err(StartError::Tail(fault)) => Some(fault),
        Err(other) => panic!("{other}"),
    };
    let cut = Memory::from_parts(entries[..3].iter().cloned(), checkpoint.clone());
    let fault = start(cut, signing_key());
    assert!(matches!(fault, Some(Fault::TruncatedTail { expected: 5, size: 3 })), "{fault:?}");
    let unsigned = Memory::from_parts(entries.clone(), None);
    let fault = start(unsigned, signing_key());
    assert!(matches!(fault, Some(Fault::NoCheckpoint { size: 5 })), "{fault:?}");
    let fault = start(whole.clone(), SigningKey::from_bytes(&[8; 32]));
    assert!(matches!(fault, Some(Fault::BadSignature { size: 5 })), "{fault:?}");
    let other = Recorder::start(
        whole.clone(),
        signing_key(),
        Arc::new(SystemClock),
        Options { origin: "elsewhere".into(), ..Options::default() },
    );
    assert!(
        matches!(other, Err(StartError::Tail(Fault::WrongOrigin { .. }))),
        "a log goes on under its name: {other:?}"
    );
    assert!(start(whole, signing_key()).is_none());
}

#[tokio::test]
async fn an_outage_refuses_those_who_wait_and_queues_the_others_to_the_bound() {
    let log = Double::default();
    let recorder = start(&log, Options { capacity: 4, ..options() });
    log.fail(u32::MAX);
    let first = recorder.open().await.unwrap().commit(event(0));
    let first = tokio::spawn(first);
    until("the recorder knows", || recorder.stats().sick).await;

    assert!(recorder.open().await.is_err(), "a tool call would wait for its record");
    let mut receipts = Vec::new();
    for number in 1..4 {
        let slot = recorder.open_queued().await.unwrap();
        receipts.push(slot.commit(event(number)));
    }
    // The bound is reached: no waiting, since nobody gives room back.
    let full = recorder.open_queued().now_or_never().expect("at once");
    assert!(full.is_err());
    assert_eq!(recorder.stats().queued, 4);

    log.fail(0);
    for receipt in receipts {
        receipt.await.unwrap();
    }
    first.await.unwrap().unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(log.events(), (0..4).map(event).collect::<Vec<_>>(), "in order, each once");
}

#[tokio::test]
async fn what_an_outage_does_is_a_matter_of_options() {
    let log = Double::default();
    let turned = Options { awaited: Outage::Admit, queued: Outage::Refuse, ..options() };
    let recorder = start(&log, turned);
    log.fail(u32::MAX);
    drop(recorder.open().await.unwrap().commit(event(0)));
    until("the recorder knows", || recorder.stats().sick).await;
    assert!(recorder.open_queued().await.is_err());
    let receipt = recorder.open().await.unwrap().commit(event(1));
    log.fail(0);
    receipt.await.unwrap();
    recorder.close(LONG).unwrap();
    assert_eq!(log.events().len(), 2);
}

/// A key service that is away for a while.
struct Absent(Arc<AtomicU32>);

impl Signer for Absent {
    fn verifying_key(&self) -> VerifyingKey {
        signing_key().verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(SignError("the key service does not answer".into())),
            Err(_) => signing_key().sign(message),
        }
    }
}

#[tokio::test]
async fn a_key_service_that_is_away_delays_records_and_loses_none() {
    let (log, away) = (Double::default(), Arc::new(AtomicU32::new(3)));
    let clock = Arc::new(SystemClock);
    let recorder =
        Recorder::start(log.clone(), Absent(Arc::clone(&away)), clock, options()).unwrap();
    recorder.open().await.unwrap().commit(event(0)).await.unwrap();
    assert_eq!((recorder.stats().failures, recorder.stats().sick), (3, false));
    recorder.close(LONG).unwrap();
    assert_eq!(log.events(), [event(0)]);
}

#[test]
fn options_that_make_no_sense_are_errors() {
    for options in [
        Options { origin: "a\nb".into(), ..Options::default() },
        Options { capacity: 0, ..Options::default() },
        Options { capacity: usize::MAX, ..Options::default() },
        Options { batch: 0, ..Options::default() },
    ] {
        let clock = Arc::new(SystemClock);
        let started = Recorder::start(Memory::default(), signing_key(), clock, options);
        assert!(matches!(started, Err(StartError::Option { .. })), "{started:?}");
    }
}
