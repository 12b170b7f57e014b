//! How long files are: orientation, never a failure.

use super::Tree;

/// From here on a file is worth a second look.
const LONG: usize = 600;

/// Files of more than 600 code lines, the longest first. Blank lines and comments do not count.
pub(crate) fn sizes(tree: &Tree) -> Vec<(usize, String)> {
    let counted = tree.rust().filter_map(|file| Some((code_lines(&tree.text(file)?), file)));
    let mut long: Vec<(usize, String)> = counted
        .filter(|(lines, _)| *lines > LONG)
        .map(|(lines, file)| (lines, file.to_owned()))
        .collect();
    long.sort_by(|a, b| b.cmp(a));
    long
}

fn code_lines(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
