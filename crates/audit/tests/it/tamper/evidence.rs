//! Proofs and reports that were edited.

use doorward_audit::{
    About, Fault, GrowthProof, Log, Memory, RecordProof, SigningKey, Verifier, report,
};
use doorward_core::{Digest, Timestamp};
use doorward_testkit::log::{append, event, signing_key};

use super::{shown, verifier, whole};

fn log() -> Memory {
    let mut log = Memory::default();
    append(&mut log, 0, 600).unwrap();
    log
}

#[test]
fn every_record_is_proved_and_no_other_in_its_place() {
    for size in [1, 2, 3, 7, 64, 257, 300] {
        let mut log = Memory::default();
        append(&mut log, 0, size).unwrap();
        for seq in 1..=size {
            let proof = RecordProof::of(&mut log, seq).unwrap();
            assert!(proof.path.len() <= 10, "{} hashes", proof.path.len());
            assert_eq!(verifier().proof(&proof).unwrap().event, event(seq - 1));
            let text = proof.to_string();
            assert_eq!(text.parse::<RecordProof>().unwrap(), proof);
        }
        for seq in [0, size + 1] {
            assert!(RecordProof::of(&mut log, seq).is_err(), "{seq} of {size}");
        }
    }
}

#[test]
fn edited_proof_is_found() {
    let proof = RecordProof::of(&mut log(), 42).unwrap();
    let fault = shown(&Fault::BadProof { seq: 42 });
    let found = |change: &dyn Fn(&mut RecordProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        verifier().proof(&changed).map(|_| ()).map_err(|fault| shown(&fault))
    };
    for at in 0..proof.entry.len() {
        assert_eq!(found(&|p| p.entry[at] ^= 1), Err(fault.clone()), "byte {at}");
    }
    for at in 0..proof.path.len() {
        let flipped = |p: &mut RecordProof| {
            let mut bytes = *p.path[at].as_bytes();
            bytes[31] ^= 1;
            p.path[at] = Digest::from_bytes(bytes);
        };
        assert_eq!(found(&flipped), Err(fault.clone()), "hash {at}");
        assert_eq!(
            found(&|p| {
                p.path.remove(at);
            }),
            Err(fault.clone())
        );
        assert_eq!(found(&|p| p.path.insert(at, p.path[at])), Err(fault.clone()));
    }
    assert_eq!(found(&|p| p.path.clear()), Err(fault));
    let moved = shown(&Fault::BadProof { seq: 43 });
    assert_eq!(found(&|p| p.seq = 43), Err(moved));
    let smaller = shown(&Fault::BadSignature { size: 599 });
    assert_eq!(found(&|p| p.checkpoint.size = 599), Err(smaller));
    let mut other = whole().log();
    let elsewhere = other.checkpoint().unwrap().unwrap();
    assert!(found(&|p| p.checkpoint = elsewhere.clone()).is_err(), "another log's checkpoint");
    assert!(Verifier::new(SigningKey::from_bytes(&[8; 32]).verifying_key()).proof(&proof).is_err());
    assert!(verifier().origin("elsewhere").proof(&proof).is_err());
}

#[test]
fn edited_proof_texts_are_refused_or_found() {
    let text = RecordProof::of(&mut log(), 300).unwrap().to_string();
    let mut read = 0;
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        if let Ok(proof) = changed.parse::<RecordProof>() {
            read += 1;
            // A signature line that nobody knows is as good as none.
            let known = proof.checkpoint.signatures.len() == 2
                && proof.checkpoint.time().is_some()
                && proof.to_string() == changed;
            let holds = verifier().proof(&proof).is_ok();
            let time_only = at > text.rfind("— ").unwrap();
            assert!(!holds || time_only || !known, "byte {at} of {changed}");
        }
    }
    assert!(read > 100, "most of it is base 64");
    for cut in [0, 10, 40, text.len() / 2, text.len() - 2] {
        assert!(text[..cut].parse::<RecordProof>().is_err(), "{cut}");
    }
}

#[test]
fn a_tampered_block_makes_no_proof_and_is_named() {
    let mut log = log();
    let root = log.block_mut(1, 1).unwrap();
    *root = Digest::from_bytes([9; 32]);
    assert!(RecordProof::of(&mut log, 3).is_err(), "its path leads over the block");
    let fault = verifier().log(&mut log).unwrap_err();
    assert!(matches!(fault, Fault::BadBlock { first: 257, last: 512 }), "{fault:?}");
    let older = whole().checkpoint.unwrap();
    assert!(GrowthProof::of(&mut log, older).is_err());
}

fn about(from: i64, until: i64) -> About {
    let at = |seconds: i64| Timestamp::from_micros(event(0).at.as_micros() + seconds);
    About { principal: "alice@example.com".into(), from: at(from), until: at(until) }
}

#[test]
fn a_report_has_what_was_done_and_verifies_with_the_public_key() {
    let mut lines = Vec::new();
    let now = Timestamp::from_micros(5);
    let written = report(&mut log(), &signing_key(), &about(10, 20), now, &mut lines).unwrap();
    assert_eq!(written, 10);
    let mut events = Vec::new();
    let reported = verifier().report(&*lines, |record| events.push(record.event)).unwrap();
    assert_eq!(events, (10..20).map(event).collect::<Vec<_>>());
    assert_eq!((reported.records, reported.about, reported.pruned), (10, about(10, 20), 0));
    let nobody = About { principal: "bob".into(), ..about(0, 600) };
    let mut lines = Vec::new();
    assert_eq!(report(&mut log(), &signing_key(), &nobody, now, &mut lines).unwrap(), 0);
    assert_eq!(verifier().report(&*lines, drop).unwrap().records, 0);
}

#[test]
fn edited_report_is_found() {
    let mut lines = Vec::new();
    let now = Timestamp::from_micros(5);
    report(&mut log(), &signing_key(), &about(10, 20), now, &mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let check = |lines: &[&str]| {
        let text = lines.join("\n") + "\n";
        verifier().report(text.as_bytes(), drop).map(|found| found.records)
    };
    assert_eq!(check(&lines).unwrap(), 10);
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat();
        assert!(check(&without).is_err(), "without line {at}");
        let twice = [&lines[..=at], &lines[at..]].concat();
        assert!(check(&twice).is_err(), "line {at} twice");
    }
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    assert!(check(&swapped).is_err());
    let later = lines[0].replacen("\"from\":", "\"from\":1", 1);
    assert!(check(&[&[&*later], &lines[1..]].concat()).is_err());
    let edited = lines[5].replacen("completed", "cancelled", 1);
    let fault = check(&[&lines[..5], &[&*edited], &lines[6..]].concat()).unwrap_err();
    assert!(matches!(fault, Fault::BadProof { seq: 14 }), "{fault:?}");
    let key = SigningKey::from_bytes(&[8; 32]);
    let strange = Verifier::new(key.verifying_key()).report(text.as_bytes(), drop);
    assert!(matches!(strange, Err(Fault::BadSignature { .. })), "{strange:?}");
}
