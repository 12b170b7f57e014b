//! An identity provider that says what it is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A key pair of an issuer or of a client.
pub(crate) struct Signer {
    pub(crate) kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(crate) fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: Some(kid.to_owned()), pair: Pair::Ec(pair) }
    }

    pub(crate) fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { kid: Some(kid.to_owned()), pair: Pair::Rsa(pair) }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        Self { kid: Some(kid.to_owned()), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Rsa(_) => "RS256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key as JSON.
    pub(crate) fn jwk(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (part(&point[1..33]), part(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = part(public.modulus().big_endian_without_leading_zero());
                let e = part(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key())})
            }
        };
        if let Some(kid) = &self.kid {
            key["kid"] = kid.as_str().into();
        }
        key
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({}), claims)
    }

    /// A token whose header has these members too, or instead.
    pub(crate) fn token_with(&self, instead: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm()});
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        for (name, value) in instead.as_object().unwrap() {
            header[name] = value.clone();
        }
        self.raw(&header.to_string(), &claims.to_string())
    }

    /// A token of these very texts, signed by the algorithm that its header names.
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let how: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if header.contains("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(how, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", part(signature))
    }
}

/// A scripted identity provider.
pub(crate) struct Idp {
    origin: String,
    path: String,
    pub(crate) signer: Signer,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What is answered at each path: status, then body or, for redirects, location.
    pages: Mutex<BTreeMap<String, (u16, String)>>,
    down: AtomicBool,
    delay: AtomicU64,
    asked: AtomicUsize,
}

impl Idp {
    /// At this path of an address of its own, with one ES256 key.
    pub(crate) async fn start(path: &str) -> Self {
        Self::with(path, Signer::es256("k1")).await
    }

    pub(crate) async fn with(path: &str, signer: Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let idp = Self { origin, path: path.to_owned(), signer, state: state.clone() };
        idp.page(
            "/.well-known/openid-configuration",
            200,
            &json!({
                "issuer": idp.issuer(), "jwks_uri": format!("{}/keys", idp.issuer()),
            }),
        );
        idp.publish(&[idp.signer.jwk()]);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, state.clone()));
            }
        });
        idp
    }

    pub(crate) fn issuer(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    pub(crate) fn page(&self, path: &str, status: u16, body: &Value) {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let path = format!("{}{path}", self.path);
        self.state.pages.lock().unwrap().insert(path, (status, body));
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &[Value]) {
        self.page("/keys", 200, &json!({"keys": keys}));
    }

    /// Closes every connection from now on, or no longer.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// Takes so long for each answer.
    pub(crate) fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay.store(millis, Ordering::SeqCst);
    }

    /// How often the keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

async fn answer(mut socket: TcpStream, state: Arc<State>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        match socket.read(&mut chunk).await {
            Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    if path.ends_with("/keys") {
        state.asked.fetch_add(1, Ordering::SeqCst);
    }
    if state.down.load(Ordering::SeqCst) {
        return;
    }
    tokio::time::sleep(Duration::from_millis(state.delay.load(Ordering::SeqCst))).await;
    let page = state.pages.lock().unwrap().get(&path).cloned();
    let (status, body) = page.unwrap_or((404, String::new()));
    let location = if (300..400).contains(&status) { body.clone() } else { String::new() };
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\nlocation: {location}\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.write_all(body.as_bytes()).await;
    let _ = socket.shutdown().await;
}
