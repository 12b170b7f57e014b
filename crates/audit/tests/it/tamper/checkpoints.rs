//! Checkpoints that were forged, made with another key, or taken from another log.

use doorward_audit::{Fault, SigningKey, Verifier};
use doorward_core::Timestamp;
use doorward_testkit::log::{event, signing_key};

use super::{SIZE, finds, grown, shown, verifier, whole};

#[test]
fn forge_the_checkpoint_itself_is_not_believed() {
    finds("removed", &Fault::NoCheckpoint { size: SIZE }, |p| p.checkpoint = None);
    finds("made to fit a cut", &Fault::BadSignature { size: 11 }, |p| {
        p.entries.pop();
        let (head, checkpoint) = (p.tree_head(), p.checkpoint.as_mut().unwrap());
        (checkpoint.size, checkpoint.root) = (head.size, head.root);
    });
    finds("signed anew with another key", &Fault::BadSignature { size: SIZE }, |p| {
        p.entries[4] = p.before(4).seal(&event(99)).unwrap();
        p.reseal(5);
        let other = SigningKey::from_bytes(&[8; 32]);
        p.checkpoint = Some(other.checkpoint("test", p.tree_head(), Timestamp::from_micros(0)));
    });
    finds("its time taken back", &Fault::BadSignature { size: SIZE }, |p| {
        p.checkpoint.as_mut().unwrap().signatures[1].bytes[7] ^= 1;
    });
    finds("its root swapped", &Fault::BadSignature { size: SIZE }, |p| {
        p.checkpoint.as_mut().unwrap().root = p.tree(3).root();
    });
    finds("an older one of the same log", &Fault::Unsigned { from: 8 }, |p| {
        p.checkpoint = grown(7).checkpoint;
    });
}

#[test]
fn swap_keys_only_the_log_s_own_key_signs() {
    let other = SigningKey::from_bytes(&[8; 32]);
    finds("another key", &Fault::BadSignature { size: SIZE }, |p| {
        p.checkpoint = Some(other.checkpoint("test", p.tree_head(), Timestamp::from_micros(0)));
    });
    // Another key under the number and name of the right one.
    finds("another key in disguise", &Fault::BadSignature { size: SIZE }, |p| {
        let forged = other.checkpoint("test", p.tree_head(), Timestamp::from_micros(0));
        for (own, forged) in
            p.checkpoint.as_mut().unwrap().signatures.iter_mut().zip(forged.signatures)
        {
            own.bytes = forged.bytes;
        }
    });
    // The right log, asked with the wrong key.
    let fault = Fault::BadSignature { size: SIZE };
    let asked = Verifier::new(other.verifying_key());
    assert_eq!(whole().check(&asked), Err(shown(&fault)));
}

#[test]
fn another_log_s_checkpoint_does_not_fit() {
    // Of the same size and key, over other records.
    finds("another log's", &Fault::BadCheckpoint { size: SIZE }, |p| {
        let mut other = p.clone();
        other.entries[0] = other.before(0).seal(&event(99)).unwrap();
        other.reseal(1);
        let (head, time) = (other.tree_head(), Timestamp::from_micros(0));
        p.checkpoint = Some(signing_key().checkpoint("test", head, time));
    });
    let mut elsewhere = whole();
    let (head, time) = (elsewhere.tree_head(), Timestamp::from_micros(0));
    elsewhere.checkpoint = Some(signing_key().checkpoint("elsewhere", head, time));
    let fault = Fault::WrongOrigin { found: "elsewhere".into(), expected: "test".into() };
    assert_eq!(elsewhere.check(&verifier().origin("test")), Err(shown(&fault)));
}

#[test]
fn change_of_origin_is_found() {
    finds("renamed in the text", &Fault::BadSignature { size: SIZE }, |p| {
        p.checkpoint.as_mut().unwrap().origin = "elsewhere".into();
    });
    finds("renamed in the signatures too", &Fault::BadSignature { size: SIZE }, |p| {
        let checkpoint = p.checkpoint.as_mut().unwrap();
        checkpoint.origin = "elsewhere".into();
        for signature in &mut checkpoint.signatures {
            signature.name = "elsewhere".into();
        }
    });
    let elsewhere = verifier().origin("elsewhere");
    let fault = Fault::WrongOrigin { found: "test".into(), expected: "elsewhere".into() };
    assert_eq!(whole().check(&elsewhere), Err(shown(&fault)));
}
