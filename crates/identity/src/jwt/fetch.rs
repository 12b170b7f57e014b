//! Where an issuer's keys come from.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::issuer::Keys;
use super::key::Jwks;
use crate::oauth_client::{Http, OAuthError, Reach, document};

/// Fetches what issuers publish, within a reach.
pub(crate) struct Fetcher {
    pub(crate) http: Arc<dyn Http>,
    pub(crate) reach: Reach,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("reach", &self.reach).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// The issuer's keys, as it publishes them now.
    pub(crate) async fn jwks(&self, issuer: &str, keys: &Keys) -> Result<Jwks, OAuthError> {
        let url = match keys {
            Keys::At(url) => url.clone(),
            Keys::DiscoveredAt(url) => self.discovered(issuer, std::slice::from_ref(url)).await?,
            // Keys in the configuration are never fetched.
            Keys::Discovered | Keys::Inline(_) => {
                self.discovered(issuer, &self.places(issuer)?).await?
            }
        };
        let found: Option<Jwks> = document(&*self.http, &self.reach, &url).await?;
        found.ok_or_else(|| OAuthError::metadata(&url, "without keys: there is nothing"))
    }

    async fn discovered(&self, issuer: &str, places: &[String]) -> Result<String, OAuthError> {
        for place in places {
            let found: Option<Metadata> = document(&*self.http, &self.reach, place).await?;
            let Some(metadata) = found else { continue };
            // Else whoever can write one place would sign for another.
            if metadata.issuer != issuer {
                return Err(OAuthError::metadata(place, "of another issuer"));
            }
            return Ok(metadata.jwks_uri);
        }
        Err(OAuthError::metadata(issuer, "there is none"))
    }

    /// Where an issuer's metadata may be: `OpenID` Connect's place after the path, then those of
    /// RFC 8414 §3.1 before it.
    fn places(&self, issuer: &str) -> Result<Vec<String>, OAuthError> {
        let endpoint = self.reach.endpoint(issuer)?;
        let (origin, path) = (endpoint.origin(), endpoint.path());
        let mut places = vec![
            format!("{origin}{path}/.well-known/openid-configuration"),
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
        ];
        if !path.is_empty() {
            places.push(format!("{origin}/.well-known/openid-configuration{path}"));
        }
        Ok(places)
    }
}
