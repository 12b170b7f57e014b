//! Old states put back, and histories that part: shown by what a witness has seen.

use std::sync::Arc;

use doorward_audit::{
    Fault, FileWitness, GrowthProof, Log, Memory, SigningKey, Tree, WitnessError, consistency,
    extends, read_checkpoints, show_witness,
};
use doorward_core::{Digest, SystemClock, Timestamp};
use doorward_testkit::log::{append, event, signing_key};

use super::{Parts, SIZE, grown, shown, verifier, whole};

/// A history that parts from the other after two records, signed with the same key.
fn forked() -> Parts {
    let mut other = whole();
    other.entries[2] = other.before(2).seal(&event(99)).unwrap();
    other.reseal(3);
    let time = Timestamp::from_micros(0);
    other.checkpoint = Some(signing_key().checkpoint("test", other.tree_head(), time));
    other
}

#[test]
fn replay_an_old_database_put_back_is_found() {
    let seen = whole().checkpoint.unwrap();
    let older = grown(7);
    assert_eq!(older.check(&verifier()), Ok(7), "by itself it is whole");
    let fault = Fault::TruncatedTail { expected: SIZE, size: 7 };
    assert_eq!(older.check(&verifier().witness(seen.clone())), Err(shown(&fault)));
    // Put back and written on, it is longer than what was seen, and another.
    let mut log = older.log();
    append(&mut log, 50, 60).unwrap();
    let fault = verifier().witness(seen).log(&mut log).unwrap_err();
    assert!(matches!(fault, Fault::Forked { size: SIZE }), "{fault:?}");
}

#[test]
fn fork_two_histories_of_one_key_are_told_apart() {
    let now = whole();
    let older = grown(7);
    let seen = older.checkpoint.clone().unwrap();
    assert_eq!(now.check(&verifier().witness(seen.clone())), Ok(SIZE));
    let other = forked();
    assert_eq!(other.check(&verifier()), Ok(SIZE));
    let fault = shown(&Fault::Forked { size: 7 });
    assert_eq!(other.check(&verifier().witness(seen)), Err(fault));
    // Two replicas that signed the same size.
    let twin = other.checkpoint.clone().unwrap();
    let fault = shown(&Fault::Forked { size: SIZE });
    assert_eq!(now.check(&verifier().witness(twin.clone())), Err(fault.clone()));
    let proof = GrowthProof { from: twin, to: now.checkpoint.unwrap(), path: vec![] };
    assert_eq!(verifier().growth(&proof).map_err(|fault| shown(&fault)), Err(fault));
    // What was seen before they parted holds in both.
    let before = grown(2).checkpoint.unwrap();
    assert_eq!(other.check(&verifier().witness(before)), Ok(SIZE));
}

#[test]
fn every_checkpoint_of_many_is_looked_for() {
    let seen = [1, 3, 7, SIZE].map(|size| grown(size).checkpoint.unwrap());
    let mut all = verifier();
    for checkpoint in seen.iter().rev() {
        all = all.witness(checkpoint.clone());
    }
    assert_eq!(all.log(&mut whole().log()).unwrap().witnessed, 4);
    assert!(all.witness(forked().checkpoint.unwrap()).log(&mut whole().log()).is_err());
}

#[test]
fn a_witness_takes_only_what_grew_out_of_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.txt");
    let witness = |name: &str| {
        FileWitness::new(folder.path().join(name), "test", signing_key().verifying_key())
    };
    let key = SigningKey::from_bytes(&[9; 32]);
    let mut file = witness("seen.txt").cosign("ops", key.clone(), Arc::new(SystemClock));

    let mut log = Memory::default();
    let none = show_witness(&mut log, &mut file);
    assert!(matches!(none, Err(WitnessError::NoCheckpoint)), "{none:?}");
    for size in [7, 7, 12, 300] {
        let have = log.last().unwrap().size;
        if have < size {
            append(&mut log, have, size).unwrap();
        }
        let shown = show_witness(&mut log, &mut file).unwrap();
        assert_eq!(shown.size, size);
        assert!(key.verifying_key().witnessed("ops", &shown));
        assert!(signing_key().verifying_key().accepts(&shown));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let sizes: Vec<u64> = read_checkpoints(&text).unwrap().iter().map(|seen| seen.size).collect();
    assert_eq!(sizes, [7, 12, 300], "each once");

    let back = show_witness(&mut grown(12).log(), &mut file);
    assert!(matches!(back, Err(WitnessError::RolledBack { seen: 300, size: 12 })), "{back:?}");
    let mut other = witness("other.txt");
    show_witness(&mut whole().log(), &mut other).unwrap();
    let mut apart = forked().log();
    append(&mut apart, 50, 60).unwrap();
    let parted = show_witness(&mut apart, &mut other);
    assert!(matches!(parted, Err(WitnessError::Forked { seen: 12 })), "{parted:?}");
    assert_eq!(other.last().unwrap().unwrap().size, 12, "it keeps what it saw");

    // A log of another key or name is none of its business.
    let mut stranger = FileWitness::new(&path, "test", key.verifying_key());
    assert!(matches!(show_witness(&mut log, &mut stranger), Err(WitnessError::NotSigned)));
}

#[test]
fn a_quorum_of_witnesses_can_be_asked_for() {
    let keys: Vec<SigningKey> = (20..23).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
    let named = || {
        let names = ["a", "b", "c"].map(String::from);
        names.into_iter().zip(keys.iter().map(SigningKey::verifying_key))
    };
    let mut parts = whole();
    let checkpoint = parts.checkpoint.as_mut().unwrap();
    keys[0].cosign(checkpoint, "a", Timestamp::from_micros(0));
    keys[1].cosign(checkpoint, "b", Timestamp::from_micros(0));
    // One that signed under another's name does not count.
    keys[1].cosign(checkpoint, "c", Timestamp::from_micros(0));
    assert_eq!(parts.check(&verifier().quorum(2, named())), Ok(SIZE));
    let fault = Fault::Unwitnessed { size: SIZE, found: 2, needed: 3 };
    assert_eq!(parts.check(&verifier().quorum(3, named())), Err(shown(&fault)));
}

#[test]
fn growth_is_proved_between_any_two_sizes() {
    let mut log = Memory::default();
    append(&mut log, 0, 70).unwrap();
    let roots: Vec<_> = (1..=70).map(|size| whole_tree(&mut log, size)).collect();
    for (old, from) in (1_u64..).zip(&roots) {
        for (new, to) in (1_u64..).zip(&roots).skip(usize::try_from(old).unwrap() - 1) {
            let path = consistency(&mut log, old, new).unwrap();
            assert!(extends((old, from), (new, to), &path), "{old} to {new}");
            for at in 0..path.len() {
                let mut cut = path.clone();
                cut.remove(at);
                assert!(!extends((old, from), (new, to), &cut), "{old} to {new} without {at}");
            }
            let (other, size) = (&roots[69 - usize::try_from(old).unwrap() % 7], new);
            assert!(other == to || !extends((old, from), (size, other), &path));
        }
    }
}

fn whole_tree(log: &mut Memory, size: usize) -> Digest {
    let mut tree = Tree::default();
    for leaf in log.leaves(1, size).unwrap() {
        tree.push(leaf);
    }
    tree.root()
}

#[test]
fn growth_does_not_go_backwards() {
    let mut log = Memory::default();
    append(&mut log, 0, 60).unwrap();
    let older = grown(30).checkpoint.unwrap();
    let proof = GrowthProof::of(&mut log, older).unwrap();
    assert!(verifier().growth(&proof).is_ok());
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<GrowthProof>(&json).unwrap(), proof);
    let backwards = GrowthProof { from: proof.to, to: proof.from, path: proof.path };
    assert!(verifier().growth(&backwards).is_err());
}
