//! Who calls, may they, and with which credential upstream.
//!
//! A **virtual key** is a text that Doorward gives out in the place of a provider's key. It says
//! who calls and what they may use; it can be revoked without touching the provider. Only a keyed
//! hash of it is stored.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Authenticator, Pattern, Presented, Scopes, SystemClock, SystemEntropy};
//! use doorward_identity::{Guesses, KeyStore, Memory, NewKey, Pepper, VirtualKeys, mint};
//!
//! let (clock, pepper) = (Arc::new(SystemClock), Pepper::generate(&SystemEntropy));
//! let tools = Some(vec![Pattern::new("tracker__*")]);
//! let wanted = NewKey::new("ci", "build@example.com")
//!     .with_scopes(Scopes { tools, ..Scopes::default() });
//! let (text, record) = mint(&SystemEntropy, &*clock, &pepper, wanted)?;
//!
//! let store = Arc::new(Memory::default());
//! store.insert(&record)?;
//! let keys = VirtualKeys::new(store.clone(), pepper, clock, Guesses::default())?;
//!
//! # futures_util::FutureExt::now_or_never(async {
//! // The key that was given out is known,
//! let shown = Presented { token: Some(text), ..Presented::default() };
//! let principal = keys.authenticate(&shown).await?;
//! assert_eq!(&*principal.id, "build@example.com");
//! assert!(!principal.scopes.allows_tool("mail__send_email"));
//!
//! // and no longer once it is revoked.
//! store.revoke(record.id, record.created)?;
//! keys.refresh()?;
//! assert_eq!(keys.authenticate(&shown).await.unwrap_err().to_string(), "invalid API key");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Rules`] decides by the key's scopes, [`StaticCredentials`] holds the providers' own keys. With
//! the feature `oauth-client`, `oauth_client` gets tokens of MCP servers for each user; with `cedar`,
//! `cedar` decides by policies; with `jwt`, `jwt` knows callers by tokens of identity providers.
//! With `oauth-server`, `oauth_server` is an authorization server of its own: people sign in at their
//! identity provider, and clients get tokens of this gateway's.
//! [`Authenticators`] takes keys and tokens at one door.

mod authenticators;
#[cfg(feature = "cedar")]
pub mod cedar;
mod credentials;
mod guesses;
#[cfg(feature = "jwt")]
pub mod jwt;
mod key;
mod keys;
#[cfg(feature = "oauth-client")]
pub mod oauth_client;
#[cfg(feature = "oauth-server")]
pub mod oauth_server;
mod rules;
mod store;

pub use authenticators::Authenticators;
pub use credentials::StaticCredentials;
pub use guesses::Guesses;
pub use key::{KeyHash, KeyRecord, KeyText, KeyTextError, MintError, NewKey, Pepper, mint};
pub use keys::VirtualKeys;
pub use rules::Rules;
pub use store::{KeyStore, KeyStoreError, Memory};
