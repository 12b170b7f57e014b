//! Access tokens for service accounts, against a scripted token endpoint.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_core::{BoxFuture, Clock, Code, Credential, Models, Secret, Timestamp};
use doorward_model_router::{
    Inbound, Outbound, Provider, Router, Transport, TransportError, Upstream, UpstreamOptions,
};
use doorward_testkit::clock::TestClock;
use serde_json::{Value, json};

use crate::script::{Always, CHAT, Scripted, chat, cx};

fn key_file(pair: &KeyPair, token_uri: &str) -> String {
    let der = pair.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| str::from_utf8(l).unwrap()).collect();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    json!({
        "type": "service_account",
        "project_id": "p-1",
        "private_key_id": "kid-1",
        "private_key": pem,
        "client_email": "robot@p-1.iam.gserviceaccount.com",
        "token_uri": token_uri,
    })
    .to_string()
}

/// Answers a little later, so that calls overlap.
#[derive(Debug)]
struct Later(Arc<Scripted>);

impl Transport for Later {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.send(request).await
        })
    }
}

fn router(transport: &Arc<Scripted>, file: &str, clock: &Arc<TestClock>) -> Router {
    let provider = Provider::named("vertex").unwrap();
    let mut options = UpstreamOptions::default();
    options.set("project", "p-1".into());
    let upstream = Upstream::configured("vertex", provider, options).unwrap();
    let credential = Credential::ServiceAccount(Secret::new(file));
    Router::builder(Arc::new(Later(transport.clone())), Arc::new(Always(credential)))
        .upstream(upstream)
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// Tokens `t-1`, `t-2`, … each for an hour; everything else is a completion.
fn google() -> Arc<Scripted> {
    let given = std::sync::atomic::AtomicUsize::new(0);
    Scripted::new(move |request: &Outbound| {
        if request.uri().host() != Some("oauth2.googleapis.com") {
            return Ok(Inbound::whole(200, CHAT));
        }
        let count = 1 + given.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let body =
            format!(r#"{{"access_token":"t-{count}","expires_in":3599,"token_type":"Bearer"}}"#);
        Ok(Inbound::whole(200, body))
    })
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_signed_assertion_is_exchanged_once_and_again_before_the_token_ends() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let clock = Arc::new(TestClock::default());
    let transport = google();
    let file = key_file(&pair, "https://oauth2.googleapis.com/token");
    let router = router(&transport, &file, &clock);
    let ask = || async {
        router.complete(&cx(), chat("vertex/meta/llama", false)).await.unwrap();
        transport.last().headers()["authorization"].to_str().unwrap().to_owned()
    };
    let then: Timestamp = clock.now();
    assert_eq!(ask().await, "Bearer t-1");

    let asked = transport.sent.lock().unwrap()[0].clone();
    assert_eq!(asked.uri(), "https://oauth2.googleapis.com/token");
    assert_eq!(asked.headers()["content-type"], "application/x-www-form-urlencoded");
    let body = str::from_utf8(asked.body()).unwrap();
    let lead = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let jwt = body.strip_prefix(lead).unwrap();
    let parts: Vec<&str> = jwt.split('.').collect();
    assert_eq!(decoded(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "kid-1"}));
    let claims = decoded(parts[1]);
    assert_eq!(claims["iss"], "robot@p-1.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["iat"], then.as_secs());
    assert_eq!(claims["exp"], then.as_secs() + 3600);
    let signed = format!("{}.{}", parts[0], parts[1]);
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
        .verify(signed.as_bytes(), &signature)
        .unwrap();

    // While it holds it is not asked for again.
    assert_eq!(ask().await, "Bearer t-1");
    assert_eq!(transport.count(), 3);
    // Shortly before its end it is.
    clock.advance(Duration::from_mins(59));
    assert_eq!(ask().await, "Bearer t-2");
}

#[tokio::test]
async fn many_calls_at_once_make_one_flight() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let transport = google();
    let file = key_file(&pair, "https://oauth2.googleapis.com/token");
    let router = router(&transport, &file, &Arc::default());
    let cx = cx();
    let calls = (0..8).map(|_| router.complete(&cx, chat("vertex/meta/llama", false)));
    for reply in futures_util::future::join_all(calls).await {
        reply.unwrap();
    }
    let sent = transport.sent.lock().unwrap();
    let asked = sent.iter().filter(|sent| sent.uri().path() == "/token").count();
    assert_eq!((asked, sent.len()), (1, 9));
}

#[tokio::test]
async fn no_token_is_a_failure_that_tells_no_secret() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let whole = key_file(&pair, "https://oauth2.googleapis.com/token");
    let plain = key_file(&pair, "http://oauth2.googleapis.com/token");
    let broken = whole.replace("BEGIN PRIVATE", "BEGIN HUSH");
    for (file, status, body, code) in [
        (whole.as_str(), 400, r#"{"error":"invalid_grant","hush":1}"#, Code::Upstream),
        (&whole, 200, r#"{"access_token":7,"hush":1}"#, Code::Upstream),
        (&whole, 200, "<html>hush", Code::Upstream),
        (&broken, 200, "{}", Code::Internal),
        (&plain, 200, "{}", Code::Internal),
        ("{\"hush\":", 200, "{}", Code::Internal),
    ] {
        let body = body.to_owned();
        let transport = Scripted::new(move |_| Ok(Inbound::whole(status, body.clone())));
        let router = router(&transport, file, &Arc::default());
        let error = router.complete(&cx(), chat("vertex/meta/llama", false)).await.unwrap_err();
        assert_eq!(error.code, code, "{file}");
        let told = format!("{error} {error:?}");
        assert!(!told.to_lowercase().contains("hush") && !told.contains("MII"), "{told}");
    }
}
