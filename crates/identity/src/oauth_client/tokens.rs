//! Where users' upstream tokens are kept, with what is under way and how we are registered.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::{BoxFuture, Principal, Secret, Timestamp};

/// The most sign-ins under way that memory holds; the oldest go first.
const MOST_PENDING: usize = 100_000;

/// For whom a token was got. There is no way to name a server's token without its holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// One principal, by its id.
    Principal(Arc<str>),
    /// Everybody: the server is declared to be shared.
    Everybody,
}

/// Whose token, and for which server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// For whom.
    pub holder: Holder,
    /// The server, by its name here.
    pub server: Arc<str>,
}

impl Owner {
    /// This principal, at this server.
    pub fn principal(principal: &Principal, server: impl Into<Arc<str>>) -> Self {
        Self { holder: Holder::Principal(principal.id.clone()), server: server.into() }
    }

    /// Everybody, at a server that is declared to be shared.
    pub fn everybody(server: impl Into<Arc<str>>) -> Self {
        Self { holder: Holder::Everybody, server: server.into() }
    }
}

/// What a token is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// Whose it is.
    pub owner: Owner,
    /// The authorization server that issued it.
    pub issuer: Arc<str>,
    /// The resource that it is for (RFC 8707).
    pub resource: Arc<str>,
}

/// A token and what is needed to renew it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The access token.
    pub access: Secret,
    /// The refresh token, if there is one.
    pub refresh: Option<Secret>,
    /// The scopes that were asked for or granted.
    pub scopes: Vec<String>,
    /// When it was got.
    pub obtained: Timestamp,
    /// When it ends, if that was said.
    pub expires: Option<Timestamp>,
    /// The client that it was issued to: no other may renew it.
    pub client_id: Arc<str>,
    /// Whether the issuer publishes no metadata ([`ServerMetadata::assumed`](super::ServerMetadata)).
    pub assumed: bool,
}

/// How this gateway is registered at an authorization server (RFC 7591 §3.2.1).
#[derive(Debug, Clone)]
pub struct Registration {
    /// The authorization server: a registration is never shown to another.
    pub issuer: Arc<str>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// Its secret, if it has one.
    pub secret: Option<Secret>,
    /// How it authenticates, if the server said so.
    pub method: Option<Arc<str>>,
    /// When the secret ends, if it does.
    pub expires: Option<Timestamp>,
    /// The redirect URI that it was registered with.
    pub redirect_uri: Arc<str>,
}

/// The name of something under way: the hash of the random text that a browser carries, so that
/// whoever reads the store cannot go on in a user's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PendingId(pub [u8; 32]);

impl PendingId {
    /// The one of this text.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }
}

/// A consent that somebody is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// For whom the token will be, where, of which issuer, for which resource.
    pub key: TokenKey,
    /// The principal whose call asked for it: nobody else may give it.
    pub principal: Arc<str>,
    /// The scopes to ask for; none leaves it to the authorization server.
    pub scopes: Vec<String>,
    /// Whether the issuer publishes no metadata.
    pub assumed: bool,
}

/// A sign-in that has been started in a browser.
#[derive(Debug, Clone)]
pub struct Started {
    /// What is asked for.
    pub asked: Asked,
    /// The PKCE verifier (RFC 7636).
    pub verifier: Secret,
    /// The hash of the browser session that started it.
    pub session: [u8; 32],
    /// The client that asks.
    pub client_id: Arc<str>,
}

/// Something under way between a call and a browser.
#[derive(Debug, Clone)]
pub enum Pending {
    /// A link that was given out.
    Asked(Asked),
    /// A person who was sent to the authorization server.
    Started(Box<Started>),
}

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[error("the token store failed")]
pub struct TokenStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

type Stored<'a, T> = BoxFuture<'a, Result<T, TokenStoreError>>;

/// Keeps tokens, registrations and what is under way. One that writes them down encrypts them.
///
/// See [`MemoryTokens`] for one that is complete.
pub trait TokenStore: Send + Sync + fmt::Debug {
    /// What this owner holds.
    fn held<'a>(&'a self, owner: &'a Owner) -> Stored<'a, Option<(TokenKey, Held)>>;

    /// Keeps a token in the place of whatever its owner held.
    fn keep<'a>(&'a self, key: &'a TokenKey, held: &'a Held) -> Stored<'a, ()>;

    /// Forgets a token, if it still is the one got at this time.
    fn forget<'a>(&'a self, key: &'a TokenKey, obtained: Timestamp) -> Stored<'a, ()>;

    /// Whether this process may renew the owner's token until then. A store shared by several
    /// processes lets one at a time; who is not let reads again.
    fn claim<'a>(&'a self, _owner: &'a Owner, _until: Timestamp) -> Stored<'a, bool> {
        Box::pin(ready(Ok(true)))
    }

    /// Gives a claim back.
    fn release<'a>(&'a self, _owner: &'a Owner) -> Stored<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// How we are registered at an authorization server.
    fn registration<'a>(&'a self, issuer: &'a str) -> Stored<'a, Option<Registration>>;

    /// Keeps a registration in the place of an earlier one with the same issuer.
    fn register<'a>(&'a self, registration: &'a Registration) -> Stored<'a, ()>;

    /// Forgets a registration, if it still has this client's id.
    fn unregister<'a>(&'a self, issuer: &'a str, client_id: &'a str) -> Stored<'a, ()>;

    /// Keeps something that is under way until then.
    fn begin(&self, id: PendingId, pending: Pending, until: Timestamp) -> Stored<'_, ()>;

    /// What is under way, if it has not ended by now.
    fn pending(&self, id: PendingId, now: Timestamp) -> Stored<'_, Option<Pending>>;

    /// The same, and takes it away: of several that ask, one gets it.
    fn take(&self, id: PendingId, now: Timestamp) -> Stored<'_, Option<Pending>>;
}

/// Tokens in memory: gone with the process, and with them everybody's consent.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: HashMap<Owner, (TokenKey, Held)>,
    registrations: HashMap<Arc<str>, Registration>,
    pending: HashMap<PendingId, (Pending, Timestamp)>,
}

impl MemoryTokens {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(value: T) -> Stored<'a, T> {
    Box::pin(ready(Ok(value)))
}

impl TokenStore for MemoryTokens {
    fn held<'a>(&'a self, owner: &'a Owner) -> Stored<'a, Option<(TokenKey, Held)>> {
        done(self.state().tokens.get(owner).cloned())
    }

    fn keep<'a>(&'a self, key: &'a TokenKey, held: &'a Held) -> Stored<'a, ()> {
        self.state().tokens.insert(key.owner.clone(), (key.clone(), held.clone()));
        done(())
    }

    fn forget<'a>(&'a self, key: &'a TokenKey, obtained: Timestamp) -> Stored<'a, ()> {
        let mut state = self.state();
        let same = |(known, held): &(TokenKey, Held)| known == key && held.obtained == obtained;
        if state.tokens.get(&key.owner).is_some_and(same) {
            state.tokens.remove(&key.owner);
        }
        done(())
    }

    fn registration<'a>(&'a self, issuer: &'a str) -> Stored<'a, Option<Registration>> {
        done(self.state().registrations.get(issuer).cloned())
    }

    fn register<'a>(&'a self, registration: &'a Registration) -> Stored<'a, ()> {
        let issuer = registration.issuer.clone();
        self.state().registrations.insert(issuer, registration.clone());
        done(())
    }

    fn unregister<'a>(&'a self, issuer: &'a str, client_id: &'a str) -> Stored<'a, ()> {
        let mut state = self.state();
        if state.registrations.get(issuer).is_some_and(|known| *known.client_id == *client_id) {
            state.registrations.remove(issuer);
        }
        done(())
    }

    fn begin(&self, id: PendingId, pending: Pending, until: Timestamp) -> Stored<'_, ()> {
        let mut state = self.state();
        if state.pending.len() >= MOST_PENDING {
            make_room(&mut state.pending);
        }
        state.pending.insert(id, (pending, until));
        done(())
    }

    fn pending(&self, id: PendingId, now: Timestamp) -> Stored<'_, Option<Pending>> {
        let state = self.state();
        let found = state.pending.get(&id).filter(|(_, until)| now < *until);
        done(found.map(|(pending, _)| pending.clone()))
    }

    fn take(&self, id: PendingId, now: Timestamp) -> Stored<'_, Option<Pending>> {
        let mut state = self.state();
        let found = state.pending.remove(&id).filter(|(_, until)| now < *until);
        state.pending.retain(|_, (_, until)| now < *until);
        done(found.map(|(pending, _)| pending))
    }
}

/// Drops the half that ends first.
fn make_room(pending: &mut HashMap<PendingId, (Pending, Timestamp)>) {
    let mut ends: Vec<_> = pending.values().map(|(_, until)| *until).collect();
    let middle = ends.len() / 2;
    let (_, median, _) = ends.select_nth_unstable(middle);
    let median = *median;
    pending.retain(|_, (_, until)| *until > median);
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn now<T>(stored: Stored<'_, T>) -> T {
        stored.now_or_never().unwrap().unwrap()
    }

    fn held(access: &str, at: i64) -> Held {
        Held {
            access: Secret::new(access),
            refresh: Some(Secret::new("refresh-me")),
            scopes: vec![],
            obtained: Timestamp::from_micros(at),
            expires: None,
            client_id: "c".into(),
            assumed: false,
        }
    }

    fn key(owner: Owner) -> TokenKey {
        TokenKey { owner, issuer: "https://as".into(), resource: "https://rs".into() }
    }

    #[test]
    fn a_token_is_found_by_its_owner_alone() {
        let store = MemoryTokens::default();
        let (alice, bob) = (Principal::person("alice"), Principal::person("bob"));
        let hers = key(Owner::principal(&alice, "crm"));
        now(store.keep(&hers, &held("hers", 1)));
        assert!(now(store.held(&hers.owner)).is_some());
        for other in [
            Owner::principal(&bob, "crm"),
            Owner::principal(&alice, "tracker"),
            Owner::everybody("crm"),
            // The holder of a shared token is no principal's id.
            Owner::principal(&Principal::person("Everybody"), "crm"),
        ] {
            assert!(now(store.held(&other)).is_none(), "{other:?}");
        }
        assert!(!format!("{store:?}").contains("hers\""));
        assert!(!format!("{store:?}").contains("refresh-me"));
    }

    #[test]
    fn a_newer_token_is_not_forgotten_with_an_older_one() {
        let store = MemoryTokens::default();
        let key = key(Owner::everybody("crm"));
        now(store.keep(&key, &held("new", 2)));
        now(store.forget(&key, Timestamp::from_micros(1)));
        assert!(now(store.held(&key.owner)).is_some());
        now(store.forget(&key, Timestamp::from_micros(2)));
        assert!(now(store.held(&key.owner)).is_none());
    }

    #[test]
    fn what_is_under_way_is_taken_once_and_ends() {
        let store = MemoryTokens::default();
        let asked = Asked {
            key: key(Owner::everybody("crm")),
            principal: "alice".into(),
            scopes: vec![],
            assumed: false,
        };
        let at = Timestamp::from_micros;
        let (id, other) = (PendingId::of("state"), PendingId::of("other"));
        now(store.begin(id, Pending::Asked(asked.clone()), at(10)));
        assert!(now(store.pending(id, at(9))).is_some());
        assert!(now(store.take(id, at(9))).is_some());
        assert!(now(store.take(id, at(9))).is_none());
        now(store.begin(other, Pending::Asked(asked), at(10)));
        assert!(now(store.pending(other, at(10))).is_none());
        assert!(now(store.take(other, at(10))).is_none());
    }
}
