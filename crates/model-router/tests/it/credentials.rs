//! What each kind of provider is shown, and that nobody else sees it.

use std::sync::Arc;

use doorward_core::{Code, Credential, Models, Secret};
use doorward_model_router::{Auth, Inbound, Outbound, Provider, Router, Upstream, UpstreamOptions};

use crate::script::{Always, CHAT, MESSAGE, Scripted, chat, cx, key, messages};

fn router(
    transport: &Arc<Scripted>,
    provider: &str,
    options: UpstreamOptions,
    credential: Credential,
) -> Router {
    let provider = Provider::named(provider).unwrap();
    let upstream = Upstream::configured("up", provider, options).unwrap();
    Router::builder(transport.clone(), Arc::new(Always(credential)))
        .upstream(upstream)
        .build()
        .unwrap()
}

fn answers() -> Arc<Scripted> {
    Scripted::new(|request: &Outbound| {
        let messages = request.uri().path().contains("anthropic");
        let mut inbound = Inbound::whole(200, if messages { MESSAGE } else { CHAT });
        let kind = http::HeaderValue::from_static("application/json");
        inbound.head.headers.insert(http::header::CONTENT_TYPE, kind);
        Ok(inbound)
    })
}

fn at(set: &[(&str, &str)]) -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    for (name, value) in set {
        assert!(options.set(name, (*value).to_owned()));
    }
    options
}

#[tokio::test]
async fn a_key_is_shown_in_the_providers_own_header() {
    let azure = at(&[("resource", "r")]);
    let entra = UpstreamOptions { auth: Some(Auth::Bearer), ..azure.clone() };
    for (provider, options, header, value) in [
        ("openai", at(&[]), "authorization", "Bearer k-1"),
        ("azure", azure.clone(), "api-key", "k-1"),
        ("azure", entra, "authorization", "Bearer k-1"),
        ("azure-deployments", azure, "api-key", "k-1"),
        ("bedrock", at(&[("region", "us-east-1")]), "authorization", "Bearer k-1"),
        ("vertex", at(&[("project", "p")]), "authorization", "Bearer k-1"),
    ] {
        let transport = answers();
        let router = router(&transport, provider, options, key("k-1"));
        match provider {
            "bedrock" => drop(router.complete(&cx(), messages("up/anthropic.claude-x")).await),
            "vertex" => drop(router.complete(&cx(), chat("up/meta/llama", false)).await),
            _ => drop(router.complete(&cx(), chat("up/m", false)).await.unwrap()),
        }
        let sent = transport.last();
        assert_eq!(sent.headers()[header], value, "{provider}");
        let shown = ["authorization", "api-key", "x-api-key", "x-goog-api-key"];
        let shown = shown.iter().filter(|name| sent.headers().contains_key(**name)).count();
        assert_eq!(shown, 1, "{provider}: shown once");
        assert!(!format!("{sent:?}").contains("k-1"), "{provider}: not printed");
    }
}

#[tokio::test]
async fn lists_are_asked_for_with_the_same_credential() {
    for (provider, options, header, url) in [
        (
            "gemini",
            at(&[]),
            "x-goog-api-key",
            "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000",
        ),
        ("anthropic", at(&[]), "x-api-key", "https://api.anthropic.com/v1/models?limit=1000"),
        (
            "bedrock",
            at(&[("region", "eu-west-1")]),
            "authorization",
            "https://bedrock.eu-west-1.amazonaws.com/inference-profiles?maxResults=1000",
        ),
    ] {
        let transport = answers();
        router(&transport, provider, options, key("k-1")).discover(&cx()).await;
        let sent = transport.last();
        assert_eq!(sent.uri(), url);
        assert!(sent.headers().contains_key(header), "{provider}");
    }
}

#[cfg(feature = "bedrock")]
#[tokio::test]
async fn bedrock_requests_are_signed_for_their_region() {
    let aws = Credential::Aws {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI"),
        session_token: None,
    };
    let transport = answers();
    let router = router(&transport, "bedrock", at(&[("region", "us-west-2")]), aws);
    let mut call = messages("up/anthropic.claude-opus-4-5-v1:0");
    call.stream = true;
    call.raw.as_mut().unwrap().headers =
        vec![("anthropic-beta".into(), "files-api-2025-04-14,effort-2025-11-24".into())];
    drop(router.complete(&cx(), call).await);
    let sent = transport.last();
    assert_eq!(
        sent.uri(),
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/anthropic.claude-opus-4-5-v1%3A0/invoke-with-response-stream"
    );
    let shown = sent.headers()["authorization"].to_str().unwrap();
    assert!(shown.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{shown}");
    assert!(shown.contains("/us-west-2/bedrock/aws4_request"), "{shown}");
    assert!(sent.headers().contains_key("x-amz-date"));
    // Trap 47: there is none in the credential, so none is sent.
    assert!(!sent.headers().contains_key("x-amz-security-token"));
    // Trap 42: betas go in the body there.
    assert!(!sent.headers().contains_key("anthropic-beta"));
    assert_eq!(sent.headers()["accept"], "application/vnd.amazon.eventstream");
    assert!(!format!("{sent:?} {router:?}").contains("AKID"));
}

#[tokio::test]
async fn a_credential_of_another_kind_is_refused_without_being_told() {
    let aws = || Credential::Aws {
        access_key_id: "AKID-hush".into(),
        secret_access_key: Secret::new("hush-1"),
        session_token: Some(Secret::new("hush-2")),
    };
    let account = || Credential::ServiceAccount(Secret::new("{\"private_key\":\"hush-3\"}"));
    for (provider, options, credential) in [
        ("openai", at(&[]), aws()),
        ("openai", at(&[]), account()),
        ("vertex", at(&[("project", "p")]), account()),
        ("vertex", at(&[("project", "p")]), aws()),
        ("openai", at(&[]), key("hush\n4")),
        ("openai", UpstreamOptions { auth: Some(Auth::None), ..at(&[]) }, key("hush-5")),
    ] {
        let transport = answers();
        let router = router(&transport, provider, options, credential);
        let error = router.complete(&cx(), chat("up/meta/m", false)).await.unwrap_err();
        assert_eq!(error.code, Code::Internal, "{provider}");
        let mut told = format!("{error} {error:?} {router:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            told.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(!told.contains("hush"), "{told}");
        assert_eq!(transport.count(), 0, "nothing was sent");
    }
}

/// Trap 42: each host takes other betas, and what it does not take is told.
#[tokio::test]
async fn betas_are_those_the_host_takes() {
    for (provider, options, model, kept) in [
        (
            "anthropic",
            at(&[]),
            "up/claude-x",
            Some("files-api-2025-04-14, odd-1,compact-2026-01-12"),
        ),
        ("azure-anthropic", at(&[("resource", "r")]), "up/claude-x", Some("files-api-2025-04-14")),
        ("vertex", at(&[("project", "p")]), "up/claude-x", Some("compact-2026-01-12")),
    ] {
        let transport = Scripted::new(|_| Ok(Inbound::whole(200, MESSAGE)));
        let router = router(&transport, provider, options, key("k"));
        let mut call = messages(model);
        let betas = "files-api-2025-04-14, odd-1,compact-2026-01-12";
        call.raw.as_mut().unwrap().headers = vec![("anthropic-beta".into(), betas.into())];
        let reply = router.complete(&cx(), call).await.unwrap();
        let sent = transport.last();
        let shown = sent.headers().get("anthropic-beta").map(|value| value.to_str().unwrap());
        assert_eq!(shown, kept, "{provider}");
        let told = reply.route.dropped.join(" ");
        assert_eq!(told.contains("odd-1"), provider != "anthropic", "{told}");
    }
}

#[tokio::test]
async fn configured_headers_and_queries_go_along() {
    let transport = answers();
    let mut options = at(&[]);
    options.headers.insert("OpenAI-Organization".into(), "org-1".into());
    options.query.insert("tenant".into(), "a".into());
    let router = router(&transport, "openai", options, key("k"));
    router.complete(&cx(), chat("up/m", false)).await.unwrap();
    let sent = transport.last();
    assert_eq!(sent.headers()["openai-organization"], "org-1");
    assert_eq!(sent.uri().query(), Some("tenant=a"));
    assert_eq!(sent.headers()["accept-encoding"], "identity");
    assert!(sent.headers()["user-agent"].to_str().unwrap().starts_with("doorward/"));
}

/// Trap 49: the deployment stands in the address and in the body.
#[tokio::test]
async fn azure_is_asked_for_the_deployment() {
    for (provider, path) in [
        ("azure", "/openai/v1/chat/completions"),
        ("azure-deployments", "/openai/deployments/prod/chat/completions?api-version=2024-10-21"),
    ] {
        let transport = answers();
        let mut options = at(&[("resource", "r")]);
        options.deployments.insert("gpt-5".into(), "prod".into());
        let router = router(&transport, provider, options, key("k"));
        let reply = router.complete(&cx(), chat("gpt-5", true)).await.unwrap();
        assert_eq!(reply.route.target, "up/gpt-5", "the receipt names the model");
        let sent = transport.last();
        assert_eq!(sent.uri().to_string(), format!("https://r.openai.azure.com{path}"));
        let body: serde_json::Value = serde_json::from_slice(sent.body()).unwrap();
        assert_eq!(body["model"], "prod");
        assert_eq!(body["stream"], true);
        assert_eq!(sent.headers()["accept"], "text/event-stream");
    }
}
