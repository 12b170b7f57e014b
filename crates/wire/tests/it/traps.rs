//! Which of the known traps of wire formats are shown here not to hold.

use std::collections::BTreeSet;
use std::path::Path;

/// Those that concern these dialects, or reading and writing in general. The others are
/// of transports, retries and other dialects, and are shown where these live.
const HERE: [u32; 53] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 50, 52, 53,
    55, 56, 62,
];

/// The numbers after `trap` in a name: `chat-x-trap-14-18.case`, `trap_16_calls`.
fn numbers(name: &str, found: &mut BTreeSet<u32>) {
    for (at, _) in name.match_indices("trap") {
        let rest = name[at + 4..].trim_start_matches('s');
        let (mut range, mut last) = (None, None);
        for word in rest.split(['-', '_', '.', '(']).filter(|word| !word.is_empty()) {
            match (word, word.parse::<u32>()) {
                (_, Ok(number)) => {
                    found.extend(range.take().unwrap_or(number)..=number);
                    last = Some(number);
                }
                ("and", _) => {}
                ("to", _) => range = last,
                _ => break,
            }
        }
    }
}

fn walk(folder: &Path, found: &mut BTreeSet<u32>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|it| it == "case") {
            numbers(&path.file_name().unwrap().to_string_lossy(), found);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let tests = text.lines().filter_map(|line| line.trim().strip_prefix("fn trap"));
            tests.for_each(|name| numbers(&format!("trap{name}"), found));
        }
    }
}

#[test]
fn every_trap_of_these_dialects_is_covered() {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests", "testdata"] {
        walk(&root.join(folder), &mut found);
    }
    let missing: Vec<u32> = HERE.into_iter().filter(|trap| !found.contains(trap)).collect();
    assert_eq!(missing, Vec::<u32>::new());
}

#[test]
fn numbers_are_read_from_names() {
    let mut found = BTreeSet::new();
    for name in ["chat-x-trap-14-18.case", "trap_16_calls_2", "traps_29_to_31_state", "trapeze"] {
        numbers(name, &mut found);
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [14, 16, 18, 29, 30, 31]);
}
