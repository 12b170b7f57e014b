//! A person's consent: the question, and what comes of the answer.

use std::sync::Arc;

use doorward_core::{Principal, Secret, Timestamp};

use super::authorization::{Redirect, Refused, SignedIn, Valid};
use super::client::{Client, Origin};
use super::fault::Fault;
use super::redirect::RedirectUri;
use super::server::OAuthServer;
use super::store::{ConsentKey, Family, FamilyId, IssuedCode, Pending, SecretHash, Subject};
use super::token::CODE;
use crate::oauth_client::random;

/// The purposes of hashes.
const QUESTION: &str = "question";
const SESSION: &str = "session";
const CSRF: &str = "csrf";

/// What a person is asked, for the page that asks. The page may not be framed (`frame-ancestors
/// 'none'`), and posts `id` and `csrf` back.
///
/// What a client says of itself is only that; the hosts are what can be relied on.
#[derive(Debug, Clone)]
pub struct Question {
    /// Names the question, once.
    pub id: Secret,
    /// Shows that the answer comes from the page.
    pub csrf: Secret,
    /// What the client calls itself.
    pub client_name: Arc<str>,
    /// Who vouches for the client.
    pub origin: Origin,
    /// The host of the client's document, where it has one.
    pub client_host: Option<String>,
    /// Where the person is sent afterwards: a host, or the scheme of an app.
    pub redirect_host: String,
    /// Whether that is the person's own machine: any program there could be the one that asks.
    pub is_local: bool,
    /// The scopes: each name with its sentence.
    pub scopes: Vec<(String, Arc<str>)>,
    /// The resource, by its URL.
    pub resource: Arc<str>,
    /// The resource's name.
    pub resource_name: Option<Arc<str>>,
}

impl Valid<'_> {
    /// The request as it waits for this person's answer.
    pub(crate) fn pending(&self, signed_in: SignedIn<'_>) -> Pending {
        Pending {
            principal: signed_in.principal.id.clone(),
            session: SecretHash::of(SESSION, signed_in.session.expose()),
            csrf: SecretHash::from_bytes([0; 32]),
            client: self.client.id.clone(),
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
            scopes: self.scopes.clone(),
            resource: self.resource.url.clone(),
            challenge: self.challenge.clone(),
            key: self.key.clone(),
        }
    }
}

impl OAuthServer {
    /// Whether nobody needs to be asked: the organisation has consented, or this person has, to
    /// all of it, for this client, this redirect URI and this resource.
    ///
    /// An app on somebody's machine that proves nothing could be any app (RFC 8252 §8.6): there
    /// the person is asked each time.
    pub(crate) async fn is_consented(
        &self,
        valid: &Valid<'_>,
        principal: &Principal,
    ) -> Result<bool, Fault> {
        let web = RedirectUri::read(&valid.redirect_uri, &self.schemes);
        let web = web.is_ok_and(|uri| uri.web_host().is_some());
        if valid.client.implied && web {
            return Ok(true);
        }
        if valid.client.is_public() && !web {
            return Ok(false);
        }
        let key = consent_key(&valid.client, &valid.remembered, &valid.resource.url, &principal.id);
        let known = self.store.consented(&key).await?;
        let whole = valid.scopes.is_empty() && !known.iter().any(|scope| scope == WHOLE);
        let known = self.implied(known.iter().map(String::as_str));
        Ok(!whole && valid.scopes.iter().all(|scope| known.contains(&scope.as_str())))
    }

    pub(crate) async fn question(
        &self,
        valid: Valid<'_>,
        signed_in: SignedIn<'_>,
    ) -> Result<Question, Fault> {
        let (id, csrf) = (random(&*self.entropy), random(&*self.entropy));
        let csrf_hash = SecretHash::of(CSRF, csrf.expose());
        let pending = Pending { csrf: csrf_hash, ..valid.pending(signed_in) };
        let until = self.clock.now().after(self.lifetimes.question);
        self.store.ask(SecretHash::of(QUESTION, id.expose()), &pending, until).await?;
        let Valid { client, redirect_uri, scopes, resource, .. } = valid;
        let uri =
            RedirectUri::read(&redirect_uri, &self.schemes).map_err(Fault::invalid_request)?;
        let described = |name: String| {
            let known = self.scopes.get(&*name).map(|scope| scope.description.clone());
            (name, known.unwrap_or_else(|| "".into()))
        };
        Ok(Question {
            id,
            csrf,
            client_name: client.name.clone(),
            origin: client.origin,
            client_host: host_of(&client),
            redirect_host: uri.shown().to_owned(),
            is_local: uri.web_host().is_none(),
            scopes: scopes.into_iter().map(described).collect(),
            resource: resource.url.clone(),
            resource_name: resource.name.clone(),
        })
    }

    /// The person consents: remembers it, and sends them on to the client with a code.
    ///
    /// # Errors
    ///
    /// Where there is no such question any more, or it was asked of somebody else, in another
    /// session, or on another page.
    pub async fn approve(
        &self,
        question: &str,
        signed_in: SignedIn<'_>,
        csrf: &str,
    ) -> Result<Redirect, Refused> {
        let approved = async {
            let pending = self.answered(question, signed_in, csrf).await?;
            // What has changed meanwhile counts.
            let client = self.client(&pending.client, true).await?;
            let known = client.as_ref().and_then(|client| client.redirect(&pending.redirect_uri));
            let (Some(client), Some(uri)) = (&client, known) else { return Err(no_question()) };
            let (remembered, resource) = (uri.remembered(), &pending.resource);
            let key = consent_key(client, &remembered, resource, &pending.principal);
            let mut scopes = pending.scopes.clone();
            if scopes.is_empty() {
                scopes.push(WHOLE.to_owned());
            }
            self.store.consent(&key, &scopes, self.clock.now()).await?;
            self.issue(pending, signed_in).await
        };
        Box::pin(approved).await.map_err(|fault| Refused::of(&fault))
    }

    /// The person declines: sends them back to the client with `access_denied`.
    ///
    /// # Errors
    ///
    /// As [`approve`](Self::approve).
    pub async fn decline(
        &self,
        question: &str,
        signed_in: SignedIn<'_>,
        csrf: &str,
    ) -> Result<Redirect, Refused> {
        let pending = Box::pin(self.answered(question, signed_in, csrf)).await;
        let pending = pending.map_err(|fault| Refused::of(&fault))?;
        let answer = [("error", "access_denied"), ("error_description", "the person declined")];
        Ok(self.redirect(&pending.redirect_uri, pending.state.as_deref(), answer))
    }

    async fn answered(
        &self,
        question: &str,
        signed_in: SignedIn<'_>,
        csrf: &str,
    ) -> Result<Pending, Fault> {
        let id = SecretHash::of(QUESTION, question);
        let pending = self.store.answer(id, self.clock.now()).await?.ok_or_else(no_question)?;
        let same = pending.principal == signed_in.principal.id
            && pending.session == SecretHash::of(SESSION, signed_in.session.expose())
            && pending.csrf == SecretHash::of(CSRF, csrf);
        if same { Ok(pending) } else { Err(no_question()) }
    }

    /// A code for what was consented to.
    pub(crate) async fn issue(
        &self,
        pending: Pending,
        signed_in: SignedIn<'_>,
    ) -> Result<Redirect, Fault> {
        let now = self.clock.now();
        let expires: Timestamp = now.after(self.lifetimes.code);
        let code = random(&*self.entropy);
        let family = Family {
            id: FamilyId::random(&*self.entropy),
            client: pending.client.clone(),
            subject: Subject::of(signed_in.principal),
            scopes: pending.scopes,
            resource: pending.resource,
            key: None,
            certificate: None,
            expires,
        };
        let issued = IssuedCode {
            family: family.id.clone(),
            redirect_uri: pending.redirect_uri.clone(),
            challenge: pending.challenge,
            key: pending.key,
            expires,
        };
        self.store.open(SecretHash::of(CODE, code.expose()), &issued, &family).await?;
        self.store.used(&pending.client, now).await?;
        let answer = [("code", code.expose())];
        Ok(self.redirect(&pending.redirect_uri, pending.state.as_deref(), answer))
    }
}

/// Stands in a remembered consent for a resource that has no scopes. No scope has such a name.
const WHOLE: &str = " ";

fn consent_key(
    client: &Client,
    remembered: &Arc<str>,
    resource: &Arc<str>,
    principal: &Arc<str>,
) -> ConsentKey {
    ConsentKey {
        principal: principal.clone(),
        client: client.id.clone(),
        redirect_uri: remembered.clone(),
        resource: resource.clone(),
    }
}

/// The host that vouches for a client by its document.
fn host_of(client: &Client) -> Option<String> {
    if client.origin != Origin::Document {
        return None;
    }
    let uri: http::Uri = client.id.parse().ok()?;
    uri.host().map(str::to_owned)
}

fn no_question() -> Fault {
    Fault::invalid_request("this question is not open any more: start again at the client")
}
