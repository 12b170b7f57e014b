//! What the server and its resources say about themselves (RFC 8414 §2, RFC 9728 §2, RFC 7517 §5).

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::client::{GrantType, Proof};
use super::fault::answered;
use super::resource::ProtectedResource;
use super::server::OAuthServer;
use crate::jwt::Algorithm;

/// What RFC 9728 §3 and RFC 8414 §3 put between host and path.
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

impl OAuthServer {
    /// The document at this path, if there is one.
    pub(crate) fn document(&self, path: &str) -> Option<Response<Bytes>> {
        let body = if let Some(rest) = path.strip_prefix(RESOURCE) {
            self.resource_document(self.at_path(rest)?)
        } else if let Some(rest) = path.strip_prefix(SERVER) {
            self.describes(rest).then(|| self.server_document())?
        } else if let Some(rest) = path.strip_prefix(OPENID) {
            self.describes(rest).then(|| self.openid_document())?
        } else if let Some(rest) = path.strip_suffix(OPENID) {
            self.describes(rest).then(|| self.openid_document())?
        } else if path.strip_prefix(&self.path).unwrap_or(path) == "/oauth/jwks" {
            json!({"keys": self.keys.load().jwks().keys})
        } else {
            return None;
        };
        let mut answer = answered(StatusCode::OK, &body);
        let kept = HeaderValue::from_static("public, max-age=300");
        answer.headers_mut().insert(header::CACHE_CONTROL, kept);
        Some(answer)
    }

    /// The protected resource at this path of ours; at none, the one taken for meant.
    fn at_path(&self, path: &str) -> Option<&ProtectedResource> {
        let path = path.strip_prefix(&self.path).unwrap_or(path).trim_end_matches('/');
        let named = self.resources.iter().find(|resource| resource.path == path);
        let meant =
            || self.resources.iter().find(|resource| Some(&resource.url) == self.default.as_ref());
        named.or_else(|| if path.is_empty() { meant() } else { None })
    }

    /// Whether somebody who looks for the authorization server of this path means this one: at its
    /// own path, or, as clients before RFC 9728 did, at a resource's.
    fn describes(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inner = path.strip_prefix(&self.path).unwrap_or(path);
        inner.is_empty() || self.resources.iter().any(|resource| resource.path == inner)
    }

    pub(crate) fn resource_metadata(&self, resource: &ProtectedResource) -> String {
        let origin = self.issuer.strip_suffix(&self.path).unwrap_or(&self.issuer);
        format!("{origin}{RESOURCE}{}{}", self.path, resource.path)
    }

    fn resource_document(&self, resource: &ProtectedResource) -> Value {
        let mut document = json!({
            "resource": resource.url,
            "authorization_servers": [self.issuer],
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": proofs(),
        });
        if !resource.scopes.is_empty() {
            document["scopes_supported"] = json!(resource.scopes);
        }
        if let Some(name) = &resource.name {
            document["resource_name"] = json!(name);
        }
        document
    }

    fn server_document(&self) -> Value {
        let methods = self.methods();
        let signing: Vec<_> = Algorithm::USUAL.iter().map(|known| known.as_str()).collect();
        let proven: Vec<_> = methods.iter().filter(|method| **method != "none").collect();
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": self.endpoint("authorize"),
            "token_endpoint": self.endpoint("token"),
            "jwks_uri": self.endpoint("jwks"),
            "revocation_endpoint": self.endpoint("revoke"),
            "introspection_endpoint": self.endpoint("introspect"),
            "scopes_supported": self.scopes.keys().collect::<Vec<_>>(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": self.grants(),
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": signing,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": signing,
            "introspection_endpoint_auth_methods_supported": proven,
            "introspection_endpoint_auth_signing_alg_values_supported": signing,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": self.library.is_some(),
            "dpop_signing_alg_values_supported": proofs(),
            "tls_client_certificate_bound_access_tokens": self.knows_certificates(),
            "protected_resources": self.resources.iter().map(|one| &one.url).collect::<Vec<_>>(),
        });
        if self.registration.is_some() {
            document["registration_endpoint"] = self.endpoint("register").into();
        }
        if self.assertions.is_some() {
            document["authorization_grant_profiles_supported"] =
                json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
        }
        document
    }

    /// The same for clients that know only OIDC's place; no ID token is ever issued.
    fn openid_document(&self) -> Value {
        let mut document = self.server_document();
        document["subject_types_supported"] = json!(["public"]);
        document["id_token_signing_alg_values_supported"] = json!(["EdDSA"]);
        document
    }

    fn knows_certificates(&self) -> bool {
        self.clients.values().any(|client| matches!(client.auth.0, Proof::Certificates(_)))
    }

    fn methods(&self) -> Vec<&'static str> {
        let mut methods =
            vec!["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
        if self.knows_certificates() {
            methods.push("self_signed_tls_client_auth");
        }
        methods
    }

    fn grants(&self) -> Vec<&'static str> {
        let mut grants = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        for grant in [GrantType::ClientCredentials, GrantType::JwtBearer, GrantType::TokenExchange]
        {
            if self.clients.values().any(|client| client.may(grant)) {
                grants.push(grant);
            }
        }
        grants.into_iter().map(GrantType::as_str).collect()
    }
}

/// What proofs of possession may be signed with.
pub(crate) fn proofs() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|known| known.as_str()).collect()
}
