//! Tokens without a person: the gateway as itself, or vouched for by its platform or by the identity
//! provider.

use std::sync::Arc;

use doorward_core::{Principal, Secret};

use super::client::{Inner, Server};
use super::endpoint::TokenEndpoint;
use super::fault::OAuthError;
use super::metadata::ServerMetadata;
use super::registration::Client;
use super::server::{Grant, IdentityProvider};
use super::tokens::TokenKey;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

impl Inner {
    /// A new token, kept and handed out.
    pub(crate) async fn obtain(
        &self,
        server: &Server,
        principal: &Arc<Principal>,
        key: &TokenKey,
        metadata: &ServerMetadata,
        scopes: &[String],
    ) -> Result<Secret, OAuthError> {
        let client = self.client(server, metadata).await?;
        let endpoint = self.endpoint(metadata, &client)?;
        let scope = scopes.join(" ");
        let assertion;
        let mut pairs = match &server.options.grant {
            Grant::Enterprise(provider) => {
                assertion = self.vouch(provider, principal, key, &scope).await?;
                vec![("grant_type", JWT_BEARER), ("assertion", assertion.expose())]
            }
            Grant::Workload(platform) => {
                let missing = OAuthError::SignIn("the platform's assertion cannot be had");
                assertion = platform.assertion().await.map_err(|_| missing)?;
                vec![("grant_type", JWT_BEARER), ("assertion", assertion.expose())]
            }
            Grant::ClientCredentials | Grant::Consent => {
                vec![("grant_type", "client_credentials")]
            }
        };
        pairs.push(("resource", &key.resource));
        if !scope.is_empty() {
            pairs.push(("scope", &scope));
        }
        let granted = endpoint.grant(&pairs).await?;
        self.keep(key, metadata, &client, granted, scopes).await
    }

    /// An assertion by the identity provider about the principal for one authorization server and
    /// resource (draft-ietf-oauth-identity-assertion-authz-grant §4.3).
    async fn vouch(
        &self,
        provider: &IdentityProvider,
        principal: &Arc<Principal>,
        key: &TokenKey,
        scope: &str,
    ) -> Result<Secret, OAuthError> {
        let missing = OAuthError::SignIn("the principal did not sign in with the provider");
        let token = provider.subjects.id_token(principal).await;
        let token = token.map_err(|_| OAuthError::SignIn("the ID token cannot be had"))?;
        let token = token.ok_or(missing)?;
        let metadata = ServerMetadata {
            issuer: provider.client.issuer.to_string(),
            token_endpoint: Some(provider.token_endpoint.clone()),
            ..ServerMetadata::default()
        };
        let client = Client::from(&provider.client);
        let endpoint: TokenEndpoint<'_> = self.endpoint(&metadata, &client)?;
        let mut pairs = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("audience", &*key.issuer),
            ("resource", &*key.resource),
            ("subject_token", token.expose()),
            ("subject_token_type", ID_TOKEN),
        ];
        if !scope.is_empty() {
            pairs.push(("scope", scope));
        }
        endpoint.exchange(&pairs, ID_JAG).await
    }
}
