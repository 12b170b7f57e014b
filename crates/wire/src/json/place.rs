//! Where something stands in a JSON text, and how deep.

use std::fmt::Write;
use std::ops::Range;

/// The most steps of a path that are told.
const MOST_STEPS: usize = 128;

/// Whether a JSON value nests deeper than `most`.
pub(crate) fn depth_exceeds(text: &str, most: usize) -> bool {
    let opening = |byte: &&u8| matches!(byte, b'{' | b'[');
    if text.len() <= 2 * most || text.as_bytes().iter().filter(opening).count() <= most {
        return false;
    }
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The index after the closing quote of a string whose opening quote is before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The byte that serde's line and column name.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = match line {
        0 | 1 => 0,
        _ => memchr::memchr_iter(b'\n', text.as_bytes()).nth(line - 2).map_or(0, |at| at + 1),
    };
    (start + column).min(text.len())
}

/// What serde says, in one order and without the value it found: that may be private.
pub(super) fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let Some(rest) =
        text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "))
    else {
        return text.to_owned();
    };
    let found = rest.split([' ', ',']).next().unwrap_or_default();
    match rest.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}, found {found}"),
        None => format!("found {found}"),
    }
}

enum Step {
    Member(Option<Range<usize>>),
    Item(usize),
}

/// The JSON path of the value at or just before a byte.
pub(super) fn path(text: &str, until: usize) -> String {
    let (bytes, mut steps, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < until {
        let Some(&byte) = bytes.get(at) else { break };
        at += 1;
        match byte {
            b'{' => steps.push(Step::Member(None)),
            b'[' => steps.push(Step::Item(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Member(key)) => *key = None,
                Some(Step::Item(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let start = at;
                at = string_end(bytes, at);
                if let Some(Step::Member(key @ None)) = steps.last_mut() {
                    *key = Some(start..at.saturating_sub(1).max(start));
                }
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for step in steps.iter().take(MOST_STEPS) {
        match step {
            Step::Item(index) => drop(write!(path, "[{index}]")),
            Step::Member(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.extend(text.get(key.clone()).unwrap_or_default().chars().take(64));
            }
            Step::Member(None) => {}
        }
    }
    path
}
