//! Tokens that are bound to a key or a certificate of the client's.

use std::sync::Arc;

use doorward_core::{Authenticator as _, Presented, Proof, Secret};
use doorward_identity::oauth_server::{Authorize, Client, ClientAuth, GrantType, Request};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{APP, Bench, MCP, asked, but, claims, error, redeem, text};
use crate::jwt::idp::Signer;
use crate::jwt::proofs::thumbprint;

const ENDPOINT: &str = "https://gateway.example/oauth/token";

fn proof(key: &Signer, now: i64, change: &Value) -> String {
    let mut said = json!({"jti": "p", "htm": "POST", "htu": ENDPOINT, "iat": now});
    for (name, value) in change.as_object().unwrap() {
        said[name] = value.clone();
    }
    key.token_with(&json!({"typ": "dpop+jwt", "jwk": key.jwk()}), &said)
}

async fn post(bench: &Bench, jws: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
    bench.post_with("/oauth/token", &[("dpop", jws)], pairs).await
}

async fn code(bench: &Bench, pairs: &[(&str, &str)]) -> String {
    let location = match bench.authorize(Some("alice"), pairs).await {
        Authorize::Redirect(redirect) => redirect.location().to_owned(),
        _ => bench.consent("alice", pairs).await,
    };
    super::parameter(&location, "code").unwrap()
}

#[tokio::test]
async fn a_proof_binds_the_token_and_a_public_clients_refresh_token() {
    let bench = Bench::new().await;
    let (key, thief, now) = (Signer::es256("c"), Signer::es256("t"), bench.seconds());
    let one = code(&bench, &asked("app", APP)).await;
    let jws = proof(&key, now, &json!({"jti": "1"}));
    let (status, body) = post(&bench, &jws, &redeem("app", APP, &one)).await;
    assert_eq!((status, &body["token_type"]), (200, &json!("DPoP")), "{body}");
    let token = text(&body, "access_token");
    assert_eq!(claims(&token)["cnf"]["jkt"], thumbprint(&key));
    assert!(!bench.is_good(&token).await, "without its key it is worth nothing");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let ath = super::part(hash);
    let jws = proof(&key, now, &json!({"jti": "2", "htu": MCP, "ath": ath}));
    let jws = Secret::new(jws);
    let proof_of = Proof { jws, method: Arc::from("POST"), url: Arc::from(MCP) };
    let shown = Presented {
        token: Some(Secret::new(&*token)),
        proof: Some(proof_of),
        ..Presented::default()
    };
    let known = bench.server.authenticator().authenticate(&shown).await.unwrap();
    assert_eq!(&*known.id, "alice");
    let refresh = text(&body, "refresh_token");
    let pairs =
        [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*refresh)];
    assert_eq!(error(&bench.token(&pairs).await), (400, "invalid_grant"), "no proof");
    let stolen = proof(&thief, now, &json!({"jti": "3"}));
    assert_eq!(error(&post(&bench, &stolen, &pairs).await), (400, "invalid_grant"));
    let own = proof(&key, now, &json!({"jti": "4"}));
    assert_eq!(post(&bench, &own, &pairs).await.0, 200, "and the thief's try cost nothing");
}

#[tokio::test]
async fn a_proof_is_for_this_endpoint_now_and_once() {
    let bench = Bench::new().await;
    let (key, now) = (Signer::es256("c"), bench.seconds());
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "build"),
        ("client_secret", "s3cret of build"),
    ];
    for change in [
        json!({"htm": "GET"}),
        json!({"htu": "https://other.example/oauth/token"}),
        json!({"htu": MCP}),
        json!({"iat": now - 120}),
        json!({"iat": now + 120}),
        json!({"jti": ""}),
    ] {
        let answer = post(&bench, &proof(&key, now, &change), &pairs).await;
        assert_eq!(error(&answer), (400, "invalid_dpop_proof"), "{change}");
    }
    let jws = proof(&key, now, &json!({"jti": "once"}));
    assert_eq!(post(&bench, &jws, &pairs).await.0, 200);
    assert_eq!(error(&post(&bench, &jws, &pairs).await), (400, "invalid_dpop_proof"));
    let (a, b) = (proof(&key, now, &json!({"jti": "a"})), proof(&key, now, &json!({"jti": "b"})));
    let two = bench.post_with("/oauth/token", &[("dpop", &a), ("dpop", &b)], &pairs).await;
    assert_eq!(error(&two), (400, "invalid_dpop_proof"));
}

#[tokio::test]
async fn a_code_that_was_asked_for_with_a_key_is_that_keys() {
    let bench = Bench::new().await;
    let (key, thief, now) = (Signer::es256("c"), Signer::es256("t"), bench.seconds());
    let print = thumbprint(&key);
    let pairs = but(asked("app", APP), &[("dpop_jkt", &print)]);
    for (jws, good) in [
        (None, false),
        (Some(proof(&thief, now, &json!({"jti": "t"}))), false),
        (Some(proof(&key, now, &json!({"jti": "k"}))), true),
    ] {
        let code = code(&bench, &pairs).await;
        let redeem = redeem("app", APP, &code);
        let answer = match &jws {
            Some(jws) => post(&bench, jws, &redeem).await,
            None => bench.token(&redeem).await,
        };
        assert_eq!(answer.0 == 200, good, "{answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_proves_a_client_and_binds_its_tokens() {
    let client = Client::new("mesh", ClientAuth::certificates(["thumb-1"]))
        .with_grants([GrantType::ClientCredentials]);
    let bench = Bench::with(|builder| builder.client(client)).await;
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let ask = |certificate: Option<&'static str>| {
        let (server, headers) = (&bench.server, &headers);
        async move {
            let request = Request {
                method: &Method::POST,
                uri: &"/oauth/token".parse().unwrap(),
                headers,
                body: b"grant_type=client_credentials&client_id=mesh",
                source: None,
                certificate,
            };
            super::read(&server.respond(request).await)
        }
    };
    assert_eq!(error(&ask(None).await), (401, "invalid_client"));
    assert_eq!(error(&ask(Some("thumb-2")).await), (401, "invalid_client"));
    let (status, body) = ask(Some("thumb-1")).await;
    assert_eq!(status, 200, "{body}");
    let token = text(&body, "access_token");
    assert_eq!(claims(&token)["cnf"], json!({"x5t#S256": "thumb-1"}));
    for (certificate, good) in [(None, false), (Some("thumb-2"), false), (Some("thumb-1"), true)] {
        let certificate = certificate.map(Arc::from);
        let token = Some(Secret::new(&*token));
        let shown = Presented { token, certificate, ..Presented::default() };
        let known = bench.server.authenticator().authenticate(&shown).await;
        assert_eq!(known.is_ok(), good);
    }
    let (_, document) = bench.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
}

#[tokio::test]
async fn a_client_of_bound_tokens_gets_no_other() {
    let client = Client::new("strict", ClientAuth::secrets([&Secret::new("x")]))
        .with_grants([GrantType::ClientCredentials])
        .with_bound_tokens();
    let bench = Bench::with(|builder| builder.client(client)).await;
    let pairs =
        [("grant_type", "client_credentials"), ("client_id", "strict"), ("client_secret", "x")];
    assert_eq!(error(&bench.token(&pairs).await), (400, "invalid_dpop_proof"));
    let jws = proof(&Signer::es256("c"), bench.seconds(), &json!({}));
    assert_eq!(post(&bench, &jws, &pairs).await.0, 200);
}
