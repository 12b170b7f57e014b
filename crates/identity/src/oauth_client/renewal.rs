//! Keeping tokens fresh: ahead of their end, one flight for each, whoever waits or leaves.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{CallError, Code, Principal, Refusal, Secret, Timestamp};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use super::address::brief;
use super::challenge::Challenge;
use super::client::{Inner, Server, answerable, told, was_shown};
use super::endpoint::Granted;
use super::fault::OAuthError;
use super::http::HttpError;
use super::metadata::ServerMetadata;
use super::registration::Client;
use super::scope;
use super::server::Grant;
use super::tokens::{Held, Owner, TokenKey};

/// How long before its end a token is renewed, at most; a quarter of a shorter life.
const EARLY: Duration = Duration::from_mins(1);
/// How long another process may take to renew, and how often it is looked whether it did.
const CLAIM: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 100;

/// A token of an owner that is being renewed.
struct Renewal {
    server: Arc<Server>,
    principal: Arc<Principal>,
    key: TokenKey,
    held: Held,
}

/// A refusal that is being answered.
struct Answering {
    server: Arc<Server>,
    principal: Arc<Principal>,
    owner: Owner,
    challenge: Challenge,
    /// What the owner holds, and whether that was refused.
    held: Option<(TokenKey, Held)>,
    shown: bool,
}

type Token = Result<Option<Secret>, OAuthError>;

impl Inner {
    /// The owner's token. One that ends soon is renewed meanwhile, one that has ended at once.
    pub(crate) async fn fresh(
        self: &Arc<Self>,
        server: &Arc<Server>,
        principal: &Arc<Principal>,
    ) -> Token {
        let owner = server.owner(principal);
        let Some((key, held)) = self.held(server, &owner).await? else { return Ok(None) };
        let now = self.clock.now();
        if is_early(&held, now) {
            return Ok(Some(held.access));
        }
        let (server, principal) = (server.clone(), principal.clone());
        if is_live(&held, now) {
            let access = held.access.clone();
            if !self.is_paused(&owner)
                && let Some(flight) = self.flight_now(&owner)
            {
                // Nobody waits for it; it goes on by itself.
                drop(self.spawn(Renewal { server, principal, key, held }, flight));
            }
            return Ok(Some(access));
        }
        let flight = self.flight(&owner).await;
        let Some((key, held)) = self.held(&server, &owner).await? else { return Ok(None) };
        if is_live(&held, self.clock.now()) {
            return Ok(Some(held.access));
        }
        if self.is_paused(&owner) {
            return Err(paused(&key.issuer));
        }
        let renewal = Renewal { server, principal, key, held };
        match self.spawn(renewal, flight).await {
            // The person is asked again, once the server says how.
            Ok(Err(OAuthError::Refused { .. })) => Ok(None),
            Ok(token) => token,
            Err(_) => Err(paused("")),
        }
    }

    /// Goes on even where the caller does not: a refresh token that was used up must not be lost
    /// with the answer that holds the next one.
    fn spawn(self: &Arc<Self>, renewal: Renewal, flight: OwnedMutexGuard<()>) -> JoinHandle<Token> {
        let inner = self.clone();
        tokio::spawn(async move {
            let token = inner.renew(&renewal).await;
            if let Err(error) = &token {
                let server = &renewal.server.name;
                tracing::warn!(%server, %error, "a token was not renewed");
            }
            drop(flight);
            token
        })
    }

    /// Renews as the only process that does.
    async fn renew(self: &Arc<Self>, renewal: &Renewal) -> Token {
        let owner = &renewal.key.owner;
        for _ in 0..LOOKS {
            if self.store.claim(owner, self.clock.now().after(CLAIM)).await? {
                let token = self.renew_claimed(renewal).await;
                self.store.release(owner).await?;
                let failed = token.as_ref().is_err_and(OAuthError::is_transient);
                self.pause(owner, failed);
                return token;
            }
            tokio::time::sleep(LOOK).await;
            match self.held(&renewal.server, owner).await? {
                Some((_, held)) if held.obtained != renewal.held.obtained => {
                    return Ok(Some(held.access));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
        Err(paused(&renewal.key.issuer))
    }

    async fn renew_claimed(self: &Arc<Self>, renewal: &Renewal) -> Token {
        let Renewal { server, principal, key, held } = renewal;
        match (&server.options.grant, &held.refresh) {
            (Grant::Consent, Some(refresh)) => self.refresh(renewal, refresh).await,
            (Grant::Consent, None) => {
                if !is_live(held, self.clock.now()) {
                    self.store.forget(key, held.obtained).await?;
                }
                Ok(None)
            }
            _ => {
                let metadata = self.discovery.server(&key.issuer).await?;
                self.obtain(server, principal, key, &metadata, &held.scopes).await.map(Some)
            }
        }
    }

    async fn refresh(&self, renewal: &Renewal, refresh: &Secret) -> Token {
        let Renewal { server, key, held, .. } = renewal;
        let metadata = self.discovery.server_or_assumed(&key.issuer, held.assumed).await?;
        let client = self.client(server, &metadata).await?;
        if client.id != held.client_id {
            // Refresh tokens are bound to their client (RFC 6749 §6).
            self.store.forget(key, held.obtained).await?;
            return Ok(None);
        }
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
            ("resource", &key.resource),
        ];
        match self.endpoint(&metadata, &client)?.grant(&pairs).await {
            Ok(granted) => {
                let granted =
                    Granted { refresh: granted.refresh.or(held.refresh.clone()), ..granted };
                let kept = self.keep(key, &metadata, &client, granted, &held.scopes).await?;
                Ok(Some(kept))
            }
            Err(error) if error.is_grant_gone() => {
                tracing::info!(server = %server.name, "a grant has ended");
                self.store.forget(key, held.obtained).await?;
                Ok(None)
            }
            Err(error) if error.is_client_gone() && client.dynamic => {
                self.store.unregister(&key.issuer, &client.id).await?;
                self.store.forget(key, held.obtained).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps a new token and hands it out.
    pub(crate) async fn keep(
        &self,
        key: &TokenKey,
        metadata: &ServerMetadata,
        client: &Client,
        granted: Granted,
        asked: &[String],
    ) -> Result<Secret, OAuthError> {
        let mut scopes = asked.to_vec();
        for scope in granted.scopes.into_iter().flatten() {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let held = Held {
            access: granted.access,
            refresh: granted.refresh,
            scopes,
            obtained: self.clock.now(),
            expires: granted.expires,
            client_id: client.id.clone(),
            assumed: metadata.assumed,
        };
        self.store.keep(key, &held).await?;
        Ok(held.access)
    }

    /// Another token after a refusal, or how a person may bring one.
    pub(crate) async fn refused(
        self: &Arc<Self>,
        server: &Arc<Server>,
        principal: &Arc<Principal>,
        refusal: Refusal<'_>,
    ) -> Result<Option<Secret>, CallError> {
        let Some(challenge) = answerable(&refusal) else { return Ok(None) };
        let refuser = self.reach().endpoint(refusal.url);
        if !refuser.is_ok_and(|refuser| refuser.same_origin(&server.url)) {
            return Ok(None);
        }
        let owner = server.owner(principal);
        let flight = self.flight(&owner).await;
        let held = self.held(server, &owner).await.map_err(|error| told(server, error))?;
        let shown = held.as_ref().is_some_and(|(_, held)| was_shown(held, &refusal));
        if let Some((_, held)) = &held {
            if !shown && is_live(held, self.clock.now()) {
                return Ok(Some(held.access.clone()));
            }
            if shown && challenge.is_insufficient_scope() && scope::satisfied(held, &challenge) {
                let public = format!("`{}` refuses: the consent given is not enough", server.name);
                return Err(CallError::new(Code::Forbidden, public).with_rule("oauth"));
            }
        }
        if let Some(error) = self.link_again(server, &owner, principal, &challenge) {
            return Err(error);
        }
        if self.is_paused(&owner) {
            return Err(told(server, paused(server.url.text())));
        }
        let (server, principal) = (server.clone(), principal.clone());
        let answering = Answering { server, principal, owner, challenge, held, shown };
        let inner = self.clone();
        let answered = tokio::spawn(async move {
            let answer = inner.answer(answering).await;
            drop(flight);
            answer
        });
        answered.await.map_err(CallError::internal)?
    }

    async fn answer(self: &Arc<Self>, asked: Answering) -> Result<Option<Secret>, CallError> {
        let server = &asked.server;
        let pinned = server.options.issuer.as_deref();
        let liked = |issuer: &str| match pinned {
            Some(pinned) => issuer == pinned,
            None => self.known(server, issuer).is_some(),
        };
        let found = self.discovery.find(server.url.text(), &asked.challenge, liked).await;
        let found = found.and_then(|found| match pinned {
            Some(pinned) if *found.issuer != *pinned => {
                Err(OAuthError::metadata(server.url.text(), "naming another authorization server"))
            }
            _ => Ok(found),
        });
        let found = found.map_err(|error| {
            self.pause(&asked.owner, error.is_transient());
            told(server, error)
        })?;
        let key = TokenKey {
            owner: asked.owner.clone(),
            issuer: found.issuer.clone(),
            resource: found.resource.clone(),
        };
        let held = asked.held.filter(|(held, _)| *held == key).map(|(_, held)| held);
        let consent = matches!(server.options.grant, Grant::Consent);
        let scopes =
            scope::wanted(&server.options, &found, &asked.challenge, held.as_ref(), consent);
        if consent {
            if let Some(held) = held.filter(|held| held.refresh.is_some())
                && asked.shown
                && !asked.challenge.is_insufficient_scope()
                && self.may_try(&asked.owner)
            {
                let (server, principal) = (server.clone(), asked.principal.clone());
                let renewal = Renewal { server, principal, key: key.clone(), held };
                match self.renew(&renewal).await {
                    Ok(Some(token)) => return Ok(Some(token)),
                    Err(error) if error.is_transient() => {
                        return Err(told(&renewal.server, error));
                    }
                    // The person is asked again.
                    _ => {}
                }
            }
            let link =
                self.link(server, &asked.principal, key, &asked.challenge, (&found, scopes)).await;
            return Err(link.unwrap_or_else(|error| told(server, error)));
        }
        if !self.may_try(&asked.owner) {
            return Ok(None);
        }
        let obtained = self.obtain(server, &asked.principal, &key, &found.metadata, &scopes).await;
        obtained.map(Some).map_err(|error| told(server, error))
    }
}

fn paused(issuer: &str) -> OAuthError {
    OAuthError::Unanswered { url: brief(issuer), cause: HttpError::Paused }
}

/// Whether a token holds.
fn is_live(held: &Held, now: Timestamp) -> bool {
    held.expires.is_none_or(|end| now < end)
}

/// Whether it is too early to renew a token.
fn is_early(held: &Held, now: Timestamp) -> bool {
    held.expires.is_none_or(|end| {
        let life = end.as_micros().saturating_sub(held.obtained.as_micros());
        let quarter = Duration::from_micros(u64::try_from(life / 4).unwrap_or(0));
        now.after(quarter.min(EARLY)) < end
    })
}
