//! Token exchange: a client that was called with somebody's token gets one of its own to go on
//! with (RFC 8693).

use bytes::Bytes;
use doorward_core::{Actor, PrincipalKind, Scopes, Secret, Timestamp};
use http::Response;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::assertion::is_ours;
use super::fault::Fault;
use super::introspection::OwnToken;
use super::minting::{Bond, Wanted};
use super::server::OAuthServer;
use super::store::{FamilyId, Subject};
use super::token::Asking;
use crate::jwt::{Expected, actors};
use crate::oauth_client::scopes;

/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// The longest chain of actors that is read at the door.
const ACTORS_MOST: usize = 8;

/// Whom a token speaks of, and what it allows at most.
struct Held {
    subject: Subject,
    actors: Vec<Actor>,
    scopes: Option<Vec<String>>,
    limits: Option<Scopes>,
    family: Option<FamilyId>,
    may_act: Option<Value>,
    ends: Timestamp,
}

impl OAuthServer {
    /// A token for whom another one speaks of, with whoever acts for them in `act`.
    pub(crate) async fn by_exchange(&self, asking: &Asking<'_>) -> Result<Response<Bytes>, Fault> {
        let Asking { form, client, bond, .. } = asking;
        let wanted = form.text("requested_token_type").unwrap_or(ACCESS_TOKEN);
        if ![ACCESS_TOKEN, JWT].contains(&wanted) {
            return Err(Fault::invalid_request("only access tokens are issued here"));
        }
        let named = form.all("resource").chain(form.all("audience"));
        let resource = self.target(client, named)?;
        let held = self.held(asking, "subject_token", "subject_token_type").await?;
        let actor = self.actor(asking).await?;
        if !may_act(held.may_act.as_ref(), &actor, &client.id) {
            return Err(Fault::invalid_grant());
        }
        let mut chain = held.actors;
        // Somebody who acts for themselves is no actor.
        if actor != held.subject.id && chain.first().is_none_or(|nearest| nearest.id != actor) {
            chain.insert(0, Actor { id: actor });
        }
        if chain.len() > ACTORS_MOST {
            return Err(Fault::invalid_request("too many act for one another"));
        }
        let mut granted = self.granted(client, resource, form.text("scope"))?;
        if let Some(had) = &held.scopes {
            let had = self.implied(had.iter().map(String::as_str));
            granted.retain(|scope| had.contains(&scope.as_str()));
            if granted.is_empty() && !resource.scopes.is_empty() {
                return Err(Fault::new("invalid_scope", "the token has none of these scopes"));
            }
        }
        let minted = self.mint(&Wanted {
            subject: &held.subject,
            client,
            resource,
            scopes: &granted,
            most: held.limits.as_ref(),
            actors: &chain,
            bond,
            family: held.family.as_ref(),
            ends: Some(held.ends),
        })?;
        Ok(minted.answer(None, Some(ACCESS_TOKEN)))
    }

    /// Whom a token in the request speaks of: one of ours, or one of a trusted issuer's.
    async fn held(
        &self,
        asking: &Asking<'_>,
        name: &'static str,
        kind: &'static str,
    ) -> Result<Held, Fault> {
        let Asking { request, form, bond, .. } = asking;
        let text = Secret::new(form.needed(name)?);
        let expected = match form.needed(kind)? {
            ACCESS_TOKEN | JWT => Expected::AccessToken,
            ID_TOKEN => Expected::IdToken,
            _ => return Err(Fault::invalid_request("this type of token is not known here")),
        };
        if expected == Expected::AccessToken
            && let Some(own) = self.own_token(text.expose())
        {
            return own_held(own, bond).ok_or_else(Fault::invalid_grant);
        }
        let Some(assertions) = &self.assertions else { return Err(Fault::invalid_grant()) };
        let found = assertions.verify(&text, expected).await;
        let found = found.map_err(|error| self.failed(request, error.into()))?;
        if !is_ours(&found, bond) {
            return Err(self.failed(request, Fault::invalid_grant()));
        }
        Ok(Held {
            subject: Subject::of(&found.principal),
            actors: found.principal.actors.clone(),
            scopes: None,
            limits: None,
            family: None,
            may_act: found.claims.get("may_act").cloned(),
            ends: found.expires,
        })
    }

    /// Who acts: whom the actor's token speaks of, else the client.
    async fn actor(&self, asking: &Asking<'_>) -> Result<std::sync::Arc<str>, Fault> {
        let Asking { form, client, .. } = asking;
        if form.text("actor_token").is_none() {
            if form.text("actor_token_type").is_some() {
                return Err(Fault::invalid_request("`actor_token` is missing"));
            }
            return Ok(client.subject.id.clone());
        }
        let held = self.held(asking, "actor_token", "actor_token_type").await?;
        Ok(held.subject.id)
    }
}

/// RFC 8693 §4.4: where a token says who may act, nobody else may.
fn may_act(said: Option<&Value>, actor: &str, client: &str) -> bool {
    let Some(said) = said else { return true };
    let is = |name: &str, whom: &str| {
        said.get(name).and_then(Value::as_str).is_some_and(|one| one == whom)
    };
    is("sub", actor) || is("sub", client) || is("client_id", client)
}

/// One of our own tokens, as far as it is the client's to show.
fn own_held(own: OwnToken, bond: &Bond) -> Option<Held> {
    let OwnToken { id, expires, claims, .. } = own;
    if !is_bound(&claims, bond) {
        return None;
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let service = text("gty") == Some("client-credentials");
    let list = |name: &str| -> Option<Vec<std::sync::Arc<str>>> {
        let list = claims.get(name)?.as_array()?;
        list.iter().map(|value| value.as_str().map(Into::into)).collect()
    };
    let limits = Scopes::deserialize(claims.get("limits")?).ok()?;
    let subject = Subject {
        id: text("sub")?.into(),
        kind: if service { PrincipalKind::Service } else { PrincipalKind::Person },
        team: text("team").map(Into::into),
        groups: list("groups"),
        roles: list("roles").unwrap_or_default(),
        // What the token allows is less than what its principal may, and bounds what comes of it.
        limits: limits.clone(),
        key: None,
    };
    let family = id.split_once('.').map(|(family, _)| family).filter(|family| !family.is_empty());
    Some(Held {
        subject,
        actors: actors(&claims).ok()?,
        scopes: Some(scopes(text("scope").unwrap_or_default())),
        limits: Some(limits),
        family: family.map(FamilyId::new),
        may_act: claims.get("may_act").cloned(),
        ends: expires,
    })
}

fn is_bound(claims: &Map<String, Value>, bond: &Bond) -> bool {
    let Some(bonds) = claims.get("cnf") else { return true };
    let is = |name: &str, shown: Option<&std::sync::Arc<str>>| {
        bonds.get(name).is_none_or(|bound| shown.is_some_and(|shown| *bound == **shown))
    };
    is("jkt", bond.key.as_ref()) && is("x5t#S256", bond.certificate.as_ref())
}
