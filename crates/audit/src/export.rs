//! A log as lines of JSON, to be kept and checked elsewhere.

use std::io::{self, BufRead, Write};

use doorward_core::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::verify::Source;
use crate::{Checkpoint, Cut, LinkedCheckpoint, Log, LogError, Sealed};

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
    /// A record cannot be put into another form.
    #[error("a record cannot be read")]
    Record(#[from] crate::RecordError),
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

/// One line: what was pruned, an entry, or at the end the checkpoint.
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
    /// The checkpoint's text; of version 1, an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pruned: Option<Cut>,
}

/// Writes a log: one line for each entry, `{"seq":…,"leaf":…,"link":…,"entry":{…}}`, without its
/// text where that was pruned, and a last line `{"checkpoint":"…"}`. Where the log was pruned, a
/// line `{"pruned":{…}}` comes first. Returns how many entries. Check it with
/// [`Verifier::export`](crate::Verifier::export).
///
/// # Errors
///
/// Where the log cannot be read or the lines cannot be written.
pub fn export(log: &mut dyn Log, mut out: impl Write) -> Result<u64, ExportError> {
    let mut written = 0;
    let mut until = u64::MAX;
    let pruned = log.cut()?;
    let mut from = pruned.as_ref().map_or(1, |cut| cut.base.saturating_add(1));
    if pruned.is_some() {
        write_line(&mut out, &Line { pruned, ..Line::default() })?;
    }
    let mut signed = None;
    loop {
        let page = log.read(from, PAGE)?;
        let Some(last) = page.last() else {
            if signed.is_some() {
                break;
            }
            // All that was there is written. What came meanwhile is covered by the checkpoint.
            signed = Signed::of(log)?;
            let Some(signed) = &signed else { break };
            until = signed.size();
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
    if let Some(signed) = signed {
        let checkpoint = Some(signed.raw()?);
        write_line(&mut out, &Line { checkpoint, ..Line::default() })?;
    }
    out.flush()?;
    Ok(written)
}

/// A checkpoint of either version.
enum Signed {
    Tree(Checkpoint),
    Links(LinkedCheckpoint),
}

impl Signed {
    fn of(log: &mut dyn Log) -> Result<Option<Self>, LogError> {
        Ok(match log.checkpoint()? {
            Some(checkpoint) => Some(Self::Tree(checkpoint)),
            None => log.linked()?.map(Self::Links),
        })
    }

    fn size(&self) -> u64 {
        match self {
            Self::Tree(signed) => signed.size,
            Self::Links(signed) => signed.size,
        }
    }

    fn raw(&self) -> io::Result<Box<RawValue>> {
        Ok(match self {
            Self::Tree(signed) => serde_json::value::to_raw_value(signed),
            Self::Links(signed) => serde_json::value::to_raw_value(signed),
        }?)
    }

    fn read(raw: &RawValue) -> serde_json::Result<Self> {
        if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(Self::Tree)
        } else {
            serde_json::from_str(raw.get()).map(Self::Links)
        }
    }
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// An entry as a line of an export has it, without its line break.
pub(crate) fn line_text(sealed: &Sealed) -> io::Result<String> {
    Ok(serde_json::to_string(&line_of(sealed)?)?)
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
    let entry = (!sealed.is_bare()).then_some(entry);
    let (seq, leaf, link) = (Some(sealed.seq), Some(sealed.leaf), Some(sealed.link));
    Ok(Line { seq, leaf, link, entry, ..Line::default() })
}

/// Reads an export.
pub(crate) struct Lines<R> {
    input: R,
    line: u64,
    /// What was read ahead to find out whether the log was pruned.
    first: Option<Sealed>,
    cut: Option<Cut>,
    signed: Option<Signed>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Result<Self, LogError> {
        let mut lines = Self { input, line: 0, first: None, cut: None, signed: None };
        lines.first = lines.entry().map_err(LogError::storage)?;
        Ok(lines)
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
            let wrong = |source| ExportError::Line { line: self.line, source };
            if self.signed.is_some() {
                return Err(wrong(None));
            }
            let read: Line = serde_json::from_slice(&text).map_err(|source| wrong(Some(source)))?;
            match (read.seq, read.leaf, read.link, read.entry, read.checkpoint, read.pruned) {
                (Some(seq), Some(leaf), Some(link), entry, None, None) => {
                    let text = entry.map(|entry| Box::<str>::from(entry).into_string());
                    let entry = text.unwrap_or_default().into_bytes();
                    return Ok(Some(Sealed { seq, entry, leaf, link }));
                }
                (None, None, None, None, Some(signed), None) => {
                    let signed = Signed::read(&signed).map_err(|source| wrong(Some(source)))?;
                    self.signed = Some(signed);
                }
                (None, None, None, None, None, Some(cut)) if self.line == 1 => {
                    self.cut = Some(cut);
                }
                _ => return Err(wrong(None)),
            }
        }
    }
}

impl<R: BufRead> Source for Lines<R> {
    fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    fn page(&mut self) -> Result<Vec<Sealed>, LogError> {
        let mut page: Vec<Sealed> = self.first.take().into_iter().collect();
        while page.len() < PAGE
            && let Some(sealed) = self.entry().map_err(LogError::storage)?
        {
            page.push(sealed);
        }
        Ok(page)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        Ok(match &self.signed {
            Some(Signed::Tree(signed)) => Some(signed.clone()),
            _ => None,
        })
    }

    fn linked(&mut self) -> Result<Option<LinkedCheckpoint>, LogError> {
        Ok(match &self.signed {
            Some(Signed::Links(signed)) => Some(signed.clone()),
            _ => None,
        })
    }
}
