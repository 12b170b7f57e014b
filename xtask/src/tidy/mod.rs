//! The tree as it should be: what no compiler checks.
//!
//! Each check takes the [`Tree`] or the [`Workspace`] and gives back [`Finding`]s. All of them run,
//! so that one look shows everything.

mod arrows;
mod decisions;
mod foreign;
mod manifest;
mod members;
mod names;
mod sizes;
mod text;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use manifest::Workspace;

pub(crate) use sizes::sizes;
pub(crate) use tree::Tree;

/// Something that is out of place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where: a path from the root, with `:line` where there is one.
    file: String,
    /// What is there.
    what: String,
    /// Why it should not be.
    why: &'static str,
    /// What to do about it.
    remedy: String,
}

impl Finding {
    fn new(
        file: impl Into<String>,
        what: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), what: what.into(), why, remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    why: {}\n    do:  {}", self.file, self.what, self.why, self.remedy)
    }
}

/// Runs every check on the tree at `root`.
///
/// # Errors
///
/// Where the tree or a manifest cannot be read; what merely is out of place is a [`Finding`].
pub(crate) fn check(root: &Path) -> io::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let workspace = Workspace::read(&tree)?;
    let mut findings = arrows::check(&workspace);
    findings.extend(foreign::check(&workspace));
    findings.extend(members::check(&workspace));
    findings.extend(names::check(&tree));
    findings.extend(text::check(&tree));
    findings.extend(decisions::check(&tree));
    findings.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(findings)
}

/// One finding after the other, for people.
pub(crate) fn list(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}
