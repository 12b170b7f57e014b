//! From a refusal to the authorization server behind it (RFC 9728, RFC 8414, and the MCP
//! authorization specification's order of places to look).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::Clock;

use super::address::{Endpoint, Reach};
use super::challenge::Challenge;
use super::fault::OAuthError;
use super::http::{Http, document};
use super::metadata::{ResourceMetadata, ServerMetadata};

/// How long an authorization server's metadata is believed.
const KEPT: Duration = Duration::from_mins(10);
/// The most authorization servers remembered.
const MOST: usize = 1024;
/// The most authorization servers of a resource that are looked at.
const MOST_NAMED: usize = 16;

/// Metadata by its issuer, and until when it is believed.
type Known = HashMap<Arc<str>, (Arc<ServerMetadata>, Instant)>;

/// Finds the authorization server of a resource.
pub struct Discovery {
    http: Arc<dyn Http>,
    reach: Reach,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// What was found for a resource.
#[derive(Debug, Clone)]
pub struct Found {
    /// The resource, exactly as it names itself: sent so to the authorization server (RFC 8707).
    pub resource: Arc<str>,
    /// The authorization server, exactly as it names itself.
    pub issuer: Arc<str>,
    /// The authorization server's metadata, if it could be checked against its name.
    pub metadata: Arc<ServerMetadata>,
    /// The scopes that the resource lists.
    pub scopes: Option<Vec<String>>,
}

impl Discovery {
    /// Asks by this, within this reach.
    pub fn new(http: Arc<dyn Http>, reach: Reach, clock: Arc<dyn Clock>) -> Self {
        Self { http, reach, clock, known: Mutex::default() }
    }

    pub(crate) fn http(&self) -> &dyn Http {
        &*self.http
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The authorization server for a resource that refused with this challenge: the first that
    /// the resource names and `prefer` likes, else the first.
    ///
    /// A resource without metadata is taken for one of protocol revision 2025-03-26, whose
    /// authorization server is its own origin.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Metadata`] where what is found contradicts itself or what was asked for;
    /// [`OAuthError::Address`] where it lies out of reach; [`OAuthError::Unanswered`].
    pub async fn find(
        &self,
        url: &str,
        challenge: &Challenge,
        prefer: impl Fn(&str) -> bool,
    ) -> Result<Found, OAuthError> {
        let asked = self.reach.endpoint(url)?;
        let Some(resource) = self.resource(&asked, challenge).await? else {
            return self.find_assumed(&asked).await;
        };
        let named = &resource.authorization_servers;
        let named = named.get(..MOST_NAMED).unwrap_or(named);
        let issuer = named.iter().find(|issuer| prefer(issuer)).or(named.first());
        let none = || OAuthError::metadata(&resource.resource, "without authorization servers");
        let issuer: Arc<str> = issuer.ok_or_else(none)?.as_str().into();
        let metadata = self.server(&issuer).await?;
        let resource_name = resource.resource.as_str().into();
        Ok(Found { resource: resource_name, issuer, metadata, scopes: resource.scopes_supported })
    }

    /// An authorization server's metadata, from the three places where it may be.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub async fn server(&self, issuer: &str) -> Result<Arc<ServerMetadata>, OAuthError> {
        if let Some(metadata) = self.remembered(issuer) {
            return Ok(metadata);
        }
        let endpoint = self.reach.endpoint(issuer)?;
        if endpoint.uri().query().is_some() {
            return Err(OAuthError::metadata(issuer, "an issuer with a query"));
        }
        for place in places(&endpoint) {
            let found: Option<ServerMetadata> = document(&*self.http, &self.reach, &place).await?;
            let Some(metadata) = found else { continue };
            if metadata.issuer != issuer {
                return Err(OAuthError::metadata(&place, "of another issuer"));
            }
            return Ok(self.remember(metadata));
        }
        Err(OAuthError::metadata(issuer, "there is none"))
    }

    /// As [`server`](Self::server), or the endpoints that revision 2025-03-26 takes for granted.
    pub(crate) async fn server_or_assumed(
        &self,
        issuer: &str,
        assumed: bool,
    ) -> Result<Arc<ServerMetadata>, OAuthError> {
        if assumed {
            return Ok(Arc::new(ServerMetadata::assumed(issuer)));
        }
        self.server(issuer).await
    }

    async fn resource(
        &self,
        asked: &Endpoint,
        challenge: &Challenge,
    ) -> Result<Option<ResourceMetadata>, OAuthError> {
        let inserted =
            |path: &str| format!("{}/.well-known/oauth-protected-resource{path}", asked.origin());
        let mut places: Vec<String> = challenge.resource_metadata.iter().cloned().collect();
        places.push(inserted(asked.path()));
        if !asked.path().is_empty() {
            places.push(inserted(""));
        }
        for place in places {
            let found: Option<ResourceMetadata> =
                document(&*self.http, &self.reach, &place).await?;
            let Some(found) = found else { continue };
            let named = self.reach.endpoint(&found.resource);
            if !named.is_ok_and(|named| named.covers(asked)) {
                return Err(OAuthError::metadata(&place, "of another resource"));
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    async fn find_assumed(&self, asked: &Endpoint) -> Result<Found, OAuthError> {
        let origin = asked.origin();
        let place = format!("{origin}/.well-known/oauth-authorization-server");
        let published: Option<ServerMetadata> = document(&*self.http, &self.reach, &place).await?;
        let metadata = match published {
            Some(metadata) if metadata.issuer.trim_end_matches('/') == origin => {
                self.remember(metadata)
            }
            Some(_) => return Err(OAuthError::metadata(&place, "of another issuer")),
            None => Arc::new(ServerMetadata::assumed(&origin)),
        };
        let issuer = metadata.issuer.as_str().into();
        Ok(Found { resource: asked.text().clone(), issuer, metadata, scopes: None })
    }

    fn remembered(&self, issuer: &str) -> Option<Arc<ServerMetadata>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (metadata, until) = known.get(issuer)?;
        (self.clock.instant() < *until).then(|| metadata.clone())
    }

    fn remember(&self, metadata: ServerMetadata) -> Arc<ServerMetadata> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        let issuer = metadata.issuer.as_str().into();
        let metadata = Arc::new(metadata);
        known.insert(issuer, (metadata.clone(), self.clock.instant() + KEPT));
        metadata
    }
}

/// Where an issuer's metadata may be: RFC 8414 and OIDC with the well-known part before
/// the path, then OIDC with it after.
fn places(issuer: &Endpoint) -> Vec<String> {
    let (origin, path) = (issuer.origin(), issuer.path());
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    places
}
