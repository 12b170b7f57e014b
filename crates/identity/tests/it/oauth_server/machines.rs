//! Clients that act by themselves, by an assertion, or with somebody's token.

use std::time::Duration;

use doorward_core::PrincipalKind;
use doorward_identity::Guesses;
use doorward_identity::oauth_server::{Client, ClientAuth, GrantType};
use serde_json::{Value, json};

use super::{APP, Bench, CRM, IDP, MCP, US, claims, error, text};
use crate::jwt::idp::{Signer, part};

const CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");
const ASSERTION: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
const BEARER: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
const EXCHANGE: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const BUILD: [(&str, &str); 2] = [("client_id", "build"), ("client_secret", "s3cret of build")];

/// Members over others; null leaves one out.
fn merged(mut over: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            over.as_object_mut().unwrap().remove(name);
        } else {
            over[name] = value.clone();
        }
    }
    over
}

async fn keyed(signer: &Signer) -> Bench {
    let keys = json!({"keys": [signer.jwk()]}).to_string();
    let client = Client::new("robot", ClientAuth::keys(&keys).unwrap())
        .with_grants([GrantType::ClientCredentials])
        .with_scopes(["read"]);
    Bench::with(|builder| builder.client(client)).await
}

async fn asserts(bench: &Bench, assertion: &str) -> (u16, Value) {
    bench.token(&[CREDENTIALS, ASSERTION, ("client_assertion", assertion)]).await
}

#[tokio::test]
async fn a_machine_has_its_own_principal_and_no_refresh_token() {
    let bench = Bench::new().await;
    let (status, body) = bench.token(&[CREDENTIALS, BUILD[0], BUILD[1]]).await;
    assert_eq!(status, 200);
    assert!(body.get("refresh_token").is_none());
    let principal = bench.show(&text(&body, "access_token")).await.unwrap();
    assert_eq!((&*principal.id, principal.kind), ("nightly-build", PrincipalKind::Service));
    assert_eq!(principal.team.as_deref(), Some("platform"));
    for (resource, scope, wanted) in [
        (CRM, "read", (200, "")),
        (CRM, "tools", (400, "invalid_scope")),
        ("https://elsewhere.example/mcp", "read", (400, "invalid_target")),
        (US, "read", (400, "invalid_target")),
    ] {
        let pairs = [CREDENTIALS, BUILD[0], BUILD[1], ("resource", resource), ("scope", scope)];
        let answer = bench.token(&pairs).await;
        assert_eq!(error(&answer), wanted, "{resource} {scope}");
    }
}

#[tokio::test]
async fn a_client_with_a_key_signs_for_us_alone_for_now_and_once() {
    for signer in [Signer::es256("c1"), Signer::rsa("c1"), Signer::ed25519("c1")] {
        let bench = keyed(&signer).await;
        let now = bench.seconds();
        let usual = json!({
            "iss": "robot", "sub": "robot", "aud": US, "iat": now, "exp": now + 60, "jti": "a",
        });
        let endpoint = format!("{US}/oauth/token");
        for (nth, (change, good)) in [
            (json!({}), true),
            (json!({"aud": endpoint}), true),
            (json!({"aud": [US]}), true),
            (json!({"aud": [US, "https://other.example"]}), false),
            (json!({"aud": "https://gateway.example/"}), false),
            (json!({"aud": "https://other.example"}), false),
            (json!({"aud": null}), false),
            (json!({"iss": "build"}), false),
            (json!({"sub": "build"}), false),
            (json!({"exp": null}), false),
            (json!({"exp": now - 31}), false),
            (json!({"exp": now + 86_400}), false),
            (json!({"nbf": now + 300}), false),
            (json!({"iat": now + 300}), false),
        ]
        .into_iter()
        .enumerate()
        {
            let id = json!({"jti": format!("j-{nth}")});
            let token = signer.token(&merged(merged(usual.clone(), &id), &change));
            assert_eq!(asserts(&bench, &token).await.0, if good { 200 } else { 401 }, "{change}");
        }
        assert_eq!(
            asserts(&bench, &signer.token(&merged(usual.clone(), &json!({"jti": null})))).await.0,
            401
        );
        let once = signer.token(&usual);
        assert_eq!(asserts(&bench, &once).await.0, 200);
        assert_eq!(error(&asserts(&bench, &once).await), (401, "invalid_client"), "jti replay");
    }
}

#[tokio::test]
async fn alg_none_and_hs256_assertions_are_refused() {
    let signer = Signer::es256("c1");
    let bench = keyed(&signer).await;
    let now = bench.seconds();
    let said = json!({
        "iss": "robot", "sub": "robot", "aud": US, "iat": now, "exp": now + 60, "jti": "n",
    });
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            part(json!({"alg": alg, "kid": "c1"}).to_string()),
            part(said.to_string())
        )
    };
    let thief = Signer::es256("c1");
    for token in [
        unsigned("none"),
        unsigned("HS256"),
        signer.token_with(&json!({"alg": "HS256"}), &said),
        thief.token(&said),
        signer.token_with(&json!({"jwk": thief.jwk()}), &said),
        signer.token_with(&json!({"jku": "https://evil.example/keys"}), &said),
        signer.token_with(&json!({"kid": "c2"}), &said),
        signer.token_with(&json!({"typ": "at+jwt"}), &said),
        "x".to_owned(),
    ] {
        assert_eq!(error(&asserts(&bench, &token).await), (401, "invalid_client"), "{token}");
    }
    assert_eq!(asserts(&bench, &signer.token(&said)).await.0, 200);
}

/// An ID-JAG that is right, with these changes.
fn jag(bench: &Bench, header: &Value, change: &Value) -> String {
    let now = bench.seconds();
    let usual = json!({
        "iss": IDP, "sub": "00u1", "aud": US, "client_id": "build", "resource": MCP,
        "scope": "tools read", "iat": now, "exp": now + 300, "jti": "j-1",
    });
    let header = merged(json!({"typ": "oauth-id-jag+jwt"}), header);
    bench.idp.token_with(&header, &merged(usual, change))
}

async fn redeems(bench: &Bench, assertion: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut pairs = vec![BEARER, BUILD[0], BUILD[1], ("assertion", assertion)];
    pairs.extend_from_slice(more);
    bench.token(&pairs).await
}

#[tokio::test]
async fn an_identity_assertion_brings_a_token_for_the_person() {
    let bench = Bench::new().await;
    let change = json!({"groups": ["engineering"], "jti": "g"});
    let (status, body) = redeems(&bench, &jag(&bench, &json!({}), &change), &[]).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.get("refresh_token").is_none());
    assert_eq!(body["scope"], "tools read");
    let principal = bench.show(&text(&body, "access_token")).await.unwrap();
    assert_eq!(
        (&*principal.id, principal.kind),
        ("https://idp.example|00u1", PrincipalKind::Person)
    );
    let identity = principal.identity.as_ref().unwrap();
    assert_eq!(identity.is_in("engineering"), Some(true));
    assert_eq!(identity.client.as_deref(), Some("build"));
    let less = jag(&bench, &json!({}), &json!({"jti": "l"}));
    let (_, body) = redeems(&bench, &less, &[("scope", "read")]).await;
    assert_eq!(body["scope"], "read");
}

#[tokio::test]
async fn an_identity_assertion_is_for_us_our_client_our_resource_and_once() {
    let most = Guesses { most: None, ..Guesses::default() };
    let bench = Bench::with(|builder| builder.guesses(most)).await;
    let now = bench.seconds();
    let (none, grant, target) = (json!({}), "invalid_grant", "invalid_target");
    let elsewhere = "https://elsewhere.example/mcp";
    for (nth, (header, change, wanted)) in [
        (json!({"typ": "JWT"}), json!({}), grant),
        (json!({"typ": "at+jwt"}), json!({}), grant),
        (json!({"typ": null}), json!({}), grant),
        (none.clone(), json!({"aud": MCP}), grant),
        (none.clone(), json!({"aud": "api://doorward"}), grant),
        (none.clone(), json!({"aud": [US, "https://other.example"]}), grant),
        (none.clone(), json!({"client_id": "web"}), grant),
        (none.clone(), json!({"client_id": null}), grant),
        (none.clone(), json!({"resource": elsewhere}), target),
        (none.clone(), json!({"resource": [elsewhere, 7]}), target),
        (none.clone(), json!({"resource": 7}), grant),
        (none.clone(), json!({"scope": "admin"}), "invalid_scope"),
        (none.clone(), json!({"iss": "https://evil.example"}), grant),
        (none.clone(), json!({"exp": now - 120}), grant),
        (none.clone(), json!({"exp": now + 86_400}), grant),
        (none.clone(), json!({"exp": null}), grant),
        (none.clone(), json!({"jti": null}), grant),
        (none.clone(), json!({"sub": null}), grant),
        (none.clone(), json!({"sub": "build"}), grant),
        (none.clone(), json!({"cnf": {"jkt": "of somebody's key"}}), grant),
    ]
    .into_iter()
    .enumerate()
    {
        let mut change = change;
        if change.get("jti").is_none() {
            change["jti"] = format!("n-{nth}").into();
        }
        let answer = redeems(&bench, &jag(&bench, &header, &change), &[]).await;
        assert_eq!(error(&answer), (400, wanted), "{header} {change}");
    }
    let thief = Signer::es256("idp-1");
    let said = claims(&jag(&bench, &none, &json!({"jti": "t"})));
    let forged = thief.token_with(&json!({"typ": "oauth-id-jag+jwt"}), &said);
    assert_eq!(error(&redeems(&bench, &forged, &[]).await), (400, "invalid_grant"));
    let once = jag(&bench, &json!({}), &json!({"jti": "once"}));
    assert_eq!(redeems(&bench, &once, &[("resource", CRM)]).await.0, 400, "another resource");
    assert_eq!(redeems(&bench, &once, &[]).await.0, 200);
    assert_eq!(error(&redeems(&bench, &once, &[]).await), (400, "invalid_grant"), "jti replay");
    let web =
        [BEARER, ("client_id", "web"), ("client_secret", "s3cret of web"), ("assertion", "x")];
    assert_eq!(error(&bench.token(&web).await), (400, "unauthorized_client"), "not declared");
}

async fn exchanges(bench: &Bench, subject: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut pairs = vec![
        EXCHANGE,
        BUILD[0],
        BUILD[1],
        ("subject_token", subject),
        ("subject_token_type", ACCESS),
    ];
    pairs.extend_from_slice(more);
    bench.token(&pairs).await
}

#[tokio::test]
async fn an_exchanged_token_says_for_whom_and_by_whom() {
    let bench = Bench::new().await;
    let (alices, _) = bench.tokens("alice", "app", APP).await;
    bench.clock.advance(Duration::from_mins(4));
    let (status, body) = exchanges(&bench, &alices, &[("resource", CRM)]).await;
    assert_eq!((status, &body["issued_token_type"]), (200, &json!(ACCESS)), "{body}");
    assert_eq!(body["expires_in"], 360, "it ends with the one that it is for");
    let token = text(&body, "access_token");
    let said = claims(&token);
    assert_eq!(
        (&said["sub"], &said["aud"], &said["act"]),
        (&json!("alice"), &json!(CRM), &json!({"sub": "nightly-build"}))
    );
    let principal = bench.show(&token).await.unwrap();
    let actors: Vec<_> = principal.actors.iter().map(|actor| &*actor.id).collect();
    assert_eq!((&*principal.id, actors), ("alice", vec!["nightly-build"]));
    assert!(!principal.scopes.allows_tool("tracker__close"), "`read` is what there is at crm");
    // What is revoked for alice is revoked for those who act for her.
    bench.server.revoke_principal("alice").await.unwrap();
    assert!(!bench.is_good(&token).await);
}

#[tokio::test]
async fn an_exchange_never_widens_what_a_token_allows() {
    let bench = Bench::new().await;
    let pairs = super::but(super::asked("app", APP), &[("scope", "read")]);
    let location = bench.consent("alice", &pairs).await;
    let code = super::parameter(&location, "code").unwrap();
    let (_, body) = bench.token(&super::redeem("app", APP, &code)).await;
    let narrow = text(&body, "access_token");
    assert_eq!(
        error(&exchanges(&bench, &narrow, &[("scope", "tools")]).await),
        (400, "invalid_scope")
    );
    let (_, body) = exchanges(&bench, &narrow, &[]).await;
    assert_eq!(body["scope"], "read");
    let chained = text(&body, "access_token");
    let (_, body) =
        exchanges(&bench, &chained, &[("actor_token", &chained), ("actor_token_type", ACCESS)])
            .await;
    let act = &claims(&text(&body, "access_token"))["act"];
    assert_eq!(*act, json!({"sub": "nightly-build"}), "alice acts for herself: {act}");
    let (_, own) = bench.token(&[CREDENTIALS, BUILD[0], BUILD[1]]).await;
    let own = text(&own, "access_token");
    let (_, body) =
        exchanges(&bench, &chained, &[("actor_token", &own), ("actor_token_type", ACCESS)]).await;
    assert_eq!(claims(&text(&body, "access_token"))["act"], json!({"sub": "nightly-build"}));
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_is_exchanged_and_no_other() {
    let bench = Bench::new().await;
    let now = bench.seconds();
    let usual = json!({
        "iss": IDP, "aud": "api://doorward", "sub": "00u1", "azp": "0oa1", "iat": now,
        "exp": now + 300, "act": {"sub": "portal"},
    });
    let (status, body) = exchanges(&bench, &bench.idp.token(&usual), &[]).await;
    assert_eq!(status, 200, "{body}");
    let act = &claims(&text(&body, "access_token"))["act"];
    assert_eq!(
        *act,
        json!({"sub": "nightly-build", "act": {"sub": "portal"}}),
        "the chain is kept"
    );
    let thief = Signer::es256("idp-1");
    for token in [
        bench.idp.token(&merged(usual.clone(), &json!({"aud": "api://other"}))),
        bench.idp.token(&merged(usual.clone(), &json!({"iss": "https://evil.example"}))),
        bench.idp.token(&merged(usual.clone(), &json!({"exp": now - 120}))),
        bench.idp.token(&merged(usual.clone(), &json!({"nonce": "of an ID token"}))),
        bench.idp.token(&merged(usual.clone(), &json!({"may_act": {"sub": "somebody"}}))),
        bench.idp.token(&merged(usual.clone(), &json!({"cnf": {"jkt": "x"}}))),
        jag(&bench, &json!({}), &json!({})),
        thief.token(&usual),
        "nonsense".to_owned(),
    ] {
        assert_eq!(error(&exchanges(&bench, &token, &[]).await), (400, "invalid_grant"), "{token}");
    }
    let signed_in = bench.idp.token(&merged(usual.clone(), &json!({"nonce": "n"})));
    let kind = ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");
    let pairs = [EXCHANGE, BUILD[0], BUILD[1], ("subject_token", &signed_in), kind];
    assert_eq!(
        error(&bench.token(&pairs).await),
        (400, "invalid_grant"),
        "no ID tokens of this issuer"
    );
    let saml = ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2");
    let pairs = [EXCHANGE, BUILD[0], BUILD[1], ("subject_token", &signed_in), saml];
    assert_eq!(error(&bench.token(&pairs).await), (400, "invalid_request"));
    let allowed = merged(usual, &json!({"may_act": {"sub": "nightly-build"}}));
    assert_eq!(exchanges(&bench, &bench.idp.token(&allowed), &[]).await.0, 200);
}
