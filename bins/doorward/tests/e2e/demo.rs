//! What a newcomer sees first.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::gateway::doorward;

#[test]
fn the_demo_shows_the_leak_the_block_and_the_proof() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = doorward().args(["demo", "--folder"]).arg(folder.path()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(10));
    let places: Vec<usize> = [
        "LEAKED mail to",
        "Refused by policy",
        "BLOCKED",
        "alice@example.com (key demo)",
        "tool  mail__send_email  DENIED",
        "intact: 6 records",
    ]
    .iter()
    .map(|part| told.find(part).unwrap_or_else(|| panic!("`{part}` in:\n{told}")))
    .collect();
    assert!(places.is_sorted(), "in this order: {told}");
    assert!(!told.contains('\x1b'), "no colours into a pipe");

    let config = folder.path().join("guarded.toml");
    let verify = || {
        let output =
            doorward().args(["audit", "verify", "--config"]).arg(&config).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(verify().0);
    // One flipped byte is found and the record named.
    let database = Connection::open(folder.path().join("guarded/doorward.db")).unwrap();
    let changed = database
        .execute(
            "UPDATE audit_entry SET entry = replace(entry, 'alice@', 'elice@') WHERE seq = 3",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    let (intact, told) = verify();
    assert!(!intact && told.contains("record 3 was altered"), "{told}");
}
