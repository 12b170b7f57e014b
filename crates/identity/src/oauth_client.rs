//! OAuth as a client of MCP servers: whose token a call shows upstream, and how it comes there.
//!
//! A server that refuses names its authorization server (RFC 9728, RFC 8414). The person behind
//! the call consents there once, by way of a page of this gateway's, and [`OAuthClient`] keeps the
//! token: for that principal, that server, that issuer and that resource (RFC 8707), renewed ahead
//! of its end.
//!
//! ```
//! # use std::sync::Arc;
//! use doorward_core::{SystemClock, SystemEntropy};
//! use doorward_identity::oauth_client::{
//!     HyperHttp, MemoryTokens, OAuthClient, Parts, Protected, Reach,
//! };
//!
//! let reach = Reach::default().with_host("sso.corp.internal");
//! let parts = Parts {
//!     http: Arc::new(HyperHttp::new(reach.clone(), None)?),
//!     store: Arc::new(MemoryTokens::default()),
//!     clock: Arc::new(SystemClock),
//!     entropy: Arc::new(SystemEntropy),
//! };
//! let client = OAuthClient::builder("https://gateway.example", parts.clone())
//!     .reach(reach)
//!     .server("crm", Protected::new("https://crm.example/mcp"))
//!     .build()?;
//! assert_eq!(client.servers().collect::<Vec<_>>(), ["crm"]);
//!
//! // Tokens never go over the network in the clear.
//! let plain = Protected::new("http://crm.example/mcp");
//! assert!(OAuthClient::builder("https://gateway.example", parts).server("crm", plain).build().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rules it keeps are the MCP authorization specification's: PKCE by S256 or nothing,
//! `resource` in every request, `iss` compared byte for byte (RFC 9207), clients bound to their
//! issuer, scopes as the server's challenge says. Addresses that strangers name are asked only
//! within [`Reach`].

mod address;
mod builder;
mod challenge;
mod client;
mod consent;
mod discovery;
mod endpoint;
mod fault;
mod form;
mod grant;
mod http;
mod metadata;
mod registration;
mod renewal;
mod scope;
mod server;
mod signing;
mod tokens;

pub use address::{AddressError, Reach};
#[cfg(feature = "oauth-server")]
pub(crate) use address::{Endpoint, brief, literal};
pub use builder::{BuildError, Builder, Parts};
pub use challenge::Challenge;
#[cfg(feature = "oauth-server")]
pub(crate) use challenge::scopes;
pub use client::OAuthClient;
pub use consent::{Callback, Connection, Question, Visitor};
pub use discovery::{Discovery, Found};
pub use fault::OAuthError;
#[cfg(feature = "oauth-server")]
pub(crate) use form::{decode as decode_form, encode as encode_form};
#[cfg(feature = "jwt")]
pub(crate) use http::document;
#[cfg(feature = "oauth-server")]
pub(crate) use http::send;
pub use http::{Answer, Ask, Content, Http, HttpError, HyperHttp, TlsError};
pub use metadata::ServerMetadata;
pub use registration::{ClientProof, KnownClient};
#[cfg(feature = "oauth-server")]
pub(crate) use scope::is_legal as is_legal_scope;
pub use server::{Assertions, Grant, IdentityProvider, Protected, Subjects};
pub use signing::SigningKey;
#[cfg(feature = "oauth-server")]
pub(crate) use signing::{challenge as code_challenge, pkcs8, random};
pub use tokens::{
    Asked, Held, Holder, MemoryTokens, Owner, Pending, PendingId, Registration, Started, TokenKey,
    TokenStore, TokenStoreError,
};
