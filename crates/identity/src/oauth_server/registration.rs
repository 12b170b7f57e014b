//! Clients that register themselves (RFC 7591).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde::Deserialize as _;
use serde_json::json;

use super::client::{
    Client, ClientAuth, ClientMetadata, GrantType, Origin, Proof, SECRET, plain_name,
};
use super::document::is_among;
use super::fault::{Fault, fresh};
use super::redirect::RedirectUri;
use super::request::Request;
use super::server::OAuthServer;
use super::store::{RegisteredClient, SecretHash};
use crate::Guesses;
use crate::jwt::{Jwks, Strict};
use crate::oauth_client::random;

/// The most redirect URIs of one client.
const REDIRECTS_MOST: usize = 20;
/// The largest registration, in bytes.
const LARGEST: usize = 16 << 10;

/// Which clients may register themselves.
#[derive(Debug, Clone)]
pub struct Registration {
    redirect_hosts: Option<Vec<String>>,
    rate: Guesses,
    kept: Duration,
    most: usize,
}

impl Default for Registration {
    /// With redirects to every host; ten an hour from one source; forgotten after thirty days
    /// without use; ten thousand at most.
    fn default() -> Self {
        let window = Duration::from_hours(1);
        Self {
            redirect_hosts: None,
            rate: Guesses { most: Some(10), window, ..Guesses::default() },
            kept: Duration::from_hours(30 * 24),
            most: 10_000,
        }
    }
}

impl Registration {
    /// With redirects to these hosts only; `*.example.com` stands for every host under one, and
    /// `localhost`, `127.0.0.1` and `[::1]` for the person's own machine.
    #[must_use]
    pub fn with_redirect_hosts<S: Into<String>>(
        mut self,
        hosts: impl IntoIterator<Item = S>,
    ) -> Self {
        let hosts = hosts.into_iter().map(|host| host.into().to_ascii_lowercase());
        self.redirect_hosts = Some(hosts.collect());
        self
    }

    /// How many one source may register: `most` within each `window`.
    #[must_use]
    pub fn with_rate(mut self, rate: Guesses) -> Self {
        self.rate = rate;
        self
    }

    /// Forgets a client that was not used for so long.
    #[must_use]
    pub fn with_kept(mut self, kept: Duration) -> Self {
        self.kept = kept;
        self
    }

    /// How many there may be at once.
    #[must_use]
    pub fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    pub(crate) fn rate(&self) -> Guesses {
        self.rate
    }

    pub(crate) fn kept(&self) -> Duration {
        self.kept
    }

    /// The redirect URI, if it is one that a stranger may have here.
    fn redirect(&self, text: &str, schemes: &[String]) -> Result<RedirectUri, &'static str> {
        let uri = RedirectUri::read(text, schemes)?;
        let listed = match (&self.redirect_hosts, uri.scheme_and_host()) {
            (Some(hosts), Some((_, host))) => is_among(host, hosts),
            // A scheme is listed or it would not have been read.
            (Some(_), None) | (None, _) => true,
        };
        if listed { Ok(uri) } else { Err("a redirect URI leads to a host that is not listed here") }
    }
}

impl OAuthServer {
    /// Registers a client (RFC 7591 §3).
    pub(crate) async fn register(&self, request: Request<'_>) -> Result<Response<Bytes>, Fault> {
        let missing = || Fault::new("not_found", "nothing is here");
        let rule = self.registration.as_ref();
        let rule = rule.ok_or_else(|| missing().with_status(StatusCode::NOT_FOUND))?;
        let wait = request
            .source
            .and_then(|source| self.registrations.count(source, self.clock.instant()));
        if let Some(wait) = wait {
            return Err(Fault::too_many(wait));
        }
        let metadata = self.checked(rule, read(&request)?)?;
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let id: Arc<str> = format!("dcr-{}", URL_SAFE_NO_PAD.encode(bytes)).into();
        let method = metadata.token_endpoint_auth_method.as_deref().unwrap_or_default();
        let secret = method.starts_with("client_secret").then(|| random(&*self.entropy));
        let hash = secret.as_ref().map(|secret| SecretHash::of(SECRET, secret.expose()));
        let now = self.clock.now();
        let client = RegisteredClient { id, secret: hash, metadata, created: now };
        if !self.store.register(&client, rule.most).await? {
            tracing::warn!("no more clients can register: there are too many");
            return Err(Fault::unavailable());
        }
        let mut body =
            serde_json::to_value(&client.metadata).map_err(|error| Fault::internal(&error))?;
        body["client_id"] = json!(client.id);
        body["client_id_issued_at"] = json!(now.as_secs());
        if let Some(secret) = &secret {
            body["client_secret"] = json!(secret.expose());
            body["client_secret_expires_at"] = json!(0);
        }
        Ok(fresh(StatusCode::CREATED, &body))
    }

    /// What is kept of what a client said: as far as it is accepted.
    fn checked(&self, rule: &Registration, said: ClientMetadata) -> Result<ClientMetadata, Fault> {
        let wrong = |why: &'static str| Fault::new("invalid_client_metadata", why);
        let uris = &said.redirect_uris;
        if uris.is_empty() || uris.len() > REDIRECTS_MOST {
            return Err(Fault::new("invalid_redirect_uri", "one redirect URI to twenty"));
        }
        for uri in uris {
            let read = rule.redirect(uri, &self.schemes);
            read.map_err(|why| Fault::new("invalid_redirect_uri", why))?;
        }
        if said.response_types.iter().flatten().any(|kind| kind != "code") {
            return Err(wrong("the only response type is `code`"));
        }
        let grants = said.grants();
        if !grants.contains(&GrantType::AuthorizationCode) {
            return Err(wrong("clients that register get tokens by a person's consent"));
        }
        // RFC 7591 §2: what is left out is `client_secret_basic`.
        let method = said.token_endpoint_auth_method.as_deref().unwrap_or("client_secret_basic");
        match method {
            "none" | "client_secret_basic" | "client_secret_post" => {}
            "private_key_jwt" => {
                self.keys(&said).ok_or_else(|| wrong("without one place for its keys"))?;
            }
            _ => return Err(wrong("this way to authenticate is not known here")),
        }
        let keyed = method == "private_key_jwt";
        let grants = grants.into_iter().map(|grant| grant.as_str().to_owned()).collect();
        Ok(ClientMetadata {
            client_name: said
                .client_name
                .as_deref()
                .and_then(plain_name)
                .map(|name| name.to_string()),
            token_endpoint_auth_method: Some(method.to_owned()),
            grant_types: Some(grants),
            response_types: Some(vec!["code".to_owned()]),
            jwks: said.jwks.filter(|_| keyed),
            jwks_uri: said.jwks_uri.filter(|_| keyed),
            ..said
        })
    }

    fn keys(&self, said: &ClientMetadata) -> Option<ClientAuth> {
        match (&said.jwks, &said.jwks_uri) {
            (Some(jwks), None) => ClientAuth::key_set(&Jwks::deserialize(jwks).ok()?),
            (None, Some(url)) => {
                self.fetcher.reach.endpoint(url).ok()?;
                Some(ClientAuth::keys_at(url.as_str()))
            }
            _ => None,
        }
    }

    /// The client that registered under this id, as today's rules see it: one whose redirect URIs
    /// are not accepted any more has none.
    pub(crate) async fn registered(&self, id: &str) -> Result<Option<Arc<Client>>, Fault> {
        let Some(rule) = &self.registration else { return Ok(None) };
        let Some(kept) = self.store.registered(id).await? else { return Ok(None) };
        let RegisteredClient { id, secret, metadata, .. } = kept;
        let auth = match (metadata.token_endpoint_auth_method.as_deref(), secret) {
            (Some("none"), _) => ClientAuth::public(),
            (Some("private_key_jwt"), _) => match self.keys(&metadata) {
                Some(auth) => auth,
                None => return Ok(None),
            },
            (_, Some(secret)) => ClientAuth(Proof::Secrets(vec![secret])),
            (_, None) => return Ok(None),
        };
        let uris = metadata.redirect_uris.iter();
        let uris = uris.filter_map(|uri| rule.redirect(uri, &self.schemes).ok()).collect();
        let grants = metadata.grants();
        let name = metadata.client_name.as_deref().and_then(plain_name);
        Ok(Some(Arc::new(Client {
            origin: Origin::Registered,
            name: name.unwrap_or_else(|| "an app without a name".into()),
            uris,
            grants,
            scopes: metadata.scopes(),
            bound: metadata.dpop_bound_access_tokens,
            ..Client::new(id, auth)
        })))
    }
}

fn read(request: &Request<'_>) -> Result<ClientMetadata, Fault> {
    let wrong = || Fault::new("invalid_client_metadata", "this is no client's metadata");
    let kind = request.header(header::CONTENT_TYPE.as_str())?.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") || request.body.len() > LARGEST {
        return Err(wrong());
    }
    let Strict(value) = serde_json::from_slice(request.body).map_err(|_| wrong())?;
    ClientMetadata::deserialize(&value).map_err(|_| wrong())
}
