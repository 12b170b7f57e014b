//! What stands in the files.

use std::path::Path;

use super::{Finding, Tree};

/// Marks of unfinished work.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];
/// Macros that stand for unfinished work.
const UNWRITTEN: [&str; 2] = ["todo!", "unimplemented!"];
/// Folders that exist on one machine only. In two parts, so that this file does not hold it.
const MACHINE: [&str; 1] = [concat!("/wo", "rk/")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        let Some(text) = tree.text(file) else { continue };
        findings.extend(machine_paths(file, &text, tree.root()));
        if is_product(file) {
            findings.extend(unfinished(file, &text));
        }
        if needs_opening(file) && !text.starts_with("//!") {
            findings.push(Finding::new(
                file,
                "does not begin with a `//!` line",
                "a reader learns first what a file is about",
                "begin it with a `//!` sentence",
            ));
        }
    }
    findings
}

fn is_product(file: &str) -> bool {
    file.starts_with("crates/") || file.starts_with("bins/")
}

/// Sources of crates and binaries; tests stand beside what opens for them.
fn needs_opening(file: &str) -> bool {
    let inner = || file.split('/').skip(2).collect::<Vec<_>>();
    let is_source = is_product(file)
        && Path::new(file).extension().is_some_and(|ending| ending == "rs")
        && inner().first() == Some(&"src");
    is_source && !file.ends_with("/tests.rs") && !inner().contains(&"tests")
}

fn unfinished(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mark = UNFINISHED.into_iter().find(|mark| is_word(line, mark));
        let call = UNWRITTEN.into_iter().find(|call| begins_word(line, call));
        if let Some(mark) = mark.or(call) {
            findings.push(Finding::new(
                format!("{file}:{number}"),
                format!("`{mark}`"),
                "what is there is whole; what is missing is an issue, not a mark",
                "finish it, or take it out",
            ));
        }
    }
    findings
}

fn machine_paths(file: &str, text: &str, root: &Path) -> Vec<Finding> {
    let own = root.to_string_lossy();
    // Some root is a prefix of many paths: `/` and `/src` say nothing of a machine.
    let own = (root.components().count() > 2).then_some(own.as_ref());
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let path = MACHINE.into_iter().chain(own).find(|path| begins_path(line, path));
        if let Some(path) = path {
            findings.push(Finding::new(
                format!("{file}:{number}"),
                format!("the path `{path}`"),
                "it exists on one machine only",
                "write it from the repository's root, or make it a parameter",
            ));
        }
    }
    findings
}

fn is_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        !line[..at].ends_with(in_word) && !after.is_some_and(in_word)
    })
}

fn begins_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(in_word))
}

fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether an absolute path begins so: not where it goes on from a relative one.
fn begins_path(line: &str, path: &str) -> bool {
    let goes_on = |letter: char| in_word(letter) || ['.', '-', '}', '*'].contains(&letter);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(goes_on))
}
