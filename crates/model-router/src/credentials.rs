//! Upstreams that want no credential.

use doorward_core::{Audience, BoxFuture, CallError, Credential, Credentials, Cx};

/// Shows no credential to anyone: for local model servers and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl Credentials for NoCredentials {
    fn credential<'a>(
        &'a self,
        _cx: &'a Cx,
        _audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        Box::pin(async { Ok(None) })
    }
}
