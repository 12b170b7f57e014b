//! Client mode: the suite's servers, behind the gateway, with a client before it.

use std::fmt::Write as _;

use crate::suite::{drive, required_of_clients};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
/// Extensions belong to no revision.
const EXTENSION: &str = "";

/// Runs scenarios one after the other: some look at the clock.
async fn pass<S: AsRef<str>>(scenarios: &[(S, &str)]) {
    let mut failing = String::new();
    for (scenario, version) in scenarios {
        let scenario = scenario.as_ref();
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

/// The gateway in the place of a user's client: it finds the authorization server, asks the person
/// by a link, and calls with what it got.
async fn authorizes(version: &str, count: usize) {
    let scenarios = required_of_clients(version);
    let scenarios: Vec<_> = scenarios
        .into_iter()
        .filter(|scenario| scenario.starts_with("auth/"))
        .map(|scenario| (scenario, version))
        .collect();
    assert_eq!(scenarios.len(), count, "{scenarios:?}");
    pass(&scenarios).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn users_sign_in_at_servers_of_the_older_era() {
    authorizes(LEGACY, 14).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn users_sign_in_at_servers_of_the_newer_era() {
    authorizes(MODERN, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn users_sign_in_at_servers_without_resource_metadata() {
    pass(&[
        ("auth/2025-03-26-oauth-metadata-backcompat", "2025-03-26"),
        ("auth/2025-03-26-oauth-endpoint-fallback", "2025-03-26"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_gateway_signs_in_as_itself() {
    pass(&[
        ("auth/client-credentials-basic", EXTENSION),
        ("auth/client-credentials-jwt", EXTENSION),
        ("auth/wif-jwt-bearer", EXTENSION),
    ])
    .await;
}
