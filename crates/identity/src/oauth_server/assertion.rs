//! Identity assertions: an identity provider vouches for one of its people to this server
//! (RFC 7523 §2.1, draft-ietf-oauth-identity-assertion-authz-grant).

use bytes::Bytes;
use doorward_core::Secret;
use http::Response;
use serde_json::{Map, Value};

use super::authentication::timely;
use super::fault::Fault;
use super::minting::Wanted;
use super::server::OAuthServer;
use super::store::{SecretHash, Subject};
use super::token::Asking;
use crate::jwt::{Assertion, Expected};
use crate::oauth_client::scopes;

impl OAuthServer {
    /// A token for whom an ID-JAG speaks of. It is good once, for the client that it names; no
    /// refresh token comes of it, so that the provider stays asked.
    pub(crate) async fn by_assertion(&self, asking: &Asking<'_>) -> Result<Response<Bytes>, Fault> {
        let Asking { request, form, client, bond } = asking;
        let text = Secret::new(form.needed("assertion")?);
        let Some(assertions) = &self.assertions else { return Err(Fault::invalid_grant()) };
        let expected = Expected::IdJag { audience: &self.issuer };
        let found = assertions.verify(&text, expected).await;
        let found = found.map_err(|error| self.failed(request, error.into()))?;
        let text = |name: &str| found.claims.get(name).and_then(Value::as_str);
        if text("client_id") != Some(&client.id) || !is_ours(&found, bond) {
            return Err(self.failed(request, Fault::invalid_grant()));
        }
        let resource = self.meant(asking, &found.claims)?;
        let asked = narrowed(form.text("scope"), text("scope"))?;
        let scopes = self.granted(client, resource, asked.as_deref())?;
        self.once(&found).await?;
        let minted = self.mint(&Wanted {
            subject: &Subject::of(&found.principal),
            client,
            resource,
            scopes: &scopes,
            most: None,
            actors: &found.principal.actors,
            bond,
            family: None,
            ends: None,
        })?;
        Ok(minted.answer(None, None))
    }

    /// The resource that the request and the assertion both name; the only one that the assertion
    /// names, where the request names none.
    fn meant(
        &self,
        asking: &Asking<'_>,
        claims: &Map<String, Value>,
    ) -> Result<&super::ProtectedResource, Fault> {
        let Asking { form, client, .. } = asking;
        let vouched: Vec<&str> = match claims.get("resource") {
            None => Vec::new(),
            Some(Value::String(url)) => vec![url],
            Some(Value::Array(urls)) => urls.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(Fault::invalid_grant()),
        };
        let asked = form.text("resource").is_some();
        let resource = match vouched.as_slice() {
            [only] if !asked => self.target(client, std::iter::once(*only)),
            _ => self.target(client, form.all("resource")),
        }?;
        let named = vouched.iter().any(|url| resource.url_is(url));
        if claims.contains_key("resource") && !named {
            return Err(Fault::invalid_target());
        }
        Ok(resource)
    }

    /// Whether the assertion is shown for the first time, and does not hold for too long.
    async fn once(&self, found: &Assertion) -> Result<(), Fault> {
        let now = self.clock.now();
        let ends = timely(&found.claims, now, self.lifetimes.assertion);
        let id = found.claims.get("jti").and_then(Value::as_str);
        let issuer = found.claims.get("iss").and_then(Value::as_str);
        let (Some(_), Some(id), Some(issuer)) = (ends, id, issuer) else {
            return Err(Fault::invalid_grant());
        };
        let mark = SecretHash::of("assertion", &format!("{issuer}\0{id}"));
        // Whoever verified it may let clocks differ by more than we do.
        let until = self.ended(found.expires);
        if self.store.once(mark, until).await? { Ok(()) } else { Err(Fault::invalid_grant()) }
    }
}

/// Whether what an assertion is bound to is what the request was proved with.
pub(crate) fn is_ours(found: &Assertion, bond: &super::minting::Bond) -> bool {
    found.key.as_ref().is_none_or(|key| bond.key.as_ref() == Some(key))
        && found.certificate.as_ref().is_none_or(|one| bond.certificate.as_ref() == Some(one))
}

/// What is asked for, as far as it is vouched for.
fn narrowed(asked: Option<&str>, vouched: Option<&str>) -> Result<Option<String>, Fault> {
    let (Some(asked), Some(vouched)) = (asked, vouched) else {
        return Ok(asked.or(vouched).map(str::to_owned));
    };
    let vouched = scopes(vouched);
    let shared: Vec<_> = scopes(asked).into_iter().filter(|one| vouched.contains(one)).collect();
    if shared.is_empty() {
        return Err(Fault::new("invalid_scope", "none of these scopes is vouched for"));
    }
    Ok(Some(shared.join(" ")))
}
