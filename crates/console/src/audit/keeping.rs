//! How long records are kept.

use std::io::Write;
use std::sync::Arc;

use doorward_audit::{
    Archive, Chain, Hold, Log, LogError, Outbox, Pruned, SigningKey, prune as prune_log,
    sign_checkpoint,
};
use doorward_core::{
    Change, Decision, Event, EventId, Kind, Outcome, PrincipalKind, RequestId, TurnId, Who,
};
use doorward_gateway::config::Root;
use doorward_gateway::{Surroundings, open_storage};
use doorward_store::SqliteLog;
use sha2::{Digest as _, Sha256};

use super::evidence::{date, signing_key};
use crate::{Failure, time};

/// Prunes records from before a date. The gateway must not be running: a log has one writer. The
/// log itself has a record of it.
///
/// # Errors
///
/// Where the log is not intact or another process writes it.
pub fn prune(root: &Root, around: &Surroundings, before: &str) -> Result<String, Failure> {
    let before = date(before)?;
    let key = signing_key(root, around)?;
    let (_, sqlite, _) = open_storage(root)?;
    let failed = |error| Failure::of("the audit log cannot be opened for writing", error);
    let mut log = sqlite.log().map_err(failed)?;
    let readers = log.cursors().map_err(failed)?;
    let delivered = readers.iter().map(|(_, at)| *at).min().unwrap_or(u64::MAX);
    let now = around.clock.now();
    let pruned = prune_log(&mut log, &key, before, delivered, now)
        .map_err(|error| Failure::of("nothing was pruned", error))?;
    let Some(pruned) = pruned else { return Ok("nothing to prune".to_owned()) };
    record(&mut log, &key, around, &pruned)?;
    let Pruned { gone, bare, held, .. } = pruned;
    Ok(format!("pruned {gone} records; {bare} kept as hashes, {held} held"))
}

/// Puts down in the log that it was pruned.
fn record(
    log: &mut SqliteLog,
    key: &SigningKey,
    around: &Surroundings,
    pruned: &Pruned,
) -> Result<(), Failure> {
    let (now, entropy) = (around.clock.now(), &*around.entropy);
    let digest = Sha256::digest(pruned.cut.text());
    let after = Some(doorward_core::Digest::from_bytes(digest.into()));
    let event = Event {
        id: EventId::random(entropy),
        at: now,
        kind: Kind::Admin {
            action: "audit.prune".into(),
            object: format!("records 1 to {}", pruned.cut.upto),
            change: Change { before: None, after },
        },
        turn: TurnId::random(entropy),
        request: RequestId::random(entropy),
        conversation: None,
        who: Who {
            id: "operator".into(),
            kind: PrincipalKind::Person,
            issuer: None,
            subject: None,
            team: None,
            key: None,
            key_name: None,
            actors: vec![],
        },
        agent: Some(Arc::from("doorward audit")),
        decision: Decision::allow("admin.local", "whoever has the data folder may prune"),
        would: None,
        checks: vec![],
        label: None,
        outcome: Outcome::Completed,
        error: None,
        took_us: None,
        content: vec![],
    };
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of("it was pruned, but the log has no record of it", error)
    };
    let mut chain = Chain::resume(log).map_err(|error| failed(error.into()))?;
    let entry = chain.seal(&event).map_err(|error| failed(error.into()))?;
    let checkpoint = sign_checkpoint(key, &pruned.cut.origin, chain.tree_head(), now)
        .map_err(|error| failed(error.into()))?;
    log.keep_blocks(&chain.take_blocks())
        .and_then(|()| log.append(&[entry], &checkpoint))
        .map_err(|error| failed(error.into()))
}

fn beside(root: &Root) -> Result<SqliteLog, Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    sqlite.log_beside().map_err(unreadable)
}

fn unreadable(error: LogError) -> Failure {
    Failure::of("the audit log cannot be opened", error)
}

/// Puts a legal hold in place.
///
/// # Errors
///
/// Where it cannot be stored, or a date is none.
pub fn hold(
    root: &Root,
    mut hold: Hold,
    from: Option<&str>,
    until: Option<&str>,
) -> Result<(), Failure> {
    hold.from = from.map(date).transpose()?;
    hold.until = until.map(date).transpose()?;
    beside(root)?.hold(&hold).map_err(|error| Failure::of("the hold was not stored", error))
}

/// Lifts a legal hold.
///
/// # Errors
///
/// Where there is none of that name.
pub fn release(root: &Root, name: &str) -> Result<(), Failure> {
    let gone = beside(root)?.release(name).map_err(unreadable)?;
    if gone { Ok(()) } else { Err(Failure::new(format!("there is no hold `{name}`"))) }
}

/// Lists the legal holds.
///
/// # Errors
///
/// Where they cannot be read or output fails.
pub fn holds(root: &Root, out: &mut dyn Write) -> Result<(), Failure> {
    let holds = beside(root)?.holds().map_err(unreadable)?;
    if holds.is_empty() {
        writeln!(out, "no holds")?;
    }
    for hold in holds {
        let mut what = Vec::new();
        what.extend(hold.principal.map(|who| format!("of {who}")));
        what.extend(hold.turn.map(|turn| turn.to_string()));
        what.extend(hold.from.map(|at| format!("from {}", time::shown(at))));
        what.extend(hold.until.map(|at| format!("until {}", time::shown(at))));
        let what = if what.is_empty() { "everything".to_owned() } else { what.join(" ") };
        writeln!(out, "{}  {what}  {}", hold.name, hold.reason)?;
    }
    Ok(())
}
