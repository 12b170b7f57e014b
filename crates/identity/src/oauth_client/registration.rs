//! Which client this gateway is at an authorization server: one that was registered by hand, its
//! own metadata document, or one that it registers itself; always bound to that one issuer.

use std::sync::Arc;

use doorward_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::address::Reach;
use super::fault::OAuthError;
use super::http::{Ask, Content, Http, send};
use super::metadata::{ServerMetadata, lists};
use super::signing::SigningKey;
use super::tokens::{Registration, TokenStore};

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// Not at all: a public client.
    None,
    /// By a secret, in a header or in the form as the server supports it.
    Secret(Secret),
    /// By a signed assertion (`private_key_jwt`, RFC 7523 §2.2).
    Key(SigningKey),
}

/// A client that was registered by hand at one authorization server.
///
/// The issuer is part of it: a server that names another authorization server never gets to see
/// this client's secret.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// The authorization server, exactly as it names itself.
    pub issuer: Arc<str>,
    /// The client's id there.
    pub id: Arc<str>,
    /// How it proves who it is.
    pub proof: ClientProof,
}

/// A client as it goes to a token endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: Arc<str>,
    pub(crate) proof: ClientProof,
    /// The way that the server told us, when it registered us.
    pub(crate) method: Option<Arc<str>>,
    /// Whether it can be made anew.
    pub(crate) dynamic: bool,
}

impl From<&KnownClient> for Client {
    fn from(known: &KnownClient) -> Self {
        let (id, proof) = (known.id.clone(), known.proof.clone());
        Self { id, proof, method: None, dynamic: false }
    }
}

impl From<&Registration> for Client {
    fn from(registration: &Registration) -> Self {
        let proof = registration.secret.clone().map_or(ClientProof::None, ClientProof::Secret);
        let method = registration.method.clone();
        Self { id: registration.client_id.clone(), proof, method, dynamic: true }
    }
}

/// What this gateway says about itself when it becomes a client.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) redirect_uri: Arc<str>,
    /// Our metadata document's URL, where one is published.
    pub(crate) document: Option<Arc<str>>,
}

/// RFC 7591 §2, and the same as a document (draft-ietf-oauth-client-id-metadata-document).
#[derive(Serialize)]
pub(crate) struct ClientMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<&'a str>,
    client_name: &'a str,
    redirect_uris: [&'a str; 1],
    grant_types: Vec<&'static str>,
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    application_type: &'static str,
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    client_secret_expires_at: Option<i64>,
    token_endpoint_auth_method: Option<String>,
}

impl Profile {
    /// The document that stands at our own `client_id` URL.
    pub(crate) fn document(&self) -> Option<ClientMetadata<'_>> {
        let id = self.document.as_deref()?;
        Some(ClientMetadata { client_id: Some(id), ..self.metadata("none", true) })
    }

    fn metadata(&self, method: &'static str, refresh: bool) -> ClientMetadata<'_> {
        // OIDC Registration §2: a web client's redirects are https and not to loopback.
        let native = self.redirect_uri.starts_with("http://");
        let mut grant_types = vec!["authorization_code"];
        if refresh {
            grant_types.push("refresh_token");
        }
        ClientMetadata {
            client_id: None,
            client_name: &self.name,
            redirect_uris: [&self.redirect_uri],
            grant_types,
            response_types: ["code"],
            token_endpoint_auth_method: method,
            application_type: if native { "native" } else { "web" },
        }
    }
}

/// Everything that registering takes.
pub(crate) struct Registrar<'a> {
    pub(crate) http: &'a dyn Http,
    pub(crate) reach: &'a Reach,
    pub(crate) store: &'a dyn TokenStore,
    pub(crate) profile: &'a Profile,
    pub(crate) now: Timestamp,
}

impl Registrar<'_> {
    /// Our client at this server: made by hand, by our document, kept from before, or new.
    pub(crate) async fn client(
        &self,
        metadata: &ServerMetadata,
        known: Option<&KnownClient>,
    ) -> Result<Client, OAuthError> {
        if let Some(known) = known {
            return Ok(known.into());
        }
        if let (true, Some(id)) =
            (metadata.client_id_metadata_document_supported, &self.profile.document)
        {
            let (id, proof) = (id.clone(), ClientProof::None);
            return Ok(Client { id, proof, method: Some("none".into()), dynamic: false });
        }
        let kept = self.store.registration(&metadata.issuer).await?;
        let usable = |kept: &Registration| {
            kept.redirect_uri == self.profile.redirect_uri
                && kept.expires.is_none_or(|expires| self.now < expires)
        };
        if let Some(kept) = kept.filter(usable) {
            return Ok((&kept).into());
        }
        let registration = self.register(metadata).await?;
        self.store.register(&registration).await?;
        Ok((&registration).into())
    }

    async fn register(&self, metadata: &ServerMetadata) -> Result<Registration, OAuthError> {
        let issuer = metadata.issuer.as_str();
        let unregistered = |why| OAuthError::Unregistered { issuer: issuer.to_owned(), why };
        let url = metadata.registration_endpoint.as_deref();
        let url = url.ok_or_else(|| unregistered("it has no registration endpoint"))?;
        let methods = ["client_secret_basic", "client_secret_post", "none"];
        let method = methods.into_iter().find(|method| metadata.authenticates_by(method));
        let method = method.ok_or_else(|| unregistered("it authenticates clients by no secret"))?;
        let grants = metadata.grant_types_supported.as_ref();
        let refresh = grants.is_none() || lists(grants, "refresh_token");
        let json = serde_json::to_string(&self.profile.metadata(method, refresh));
        let json = json.map_err(|_| unregistered("our metadata is no JSON"))?;
        let endpoint = self.reach.endpoint(url)?;
        let ask =
            Ask { url: endpoint.uri().clone(), content: Content::Json(json), authorization: None };
        let answer = send(self.http, ask, url).await?;
        if !matches!(answer.status, 200 | 201) {
            return Err(unregistered("its registration endpoint refused"));
        }
        let read: Result<Registered, _> = serde_json::from_slice(&answer.body);
        let new = read.map_err(|_| unregistered("its registration answer is not usable"))?;
        // RFC 7591 §3.2.1: 0 means never.
        let expires = new.client_secret_expires_at.filter(|end| *end > 0);
        Ok(Registration {
            issuer: issuer.into(),
            client_id: new.client_id.into(),
            secret: new.client_secret.map(Secret::new),
            method: new.token_endpoint_auth_method.map(Into::into),
            expires: expires.map(|end| Timestamp::from_micros(end.saturating_mul(1_000_000))),
            redirect_uri: self.profile.redirect_uri.clone(),
        })
    }
}
