//! Putting an [`OAuthServer`] together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{BoxFuture, CallError, Clock, Entropy, Principal};

use super::client::{Client, GrantType, Proof};
use super::document::{Documents, Library};
use super::key::SigningKeys;
use super::redirect::{RedirectUri, is_loopback};
use super::registration::Registration;
use super::resource::{ProtectedResource, Scope};
use super::revocation::RevokedTokens;
use super::server::OAuthServer;
use super::store::{OAuthStore, Subject};
use crate::Guesses;
use crate::guesses::Failures;
use crate::jwt::{
    Algorithm, Assertions, Fetcher, Issuer, Jwt, JwtBuildError, Keys, Mapping, Proofs,
};
use crate::oauth_client::{Http, Reach, is_legal_scope};

/// How old a proof of possession may be, and how far ahead.
const PROOF_AGE: Duration = Duration::from_mins(1);
/// The most proofs within the time that they are good for.
const PROOFS_MOST: usize = 100_000;

/// What a server works with.
#[derive(Clone)]
pub struct Parts {
    /// Fetches clients' documents and keys.
    pub http: Arc<dyn Http>,
    /// What must not be forgotten.
    pub store: Arc<dyn OAuthStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Codes, tokens and ids are made of it.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("store", &self.store).finish_non_exhaustive()
    }
}

/// How long things are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An access token.
    pub access: Duration,
    /// A code.
    pub code: Duration,
    /// A question that nobody has answered.
    pub question: Duration,
    /// A consent's tokens, however often they are refreshed.
    pub family: Duration,
    /// How long a refresh token that was just replaced may be shown again.
    pub grace: Duration,
    /// The longest that an assertion may still be good when it is shown: a longer one is refused.
    pub assertion: Duration,
}

impl Default for Lifetimes {
    /// Ten minutes, one minute, ten minutes, thirty days, ten seconds, ten minutes.
    fn default() -> Self {
        Self {
            access: Duration::from_mins(10),
            code: Duration::from_mins(1),
            question: Duration::from_mins(10),
            family: Duration::from_hours(30 * 24),
            grace: Duration::from_secs(10),
            assertion: Duration::from_mins(10),
        }
    }
}

/// Knows whether people are still who they were when they signed in. Asked at each refresh.
pub trait Standing: Send + Sync + fmt::Debug {
    /// The principal as it is now; `None` where it is none any more: its tokens end.
    ///
    /// # Errors
    ///
    /// Where that cannot be told now. Nothing is refreshed then.
    fn now<'a>(
        &'a self,
        subject: &'a Subject,
    ) -> BoxFuture<'a, Result<Option<Arc<Principal>>, CallError>>;
}

/// A server cannot be as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OAuthServerError {
    /// The gateway's own URL is none that tokens may travel to.
    #[error("the gateway's URL `{0}` must be https (http only for this machine itself)")]
    Url(String),
    /// There is nothing to get a token for.
    #[error("there is no resource")]
    NoResource,
    /// A resource cannot be as it is.
    #[error("the resource `{path}`: {why}")]
    Resource {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A scope cannot be as it is.
    #[error("the scope `{name}`: {why}")]
    Scope {
        /// Its name.
        name: Arc<str>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A client cannot be as it is.
    #[error("the client `{id}`: {why}")]
    Client {
        /// Its id.
        id: Arc<str>,
        /// What is wrong with it.
        why: String,
    },
    /// Its own tokens could not be verified.
    #[error("the keys cannot be used")]
    Keys(#[from] JwtBuildError),
}

/// Puts an [`OAuthServer`] together.
pub struct Builder {
    base: String,
    keys: SigningKeys,
    parts: Parts,
    reach: Reach,
    scopes: Vec<Scope>,
    resources: Vec<ProtectedResource>,
    default_resource: Option<String>,
    clients: Vec<Client>,
    schemes: Vec<String>,
    documents: Option<Documents>,
    registration: Option<Registration>,
    assertions: Option<Arc<dyn Assertions>>,
    standing: Option<Arc<dyn Standing>>,
    lifetimes: Lifetimes,
    guesses: Guesses,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("base", &self.base)
            .field("resources", &self.resources)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl OAuthServer {
    /// A server at this URL, the gateway's public one, which is its issuer identifier too. Neither
    /// documents nor registration are accepted yet.
    pub fn builder(base: impl Into<String>, keys: SigningKeys, parts: Parts) -> Builder {
        Builder {
            base: base.into(),
            keys,
            parts,
            reach: Reach::default(),
            scopes: Vec::new(),
            resources: Vec::new(),
            default_resource: None,
            clients: Vec::new(),
            schemes: Vec::new(),
            documents: None,
            registration: None,
            assertions: None,
            standing: None,
            lifetimes: Lifetimes::default(),
            guesses: Guesses::default(),
        }
    }
}

impl Builder {
    /// How far requests for clients' documents and keys may reach: the same as the [`Http`] has.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Knows this scope.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Gives tokens for this resource.
    #[must_use]
    pub fn resource(mut self, resource: ProtectedResource) -> Self {
        self.resources.push(resource);
        self
    }

    /// Takes the resource at this path for meant where a client names none. Without it, the only
    /// one there is, and with several `resource` must be named.
    #[must_use]
    pub fn default_resource(mut self, path: impl Into<String>) -> Self {
        self.default_resource = Some(path.into());
        self
    }

    /// Knows this client.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// Sends answers to apps that claimed these URI schemes, `cursor` for instance (RFC 8252
    /// §7.1). Any app can claim any scheme.
    #[must_use]
    pub fn redirect_schemes<S: Into<String>>(
        mut self,
        schemes: impl IntoIterator<Item = S>,
    ) -> Self {
        let schemes = schemes.into_iter().map(|scheme| scheme.into().to_ascii_lowercase());
        self.schemes = schemes.collect();
        self
    }

    /// Accepts clients whose id is the URL of their document
    /// (draft-ietf-oauth-client-id-metadata-document).
    #[must_use]
    pub fn documents(mut self, documents: Documents) -> Self {
        self.documents = Some(documents);
        self
    }

    /// Lets clients register themselves (RFC 7591).
    #[must_use]
    pub fn registration(mut self, registration: Registration) -> Self {
        self.registration = Some(registration);
        self
    }

    /// Trusts these issuers to vouch for people: for identity assertions and token exchange.
    #[must_use]
    pub fn assertions(mut self, assertions: Arc<dyn Assertions>) -> Self {
        self.assertions = Some(assertions);
        self
    }

    /// Asks there at each refresh whether the person still is one.
    #[must_use]
    pub fn standing(mut self, standing: Arc<dyn Standing>) -> Self {
        self.standing = Some(standing);
        self
    }

    /// How long things are good.
    #[must_use]
    pub fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// How many failed attempts one source may make.
    #[must_use]
    pub fn guesses(mut self, guesses: Guesses) -> Self {
        self.guesses = guesses;
        self
    }

    /// The server. It accepts none of its own tokens until [`OAuthServer::refresh`] has told it
    /// what was revoked.
    ///
    /// # Errors
    ///
    /// [`OAuthServerError`], by what is wrong.
    pub fn build(self) -> Result<OAuthServer, OAuthServerError> {
        let base = self.base.trim_end_matches('/').to_owned();
        let path = own_path(&base)?;
        let scopes = scopes(self.scopes)?;
        let resources = resources(&base, self.resources, &scopes)?;
        let default = default_resource(self.default_resource, &resources)?;
        let clients = clients(self.clients, (&self.schemes, &resources, &scopes))?;
        let revoked = Arc::new(RevokedTokens::default());
        let issuer: Arc<str> = base.as_str().into();
        let jwks = serde_json::json!({"keys": self.keys.jwks().keys}).to_string();
        let own = Issuer::new(issuer.clone(), resources.iter().map(|resource| &*resource.url))
            .with_keys(Keys::Inline(jwks))
            .with_algorithms([Algorithm::EdDsa, Algorithm::Es256])
            .with_access_tokens_only()
            .with_max_age(self.lifetimes.access)
            .with_mapping(Mapping::own());
        let Parts { http, store, clock, entropy } = self.parts;
        let jwt = Jwt::builder(http.clone(), clock.clone())
            .guesses(self.guesses)
            .revocations(revoked.clone())
            .issuer(own.clone())
            .build()?;
        let registered = self.registration.as_ref().map(Registration::rate);
        Ok(OAuthServer {
            issuer,
            path,
            keys: ArcSwap::from_pointee(self.keys),
            own,
            jwt: Arc::new(jwt),
            scopes,
            resources,
            default,
            clients,
            schemes: self.schemes,
            library: self.documents.map(Library::new),
            registration: self.registration,
            assertions: self.assertions,
            standing: self.standing,
            lifetimes: self.lifetimes,
            fetcher: Arc::new(Fetcher { http, reach: self.reach }),
            rings: Mutex::default(),
            proofs: Proofs::new(PROOF_AGE, PROOFS_MOST),
            failures: Failures::new(self.guesses),
            registrations: Failures::new(registered.unwrap_or(self.guesses)),
            revoked,
            store,
            clock,
            entropy,
        })
    }
}

/// The path of our own URL.
fn own_path(base: &str) -> Result<String, OAuthServerError> {
    let wrong = || OAuthServerError::Url(base.to_owned());
    let uri: http::Uri = base.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?.to_ascii_lowercase();
    let fits = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(&host),
        _ => false,
    };
    let plain = !base.contains(['?', '#', '@']);
    if fits && plain { Ok(uri.path().trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

fn scopes(list: Vec<Scope>) -> Result<BTreeMap<Arc<str>, Scope>, OAuthServerError> {
    let mut scopes = BTreeMap::new();
    for scope in list {
        let name = scope.name.clone();
        let wrong = |why| OAuthServerError::Scope { name: name.clone(), why };
        if !is_legal_scope(&name) {
            return Err(wrong("no name for a scope"));
        }
        if scopes.insert(name.clone(), scope).is_some() {
            return Err(wrong("there are two"));
        }
    }
    for scope in scopes.values() {
        if !scope.implied.iter().all(|name| scopes.contains_key(&**name)) {
            let why = "it stands for a scope that there is not";
            return Err(OAuthServerError::Scope { name: scope.name.clone(), why });
        }
    }
    Ok(scopes)
}

fn resources(
    base: &str,
    list: Vec<ProtectedResource>,
    scopes: &BTreeMap<Arc<str>, Scope>,
) -> Result<Vec<ProtectedResource>, OAuthServerError> {
    let mut resources: Vec<ProtectedResource> = Vec::new();
    for mut resource in list {
        let path = resource.path.clone();
        let wrong = |why: String| OAuthServerError::Resource { path: path.clone(), why };
        let plain =
            path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"\\<>".contains(&byte));
        if !plain || !(path.is_empty() || path.starts_with('/')) || path.ends_with('/') {
            return Err(wrong("a path begins with a slash and does not end with one".into()));
        }
        if resources.iter().any(|other| other.path == path) {
            return Err(wrong("there are two".into()));
        }
        let unknown = resource.scopes.iter().find(|name| !scopes.contains_key(&***name));
        if let Some(name) = unknown {
            return Err(wrong(format!("there is no scope `{name}`")));
        }
        let foreign = resource.default.iter().find(|name| !resource.scopes.contains(name));
        if let Some(name) = foreign {
            return Err(wrong(format!("`{name}` is not one of its scopes")));
        }
        resource.url = format!("{base}{path}").into();
        resources.push(resource);
    }
    if resources.is_empty() { Err(OAuthServerError::NoResource) } else { Ok(resources) }
}

fn default_resource(
    named: Option<String>,
    resources: &[ProtectedResource],
) -> Result<Option<Arc<str>>, OAuthServerError> {
    match (named, resources) {
        (None, [only]) => Ok(Some(only.url.clone())),
        (None, _) => Ok(None),
        (Some(path), _) => {
            let found = resources.iter().find(|resource| resource.path == path);
            let found = found.map(|resource| Some(resource.url.clone()));
            let why = "taken for meant, and not there".to_owned();
            found.ok_or(OAuthServerError::Resource { path, why })
        }
    }
}

type Known<'a> = (&'a [String], &'a [ProtectedResource], &'a BTreeMap<Arc<str>, Scope>);

fn clients(
    list: Vec<Client>,
    known: Known<'_>,
) -> Result<BTreeMap<Arc<str>, Arc<Client>>, OAuthServerError> {
    let mut clients = BTreeMap::new();
    for client in list {
        let id = client.id.clone();
        let checked = checked(client, known);
        let client = checked.map_err(|why| OAuthServerError::Client { id: id.clone(), why })?;
        if clients.insert(id.clone(), Arc::new(client)).is_some() {
            return Err(OAuthServerError::Client { id, why: "there are two".into() });
        }
    }
    Ok(clients)
}

fn checked(mut client: Client, (schemes, resources, scopes): Known<'_>) -> Result<Client, String> {
    if client.id.is_empty() || client.id.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
        return Err("no id for a client".into());
    }
    let read = client.redirects.iter().map(|uri| RedirectUri::read(uri, schemes));
    client.uris = read.collect::<Result<_, _>>()?;
    if client.may(GrantType::AuthorizationCode) && client.uris.is_empty() {
        return Err("people cannot be sent back to it: it has no redirect URI".into());
    }
    let machine = [GrantType::ClientCredentials, GrantType::JwtBearer, GrantType::TokenExchange];
    if client.is_public() && machine.into_iter().any(|grant| client.may(grant)) {
        return Err("a client that proves nothing gets tokens by a person's consent only".into());
    }
    if client.introspects && client.is_public() {
        return Err("a client that proves nothing may not ask about tokens".into());
    }
    if client.implied && !client.uris.iter().all(|uri| uri.web_host().is_some()) {
        return Err("consent is implied only where answers go to the web over https".into());
    }
    match &client.auth.0 {
        Proof::Secrets(secrets) if secrets.is_empty() => return Err("it has no secret".into()),
        Proof::Certificates(list) if list.is_empty() => return Err("it has no certificate".into()),
        _ => {}
    }
    let foreign = |url: &&String| !resources.iter().any(|resource| *resource.url == ***url);
    if let Some(url) = client.resources.iter().flatten().find(foreign) {
        return Err(format!("there is no resource `{url}`"));
    }
    if let Some(name) = client.scopes.iter().flatten().find(|name| !scopes.contains_key(&***name)) {
        return Err(format!("there is no scope `{name}`"));
    }
    Ok(client)
}
