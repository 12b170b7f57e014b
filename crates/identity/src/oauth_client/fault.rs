//! Why a token could not be got.

use doorward_core::{CallError, Code};

use super::address::{AddressError, brief};
use super::http::HttpError;
use super::tokens::TokenStoreError;

/// Why a token could not be got.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// A server named an address that must not be asked.
    #[error("a URL that must not be asked")]
    Address(#[from] AddressError),
    /// No answer, or one that only says to come back later: worth trying again.
    #[error("no answer from `{url}`")]
    Unanswered {
        /// What was asked.
        url: String,
        /// Why there was none.
        #[source]
        cause: HttpError,
    },
    /// A document that does not hold what it must, or contradicts what was asked for.
    #[error("the metadata at `{url}` is not usable: {why}")]
    Metadata {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no way to become a client of this authorization server.
    #[error("`{issuer}` has no client for this gateway and registers none: {why}")]
    Unregistered {
        /// The authorization server.
        issuer: String,
        /// What was tried.
        why: &'static str,
    },
    /// The authorization server refused, with an OAuth error code (RFC 6749 §5.2).
    #[error("`{url}` refused: {error}")]
    Refused {
        /// What was asked.
        url: String,
        /// The error code, shortened.
        error: String,
    },
    /// A sign-in that cannot be finished.
    #[error("the sign-in cannot be finished: {0}")]
    SignIn(&'static str),
    /// A key cannot sign.
    #[error("the client's private key is not usable: {0}")]
    Key(&'static str),
    /// The token store failed.
    #[error("the token store failed")]
    Store(#[from] TokenStoreError),
}

impl OAuthError {
    pub(crate) fn metadata(url: &str, why: &'static str) -> Self {
        Self::Metadata { url: brief(url), why }
    }

    pub(crate) fn refused(url: &str, error: &str) -> Self {
        let legal = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
        let error: String = error.chars().filter(legal).take(64).collect();
        Self::Refused { url: brief(url), error }
    }

    /// Whether the grant is gone for good (RFC 6749 §5.2 `invalid_grant`).
    pub(crate) fn is_grant_gone(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_grant")
    }

    /// Whether the authorization server does not know this client any more.
    pub(crate) fn is_client_gone(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_client")
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unanswered { .. } | Self::Store(_))
    }
}

impl From<OAuthError> for CallError {
    /// What a caller is told: which of the parts failed, nothing of what strangers wrote.
    fn from(error: OAuthError) -> Self {
        let (code, public) = match &error {
            OAuthError::Unanswered { .. } => {
                (Code::Upstream, "the tool server's sign-in service does not answer")
            }
            OAuthError::Address(_) | OAuthError::Metadata { .. } => {
                (Code::Upstream, "the tool server's sign-in service cannot be trusted as it is")
            }
            OAuthError::Unregistered { .. } => (
                Code::Forbidden,
                "this gateway is not registered at the tool server's sign-in service",
            ),
            OAuthError::Refused { .. } => {
                (Code::Forbidden, "the tool server's sign-in service refused")
            }
            OAuthError::SignIn(_) => (Code::InvalidRequest, "the sign-in cannot be finished"),
            OAuthError::Key(_) | OAuthError::Store(_) => (Code::Internal, "internal error"),
        };
        Self::new(code, public).with_rule("oauth").with_source(error)
    }
}
