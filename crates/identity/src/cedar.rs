//! Policies: who may use which model and tool with what, in [Cedar](https://docs.cedarpolicy.com/).
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Action, Authorizer, Principal, SystemClock, ToolName};
//! # use doorward_core::{Cx, RequestId, SystemEntropy, TurnId};
//! use doorward_identity::cedar::{Options, Policies, PolicySource};
//!
//! let text = r#"
//!     @id("mail.business_hours")
//!     @reason("mail goes out in business hours")
//!     forbid(principal, action in Action::"call_tool", resource in Server::"mail")
//!     unless { context.time.hour >= 8 && context.time.hour < 18 };
//!
//!     @id("everybody") permit(principal, action, resource);
//! "#;
//! let sources = [PolicySource::new("house.cedar", text)];
//! let policies = Policies::load(&sources, None, Options::new(Arc::new(SystemClock)))?;
//!
//! # let cx = Cx {
//! #     turn: TurnId::random(&SystemEntropy), request: RequestId::random(&SystemEntropy),
//! #     principal: Arc::new(Principal::person("alice@corp.example")), agent: None,
//! #     conversation_hint: None, deadline: None, trace: None, source: None,
//! # };
//! let tool = ToolName::new("tracker__get_issue");
//! assert!(policies.authorize(&cx, Action::Tool(&tool)).is_allowed());
//!
//! // A text that cannot be meant is refused, line by line.
//! let wrong = [PolicySource::new("house.cedar", "permit(principal, action, resource)\nwhen { 1 };")];
//! let error = Policies::load(&wrong, None, Options::new(Arc::new(SystemClock))).unwrap_err();
//! assert!(error.to_string().starts_with("house.cedar:2:"), "{error}");
//! # Ok::<(), doorward_identity::cedar::PolicyError>(())
//! ```
//!
//! What holds: a key's scopes are the upper bound, no policy widens them; `forbid` beats `permit`;
//! an error while evaluating any policy denies; groups that nobody told deny wherever a policy
//! asks for groups. See [`SCHEMA`] for what policies can be about.

mod admin;
mod arguments;
pub mod cases;
mod explain;
mod fault;
mod load;
mod mention;
mod policies;
mod question;
mod reload;
mod vocabulary;

pub use admin::{AdminAction, AdminPolicies, Asked, Role};
pub use explain::{Considered, Explanation, Verdict};
pub use fault::{Fault, Place, PolicyError};
pub use load::PolicySource;
pub use policies::{Options, Otherwise, Policies, ZoneError};
pub use reload::Reloading;
pub use vocabulary::SCHEMA;
