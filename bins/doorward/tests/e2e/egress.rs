//! What of the network a server by command reaches.

use doorward_testkit::provider::{Answer, Provider};
use serde_json::json;

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};

async fn get(gateway: &Gateway, key: &str, url: &str, direct: bool) -> String {
    let arguments = json!({ "url": url, "direct": direct });
    gateway.call(key, "web__get", arguments).await.0
}

async fn two_servers() -> (Provider, Provider) {
    let answer = |text: &'static str| move |_: &_| Answer::json(200, text);
    (
        Provider::start(answer("open")).await.unwrap(),
        Provider::start(answer("secret")).await.unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_reaches_the_hosts_it_was_given_and_nothing_else() {
    let (open, closed) = two_servers().await;
    let host = open.url().replace("http://", "");
    let fixture = Fixture::new("web", &["get"]);
    let egress = format!("egress = {{ hosts = [\"{host}\"], private = [\"127.0.0.0/8\"] }}");
    let site = Site::new(&[fixture.section(&egress), HARMLESS.into()].concat());
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&key).await, ["web__get"], "{}", gateway.log());
    assert_eq!(get(&gateway, &key, &open.url(), false).await, "200 open", "{}", gateway.log());
    let refused = get(&gateway, &key, &closed.url(), false).await;
    assert!(refused.starts_with("403 "), "{refused}");
    for (url, direct) in [
        (open.url(), true),
        (closed.url(), true),
        (gateway.admin.clone(), true),
        (gateway.data.clone(), true),
        ("http://169.254.169.254/latest/meta-data/".into(), true),
    ] {
        let told = get(&gateway, &key, &url, direct).await;
        assert!(told.starts_with("no: "), "{url}: {told}");
    }
    for url in [&gateway.admin, "http://169.254.169.254/", "http://example.com/"] {
        let told = get(&gateway, &key, url, false).await;
        assert!(told.starts_with("403 "), "{url}: {told}");
    }
    let refused = format!("target={}", closed.url().replace("http://", ""));
    assert!(gateway.log().contains(&refused), "refusals are told: {}", gateway.log());
    assert_eq!((open.recorded().len(), closed.recorded().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_about_the_network_there_is_none_and_a_private_address_wants_two() {
    let (open, _closed) = two_servers().await;
    let url = open.url().replace("127.0.0.1", "localhost");
    let host = url.replace("http://", "");
    for (more, told) in [
        (String::new(), "no: "),
        // The host alone does not open a private network.
        (format!("egress = {{ hosts = [\"{host}\"] }}"), "403 "),
    ] {
        let fixture = Fixture::new("web", &["get"]);
        let site = Site::new(&[fixture.section(&more), HARMLESS.into()].concat());
        let key = site.key(&["--name", "ci"]);
        let gateway = site.start();
        assert_eq!(gateway.tools(&key).await, ["web__get"], "{}", gateway.log());
        let answer = get(&gateway, &key, &url, false).await;
        assert!(answer.starts_with(told), "{more}: {answer}");
    }
    assert!(open.recorded().is_empty());
}
