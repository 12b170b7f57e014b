use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Fault, Log, LogError, Options, Recorder, verify};
use doorward_core::{Sink, SystemClock, Timestamp};
use doorward_identity::{KeyStore, NewKey};
use doorward_store::{OpenError, Sqlite};
use doorward_testkit::keys::{key_store_conforms, minted};
use doorward_testkit::log::{append, event, log_conforms, signing_key};
use rusqlite::Connection;

/// A file of its own for each one made, all in one folder.
struct Files(tempfile::TempDir, std::cell::Cell<u32>);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), std::cell::Cell::new(0))
    }

    fn next(&self) -> PathBuf {
        self.1.set(self.1.get() + 1);
        self.0.path().join(format!("{}.db", self.1.get()))
    }
}

#[test]
fn the_log_conforms() {
    let files = Files::new();
    log_conforms(|| Box::new(Sqlite::open(files.next()).unwrap().log().unwrap()));
}

#[test]
fn the_key_store_conforms() {
    let files = Files::new();
    key_store_conforms(|| Box::new(Sqlite::open(files.next()).unwrap().keys().unwrap()));
}

fn tampered(sql: &str) -> Fault {
    let files = Files::new();
    let path = files.next();
    let store = Sqlite::open(&path).unwrap();
    append(&mut store.log().unwrap(), 0, 12).unwrap();
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let read = Sqlite::open_read_only(&path).unwrap();
    verify(&mut read.log().unwrap(), &signing_key().verifying_key()).expect_err(sql)
}

#[test]
fn what_is_done_to_the_file_is_found() {
    for (sql, found) in [
        (
            "UPDATE audit_entry SET entry = replace(entry, 'alice', 'mallo') WHERE seq = 5",
            "Altered { seq: 5 }",
        ),
        ("UPDATE audit_entry SET entry = '' WHERE seq = 5", "Stripped { seq: 5 }"),
        ("UPDATE audit_entry SET leaf = x'00' WHERE seq = 5", "Altered { seq: 5 }"),
        ("UPDATE audit_entry SET link = x'00' WHERE seq = 5", "BadLink { seq: 5 }"),
        ("DELETE FROM audit_entry WHERE seq = 1", "Missing { seq: 1 }"),
        ("DELETE FROM audit_entry WHERE seq = 5", "Missing { seq: 5 }"),
        ("DELETE FROM audit_entry WHERE seq = 12", "TruncatedTail { expected: 12, size: 11 }"),
        ("DELETE FROM audit_entry", "TruncatedTail { expected: 12, size: 0 }"),
        (
            "DELETE FROM audit_entry WHERE seq = 5; \
             UPDATE audit_entry SET seq = seq - 1 WHERE seq > 5",
            "Missing { seq: 5 }",
        ),
        (
            "UPDATE audit_entry SET seq = -1 WHERE seq = 3; \
             UPDATE audit_entry SET seq = 3 WHERE seq = 8; \
             UPDATE audit_entry SET seq = 8 WHERE seq = -1",
            "Reordered { seq: 3 }",
        ),
        (
            "UPDATE audit_entry SET entry = (SELECT o.entry FROM audit_entry o \
             WHERE o.seq = 11 - audit_entry.seq) WHERE seq IN (3, 8)",
            "Reordered { seq: 3 }",
        ),
        ("DELETE FROM audit_note", "NoCheckpoint { size: 12 }"),
        (
            "UPDATE audit_note SET note = replace(note, char(10) || '12', char(10) || '11')",
            "BadSignature { size: 11 }",
        ),
        (
            "UPDATE audit_note SET note = replace(note, 'test', 'other')",
            "BadSignature { size: 12 }",
        ),
    ] {
        assert_eq!(format!("{:?}", tampered(sql)), found, "{sql}");
    }
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let files = Files::new();
    let path = files.next();
    let store = Sqlite::open(&path).unwrap();
    let mut writer = store.log().unwrap();
    append(&mut writer, 0, 3).unwrap();
    for other in [store.clone(), Sqlite::open(&path).unwrap()] {
        let refused = other.log().unwrap_err();
        assert!(matches!(&refused, LogError::Locked(_)), "{refused:?}");
    }
    let read_only = Sqlite::open_read_only(&path).unwrap();
    for mut reader in [store.log_reader().unwrap(), read_only.log().unwrap()] {
        append(&mut writer, 3, 6).unwrap();
        let size = writer.last().unwrap().size;
        let verified = verify(&mut reader, &signing_key().verifying_key()).unwrap();
        assert_eq!(verified.records, size, "sees what was just written");
        assert!(matches!(append(&mut reader, 6, 7), Err(LogError::ReadOnly)));
    }
    drop(writer);
    assert!(store.log().is_ok(), "the lock goes with its holder");
}

#[test]
fn the_log_is_there_after_reopening_and_goes_on() {
    let files = Files::new();
    let path = files.next();
    append(&mut Sqlite::open(&path).unwrap().log().unwrap(), 0, 3).unwrap();
    let mut log = Sqlite::open(&path).unwrap().log().unwrap();
    append(&mut log, 3, 5).unwrap();
    assert_eq!(verify(&mut log, &signing_key().verifying_key()).unwrap().records, 5);
}

#[test]
fn a_turn_named_within_a_text_does_not_mislead() {
    let files = Files::new();
    let mut log = Sqlite::open(files.next()).unwrap().log().unwrap();
    let mut forged = event(10);
    let other = event(20).turn;
    if let doorward_core::Kind::Model { model, .. } = &mut forged.kind {
        *model = format!(r#"x","turn":"{other}"#);
    }
    let mut chain = doorward_audit::Chain::default();
    let sealed = [chain.seal(&forged).unwrap()];
    let checkpoint = signing_key().checkpoint("test", chain.tree_head(), Timestamp::from_micros(0));
    log.append(&sealed, &checkpoint).unwrap();
    assert_eq!(log.turn(other).unwrap(), []);
    assert_eq!(log.turn(forged.turn).unwrap(), sealed);
}

#[test]
fn keys_made_or_revoked_by_another_process_are_seen() {
    let files = Files::new();
    let path = files.next();
    let running = Sqlite::open(&path).unwrap().keys().unwrap();
    let beside = Sqlite::open(&path).unwrap().keys().unwrap();
    let before = running.version().unwrap();
    let record = minted(1, NewKey::new("ci", "build")).1;
    beside.insert(&record).unwrap();
    let made = running.version().unwrap();
    assert_ne!(made, before);
    assert_eq!(running.keys().unwrap(), std::slice::from_ref(&record));
    beside.revoke(record.id, Timestamp::from_micros(5)).unwrap();
    assert_ne!(running.version().unwrap(), made);
    // Even by hand.
    let version = running.version().unwrap();
    Connection::open(&path).unwrap().execute_batch("DELETE FROM virtual_key").unwrap();
    assert_ne!(running.version().unwrap(), version);
}

#[test]
fn writing_the_log_does_not_look_like_a_change_of_keys() {
    let files = Files::new();
    let store = Sqlite::open(files.next()).unwrap();
    let keys = store.keys().unwrap();
    let version = keys.version().unwrap();
    append(&mut store.log().unwrap(), 0, 10).unwrap();
    assert_eq!(keys.version().unwrap(), version);
}

#[test]
fn a_key_whose_list_cannot_be_read_is_an_error_and_not_a_key_for_everything() {
    let files = Files::new();
    let path = files.next();
    let keys = Sqlite::open(&path).unwrap().keys().unwrap();
    keys.insert(&minted(1, NewKey::new("ci", "build")).1).unwrap();
    for sql in [
        "UPDATE virtual_key SET scopes = ''",
        "UPDATE virtual_key SET scopes = '{\"tools\":7}'",
        "UPDATE virtual_key SET scopes = '{}', owner_kind = 'robot'",
        "UPDATE virtual_key SET owner_kind = 'service', hash = x'00'",
    ] {
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        assert!(keys.keys().is_err(), "{sql}");
    }
}

#[cfg(unix)]
#[test]
fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let rights = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/doorward.db");
    let store = Sqlite::open(&path).unwrap();
    append(&mut store.log().unwrap(), 0, 1).unwrap();
    let _open = store.log().unwrap();
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = entry.unwrap().path();
        assert_eq!(rights(&file), 0o600, "{}", file.display());
    }
    assert_eq!(rights(path.parent().unwrap()), 0o700);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Sqlite::open(&path).unwrap();
    assert_eq!(rights(&path), 0o600, "tightened");
}

#[test]
fn a_file_of_another_version_is_not_touched() {
    let files = Files::new();
    let path = files.next();
    assert!(matches!(Sqlite::open_read_only(&path), Err(OpenError::Sqlite { .. })), "none there");
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Sqlite::open_read_only(&path), Err(OpenError::Older { .. })));
    drop(Sqlite::open(&path).unwrap());
    let newer = "INSERT INTO migration (version, name) VALUES (99, 'later')";
    Connection::open(&path).unwrap().execute_batch(newer).unwrap();
    let wrong = Sqlite::open(&path).unwrap_err();
    assert!(matches!(wrong, OpenError::Newer { found: 99, .. }), "{wrong}");
    std::fs::write(&path, "this is no database, however long it may be said to be").unwrap();
    assert!(Sqlite::open(&path).is_err());
}

#[test]
fn several_processes_may_set_the_file_up_at_once() {
    let files = Files::new();
    let path = files.next();
    std::thread::scope(|scope| {
        let opening: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Sqlite::open(&path).map(drop))).collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn a_full_disk_refuses_calls_and_loses_nothing() {
    let files = Files::new();
    let path = files.next();
    let store = Sqlite::open(&path).unwrap();
    let retry = Duration::from_millis(10);
    let options = Options { retry_first: retry, retry_most: retry, ..Options::default() };
    let log = store.log().unwrap();
    let recorder = Recorder::start(log, signing_key(), Arc::new(SystemClock), options).unwrap();
    recorder.open().await.unwrap().commit(event(0)).await.unwrap();

    // Stands in for a full disk: the writer's statements fail from here on.
    let outside = Connection::open(&path).unwrap();
    let full = "CREATE TRIGGER disk_full BEFORE INSERT ON audit_entry
                BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    outside.execute_batch(full).unwrap();
    let receipt = tokio::spawn(recorder.open().await.unwrap().commit(event(1)));
    while !recorder.stats().sick {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let Err(refused) = recorder.open().await else { panic!("no calls without a record") };
    assert!(refused.to_string().contains("disk is full"), "{refused}");
    assert!(!receipt.is_finished());

    outside.execute_batch("DROP TRIGGER disk_full").unwrap();
    receipt.await.unwrap().unwrap();
    recorder.open().await.unwrap().commit(event(2)).await.unwrap();
    recorder.close(Duration::from_secs(5)).unwrap();
    let mut reader = store.log_reader().unwrap();
    assert_eq!(verify(&mut reader, &signing_key().verifying_key()).unwrap().records, 3);
}
