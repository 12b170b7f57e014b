//! Showing an upstream its credential.

#[cfg(feature = "bedrock")]
mod aws;
#[cfg(feature = "vertex")]
pub(crate) mod google;

use doorward_core::{Audience, CallError, Credential, Cx, Secret};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::transport::Outbound;
use crate::{Auth, Router, Upstream};

/// The header that a key is shown in.
enum Shown {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The bare key under a name.
    Named(&'static str),
    /// Nowhere.
    Nowhere,
}

impl Auth {
    fn shown(self) -> Shown {
        match self {
            Self::Bearer | Self::SigV4 | Self::GoogleOauth => Shown::Bearer,
            Self::XApiKey => Shown::Named("x-api-key"),
            Self::ApiKey => Shown::Named("api-key"),
            Self::XGoogApiKey => Shown::Named("x-goog-api-key"),
            Self::None => Shown::Nowhere,
        }
    }
}

impl Router {
    /// Shows the upstream the credential at `place` among those there are. Goes last: a signature
    /// is over everything else.
    pub(crate) async fn authorise(
        &self,
        cx: &Cx,
        upstream: &Upstream,
        place: usize,
        request: &mut Outbound,
    ) -> Result<(), CallError> {
        let audience = Audience::Upstream(&upstream.name);
        match self.credentials.choice(cx, audience, place).await? {
            None => Ok(()),
            Some(credential) => self.show(upstream, &credential, request).await,
        }
    }

    /// Shows the upstream this credential.
    pub(crate) async fn show(
        &self,
        upstream: &Upstream,
        credential: &Credential,
        request: &mut Outbound,
    ) -> Result<(), CallError> {
        match credential {
            Credential::Key(key) => key_shown(upstream, key, request),
            Credential::Header { name, value } => {
                let name = HeaderName::try_from(name.as_ref()).map_err(CallError::internal)?;
                insert(upstream, name, value.expose(), request)
            }
            Credential::Aws { .. } => self.sign(upstream, credential, request),
            Credential::ServiceAccount(file) if upstream.auth == Auth::GoogleOauth => {
                let token = self.access_token(upstream, file).await?;
                key_shown(upstream, &token, request)
            }
            Credential::ServiceAccount(_) => Err(unusable(upstream)),
        }
    }

    #[cfg(feature = "bedrock")]
    fn sign(
        &self,
        upstream: &Upstream,
        credential: &Credential,
        request: &mut Outbound,
    ) -> Result<(), CallError> {
        if upstream.auth != Auth::SigV4 {
            return Err(unusable(upstream));
        }
        let region = upstream.region.as_deref().ok_or_else(|| {
            let public = format!("upstream `{}` needs a `region` to sign for", upstream.name);
            CallError::internal(public)
        })?;
        aws::sign(request, credential, region, self.clock.now())
    }

    #[cfg(not(feature = "bedrock"))]
    #[expect(clippy::unused_self, reason = "the same call whatever is built in")]
    fn sign(&self, upstream: &Upstream, _: &Credential, _: &mut Outbound) -> Result<(), CallError> {
        Err(unusable(upstream))
    }

    #[cfg(feature = "vertex")]
    async fn access_token(&self, upstream: &Upstream, file: &Secret) -> Result<Secret, CallError> {
        let transport = upstream.transport.as_ref().unwrap_or(&self.transport);
        self.tokens.token(file, &**transport, &*self.clock).await
    }

    #[cfg(not(feature = "vertex"))]
    #[expect(clippy::unused_async, reason = "the same call whatever is built in")]
    async fn access_token(&self, upstream: &Upstream, _: &Secret) -> Result<Secret, CallError> {
        Err(unusable(upstream))
    }
}

fn key_shown(upstream: &Upstream, key: &Secret, request: &mut Outbound) -> Result<(), CallError> {
    match upstream.auth.shown() {
        Shown::Bearer => {
            let value = Secret::new(format!("Bearer {}", key.expose()));
            insert(upstream, AUTHORIZATION, value.expose(), request)
        }
        Shown::Named(name) => {
            insert(upstream, HeaderName::from_static(name), key.expose(), request)
        }
        Shown::Nowhere => Err(unusable(upstream)),
    }
}

/// Sets a header that is not printed.
fn insert(
    upstream: &Upstream,
    name: HeaderName,
    value: &str,
    request: &mut Outbound,
) -> Result<(), CallError> {
    // The cause may quote the value, so it is not kept.
    let mut value = HeaderValue::try_from(value).map_err(|_| {
        CallError::internal(format!("the credential for `{}` is no header value", upstream.name))
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

fn unusable(upstream: &Upstream) -> CallError {
    CallError::internal(format!("upstream `{}` cannot use this credential", upstream.name))
}
