//! The record of decisions: `docs/decisions/NNNN-title.md`.

use super::{Finding, Tree};

const FOLDER: &str = "docs/decisions/";
const SUMMARY: &str = "docs/SUMMARY.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let names = tree.files().filter_map(|file| file.strip_prefix(FOLDER));
    let summary = tree.text(SUMMARY).unwrap_or_default();
    let mut findings = Vec::new();
    let mut last: Option<u32> = None;
    for name in names {
        let Some(number) = number(name) else {
            findings.push(Finding::new(
                format!("{FOLDER}{name}"),
                "is not called NNNN-title.md",
                "decisions are cited by number",
                "call it by the next number, a hyphen and a title in small letters",
            ));
            continue;
        };
        findings.extend(out_of_order(name, number, last));
        last = Some(number);
        if !summary.contains(&format!("decisions/{name})")) {
            findings.push(Finding::new(
                format!("{FOLDER}{name}"),
                format!("{SUMMARY} does not link to it"),
                "the book shows only what its summary links to",
                format!("add `[…](decisions/{name})` there"),
            ));
        }
    }
    findings
}

/// The number of `NNNN-title.md`.
fn number(name: &str) -> Option<u32> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let titled = title.split('-').all(|word| !word.is_empty() && word.chars().all(plain));
    let numbered = number.len() == 4 && number.chars().all(|digit| digit.is_ascii_digit());
    if titled && numbered { number.parse().ok() } else { None }
}

/// The files come in order of their names; the first may be 0000 or 0001.
fn out_of_order(name: &str, number: u32, last: Option<u32>) -> Option<Finding> {
    let (right, expected) = match last {
        None => (number <= 1, 1),
        Some(last) => (number == last + 1, last + 1),
    };
    let found = |what: String| {
        Finding::new(
            format!("{FOLDER}{name}"),
            what,
            "numbers are given in order: a gap looks like a lost decision",
            format!("give it {expected:04}, or bring back the one before"),
        )
    };
    match last {
        _ if right => None,
        Some(last) if last == number => Some(found(format!("{number:04} is there twice"))),
        _ => Some(found(format!("{expected:04} is missing before it"))),
    }
}
