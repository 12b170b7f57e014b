//! Exports whose lines were edited, moved or taken out.

use doorward_audit::{Fault, Memory, export};
use doorward_testkit::log::append;

use super::{SIZE, verifier};

#[test]
fn edited_export_lines_moved_or_taken_out_are_found() {
    let mut log = Memory::default();
    append(&mut log, 0, SIZE).unwrap();
    let mut lines = Vec::new();
    assert_eq!(export(&mut log, &mut lines).unwrap(), SIZE);
    let text = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len() as u64, SIZE + 1);
    let check = |lines: Vec<&str>| verifier().export(lines.join("\n").as_bytes());
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    assert!(matches!(check(without(4)), Err(Fault::Missing { seq: 5 })));
    assert!(matches!(check(without(11)), Err(Fault::TruncatedTail { expected: 12, size: 11 })));
    assert!(matches!(check(without(12)), Err(Fault::NoCheckpoint { size: 12 })));
    let mut swapped = lines.clone();
    swapped.swap(3, 8);
    assert!(matches!(check(swapped), Err(Fault::Reordered { seq: 4 })));
    for odd in ["{}", "no json", r#"{"seq":1}"#, r#"{"what":1}"#] {
        let fault = check([&lines[..3], &[odd], &lines[3..]].concat()).unwrap_err();
        assert!(matches!(fault, Fault::Unreadable(_)), "{odd}: {fault:?}");
    }
    let after = check([&lines[..], &lines[..1]].concat());
    assert!(matches!(after, Err(Fault::Unreadable(_))), "nothing follows the checkpoint");
    let edited = text.replacen("alice@example.com", "mallo@example.com", 1);
    let fault = verifier().export(edited.as_bytes()).unwrap_err();
    assert!(matches!(fault, Fault::Altered { seq: 1 }), "{fault:?}");
    let stripped: Vec<String> = lines
        .iter()
        .map(|line| match line.split_once(",\"entry\":") {
            Some((hashes, _)) if line.starts_with("{\"seq\":3,") => format!("{hashes}}}"),
            _ => (*line).to_owned(),
        })
        .collect();
    let fault = verifier().export(stripped.join("\n").as_bytes()).unwrap_err();
    assert!(matches!(fault, Fault::Stripped { seq: 3 }), "{fault:?}");
}
