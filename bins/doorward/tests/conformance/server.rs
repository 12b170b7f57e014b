//! Server mode.

use serde_json::json;

use crate::fixture::Fixture;
use crate::gateway::{Gateway, Site};
use crate::process::show;
use crate::proxy::Proxy;
use crate::suite::{Report, against};

/// What both revisions require of a server.
const COMMON: &[&str] = &[
    "completion-complete",
    "dns-rebinding-protection",
    "prompts-get-embedded-resource",
    "prompts-get-simple",
    "prompts-get-with-args",
    "prompts-get-with-image",
    "prompts-list",
    "resources-list",
    "resources-read-binary",
    "resources-read-text",
    "resources-templates-read",
    "server-sse-multiple-streams",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-error",
    "tools-call-image",
    "tools-call-mixed-content",
    "tools-call-simple-text",
    "tools-call-with-progress",
    "tools-list",
    // Not scored, but nothing that a gateway may break.
    "json-schema-2020-12",
];

/// What a client of 2026-07-28 finds behind the gateway though the server is older. Not here:
/// scenarios that name the input requests' keys, which the older protocol does not have; the one
/// whose server chooses its questions by what the client of a call can do, which an older server
/// never learns (the answer is then -32021); and tasks.
const MODERN_OVER_LEGACY: &[&str] = &[
    "caching",
    "http-custom-header-server-validation",
    "http-header-validation",
    "input-required-result-basic-list-roots",
    "input-required-result-basic-sampling",
    "input-required-result-multi-round",
    "input-required-result-request-state",
    "input-required-result-result-type",
    "input-required-result-tampered-state",
    "input-required-result-unsupported-methods",
    "sep-2164-resource-not-found",
    "server-stateless",
];

/// What a client of 2025-11-25 finds behind the gateway though the server is newer.
const LEGACY_OVER_MODERN: &[&str] = &[
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "logging-set-level",
    "ping",
    "resources-subscribe",
    "resources-unsubscribe",
    "server-initialize",
    "tools-call-elicitation",
    "tools-call-sampling",
    "tools-call-with-logging",
];

/// What is not scored, and what a gateway should pass all the same.
const UNSCORED: &[&str] = &[
    "http-custom-header-server-validation",
    "http-header-validation",
    "json-schema-2020-12",
    "tasks-capability-negotiation",
    "tasks-dispatch-and-envelope",
    "tasks-lifecycle",
    "tasks-mrtr-composition",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-request-state-removal",
    "tasks-required-task-error",
    "tasks-wire-fields",
];

/// The gateway before one server, without a prefix, and a proxy that knows the key.
struct Front {
    proxy: Proxy,
    gateway: Gateway,
    _site: Site,
    _fixture: Fixture,
}

impl Front {
    async fn start(era: &str) -> Self {
        let fixture = Fixture::start(era);
        let site = Site::new(&format!(
            "[[server]]\nname = \"fixture\"\nurl = \"{}\"\nprefix = false\n\n\
             [[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = {{ integrity = \"trusted\" }}\n",
            fixture.url
        ));
        let key = site.key(&["--name", "suite"]);
        let gateway = site.start();
        // The list is not empty once the server is known.
        for _ in 0..100 {
            let list = gateway.mcp("/mcp/fixture", &key, "tools/list", json!({})).await;
            if list.is_ok_and(|list| list["tools"].as_array().is_some_and(|all| !all.is_empty())) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let proxy = Proxy::start(&gateway.data, &key).await;
        Self { proxy, gateway, _site: site, _fixture: fixture }
    }

    async fn run(&self, arguments: &[&str]) -> Report {
        against(&self.proxy.url("/mcp/fixture"), arguments).await
    }
}

const REQUIRED: [(&str, usize); 2] = [("2025-11-25", 83), ("2026-07-28", 197)];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_fixture_alone_conforms_to_both_revisions() {
    let fixture = Fixture::start("both");
    for (revision, checks) in REQUIRED {
        let report = against(&fixture.url, &["--requirements", revision]).await;
        assert!(report.conforms, "{revision}:\n{}{}", report.all_failing(), report.printed);
        assert_eq!((report.passed(), report.failed()), (checks, 0), "{}", report.table());
    }
}

async fn through_the_gateway(revision: &str, checks: usize) {
    let front = Front::start("both").await;
    let report = front.run(&["--requirements", revision]).await;
    show(&format!("conformance-{revision}.txt"), &report.table());
    let found = format!("{revision}:\n{}", report.all_failing());
    assert!(report.conforms, "{found}{}", front.gateway.log());
    assert_eq!((report.passed(), report.failed()), (checks, 0), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_gateway_conforms_to_2025_11_25() {
    through_the_gateway("2025-11-25", 83).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_gateway_conforms_to_2026_07_28() {
    through_the_gateway("2026-07-28", 197).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_gateway_passes_what_2025_06_18_has() {
    let front = Front::start("both").await;
    let report = front.run(&["--spec-version", "2025-06-18", "--suite", "all"]).await;
    assert_eq!((report.passed(), report.failed()), (56, 0), "\n{}", report.all_failing());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn what_is_not_scored_passes_too() {
    let front = Front::start("both").await;
    let report = front.run(&["--requirements", "2026-07-28"]).await;
    let failing = report.failing(UNSCORED.iter().copied());
    assert!(failing.is_empty(), "\n{failing}");
    let report = front.run(&["--requirements", "2025-11-25"]).await;
    let failing =
        report.failing(["server-session-lifecycle", "server-sse-polling", "json-schema-2020-12"]);
    assert!(failing.is_empty(), "\n{failing}");
}

/// A server of one era, and a client of the other: `more` beside what both have.
async fn crossed(server: &str, revision: &str, more: &[&str]) {
    let front = Front::start(server).await;
    let report = front.run(&["--requirements", revision]).await;
    show(&format!("conformance-{revision}-over-{server}.txt"), &report.table());
    let failing = report.failing(COMMON.iter().chain(more).copied());
    assert!(failing.is_empty(), "{revision} over a {server} server:\n{failing}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_modern_client_reaches_a_legacy_server() {
    crossed("legacy", "2026-07-28", MODERN_OVER_LEGACY).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_legacy_client_reaches_a_modern_server() {
    crossed("modern", "2025-11-25", LEGACY_OVER_MODERN).await;
}
