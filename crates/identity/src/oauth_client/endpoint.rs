//! The token endpoint: grants become tokens (RFC 6749 §3.2, §5).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_core::{Clock, Entropy, Secret, Timestamp};
use serde::{Deserialize, Deserializer};

use super::address::{Endpoint, Reach};
use super::challenge;
use super::fault::OAuthError;
use super::form;
use super::http::{Ask, Content, Http, send};
use super::metadata::ServerMetadata;
use super::registration::{Client, ClientProof};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token endpoint with the client that goes there.
pub(crate) struct TokenEndpoint<'a> {
    pub(crate) http: &'a dyn Http,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) entropy: &'a dyn Entropy,
    pub(crate) url: Endpoint,
    /// Whom a signed assertion is for: the authorization server's issuer.
    pub(crate) issuer: Arc<str>,
    pub(crate) client: &'a Client,
    pub(crate) method: Method,
}

/// How a client shows who it is (RFC 6749 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    None,
    Basic,
    Post,
    Assertion,
}

impl Method {
    /// The way that was registered, else the best that the server supports.
    pub(crate) fn of(client: &Client, metadata: &ServerMetadata) -> Self {
        match (&client.proof, client.method.as_deref()) {
            (ClientProof::Key(_), _) => Self::Assertion,
            (ClientProof::None, _) | (_, Some("none")) => Self::None,
            (_, Some("client_secret_post")) => Self::Post,
            (_, Some("client_secret_basic")) => Self::Basic,
            _ if metadata.authenticates_by("client_secret_basic") => Self::Basic,
            _ if metadata.authenticates_by("client_secret_post") => Self::Post,
            // A client registered by hand has its secret for a reason.
            _ if !client.dynamic => Self::Basic,
            _ if metadata.authenticates_by("none") => Self::None,
            _ => Self::Basic,
        }
    }
}

/// What a token endpoint gave.
pub(crate) struct Granted {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) scopes: Option<Vec<String>>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: Option<String>,
    token_type: Option<String>,
    refresh_token: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<i64>,
    scope: Option<String>,
    issued_token_type: Option<String>,
    error: Option<String>,
}

/// Some servers write the number as a text.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let whole = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    #[expect(clippy::cast_possible_truncation, reason = "a float to an integer saturates")]
    Ok(whole.filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as i64))
}

impl<'a> TokenEndpoint<'a> {
    /// The one of an authorization server, for this client.
    pub(crate) fn of(
        metadata: &ServerMetadata,
        reach: &Reach,
        client: &'a Client,
        tools: (&'a dyn Http, &'a dyn Clock, &'a dyn Entropy),
    ) -> Result<Self, OAuthError> {
        let (http, clock, entropy) = tools;
        Ok(Self {
            http,
            clock,
            entropy,
            url: metadata.token_endpoint(reach)?,
            issuer: metadata.issuer.as_str().into(),
            client,
            method: Method::of(client, metadata),
        })
    }

    /// Exchanges a grant for a bearer token.
    pub(crate) async fn grant(&self, pairs: &[(&str, &str)]) -> Result<Granted, OAuthError> {
        let now = self.clock.now();
        let body = self.ask(pairs).await?;
        let wrong = |why| OAuthError::metadata(self.url.text(), why);
        let bearer = body.token_type.as_deref().map(|kind| kind.eq_ignore_ascii_case("bearer"));
        if bearer == Some(false) {
            return Err(wrong("it issues tokens that are not bearer tokens"));
        }
        let access = body.access_token.filter(|token| !token.is_empty());
        let access = access.ok_or_else(|| wrong("it issued no token"))?;
        let seconds = body.expires_in.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Granted {
            access: Secret::new(access),
            refresh: body.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            expires: seconds.map(|seconds| now.after(std::time::Duration::from_secs(seconds))),
            scopes: body.scope.map(|scope| challenge::scopes(&scope)),
        })
    }

    /// Exchanges one token for another of this type (RFC 8693), which is no access token.
    pub(crate) async fn exchange(
        &self,
        pairs: &[(&str, &str)],
        kind: &str,
    ) -> Result<Secret, OAuthError> {
        let body = self.ask(pairs).await?;
        let wrong = |why| OAuthError::metadata(self.url.text(), why);
        if body.issued_token_type.as_deref() != Some(kind) {
            return Err(wrong("it issued a token of another type"));
        }
        body.access_token.map(Secret::new).ok_or_else(|| wrong("it issued no token"))
    }

    async fn ask(&self, pairs: &[(&str, &str)]) -> Result<Body, OAuthError> {
        let mut pairs = pairs.to_vec();
        let mut authorization = None;
        let assertion;
        match (&self.client.proof, self.method) {
            (ClientProof::Secret(secret), Method::Basic) => {
                authorization = Some(basic(&self.client.id, secret));
            }
            (ClientProof::Secret(secret), Method::Post) => {
                pairs.push(("client_id", &self.client.id));
                pairs.push(("client_secret", secret.expose()));
            }
            (ClientProof::Key(key), _) => {
                let now = self.clock.now();
                assertion =
                    key.client_assertion(&self.client.id, &self.issuer, now, self.entropy)?;
                pairs.push(("client_id", &self.client.id));
                pairs.push(("client_assertion_type", JWT_BEARER));
                pairs.push(("client_assertion", assertion.expose()));
            }
            _ => pairs.push(("client_id", &self.client.id)),
        }
        let content = Content::Form(Secret::new(form::encode(pairs)));
        let ask = Ask { url: self.url.uri().clone(), content, authorization };
        let url = self.url.text();
        let answer = send(self.http, ask, url).await?;
        // Neither the body nor where it does not parse may be quoted: it may hold a token.
        let read: Option<Body> = serde_json::from_slice(&answer.body).ok();
        match (answer.status, read) {
            (200 | 201, Some(body @ Body { error: None, .. })) => Ok(body),
            // Some servers answer errors with 200.
            (_, Some(Body { error: Some(error), .. })) => Err(self.refused(&error)),
            (400..=499, _) => Err(OAuthError::refused(url, "unnamed")),
            _ => Err(OAuthError::metadata(url, "its answer is not usable")),
        }
    }

    fn refused(&self, error: &str) -> OAuthError {
        let url = self.url.text();
        match error {
            "temporarily_unavailable" | "server_error" => OAuthError::Unanswered {
                url: url.to_string(),
                cause: super::http::HttpError::Status(503),
            },
            error => OAuthError::refused(url, error),
        }
    }
}

/// RFC 6749 §2.3.1: id and secret are form-encoded first.
fn basic(id: &str, secret: &Secret) -> Secret {
    let (id, secret) = (form::encode_one(id), Secret::new(form::encode_one(secret.expose())));
    let pair = Secret::new(format!("{id}:{}", secret.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}
