//! The token endpoint: codes and refresh tokens (RFC 6749 §4.1.3, §6; OAuth 2.1 §4.3).

use bytes::Bytes;
use doorward_core::{Proof as Possession, Secret};
use http::Response;
use subtle::ConstantTimeEq as _;

use super::challenge::asked_for;
use super::client::{Client, GrantType, Proof};
use super::fault::Fault;
use super::minting::{Bond, Wanted};
use super::request::{Form, Request};
use super::resource::ProtectedResource;
use super::server::OAuthServer;
use super::store::{Family, IssuedCode, Redeemed, Rotation, SecretHash, Subject, Turn};
use crate::oauth_client::{code_challenge, random, scopes};

/// The purposes of hashes.
pub(crate) const CODE: &str = "code";
pub(crate) const REFRESH: &str = "refresh token";

/// Everything about one request for a token.
pub(crate) struct Asking<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) form: &'a Form,
    pub(crate) client: &'a Client,
    pub(crate) bond: Bond,
}

impl OAuthServer {
    pub(crate) async fn token(&self, request: Request<'_>) -> Result<Response<Bytes>, Fault> {
        let form = request.form()?;
        let grant = GrantType::read(form.needed("grant_type")?);
        let unknown = || Fault::new("unsupported_grant_type", "this grant is not known here");
        let grant = grant.ok_or_else(unknown)?;
        let client = self.authenticate(&request, &form).await?;
        if !client.may(grant) {
            return Err(Fault::new("unauthorized_client", "this client may not use this grant"));
        }
        let bond = self.bond(&request, &client)?;
        let asking = Asking { request: &request, form: &form, client: &client, bond };
        match grant {
            GrantType::AuthorizationCode => self.by_code(&asking).await,
            GrantType::RefreshToken => self.by_refresh(&asking).await,
            GrantType::ClientCredentials => self.by_itself(&asking),
            GrantType::JwtBearer => self.by_assertion(&asking).await,
            GrantType::TokenExchange => self.by_exchange(&asking).await,
        }
    }

    /// What a client's tokens are bound to: the key of a proof that it shows (RFC 9449 §5), the
    /// certificate that it proves itself with (RFC 8705 §3).
    fn bond(&self, request: &Request<'_>, client: &Client) -> Result<Bond, Fault> {
        let wrong = |why: &'static str| Fault::new("invalid_dpop_proof", why);
        let header = request.header("dpop").map_err(|_| wrong("one proof at a time"))?;
        let key = match header {
            None => None,
            Some(jws) => {
                let url = self.endpoint("token").into();
                let proof = Possession { jws: Secret::new(jws), method: "POST".into(), url };
                let times = (self.clock.now(), self.clock.instant());
                let key = self.proofs.introduce(&proof, times).map_err(|refused| {
                    tracing::debug!(%refused, client = %client.id, "a proof is not accepted");
                    wrong("the proof is not valid")
                })?;
                Some(key.into())
            }
        };
        let shows = client.bound || matches!(client.auth.0, Proof::Certificates(_));
        let certificate = request.certificate.filter(|_| shows).map(Into::into);
        if client.bound && key.is_none() && certificate.is_none() {
            return Err(wrong("this client's tokens are bound to its key: show a proof"));
        }
        Ok(Bond { key, certificate })
    }

    async fn by_code(&self, asking: &Asking<'_>) -> Result<Response<Bytes>, Fault> {
        let Asking { request, form, client, .. } = asking;
        let code = SecretHash::of(CODE, form.needed("code")?);
        let verifier = Secret::new(form.needed("code_verifier")?);
        let now = self.clock.now();
        let (issued, family) = match self.store.redeem(code, now, self.ended(now)).await? {
            Redeemed::Once(issued, family) => (issued, *family),
            Redeemed::Again => {
                tracing::warn!(client = %client.id, "a code was shown twice: what came of it is revoked");
                self.refresh().await?;
                return Err(Fault::invalid_grant());
            }
            Redeemed::Unknown => return Err(self.failed(request, Fault::invalid_grant())),
        };
        if !self.is_bound(asking, &issued, &family, &verifier) {
            // It is used up: whoever has it may not try again.
            self.store.revoke_family(&family.id, self.ended(now)).await?;
            return Err(self.failed(request, Fault::invalid_grant()));
        }
        let mut family = family;
        let lasting = client.may(GrantType::RefreshToken);
        let lasts = if lasting { self.lifetimes.family } else { self.lifetimes.access };
        family.expires = now.after(lasts);
        // A client that proves who it is has its refresh tokens bound by that.
        if client.is_public() {
            family.key.clone_from(&asking.bond.key);
            family.certificate.clone_from(&asking.bond.certificate);
        }
        let refresh = lasting.then(|| random(&*self.entropy));
        let hash = refresh.as_ref().map(|text| SecretHash::of(REFRESH, text.expose()));
        if !self.store.start(&family, hash).await? {
            return Err(Fault::invalid_grant());
        }
        self.answer(asking, &family, &family.scopes, refresh.as_ref())
    }

    /// Whether the code is this client's, for this redirect URI, this verifier, this key and this
    /// resource.
    fn is_bound(
        &self,
        asking: &Asking<'_>,
        issued: &IssuedCode,
        family: &Family,
        verifier: &Secret,
    ) -> bool {
        let Asking { form, client, bond, .. } = asking;
        let redirect = form.text("redirect_uri");
        let fits = code_challenge(verifier).as_bytes().ct_eq(issued.challenge.as_bytes());
        family.client == client.id
            && redirect.is_none_or(|uri| *uri == *issued.redirect_uri)
            && is_verifier(verifier.expose())
            && bool::from(fits)
            && issued.key.as_ref().is_none_or(|key| bond.key.as_ref() == Some(key))
            && self.is_of(form, &family.resource)
    }

    /// Whether a request names this resource, or none.
    fn is_of(&self, form: &Form, resource: &str) -> bool {
        let named = |url: &str| self.resource(url).is_some_and(|known| *known.url == *resource);
        form.all("resource").all(named)
    }

    async fn by_refresh(&self, asking: &Asking<'_>) -> Result<Response<Bytes>, Fault> {
        let Asking { request, form, client, bond } = asking;
        let shown = SecretHash::of(REFRESH, form.needed("refresh_token")?);
        let family = self.store.family_of_refresh(shown).await?;
        let Some(family) = family else {
            return Err(self.failed(request, Fault::invalid_grant()));
        };
        if family.client != client.id {
            tracing::warn!(client = %client.id, "another client's refresh token was shown: it is revoked");
            self.revoke_family(&family.id).await?;
            return Err(Fault::invalid_grant());
        }
        let unbound = family.key.as_ref().is_some_and(|key| bond.key.as_ref() != Some(key))
            || family
                .certificate
                .as_ref()
                .is_some_and(|one| bond.certificate.as_ref() != Some(one));
        if unbound || !self.is_of(form, &family.resource) {
            return Err(Fault::invalid_grant());
        }
        let asked = form.text("scope").map(scopes);
        let asked = asked.unwrap_or_else(|| family.scopes.clone());
        if !asked.iter().all(|scope| family.scopes.contains(scope)) {
            return Err(Fault::new("invalid_scope", "a refresh brings no scope more"));
        }
        let family = self.standing_now(family).await?;
        let next = random(&*self.entropy);
        let now = self.clock.now();
        let turn = Turn {
            shown,
            next: SecretHash::of(REFRESH, next.expose()),
            now,
            grace: self.lifetimes.grace,
            until: self.ended(now),
        };
        // Made before the old token is used up: what cannot be answered costs nothing.
        let answer = self.answer(asking, &family, &asked, Some(&next))?;
        match self.store.rotate(turn).await? {
            Rotation::Turned => Ok(answer),
            Rotation::Reused => {
                tracing::warn!(client = %client.id, "a refresh token was shown again: its family is revoked");
                self.refresh().await?;
                Err(Fault::invalid_grant())
            }
            Rotation::Gone => Err(Fault::invalid_grant()),
        }
    }

    /// The family with its principal as it is now.
    async fn standing_now(&self, mut family: Family) -> Result<Family, Fault> {
        let Some(standing) = &self.standing else { return Ok(family) };
        match standing.now(&family.subject).await {
            Ok(Some(principal)) if principal.id == family.subject.id => {
                let subject = Subject::of(&principal);
                if subject != family.subject {
                    family.subject = subject;
                    self.store.update(&family).await?;
                }
                Ok(family)
            }
            Ok(_) => {
                self.revoke_family(&family.id).await?;
                Err(Fault::invalid_grant())
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(cause, "whether a person still is one is not known");
                Err(Fault::unavailable())
            }
        }
    }

    /// A token of a family, with the scopes that client and resource still have.
    fn answer(
        &self,
        asking: &Asking<'_>,
        family: &Family,
        asked: &[String],
        refresh: Option<&Secret>,
    ) -> Result<Response<Bytes>, Fault> {
        let resource = self.resource(&family.resource).ok_or_else(Fault::invalid_target)?;
        let asked = asked.join(" ");
        let asked = (!asked.is_empty()).then_some(&*asked);
        let minted = self.mint(&Wanted {
            subject: &family.subject,
            client: asking.client,
            resource,
            scopes: &self.granted(asking.client, resource, asked)?,
            most: None,
            actors: &[],
            bond: &asking.bond,
            family: Some(&family.id),
            ends: Some(family.expires),
        })?;
        Ok(minted.answer(refresh, None))
    }

    /// The client's own authority (RFC 6749 §4.4). No refresh token comes of it.
    fn by_itself(&self, asking: &Asking<'_>) -> Result<Response<Bytes>, Fault> {
        let Asking { form, client, bond, .. } = asking;
        let resource = self.target(client, form.all("resource"))?;
        let minted = self.mint(&Wanted {
            subject: &client.subject,
            client,
            resource,
            scopes: &self.granted(client, resource, form.text("scope"))?,
            most: None,
            actors: &[],
            bond,
            family: None,
            ends: None,
        })?;
        Ok(minted.answer(None, None))
    }

    /// The resource that is meant: one of ours, one at a time, one that the client may have
    /// tokens for.
    pub(crate) fn target<'a>(
        &self,
        client: &Client,
        mut named: impl Iterator<Item = &'a str>,
    ) -> Result<&ProtectedResource, Fault> {
        let url = match (named.next(), named.next()) {
            (Some(url), None) => url,
            (None, _) => self.default.as_deref().ok_or_else(Fault::invalid_target)?,
            (Some(_), Some(_)) => return Err(Fault::invalid_target()),
        };
        let may = |known: &&ProtectedResource| {
            let listed = client.resources.as_ref();
            listed.is_none_or(|urls| urls.iter().any(|url| *url == *known.url))
        };
        self.resource(url).filter(may).ok_or_else(Fault::invalid_target)
    }

    /// The scopes that there are at the resource and that the client may have, of those that it
    /// asks for. What it may not have is left out; the answer says what it got (RFC 6749 §3.3).
    pub(crate) fn granted(
        &self,
        client: &Client,
        resource: &ProtectedResource,
        asked: Option<&str>,
    ) -> Result<Vec<String>, Fault> {
        if resource.scopes.is_empty() {
            return Ok(Vec::new());
        }
        let listed = client.scopes.as_ref();
        let listed = listed.map(|list| self.implied(list.iter().map(String::as_str)));
        let may = |scope: &String| {
            resource.scopes.contains(scope)
                && listed.as_ref().is_none_or(|listed| listed.contains(&scope.as_str()))
        };
        let mut granted = asked.map_or_else(|| asked_for(resource).to_vec(), scopes);
        granted.retain(may);
        if granted.is_empty() {
            return Err(Fault::new("invalid_scope", "none of these scopes can be had here"));
        }
        Ok(granted)
    }
}

/// RFC 7636 §4.1.
fn is_verifier(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(legal)
}
