//! In whose name servers are asked, and what is done where one refuses.

#[cfg(feature = "http")]
use doorward_core::Refusal;
use doorward_core::{Audience, BoxFuture, CallError, Credential, Cx};

use super::Inner;
use crate::ServerKind;
use crate::shelf::Member;
use crate::upstream::{Failure, Whose};

/// Why nothing came of a request: of the server's making, or of ours.
#[derive(Debug)]
pub(super) enum Missed {
    Failure(Failure),
    Error(CallError),
}

impl From<Failure> for Missed {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<CallError> for Missed {
    fn from(error: CallError) -> Self {
        Self::Error(error)
    }
}

impl Inner {
    async fn credential(&self, cx: &Cx, member: &Member) -> Result<Option<Credential>, CallError> {
        match (&self.credentials, &member.server.kind) {
            (None, _) | (_, ServerKind::Stdio { .. }) => Ok(None),
            (Some(credentials), _) => {
                credentials.credential(cx, Audience::Server(&member.name)).await
            }
        }
    }

    /// In whose name a server is asked.
    pub(super) async fn whose(&self, cx: &Cx, member: &Member) -> Result<Whose, CallError> {
        let credential = self.credential(cx, member).await?;
        Ok(Whose { principal: cx.principal.id.clone(), credential })
    }

    /// Does something in somebody's name; where the server refuses the credential, once more with
    /// another one, if there is.
    pub(super) async fn with_credential<'a, T>(
        &self,
        cx: &Cx,
        member: &Member,
        whose: Whose,
        attempt: impl Fn(Whose) -> BoxFuture<'a, Result<T, Missed>>,
    ) -> Result<T, CallError> {
        let told = |missed| match missed {
            Missed::Failure(failure) => failure.told(&member.name),
            Missed::Error(error) => error,
        };
        let first = attempt(whose.clone()).await;
        #[cfg(feature = "http")]
        if let Err(Missed::Failure(Failure::Refused { status, url, challenges })) = &first {
            let refusal =
                Refusal { status: *status, url, challenges, shown: whose.credential.as_ref() };
            return match self.refused(cx, member, refusal).await? {
                None => first.map_err(told),
                Some(other) => {
                    let whose = Whose { credential: Some(other), ..whose };
                    attempt(whose).await.map_err(told)
                }
            };
        }
        #[cfg(not(feature = "http"))]
        let _ = cx;
        first.map_err(told)
    }

    #[cfg(feature = "http")]
    async fn refused(
        &self,
        cx: &Cx,
        member: &Member,
        refusal: Refusal<'_>,
    ) -> Result<Option<Credential>, CallError> {
        match &self.credentials {
            None => Ok(None),
            Some(credentials) => {
                credentials.refused(cx, Audience::Server(&member.name), refusal).await
            }
        }
    }
}
