//! The model plane: picks a target for a call, sends it, and fails over while nothing has been
//! committed to the caller.
//!
//! A [`Router`] holds [`Upstream`]s and [`Alias`]es and reaches the network through a
//! [`Transport`] only; with the feature `http`, `HttpTransport` is the real one. An alias puts its
//! targets in order by a [`Strategy`]; what the call requires of the data's way, what its client
//! wishes and how the targets do narrow that list; then one after the other is asked. A target
//! that refuses unbilled may be asked again after a [`Pause`], one that may have charged is not.
//! The receipt of all that is the answer's [`Route`](doorward_core::Route). Here a scripted
//! transport answers instead, once with success and once by refusing:
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use doorward_core::{Code, Cx, Models, Principal, RequestId, TurnId};
//! use doorward_model_router::{Outbound, Provider, Router, Transport, TransportError, Upstream};
//! use doorward_model_router::{BoxFuture, Inbound, NoCredentials};
//! use doorward_wire::{Dialect, OpenAiChat};
//! use futures_util::StreamExt;
//!
//! #[derive(Debug)]
//! struct Canned;
//! impl Transport for Canned {
//!     fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
//!         assert_eq!(request.uri(), "http://models.test/v1/chat/completions");
//!         let body = r#"{"id":"c1","object":"chat.completion","created":1,"model":"tiny",
//!             "choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},
//!             "finish_reason":"stop"}]}"#;
//!         Box::pin(async move { Ok(Inbound::whole(200, body)) })
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = Provider::named("openai-compatible").ok_or("shipped")?;
//! let upstream = Upstream::new("local", provider, Some("http://models.test/v1"))?;
//! let router = Router::builder(Arc::new(Canned), Arc::new(NoCredentials)).upstream(upstream).build()?;
//!
//! let cx = Cx {
//!     turn: TurnId::from_bytes([0; 16]),
//!     request: RequestId::from_bytes([0; 16]),
//!     principal: Arc::new(Principal::person("alice@example.com")),
//!     agent: None, conversation_hint: None, deadline: None, trace: None, source: None,
//! };
//! let ask = |model: &str| OpenAiChat.read_call(Bytes::from(format!(
//!     r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#)));
//!
//! let mut reply = router.complete(&cx, ask("local/tiny")?).await?;
//! assert_eq!(reply.route.target, "local/tiny");
//! assert!(reply.frames.next().await.is_some());
//!
//! let refused = router.complete(&cx, ask("elsewhere/tiny")?).await;
//! assert_eq!(refused.unwrap_err().code, Code::NotFound);
//! # Ok(()) }
//! # futures_util::FutureExt::now_or_never(run()).unwrap().unwrap();
//! ```

mod address;
mod alias;
mod answer;
mod auth;
mod breaker;
mod builder;
mod cache;
mod candidate;
mod chase;
mod civil;
mod complexity;
mod count;
mod credentials;
mod discovery;
mod embed;
mod exchange;
mod fault;
mod flow;
mod hold;
#[cfg(feature = "http")]
mod http;
mod keys;
mod order;
mod pause;
mod pins;
mod plan;
mod policy;
mod provider;
mod pursuit;
mod receipt;
mod recent;
mod relay;
mod retry_after;
mod route;
mod router;
mod span;
#[cfg(feature = "tower")]
mod tower;
mod transport;
mod tries;
mod upstream;
mod vitals;
mod when;

pub use alias::{Alias, AliasTarget, Patience, Rule, Strategy, Tier};
pub use builder::{BuildError, RouterBuilder};
pub use cache::{CacheLimits, Cached, ResponseCache};
pub use count::estimate;
pub use credentials::NoCredentials;
/// The shared vocabulary that calls and answers are made of.
pub use doorward_core;
pub use doorward_core::BoxFuture;
pub use pause::Pause;
pub use provider::{Auth, Provider, ProviderError};
pub use route::{Target, TargetError};
pub use router::Router;
pub use span::{Span, SpanError};
pub use transport::{Inbound, Outbound, Streaming, Timeouts, Transport, TransportError};
pub use upstream::{Upstream, UpstreamError, UpstreamOptions};
pub use vitals::{HealthState, TargetHealth};
pub use when::{Medium, When};

#[cfg(feature = "http")]
pub use crate::http::{HttpOptions, HttpTransport, TlsError};
#[cfg(feature = "http")]
pub use crate::pause::TokioPause;
#[cfg(feature = "tower")]
pub use crate::tower::Completion;
