//! All that was done in somebody's name between two dates, signed, with proofs.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::chain::leaf_of;
use crate::key::sign_note;
use crate::note::Note;
use crate::proof::{ProofError, includes, inclusion};
use crate::{Checkpoint, Fault, Log, LogError, Record, SignError, Signer, Verifier};

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// In whose name.
    pub principal: Arc<str>,
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub until: Timestamp,
}

/// What a verified report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What it is about.
    pub about: About,
    /// Whose log it was taken from.
    pub origin: Arc<str>,
    /// How many records it has.
    pub records: u64,
    /// The last record whose text may have been pruned before the report was made: it may lack
    /// records up to there.
    pub pruned: u64,
    /// When it was made.
    pub time: Timestamp,
}

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A proof could not be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A record cannot be read.
    #[error("a record cannot be read")]
    Record(#[from] crate::RecordError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] LogError),
    /// It could not be written.
    #[error("the report could not be written")]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    report: About,
    origin: Arc<str>,
    pruned: u64,
    time: Timestamp,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<Vec<Digest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
}

/// Writes a report: a line that says what it is about, the log's checkpoint, a line for each
/// record with its proof, and at the end a note, signed with the log's key, over all lines before
/// and their number. The proofs show that no record was made up or changed; that none is left out
/// is what the signature says. Check it with [`Verifier::report`].
///
/// # Errors
///
/// Where the log cannot prove its records, or the lines cannot be written.
pub fn report(
    log: &mut dyn Log,
    signer: &dyn Signer,
    about: &About,
    now: Timestamp,
    out: impl Write,
) -> Result<u64, ReportError> {
    let checkpoint = log.checkpoint()?.ok_or(ProofError::NoCheckpoint)?;
    let (size, origin) = (checkpoint.size, checkpoint.origin.clone());
    let cut = log.cut()?;
    let (base, pruned) = cut.map_or((0, 0), |cut| (cut.base, cut.upto));
    let mut out = Hashed { out, hash: Sha256::new() };
    let first = First { report: about.clone(), origin: origin.clone(), pruned, time: now };
    out.line(&first)?;
    out.line(&Line { checkpoint: Some(checkpoint.clone()), ..Line::default() })?;
    let (mut next, mut written) = (base + 1, 0);
    while next <= size {
        let page = log.read(next, PAGE)?;
        let Some(last) = page.last() else { break };
        next = last.seq.saturating_add(1);
        for sealed in page.iter().filter(|sealed| sealed.seq <= size && !sealed.is_bare()) {
            if !about.covers(&sealed.record()?) {
                continue;
            }
            let path = inclusion(log, sealed.seq, size)?;
            if !includes(leaf_of(&sealed.entry), sealed.seq, size, &path, &checkpoint.root) {
                return Err(ProofError::Broken.into());
            }
            let text = String::from_utf8_lossy(&sealed.entry).into_owned();
            let entry = RawValue::from_string(text).map_err(io::Error::from)?;
            let (seq, entry, path) = (Some(sealed.seq), Some(entry), Some(path));
            out.line(&Line { seq, entry, path, ..Line::default() })?;
            written += 1;
        }
    }
    let digest = STANDARD.encode(out.hash.clone().finalize());
    let note = sign_note(signer, &origin, text_of(&origin, written, &digest))?;
    out.line(&Line { signed: Some(note.to_string()), ..Line::default() })?;
    out.out.flush()?;
    Ok(written)
}

/// What is signed: a line that names the kind, then origin, how many records, and the SHA-256 of
/// all lines before in base 64.
fn text_of(origin: &str, records: u64, digest: &str) -> String {
    format!("doorward-report/v1\n{origin}\n{records}\n{digest}\n")
}

/// Writes lines and hashes them.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.out.write_all(&text)
    }
}

impl About {
    fn covers(&self, record: &Record) -> bool {
        let event = &record.event;
        event.who.id == self.principal && event.at >= self.from && event.at < self.until
    }
}

/// A report while it is read.
struct Reading {
    first: First,
    checkpoint: Checkpoint,
    hash: Sha256,
    last: u64,
    records: u64,
}

impl Verifier {
    /// Checks a report, handing each of its records to `each`. Trust what was handed over only
    /// once this returns.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn report(
        &self,
        lines: impl BufRead,
        mut each: impl FnMut(Record),
    ) -> Result<Reported, Fault> {
        let bad = |wrong| Fault::BadReport { wrong };
        let mut lines = lines.split(b'\n').map(|line| line.map_err(LogError::storage));
        let mut next = || lines.next().transpose();
        let (Some(first), Some(second)) = (next()?, next()?) else {
            return Err(bad("it is too short"));
        };
        let mut reading = self.begin_report(&first, &second)?;
        while let Some(text) = next()? {
            let line: Line =
                serde_json::from_slice(&text).map_err(|_| bad("a line cannot be read"))?;
            if let Some(note) = line.signed {
                if next()?.is_some() {
                    return Err(bad("something follows the signature"));
                }
                return self.end_report(reading, &note);
            }
            each(reading.take(&line)?);
            add(&mut reading.hash, &text);
        }
        Err(bad("its end, with the signature, is missing"))
    }

    fn begin_report(&self, first: &[u8], second: &[u8]) -> Result<Reading, Fault> {
        let bad = |wrong| Fault::BadReport { wrong };
        let mut hash = Sha256::new();
        add(&mut hash, first);
        add(&mut hash, second);
        let first: First =
            serde_json::from_slice(first).map_err(|_| bad("the first line says no subject"))?;
        let second: Line =
            serde_json::from_slice(second).map_err(|_| bad("the second line is no checkpoint"))?;
        let checkpoint = second.checkpoint.ok_or(bad("the second line is no checkpoint"))?;
        self.checkpoint(&checkpoint)?;
        if first.origin != checkpoint.origin {
            return Err(bad("its checkpoint is another log's"));
        }
        Ok(Reading { first, checkpoint, hash, last: 0, records: 0 })
    }

    fn end_report(&self, reading: Reading, note: &str) -> Result<Reported, Fault> {
        let bad = |wrong| Fault::BadReport { wrong };
        let Reading { first, checkpoint, hash, records, .. } = reading;
        let note: Note = note.parse().map_err(|_| bad("its signature cannot be read"))?;
        let digest = STANDARD.encode(hash.finalize());
        if note.text != text_of(&first.origin, records, &digest) {
            return Err(bad("a line was changed, added or taken out"));
        }
        if !self.key().accepts_note(&first.origin, &note.text, &note.signatures) {
            return Err(Fault::BadSignature { size: checkpoint.size });
        }
        let First { report: about, origin, pruned, time } = first;
        Ok(Reported { about, origin, records, pruned, time })
    }
}

fn add(hash: &mut Sha256, line: &[u8]) {
    hash.update(line);
    hash.update(b"\n");
}

impl Reading {
    fn take(&mut self, line: &Line) -> Result<Record, Fault> {
        let bad = |wrong| Fault::BadReport { wrong };
        let (Some(seq), Some(entry), Some(path)) = (line.seq, &line.entry, &line.path) else {
            return Err(bad("a line is no record"));
        };
        let record: Option<Record> = serde_json::from_str(entry.get()).ok();
        let record = record.filter(|record| record.seq == seq);
        let leaf = leaf_of(entry.get().as_bytes());
        let proved = includes(leaf, seq, self.checkpoint.size, path, &self.checkpoint.root);
        let record = record.filter(|_| proved).ok_or(Fault::BadProof { seq })?;
        if seq <= self.last || !self.first.report.covers(&record) {
            return Err(bad("a record does not belong where it stands"));
        }
        self.last = seq;
        self.records += 1;
        Ok(record)
    }
}
