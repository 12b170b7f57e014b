//! The server's own tokens at the door of its resources.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Authenticator, BoxFuture, CallError, Presented, Principal};
use serde_json::{Map, Value};

use super::challenge::Challenge;
use super::resource::ProtectedResource;
use super::server::OAuthServer;
use crate::jwt::{Issuer, Jwt};

/// Establishes who calls by a token of this server's; asks others about others' tokens.
#[derive(Clone)]
pub struct OwnTokens {
    issuer: Arc<str>,
    own: Arc<Jwt>,
    others: Option<Arc<dyn Authenticator>>,
}

impl fmt::Debug for OwnTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl OwnTokens {
    /// Asks this about tokens that say to be of another issuer.
    #[must_use]
    pub fn with_others(mut self, others: Arc<dyn Authenticator>) -> Self {
        self.others = Some(others);
        self
    }
}

impl Authenticator for OwnTokens {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Arc<Principal>, CallError>> {
        let Some(others) = &self.others else { return self.own.authenticate(presented) };
        let text = presented.token.as_ref().map_or("", |token| token.expose());
        let claims = claims(text);
        let issuer = claims.as_ref().and_then(|claims| claims.get("iss")).and_then(Value::as_str);
        if issuer == Some(&self.issuer) {
            self.own.authenticate(presented)
        } else {
            others.authenticate(presented)
        }
    }
}

impl OAuthServer {
    /// Knows the principals behind this server's tokens, for any of its resources. Ask
    /// [`admits`](Self::admits) whether a token is for the one at hand.
    pub fn authenticator(&self) -> OwnTokens {
        OwnTokens { issuer: self.issuer.clone(), own: self.jwt.clone(), others: None }
    }

    /// This server as an issuer to trust, for a [`Jwt`] of other issuers' tokens too. Its keys are
    /// those of now: where keys are changed while it runs, use
    /// [`authenticator`](Self::authenticator).
    pub fn as_issuer(&self) -> Issuer {
        let jwks = serde_json::json!({"keys": self.keys.load().jwks().keys}).to_string();
        self.own.clone().with_keys(crate::jwt::Keys::Inline(jwks))
    }

    /// Whether the token that this principal was known by is for the resource, by its URL, and has
    /// these scopes. Of principals whom no token of this server's brought there is nothing to say:
    /// they pass.
    ///
    /// # Errors
    ///
    /// The challenge to answer with: 401 for a token of another resource, 403 for missing scopes.
    pub fn admits(
        &self,
        principal: &Principal,
        resource: &str,
        needed: &[&str],
    ) -> Result<(), Challenge> {
        let identity = principal.identity.as_ref().filter(|known| known.issuer == self.issuer);
        let Some(identity) = identity else { return Ok(()) };
        let own = self.resource(resource).or_else(|| self.resources.first());
        let refuse = || own.map(|own| self.challenge_of(own).with_invalid_token());
        let token = identity.token.as_ref().map_or("", |token| token.expose());
        let claims = claims(token).unwrap_or_default();
        let meant = own.is_some_and(|own| {
            own.url_is(resource) && claims.get("aud").and_then(Value::as_str) == Some(&own.url)
        });
        let Some(challenge) = refuse() else { return Ok(()) };
        if !meant {
            return Err(challenge);
        }
        let granted = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        let granted = self.implied(granted.split(' '));
        if needed.iter().all(|scope| granted.contains(scope)) {
            return Ok(());
        }
        Err(challenge.with_insufficient_scope(needed))
    }

    /// The resource with this URL.
    pub(crate) fn resource(&self, url: &str) -> Option<&ProtectedResource> {
        self.resources.iter().find(|resource| resource.url_is(url))
    }

    /// The scopes and all that they stand for.
    pub(crate) fn implied<'a>(&'a self, scopes: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut all: Vec<&str> = scopes.filter(|scope| !scope.is_empty()).collect();
        let mut next = 0;
        while let Some(scope) = all.get(next).copied() {
            next += 1;
            let implied = self.scopes.get(scope).map(|scope| scope.implied.as_slice());
            for scope in implied.unwrap_or_default() {
                if !all.contains(&&**scope) {
                    all.push(scope);
                }
            }
        }
        all
    }
}

impl ProtectedResource {
    /// Whether a URL is this one's. Clients that handle URLs as objects write a slash at the end
    /// of one without a path.
    pub(crate) fn url_is(&self, url: &str) -> bool {
        *self.url == *url || url.strip_suffix('/') == Some(&*self.url)
    }
}

/// What a token says, whoever signed it.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let (_, rest) = token.split_once('.')?;
    let (claims, _) = rest.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}
