//! What is wrong with a configuration, told so that it can be mended.

use std::fmt;

use super::locate::{self, Trail};
use super::{Syntax, check::Fault};

/// A configuration is not usable. Prints as `file:line:column: key: what; what would help`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    place: Option<(usize, usize)>,
    key: String,
    message: String,
    suggestion: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// The line, from 1, where one is known.
    pub fn line(&self) -> Option<usize> {
        self.place.map(|(line, _)| line)
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        let suggestion = (error.kind() == std::io::ErrorKind::NotFound)
            .then(|| "`doorward init` writes one".to_owned());
        Self { file: file.to_owned(), place: None, key: String::new(), message, suggestion }
    }

    pub(super) fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let byte = error.span().map(|span| span.start);
        let place = byte.map(|byte| locate::position(text, byte));
        let trail = byte.map(|byte| locate::trail_at(text, byte)).unwrap_or_default();
        let (message, suggestion) = plain(error.message());
        Self { file: file.to_owned(), place, key: trail.to_string(), message, suggestion }
    }

    pub(super) fn yaml(file: &str, error: &serde_saphyr::Error) -> Self {
        let place = error.location().map(|at| {
            let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            (small(at.line()), small(at.column()))
        });
        let told = error.to_string();
        // The first line tells; the rest quotes the text, which may hold what must not be shown.
        let (message, suggestion) = plain(told.lines().next().unwrap_or_default());
        Self { file: file.to_owned(), place, key: String::new(), message, suggestion }
    }
}

impl Fault {
    pub(super) fn locate(self, file: &str, text: &str, syntax: Syntax) -> ConfigError {
        let trail = Trail(self.trail);
        let place = match syntax {
            Syntax::Toml => {
                locate::span_of(text, &trail).map(|span| locate::position(text, span.start))
            }
            Syntax::Yaml => None,
        };
        ConfigError {
            file: file.to_owned(),
            place,
            key: trail.to_string(),
            message: self.message,
            suggestion: self.suggestion,
        }
    }
}

/// Serde's words for unknown keys in ours, with the nearest key that exists.
fn plain(message: &str) -> (String, Option<String>) {
    for (start, kind) in
        [("unknown field `", "unknown key"), ("unknown variant `", "unknown value")]
    {
        let Some((_, rest)) = message.split_once(start) else { continue };
        let Some((found, rest)) = rest.split_once('`') else { continue };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let message = format!("{kind} `{found}`");
        return (message, nearest(found, &known).or_else(|| expected(&known)));
    }
    (message.to_owned(), None)
}

fn expected(known: &[&str]) -> Option<String> {
    (!known.is_empty()).then(|| format!("expected one of {}", quoted(known)))
}

/// `did you mean …?`, where something is near enough.
pub(super) fn nearest(found: &str, known: &[&str]) -> Option<String> {
    let scored = known.iter().map(|name| (strsim::damerau_levenshtein(found, name), *name));
    let (distance, name) = scored.min()?;
    (distance <= 1 + found.chars().count() / 4).then(|| format!("did you mean `{name}`?"))
}

/// Names in backticks, with commas.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
