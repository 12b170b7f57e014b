//! Whose process it is, and that none is left.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(8), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Children of the gateway that ended and that nobody waited for.
fn zombies(gateway: &Gateway) -> usize {
    let parent = gateway.process.id().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_zombie = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).to_owned();
        let mut fields = rest.split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&parent)
    };
    all.filter(|entry| is_zombie(&entry.path())).count()
}

async fn remembers(gateway: &Gateway, key: &str, what: &str) -> String {
    let (text, failed) = gateway.call(key, "memo__remember", json!({ "what": what })).await;
    assert!(!failed, "{text}\n{}", gateway.log());
    gateway.call(key, "memo__recall", json!({})).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn two_identities_never_see_each_others_state() {
    let fixture = Fixture::new("memo", &["remember", "recall"]);
    let site = Site::new(&[fixture.section("idle_after = \"2s\""), HARMLESS.into()].concat());
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&alice).await.len(), 2);
    assert_eq!(remembers(&gateway, &alice, "a's").await, r#"["a's"]"#);
    assert_eq!(remembers(&gateway, &bob, "b's").await, r#"["b's"]"#);
    assert_eq!(remembers(&gateway, &alice, "more").await, r#"["a's", "more"]"#);
    assert!(fixture.processes().len() >= 2);

    until("idle processes end", || fixture.processes().is_empty()).await;
    assert_eq!(zombies(&gateway), 0);
    assert_eq!(
        remembers(&gateway, &bob, "anew").await,
        r#"["anew"]"#,
        "a process of its own again"
    );
    gateway.stop();
    assert!(fixture.processes().is_empty(), "they end with the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_declared_shareable_is_shared() {
    let fixture = Fixture::new("memo", &["remember", "recall"]);
    let site = Site::new(&[fixture.section("shared = true"), HARMLESS.into()].concat());
    let alice = site.key(&["--name", "a", "--owner", "alice"]);
    let bob = site.key(&["--name", "b", "--owner", "bob"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&alice).await.len(), 2);
    remembers(&gateway, &alice, "a's").await;
    assert_eq!(remembers(&gateway, &bob, "b's").await, r#"["a's", "b's"]"#);
    assert_eq!(fixture.processes().len(), 1);
    assert_eq!(zombies(&gateway), 0);
    gateway.signal("-KILL");
    until("they do not outlive a gateway that was killed", || fixture.processes().is_empty()).await;
}
