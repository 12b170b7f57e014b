//! Records a few calls, changes one byte of the log, and shows that it is found.
//!
//! `cargo run -p doorward-audit --example tamper`
#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Chain, Log, Memory, Options, Recorder, SigningKey, verify};
use doorward_core::{
    Change, Clock, Decision, Entropy, Event, EventId, Kind, Outcome, PrincipalKind, RequestId,
    Sink, SystemClock, SystemEntropy, TurnId, Who,
};

fn key_created(entropy: &dyn Entropy, clock: &dyn Clock, name: &str) -> Event {
    Event {
        id: EventId::random(entropy),
        at: clock.now(),
        kind: Kind::Admin {
            action: "key.create".into(),
            object: name.into(),
            change: Change::default(),
        },
        turn: TurnId::random(entropy),
        request: RequestId::random(entropy),
        conversation: None,
        who: Who {
            id: "alice@example.com".into(),
            kind: PrincipalKind::Person,
            issuer: None,
            subject: None,
            team: None,
            key: None,
            key_name: None,
            actors: vec![],
        },
        agent: None,
        decision: Decision::allow("admin", "an operator"),
        would: None,
        checks: vec![],
        label: None,
        outcome: Outcome::Completed,
        error: None,
        took_us: None,
        content: vec![],
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (clock, entropy) = (Arc::new(SystemClock), SystemEntropy);
    let key = SigningKey::generate(&entropy);
    println!("public key {}", key.verifying_key());

    // As a gateway does it: room first, then the record, and the receipt where it matters.
    let recorder =
        Recorder::start(Memory::default(), key.clone(), clock.clone(), Options::default())?;
    for name in ["ci", "laptop", "demo"] {
        let slot = recorder.open().await?;
        slot.commit(key_created(&entropy, &*clock, name)).await?;
    }
    recorder.close(Duration::from_secs(1))?;
    println!("the recorder wrote {} records", recorder.stats().recorded);

    // The same by hand, in a log that can be reached into.
    let mut log = Memory::default();
    let mut chain = Chain::default();
    let mut entries = Vec::new();
    for name in ["ci", "laptop", "demo"] {
        entries.push(chain.seal(&key_created(&entropy, &*clock, name))?);
    }
    log.append(&entries, &key.checkpoint("example", chain.tree_head(), clock.now()))?;
    println!("as written: {} records verify", verify(&mut log, &key.verifying_key())?.records);

    // Somebody makes `laptop` read `laptoq`.
    let sealed = log.entry_mut(2).ok_or("no second record")?;
    let at = sealed.entry.windows(6).position(|text| text == b"laptop").ok_or("not in it")?;
    sealed.entry[at + 5] ^= 1;
    match verify(&mut log, &key.verifying_key()) {
        Ok(_) => Err("the change was not found".into()),
        Err(fault) => {
            println!("after one changed byte: {fault}");
            Ok(())
        }
    }
}
