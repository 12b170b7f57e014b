//! Whatever is done to a log, its check finds it: in the log, and in an export made of it.

use doorward_audit::{
    Chain, Checkpoint, Fault, Head, Log, Memory, Record, Sealed, SigningKey, Verifier, export,
};
use doorward_core::{Digest, Timestamp};
use doorward_testkit::log::{append, event, signing_key};

const SIZE: u64 = 12;

/// A log as an attacker finds it.
#[derive(Clone)]
struct Parts {
    entries: Vec<Sealed>,
    checkpoint: Option<Checkpoint>,
}

fn whole() -> Parts {
    let mut log = Memory::default();
    append(&mut log, 0, SIZE).unwrap();
    Parts { entries: log.entries().cloned().collect(), checkpoint: log.checkpoint().unwrap() }
}

impl Parts {
    fn check(&self, verifier: &Verifier) -> Result<u64, String> {
        let mut log = Memory::from_parts(self.entries.clone(), self.checkpoint.clone());
        let by_log = verifier.log(&mut log).map(|v| v.records).map_err(|fault| shown(&fault));
        let mut lines = Vec::new();
        export(&mut log, &mut lines).unwrap();
        let by_export = verifier.export(&*lines).map(|v| v.records).map_err(|fault| shown(&fault));
        assert_eq!(by_log, by_export, "the export tells another story");
        by_log
    }

    fn renumber(&mut self) {
        for (seq, sealed) in (1..).zip(&mut self.entries) {
            sealed.seq = seq;
        }
    }

    /// Seals everything from `at` on again, as somebody who knows the format would.
    fn reseal(&mut self, at: usize) {
        let link = at.checked_sub(1).map_or(Head::EMPTY.link, |before| self.entries[before].link);
        let mut chain = Chain::new(Head { size: at as u64, link });
        for sealed in &mut self.entries[at..] {
            let record: Record = serde_json::from_slice(&sealed.entry).unwrap();
            *sealed = chain.seal(&record.event).unwrap();
        }
    }

    fn head(&self) -> Head {
        self.entries.last().map_or(Head::EMPTY, |last| Head { size: last.seq, link: last.link })
    }
}

fn shown(fault: &Fault) -> String {
    format!("{fault:?}")
}

fn verifier() -> Verifier {
    Verifier::new(signing_key().verifying_key())
}

/// Does something to a whole log and names what must be found.
fn finds(case: &str, expected: &Fault, change: impl FnOnce(&mut Parts)) {
    let mut parts = whole();
    change(&mut parts);
    assert_eq!(parts.check(&verifier()), Err(shown(expected)), "{case}");
}

#[test]
fn as_written_it_verifies() {
    assert_eq!(whole().check(&verifier()), Ok(SIZE));
    let empty = Parts { entries: vec![], checkpoint: None };
    assert_eq!(empty.check(&verifier()), Ok(0));
}

#[test]
fn every_changed_byte_is_found_and_its_record_named() {
    let parts = whole();
    for at in 0..parts.entries[4].entry.len() {
        for bit in [0x01, 0x80] {
            let mut changed = parts.clone();
            changed.entries[4].entry[at] ^= bit;
            let found = changed.check(&verifier());
            assert_eq!(found, Err(shown(&Fault::Altered { seq: 5 })), "byte {at}, bit {bit:#x}");
        }
    }
    for at in 0..32 {
        let flip = |digest: Digest| {
            let mut bytes = *digest.as_bytes();
            bytes[at] ^= 1;
            Digest::from_bytes(bytes)
        };
        finds("leaf", &Fault::Altered { seq: 5 }, |p| p.entries[4].leaf = flip(p.entries[4].leaf));
        finds("link", &Fault::BadLink { seq: 5 }, |p| p.entries[4].link = flip(p.entries[4].link));
        finds("last link", &Fault::BadLink { seq: SIZE }, |p| {
            p.entries[11].link = flip(p.entries[11].link);
        });
    }
}

#[test]
fn shorter_and_longer_texts_are_found() {
    let altered = Fault::Altered { seq: 5 };
    finds("cut", &altered, |p| p.entries[4].entry.truncate(100));
    finds("emptied", &altered, |p| p.entries[4].entry.clear());
    finds("a space after", &altered, |p| p.entries[4].entry.push(b' '));
    finds("a space before", &altered, |p| p.entries[4].entry.insert(0, b' '));
    finds("a line break", &altered, |p| p.entries[4].entry.insert(1, b'\n'));
    finds("no JSON", &altered, |p| p.entries[4].entry = b"\xff\"".to_vec());
}

#[test]
fn missing_records_are_named() {
    finds("first", &Fault::Missing { seq: 1 }, |p| drop(p.entries.remove(0)));
    finds("middle", &Fault::Missing { seq: 5 }, |p| drop(p.entries.remove(4)));
    finds("several", &Fault::Missing { seq: 3 }, |p| drop(p.entries.drain(2..6)));
    finds("middle, renumbered", &Fault::Missing { seq: 5 }, |p| {
        p.entries.remove(4);
        p.renumber();
    });
    finds("first, renumbered", &Fault::Missing { seq: 1 }, |p| {
        p.entries.remove(0);
        p.renumber();
    });
    let truncated = |size| Fault::TruncatedTail { expected: SIZE, size };
    finds("last", &truncated(11), |p| drop(p.entries.pop()));
    finds("tail", &truncated(3), |p| p.entries.truncate(3));
    finds("all", &truncated(0), |p| p.entries.clear());
}

#[test]
fn a_changed_order_is_found() {
    for (a, b) in [(4, 5), (0, 11), (2, 7)] {
        let fault = Fault::Reordered { seq: a as u64 + 1 };
        finds("rows swapped", &fault, |p| {
            p.entries.swap(a, b);
            p.renumber();
        });
        finds("texts swapped", &fault, |p| {
            let text = p.entries[a].entry.clone();
            p.entries[a].entry = std::mem::replace(&mut p.entries[b].entry, text);
        });
    }
    finds("moved to the end", &Fault::Reordered { seq: 3 }, |p| {
        let moved = p.entries.remove(2);
        p.entries.push(moved);
        p.renumber();
    });
    finds("one twice", &Fault::Reordered { seq: 5 }, |p| {
        p.entries[4] = p.entries[2].clone();
        p.renumber();
    });
}

#[test]
fn forged_records_are_found() {
    finds("resealed text", &Fault::BadLink { seq: 5 }, |p| {
        let forged = Chain::new(Head { size: 4, link: Head::EMPTY.link }).seal(&event(99)).unwrap();
        p.entries[4].entry = forged.entry;
        p.entries[4].leaf = forged.leaf;
    });
    finds("resealed record", &Fault::BadLink { seq: 6 }, |p| {
        let head = Head { size: 4, link: p.entries[3].link };
        p.entries[4] = Chain::new(head).seal(&event(99)).unwrap();
    });
    finds("inserted", &Fault::Reordered { seq: 6 }, |p| {
        let head = Head { size: 4, link: p.entries[3].link };
        p.entries.insert(4, Chain::new(head).seal(&event(99)).unwrap());
        p.renumber();
    });
    finds("appended", &Fault::Unsigned { from: SIZE + 1 }, |p| {
        let forged = Chain::new(p.head()).seal(&event(99)).unwrap();
        p.entries.push(forged);
    });
    finds("the chain built anew", &Fault::BadCheckpoint { size: SIZE }, |p| {
        p.entries[4] =
            Chain::new(Head { size: 4, link: p.entries[3].link }).seal(&event(99)).unwrap();
        p.reseal(5);
    });
}

#[test]
fn the_checkpoint_itself_is_not_believed() {
    finds("removed", &Fault::NoCheckpoint { size: SIZE }, |p| p.checkpoint = None);
    finds("made to fit a cut", &Fault::BadSignature { size: 11 }, |p| {
        p.entries.pop();
        let (head, checkpoint) = (p.head(), p.checkpoint.as_mut().unwrap());
        (checkpoint.size, checkpoint.link) = (head.size, head.link);
    });
    finds("signed with another key", &Fault::BadSignature { size: SIZE }, |p| {
        p.entries[4] =
            Chain::new(Head { size: 4, link: p.entries[3].link }).seal(&event(99)).unwrap();
        p.reseal(5);
        let other = SigningKey::from_bytes(&[8; 32]);
        p.checkpoint = Some(other.checkpoint("test", p.head(), Timestamp::from_micros(0)));
    });
    let elsewhere = verifier().origin("elsewhere");
    let fault = Fault::WrongOrigin { found: "test".into(), expected: "elsewhere".into() };
    assert_eq!(whole().check(&elsewhere), Err(shown(&fault)));
}

#[test]
fn a_checkpoint_kept_elsewhere_shows_a_log_put_back() {
    let now = whole();
    let seen = now.checkpoint.clone().unwrap();
    let mut older = Memory::default();
    append(&mut older, 0, 7).unwrap();
    let older = Parts {
        entries: older.entries().cloned().collect(),
        checkpoint: older.checkpoint().unwrap(),
    };
    assert_eq!(older.check(&verifier()), Ok(7), "by itself it is whole");
    let fault = Fault::TruncatedTail { expected: SIZE, size: 7 };
    assert_eq!(older.check(&verifier().witness(seen)), Err(shown(&fault)));

    // What was seen of the older log still holds in the grown one.
    let seen = older.checkpoint.clone().unwrap();
    assert_eq!(now.check(&verifier().witness(seen.clone())), Ok(SIZE));
    // Another history, signed with the same key, does not hold it.
    let mut other = now.clone();
    other.entries[2] =
        Chain::new(Head { size: 2, link: now.entries[1].link }).seal(&event(99)).unwrap();
    other.reseal(3);
    let time = Timestamp::from_micros(0);
    other.checkpoint = Some(signing_key().checkpoint("test", other.head(), time));
    assert_eq!(other.check(&verifier()), Ok(SIZE));
    let fault = Fault::BadCheckpoint { size: 7 };
    assert_eq!(other.check(&verifier().witness(seen)), Err(shown(&fault)));
}

#[test]
fn an_export_with_its_lines_moved_or_taken_out_is_found() {
    let mut log = Memory::default();
    append(&mut log, 0, SIZE).unwrap();
    let mut lines = Vec::new();
    assert_eq!(export(&mut log, &mut lines).unwrap(), SIZE);
    let text = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len() as u64, SIZE + 1);
    let check = |lines: Vec<&str>| verifier().export(lines.join("\n").as_bytes());
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    assert!(matches!(check(without(4)), Err(Fault::Missing { seq: 5 })));
    assert!(matches!(check(without(11)), Err(Fault::TruncatedTail { expected: 12, size: 11 })));
    assert!(matches!(check(without(12)), Err(Fault::NoCheckpoint { size: 12 })));
    let mut swapped = lines.clone();
    swapped.swap(3, 8);
    assert!(matches!(check(swapped), Err(Fault::Reordered { seq: 4 })));
    for odd in ["{}", "no json", r#"{"seq":1}"#, r#"{"what":1}"#] {
        let fault = check([&lines[..3], &[odd], &lines[3..]].concat()).unwrap_err();
        assert!(matches!(fault, Fault::Unreadable(_)), "{odd}: {fault:?}");
    }
    let after = check([&lines[..], &lines[..1]].concat());
    assert!(matches!(after, Err(Fault::Unreadable(_))), "nothing follows the checkpoint");
}

#[test]
fn a_log_of_many_pages_is_checked_while_it_grows() {
    /// Grows by some records with every page that is read.
    struct Growing(Memory, u64);

    impl Log for Growing {
        fn last(&mut self) -> Result<Head, doorward_audit::LogError> {
            self.0.last()
        }
        fn append(
            &mut self,
            entries: &[Sealed],
            checkpoint: &Checkpoint,
        ) -> Result<(), doorward_audit::LogError> {
            self.0.append(entries, checkpoint)
        }
        fn read(
            &mut self,
            from: u64,
            most: usize,
        ) -> Result<Vec<Sealed>, doorward_audit::LogError> {
            self.0.read(from, most)
        }
        fn checkpoint(&mut self) -> Result<Option<Checkpoint>, doorward_audit::LogError> {
            append(&mut self.0, self.1, self.1 + 5)?;
            self.1 += 5;
            self.0.checkpoint()
        }
    }

    let mut log = Memory::default();
    append(&mut log, 0, 2500).unwrap();
    let mut growing = Growing(log, 2500);
    assert_eq!(verifier().log(&mut growing).unwrap().records, 2505);
    let mut lines = Vec::new();
    assert_eq!(export(&mut growing, &mut lines).unwrap(), 2510);
    assert_eq!(verifier().export(&*lines).unwrap().records, 2510);
}
