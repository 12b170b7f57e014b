//! Client mode: the suite's servers, behind the gateway, with a client before it.

use std::fmt::Write as _;

use crate::suite::drive;

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// Runs scenarios one after the other: some look at the clock.
async fn pass(scenarios: &[(&str, &str)]) {
    let mut failing = String::new();
    for (scenario, version) in scenarios {
        let report = drive(scenario, version).await;
        if !report.conforms || report.failed() > 0 {
            _ = writeln!(failing, "{scenario} at {version}:\n{}", report.all_failing());
            _ = writeln!(failing, "{}", last_lines(&report.printed));
        }
    }
    assert!(failing.is_empty(), "\n{failing}");
}

/// The end of what was printed, where the driver tells what went wrong.
fn last_lines(printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().filter(|line| line.contains("rror")).collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn servers_of_the_older_era_are_reached() {
    pass(&[
        ("initialize", LEGACY),
        ("tools_call", LEGACY),
        ("json-schema-2020-12-preservation", LEGACY),
        ("elicitation-sep1034-client-defaults", LEGACY),
        ("sse-retry", LEGACY),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn servers_of_the_newer_era_are_reached() {
    pass(&[
        ("tools_call", MODERN),
        ("request-metadata", MODERN),
        ("sep-2322-client-request-state", MODERN),
        ("http-standard-headers", MODERN),
        ("http-custom-headers", MODERN),
        ("http-invalid-tool-headers", MODERN),
        ("json-schema-ref-no-deref", MODERN),
        ("json-schema-2020-12-preservation", MODERN),
    ])
    .await;
}
