//! How tokens come, stay and go.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Audience, BoxFuture, CallError, Code, Credentials, Principal, Secret};
use doorward_identity::oauth_client::{
    ClientProof, Grant, IdentityProvider, KnownClient, OAuthClient, OAuthError, Protected, Subjects,
};
use serde_json::json;

use super::world::{ISSUER, MCP, World, basic, parse};
use super::{BEARER, Bench, cookie, cx, visitor};

const HOUR: Duration = Duration::from_hours(1);

fn known(proof: ClientProof) -> KnownClient {
    KnownClient { issuer: ISSUER.into(), id: "ours".into(), proof }
}

fn secret() -> ClientProof {
    ClientProof::Secret(Secret::new("s3:cret"))
}

#[tokio::test]
async fn consent_once_gives_a_token_from_then_on() {
    let bench = Bench::new();
    assert_eq!(bench.token("alice").await, None);
    let error = bench.refused("alice", (401, BEARER), None).await.unwrap_err();
    assert_eq!(error.code, Code::Forbidden);
    let link = error.consent.unwrap();
    assert!(link.starts_with("https://gateway.example/connect/"), "{link}");
    assert!(!link.contains("alice") && !link.contains("as.example"), "{link}");

    let handle = link.rsplit('/').next().unwrap();
    let cookie = cookie("alice");
    let question = bench.client.question(handle, visitor("alice", &cookie)).await.unwrap();
    assert_eq!((&*question.server, &*question.issuer), ("crm", ISSUER));
    let url = bench.client.begin(handle, visitor("alice", &cookie)).await.unwrap();
    let query = parse(url.strip_prefix("https://as.example/authorize?").unwrap());
    assert_eq!(query["resource"], MCP);
    assert_eq!(query["scope"], "contacts");
    assert_eq!(query["redirect_uri"], "https://gateway.example/connect/callback");

    let token = bench.connect("alice").await;
    assert_eq!(bench.token("alice").await.unwrap(), token);
    let exchange = &bench.world.asked_with("authorization_code")[0];
    assert_eq!(exchange.form["resource"], MCP);
    assert_eq!(basic(exchange.authorization.as_deref().unwrap()), "client-1:dcr-secret");
    let registered = &bench.world.state().registered[0];
    assert_eq!(registered["application_type"], "web");
    assert_eq!(registered["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(registered["token_endpoint_auth_method"], "client_secret_basic");
}

#[tokio::test]
async fn other_servers_and_other_refusals_are_not_ours() {
    let bench = Bench::new();
    for (status, challenge) in
        [(403, BEARER), (403, "Bearer error=\"invalid_token\""), (404, BEARER)]
    {
        assert_eq!(bench.refused("alice", (status, challenge), None).await.unwrap(), None);
    }
    assert!(bench.world.state().log.is_empty());
}

#[tokio::test]
async fn a_client_made_by_hand_goes_before_a_document_and_that_before_registering() {
    let document = "https://gateway.example/client.json";
    let cases = [(true, true, "ours"), (false, true, document), (false, false, "client-1")];
    for (by_hand, supported, id) in cases {
        let bench = Bench::with(|builder| {
            let builder = builder.metadata_document(document).server("crm", Protected::new(MCP));
            if by_hand { builder.client(known(secret())) } else { builder }
        });
        bench.world.issuer(ISSUER, &json!({"client_id_metadata_document_supported": supported}));
        let url = bench.start("alice", BEARER, None).await;
        assert_eq!(parse(url.split_once('?').unwrap().1)["client_id"], id);
        let metadata: serde_json::Value =
            serde_json::from_str(&bench.client.client_metadata().unwrap()).unwrap();
        assert_eq!(metadata["client_id"], document);
    }
}

#[tokio::test]
async fn a_server_that_registers_nobody_is_told_to_the_operator() {
    let bench = Bench::new();
    bench.world.issuer(ISSUER, &json!({"registration_endpoint": null}));
    let error = bench.refused("alice", (401, BEARER), None).await.unwrap_err();
    assert!(error.consent.is_none());
    let source = error.source.unwrap();
    let source = source.downcast_ref::<OAuthError>();
    assert!(matches!(source, Some(OAuthError::Unregistered { .. })), "{source:?}");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_its_refresh_token_rotates() {
    let bench = Bench::new();
    let first = bench.connect("alice").await;
    bench.clock.advance(Duration::from_secs(3570));
    // It still holds: nobody waits for the next one.
    assert_eq!(bench.token("alice").await.unwrap(), first);
    let second = loop {
        match bench.token("alice").await.unwrap() {
            token if token == first => tokio::time::sleep(Duration::from_millis(5)).await,
            token => break token,
        }
    };
    bench.clock.advance(HOUR * 2);
    let third = bench.token("alice").await.unwrap();
    assert_ne!(second, third);
    let refreshes = bench.world.asked_with("refresh_token");
    assert_eq!(refreshes.len(), 2);
    assert_ne!(refreshes[0].form["refresh_token"], refreshes[1].form["refresh_token"]);
    assert!(refreshes.iter().all(|asked| asked.form["resource"] == MCP));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_make_one_refresh() {
    let bench = Arc::new(Bench::new());
    let first = bench.connect("alice").await;
    bench.clock.advance(HOUR);
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.token("alice").await })
        })
        .collect();
    for caller in callers {
        assert_ne!(caller.await.unwrap().unwrap(), first);
    }
    assert_eq!(bench.world.asked_with("refresh_token").len(), 1);

    // The same where all were refused: with one token between them.
    let stale = bench.token("alice").await.unwrap();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (bench, stale) = (bench.clone(), stale.clone());
            tokio::spawn(async move { bench.refused("alice", (401, BEARER), Some(&stale)).await })
        })
        .collect();
    for caller in callers {
        assert_ne!(caller.await.unwrap().unwrap().unwrap(), stale);
    }
    assert_eq!(bench.world.asked_with("refresh_token").len(), 2);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_lose_the_rotated_token() {
    let bench = Bench::new();
    bench.connect("alice").await;
    bench.clock.advance(HOUR);
    // The old refresh token has been used up, and nobody waits for the new one.
    let used = async {
        while bench.world.asked_with("refresh_token").is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = used => {}
        _ = bench.token("alice") => panic!("it had the patience"),
    }
    assert!(bench.token("alice").await.is_some());
    assert_eq!(bench.world.asked_with("refresh_token").len(), 1);
}

#[tokio::test]
async fn a_passing_failure_keeps_the_grant_and_is_not_repeated_at_once() {
    let bench = Bench::new();
    bench.connect("alice").await;
    bench.clock.advance(HOUR);
    bench.world.state().down = true;
    for _ in 0..3 {
        let asked = bench.client.credential(&cx("alice"), Audience::Server("crm")).await;
        let asked = asked.unwrap_err();
        assert_eq!(asked.code, Code::Upstream);
        assert!(asked.consent.is_none());
    }
    assert_eq!(bench.world.asked_with("refresh_token").len(), 1);
    bench.world.state().down = false;
    bench.clock.advance(Duration::from_secs(6));
    assert!(bench.token("alice").await.is_some());
}

#[tokio::test]
async fn a_grant_that_is_gone_is_forgotten_and_asked_for_again() {
    let bench = Bench::new();
    bench.connect("alice").await;
    bench.clock.advance(HOUR);
    bench.world.state().next = vec![(400, json!({"error": "invalid_grant"}))];
    assert_eq!(bench.token("alice").await, None);
    assert_eq!(bench.token("alice").await, None);
    assert_eq!(bench.world.asked_with("refresh_token").len(), 1);
    bench.link("alice", BEARER, None).await;
}

#[tokio::test]
async fn a_client_that_is_gone_registers_anew() {
    let bench = Bench::new();
    bench.connect("alice").await;
    bench.clock.advance(HOUR);
    bench.world.state().next = vec![(401, json!({"error": "invalid_client"}))];
    assert_eq!(bench.token("alice").await, None);
    let url = bench.start("alice", BEARER, None).await;
    assert_eq!(parse(url.split_once('?').unwrap().1)["client_id"], "client-2");
}

#[tokio::test]
async fn a_refused_token_is_refreshed_before_anybody_is_asked() {
    let bench = Bench::new();
    let first = bench.connect("alice").await;
    let second = bench.refused("alice", (401, BEARER), Some(&first)).await.unwrap().unwrap();
    assert_ne!(first, second);
    // Whoever still shows the old one gets the new one, without any request.
    let asked = bench.world.state().log.len();
    assert_eq!(bench.refused("alice", (401, BEARER), Some(&first)).await.unwrap(), Some(second));
    assert_eq!(bench.world.state().log.len(), asked);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_does_not_drive_us_in_circles() {
    let bench = Bench::new();
    let mut token = bench.connect("alice").await;
    let error = loop {
        match bench.refused("alice", (401, BEARER), Some(&token)).await {
            Ok(next) => token = next.unwrap(),
            Err(error) => break error,
        }
    };
    assert!(error.consent.is_some());
    assert_eq!(bench.world.asked_with("refresh_token").len(), 3);
}

#[tokio::test]
async fn a_step_up_asks_for_the_union_and_ends() {
    let bench = Bench::new();
    let token = bench.connect("alice").await;
    let challenge = r#"Bearer error="insufficient_scope", scope="contacts.write""#;
    let url = bench.start("alice", challenge, Some(&token)).await;
    assert_eq!(parse(url.split_once('?').unwrap().1)["scope"], "contacts contacts.write");
    let (state, code) = bench.world.consent(&url);
    let (state, code) = (state.as_str(), Some(code.as_str()));
    let callback = super::Callback { state, code, iss: Some(ISSUER), error: None };
    bench.back("alice", callback).await.unwrap();
    let token = bench.token("alice").await.unwrap();
    let error = bench.refused("alice", (403, challenge), Some(&token)).await.unwrap_err();
    assert_eq!((error.code, error.consent), (Code::Forbidden, None));
}

#[tokio::test]
async fn a_burst_of_refusals_is_one_question() {
    let bench = Arc::new(Bench::new());
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.link("alice", BEARER, None).await })
        })
        .collect();
    let mut links = Vec::new();
    for caller in callers {
        links.push(caller.await.unwrap());
    }
    links.dedup();
    assert_eq!(links.len(), 1);
    assert_eq!(bench.world.state().registered.len(), 1);
    assert_ne!(bench.link("bob", BEARER, None).await, links[0]);
}

#[tokio::test]
async fn a_shared_server_has_one_token_for_all() {
    let shared = Protected::new(MCP).shared();
    let bench = Bench::with(|builder| builder.server("crm", shared));
    let token = bench.connect("alice").await;
    assert_eq!(bench.token("bob").await.unwrap(), token);
}

#[tokio::test]
async fn the_gateway_as_itself_needs_nobody() {
    let server =
        Protected::new(MCP).with_grant(Grant::ClientCredentials).with_client(known(secret()));
    let bench = Bench::with(|builder| builder.server("crm", server));
    assert_eq!(bench.token("alice").await, None);
    let token = bench.refused("alice", (401, BEARER), None).await.unwrap().unwrap();
    assert_eq!(bench.token("bob").await.unwrap(), token);
    bench.clock.advance(HOUR * 2);
    assert_ne!(bench.token("bob").await.unwrap(), token);
    let asked = bench.world.asked_with("client_credentials");
    assert_eq!(asked.len(), 2);
    assert_eq!(basic(asked[0].authorization.as_deref().unwrap()), "ours:s3%3Acret");
    assert!(asked.iter().all(|asked| asked.form["resource"] == MCP));
    assert!(asked.iter().all(|asked| asked.form["scope"] == "contacts"));
}

#[tokio::test]
async fn a_server_that_refuses_the_gateway_itself_stays_refused() {
    let server = Protected::new(MCP).with_grant(Grant::ClientCredentials);
    let server = server.with_client(known(secret()));
    let bench = Bench::with(|builder| builder.server("crm", server));
    let (mut shown, mut got) = (None, 0);
    while let Some(token) = bench.refused("alice", (401, BEARER), shown.as_deref()).await.unwrap() {
        (shown, got) = (Some(token), got + 1);
        assert!(got < 10);
    }
    assert_eq!(got, 3);
    bench.clock.advance(Duration::from_mins(1));
    let token = bench.refused("alice", (401, BEARER), shown.as_deref()).await.unwrap();
    assert!(token.is_some());
}

#[tokio::test]
async fn a_gateway_that_moved_registers_its_new_redirect() {
    let bench = Bench::new();
    bench.link("alice", BEARER, None).await;
    let parts = super::parts(&bench.world, &bench.store, &bench.clock);
    let client = OAuthClient::builder("https://moved.example", parts);
    let client = client.server("crm", Protected::new(MCP)).build().unwrap();
    let bench = Bench { client, ..bench };
    assert!(bench.refused("alice", (401, BEARER), None).await.is_err());
    let state = bench.world.state();
    let uris: Vec<_> = state.registered.iter().map(|client| &client["redirect_uris"][0]).collect();
    assert_eq!(
        uris,
        ["https://gateway.example/connect/callback", "https://moved.example/connect/callback",]
    );
}

#[tokio::test]
async fn a_secret_goes_into_the_form_where_no_header_is_taken() {
    let server =
        Protected::new(MCP).with_grant(Grant::ClientCredentials).with_client(known(secret()));
    let bench = Bench::with(|builder| builder.server("crm", server));
    let methods = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    bench.world.issuer(ISSUER, &methods);
    bench.refused("alice", (401, BEARER), None).await.unwrap().unwrap();
    let asked = &bench.world.asked_with("client_credentials")[0];
    assert_eq!((&*asked.form["client_id"], &*asked.form["client_secret"]), ("ours", "s3:cret"));
    assert_eq!(asked.authorization, None);
}

#[derive(Debug)]
struct SignedIn;

impl Subjects for SignedIn {
    fn id_token<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> BoxFuture<'a, Result<Option<Secret>, CallError>> {
        let token = (&*principal.id == "alice").then(|| Secret::new("alice's ID token"));
        Box::pin(async move { Ok(token) })
    }
}

#[tokio::test]
async fn the_identity_provider_vouches_for_each_principal() {
    let client = KnownClient { issuer: "https://idp.example".into(), ..known(ClientProof::None) };
    let token_endpoint = "https://idp.example/token".to_owned();
    let provider = IdentityProvider { token_endpoint, client, subjects: Arc::new(SignedIn) };
    let server =
        Protected::new(MCP).with_grant(Grant::Enterprise(provider)).with_client(known(secret()));
    let bench = Bench::with(|builder| builder.server("crm", server));
    let id_jag = "urn:ietf:params:oauth:token-type:id-jag";
    let vouched = json!({"access_token": "jag", "issued_token_type": id_jag, "token_type": "N_A"});
    bench.world.state().next = vec![(200, vouched)];
    bench.refused("alice", (401, BEARER), None).await.unwrap().unwrap();
    let exchange = &bench.world.asked_with("urn:ietf:params:oauth:grant-type:token-exchange")[0];
    assert_eq!(exchange.url, "https://idp.example/token");
    assert_eq!(exchange.form["subject_token"], "alice's ID token");
    assert_eq!((&*exchange.form["audience"], &*exchange.form["resource"]), (ISSUER, MCP));
    let bearer = &bench.world.asked_with("urn:ietf:params:oauth:grant-type:jwt-bearer")[0];
    assert_eq!(bearer.form["assertion"], "jag");
    assert_eq!(bench.token("bob").await, None);
    assert!(bench.refused("bob", (401, BEARER), None).await.is_err());
}

#[tokio::test]
async fn another_authorization_server_means_another_registration() {
    let bench = Bench::new();
    let token = bench.connect("alice").await;
    let other = "https://other.example";
    bench.world.issuer(other, &json!({}));
    bench.world.resource(&json!({"resource": MCP, "authorization_servers": [other]}));
    let url = bench.start("alice", BEARER, Some(&token)).await;
    let query = parse(url.strip_prefix("https://other.example/authorize?").unwrap());
    assert_eq!(query["client_id"], "client-2");
    assert!(bench.world.asked_with("refresh_token").is_empty());
}

#[tokio::test]
async fn a_disconnected_user_is_asked_again() {
    let bench = Bench::new();
    bench.connect("alice").await;
    assert!(bench.client.disconnect(&Principal::person("alice"), "crm").await.unwrap());
    assert!(!bench.client.disconnect(&Principal::person("alice"), "crm").await.unwrap());
    assert_eq!(bench.token("alice").await, None);
}

#[tokio::test]
async fn a_server_of_2025_03_26_is_its_own_authorization_server() {
    let bench = Bench::new();
    bench.world.state().documents.clear();
    let url = bench.start("alice", BEARER, None).await;
    assert!(url.starts_with("https://crm.example/authorize?"), "{url}");
    let (state, code) = bench.world.consent(&url);
    let callback = super::Callback { state: &state, code: Some(&code), ..Default::default() };
    bench.back("alice", callback).await.unwrap();
    bench.clock.advance(HOUR);
    assert!(bench.token("alice").await.is_some());
    let asked = bench.world.state().asked.clone();
    assert!(asked.iter().all(|asked| asked.url == "https://crm.example/token"));
}

#[tokio::test]
async fn metadata_is_looked_for_in_the_order_of_the_specification() {
    let bench = Bench::new();
    bench.world.state().documents.clear();
    let issuer = "https://as.example/tenant";
    bench.world.document(
        "https://crm.example/.well-known/oauth-protected-resource",
        json!({
            "resource": "https://crm.example", "authorization_servers": [issuer],
        }),
    );
    bench.world.document(format!("{issuer}/.well-known/openid-configuration"), json!({
        "issuer": issuer, "authorization_endpoint": "https://as.example/a",
        "token_endpoint": "https://as.example/t", "registration_endpoint": "https://as.example/r",
        "code_challenge_methods_supported": ["plain", "S256"],
    }));
    let url = bench.start("alice", BEARER, None).await;
    assert_eq!(parse(url.split_once('?').unwrap().1)["resource"], "https://crm.example");
    assert_eq!(
        bench.world.state().log,
        [
            "https://crm.example/.well-known/oauth-protected-resource/mcp",
            "https://crm.example/.well-known/oauth-protected-resource",
            "https://as.example/.well-known/oauth-authorization-server/tenant",
            "https://as.example/.well-known/openid-configuration/tenant",
            "https://as.example/tenant/.well-known/openid-configuration",
            "https://as.example/r",
        ]
    );
}

#[test]
fn a_configuration_that_cannot_be_safe_is_refused() {
    let world = World::new();
    let store = Arc::default();
    let clock = Arc::default();
    let builder = || super::builder(&world, &store, &clock);
    assert!(builder().server("x", Protected::new("http://crm.example/mcp")).build().is_err());
    assert!(builder().server("x", Protected::new("https://127.0.0.1/mcp")).build().is_err());
    let twice = builder().server("x", Protected::new(MCP)).server("x", Protected::new(MCP));
    assert!(twice.build().is_err());
    for document in ["http://g.example/c", "https://g.example", "https://g.example/", "c.json"] {
        assert!(builder().metadata_document(document).build().is_err(), "{document}");
    }
}
