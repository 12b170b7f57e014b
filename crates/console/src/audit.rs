//! `doorward audit`: verifies, shows and exports the record.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use doorward_audit::{Log, Record, Verified, Verifier, VerifyingKey, export, turns};
use doorward_core::TurnId;
use doorward_gateway::Keep;
use doorward_gateway::config::Root;
use doorward_store::Sqlite;

use crate::story::{self, Paint};
use crate::{Failure, time};

/// How many records are read at a time.
const PAGE: usize = 1024;

/// Checks the log, or an export of it, against a public key; by default the data folder's own.
/// Returns what to tell.
///
/// # Errors
///
/// The first fault, naming the record.
pub fn verify(
    root: &Root,
    exported: Option<&Path>,
    public_key: Option<&Path>,
) -> Result<String, Failure> {
    let key = verifying_key(root, public_key)?;
    let verifier = Verifier::new(key);
    let found = match exported {
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                Failure::of(format!("{} cannot be read", path.display()), error)
            })?;
            verifier.export(BufReader::new(file))
        }
        None => verifier.log(&mut open(root)?),
    };
    found.map(|verified| told(&verified)).map_err(|fault| Failure::of("NOT INTACT", fault))
}

fn told(verified: &Verified) -> String {
    let signed = match &verified.checkpoint {
        Some(checkpoint) => format!(", signed {}", time::shown(checkpoint.time)),
        None => String::new(),
    };
    format!("intact: {} records, head {}{signed}", verified.records, verified.link)
}

fn verifying_key(root: &Root, path: Option<&Path>) -> Result<VerifyingKey, Failure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => folder(root)?.join(Keep::AUDIT_PUBLIC),
    };
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::of(format!("{}: no public key to verify with", path.display()), error)
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.into()))?;
    text.trim().parse().map_err(|error: doorward_audit::KeyError| wrong(error.into()))
}

fn folder(root: &Root) -> Result<std::path::PathBuf, Failure> {
    let path = database(root)?;
    Ok(path.parent().map(Path::to_owned).unwrap_or_default())
}

fn database(root: &Root) -> Result<std::path::PathBuf, Failure> {
    let unknown =
        || Failure::new(format!("`{}` is not a storage this build has", root.storage.url));
    root.storage.sqlite_path().ok_or_else(unknown)
}

fn open(root: &Root) -> Result<impl Log + use<>, Failure> {
    let path = database(root)?;
    let what = || format!("{}: cannot be opened", path.display());
    let store = Sqlite::open_read_only(&path).map_err(|error| Failure::of(what(), error))?;
    store.log_reader().map_err(|error| Failure::of(what(), error))
}

/// Tells turns as stories: one, or the last few, newest last.
///
/// # Errors
///
/// Where the log cannot be read, there is no such turn, or output fails.
pub fn show(
    root: &Root,
    turn: Option<TurnId>,
    last: usize,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut log = open(root)?;
    let unreadable = |error| Failure::of("the audit log cannot be read", error);
    if let Some(turn) = turn {
        let sealed = log.turn(turn).map_err(unreadable)?;
        let records = records(&sealed)?;
        let Some(story) = doorward_audit::turn(records, turn) else {
            return Err(Failure::new(format!("{turn} is not on record")));
        };
        story::tell(&[story], paint, out)?;
        return Ok(());
    }
    let mut all = Vec::new();
    loop {
        let from = all.last().map_or(1, |record: &Record| record.seq + 1);
        let page = log.read(from, PAGE).map_err(unreadable)?;
        if page.is_empty() {
            break;
        }
        all.extend(records(&page)?);
    }
    let stories = turns(all);
    story::tell(&stories[stories.len().saturating_sub(last)..], paint, out)?;
    Ok(())
}

fn records(sealed: &[doorward_audit::Sealed]) -> Result<Vec<Record>, Failure> {
    let read = sealed.iter().map(doorward_audit::Sealed::record).collect::<Result<_, _>>();
    read.map_err(|error| {
        Failure::of("a record cannot be read; `doorward audit verify` names it", error)
    })
}

/// Writes the whole log as JSON lines, to be verified elsewhere.
///
/// # Errors
///
/// Where the log cannot be read or output fails.
pub fn export_to(root: &Root, out: &mut dyn Write) -> Result<u64, Failure> {
    export(&mut open(root)?, out).map_err(|error| Failure::of("the export failed", error))
}
