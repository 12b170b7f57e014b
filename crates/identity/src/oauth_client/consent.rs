//! A person's consent: a link of this gateway's, the way to the authorization server, and back.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_core::{CallError, Code, Principal, Secret};
use subtle::ConstantTimeEq;

use super::challenge::Challenge;
use super::client::{Inner, OAuthClient, Server};
use super::discovery::Found;
use super::fault::OAuthError;
use super::form;
use super::signing::{challenge as code_challenge, random};
use super::tokens::{Asked, Owner, Pending, PendingId, Started, TokenKey};

/// How long a link or a sign-in may take.
const TAKES: Duration = Duration::from_mins(10);
/// How long the same question has the same link.
const SAME: Duration = Duration::from_mins(1);

/// A link that was given out a moment ago.
pub(crate) struct Link {
    url: Arc<str>,
    challenge: Challenge,
    until: Instant,
}

/// Whoever has one of our pages open.
///
/// The person who consents must be the one whose call asked for it, or an attacker could send
/// somebody else a link and have that person's token.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The principal that is signed in there.
    pub principal: &'a str,
    /// The browser session, by a value that nobody else knows (its cookie).
    pub session: &'a Secret,
}

/// What the authorization server sent a browser back with: the query of the redirect.
#[derive(Clone, Copy, Default)]
pub struct Callback<'a> {
    /// Which sign-in.
    pub state: &'a str,
    /// The code, where there was consent.
    pub code: Option<&'a str>,
    /// Who answers (RFC 9207).
    pub iss: Option<&'a str>,
    /// What went wrong (RFC 6749 §4.1.2.1).
    pub error: Option<&'a str>,
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // State and code are worth a token.
        f.debug_struct("Callback")
            .field("iss", &self.iss)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// What a person is asked to consent to, for the page that asks.
#[derive(Debug, Clone)]
pub struct Question {
    /// The server, by its name here.
    pub server: Arc<str>,
    /// The resource.
    pub resource: Arc<str>,
    /// The authorization server that the person will be sent to.
    pub issuer: Arc<str>,
    /// The scopes; none leaves them to the authorization server.
    pub scopes: Vec<String>,
    /// Whether the token will serve every principal.
    pub shared: bool,
}

/// A token that is held, for the page that lists them.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The server, by its name here.
    pub server: Arc<str>,
    /// The authorization server that issued the token.
    pub issuer: Arc<str>,
    /// The scopes that were asked for or granted.
    pub scopes: Vec<String>,
    /// Whether the token serves every principal.
    pub shared: bool,
}

impl OAuthClient {
    /// Whether a link, or the state of a sign-in under way, is about one of these servers. It
    /// takes nothing away and tells nothing of whose it is: for finding the right one of several
    /// clients with one store.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Store`].
    pub async fn is_asked(&self, text: &str) -> Result<bool, OAuthError> {
        let inner = &self.inner;
        let found = inner.store.pending(PendingId::of(text), inner.clock.now()).await?;
        Ok(match &found {
            Some(Pending::Asked(asked)) => inner.configured(&asked.key.owner).is_ok(),
            Some(Pending::Started(started)) => inner.configured(&started.asked.key.owner).is_ok(),
            None => false,
        })
    }

    /// What a principal's calls of a server show, if anything is held.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Store`].
    pub async fn connection(
        &self,
        principal: &Principal,
        server: &str,
    ) -> Result<Option<Connection>, OAuthError> {
        let Some(server) = self.inner.servers.get(server) else { return Ok(None) };
        let held = self.inner.held(server, &server.owner(principal)).await?;
        Ok(held.map(|(key, held)| Connection {
            server: server.name.clone(),
            issuer: key.issuer,
            scopes: held.scopes,
            shared: server.options.is_shared(),
        }))
    }

    /// What a link asks, for the person that it is meant for.
    ///
    /// # Errors
    ///
    /// [`OAuthError::SignIn`] where the link has ended or is somebody else's.
    pub async fn question(
        &self,
        handle: &str,
        visitor: Visitor<'_>,
    ) -> Result<Question, OAuthError> {
        let asked = self.inner.asked(handle, visitor).await?;
        let shared = self.inner.configured(&asked.key.owner)?.options.is_shared();
        let TokenKey { owner, issuer, resource } = asked.key;
        Ok(Question { server: owner.server, resource, issuer, scopes: asked.scopes, shared })
    }

    /// Starts the sign-in that a link asks for: where to send the browser. The URL holds nothing
    /// that is worth stealing.
    ///
    /// # Errors
    ///
    /// [`OAuthError::SignIn`] as for [`question`](Self::question); else where the authorization
    /// server has changed so that it cannot be used.
    pub async fn begin(&self, handle: &str, visitor: Visitor<'_>) -> Result<String, OAuthError> {
        let inner = &self.inner;
        let asked = inner.asked(handle, visitor).await?;
        let server = inner.configured(&asked.key.owner)?;
        let metadata = inner.discovery.server_or_assumed(&asked.key.issuer, asked.assumed).await?;
        let endpoint = metadata.authorization_endpoint(inner.reach())?;
        let client = inner.client(server, &metadata).await?;
        let (state, verifier) = (random(&*inner.entropy), random(&*inner.entropy));
        let challenge = code_challenge(&verifier);
        let scope = asked.scopes.join(" ");
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", &inner.profile.redirect_uri),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &asked.key.resource),
        ];
        if !scope.is_empty() {
            pairs.push(("scope", &scope));
        }
        if asked.scopes.iter().any(|scope| scope == "offline_access") {
            // OIDC Core §11: it is ignored otherwise.
            pairs.push(("prompt", "consent"));
        }
        let joint = if endpoint.uri().query().is_some() { '&' } else { '?' };
        let url = format!("{}{joint}{}", endpoint.text(), form::encode(pairs));
        let session = session_hash(visitor.session);
        let started = Started { asked, verifier, session, client_id: client.id.clone() };
        let until = inner.clock.now().after(TAKES);
        let id = PendingId::of(state.expose());
        inner.store.begin(id, Pending::Started(Box::new(started)), until).await?;
        Ok(url)
    }

    /// Finishes a sign-in: the name of the server whose token there is now.
    ///
    /// # Errors
    ///
    /// [`OAuthError::SignIn`] where it was not begun by this visitor, has ended, was finished
    /// before, was answered by another authorization server, or was refused there;
    /// [`OAuthError::Refused`] where the code is not taken.
    pub async fn finish(
        &self,
        callback: Callback<'_>,
        visitor: Visitor<'_>,
    ) -> Result<Arc<str>, OAuthError> {
        let (inner, wrong) = (&self.inner, OAuthError::SignIn);
        let id = PendingId::of(callback.state);
        let taken = inner.store.take(id, inner.clock.now()).await?;
        let Some(Pending::Started(started)) = taken else {
            return Err(wrong("it has ended or was finished before"));
        };
        let session = session_hash(visitor.session);
        let same = bool::from(session[..].ct_eq(&started.session[..]));
        if !same || *started.asked.principal != *visitor.principal {
            return Err(wrong("it was begun by somebody else"));
        }
        let Asked { key, scopes, assumed, .. } = &started.asked;
        let metadata = inner.discovery.server_or_assumed(&key.issuer, *assumed).await?;
        match callback.iss {
            // RFC 9207 §2.4: simple string comparison, of error answers too.
            Some(iss) if *iss != *key.issuer => {
                return Err(wrong("another authorization server answered"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(wrong("the answer does not say whose it is"));
            }
            _ => {}
        }
        if callback.error.is_some() {
            return Err(wrong("consent was not given"));
        }
        let code = callback.code.ok_or(wrong("the answer holds no code"))?;
        let server = inner.configured(&key.owner)?;
        let client = inner.client(server, &metadata).await?;
        if client.id != started.client_id {
            return Err(wrong("this gateway has registered anew meanwhile"));
        }
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &*inner.profile.redirect_uri),
            ("code_verifier", started.verifier.expose()),
            ("resource", &*key.resource),
        ];
        let granted = match inner.endpoint(&metadata, &client)?.grant(&pairs).await {
            Err(error) if error.is_client_gone() && client.dynamic => {
                inner.store.unregister(&key.issuer, &client.id).await?;
                return Err(error);
            }
            granted => granted?,
        };
        let _flight = inner.flight(&key.owner).await;
        inner.keep(key, &metadata, &client, granted, scopes).await?;
        inner.pause(&key.owner, false);
        inner.memory().links.remove(&(key.owner.clone(), started.asked.principal.clone()));
        Ok(key.owner.server.clone())
    }
}

impl Inner {
    fn configured(&self, owner: &Owner) -> Result<&Arc<Server>, OAuthError> {
        let server = self.servers.get(&*owner.server);
        server.ok_or(OAuthError::SignIn("the server is not configured any more"))
    }

    async fn asked(&self, handle: &str, visitor: Visitor<'_>) -> Result<Asked, OAuthError> {
        let found = self.store.pending(PendingId::of(handle), self.clock.now()).await?;
        match found {
            Some(Pending::Asked(asked)) if *asked.principal == *visitor.principal => Ok(asked),
            Some(Pending::Asked(_)) => Err(OAuthError::SignIn("the link is somebody else's")),
            _ => Err(OAuthError::SignIn("the link has ended")),
        }
    }

    /// The link that the same question had a moment ago, so that a burst of calls is one question.
    pub(crate) fn link_again(
        &self,
        server: &Server,
        owner: &Owner,
        principal: &Principal,
        challenge: &Challenge,
    ) -> Option<CallError> {
        let now = self.clock.instant();
        let memory = self.memory();
        let link = memory.links.get(&(owner.clone(), principal.id.clone()))?;
        let same = link.challenge == *challenge && now < link.until;
        same.then(|| needs_consent(server, &link.url))
    }

    /// Gives out a link, once it is known that it leads somewhere: as the error to tell.
    pub(crate) async fn link(
        &self,
        server: &Server,
        principal: &Principal,
        key: TokenKey,
        challenge: &Challenge,
        (found, scopes): (&Found, Vec<String>),
    ) -> Result<CallError, OAuthError> {
        found.metadata.authorization_endpoint(self.reach())?;
        found.metadata.token_endpoint(self.reach())?;
        self.client(server, &found.metadata).await?;
        let handle = random(&*self.entropy);
        let owner = key.owner.clone();
        let assumed = found.metadata.assumed;
        let asked = Asked { key, principal: principal.id.clone(), scopes, assumed };
        let until = self.clock.now().after(TAKES);
        self.store.begin(PendingId::of(handle.expose()), Pending::Asked(asked), until).await?;
        let url: Arc<str> = format!("{}/connect/{}", self.base, handle.expose()).into();
        let until = self.clock.instant() + SAME;
        let link = Link { url: url.clone(), challenge: challenge.clone(), until };
        self.memory().links.insert((owner, principal.id.clone()), link);
        Ok(needs_consent(server, &url))
    }
}

fn needs_consent(server: &Server, url: &Arc<str>) -> CallError {
    let public = format!("`{}` needs your consent, to be given once at {url}", server.name);
    CallError::new(Code::Forbidden, public).with_rule("consent_required").with_consent(url.clone())
}

fn session_hash(session: &Secret) -> [u8; 32] {
    *blake3::hash(session.expose().as_bytes()).as_bytes()
}
