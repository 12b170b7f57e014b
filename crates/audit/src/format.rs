//! Records in the forms that others read.

mod cef;
mod csv;
mod fields;
mod ocsf;
mod time;

use std::io::Write;
use std::str::FromStr;

use crate::export::{ExportError, line_text};
use crate::{Log, Sealed};

pub(crate) use fields::Severity;
pub(crate) use time::rfc3339;

/// How many entries are read at a time.
const PAGE: usize = 1024;

/// A form of records. Only [`Jsonl`](Self::Jsonl) can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The entries as they are, with their hashes: one JSON object a line.
    #[default]
    Jsonl,
    /// A table (RFC 4180). Cells that a spreadsheet would take for a formula begin with `'`.
    Csv,
    /// OCSF 1.5 API Activity (class 6003), one JSON object a line.
    Ocsf,
    /// `ArcSight` Common Event Format, version 0, one event a line.
    Cef,
}

/// A word is no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `jsonl`, `csv`, `ocsf` or `cef`")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "ocsf" => Ok(Self::Ocsf),
            "cef" => Ok(Self::Cef),
            _ => Err(UnknownFormat),
        }
    }
}

impl Format {
    /// The first line of a file, with its line break; empty where there is none.
    pub fn header(self) -> String {
        match self {
            Self::Csv => csv::header(),
            Self::Jsonl | Self::Ocsf | Self::Cef => String::new(),
        }
    }

    /// One record as a line, without a line break within or at its end. A record whose text was
    /// pruned has none but in JSONL.
    ///
    /// # Errors
    ///
    /// Where the text is no record.
    pub fn line(self, sealed: &Sealed) -> Result<Option<String>, ExportError> {
        if self == Self::Jsonl {
            return Ok(Some(line_text(sealed)?));
        }
        if sealed.is_bare() {
            return Ok(None);
        }
        let record = sealed.record()?;
        Ok(Some(match self {
            Self::Csv => csv::line(&record, sealed),
            Self::Cef => cef::line(&record),
            Self::Jsonl | Self::Ocsf => ocsf::line(&record),
        }))
    }

    /// What a body of such lines is called on the web.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Cef => "text/plain; charset=utf-8",
        }
    }

    /// What ends a line.
    pub const fn line_end(self) -> &'static str {
        match self {
            Self::Csv => "\r\n",
            Self::Jsonl | Self::Ocsf | Self::Cef => "\n",
        }
    }
}

/// Writes a whole log in a form; in JSONL as [`export`](crate::export) does. Returns how many
/// records.
///
/// # Errors
///
/// Where the log cannot be read, a record is none, or the lines cannot be written.
pub fn export_as(
    format: Format,
    log: &mut dyn Log,
    mut out: impl Write,
) -> Result<u64, ExportError> {
    if format == Format::Jsonl {
        return crate::export(log, out);
    }
    out.write_all(format.header().as_bytes())?;
    let (mut from, mut written) = (log.cut()?.map_or(1, |cut| cut.base.saturating_add(1)), 0);
    loop {
        let page = log.read(from, PAGE)?;
        let Some(last) = page.last() else { break };
        from = last.seq.saturating_add(1);
        for sealed in &page {
            if let Some(line) = format.line(sealed)? {
                out.write_all(line.as_bytes())?;
                out.write_all(format.line_end().as_bytes())?;
                written += 1;
            }
        }
    }
    out.flush()?;
    Ok(written)
}

#[cfg(test)]
mod tests;
