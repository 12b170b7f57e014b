//! Tokens for MCP servers, and which credential goes where.

use std::sync::Arc;

use doorward_core::{Audience, BoxFuture, CallError, Credential, Credentials, Cx, Refusal};
use doorward_identity::StaticCredentials;
use doorward_identity::oauth_client::{
    ClientProof, Grant, HyperHttp, KnownClient, MemoryTokens, OAuthClient, Parts, Protected, Reach,
    SigningKey,
};

use super::{StartError, Surroundings};
use crate::config::{OAuthConfig, Root, ServerConfig};

/// Tokens for the servers that want them, fixed credentials for all else.
pub(super) struct EveryCredential {
    fixed: StaticCredentials,
    tokens: Vec<(String, OAuthClient)>,
}

impl EveryCredential {
    pub(super) fn new(
        fixed: StaticCredentials,
        root: &Root,
        around: &Surroundings,
    ) -> Result<Self, StartError> {
        let servers =
            root.server.iter().filter_map(|server| Some((server, server.oauth.as_ref()?)));
        let tokens = servers
            .map(|(server, oauth)| Ok((server.name.clone(), client(root, server, oauth, around)?)))
            .collect::<Result<_, StartError>>()?;
        Ok(Self { fixed, tokens })
    }

    fn of(&self, audience: Audience<'_>) -> &dyn Credentials {
        let Audience::Server(name) = audience else { return &self.fixed };
        let tokens = self.tokens.iter().find(|(server, _)| server == name);
        tokens.map_or(&self.fixed as &dyn Credentials, |(_, client)| client)
    }
}

impl Credentials for EveryCredential {
    fn credential<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        self.of(audience).credential(cx, audience)
    }

    fn choices(&self, cx: &Cx, audience: Audience<'_>) -> usize {
        self.of(audience).choices(cx, audience)
    }

    fn choice<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
        place: usize,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        self.of(audience).choice(cx, audience, place)
    }

    fn refused<'a>(
        &'a self,
        cx: &'a Cx,
        audience: Audience<'a>,
        refusal: Refusal<'a>,
    ) -> BoxFuture<'a, Result<Option<Credential>, CallError>> {
        self.of(audience).refused(cx, audience, refusal)
    }
}

/// The gateway as a client of one server's authorization server.
fn client(
    root: &Root,
    server: &ServerConfig,
    oauth: &OAuthConfig,
    around: &Surroundings,
) -> Result<OAuthClient, StartError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        StartError::new(format!("oauth of server `{}`", server.name), error)
    };
    let secret = |reference: &crate::config::SecretRef| {
        reference.resolve(&around.environment).map_err(|error| wrong(error.into()))
    };
    let proof = match (&oauth.client_secret, &oauth.private_key) {
        (Some(reference), _) => ClientProof::Secret(secret(reference)?),
        (None, Some(reference)) => {
            let key = SigningKey::from_pem(&secret(reference)?);
            ClientProof::Key(key.map_err(|error| wrong(error.into()))?)
        }
        (None, None) => ClientProof::None,
    };
    let reach = if oauth.allow_private {
        Reach::default().with_private_networks()
    } else {
        Reach::default()
    };
    let http = HyperHttp::new(reach.clone(), None).map_err(|error| wrong(error.into()))?;
    let parts = Parts {
        http: Arc::new(http),
        store: Arc::new(MemoryTokens::default()),
        clock: around.clock.clone(),
        entropy: around.entropy.clone(),
    };
    let (issuer, id) = (oauth.issuer.as_str().into(), oauth.client_id.as_str().into());
    let url = server.url.as_deref().unwrap_or_default();
    let protected = Protected::new(url)
        .with_grant(Grant::ClientCredentials)
        .with_client(KnownClient { issuer, id, proof });
    let protected = match oauth.scopes.as_slice() {
        [] => protected,
        scopes => protected.with_scopes(scopes),
    };
    // Nobody is sent there: this grant has no person in it.
    OAuthClient::builder(format!("http://localhost:{}", root.listen.data.port()), parts)
        .reach(reach)
        .server(server.name.as_str(), protected)
        .build()
        .map_err(|error| wrong(error.into()))
}
