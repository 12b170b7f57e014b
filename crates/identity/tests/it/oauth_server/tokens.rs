//! Access tokens: whose they are, who knows of them, and how they end.

use std::time::Duration;

use doorward_core::{Authenticator as _, Presented, Secret};
use doorward_identity::jwt::{Issuer, Jwt, Keys};
use doorward_identity::oauth_server::{Client, ClientAuth, GrantType, SigningKeys};
use serde_json::{Value, json};

use super::{APP, Bench, IDP, MCP, US, basic, claims, error, key, text};

#[tokio::test]
async fn token_passthrough_is_refused_both_ways() {
    let bench = Bench::new().await;
    let now = bench.seconds();
    // A token of the provider's is none of ours, whatever it says.
    for (iss, aud) in [(IDP, "api://doorward"), (IDP, MCP), (US, MCP)] {
        let said = json!({
            "iss": iss, "aud": aud, "sub": "alice", "client_id": "app", "scope": "tools",
            "iat": now, "exp": now + 300, "jti": ".x", "limits": {},
        });
        let token = bench.idp.token_with(&json!({"typ": "at+jwt"}), &said);
        assert!(!bench.is_good(&token).await, "{iss} {aud}");
    }
    // One of ours is none of the provider's.
    let (token, _) = bench.tokens("alice", "app", APP).await;
    let keys = Keys::Inline(json!({"keys": [bench.idp.jwk()]}).to_string());
    let theirs = Issuer::new(IDP, [MCP, "api://doorward"]).with_keys(keys);
    let door = Jwt::builder(bench.pages.clone(), bench.clock.clone()).issuer(theirs);
    let door = door.build().unwrap();
    let shown = Presented { token: Some(Secret::new(&*token)), ..Presented::default() };
    assert!(door.authenticate(&shown).await.is_err());
    // Side by side, each knows its own.
    let both = bench.server.authenticator().with_others(std::sync::Arc::new(door));
    assert_eq!(&*both.authenticate(&shown).await.unwrap().id, "alice");
    let said = json!({
        "iss": IDP, "aud": "api://doorward", "sub": "00u1", "iat": now, "exp": now + 300,
    });
    let shown = Presented { token: Some(Secret::new(bench.idp.token(&said))), ..shown };
    assert_eq!(&*both.authenticate(&shown).await.unwrap().id, "https://idp.example|00u1");
}

#[tokio::test]
async fn a_token_ends_and_nothing_in_it_can_be_changed() {
    let bench = Bench::new().await;
    let (token, refresh) = bench.tokens("alice", "app", APP).await;
    let parts: Vec<_> = token.split('.').collect();
    let mut said = claims(&token);
    said["sub"] = "root".into();
    let forged = format!("{}.{}.{}", parts[0], super::part(said.to_string()), parts[2]);
    let none = super::part(r#"{"alg":"none","typ":"at+jwt"}"#);
    let public = bench.get("/oauth/jwks").await.1["keys"][0]["x"].as_str().unwrap().to_owned();
    for forged in [
        forged,
        format!("{none}.{}.", parts[1]),
        bench.idp.token_with(&json!({"typ": "at+jwt"}), &claims(&token)),
        refresh,
        public,
        String::new(),
    ] {
        assert!(!bench.is_good(&forged).await, "{forged}");
    }
    bench.clock.advance(Duration::from_mins(12));
    assert!(!bench.is_good(&token).await);
}

#[tokio::test]
async fn nothing_is_accepted_before_it_is_known_what_was_revoked() {
    let bench = Bench::new().await;
    let (token, _) = bench.tokens("alice", "app", APP).await;
    let parts = doorward_identity::oauth_server::Parts {
        http: bench.pages.clone(),
        store: bench.store.clone(),
        clock: bench.clock.clone(),
        entropy: std::sync::Arc::new(doorward_core::SystemEntropy),
    };
    let builder =
        doorward_identity::oauth_server::OAuthServer::builder(US, SigningKeys::new(key(1)), parts);
    let mcp = doorward_identity::oauth_server::ProtectedResource::new("/mcp");
    let replica = Bench { server: builder.resource(mcp).build().unwrap(), ..bench };
    assert!(!replica.is_good(&token).await, "nobody has told yet");
    replica.server.refresh().await.unwrap();
    assert!(replica.is_good(&token).await);
}

#[tokio::test]
async fn keys_change_without_a_token_lost_and_an_old_one_ends_with_its_key() {
    let bench = Bench::new().await;
    let (old, _) = bench.tokens("alice", "app", APP).await;
    assert!(bench.is_good(&old).await);
    bench.server.rotate(SigningKeys::new(key(2)).with(key(1)));
    let (new, _) = bench.tokens("bob", "app", APP).await;
    assert!(bench.is_good(&old).await && bench.is_good(&new).await);
    let (_, keys) = bench.get("/oauth/jwks").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    bench.server.rotate(SigningKeys::new(key(2)));
    assert!(!bench.is_good(&old).await && bench.is_good(&new).await);
}

#[tokio::test]
async fn a_client_revokes_its_own_tokens_and_nobody_elses() {
    let bench = Bench::new().await;
    let (access, refresh) = bench.tokens("alice", "app", APP).await;
    let revoke = |client: &'static str, token: String| {
        let bench = &bench;
        async move { bench.post("/oauth/revoke", &[("client_id", client), ("token", &token)]).await }
    };
    for token in [access.clone(), refresh.clone(), "nonsense".to_owned()] {
        assert_eq!(revoke("cli", token).await, (200, json!({})), "nothing is told");
    }
    assert!(bench.is_good(&access).await);
    assert_eq!(revoke("app", access.clone()).await.0, 200);
    assert!(!bench.is_good(&access).await);
    let (_, body) = bench.refresh("app", &refresh).await;
    let (access, refresh) = (text(&body, "access_token"), text(&body, "refresh_token"));
    assert_eq!(revoke("app", refresh.clone()).await.0, 200);
    assert!(!bench.is_good(&access).await, "with the refresh token all of its family");
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"));
    assert_eq!(error(&revoke("nobody", refresh).await), (401, "invalid_client"));
}

#[tokio::test]
async fn only_clients_that_prove_who_they_are_may_ask_about_tokens() {
    let secret = Secret::new("of the resource");
    let resource = Client::new("crm", ClientAuth::secrets([&secret]))
        .with_grants([GrantType::ClientCredentials])
        .with_introspection();
    let bench = Bench::with(|builder| builder.client(resource)).await;
    let (access, refresh) = bench.tokens("alice", "app", APP).await;
    let ask = |header: String, token: String| {
        let bench = &bench;
        async move {
            let pairs = [("token", &*token)];
            bench.post_with("/oauth/introspect", &[("authorization", &header)], &pairs).await.1
        }
    };
    let crm = basic("crm", "of the resource");
    let told = ask(crm.clone(), access.clone()).await;
    assert_eq!(
        (&told["active"], &told["sub"], &told["aud"]),
        (&json!(true), &json!("alice"), &json!(MCP))
    );
    let no = json!({"active": false});
    assert_eq!(ask(crm.clone(), refresh.clone()).await, no, "not a resource server's business");
    assert_eq!(ask(crm.clone(), "nonsense".to_owned()).await, no);
    let build = basic("build", "s3cret of build");
    assert_eq!(ask(build, access.clone()).await, no, "another client's");
    let public = [("client_id", "app"), ("token", &*access)];
    assert_eq!(error(&bench.post("/oauth/introspect", &public).await), (401, "invalid_client"));
    bench.server.revoke_principal("alice").await.unwrap();
    assert_eq!(ask(crm, access).await, no);
    let web = "https://web.example/cb";
    let location = bench.consent("bob", &super::asked("web", web)).await;
    let code = super::parameter(&location, "code").unwrap();
    let mut pairs = super::redeem("web", web, &code);
    pairs.push(("client_secret", "s3cret of web"));
    let (_, body): (u16, Value) = bench.token(&pairs).await;
    let own = ask(basic("web", "s3cret of web"), text(&body, "refresh_token")).await;
    assert_eq!((&own["active"], &own["sub"]), (&json!(true), &json!("bob")));
}
