//! A log as lines of JSON, to be kept and checked elsewhere.

use std::io::{self, BufRead, Write};

use doorward_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::verify::Source;
use crate::{Checkpoint, Log, LogError, Sealed};

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// An export could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log could not be read.
    #[error("the log could not be read")]
    Log(#[from] LogError),
    /// The lines could not be written or read.
    #[error("the lines could not be written or read")]
    Io(#[from] io::Error),
    /// A line is no line of an export.
    #[error("line {line} is not part of an audit export")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with its JSON; `None` where a field is missing, or it follows the
        /// checkpoint.
        source: Option<serde_json::Error>,
    },
}

/// One line: an entry, or at the end the checkpoint.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
}

/// Writes a log: one line for each entry, `{"seq":…,"leaf":…,"link":…,"entry":{…}}`, and a last
/// line `{"checkpoint":{…}}`. Returns how many entries. Check it with
/// [`Verifier::export`](crate::Verifier::export).
///
/// # Errors
///
/// Where the log cannot be read or the lines cannot be written.
pub fn export(log: &mut dyn Log, mut out: impl Write) -> Result<u64, ExportError> {
    let mut written = 0;
    let mut from = 1;
    let mut until = u64::MAX;
    let mut checkpoint = None;
    loop {
        let page = log.read(from, PAGE)?;
        let Some(last) = page.last() else {
            if checkpoint.is_some() {
                break;
            }
            // All that was there is written. What came meanwhile is covered by the checkpoint.
            checkpoint = log.checkpoint()?;
            let Some(checkpoint) = &checkpoint else { break };
            until = checkpoint.size;
            continue;
        };
        from = last.seq.saturating_add(1);
        for sealed in page.iter().take_while(|sealed| sealed.seq <= until) {
            write_line(&mut out, &line_of(sealed)?)?;
            written += 1;
        }
        if from > until {
            break;
        }
    }
    if checkpoint.is_some() {
        write_line(&mut out, &Line { checkpoint, ..Line::default() })?;
    }
    out.flush()?;
    Ok(written)
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn line_of(sealed: &Sealed) -> io::Result<Line> {
    // Text that was tampered with may be no JSON. It is written as a string then, so that the
    // export can be made and its check fails.
    let whole = |text: &&str| !text.contains('\n');
    let entry = std::str::from_utf8(&sealed.entry)
        .ok()
        .filter(whole)
        .and_then(|text| RawValue::from_string(text.to_owned()).ok())
        .filter(|raw| raw.get().len() == sealed.entry.len());
    let entry = match entry {
        Some(raw) => raw,
        None => serde_json::value::to_raw_value(&String::from_utf8_lossy(&sealed.entry))?,
    };
    Ok(Line {
        seq: Some(sealed.seq),
        leaf: Some(sealed.leaf),
        link: Some(sealed.link),
        entry: Some(entry),
        checkpoint: None,
    })
}

/// Reads an export.
pub(crate) struct Lines<R> {
    input: R,
    line: u64,
    checkpoint: Option<Checkpoint>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: 0, checkpoint: None }
    }

    fn entry(&mut self) -> Result<Option<Sealed>, ExportError> {
        loop {
            let mut text = Vec::new();
            if self.input.read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            if self.checkpoint.is_some() {
                return Err(ExportError::Line { line: self.line, source: None });
            }
            let wrong = |source| ExportError::Line { line: self.line, source };
            let read: Line = serde_json::from_slice(&text).map_err(|source| wrong(Some(source)))?;
            match (read.seq, read.leaf, read.link, read.entry, read.checkpoint) {
                (Some(seq), Some(leaf), Some(link), Some(entry), None) => {
                    let entry = Box::<str>::from(entry).into_string().into_bytes();
                    return Ok(Some(Sealed { seq, entry, leaf, link }));
                }
                (None, None, None, None, Some(checkpoint)) => self.checkpoint = Some(checkpoint),
                _ => return Err(wrong(None)),
            }
        }
    }
}

impl<R: BufRead> Source for Lines<R> {
    fn page(&mut self) -> Result<Vec<Sealed>, LogError> {
        let mut page = Vec::new();
        while page.len() < PAGE
            && let Some(sealed) = self.entry().map_err(LogError::storage)?
        {
            page.push(sealed);
        }
        Ok(page)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        Ok(self.checkpoint.clone())
    }
}
