//! The client: for whom it holds tokens, and how they come and stay.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use doorward_core::{
    Audience, BoxFuture, CallError, Clock, Credential, Credentials, Cx, Entropy, Principal, Refusal,
};
use tokio::sync::OwnedMutexGuard;

use super::address::{Endpoint, Reach};
use super::challenge::Challenge;
use super::consent::Link;
use super::discovery::Discovery;
use super::endpoint::TokenEndpoint;
use super::fault::OAuthError;
use super::http::Http;
use super::metadata::ServerMetadata;
use super::registration::{Client, KnownClient, Profile, Registrar};
use super::server::{Grant, Protected};
use super::tokens::{Held, Owner, TokenKey, TokenStore};

/// How long nothing is asked again after no answer came.
const PAUSE: Duration = Duration::from_secs(5);
/// How many tokens are got without a person, within which time, because a server refused.
const MOST_TRIES: usize = 3;
const WITHIN: Duration = Duration::from_mins(1);
/// The most owners of whom such things are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// Gets the tokens of MCP servers: for each user with that user's consent, or as the gateway.
///
/// A server that refuses is asked who its authorization server is; the caller is told a page of
/// this gateway's to open ([`CallError::consent`]). That page calls [`begin`](Self::begin) and
/// sends the person on; the callback calls [`finish`](Self::finish). From then on
/// [`credential`](Credentials::credential) has the person's token and keeps it fresh.
///
/// Runs within tokio: renewing goes on where its caller gives up, or a rotated refresh token
/// would be lost.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) base: String,
    pub(crate) profile: Profile,
    pub(crate) servers: BTreeMap<String, Arc<Server>>,
    pub(crate) clients: BTreeMap<Arc<str>, KnownClient>,
    pub(crate) discovery: Discovery,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) memory: Mutex<Memory>,
}

/// A configured server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) url: Endpoint,
    pub(crate) options: Protected,
}

/// What this process remembers of owners; losing it costs requests only.
#[derive(Default)]
pub(crate) struct Memory {
    flights: HashMap<Owner, Weak<tokio::sync::Mutex<()>>>,
    pauses: HashMap<Owner, Instant>,
    tries: HashMap<Owner, Vec<Instant>>,
    pub(crate) links: HashMap<(Owner, Arc<str>), Link>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("base", &self.base)
            .field("servers", &self.servers.keys())
            .finish_non_exhaustive()
    }
}

impl Credentials for OAuthClient {
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(async move {
            let Some(server) = self.inner.server(audience) else { return Ok(None) };
            let token = self.inner.fresh(server, &cx.principal).await;
            let token = token.map_err(|error| told(server, error))?;
            Ok(token.map(Credential::Key))
        })
    }

    fn refused<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
        refusal: Refusal<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(async move {
            let Some(server) = self.inner.server(audience) else { return Ok(None) };
            let token = self.inner.refused(server, &cx.principal, refusal).await?;
            Ok(token.map(Credential::Key))
        })
    }
}

impl OAuthClient {
    /// The servers whose tokens it gets, by name.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.inner.servers.keys().map(String::as_str)
    }

    /// The JSON document to serve at our own client id's URL, if one is configured.
    pub fn client_metadata(&self) -> Option<String> {
        serde_json::to_string(&self.inner.profile.document()?).ok()
    }

    /// Forgets what a principal holds for a server. Whether there was anything.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Store`].
    pub async fn disconnect(
        &self,
        principal: &Principal,
        server: &str,
    ) -> Result<bool, OAuthError> {
        let Some(server) = self.inner.servers.get(server) else { return Ok(false) };
        let owner = server.owner(principal);
        let _flight = self.inner.flight(&owner).await;
        let Some((key, held)) = self.inner.store.held(&owner).await? else { return Ok(false) };
        self.inner.store.forget(&key, held.obtained).await?;
        Ok(true)
    }
}

impl Server {
    /// Whose token a principal's calls show.
    pub(crate) fn owner(&self, principal: &Principal) -> Owner {
        if self.options.is_shared() {
            Owner::everybody(self.name.clone())
        } else {
            Owner::principal(principal, self.name.clone())
        }
    }
}

impl Inner {
    fn server(&self, audience: Audience<'_>) -> Option<&Arc<Server>> {
        match audience {
            Audience::Server(name) => self.servers.get(name),
            Audience::Upstream(_) => None,
        }
    }

    pub(crate) fn reach(&self) -> &Reach {
        self.discovery.reach()
    }

    pub(crate) fn http(&self) -> &dyn Http {
        self.discovery.http()
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.pauses.len() > MOST_REMEMBERED {
            memory.pauses.clear();
        }
        if memory.tries.len() > MOST_REMEMBERED {
            memory.tries.clear();
        }
        if memory.links.len() > MOST_REMEMBERED {
            memory.links.clear();
        }
        if memory.flights.len() > MOST_REMEMBERED {
            memory.flights.retain(|_, flight| flight.strong_count() > 0);
        }
        memory
    }

    fn flight_of(&self, owner: &Owner) -> Arc<tokio::sync::Mutex<()>> {
        let mut memory = self.memory();
        let known = memory.flights.get(owner).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let flight = Arc::default();
            memory.flights.insert(owner.clone(), Arc::downgrade(&flight));
            flight
        })
    }

    /// Held by whoever changes an owner's token.
    pub(crate) async fn flight(&self, owner: &Owner) -> OwnedMutexGuard<()> {
        self.flight_of(owner).lock_owned().await
    }

    /// The same, if nobody holds it.
    pub(crate) fn flight_now(&self, owner: &Owner) -> Option<OwnedMutexGuard<()>> {
        self.flight_of(owner).try_lock_owned().ok()
    }

    /// Whether no answer came a moment ago.
    pub(crate) fn is_paused(&self, owner: &Owner) -> bool {
        let now = self.clock.instant();
        self.memory().pauses.get(owner).is_some_and(|until| now < *until)
    }

    pub(crate) fn pause(&self, owner: &Owner, failed: bool) {
        let until = self.clock.instant() + PAUSE;
        let mut memory = self.memory();
        if failed {
            memory.pauses.insert(owner.clone(), until);
        } else {
            memory.pauses.remove(owner);
        }
    }

    /// Whether one more token may be got without a person because a server refused.
    pub(crate) fn may_try(&self, owner: &Owner) -> bool {
        let now = self.clock.instant();
        let mut memory = self.memory();
        let tries = memory.tries.entry(owner.clone()).or_default();
        tries.retain(|at| now.duration_since(*at) < WITHIN);
        let may = tries.len() < MOST_TRIES;
        if may {
            tries.push(now);
        }
        may
    }

    /// What an owner holds, if it is for what the server's URL is now.
    pub(crate) async fn held(
        &self,
        server: &Server,
        owner: &Owner,
    ) -> Result<Option<(TokenKey, Held)>, OAuthError> {
        let held = self.store.held(owner).await?;
        Ok(held.filter(|(key, _)| {
            let resource = self.reach().endpoint(&key.resource);
            key.owner == *owner && resource.is_ok_and(|resource| resource.covers(&server.url))
        }))
    }

    pub(crate) fn known<'a>(&'a self, server: &'a Server, issuer: &str) -> Option<&'a KnownClient> {
        let own = server.options.client.as_ref().filter(|client| *client.issuer == *issuer);
        own.or_else(|| self.clients.get(issuer))
    }

    /// Our client at an authorization server. Machine grants need one made by hand.
    pub(crate) async fn client(
        &self,
        server: &Server,
        metadata: &ServerMetadata,
    ) -> Result<Client, OAuthError> {
        let known = self.known(server, &metadata.issuer);
        if known.is_none() && !matches!(server.options.grant, Grant::Consent) {
            let why = "this grant takes a client that was registered by hand";
            return Err(OAuthError::Unregistered { issuer: metadata.issuer.clone(), why });
        }
        let registrar = Registrar {
            http: self.http(),
            reach: self.reach(),
            store: &*self.store,
            profile: &self.profile,
            now: self.clock.now(),
        };
        registrar.client(metadata, known).await
    }

    pub(crate) fn endpoint<'a>(
        &'a self,
        metadata: &ServerMetadata,
        client: &'a Client,
    ) -> Result<TokenEndpoint<'a>, OAuthError> {
        let tools = (self.http(), &*self.clock, &*self.entropy);
        TokenEndpoint::of(metadata, self.reach(), client, tools)
    }
}

/// The failure as a caller sees it, with the server's name in the log.
pub(crate) fn told(server: &Server, error: OAuthError) -> CallError {
    tracing::warn!(server = %server.name, error = %Chain(&error), "no token");
    error.into()
}

struct Chain<'a>(&'a OAuthError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Whether this is the token that was shown.
pub(crate) fn was_shown(held: &Held, refusal: &Refusal<'_>) -> bool {
    matches!(refusal.shown, Some(Credential::Key(shown)) if shown.expose() == held.access.expose())
}

/// The challenge of a refusal that another token may answer.
pub(crate) fn answerable(refusal: &Refusal<'_>) -> Option<Challenge> {
    let challenge = Challenge::read(refusal.challenges);
    match refusal.status {
        401 => Some(challenge.unwrap_or_default()),
        403 => challenge.filter(Challenge::is_insufficient_scope),
        _ => None,
    }
}
