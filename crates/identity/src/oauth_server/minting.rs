//! Access tokens in the making (RFC 9068 §2).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use doorward_core::{Actor, PrincipalKind, Scopes, Secret, Timestamp};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::fault::{Fault, fresh};
use super::resource::{ProtectedResource, limits, narrowed};
use super::server::OAuthServer;
use super::store::{FamilyId, Subject};

/// What a token is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bond {
    /// A key, by its thumbprint (RFC 9449 §6.1).
    pub(crate) key: Option<Arc<str>>,
    /// A certificate, by its hash (RFC 8705 §3.1).
    pub(crate) certificate: Option<Arc<str>>,
}

/// A token that is to be.
pub(crate) struct Wanted<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) client: &'a Client,
    pub(crate) resource: &'a ProtectedResource,
    pub(crate) scopes: &'a [String],
    /// What it may be used for at most, beside what scopes and subject allow.
    pub(crate) most: Option<&'a Scopes>,
    pub(crate) actors: &'a [Actor],
    pub(crate) bond: &'a Bond,
    pub(crate) family: Option<&'a FamilyId>,
    /// When it ends at the latest.
    pub(crate) ends: Option<Timestamp>,
}

/// A token that was made.
pub(crate) struct Minted {
    token: Secret,
    lasts: Duration,
    bound: bool,
    scopes: Vec<String>,
}

impl OAuthServer {
    pub(crate) fn mint(&self, wanted: &Wanted<'_>) -> Result<Minted, Fault> {
        let now = self.clock.now();
        let ends = now.after(self.lifetimes.access);
        let ends = wanted.ends.map_or(ends, |most| most.min(ends));
        let seconds = ends.as_secs().saturating_sub(now.as_secs());
        // Also where the time is beyond reckoning: such a token holds for nobody.
        let lasts = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let lasts = Duration::from_secs(lasts.ok_or_else(Fault::invalid_grant)?);
        let claims = self.claims(wanted, now, ends)?;
        let token = self.keys.load().current().sign("at+jwt", &Value::Object(claims))?;
        let bound = wanted.bond.key.is_some();
        Ok(Minted { token, lasts, bound, scopes: wanted.scopes.to_vec() })
    }

    fn claims(
        &self,
        wanted: &Wanted<'_>,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<Map<String, Value>, Fault> {
        let Wanted { subject, client, resource, scopes, .. } = wanted;
        let granted = self.implied(scopes.iter().map(String::as_str));
        let granted = granted.iter().filter_map(|name| self.scopes.get(*name));
        let mut most = limits(granted, !resource.scopes.is_empty(), &subject.limits);
        if let Some(other) = wanted.most {
            most = narrowed(&most, other);
        }
        let limits = serde_json::to_value(&most).map_err(|error| Fault::internal(&error))?;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(self.issuer));
        put("aud", json!(resource.url));
        put("sub", json!(subject.id));
        put("client_id", json!(client.id));
        put("scope", json!(scopes.join(" ")));
        put("iat", json!(now.as_secs()));
        put("exp", json!(ends.as_secs()));
        put("jti", json!(self.token_id(wanted.family)));
        put("limits", limits);
        if subject.kind == PrincipalKind::Service {
            put("gty", json!("client-credentials"));
        }
        if let Some(team) = &subject.team {
            put("team", json!(team));
        }
        if let Some(groups) = &subject.groups {
            put("groups", json!(groups));
        }
        if !subject.roles.is_empty() {
            put("roles", json!(subject.roles));
        }
        if let Some(chain) = chain(wanted.actors) {
            put("act", chain);
        }
        let mut bonds = Map::new();
        if let Some(key) = &wanted.bond.key {
            bonds.insert("jkt".to_owned(), json!(key));
        }
        if let Some(certificate) = &wanted.bond.certificate {
            bonds.insert("x5t#S256".to_owned(), json!(certificate));
        }
        if !bonds.is_empty() {
            put("cnf", Value::Object(bonds));
        }
        Ok(claims)
    }

    /// The family, where there is one, and 128 random bits: revoking a family revokes its tokens.
    fn token_id(&self, family: Option<&FamilyId>) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let family = family.map_or("", FamilyId::as_str);
        format!("{family}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Who acts, nearest outermost (RFC 8693 §4.1).
fn chain(actors: &[Actor]) -> Option<Value> {
    actors.iter().rev().fold(None, |inner, actor| {
        let mut link = Map::from_iter([("sub".to_owned(), json!(actor.id))]);
        link.extend(inner.map(|inner| ("act".to_owned(), inner)));
        Some(Value::Object(link))
    })
}

impl Minted {
    /// The answer (RFC 6749 §5.1).
    pub(crate) fn answer(
        &self,
        refresh: Option<&Secret>,
        kind: Option<&'static str>,
    ) -> Response<Bytes> {
        let mut body = json!({
            "access_token": self.token.expose(),
            "token_type": if self.bound { "DPoP" } else { "Bearer" },
            "expires_in": self.lasts.as_secs(),
            "scope": self.scopes.join(" "),
        });
        if let Some(refresh) = refresh {
            body["refresh_token"] = refresh.expose().into();
        }
        if let Some(kind) = kind {
            body["issued_token_type"] = kind.into();
        }
        fresh(StatusCode::OK, &body)
    }
}
