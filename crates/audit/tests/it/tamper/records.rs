//! Records that were flipped, deleted, inserted, moved, and a tail that was cut.

use doorward_audit::{Chain, Checkpoint, Fault, Head, Log, Memory, Sealed, Tree, export};
use doorward_core::Digest;
use doorward_testkit::log::{append, event};

use super::{Parts, SIZE, finds, shown, verifier, whole};

#[test]
fn as_written_it_verifies() {
    assert_eq!(whole().check(&verifier()), Ok(SIZE));
    let empty = Parts { entries: vec![], checkpoint: None };
    assert_eq!(empty.check(&verifier()), Ok(0));
}

#[test]
fn flip_every_changed_byte_is_found_and_its_record_named() {
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
fn flip_shorter_and_longer_texts_are_found() {
    let altered = Fault::Altered { seq: 5 };
    finds("cut", &altered, |p| p.entries[4].entry.truncate(100));
    finds("emptied", &Fault::Stripped { seq: 5 }, |p| p.entries[4].entry.clear());
    finds("a space after", &altered, |p| p.entries[4].entry.push(b' '));
    finds("a space before", &altered, |p| p.entries[4].entry.insert(0, b' '));
    finds("a line break", &altered, |p| p.entries[4].entry.insert(1, b'\n'));
    finds("no JSON", &altered, |p| p.entries[4].entry = b"\xff\"".to_vec());
}

#[test]
fn delete_and_truncate_missing_records_are_named() {
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
fn reorder_a_changed_order_is_found() {
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
fn insert_forged_records_are_found() {
    finds("resealed text", &Fault::BadLink { seq: 5 }, |p| {
        let head = Head { size: 4, link: Head::EMPTY.link };
        let forged = Chain::new(head, Tree::default()).seal(&event(99)).unwrap();
        p.entries[4].entry = forged.entry;
        p.entries[4].leaf = forged.leaf;
    });
    finds("resealed record", &Fault::BadLink { seq: 6 }, |p| {
        p.entries[4] = p.before(4).seal(&event(99)).unwrap();
    });
    finds("inserted", &Fault::Reordered { seq: 6 }, |p| {
        p.entries.insert(4, p.before(4).seal(&event(99)).unwrap());
        p.renumber();
    });
    finds("appended", &Fault::Unsigned { from: SIZE + 1 }, |p| {
        let forged = p.before(p.entries.len()).seal(&event(99)).unwrap();
        p.entries.push(forged);
    });
    finds("the chain built anew", &Fault::BadCheckpoint { size: SIZE }, |p| {
        p.entries[4] = p.before(4).seal(&event(99)).unwrap();
        p.reseal(5);
    });
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
