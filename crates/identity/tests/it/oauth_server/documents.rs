//! What the server and its resources say about themselves.

use doorward_core::Principal;
use doorward_identity::oauth_client::Challenge as Read;
use http::Method;
use serde_json::json;

use super::{APP, Bench, CRM, MCP, US};

#[tokio::test]
async fn clients_find_the_server_wherever_they_look() {
    let bench = Bench::new().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration/mcp/crm",
        "/mcp/.well-known/openid-configuration",
    ] {
        let (status, document) = bench.get(path).await;
        assert_eq!((status, &document["issuer"]), (200, &json!(US)), "{path}");
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]), "{path}");
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["client_id_metadata_document_supported"], true);
        assert_eq!(document["token_endpoint"], format!("{US}/oauth/token"));
        assert_eq!(document["registration_endpoint"], format!("{US}/oauth/register"));
    }
    for path in ["/.well-known/oauth-authorization-server/other", "/.well-known/x", "/", "/oauth/x"]
    {
        assert_eq!(bench.get(path).await.0, 404, "{path}");
    }
    let (_, keys) = bench.get("/oauth/jwks").await;
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn each_resource_says_who_gives_tokens_for_it() {
    let bench = Bench::new().await;
    for (path, resource) in [
        ("/.well-known/oauth-protected-resource/mcp", MCP),
        ("/.well-known/oauth-protected-resource/mcp/crm", CRM),
        ("/.well-known/oauth-protected-resource", MCP),
    ] {
        let (status, document) = bench.get(path).await;
        assert_eq!((status, &document["resource"]), (200, &json!(resource)), "{path}");
        assert_eq!(document["authorization_servers"], json!([US]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    let none = "/.well-known/oauth-protected-resource/mcp/other";
    assert_eq!(bench.get(none).await.0, 404);
}

#[tokio::test]
async fn a_gateway_below_a_path_says_so() {
    let bench = Bench::new().await;
    let parts = doorward_identity::oauth_server::Parts {
        http: bench.pages.clone(),
        store: bench.store.clone(),
        clock: bench.clock.clone(),
        entropy: std::sync::Arc::new(doorward_core::SystemEntropy),
    };
    let keys = doorward_identity::oauth_server::SigningKeys::new(super::key(1));
    let base = "https://corp.example/door";
    let builder = doorward_identity::oauth_server::OAuthServer::builder(base, keys, parts);
    let mcp = doorward_identity::oauth_server::ProtectedResource::new("/mcp");
    let below = Bench { server: builder.resource(mcp).build().unwrap(), ..bench };
    for path in [
        "/.well-known/oauth-authorization-server/door",
        "/.well-known/openid-configuration/door",
        "/door/.well-known/openid-configuration",
    ] {
        assert_eq!(below.get(path).await.1["issuer"], base, "{path}");
    }
    let (_, document) = below.get("/.well-known/oauth-protected-resource/door/mcp").await;
    assert_eq!(document["resource"], "https://corp.example/door/mcp");
    let challenge = below.server.challenge("https://corp.example/door/mcp").unwrap();
    let wanted = "https://corp.example/.well-known/oauth-protected-resource/door/mcp";
    assert!(challenge.to_string().contains(wanted), "{challenge}");
}

#[tokio::test]
async fn a_challenge_says_how_to_go_on() {
    let bench = Bench::new().await;
    let read = |challenge: &doorward_identity::oauth_server::Challenge| {
        let value = challenge.header().unwrap().to_str().unwrap().to_owned();
        Read::read(&[value]).unwrap()
    };
    let first = bench.server.challenge(MCP).unwrap();
    assert_eq!((first.status(), read(&first).error), (401, None));
    let place = format!("{US}/.well-known/oauth-protected-resource/mcp");
    assert_eq!(read(&first).resource_metadata, Some(place));
    assert_eq!(read(&first).scopes.unwrap(), ["tools", "read"]);
    let expired = first.clone().with_invalid_token();
    assert_eq!((expired.status(), read(&expired).error.as_deref()), (401, Some("invalid_token")));
    let more = first.with_insufficient_scope(["read", "tools", "a\"b", "x\r\ny"]);
    assert_eq!(more.status(), 403);
    assert!(read(&more).is_insufficient_scope());
    assert_eq!(read(&more).scopes.unwrap(), ["read", "tools"]);
    assert!(bench.server.challenge("https://elsewhere.example/mcp").is_none());
}

#[tokio::test]
async fn a_token_is_for_one_resource_and_its_scopes() {
    let bench = Bench::new().await;
    let (token, _) = bench.tokens("alice", "app", APP).await;
    let principal = bench.show(&token).await.unwrap();
    let admits =
        |resource: &str, needed: &[&str]| bench.server.admits(&principal, resource, needed);
    assert_eq!(admits(MCP, &["tools"]), Ok(()));
    assert_eq!(admits(MCP, &["read"]), Ok(()), "`tools` stands for it");
    let other = admits(CRM, &[]).unwrap_err();
    assert_eq!(other.status(), 401, "wrong audience");
    assert!(other.to_string().contains("resource/mcp/crm\""), "{other}");
    assert_eq!(admits("https://elsewhere.example/mcp", &[]).unwrap_err().status(), 401);
    let more = admits(MCP, &["tools", "admin"]).unwrap_err();
    assert_eq!(more.status(), 403);
    assert!(more.to_string().contains("scope=\"tools admin\""), "step-up: {more}");
    let keyed = Principal::service("ci");
    assert_eq!(bench.server.admits(&keyed, MCP, &["tools"]), Ok(()), "not by a token of ours");
}

#[tokio::test]
async fn browsers_may_ask_and_caches_keep_no_secrets() {
    let bench = Bench::new().await;
    let preflight = bench.ask((Method::OPTIONS, "/oauth/token"), &[], "").await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let refused = bench.ask((Method::POST, "/oauth/token"), &[], "grant_type=x").await;
    for (name, value) in [("cache-control", "no-store"), ("pragma", "no-cache")] {
        assert_eq!(refused.headers()[name], value);
    }
    assert_eq!(refused.status(), 400, "no form");
    let got = bench.ask((Method::GET, "/oauth/token?grant_type=x"), &[], "").await;
    assert_eq!(
        (got.status().as_u16(), &got.headers()["allow"]),
        (405, &"POST, OPTIONS".parse().unwrap())
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let query = bench.ask((Method::POST, "/oauth/token?client_secret=x"), &form, "a=b").await;
    assert_eq!(query.status(), 400, "secrets do not belong into the query");
    let long = "x".repeat(70_000);
    assert_eq!(bench.ask((Method::POST, "/oauth/token"), &form, &long).await.status(), 413);
}
