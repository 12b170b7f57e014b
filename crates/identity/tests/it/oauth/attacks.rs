//! What strangers may try: each attack by its name.

use doorward_core::{Audience, Credential, Credentials, Refusal, Secret};
use doorward_identity::oauth_client::{Callback, ClientProof, KnownClient, OAuthError, Protected};
use serde_json::{Value, json};

use super::world::{ISSUER, MCP, parse};
use super::{BEARER, Bench, builder, cookie, cx, visitor};

fn cause(error: &doorward_core::CallError) -> &OAuthError {
    let source = error.source.as_deref().and_then(|source| source.downcast_ref());
    source.unwrap_or_else(|| panic!("{error:?}"))
}

/// A refusal that leads nowhere because of what was found.
async fn stopped(bench: &Bench, challenge: &str) -> String {
    let error = bench.refused("alice", (401, challenge), None).await.unwrap_err();
    assert!(error.consent.is_none(), "{error:?}");
    format!("{:?}", cause(&error))
}

#[tokio::test]
async fn pkce_downgrade() {
    for methods in [Value::Null, json!([]), json!(["plain"]), json!(["s256"])] {
        let bench = Bench::new();
        bench.world.issuer(ISSUER, &json!({"code_challenge_methods_supported": methods}));
        let why = stopped(&bench, BEARER).await;
        assert!(why.contains("PKCE"), "{why}");
    }
}

#[tokio::test]
async fn mix_up_of_authorization_servers() {
    let answers = [
        (Some("https://evil.example"), None),
        (Some("https://as.example/"), None),
        (Some("HTTPS://as.example"), None),
        (Some(""), None),
        (None, None),
        (Some("https://evil.example"), Some("access_denied")),
    ];
    for (iss, error) in answers {
        let bench = Bench::new();
        let url = bench.start("alice", BEARER, None).await;
        let (state, code) = bench.world.consent(&url);
        let callback = Callback { state: &state, code: Some(&code), iss, error };
        let refused = bench.back("alice", callback).await.unwrap_err();
        assert!(refused.to_string().contains("answer"), "{refused}");
        assert!(bench.world.state().asked.is_empty(), "{iss:?}");
        // And the sign-in is used up.
        let again = Callback { state: &state, code: Some(&code), iss: Some(ISSUER), error: None };
        assert!(bench.back("alice", again).await.is_err());
    }
}

#[tokio::test]
async fn resource_mismatch() {
    let bench = Bench::new();
    for resource in ["https://evil.example/mcp", "https://crm.example/mcpx", "", "crm"] {
        bench.world.resource(&json!({"resource": resource, "authorization_servers": [ISSUER]}));
        let why = stopped(&bench, BEARER).await;
        assert!(why.contains("another resource"), "{why}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer() {
    let bench = Bench::new();
    for issuer in ["https://evil.example", "https://as.example/"] {
        bench.world.issuer(ISSUER, &json!({"issuer": issuer}));
        assert!(stopped(&bench, BEARER).await.contains("another issuer"));
    }
}

#[tokio::test]
async fn open_redirect_in_metadata() {
    let at = "https://as.example/.well-known/oauth-authorization-server";
    for to in [
        "https://evil.example/metadata",
        "https://169.254.169.254/",
        "http://as.example/x",
        "//evil.example/x",
        "https://as.example:8443/x",
    ] {
        let bench = Bench::new();
        bench.world.redirect(at, to);
        stopped(&bench, BEARER).await;
        assert_eq!(bench.world.state().log.last().unwrap(), at, "{to}");
    }
    let bench = Bench::new();
    bench.world.redirect(at, at);
    assert!(stopped(&bench, BEARER).await.contains("too often"));
    // Within the origin it may move.
    let bench = Bench::new();
    let moved = bench.world.state().documents[at].2.clone();
    bench.world.document("https://as.example/moved", moved);
    bench.world.redirect(at, "/moved");
    bench.link("alice", BEARER, None).await;
}

#[tokio::test]
async fn ssrf_by_resource_metadata() {
    for url in [
        "http://crm.example/prm",
        "https://127.0.0.1/prm",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://10.0.0.1:8443/",
        "file:///etc/passwd",
        "https://user@crm.example/",
        "gopher://crm.example/",
    ] {
        let bench = Bench::new();
        let challenge = format!(r#"Bearer resource_metadata="{url}""#);
        let why = stopped(&bench, &challenge).await;
        assert!(why.starts_with("Address"), "{url}: {why}");
        assert!(bench.world.state().log.is_empty(), "{url}");
    }
}

#[tokio::test]
async fn ssrf_by_authorization_server() {
    for url in ["http://as.example", "https://192.168.0.1", "https://[fd00::1]/x", "x"] {
        let bench = Bench::new();
        bench.world.resource(&json!({"resource": MCP, "authorization_servers": [url]}));
        assert!(stopped(&bench, BEARER).await.starts_with("Address"), "{url}");
        assert_eq!(bench.world.state().log.len(), 1);
    }
    for endpoint in ["token_endpoint", "registration_endpoint", "authorization_endpoint"] {
        for url in ["https://127.0.0.1/x", "http://as.example/x", "javascript:alert(1)"] {
            let bench = Bench::new();
            bench.world.issuer(ISSUER, &json!({ endpoint: url }));
            assert!(stopped(&bench, BEARER).await.starts_with("Address"), "{endpoint} {url}");
        }
    }
}

#[tokio::test]
async fn the_secret_of_a_client_goes_to_no_other_issuer() {
    let proof = ClientProof::Secret(Secret::new("hunter2"));
    let client = KnownClient { issuer: ISSUER.into(), id: "ours".into(), proof };
    let server = Protected::new(MCP).with_client(client);
    let bench = Bench::with(|builder| builder.server("crm", server));
    let evil = "https://evil.example";
    bench.world.issuer(evil, &json!({}));
    bench.world.resource(&json!({"resource": MCP, "authorization_servers": [evil]}));
    let url = bench.start("alice", BEARER, None).await;
    assert_ne!(parse(url.split_once('?').unwrap().1)["client_id"], "ours");
    let (state, code) = bench.world.consent(&url);
    let callback = Callback { state: &state, code: Some(&code), iss: Some(evil), error: None };
    bench.back("alice", callback).await.unwrap();
    assert!(!format!("{:?}", bench.world.state()).contains("hunter2"));
}

#[tokio::test]
async fn the_token_of_another_principal_is_never_used() {
    let bench = Bench::new();
    let hers = bench.connect("alice").await;
    assert_eq!(bench.token("bob").await, None);
    // Not even where Bob shows it.
    let link = bench.refused("bob", (401, BEARER), Some(&hers)).await.unwrap_err();
    assert!(link.consent.is_some());
    assert!(bench.world.asked_with("refresh_token").is_empty());
    let his = bench.connect("bob").await;
    assert_ne!(hers, his);
    assert_eq!(bench.token("alice").await.unwrap(), hers);
}

#[tokio::test]
async fn the_token_of_another_resource_is_never_used() {
    let bench = Bench::new();
    bench.connect("alice").await;
    let moved = Protected::new("https://evil.example/mcp");
    let client = builder(&bench.world, &bench.store, &bench.clock).server("crm", moved);
    let client = client.build().unwrap();
    let token = client.credential(&cx("alice"), Audience::Server("crm")).await.unwrap();
    assert!(token.is_none());
    let upstream = bench.client.credential(&cx("alice"), Audience::Upstream("crm")).await.unwrap();
    assert!(upstream.is_none());
}

#[tokio::test]
async fn a_refusal_from_elsewhere_says_nothing() {
    let bench = Bench::new();
    let challenges = [r#"Bearer resource_metadata="https://evil.example/prm""#.to_owned()];
    let url = "https://evil.example/mcp";
    let refusal = Refusal { status: 401, url, challenges: &challenges, shown: None };
    let audience = Audience::Server("crm");
    let token = bench.client.refused(&cx("alice"), audience, refusal).await.unwrap();
    assert!(token.is_none() && bench.world.state().log.is_empty());
}

#[tokio::test]
async fn state_replay() {
    let bench = Bench::new();
    let url = bench.start("alice", BEARER, None).await;
    let (state, code) = bench.world.consent(&url);
    let callback = Callback { state: &state, code: Some(&code), iss: Some(ISSUER), error: None };
    bench.back("alice", callback).await.unwrap();
    let token = bench.token("alice").await;
    assert!(matches!(bench.back("alice", callback).await, Err(OAuthError::SignIn(_))));
    assert_eq!(bench.world.asked_with("authorization_code").len(), 1);
    assert_eq!(bench.token("alice").await, token);
    for state in ["", "x", &state[1..]] {
        assert!(bench.back("alice", Callback { state, ..callback }).await.is_err());
    }
}

#[tokio::test]
async fn a_sign_in_ends() {
    let bench = Bench::new();
    let handle = bench.link("alice", BEARER, None).await;
    let cookie = cookie("alice");
    let url = bench.client.begin(&handle, visitor("alice", &cookie)).await.unwrap();
    bench.clock.advance(std::time::Duration::from_mins(10));
    let (state, code) = bench.world.consent(&url);
    let callback = Callback { state: &state, code: Some(&code), iss: Some(ISSUER), error: None };
    assert!(matches!(bench.back("alice", callback).await, Err(OAuthError::SignIn(_))));
    let late = bench.client.begin(&handle, visitor("alice", &cookie)).await;
    assert!(matches!(late, Err(OAuthError::SignIn(_))));
}

#[tokio::test]
async fn a_link_sent_to_somebody_else() {
    let bench = Bench::new();
    let handle = bench.link("mallory", BEARER, None).await;
    let hers = cookie("alice");
    for (principal, session) in [("alice", &hers), ("", &hers), ("Mallory", &hers)] {
        let visitor = visitor(principal, session);
        assert!(matches!(
            bench.client.question(&handle, visitor).await,
            Err(OAuthError::SignIn(_))
        ));
        assert!(matches!(bench.client.begin(&handle, visitor).await, Err(OAuthError::SignIn(_))));
    }
}

#[tokio::test]
async fn a_callback_in_another_browser() {
    for (principal, session) in
        [("alice", cookie("alice")), ("mallory", cookie("alice")), ("alice", cookie("mallory"))]
    {
        let bench = Bench::new();
        let url = bench.start("mallory", BEARER, None).await;
        let (state, code) = bench.world.consent(&url);
        let callback =
            Callback { state: &state, code: Some(&code), iss: Some(ISSUER), error: None };
        let done = bench.client.finish(callback, visitor(principal, &session)).await;
        assert!(matches!(done, Err(OAuthError::SignIn(_))));
        assert!(bench.world.state().asked.is_empty());
        assert_eq!(bench.token("alice").await, None);
    }
}

#[tokio::test]
async fn a_handle_is_no_state_and_a_state_no_handle() {
    let bench = Bench::new();
    let handle = bench.link("alice", BEARER, None).await;
    let url = bench.start("alice", BEARER, None).await;
    let (state, code) = bench.world.consent(&url);
    let as_state = Callback { state: &handle, code: Some(&code), iss: Some(ISSUER), error: None };
    assert!(bench.back("alice", as_state).await.is_err());
    let cookie = cookie("alice");
    assert!(bench.client.begin(&state, visitor("alice", &cookie)).await.is_err());
}

#[tokio::test]
async fn tokens_that_are_not_bearer_tokens_and_answers_that_are_none() {
    for answer in [
        (200, json!({"access_token": "t", "token_type": "DPoP"})),
        (200, json!({"token_type": "Bearer"})),
        (200, json!({"access_token": "", "token_type": "Bearer"})),
        (200, json!("access_token")),
        (302, json!({"access_token": "t"})),
        (200, json!({"error": "invalid_grant", "access_token": "t"})),
    ] {
        let bench = Bench::new();
        let url = bench.start("alice", BEARER, None).await;
        let (state, code) = bench.world.consent(&url);
        bench.world.state().next = vec![answer];
        let callback =
            Callback { state: &state, code: Some(&code), iss: Some(ISSUER), error: None };
        assert!(bench.back("alice", callback).await.is_err());
        assert_eq!(bench.token("alice").await, None);
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let bench = Bench::new();
    let url = bench.start("alice", BEARER, None).await;
    let (state, code) = bench.world.consent(&url);
    let iss = Some("https://evil.example\n\u{1b}[2J");
    let callback = Callback { state: &state, code: Some(&code), iss, error: Some("e\nvil") };
    let error = bench.back("alice", callback).await.unwrap_err();
    let token = bench.connect("alice").await;
    let error = format!("{error:?} {error} {callback:?}");
    assert!(!error.contains('\n') && !error.contains(&*state) && !error.contains(&*code));
    let all = format!("{:?} {:?}", bench.client, bench.store);
    for secret in [&*token, "dcr-secret", "once-", &*state] {
        assert!(!all.contains(secret), "{secret}");
    }
    let strange = json!({"error": format!("x\n\u{7}{}", "y".repeat(5000))});
    bench.world.state().next = vec![(400, strange)];
    let shown = Credential::Key(Secret::new(token));
    let challenges = [BEARER.to_owned()];
    let refusal = Refusal { status: 401, url: MCP, challenges: &challenges, shown: Some(&shown) };
    let audience = Audience::Server("crm");
    let error = bench.client.refused(&cx("alice"), audience, refusal).await.unwrap_err();
    assert!(format!("{error:?}").len() < 1000);
}

#[tokio::test]
async fn another_authorization_server_than_the_configured_one() {
    const OWN: &str = "https://own.example";
    let server = || Protected::new(MCP).with_issuer(OWN);
    let bench = Bench::with(|builder| builder.server("crm", server()));
    let why = stopped(&bench, BEARER).await;
    assert!(why.contains("another authorization server"), "{why}");
    assert!(bench.world.state().registered.is_empty(), "nobody was told who we are");

    let bench = Bench::with(|builder| builder.server("crm", server()));
    bench.world.issuer(OWN, &json!({}));
    bench.world.resource(&json!({"resource": MCP, "authorization_servers": [ISSUER, OWN]}));
    let url = bench.start("alice", BEARER, None).await;
    assert!(url.starts_with(OWN), "{url}");
}

#[tokio::test]
async fn what_is_under_way_is_the_clients_that_began_it() {
    let bench = Bench::new();
    let handle = bench.link("alice", BEARER, None).await;
    let other = builder(&bench.world, &bench.store, &bench.clock);
    let other = other.server("tracker", Protected::new(MCP)).build().unwrap();
    assert!(bench.client.is_asked(&handle).await.unwrap());
    assert!(!other.is_asked(&handle).await.unwrap(), "another's, though in the same store");
    assert!(!bench.client.is_asked("guessed").await.unwrap());
    let alice = doorward_core::Principal::person("alice");
    assert!(bench.client.connection(&alice, "crm").await.unwrap().is_none());
    bench.connect("alice").await;
    let held = bench.client.connection(&alice, "crm").await.unwrap().unwrap();
    assert_eq!((&*held.server, &*held.issuer, held.shared), ("crm", ISSUER, false));
    let bob = doorward_core::Principal::person("bob");
    assert!(bench.client.connection(&bob, "crm").await.unwrap().is_none());
}
