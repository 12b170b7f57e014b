//! `doorward audit`: verifies, shows, exports, proves and prunes the record.

mod evidence;
mod keeping;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use doorward_audit::{
    Log, Record, Verified, Verifier, VerifyingKey, export_as, read_checkpoints, turns,
};
use doorward_core::TurnId;
use doorward_gateway::Keep;
use doorward_gateway::config::Root;
use doorward_store::Sqlite;

pub use doorward_audit::{Format, Hold};
pub use evidence::{prove, prove_growth, report, show_checkpoint};
pub use keeping::{hold, holds, prune, release};

use crate::story::{self, Paint};
use crate::{Failure, time};

/// How many records are read at a time.
const PAGE: usize = 1024;

/// What to check, and against what. By default the data folder's log, against its own key.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// An export instead of the database.
    pub export: Option<PathBuf>,
    /// A proof, of a record or of growth, instead of the database.
    pub proof: Option<PathBuf>,
    /// A report instead of the database.
    pub report: Option<PathBuf>,
    /// The file with the public key.
    pub public_key: Option<PathBuf>,
    /// Whose log it should be.
    pub origin: Option<String>,
    /// A file of checkpoints that were kept elsewhere; the log must hold all of them.
    pub witness: Option<PathBuf>,
}

/// Checks the log, an export, a proof or a report against a public key. Returns what to tell.
///
/// # Errors
///
/// The first fault, naming the record.
pub fn verify(root: &Root, check: &Check) -> Result<String, Failure> {
    let mut verifier = Verifier::new(verifying_key(root, check.public_key.as_deref())?);
    if let Some(origin) = &check.origin {
        verifier = verifier.origin(origin);
    }
    if let Some(path) = &check.witness {
        let text = read(path)?;
        let seen = read_checkpoints(&text)
            .map_err(|error| Failure::of(format!("{}: no checkpoints", path.display()), error))?;
        for checkpoint in seen {
            verifier = verifier.witness(checkpoint);
        }
    }
    if let Some(path) = &check.proof {
        return evidence::verify_proof(&verifier, path);
    }
    if let Some(path) = &check.report {
        return evidence::verify_report(&verifier, path);
    }
    let found = match &check.export {
        Some(path) => verifier.export(reader(path)?),
        None => verifier.log(&mut open(root)?),
    };
    found.map(|verified| told(&verified, check)).map_err(|fault| Failure::of("NOT INTACT", fault))
}

fn told(verified: &Verified, check: &Check) -> String {
    let mut text = format!("intact: {} records, root {}", verified.records, verified.root);
    if let Some(at) = verified.checkpoint.as_ref().and_then(doorward_audit::Checkpoint::time) {
        text.push_str(", signed ");
        text.push_str(&time::shown(at));
    }
    if verified.pruned > 0 || verified.bare > 0 {
        let (pruned, bare) = (verified.pruned, verified.bare);
        let _ = write!(text, "; {pruned} pruned, {bare} kept as hashes");
    }
    if check.witness.is_some() {
        let _ = write!(text, "; holds {} witnessed checkpoints", verified.witnessed);
    }
    text
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::of(format!("{} cannot be read", path.display()), error))
}

fn reader(path: &Path) -> Result<BufReader<File>, Failure> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| Failure::of(format!("{} cannot be read", path.display()), error))
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

fn folder(root: &Root) -> Result<PathBuf, Failure> {
    let path = database(root)?;
    Ok(path.parent().map(Path::to_owned).unwrap_or_default())
}

fn database(root: &Root) -> Result<PathBuf, Failure> {
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
    let (mut all, mut from) = (Vec::new(), 1);
    loop {
        let page = log.read(from, PAGE).map_err(unreadable)?;
        let Some(end) = page.last() else { break };
        from = end.seq.saturating_add(1);
        all.extend(records(&page)?);
    }
    let stories = turns(all);
    story::tell(&stories[stories.len().saturating_sub(last)..], paint, out)?;
    Ok(())
}

/// The records of these entries; those whose texts were pruned are left out.
fn records(sealed: &[doorward_audit::Sealed]) -> Result<Vec<Record>, Failure> {
    let whole = sealed.iter().filter(|sealed| !sealed.is_bare());
    let read = whole.map(doorward_audit::Sealed::record).collect::<Result<_, _>>();
    read.map_err(|error| {
        Failure::of("a record cannot be read; `doorward audit verify` names it", error)
    })
}

/// Writes the whole log in a form; JSON lines can be verified elsewhere.
///
/// # Errors
///
/// Where the log cannot be read or output fails.
pub fn export_to(root: &Root, format: Format, out: &mut dyn Write) -> Result<u64, Failure> {
    export_as(format, &mut open(root)?, out)
        .map_err(|error| Failure::of("the export failed", error))
}
