//! An authorization server of its own: OAuth 2.1 for MCP clients and machines.
//!
//! People sign in at their identity provider, which is somebody else's part; clients get short
//! tokens of this gateway's, for this gateway's resources, never the provider's. [`OAuthServer`]
//! takes requests and gives answers without any HTTP of its own: an edge mounts
//! [`respond`](OAuthServer::respond) at `/oauth/*` and `/.well-known/*`, and asks
//! [`authorize`](OAuthServer::authorize) and [`approve`](OAuthServer::approve) behind the pages at
//! which people sign in and consent.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Pattern, Secret, SystemClock, SystemEntropy};
//! use doorward_identity::oauth_client::{HyperHttp, Reach};
//! use doorward_identity::oauth_server::{
//!     AccessKey, Client, ClientAuth, GrantType, MemoryOAuth, OAuthServer, Parts,
//!     ProtectedResource, Request, Scope, SigningKeys,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let parts = Parts {
//!     http: Arc::new(HyperHttp::new(Reach::default(), None)?),
//!     store: Arc::new(MemoryOAuth::default()),
//!     clock: Arc::new(SystemClock),
//!     entropy: Arc::new(SystemEntropy),
//! };
//! let key = AccessKey::from_seed(&AccessKey::seed(&SystemEntropy))?;
//! let secret = Secret::new("of the nightly build");
//! let server = OAuthServer::builder("https://gateway.example", SigningKeys::new(key), parts)
//!     .scope(Scope::new("tools", "Use tools").with_tools([Pattern::new("tracker__*")]))
//!     .resource(ProtectedResource::new("/mcp").with_scopes(["tools"]))
//!     .client(
//!         Client::new("build", ClientAuth::secrets([&secret]))
//!             .with_grants([GrantType::ClientCredentials]),
//!     )
//!     .build()?;
//! server.refresh().await?;
//!
//! let mut headers = http::HeaderMap::new();
//! headers.insert("content-type", "application/x-www-form-urlencoded".parse()?);
//! let ask = async |secret: &str| {
//!     let body = format!("grant_type=client_credentials&client_id=build&client_secret={secret}");
//!     let request = Request {
//!         method: &http::Method::POST,
//!         uri: &"/oauth/token".parse().unwrap(),
//!         headers: &headers,
//!         body: body.as_bytes(),
//!         source: None,
//!         certificate: None,
//!     };
//!     server.respond(request).await.status().as_u16()
//! };
//! assert_eq!(ask("of+the+nightly+build").await, 200);
//! assert_eq!(ask("guessed").await, 401);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Clients** are configured ([`Client`]), publish a document at the URL that is their id
//! ([`Documents`]), or register themselves ([`Registration`]). The last two are strangers: they act
//! for people only, people are asked each time where the client cannot be known for sure, and no
//! browser is sent to a stranger's URI before its owner has answered.
//!
//! **Codes** are good once, for a minute, for one client, one redirect URI and one PKCE verifier
//! (S256 or nothing). A code shown twice takes back what came of it.
//!
//! **Refresh tokens** are replaced at each use. The one before the last may be shown again for
//! some seconds, since answers get lost; it then replaces its own successor, so that of one family
//! never more than one token is good. Whoever stole a token and whoever it was stolen from cannot
//! both go on: the next that shows what the other replaced ends the family.
//!
//! **Access tokens** are JWTs for one resource (RFC 9068, RFC 8707), good for minutes. They say
//! what they allow at most: what the scopes allow, and no more than the person may.
//! [`authenticator`](OAuthServer::authenticator) knows them; [`admits`](OAuthServer::admits) tells
//! whether one is for the resource at hand.

mod admission;
mod assertion;
mod authentication;
mod authorization;
mod builder;
mod challenge;
mod client;
mod consent;
mod document;
mod exchange;
mod fault;
mod introspection;
mod key;
mod memory;
mod metadata;
mod minting;
mod redirect;
mod registration;
mod request;
mod resource;
mod revocation;
mod server;
mod store;
mod token;

pub use admission::OwnTokens;
pub use authorization::{Authorize, Redirect, Refused, SignedIn};
pub use builder::{Builder, Lifetimes, OAuthServerError, Parts, Standing};
pub use challenge::Challenge;
pub use client::{Client, ClientAuth, ClientMetadata, GrantType, Origin};
pub use consent::Question;
pub use document::Documents;
pub use key::{AccessKey, SigningKeys};
pub use memory::MemoryOAuth;
pub use registration::Registration;
pub use request::Request;
pub use resource::{ProtectedResource, Scope};
pub use server::OAuthServer;
pub use store::{
    ConsentKey, Family, FamilyId, IssuedCode, OAuthStore, OAuthStoreError, Pending, Redeemed,
    RegisteredClient, Revocation, Rotation, SecretHash, Stored, Subject, Turn,
};
