//! What protected resources and authorization servers say about themselves (RFC 9728 §2,
//! RFC 8414 §2, OIDC Discovery 1.0 §3).

use serde::Deserialize;

use super::address::{Endpoint, Reach};
use super::fault::OAuthError;

/// What a protected resource says about itself (RFC 9728 §2), as far as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ResourceMetadata {
    pub(crate) resource: String,
    #[serde(default)]
    pub(crate) authorization_servers: Vec<String>,
    pub(crate) scopes_supported: Option<Vec<String>>,
}

/// What an authorization server says about itself (RFC 8414 §2), as far as it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ServerMetadata {
    /// Its identifier, compared byte for byte.
    pub issuer: String,
    /// Where people are sent to consent.
    pub authorization_endpoint: Option<String>,
    /// Where grants become tokens.
    pub token_endpoint: Option<String>,
    /// Where clients register (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// The scopes that it knows.
    pub scopes_supported: Option<Vec<String>>,
    /// How clients authenticate at the token endpoint.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The grants that it knows.
    pub grant_types_supported: Option<Vec<String>>,
    /// The PKCE methods that it knows (RFC 7636).
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether a client's id may be the URL of its metadata
    /// (draft-ietf-oauth-client-id-metadata-document).
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// Whether its answers name it (RFC 9207 §3).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether these are the endpoints that protocol revision 2025-03-26 takes for granted, of a
    /// server that publishes no metadata.
    #[serde(skip)]
    pub assumed: bool,
}

impl ServerMetadata {
    /// The endpoints that revision 2025-03-26 takes for granted.
    pub(crate) fn assumed(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: Some(format!("{origin}/token")),
            registration_endpoint: Some(format!("{origin}/register")),
            assumed: true,
            ..Self::default()
        }
    }

    pub(crate) fn token_endpoint(&self, reach: &Reach) -> Result<Endpoint, OAuthError> {
        let missing = || OAuthError::metadata(&self.issuer, "without a token endpoint");
        Ok(reach.endpoint(self.token_endpoint.as_deref().ok_or_else(missing)?)?)
    }

    /// Where to send people, if codes are protected there by PKCE with S256: a server that does
    /// not say so may ignore the challenge, and a stolen code would be worth a token.
    pub(crate) fn authorization_endpoint(&self, reach: &Reach) -> Result<Endpoint, OAuthError> {
        let missing = || OAuthError::metadata(&self.issuer, "without an authorization endpoint");
        let endpoint = self.authorization_endpoint.as_deref().ok_or_else(missing)?;
        if !(self.assumed || lists(self.code_challenge_methods_supported.as_ref(), "S256")) {
            return Err(OAuthError::metadata(&self.issuer, "without PKCE by S256"));
        }
        Ok(reach.endpoint(endpoint)?)
    }

    /// Whether a way to authenticate is among those supported; RFC 8414's default is
    /// `client_secret_basic`.
    pub(crate) fn authenticates_by(&self, method: &str) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|known| known == method),
            None => self.assumed || method == "client_secret_basic",
        }
    }
}

/// Whether a list is there and has a value.
pub(crate) fn lists(list: Option<&Vec<String>>, value: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|known| known == value))
}
