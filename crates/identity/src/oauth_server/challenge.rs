//! What a resource says to whoever may not (RFC 6750 §3, RFC 9728 §5.1, RFC 9449 §7.1).

use http::header::HeaderValue;

use super::metadata::proofs;
use super::resource::ProtectedResource;
use super::server::OAuthServer;

/// A `WWW-Authenticate` value that tells clients how to go on.
///
/// Its texts are URLs and scopes that were checked when the server was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    metadata: String,
    scopes: Vec<String>,
    error: Option<&'static str>,
    proof: bool,
}

impl OAuthServer {
    /// The challenge of a resource, by its URL, to a request without a token: where its metadata
    /// is and which scopes to ask for. `None` where there is no such resource.
    pub fn challenge(&self, resource: &str) -> Option<Challenge> {
        self.resource(resource).map(|resource| self.challenge_of(resource))
    }

    pub(crate) fn challenge_of(&self, resource: &ProtectedResource) -> Challenge {
        Challenge {
            metadata: self.resource_metadata(resource),
            scopes: asked_for(resource).to_vec(),
            error: None,
            proof: false,
        }
    }
}

/// The scopes to ask for where a client names none.
pub(crate) fn asked_for(resource: &ProtectedResource) -> &[String] {
    if resource.default.is_empty() { &resource.scopes } else { &resource.default }
}

impl Challenge {
    /// To a request whose token is not good (401).
    #[must_use]
    pub fn with_invalid_token(mut self) -> Self {
        self.error = Some("invalid_token");
        self
    }

    /// To a request whose token has too few scopes (403): these are what it takes, all at once.
    /// Names that are no scopes are left out.
    #[must_use]
    pub fn with_insufficient_scope<S: AsRef<str>>(
        mut self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.error = Some("insufficient_scope");
        let legal = |scope: &S| crate::oauth_client::is_legal_scope(scope.as_ref());
        let scopes = scopes.into_iter().filter(legal);
        self.scopes = scopes.map(|scope| scope.as_ref().to_owned()).collect();
        self
    }

    /// Wants a proof of possession with the token.
    #[must_use]
    pub fn with_proof(mut self) -> Self {
        self.proof = true;
        self
    }

    /// The status to answer with: 401, or 403 where scopes are missing.
    pub fn status(&self) -> u16 {
        if self.error == Some("insufficient_scope") { 403 } else { 401 }
    }

    /// The header's value; `None` where it cannot be written.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.proof { "DPoP" } else { "Bearer" };
        write!(f, "{scheme} resource_metadata=\"{}\"", self.metadata)?;
        if let Some(error) = self.error {
            write!(f, ", error=\"{error}\"")?;
        }
        if !self.scopes.is_empty() {
            write!(f, ", scope=\"{}\"", self.scopes.join(" "))?;
        }
        if self.proof {
            write!(f, ", algs=\"{}\"", proofs().join(" "))?;
        }
        Ok(())
    }
}
