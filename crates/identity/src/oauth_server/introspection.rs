//! What the server itself knows of its tokens (RFC 7662).

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::Timestamp;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::fault::{Fault, fresh};
use super::request::Request;
use super::server::OAuthServer;
use super::store::SecretHash;
use super::token::REFRESH;
use crate::jwt::{Compact, Revocations as _, TokenMark, seconds};

/// The longest token that is looked at.
const LONGEST: usize = 16 << 10;

/// An access token of ours that is good now.
pub(crate) struct OwnToken {
    pub(crate) id: Arc<str>,
    pub(crate) client: String,
    pub(crate) expires: Timestamp,
    pub(crate) claims: Map<String, Value>,
}

impl OAuthServer {
    /// What one of our access tokens says, if it is one and good now.
    pub(crate) fn own_token(&self, text: &str) -> Option<OwnToken> {
        let Compact { header, claims, signed, signature } = Compact::read(text, LONGEST).ok()?;
        let kid = header.kid.as_deref();
        let typed = header.is_of(&["at+jwt"]) && header.jwk.is_none();
        if !typed || !self.keys.load().verify(kid, header.algorithm, signed, &signature) {
            return None;
        }
        let said = |name: &str| claims.get(name).and_then(Value::as_str);
        if said("iss") != Some(&self.issuer) || self.resource(said("aud")?).is_none() {
            return None;
        }
        let time = |name: &str| {
            let whole = seconds(&claims, name).ok().flatten()?;
            Some(Timestamp::from_micros(whole.saturating_mul(1_000_000)))
        };
        let (expires, issued) = (time("exp")?, time("iat")?);
        let (id, client) = (said("jti")?, said("client_id")?.to_owned());
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        let mark = TokenMark {
            issuer: &self.issuer,
            subject: said("sub")?,
            client: Some(&client),
            id: Some(id),
            issued: Some(issued),
            hash: &hash,
        };
        if expires <= self.clock.now() || self.revoked.is_revoked(&mark) {
            return None;
        }
        Some(OwnToken { id: id.into(), client, expires, claims })
    }

    /// Tells a client that proved who it is about a token: its own, or anybody's where it is a
    /// resource server. Everything else is a token that is not active, for whatever reason.
    pub(crate) async fn introspect(&self, request: Request<'_>) -> Result<Response<Bytes>, Fault> {
        let form = request.form()?;
        let token = form.needed("token")?;
        let client = self.authenticate(&request, &form).await?;
        if client.is_public() {
            return Err(self.failed(&request, Fault::invalid_client(false)));
        }
        let told = match self.told_of_access(token, &client) {
            None => self.told_of_refresh(token, &client).await?,
            told => told,
        };
        let told = told.unwrap_or_else(|| json!({"active": false}));
        Ok(fresh(StatusCode::OK, &told))
    }

    fn told_of_access(&self, token: &str, client: &Client) -> Option<Value> {
        let own = self.own_token(token)?;
        if !(client.introspects || own.client == *client.id) {
            return None;
        }
        let mut told = Map::new();
        for name in [
            "iss",
            "aud",
            "sub",
            "client_id",
            "scope",
            "iat",
            "exp",
            "jti",
            "act",
            "cnf",
            "team",
            "groups",
            "roles",
            "limits",
        ] {
            if let Some(value) = own.claims.get(name) {
                told.insert(name.to_owned(), value.clone());
            }
        }
        let bound = own.claims.get("cnf").is_some_and(|bonds| bonds.get("jkt").is_some());
        told.insert("active".to_owned(), true.into());
        told.insert("token_type".to_owned(), if bound { "DPoP" } else { "Bearer" }.into());
        Some(Value::Object(told))
    }

    async fn told_of_refresh(&self, token: &str, client: &Client) -> Result<Option<Value>, Fault> {
        let hash = SecretHash::of(REFRESH, token);
        let family = self.store.family_of_refresh(hash).await?;
        let now = self.clock.now();
        // Resource servers have no business with refresh tokens.
        let Some(family) = family.filter(|one| one.client == client.id && now < one.expires) else {
            return Ok(None);
        };
        if !self.store.is_current(hash).await? {
            return Ok(None);
        }
        Ok(Some(json!({
            "active": true, "iss": self.issuer, "client_id": family.client,
            "sub": family.subject.id, "aud": family.resource,
            "scope": family.scopes.join(" "), "exp": family.expires.as_secs(),
        })))
    }
}
