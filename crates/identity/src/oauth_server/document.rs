//! Clients that say who they are at the URL that is their id
//! (draft-ietf-oauth-client-id-metadata-document).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::client::{Client, ClientAuth, ClientMetadata, Origin, plain_name};
use super::redirect::RedirectUri;
use super::server::OAuthServer;
use crate::jwt::{Jwks, Strict};
use crate::oauth_client::{Ask, Content, Endpoint, OAuthError, Reach, brief, send};

/// The largest document, in bytes: the draft recommends 5 KiB.
const LARGEST: usize = 10 << 10;
/// The most redirect URIs of one client.
const REDIRECTS_MOST: usize = 20;
/// The most clients held.
const CLIENTS_MOST: usize = 1000;
/// How many documents are fetched at once.
const FETCHES: usize = 8;
/// How long a document that could not be had is not asked for again.
const PAUSE: Duration = Duration::from_secs(30);

/// Which clients' documents are believed.
#[derive(Debug, Clone)]
pub struct Documents {
    hosts: Option<Vec<String>>,
    redirect_hosts: Vec<String>,
    kept: Duration,
}

impl Default for Documents {
    /// Of every host, kept for five minutes; answers go to the document's own origin or to the
    /// person's own machine.
    fn default() -> Self {
        Self { hosts: None, redirect_hosts: Vec::new(), kept: Duration::from_mins(5) }
    }
}

impl Documents {
    /// Believes those at these hosts only; `*.example.com` stands for every host under one.
    #[must_use]
    pub fn with_hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.hosts = Some(hosts.into_iter().map(|host| host.into().to_ascii_lowercase()).collect());
        self
    }

    /// Sends answers to these hosts too, whichever document names them.
    #[must_use]
    pub fn with_redirect_hosts<S: Into<String>>(
        mut self,
        hosts: impl IntoIterator<Item = S>,
    ) -> Self {
        let hosts = hosts.into_iter().map(|host| host.into().to_ascii_lowercase());
        self.redirect_hosts = hosts.collect();
        self
    }

    /// Asks for a document again after so long.
    #[must_use]
    pub fn with_kept(mut self, kept: Duration) -> Self {
        self.kept = kept;
        self
    }
}

/// The documents that were read, and those that could not be.
pub(crate) struct Library {
    rule: Documents,
    held: Mutex<HashMap<Arc<str>, Held>>,
    flights: Semaphore,
}

#[derive(Clone)]
struct Held {
    client: Option<Arc<Client>>,
    until: Instant,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl Library {
    pub(crate) fn new(rule: Documents) -> Self {
        Self { rule, held: Mutex::default(), flights: Semaphore::new(FETCHES) }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str, now: Instant) -> Option<Held> {
        self.held().get(id).filter(|held| now < held.until).cloned()
    }

    fn keep(&self, id: &str, client: Option<Arc<Client>>, now: Instant) {
        let mut held = self.held();
        if held.len() >= CLIENTS_MOST {
            held.retain(|_, held| now < held.until);
        }
        if held.len() >= CLIENTS_MOST {
            held.clear();
        }
        let until = now + if client.is_some() { self.rule.kept } else { PAUSE };
        held.insert(id.into(), Held { client, until });
    }
}

impl OAuthServer {
    /// The client with this URL for its id: as it was read before, else, where `fetch` says so,
    /// as its document says now.
    pub(crate) async fn documented(&self, id: &str, fetch: bool) -> Option<Arc<Client>> {
        let library = self.library.as_ref()?;
        let place = self.document_place(id)?;
        let now = self.clock.instant();
        if let Some(known) = library.find(id, now) {
            return known.client;
        }
        if !fetch {
            return None;
        }
        // Who asks for more at once is refused, not made to wait.
        let _flight = library.flights.try_acquire().ok()?;
        let found = match self.read_document(library, &place).await {
            Ok(client) => Some(Arc::new(client)),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::info!(client = brief(id), cause, "a client's document is not accepted");
                None
            }
        };
        library.keep(id, found.clone(), now);
        found
    }

    /// Where the document is, if the id is one that may be one.
    pub(crate) fn document_place(&self, id: &str) -> Option<Endpoint> {
        let library = self.library.as_ref()?;
        let place = place(&self.fetcher.reach, id)?;
        let host = place.uri().host().unwrap_or_default().to_ascii_lowercase();
        let listed = library.rule.hosts.as_ref();
        listed.is_none_or(|hosts| is_among(&host, hosts)).then_some(place)
    }

    async fn read_document(
        &self,
        library: &Library,
        place: &Endpoint,
    ) -> Result<Client, OAuthError> {
        let id = place.text();
        let wrong = |why| OAuthError::metadata(id, why);
        let ask = Ask { url: place.uri().clone(), content: Content::None, authorization: None };
        let answer = send(&*self.fetcher.http, ask, id).await?;
        // A redirect is not followed: another place would speak for this one.
        if answer.status != 200 {
            return Err(wrong("not served with status 200"));
        }
        if answer.body.len() > LARGEST {
            return Err(wrong("too large"));
        }
        let read: Result<Strict, _> = serde_json::from_slice(&answer.body);
        let Strict(value) = read.map_err(|_| wrong("no JSON with distinct members"))?;
        if value.get("client_id").and_then(Value::as_str) != Some(id) {
            return Err(wrong("of another client"));
        }
        if value.get("client_secret").is_some() || value.get("client_secret_expires_at").is_some() {
            return Err(wrong("with a secret that everybody can read"));
        }
        let metadata = ClientMetadata::deserialize(&value);
        let metadata = metadata.map_err(|_| wrong("without what a client must say"))?;
        self.client_of_document(library, place, &metadata).map_err(wrong)
    }

    fn client_of_document(
        &self,
        library: &Library,
        place: &Endpoint,
        metadata: &ClientMetadata,
    ) -> Result<Client, &'static str> {
        let uris = &metadata.redirect_uris;
        if uris.is_empty() || uris.len() > REDIRECTS_MOST {
            return Err("with no redirect URI, or too many");
        }
        let read = uris.iter().map(|uri| RedirectUri::read(uri, &self.schemes));
        let uris = read.collect::<Result<Vec<_>, _>>()?;
        let own = |uri: &RedirectUri| match uri.web_host() {
            Some(host) => {
                let listed = is_among(host, &library.rule.redirect_hosts);
                let same = self.fetcher.reach.endpoint(uri.text());
                listed || same.is_ok_and(|uri| uri.same_origin(place))
            }
            None => true,
        };
        if !uris.iter().all(own) {
            return Err("with a redirect URI of another origin");
        }
        let auth = match metadata.token_endpoint_auth_method.as_deref() {
            None | Some("none") => ClientAuth::public(),
            Some("private_key_jwt") => self.keys_of_document(metadata)?,
            Some(_) => return Err("with a way to authenticate that no document can have"),
        };
        let grants = metadata.grants();
        let host = place.uri().host().unwrap_or_default();
        let name = metadata.client_name.as_deref().and_then(plain_name);
        Ok(Client {
            origin: Origin::Document,
            name: name.unwrap_or_else(|| host.into()),
            uris,
            grants,
            scopes: metadata.scopes(),
            bound: metadata.dpop_bound_access_tokens,
            ..Client::new(place.text().clone(), auth)
        })
    }

    fn keys_of_document(&self, metadata: &ClientMetadata) -> Result<ClientAuth, &'static str> {
        match (&metadata.jwks, &metadata.jwks_uri) {
            (Some(jwks), None) => {
                let jwks = Jwks::deserialize(jwks).ok();
                jwks.and_then(|jwks| ClientAuth::key_set(&jwks)).ok_or("without a key of use")
            }
            (None, Some(url)) if self.fetcher.reach.endpoint(url).is_ok() => {
                Ok(ClientAuth::keys_at(url.as_str()))
            }
            _ => Err("without one place for its keys"),
        }
    }
}

/// The URL, where it is one that may be a client's id: https with a path, and nothing in it that
/// two readers could read differently.
fn place(reach: &Reach, id: &str) -> Option<Endpoint> {
    let place = reach.endpoint(id).ok()?;
    let uri = place.uri();
    let path = uri.path();
    let dotted = path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    });
    let plain = path.len() > 1 && uri.query().is_none() && !dotted;
    plain.then_some(place)
}

/// Whether a host is one of these.
pub(crate) fn is_among(host: &str, hosts: &[String]) -> bool {
    hosts.iter().any(|known| match known.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => host == known,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_https_with_a_path() {
        let reach = Reach::default();
        for id in ["https://app.example/client.json", "https://app.example/a/b"] {
            assert!(place(&reach, id).is_some(), "{id}");
        }
        for id in [
            "https://app.example",
            "https://app.example/",
            "http://app.example/client.json",
            "https://app.example/client.json?x=1",
            "https://app.example/client.json#x",
            "https://app.example/a/../client.json",
            "https://app.example/a/%2E%2e/client.json",
            "https://app.example/./client.json",
            "https://user@app.example/client.json",
            "https://127.0.0.1/client.json",
            "https://10.0.0.1/client.json",
            "https://[::1]/client.json",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
        ] {
            assert!(place(&reach, id).is_none(), "{id}");
        }
    }

    #[test]
    fn a_host_is_listed_by_its_name_or_its_parents() {
        let hosts = ["app.example".to_owned(), "*.corp.example".to_owned()];
        for (host, listed) in [
            ("app.example", true),
            ("x.app.example", false),
            ("a.corp.example", true),
            ("a.b.corp.example", true),
            ("corp.example", false),
            ("evilcorp.example", false),
            ("corp.example.evil.example", false),
        ] {
            assert_eq!(is_among(host, &hosts), listed, "{host}");
        }
    }
}
