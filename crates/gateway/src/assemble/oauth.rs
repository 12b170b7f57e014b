//! Tokens for MCP servers, which credential goes where, and the pages where people consent.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_core::{
    Audience, BoxFuture, CallError, Code, Credential, Credentials, Cx, Principal, PrincipalKind,
    Refusal, Secret,
};
use doorward_identity::oauth_client::{
    Assertions, ClientProof, Grant, HyperHttp, IdentityProvider, KnownClient, MemoryTokens,
    OAuthClient, Parts, Protected, Reach, SigningKey, Subjects, TokenStore,
};
use doorward_identity::{StaticCredentials, VirtualKeys};
use doorward_mcp_broker::SealKeys;

use super::{StartError, Surroundings};
use crate::config::{Environment, OAuthConfig, OAuthGrant, Root, SecretRef, ServerConfig};
use crate::edge::{Connect, ConnectParts, KeySignIn};

/// Where users' tokens are kept.
pub(super) fn token_store() -> Arc<dyn TokenStore> {
    Arc::new(MemoryTokens::default())
}

/// The clients that get tokens for the servers that want them.
#[derive(Clone)]
pub(super) struct TokenClients {
    /// One for each reach: what one server may lead to, another may not.
    clients: Vec<OAuthClient>,
    /// The servers whose tokens take a person's consent.
    asking: BTreeSet<String>,
}

impl TokenClients {
    /// For the servers of a configuration.
    ///
    /// # Errors
    ///
    /// Where a secret is not there or a key is none.
    pub(super) fn new(
        root: &Root,
        store: &Arc<dyn TokenStore>,
        around: &Surroundings,
    ) -> Result<Self, StartError> {
        let servers =
            || root.server.iter().filter_map(|server| Some((server, server.oauth.as_ref()?)));
        let asking = root.server.iter().filter(|server| server.asks_people());
        let asking = asking.map(|server| server.name.clone()).collect();
        let mut clients = Vec::new();
        for private in [false, true] {
            let mut of = servers().filter(|(_, oauth)| oauth.allow_private == private).peekable();
            if of.peek().is_some() {
                clients.push(client(root, private, of, store, around)?);
            }
        }
        Ok(Self { clients, asking })
    }

    fn of(&self, name: &str) -> Option<&OAuthClient> {
        self.clients.iter().find(|client| client.servers().any(|server| server == name))
    }

    /// The pages where people consent, where any server asks for it.
    pub(super) fn pages(
        &self,
        root: &Root,
        keys: &SealKeys,
        virtual_keys: &Arc<VirtualKeys>,
        around: &Surroundings,
    ) -> Option<Connect> {
        let public_url = root.listen.public_url().filter(|_| !self.asking.is_empty())?;
        Some(Connect::new(ConnectParts {
            clients: self.clients.clone(),
            sign_in: Arc::new(KeySignIn::new(virtual_keys.clone())),
            public_url,
            keys: keys.clone(),
            clock: around.clock.clone(),
            entropy: around.entropy.clone(),
        }))
    }
}

/// Tokens for the servers that want them, fixed credentials for all else.
pub(super) struct EveryCredential {
    fixed: StaticCredentials,
    tokens: TokenClients,
}

impl EveryCredential {
    pub(super) fn new(fixed: StaticCredentials, tokens: TokenClients) -> Self {
        Self { fixed, tokens }
    }

    fn of(&self, audience: Audience<'_>) -> &dyn Credentials {
        let Audience::Server(name) = audience else { return &self.fixed };
        self.tokens.of(name).map_or(&self.fixed as &dyn Credentials, |client| client)
    }

    /// Whether the gateway asks in its own name for what takes a person's consent: nobody is there
    /// to give it.
    fn is_nobody(&self, cx: &Cx, audience: Audience<'_>) -> bool {
        let Audience::Server(name) = audience else { return false };
        let caller = &cx.principal;
        let keyless = caller.key.is_none() && caller.identity.is_none();
        let own = keyless && caller.kind == PrincipalKind::Service && &*caller.id == super::OWN;
        own && self.tokens.asking.contains(name)
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
        if self.is_nobody(cx, audience) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        self.of(audience).refused(cx, audience, refusal)
    }
}

/// The gateway as a client of these servers' authorization servers.
fn client<'a>(
    root: &Root,
    private: bool,
    servers: impl Iterator<Item = (&'a ServerConfig, &'a OAuthConfig)>,
    store: &Arc<dyn TokenStore>,
    around: &Surroundings,
) -> Result<OAuthClient, StartError> {
    let reach = Reach::default();
    let reach = if private { reach.with_private_networks() } else { reach };
    let http = HyperHttp::new(reach.clone(), None)
        .map_err(|error| StartError::new("tokens cannot be asked for", error))?;
    let parts = Parts {
        http: Arc::new(http),
        store: store.clone(),
        clock: around.clock.clone(),
        entropy: around.entropy.clone(),
    };
    // Where nobody consents, nobody comes back to it.
    let public_url = root.listen.public_url();
    let base = public_url.unwrap_or_else(|| "http://localhost".to_owned());
    let mut builder = OAuthClient::builder(&base, parts).reach(reach);
    builder = builder.name(&root.connect.client_name);
    if let Some(url) = root.connect.metadata_url(&base) {
        builder = builder.metadata_document(url);
    }
    for (server, oauth) in servers {
        builder = builder.server(&server.name, protected(server, oauth, around)?);
    }
    builder.build().map_err(|error| StartError::new("`oauth` of a server cannot be used", error))
}

/// What the gateway's platform says of it, where the configuration says.
#[derive(Debug)]
struct Platform {
    assertion: Option<SecretRef>,
    environment: Environment,
}

fn platform(oauth: &OAuthConfig, around: &Surroundings) -> Arc<dyn Assertions> {
    let (assertion, environment) = (oauth.assertion.clone(), around.environment.clone());
    Arc::new(Platform { assertion, environment })
}

impl Assertions for Platform {
    fn assertion(&self) -> BoxFuture<'_, Result<Secret, CallError>> {
        let (reference, environment) = (self.assertion.clone(), self.environment.clone());
        Box::pin(async move {
            let missing = || CallError::new(Code::Internal, "no assertion is configured");
            let reference = reference.ok_or_else(missing)?;
            // The file may lie on a slow volume.
            let read = tokio::task::spawn_blocking(move || reference.resolve(&environment));
            read.await.map_err(CallError::internal)?.map_err(CallError::internal)
        })
    }
}

/// The ID tokens that principals called with, of one identity provider.
#[derive(Debug)]
struct Shown {
    issuer: String,
}

impl Subjects for Shown {
    fn id_token<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> BoxFuture<'a, Result<Option<Secret>, CallError>> {
        let known = principal.identity.as_ref();
        let known = known.filter(|identity| *identity.issuer == *self.issuer);
        let token = known.and_then(|identity| identity.token.clone());
        Box::pin(std::future::ready(Ok(token)))
    }
}

/// How a client of ours proves who it is.
fn proof(
    server: &ServerConfig,
    own: Option<&SecretRef>,
    key: Option<&SecretRef>,
    around: &Surroundings,
) -> Result<ClientProof, StartError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        StartError::new(format!("oauth of server `{}`", server.name), error)
    };
    let secret = |reference: &SecretRef| {
        reference.resolve(&around.environment).map_err(|error| wrong(error.into()))
    };
    match (own, key) {
        (Some(reference), _) => Ok(ClientProof::Secret(secret(reference)?)),
        (None, Some(reference)) => {
            let key = SigningKey::from_pem(&secret(reference)?);
            Ok(ClientProof::Key(key.map_err(|error| wrong(error.into()))?))
        }
        (None, None) => Ok(ClientProof::None),
    }
}

fn protected(
    server: &ServerConfig,
    oauth: &OAuthConfig,
    around: &Surroundings,
) -> Result<Protected, StartError> {
    let proof = |own: &Option<SecretRef>, key: &Option<SecretRef>| {
        proof(server, own.as_ref(), key.as_ref(), around)
    };
    let grant = match (oauth.grant(), &oauth.identity_provider) {
        (OAuthGrant::ClientCredentials, _) => Grant::ClientCredentials,
        (OAuthGrant::Workload, _) => Grant::Workload(platform(oauth, around)),
        (OAuthGrant::Enterprise, Some(provider)) => Grant::Enterprise(IdentityProvider {
            token_endpoint: provider.token_endpoint.clone(),
            client: KnownClient {
                issuer: provider.issuer.as_str().into(),
                id: provider.client_id.as_str().into(),
                proof: proof(&provider.client_secret, &provider.private_key)?,
            },
            subjects: Arc::new(Shown { issuer: provider.issuer.clone() }),
        }),
        (OAuthGrant::Consent | OAuthGrant::Enterprise, _) => Grant::Consent,
    };
    let proof = proof(&oauth.client_secret, &oauth.private_key)?;
    let url = server.url.as_deref().unwrap_or_default();
    let mut protected = Protected::new(url).with_grant(grant);
    if let Some(issuer) = &oauth.issuer {
        protected = protected.with_issuer(issuer.as_str());
        if let Some(id) = &oauth.client_id {
            let (issuer, id) = (issuer.as_str().into(), id.as_str().into());
            protected = protected.with_client(KnownClient { issuer, id, proof });
        }
    }
    if !oauth.scopes.is_empty() {
        protected = protected.with_scopes(oauth.scopes.iter().map(String::as_str));
    }
    Ok(if oauth.shared { protected.shared() } else { protected })
}
