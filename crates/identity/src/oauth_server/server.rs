//! The server: what it is made of, and which of its parts a request is for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use doorward_core::{Clock, Entropy, Timestamp};
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use super::builder::{Lifetimes, Standing};
use super::client::Client;
use super::document::Library;
use super::fault::{Fault, share};
use super::key::SigningKeys;
use super::registration::Registration;
use super::request::Request;
use super::resource::{ProtectedResource, Scope};
use super::revocation::RevokedTokens;
use super::store::{OAuthStore, OAuthStoreError};
use crate::guesses::Failures;
use crate::jwt::{Algorithm, Assertions, Fetcher, Freshness, Issuer, Jwt, Keyring, Keys, Proofs};

/// The most clients whose published keys are held.
const RINGS_MOST: usize = 1000;
/// How far our own clocks may be apart; what was revoked is remembered so much longer.
const SKEW: Duration = Duration::from_mins(2);

/// An authorization server. See the [module](super) for what it keeps to.
pub struct OAuthServer {
    pub(crate) issuer: Arc<str>,
    /// The path of the gateway's URL, without a slash at its end.
    pub(crate) path: String,
    pub(crate) keys: ArcSwap<SigningKeys>,
    pub(crate) own: Issuer,
    pub(crate) jwt: Arc<Jwt>,
    pub(crate) scopes: BTreeMap<Arc<str>, Scope>,
    pub(crate) resources: Vec<ProtectedResource>,
    pub(crate) default: Option<Arc<str>>,
    pub(crate) clients: BTreeMap<Arc<str>, Arc<Client>>,
    pub(crate) schemes: Vec<String>,
    pub(crate) library: Option<Library>,
    pub(crate) registration: Option<Registration>,
    pub(crate) assertions: Option<Arc<dyn Assertions>>,
    pub(crate) standing: Option<Arc<dyn Standing>>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) rings: Mutex<HashMap<Arc<str>, Arc<Keyring>>>,
    pub(crate) proofs: Proofs,
    pub(crate) failures: Failures,
    pub(crate) registrations: Failures,
    pub(crate) revoked: Arc<RevokedTokens>,
    pub(crate) store: Arc<dyn OAuthStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for OAuthServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resources: Vec<_> = self.resources.iter().map(|resource| &resource.url).collect();
        f.debug_struct("OAuthServer")
            .field("issuer", &self.issuer)
            .field("resources", &resources)
            .field("clients", &self.clients.keys())
            .finish_non_exhaustive()
    }
}

impl OAuthServer {
    /// Its issuer identifier (RFC 8414 §2).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Brings in what was revoked elsewhere: called at the start, before any token is accepted,
    /// and every second or so.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read; what is known stays so.
    pub async fn refresh(&self) -> Result<(), OAuthStoreError> {
        let news = self.store.revocations(self.revoked.place()).await?;
        self.revoked.learn(news, self.clock.now());
        Ok(())
    }

    /// Forgets what has ended, and clients that registered and were not used for long: called
    /// every hour or so.
    ///
    /// # Errors
    ///
    /// Where the store cannot be written.
    pub async fn sweep(&self) -> Result<(), OAuthStoreError> {
        let now = self.clock.now();
        let kept = self.registration.as_ref().map_or(Duration::MAX, Registration::kept);
        let back = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
        let unused = Timestamp::from_micros(now.as_micros().saturating_sub(back));
        self.store.sweep(now, unused).await
    }

    /// Signs with other keys from now on. Tokens of keys that are among them stay good.
    pub fn rotate(&self, keys: SigningKeys) {
        self.jwt.replace_keys(&self.issuer, &keys.jwks());
        self.keys.store(Arc::new(keys));
    }

    /// Answers a request to any path of the server's but the one at which people consent:
    /// documents under `/.well-known/`, and `/oauth/{token,register,revoke,introspect,jwks}`.
    pub async fn respond(&self, request: Request<'_>) -> Response<Bytes> {
        let path = request.uri.path();
        let path =
            path.strip_prefix(&self.path).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        if let Some(document) = self.document(request.uri.path()) {
            return read_only(&request, document);
        }
        if request.method == Method::OPTIONS && path.starts_with("/oauth/") {
            return preflight();
        }
        let known = ["token", "register", "revoke", "introspect"];
        let Some(name) = path.strip_prefix("/oauth/").filter(|name| known.contains(name)) else {
            return Fault::new("not_found", "nothing is here")
                .with_status(StatusCode::NOT_FOUND)
                .answer();
        };
        if request.method != Method::POST {
            return refused_method("POST, OPTIONS");
        }
        if request.is_too_long() {
            let fault = Fault::invalid_request("the request is too long");
            return fault.with_status(StatusCode::PAYLOAD_TOO_LARGE).answer();
        }
        // Boxed: these are large, and one at a time is enough.
        let answered = match name {
            "token" => Box::pin(self.token(request)).await,
            "register" => Box::pin(self.register(request)).await,
            "revoke" => Box::pin(self.revoke(request)).await,
            _ => Box::pin(self.introspect(request)).await,
        };
        answered.unwrap_or_else(|fault| fault.answer())
    }

    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("{}/oauth/{name}", self.issuer)
    }

    /// When the last token that is signed now has ended, by anybody's clock.
    pub(crate) fn ended(&self, now: Timestamp) -> Timestamp {
        now.after(self.lifetimes.access).after(SKEW)
    }

    /// Counts a failed attempt: what is answered, if there were too many.
    pub(crate) fn failed(&self, request: &Request<'_>, fault: Fault) -> Fault {
        let source = request.source;
        let wait = source.and_then(|source| self.failures.count(source, self.clock.instant()));
        wait.map_or(fault, Fault::too_many)
    }

    /// The keys that a client publishes there.
    pub(crate) fn ring(&self, url: &Arc<str>) -> Arc<Keyring> {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = rings.get(url) {
            return ring.clone();
        }
        if rings.len() >= RINGS_MOST {
            rings.clear();
        }
        let source = (Keys::At(url.to_string()), self.fetcher.clone());
        let algorithms = Algorithm::USUAL.to_vec();
        let (freshness, clock) = (Freshness::default(), self.clock.clone());
        let ring = Arc::new(Keyring::new(url.clone(), source, algorithms, freshness, clock));
        rings.insert(url.clone(), ring.clone());
        ring
    }
}

/// A document, for those who read.
fn read_only(request: &Request<'_>, mut document: Response<Bytes>) -> Response<Bytes> {
    match *request.method {
        Method::GET => document,
        Method::HEAD => {
            *document.body_mut() = Bytes::new();
            document
        }
        Method::OPTIONS => preflight(),
        _ => refused_method("GET, HEAD, OPTIONS"),
    }
}

fn refused_method(allowed: &'static str) -> Response<Bytes> {
    let fault = Fault::invalid_request("this method is not for here");
    let mut answer = fault.with_status(StatusCode::METHOD_NOT_ALLOWED).answer();
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// What a browser asks before a page's script may ask (Fetch §3.2.2).
fn preflight() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    share(headers);
    let text = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, text("GET, POST, OPTIONS"));
    let allowed = text("authorization, content-type, dpop, mcp-protocol-version");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, text("3600"));
    answer
}
