//! Proofs, reports and checkpoints: what leaves the house and verifies elsewhere.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use doorward_audit::{
    About, Checkpoint, FileWitness, GrowthProof, Log, RecordProof, SigningKey, Verifier,
    report as write_report, show_witness,
};
use doorward_core::{EventId, Timestamp};
use doorward_gateway::config::Root;
use doorward_gateway::{Keep, Surroundings};

use super::{PAGE, open, read, reader};
use crate::{Failure, time};

/// Writes the proof of one record, named by its number or by a call's id: of its two records, the
/// last.
///
/// # Errors
///
/// Where there is no such record, or output fails.
pub fn prove(root: &Root, what: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let mut log = open(root)?;
    let seq = match (u64::from_str(what), EventId::from_str(what)) {
        (Ok(seq), _) => seq,
        (_, Ok(event)) => find(&mut log, event)?,
        _ => return Err(Failure::new(format!("`{what}` is neither a number nor an `evt_…`"))),
    };
    let proof = RecordProof::of(&mut log, seq)
        .map_err(|error| Failure::of(format!("record {seq} cannot be proved"), error))?;
    write!(out, "{proof}")?;
    Ok(())
}

fn find(log: &mut dyn Log, event: EventId) -> Result<u64, Failure> {
    let unreadable = |error| Failure::of("the audit log cannot be read", error);
    let needle = format!(r#""event":{{"id":"{event}""#);
    let (mut from, mut found) = (1, None);
    loop {
        let page = log.read(from, PAGE).map_err(unreadable)?;
        let Some(last) = page.last() else { break };
        from = last.seq.saturating_add(1);
        let holds =
            |entry: &[u8]| entry.windows(needle.len()).any(|window| window == needle.as_bytes());
        let last = page.iter().rev().find(|sealed| holds(&sealed.entry));
        found = last.map(|sealed| sealed.seq).or(found);
    }
    found.ok_or_else(|| Failure::new(format!("{event} is not on record")))
}

/// Writes the proof that the log grew out of the checkpoint in this file.
///
/// # Errors
///
/// Where it did not, or output fails.
pub fn prove_growth(root: &Root, since: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let older: Checkpoint = read(since)?
        .parse()
        .map_err(|error| Failure::of(format!("{}: no checkpoint", since.display()), error))?;
    let proof = GrowthProof::of(&mut open(root)?, older)
        .map_err(|error| Failure::of("growth cannot be proved", error))?;
    let text = serde_json::to_string_pretty(&proof)
        .map_err(|error| Failure::of("the proof cannot be written", error))?;
    writeln!(out, "{text}")?;
    Ok(())
}

/// Checks a proof: of a record, or of growth.
pub(super) fn verify_proof(verifier: &Verifier, path: &Path) -> Result<String, Failure> {
    let text = read(path)?;
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of(format!("{}: no proof", path.display()), error)
    };
    if text.trim_start().starts_with('{') {
        let proof: GrowthProof =
            serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
        verifier.growth(&proof).map_err(|fault| Failure::of("NOT PROVED", fault))?;
        let (from, to) = (proof.from.size, proof.to.size);
        return Ok(format!("proved: the log of {to} records grew out of the one of {from}"));
    }
    let proof: RecordProof =
        text.parse().map_err(|error: doorward_audit::NoteError| wrong(error.into()))?;
    let record = verifier.proof(&proof).map_err(|fault| Failure::of("NOT PROVED", fault))?;
    let Checkpoint { origin, size, .. } = &proof.checkpoint;
    let event = serde_json::to_string_pretty(&record.event)
        .map_err(|error| Failure::of("the record cannot be shown", error))?;
    Ok(format!("proved: record {} of {size} in the log of `{origin}`\n{event}", record.seq))
}

/// Writes the report of all that was done in somebody's name between two dates.
///
/// # Errors
///
/// Where the log cannot prove its records, or output fails.
pub fn report(
    root: &Root,
    around: &Surroundings,
    principal: &str,
    (from, until): (&str, &str),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let key = signing_key(root, around)?;
    let about = About { principal: principal.into(), from: date(from)?, until: date(until)? };
    write_report(&mut open(root)?, &key, &about, around.clock.now(), out)
        .map(drop)
        .map_err(|error| Failure::of("the report cannot be made", error))
}

pub(super) fn verify_report(verifier: &Verifier, path: &Path) -> Result<String, Failure> {
    let found = verifier
        .report(reader(path)?, drop)
        .map_err(|fault| Failure::of("NOT AS SIGNED", fault))?;
    let about = &found.about;
    let mut text = format!(
        "as signed: {} records of {} from {} until {}, in the log of `{}`",
        found.records,
        about.principal,
        time::shown(about.from),
        time::shown(about.until),
        found.origin,
    );
    if found.pruned > 0 {
        let _ = write!(text, "; records up to {} may have been pruned", found.pruned);
    }
    Ok(text)
}

/// Writes the log's last checkpoint; shows it to a witness's file, where one is named.
///
/// # Errors
///
/// Where there is none, the witness does not take it, or output fails.
pub fn show_checkpoint(
    root: &Root,
    witness: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut log = open(root)?;
    let unreadable = |error| Failure::of("the audit log cannot be read", error);
    let checkpoint = log.checkpoint().map_err(unreadable)?;
    let Some(checkpoint) = checkpoint else {
        return Err(Failure::new("the log has no checkpoint yet"));
    };
    if let Some(path) = witness {
        let key = super::verifying_key(root, None)?;
        let mut file = FileWitness::new(path, &*checkpoint.origin, key);
        let shown = show_witness(&mut log, &mut file)
            .map_err(|error| Failure::of("NOT WITNESSED", error))?;
        write!(out, "{shown}")?;
        return Ok(());
    }
    write!(out, "{checkpoint}")?;
    Ok(())
}

pub(super) fn signing_key(root: &Root, around: &Surroundings) -> Result<SigningKey, Failure> {
    let unusable = |error| Failure::of("the data folder is not usable", error);
    let keep = Keep::open(&super::folder(root)?).map_err(unusable)?;
    let seed = keep.audit_seed(&*around.entropy).map_err(unusable)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// A date, which begins at midnight UTC, or a time (RFC 3339).
pub(super) fn date(text: &str) -> Result<Timestamp, Failure> {
    time::read(text).ok_or_else(|| {
        Failure::new(format!("`{text}` is neither a date (2026-01-31) nor a time (RFC 3339)"))
    })
}
