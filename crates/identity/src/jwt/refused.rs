//! Why a token is not accepted: for the log. The caller learns nothing of it.

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no token: {0}")]
    Shape(&'static str),
    #[error("the header's `{0}` is not accepted")]
    Header(&'static str),
    #[error("the algorithm is not allowed")]
    Algorithm,
    #[error("the issuer is not known")]
    Issuer,
    #[error("the issuer has no such key")]
    Key,
    #[error("the issuer's keys cannot be had")]
    Unavailable,
    #[error("the signature does not fit")]
    Signature,
    #[error("the type is not that of an access token")]
    Kind,
    #[error("the claim `{0}` is missing or not accepted")]
    Claim(&'static str),
    #[error("a claim that is required is missing or not accepted")]
    Required,
    #[error("revoked")]
    Revoked,
    #[error("the proof of possession: {0}")]
    Proof(&'static str),
    #[error("bound to another certificate")]
    Certificate,
}

impl Refused {
    /// Whether anybody could have made such a token: it says nothing of who shows it.
    pub(crate) fn is_guess(self) -> bool {
        matches!(
            self,
            Self::Shape(_)
                | Self::Header(_)
                | Self::Algorithm
                | Self::Issuer
                | Self::Key
                | Self::Signature
        )
    }
}
