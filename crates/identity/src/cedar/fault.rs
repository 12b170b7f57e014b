//! What is wrong with a policy, a schema or an entities file, and where.

use std::fmt;
use std::sync::Arc;

use miette::Diagnostic;

/// A place in a text: file, line and column from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named when the text was loaded.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Place {
    pub(super) fn at(file: &Arc<str>, text: &str, byte: usize) -> Self {
        let before = text.get(..byte.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Policies cannot be used. Prints every fault on a line of its own,
/// `file:line:column: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    faults: Vec<Fault>,
}

impl PolicyError {
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
        faults.dedup();
        Self { faults }
    }

    pub(super) fn one(place: Place, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { place, message: message.into() }] }
    }

    /// All that is wrong, in the order of the text.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

/// Everything that a diagnostic tells of a text, each at its first label; at `fallback` where it
/// has none.
pub(super) fn told(
    diagnostic: &dyn Diagnostic,
    file: &Arc<str>,
    text: &str,
    fallback: usize,
) -> Vec<Fault> {
    let byte = diagnostic.labels().and_then(|mut labels| labels.next()).map(|l| l.offset());
    let mut message = diagnostic.to_string();
    if let Some(help) = diagnostic.help() {
        message.push_str("; ");
        message.push_str(&help.to_string());
    }
    let place = Place::at(file, text, byte.unwrap_or(fallback));
    let mut faults = vec![Fault { place, message: message.replace('\n', " ") }];
    for related in diagnostic.related().into_iter().flatten() {
        faults.extend(told(related, file, text, fallback));
    }
    faults
}
