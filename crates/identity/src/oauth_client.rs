//! OAuth as a client of MCP servers: whose token a call shows upstream, and how it comes there.

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
pub use builder::{BuildError, Builder, Parts};
pub use challenge::Challenge;
pub use client::OAuthClient;
pub use consent::{Callback, Question, Visitor};
pub use discovery::{Discovery, Found};
pub use fault::OAuthError;
pub use http::{Answer, Ask, Content, Http, HttpError, HyperHttp, TlsError};
pub use metadata::ServerMetadata;
pub use registration::{ClientProof, KnownClient};
pub use server::{Grant, IdentityProvider, Protected, Subjects};
pub use signing::SigningKey;
pub use tokens::{
    Asked, Held, Holder, MemoryTokens, Owner, Pending, PendingId, Registration, Started, TokenKey,
    TokenStore, TokenStoreError,
};
