//! Google access tokens for service accounts: a signed assertion is exchanged for a token
//! (RFC 7523 §2.1; <https://developers.google.com/identity/protocols/oauth2/service-account>).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use doorward_core::{CallError, Clock, Code, Secret, Timestamp};
use futures_util::lock::Mutex;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::transport::{Outbound, Transport, gather};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long an assertion holds, in seconds; Google takes no more.
const HOUR: i64 = 3600;
/// How long before its end a token is replaced, in seconds.
const EARLY: i64 = 60;

/// The tokens got so far, by key file.
#[derive(Default)]
pub(crate) struct Tokens(RwLock<HashMap<[u8; 32], Arc<Slot>>>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// One key file's token. Whoever gets a new one holds the lock, so that there is one flight.
#[derive(Default)]
struct Slot {
    token: RwLock<Option<(Secret, i64)>>,
    flight: Mutex<()>,
}

impl Slot {
    fn held(&self, now: i64) -> Option<Secret> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().filter(|(_, until)| now < until - EARLY).map(|(token, _)| token.clone())
    }
}

/// The part of a key file that is needed.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: Secretly,
    private_key_id: Option<String>,
    #[serde(default = "token_uri")]
    token_uri: String,
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// A text that is wiped when dropped.
struct Secretly(Secret);

impl<'de> Deserialize<'de> for Secretly {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secretly,
    expires_in: Option<i64>,
}

impl Tokens {
    /// An access token for this key file: one that still holds, else a new one.
    pub(crate) async fn token(
        &self,
        file: &Secret,
        transport: &dyn Transport,
        clock: &dyn Clock,
    ) -> Result<Secret, CallError> {
        let slot = self.slot(file);
        if let Some(token) = slot.held(clock.now().as_secs()) {
            return Ok(token);
        }
        let _flight = slot.flight.lock().await;
        if let Some(token) = slot.held(clock.now().as_secs()) {
            return Ok(token);
        }
        let now = clock.now();
        let granted = exchange(file, transport, now).await?;
        let token = granted.access_token.0;
        let until = now.as_secs().saturating_add(granted.expires_in.unwrap_or(HOUR));
        *slot.token.write().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), until));
        Ok(token)
    }

    fn slot(&self, file: &Secret) -> Arc<Slot> {
        let key = *blake3::hash(file.expose().as_bytes()).as_bytes();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key).or_default().clone()
        })
    }
}

/// Exchanges an assertion for a token. No cause is kept that could quote key or token.
async fn exchange(
    file: &Secret,
    transport: &dyn Transport,
    now: Timestamp,
) -> Result<Granted, CallError> {
    let file: KeyFile = serde_json::from_str(file.expose())
        .map_err(|_| CallError::internal("the service account's key file is none"))?;
    let uri: http::Uri = file.token_uri.parse().map_err(CallError::internal)?;
    if uri.scheme_str() != Some("https") {
        return Err(CallError::internal("the service account's token_uri is not https"));
    }
    let assertion = assertion(&file, now)?;
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
    );
    let mut request = Outbound::new(Bytes::from(form));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let inbound = transport.send(request).await.map_err(answer::broken)?;
    let status = inbound.head.status;
    let body = gather(inbound.body).await.map_err(answer::broken)?;
    if !status.is_success() {
        let public = format!("no access token: the token endpoint answered {status}");
        return Err(CallError::new(Code::Upstream, public));
    }
    serde_json::from_slice(&body)
        .map_err(|_| CallError::new(Code::Upstream, "the token endpoint's answer is unusable"))
}

/// A JWT that says who asks and for what, signed with RS256 (RFC 7515, RFC 7518 §3.3).
fn assertion(file: &KeyFile, now: Timestamp) -> Result<String, CallError> {
    let header = match &file.private_key_id {
        Some(id) => serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": id}),
        None => serde_json::json!({"alg": "RS256", "typ": "JWT"}),
    };
    let iat = now.as_secs();
    let claims = Claims {
        iss: &file.client_email,
        scope: SCOPE,
        aud: &file.token_uri,
        iat,
        exp: iat + HOUR,
    };
    let claims = serde_json::to_vec(&claims).map_err(CallError::internal)?;
    let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let pair = key_pair(file.private_key.0.expose())
        .ok_or_else(|| CallError::internal("the service account's private_key is unusable"))?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| CallError::internal("the assertion cannot be signed"))?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}

/// The key in a PEM text of PKCS #8 (RFC 7468 §10), as key files have it.
fn key_pair(pem: &str) -> Option<RsaKeyPair> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let text: String = body.split_ascii_whitespace().collect();
    let text = zeroize::Zeroizing::new(text);
    let der = zeroize::Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?);
    RsaKeyPair::from_pkcs8(&der).ok()
}
