//! What files and folders of code are called.

use super::{Finding, Tree};

/// Names that say what kind of thing is inside, not what it is about.
const EMPTY_NAMES: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "misc", "traits", "types", "errors", "models"];

/// Serves the routes under `/v1/models`: it is about models.
const ABOUT_MODELS: &str = "crates/gateway/src/edge/models.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found: Vec<(String, &str)> = Vec::new();
    for file in tree.rust().filter(|file| *file != ABOUT_MODELS) {
        let modules = file.strip_suffix(".rs").unwrap_or(file);
        let mut end = 0;
        for part in modules.split('/') {
            end += part.len();
            if EMPTY_NAMES.contains(&part) {
                let whole = if end == modules.len() { file } else { &file[..end] };
                found.push((whole.to_owned(), part));
            }
            end += 1;
        }
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(place, name)| finding(place, name)).collect()
}

fn finding(place: String, name: &str) -> Finding {
    Finding::new(
        place,
        format!("a module called `{name}`"),
        "modules are cut by concept, not by kind: such a name takes in everything",
        "name it after what it is about, or move its parts to where they are used",
    )
}
