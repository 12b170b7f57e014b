//! What was pruned, and what only looks so.

use doorward_audit::{
    Archive, Chain, Fault, GrowthProof, Hold, Log, Memory, RecordProof, SigningKey, export, prune,
};
use doorward_core::{Timestamp, TurnId};
use doorward_testkit::log::{append, event, signing_key};

use super::{shown, verifier};

const SIZE: u64 = 1000;

fn log() -> Memory {
    let mut log = Memory::default();
    append(&mut log, 0, SIZE).unwrap();
    log
}

/// The time at which a record's number is the first that is young enough.
fn age(number: u64) -> Timestamp {
    event(number).at
}

const NOW: Timestamp = Timestamp::from_micros(0);

#[test]
fn what_is_left_verifies_and_proves() {
    for before in [1, 2, 255, 256, 257, 700, 999] {
        let mut log = log();
        let seen = log.checkpoint().unwrap().unwrap();
        let pruned = prune(&mut log, &signing_key(), age(before), u64::MAX, NOW).unwrap().unwrap();
        assert_eq!((pruned.gone, pruned.bare, pruned.cut.base), (before, 0, before));
        assert_eq!(log.entries().count() as u64, SIZE - before);
        let verified = verifier().witness(seen.clone()).log(&mut log).unwrap();
        assert_eq!((verified.records, verified.pruned, verified.witnessed), (SIZE, before, 1));

        let mut lines = Vec::new();
        export(&mut log, &mut lines).unwrap();
        assert_eq!(verifier().export(&*lines).unwrap(), {
            let mut same = verifier().log(&mut log).unwrap();
            same.witnessed = 0;
            same
        });
        for seq in [before + 1, before + 2, SIZE] {
            let proof = RecordProof::of(&mut log, seq.min(SIZE)).unwrap();
            assert!(verifier().proof(&proof).is_ok(), "{seq} after {before}");
        }
        assert!(RecordProof::of(&mut log, before).is_err());

        // It goes on, and is pruned again.
        append(&mut log, SIZE, SIZE + 600).unwrap();
        let growth = GrowthProof::of(&mut log, seen).unwrap();
        assert!(verifier().growth(&growth).is_ok());
        prune(&mut log, &signing_key(), age(SIZE + 10), u64::MAX, NOW).unwrap().unwrap();
        assert_eq!(verifier().log(&mut log).unwrap().pruned, SIZE + 10);
        let resumed = Chain::resume(&mut log).unwrap().tree_head();
        assert_eq!(resumed, log.checkpoint().unwrap().unwrap().tree_head());
        assert_eq!(prune(&mut log, &signing_key(), age(5), u64::MAX, NOW).unwrap(), None);
    }
}

#[test]
fn the_last_record_and_what_is_not_delivered_stay() {
    let mut log = log();
    let pruned = prune(&mut log, &signing_key(), age(5000), 40, NOW).unwrap().unwrap();
    assert_eq!(pruned.gone, 40);
    let pruned = prune(&mut log, &signing_key(), age(5000), u64::MAX, NOW).unwrap().unwrap();
    assert_eq!(pruned.gone, SIZE - 41);
    assert_eq!(verifier().log(&mut log).unwrap().records, SIZE);
}

#[test]
fn what_is_held_stays_whole() {
    let mut log = log();
    // A turn is ten records; this one is numbered 31 to 40.
    let turn = Hold { turn: Some(event(30).turn), ..Hold::new("case-1") };
    let time = Hold { from: Some(age(500)), until: Some(age(510)), ..Hold::new("case-2") };
    let nobody = Hold { principal: Some("bob".into()), ..Hold::new("case-3") };
    for hold in [&turn, &time, &nobody] {
        log.hold(hold).unwrap();
    }
    let pruned = prune(&mut log, &signing_key(), age(800), u64::MAX, NOW).unwrap().unwrap();
    assert_eq!((pruned.gone, pruned.bare, pruned.held), (30, 750, 20));
    let verified = verifier().log(&mut log).unwrap();
    assert_eq!((verified.records, verified.pruned, verified.bare), (SIZE, 30, 750));
    assert_eq!(log.turn(event(30).turn).unwrap().len(), 10);
    assert!(verifier().proof(&RecordProof::of(&mut log, 505).unwrap()).is_ok());
    let mut lines = Vec::new();
    export(&mut log, &mut lines).unwrap();
    assert_eq!(verifier().export(&*lines).unwrap().bare, 750);

    // Once it is lifted, the rest goes too.
    assert!(log.release("case-1").unwrap() && !log.release("case-1").unwrap());
    let pruned = prune(&mut log, &signing_key(), age(800), u64::MAX, NOW).unwrap().unwrap();
    assert_eq!((pruned.gone, pruned.cut.base), (470, 500));
    assert_eq!(verifier().log(&mut log).unwrap().bare, 290);
    let all = Hold { turn: Some(TurnId::from_bytes([9; 16])), ..Hold::new("case-2") };
    log.hold(&all).unwrap();
    prune(&mut log, &signing_key(), age(800), u64::MAX, NOW).unwrap().unwrap();
    assert_eq!(verifier().log(&mut log).unwrap().pruned, 800);
}

#[test]
fn what_only_looks_pruned_is_found() {
    let whole = log();
    let mut pruned = log();
    prune(&mut pruned, &signing_key(), age(300), u64::MAX, NOW).unwrap();
    let check = |change: &dyn Fn(&mut Memory)| {
        let mut log = pruned.clone();
        change(&mut log);
        verifier().log(&mut log).map(|_| ()).map_err(|fault| shown(&fault))
    };
    assert_eq!(check(&|_| ()), Ok(()));
    let missing = |seq| Err(shown(&Fault::Missing { seq }));
    let bad = |base| Err(shown(&Fault::BadCut { base }));
    assert_eq!(check(&|log| *log.cut_mut() = None), missing(1));
    let more = |log: &mut Memory| {
        // Records 301 to 310 are taken out as well.
        let cut = log.cut_mut().clone().unwrap();
        let kept = log.entries().filter(|sealed| sealed.seq > 310).cloned().collect::<Vec<_>>();
        let checkpoint = log.checkpoint().unwrap();
        *log = Memory::from_parts(kept, checkpoint);
        *log.cut_mut() = Some(cut);
    };
    assert_eq!(check(&more), missing(301));
    let stretched = |log: &mut Memory| log.cut_mut().as_mut().unwrap().base = 310;
    assert_eq!(check(&stretched), bad(310));
    let upto = |log: &mut Memory| log.cut_mut().as_mut().unwrap().upto = 900;
    assert_eq!(check(&upto), bad(300));
    let emptied = |log: &mut Memory| log.entry_mut(301).unwrap().entry.clear();
    assert_eq!(check(&emptied), Err(shown(&Fault::Stripped { seq: 301 })));
    let forged = |log: &mut Memory| {
        let mut whole = whole.clone();
        let key = SigningKey::from_bytes(&[8; 32]);
        let tree = log.cut().unwrap().unwrap().tree().unwrap();
        let link = whole.entry_mut(300).unwrap().link;
        let cut = doorward_audit::Cut::sign(&key, "test", (&tree, link), 900, NOW).unwrap();
        *log.cut_mut() = Some(cut);
    };
    assert_eq!(check(&forged), bad(300));
}

#[test]
fn a_log_that_is_not_intact_is_not_pruned() {
    let mut log = log();
    log.entry_mut(500).unwrap().entry[30] ^= 1;
    assert!(prune(&mut log, &signing_key(), age(100), u64::MAX, NOW).is_err());
    assert_eq!(log.entries().count() as u64, SIZE);
}
