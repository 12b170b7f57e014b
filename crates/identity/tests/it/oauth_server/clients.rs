//! Clients that are known by the document at their id.

use std::time::Duration;

use doorward_identity::oauth_server::{Authorize, Documents, Origin};
use serde_json::{Value, json};

use super::{Bench, CIMD, asked, error, parameter, redeem};

const OWN: &str = "https://client.example/cb";

fn document(change: &Value) -> Value {
    let mut document = json!({
        "client_id": CIMD, "client_name": "Helpful Client",
        "redirect_uris": [OWN, "http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    for (name, value) in change.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

async fn is_asked(bench: &Bench, client: &str, redirect: &str) -> bool {
    match bench.authorize(Some("alice"), &asked(client, redirect)).await {
        Authorize::Consent(_) => true,
        Authorize::Refused(_) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_who_its_document_says() {
    let bench = Bench::new().await;
    bench.pages.put(CIMD, &document(&json!({})));
    let nobody = bench.authorize(None, &asked(CIMD, OWN)).await;
    assert!(matches!(nobody, Authorize::NeedsLogin { .. }), "{nobody:?}");
    assert_eq!(bench.pages.asked(), 0, "nothing is fetched for nobody");
    let question = bench.question("alice", &asked(CIMD, OWN)).await;
    assert_eq!(&*question.client_name, "Helpful Client");
    assert_eq!(question.client_host.as_deref(), Some("client.example"));
    assert_eq!((question.origin, question.is_local), (Origin::Document, false));
    assert!(bench.question("alice", &asked(CIMD, "http://127.0.0.1:99/cb")).await.is_local);
    let code = bench.code("alice", CIMD, OWN).await;
    assert_eq!(bench.token(&redeem(CIMD, OWN, &code)).await.0, 200);
    assert_eq!(bench.pages.asked(), 1, "it is kept");
    bench.clock.advance(Duration::from_mins(6));
    assert!(is_asked(&bench, CIMD, "http://127.0.0.1:1/cb").await);
    assert_eq!(bench.pages.asked(), 2, "and asked for again");
}

#[tokio::test]
async fn ssrf_a_client_id_leads_nowhere_inside() {
    let bench = Bench::new().await;
    for id in [
        "https://127.0.0.1/client.json",
        "https://localhost.localdomain@127.0.0.1/client.json",
        "https://[::1]/client.json",
        "https://[::ffff:127.0.0.1]/client.json",
        "https://10.1.2.3/client.json",
        "https://192.168.0.1/client.json",
        "https://169.254.169.254/latest/meta-data/iam",
        "https://[fd00::1]/client.json",
        "https://0.0.0.0/client.json",
        "http://client.example/oauth/client.json",
        "https://client.example/",
        "https://client.example",
        "https://client.example/a/../client.json",
        "https://client.example/client.json?to=http://127.0.0.1",
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
    ] {
        let answer = bench.authorize(Some("alice"), &asked(id, OWN)).await;
        assert!(matches!(answer, Authorize::Refused(_)), "{id}: {answer:?}");
        let nobody = bench.authorize(None, &asked(id, OWN)).await;
        assert!(matches!(nobody, Authorize::Refused(_)), "{id}: {nobody:?}");
    }
    assert_eq!(bench.pages.asked(), 0, "nobody was asked");
}

#[tokio::test]
async fn ssrf_a_redirect_is_not_followed() {
    for to in ["http://169.254.169.254/latest", "/other.json", "https://client.example/other.json"]
    {
        let bench = Bench::new().await;
        bench.pages.put("https://client.example/other.json", &document(&json!({})));
        bench.pages.serve(CIMD, 302, Some(to), "");
        assert!(!is_asked(&bench, CIMD, OWN).await, "{to}");
        assert_eq!(bench.pages.asked(), 1, "{to}");
        assert!(!is_asked(&bench, CIMD, OWN).await);
        assert_eq!(bench.pages.asked(), 1, "a failure is remembered for a while");
    }
}

#[tokio::test]
async fn a_strangers_token_request_makes_us_fetch_nothing() {
    let bench = Bench::new().await;
    bench.pages.put(CIMD, &document(&json!({})));
    let answer = bench.token(&redeem(CIMD, OWN, "no-code-of-ours")).await;
    assert_eq!(error(&answer), (401, "invalid_client"));
    let answer = bench.refresh(CIMD, "no-token-of-ours").await;
    assert_eq!(error(&answer), (401, "invalid_client"));
    assert_eq!(bench.pages.asked(), 0);
}

#[tokio::test]
async fn a_document_speaks_for_its_own_url_only() {
    for (change, why) in [
        (json!({"client_id": "https://client.example/oauth/other.json"}), "mismatch"),
        (json!({"client_id": "https://Client.example/oauth/client.json"}), "case counts"),
        (json!({"client_id": null}), "no id"),
        (json!({"redirect_uris": ["https://evil.example/cb", OWN]}), "another origin"),
        (json!({"redirect_uris": ["https://client.example:8443/cb", OWN]}), "another port"),
        (json!({"redirect_uris": ["javascript:alert(1)", OWN]}), "a script"),
        (json!({"redirect_uris": ["http://client.example/cb", OWN]}), "in the clear"),
        (json!({"redirect_uris": []}), "nowhere"),
        (json!({"redirect_uris": OWN}), "no list"),
        (json!({"client_secret": "known to all"}), "a secret"),
        (json!({"token_endpoint_auth_method": "client_secret_basic"}), "a shared secret"),
        (json!({"token_endpoint_auth_method": "private_key_jwt"}), "no keys"),
        (json!({"x": "y".repeat(11_000)}), "too large"),
    ] {
        let bench = Bench::new().await;
        bench.pages.put(CIMD, &document(&change));
        assert!(!is_asked(&bench, CIMD, OWN).await, "{why}");
    }
    let bench = Bench::new().await;
    bench.pages.serve(CIMD, 200, None, r#"{"client_id": "a", "client_id": "b"}"#);
    assert!(!is_asked(&bench, CIMD, OWN).await, "two readers, two clients");
    bench.clock.advance(Duration::from_mins(1));
    bench.pages.serve(CIMD, 404, None, &document(&json!({})).to_string());
    assert!(!is_asked(&bench, CIMD, OWN).await);
}

#[tokio::test]
async fn nobody_is_sent_to_a_stranger_without_having_answered() {
    let bench = Bench::new().await;
    bench.pages.put(CIMD, &document(&json!({})));
    for change in [("scope", "nonsense"), ("response_type", "token"), ("prompt", "none")] {
        let pairs = super::but(asked(CIMD, OWN), &[change]);
        let answer = bench.authorize(Some("alice"), &pairs).await;
        assert!(matches!(answer, Authorize::Refused(_)), "{change:?}: {answer:?}");
    }
    let location = bench.consent("alice", &asked(CIMD, OWN)).await;
    assert!(parameter(&location, "code").is_some());
}

#[tokio::test]
async fn documents_can_be_listed_by_host_or_turned_off() {
    let bench = Bench::with(|builder| {
        builder.documents(Documents::default().with_hosts(["*.corp.example", "other.example"]))
    })
    .await;
    bench.pages.put(CIMD, &document(&json!({})));
    assert!(!is_asked(&bench, CIMD, OWN).await, "its host is not listed");
    let id = "https://tools.corp.example/client.json";
    let change = json!({"client_id": id, "redirect_uris": ["https://tools.corp.example/cb"]});
    bench.pages.put(id, &document(&change));
    assert!(is_asked(&bench, id, "https://tools.corp.example/cb").await);
    let wider = Bench::with(|builder| {
        builder.documents(Documents::default().with_redirect_hosts(["app.example"]))
    })
    .await;
    let change = json!({"redirect_uris": [super::APP]});
    wider.pages.put(CIMD, &document(&change));
    assert!(is_asked(&wider, CIMD, super::APP).await, "a listed place for answers");
}
