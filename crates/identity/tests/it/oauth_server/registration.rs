//! Clients that register themselves.

use std::time::Duration;

use doorward_identity::Guesses;
use doorward_identity::oauth_server::{Authorize, Origin, Registration};
use http::Method;
use serde_json::{Value, json};

use super::{Bench, asked, basic, but, error, read, redeem, text};

const OWN: &str = "https://stranger.example/cb";

async fn register(bench: &Bench, said: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    read(&bench.ask((Method::POST, "/oauth/register"), &headers, &said.to_string()).await)
}

async fn registered(bench: &Bench, said: &Value) -> Value {
    let (status, body) = register(bench, said).await;
    assert_eq!(status, 201, "{body}");
    body
}

#[tokio::test]
async fn a_client_registers_and_people_are_asked_about_it() {
    let bench = Bench::new().await;
    let said = json!({
        "client_name": "Stranger\u{202e}\n", "redirect_uris": [OWN, "http://localhost:7777/cb"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"], "token_endpoint_auth_method": "none",
    });
    let body = registered(&bench, &said).await;
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert!(body.get("client_secret").is_none());
    let id = text(&body, "client_id");
    let question = bench.question("alice", &asked(&id, OWN)).await;
    assert_eq!((&*question.client_name, question.origin), ("Stranger", Origin::Registered));
    let code = bench.code("alice", &id, OWN).await;
    assert_eq!(bench.token(&redeem(&id, OWN, &code)).await.0, 200);
}

#[tokio::test]
async fn a_secret_is_what_comes_of_saying_nothing() {
    let bench = Bench::new().await;
    let body = registered(&bench, &json!({"redirect_uris": [OWN]})).await;
    assert_eq!(body["token_endpoint_auth_method"], "client_secret_basic");
    let (id, secret) = (text(&body, "client_id"), text(&body, "client_secret"));
    let code = bench.code("alice", &id, OWN).await;
    let pairs = redeem(&id, OWN, &code);
    assert_eq!(error(&bench.token(&pairs).await), (401, "invalid_client"), "no secret");
    let header = basic(&id, &secret);
    let answer = bench.post_with("/oauth/token", &[("authorization", &header)], &pairs).await;
    assert_eq!(answer.0, 200, "{answer:?}");
    assert!(answer.1.get("refresh_token").is_none(), "it registered for codes alone");
}

#[tokio::test]
async fn redirects_that_lead_anywhere_are_refused() {
    let bench = Bench::with(|builder| {
        let rate = Guesses { most: None, ..Guesses::default() };
        builder.registration(Registration::default().with_rate(rate))
    })
    .await;
    for uri in [
        "javascript:alert(document.cookie)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "vbscript:x",
        "custom://app/cb",
        "com.example.app:/cb",
        "http://stranger.example/cb",
        "http://10.0.0.1/cb",
        "http://localhost.evil.example/cb",
        "https://stranger.example/cb#x",
        "https://user:pass@stranger.example/cb",
        "https://",
        "/cb",
        "",
    ] {
        let answer = register(&bench, &json!({"redirect_uris": [OWN, uri]})).await;
        assert_eq!(error(&answer), (400, "invalid_redirect_uri"), "{uri}");
    }
    for said in [
        json!({}),
        json!({"redirect_uris": []}),
        json!({"redirect_uris": vec![OWN; 21]}),
        json!({"redirect_uris": [OWN], "grant_types": ["client_credentials"]}),
        json!({"redirect_uris": [OWN], "grant_types": ["implicit"]}),
        json!({"redirect_uris": [OWN], "response_types": ["token"]}),
        json!({"redirect_uris": [OWN], "token_endpoint_auth_method": "tls_client_auth"}),
        json!({"redirect_uris": [OWN], "token_endpoint_auth_method": "private_key_jwt"}),
        json!({"redirect_uris": [OWN], "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": "https://169.254.169.254/keys"}),
        json!({"redirect_uris": OWN}),
        json!("text"),
    ] {
        assert_eq!(register(&bench, &said).await.0, 400, "{said}");
    }
}

#[tokio::test]
async fn registration_can_be_listed_by_host_limited_or_turned_off() {
    let rule = Registration::default().with_redirect_hosts(["localhost", "*.corp.example"]);
    let listed = Bench::with(|builder| builder.registration(rule.clone())).await;
    for (uri, status) in [
        ("http://localhost:1/cb", 201),
        ("https://a.corp.example/cb", 201),
        ("http://127.0.0.1/cb", 400),
        (OWN, 400),
    ] {
        assert_eq!(register(&listed, &json!({"redirect_uris": [uri]})).await.0, status, "{uri}");
    }
    let limited = Bench::new().await;
    let said = json!({"redirect_uris": [OWN]});
    for _ in 0..10 {
        registered(&limited, &said).await;
    }
    assert_eq!(register(&limited, &said).await.0, 429);
    limited.clock.advance(Duration::from_mins(61));
    registered(&limited, &said).await;
    let few = Bench::with(|b| b.registration(Registration::default().with_most(1))).await;
    registered(&few, &said).await;
    assert_eq!(register(&few, &said).await.0, 503);
    let schemes = Bench::with(|builder| builder.redirect_schemes(["Cursor"])).await;
    registered(&schemes, &json!({"redirect_uris": ["cursor://app/cb"]})).await;
}

#[tokio::test]
async fn a_client_that_nobody_used_is_forgotten() {
    let bench = Bench::new().await;
    let said = json!({"redirect_uris": [OWN], "token_endpoint_auth_method": "none"});
    let used = text(&registered(&bench, &said).await, "client_id");
    let unused = text(&registered(&bench, &said).await, "client_id");
    bench.clock.advance(Duration::from_hours(20 * 24));
    bench.code("alice", &used, OWN).await;
    bench.clock.advance(Duration::from_hours(20 * 24));
    bench.server.sweep().await.unwrap();
    let again = but(asked(&used, OWN), &[("prompt", "consent")]);
    let answer = bench.authorize(Some("alice"), &again).await;
    assert!(matches!(answer, Authorize::Consent(_)), "{answer:?}");
    let answer = bench.authorize(Some("alice"), &asked(&unused, OWN)).await;
    assert!(matches!(answer, Authorize::Refused(_)), "{answer:?}");
}
