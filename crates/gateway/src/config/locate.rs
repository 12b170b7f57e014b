//! From a place in a TOML text to the key that stands there, and back.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step into a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A key's way from the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Trail(pub(super) Vec<Step>);

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Line and column of a byte, both from 1; columns count characters.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The deepest key whose own text or value covers a byte, and where it stands.
pub(super) fn trail_at(text: &str, byte: usize) -> Trail {
    let mut trail = Trail::default();
    if let Ok(table) = DeTable::parse(text) {
        descend_to(table.get_ref(), byte, &mut trail);
    }
    trail
}

fn descend_to(table: &DeTable<'_>, byte: usize, trail: &mut Trail) -> bool {
    // Of two headers `[[a]]` the span of the array covers both, so the deepest fit wins.
    for (key, value) in table {
        trail.0.push(Step::Key(key.get_ref().to_string()));
        if within(&key.span(), byte) || descend_into(value, byte, trail) {
            return true;
        }
        trail.0.pop();
    }
    false
}

fn descend_into(value: &Spanned<DeValue<'_>>, byte: usize, trail: &mut Trail) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => descend_to(table, byte, trail) || within(&value.span(), byte),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                trail.0.push(Step::Index(index));
                if descend_into(item, byte, trail) {
                    return true;
                }
                trail.0.pop();
            }
            within(&value.span(), byte)
        }
        _ => within(&value.span(), byte),
    }
}

fn within(span: &Range<usize>, byte: usize) -> bool {
    span.contains(&byte) || (span.is_empty() && span.start == byte)
}

/// Where the value at a trail stands; the nearest place above it where it is not written.
pub(super) fn span_of(text: &str, trail: &Trail) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut best = None;
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    let mut inside: Option<&DeTable<'_>> = Some(table.get_ref());
    for step in &trail.0 {
        value = match step {
            Step::Key(name) => {
                inside?.iter().find(|(key, _)| *key.get_ref() == name.as_str()).map(|(_, v)| v)
            }
            Step::Index(index) => match value.map(Spanned::get_ref) {
                Some(DeValue::Array(items)) => items.get(*index),
                _ => None,
            },
        };
        let Some(found) = value else { break };
        best = Some(found.span());
        inside = match found.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
        if inside.is_none() && !matches!(found.get_ref(), DeValue::Array(_)) {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[listen]\ndata = 1\n\n[[alias]]\nname = \"a\"\n\n[[alias]]\nname = \"b\"\ntargets = [\"x/y\", \"z\"]\n";

    #[test]
    fn places_and_keys() {
        let byte = TEXT.find("\"z\"").unwrap();
        assert_eq!(trail_at(TEXT, byte).to_string(), "alias[1].targets[1]");
        let trail = Trail(vec!["alias".into(), 1.into(), "targets".into(), 1.into()]);
        assert_eq!(span_of(TEXT, &trail).unwrap().start, byte);
        assert_eq!(position(TEXT, byte), (9, 19));
    }

    #[test]
    fn a_key_that_is_not_written_is_found_by_its_table() {
        let trail = Trail(vec!["alias".into(), 0.into(), "targets".into()]);
        let (line, _) = position(TEXT, span_of(TEXT, &trail).unwrap().start);
        assert_eq!(line, 4);
    }
}
