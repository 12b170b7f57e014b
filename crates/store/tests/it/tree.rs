//! The log's tree in SQLite: old files, proofs, pruning, content.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{
    Archive, Chain, Content, ContentKey, ContentKeys, ContentPolicy, GrowthProof, Head, Hold,
    LinkedCheckpoint, Log, Options, Outbox, RecordProof, Recorder, Sealed, StartError, Verifier,
    prune, verify,
};
use doorward_core::{Clock, ContentPart, EventId, Sink, SystemClock, SystemEntropy, Timestamp};
use doorward_store::Sqlite;
use doorward_testkit::log::{append, event, signing_key};
use rusqlite::Connection;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorward.db");
        Self { _folder: folder, path }
    }

    fn open(&self) -> Sqlite {
        Sqlite::open(&self.path).unwrap()
    }

    fn outside(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

fn verifier() -> Verifier {
    Verifier::new(signing_key().verifying_key())
}

/// A file as version 1 of the format left it.
fn version_1(path: &Path, records: u64) {
    let connection = Connection::open(path).unwrap();
    let steps = [
        include_str!("../../src/sqlite/migrations/0001_audit.sql"),
        include_str!("../../src/sqlite/migrations/0002_virtual_key.sql"),
        include_str!("../../src/sqlite/migrations/0003_tool_pin.sql"),
        "CREATE TABLE migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
         INSERT INTO migration VALUES (1, 'audit'), (2, 'virtual_key'), (3, 'tool_pin');",
    ];
    for step in steps {
        connection.execute_batch(step).unwrap();
    }
    let (mut chain, mut head) = (Chain::default(), Head::EMPTY);
    for number in 0..records {
        let Sealed { seq, entry, leaf, link } = chain.seal(&event(number)).unwrap();
        let (leaf, link) = (leaf.as_bytes().as_slice(), link.as_bytes().as_slice());
        let entry = String::from_utf8(entry).unwrap();
        let sql = "INSERT INTO audit_entry (seq, entry, leaf, link) VALUES (?1, ?2, ?3, ?4)";
        connection.execute(sql, (i64::try_from(seq).unwrap(), entry, leaf, link)).unwrap();
        head = chain.head();
    }
    let time = Timestamp::from_micros(7);
    let signed = LinkedCheckpoint::sign(&signing_key(), "doorward", head, time);
    let sql = "INSERT INTO audit_checkpoint VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    let values = (
        &*signed.origin,
        i64::try_from(signed.size).unwrap(),
        signed.link.as_bytes().as_slice(),
        time.as_micros(),
        signed.signature.as_slice(),
    );
    connection.execute(sql, values).unwrap();
}

#[tokio::test]
async fn a_file_of_version_1_verifies_and_is_carried_on() {
    let file = File::new();
    version_1(&file.path, 600);
    let store = file.open();
    let old = verifier().log(&mut store.log_reader().unwrap()).unwrap();
    assert_eq!((old.records, old.checkpoint), (600, None));
    let mut lines = Vec::new();
    doorward_audit::export(&mut store.log_reader().unwrap(), &mut lines).unwrap();
    assert_eq!(verifier().export(&*lines).unwrap().records, 600);
    assert!(RecordProof::of(&mut store.log_reader().unwrap(), 5).is_err(), "not signed yet");

    let log = store.log().unwrap();
    let started =
        Recorder::start(log, signing_key(), Arc::new(SystemClock), Options::default()).unwrap();
    started.open().await.unwrap().commit(event(600)).await.unwrap();
    started.close(Duration::from_secs(5)).unwrap();
    let mut log = store.log_reader().unwrap();
    let now = verifier().origin("doorward").log(&mut log).unwrap();
    assert_eq!((now.records, now.checkpoint.unwrap().size), (601, 601));
    assert_eq!(log.linked().unwrap(), None, "replaced");
    assert!(log.block(1, 0).unwrap().is_some() && log.block(1, 1).unwrap().is_some());
    for seq in [1, 300, 601] {
        assert!(verifier().proof(&RecordProof::of(&mut log, seq).unwrap()).is_ok());
    }
}

#[test]
fn a_tampered_file_of_version_1_is_not_signed_anew() {
    for sql in [
        "UPDATE audit_entry SET entry = replace(entry, 'alice', 'mallo') WHERE seq = 3",
        "DELETE FROM audit_entry WHERE seq = 3",
        "DELETE FROM audit_entry WHERE seq > 40",
        "UPDATE audit_checkpoint SET size = 40",
    ] {
        let file = File::new();
        version_1(&file.path, 50);
        let store = file.open();
        file.outside().execute_batch(sql).unwrap();
        assert!(verify(&mut store.log_reader().unwrap(), &signing_key().verifying_key()).is_err());
        let clock = Arc::new(SystemClock);
        let started =
            Recorder::start(store.log().unwrap(), signing_key(), clock, Options::default());
        assert!(matches!(started, Err(StartError::Tail(_))), "{sql}: {started:?}");
    }
}

#[test]
fn proofs_come_out_of_kept_blocks() {
    let file = File::new();
    let store = file.open();
    let mut log = store.log().unwrap();
    for batch in 0..10 {
        append(&mut log, batch * 200, (batch + 1) * 200).unwrap();
    }
    let older = log.checkpoint().unwrap().unwrap();
    append(&mut log, 2000, 2100).unwrap();
    for seq in [1, 256, 257, 1234, 2000, 2100] {
        let proof = RecordProof::of(&mut log, seq).unwrap();
        assert_eq!(verifier().proof(&proof).unwrap().event, event(seq - 1));
    }
    assert!(verifier().growth(&GrowthProof::of(&mut log, older.clone()).unwrap()).is_ok());
    let resumed = Chain::resume(&mut log).unwrap().tree_head();
    // Without the blocks everything is the same, only slower.
    file.outside().execute_batch("DELETE FROM audit_block").unwrap();
    assert_eq!(Chain::resume(&mut log).unwrap().tree_head(), resumed);
    assert!(verifier().growth(&GrowthProof::of(&mut log, older).unwrap()).is_ok());
    assert!(verifier().log(&mut log).is_ok());
    append(&mut log, 2100, 2101).unwrap();
    assert!(log.block(1, 7).unwrap().is_some(), "put down again with the next batch");
    file.outside().execute_batch("UPDATE audit_block SET root = zeroblob(32)").unwrap();
    let fault = verifier().log(&mut log).unwrap_err();
    assert_eq!(fault.to_string(), "the kept root over records 1 to 256 is not theirs");
}

#[test]
fn pruning_takes_rows_out_and_leaves_what_is_held() {
    let file = File::new();
    let store = file.open();
    let mut log = store.log().unwrap();
    append(&mut log, 0, 1000).unwrap();
    let mut desk = store.log_beside().unwrap();
    let hold = Hold { turn: Some(event(400).turn), ..Hold::new("case-1") };
    desk.hold(&hold).unwrap();
    desk.advance("siem", 900).unwrap();
    assert_eq!((log.holds().unwrap(), log.cursor("siem").unwrap()), (vec![hold], 900));
    assert_eq!(log.cursors().unwrap(), [("siem".to_owned(), 900)]);

    let old = event(5000).at;
    let now = SystemClock.now();
    let pruned = prune(&mut log, &signing_key(), old, 900, now).unwrap().unwrap();
    assert_eq!((pruned.gone, pruned.bare, pruned.held), (400, 490, 10));
    let rows: i64 =
        file.outside().query_row("SELECT count(*) FROM audit_entry", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 600);
    let verified = verifier().log(&mut store.log_reader().unwrap()).unwrap();
    assert_eq!((verified.records, verified.pruned, verified.bare), (1000, 400, 490));
    assert_eq!(log.turn(event(400).turn).unwrap().len(), 10);
    append(&mut log, 1000, 1300).unwrap();
    assert!(verifier().proof(&RecordProof::of(&mut log, 950).unwrap()).is_ok());
    assert!(desk.release("case-1").unwrap());
    prune(&mut log, &signing_key(), old, u64::MAX, now).unwrap().unwrap();
    assert_eq!(verifier().log(&mut log).unwrap().pruned, 1299);
    // A reader cannot prune, and neither can whoever is not the writer.
    for other in &mut [store.log_reader().unwrap(), store.log_beside().unwrap()] {
        assert!(other.prune(&pruned.cut, &[]).is_err());
    }
}

#[test]
fn content_is_stored_beside_and_deleted_alone() {
    let file = File::new();
    let store = file.open();
    let policy = ContentPolicy::new(Duration::from_mins(1)).keep(ContentPart::Arguments);
    let keys = ContentKeys::new(ContentKey::new(1, [7; 32]));
    let mut content = Content::new(store.content().unwrap(), policy, keys);
    let (one, two) = (EventId::from_bytes([1; 16]), EventId::from_bytes([2; 16]));
    let mut keep = |call| {
        let part = ContentPart::Arguments;
        content.keep(call, part, b"said and done", &SystemEntropy, &SystemClock).unwrap().unwrap()
    };
    let (first, second) = (keep(one), keep(two));
    assert_eq!(content.read(one, &first).unwrap().unwrap(), b"said and done");
    assert_eq!((content.forget(one).unwrap(), content.forget(one).unwrap()), (1, 0));
    assert_eq!(content.read(one, &first).unwrap(), None);
    assert!(content.read(two, &second).unwrap().is_some());
    let later = SystemClock.now().after(Duration::from_secs(61));
    assert_eq!(content.expire(later).unwrap(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_is_gone_refuses_tool_calls_and_queues_models() {
    let file = File::new();
    let store = file.open();
    let retry = Duration::from_millis(10);
    let options =
        Options { capacity: 3, retry_first: retry, retry_most: retry, ..Options::default() };
    let log = store.log().unwrap();
    let recorder = Recorder::start(log, signing_key(), Arc::new(SystemClock), options).unwrap();
    recorder.open().await.unwrap().commit(event(0)).await.unwrap();

    let aside = file.path.with_extension("aside");
    std::fs::rename(&file.path, &aside).unwrap();
    let first = recorder.open().await.unwrap().commit(event(1));
    let first = tokio::spawn(first);
    while !recorder.stats().sick {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(recorder.open().await.is_err());
    let queued = [2, 3].map(|number| (recorder.open_queued(), number));
    let mut receipts = Vec::new();
    for (slot, number) in queued {
        receipts.push(slot.await.unwrap().commit(event(number)));
    }
    assert!(recorder.open_queued().await.is_err(), "the queue is full");
    // Another file in its place is not taken for it.
    std::fs::write(&file.path, "").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(recorder.stats().sick);

    std::fs::rename(&aside, &file.path).unwrap();
    first.await.unwrap().unwrap();
    for receipt in receipts {
        receipt.await.unwrap();
    }
    recorder.close(Duration::from_secs(5)).unwrap();
    let verified = verifier().log(&mut store.log_reader().unwrap()).unwrap();
    assert_eq!(verified.records, 4);
}
