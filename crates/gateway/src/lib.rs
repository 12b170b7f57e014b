//! The policy stack around both planes, and the edges, configuration and assembly around it.
//!
//! [`Enforced`] puts the policy around a plane; an [`Edge`] takes nothing else. [`Gateway`] puts
//! the shipped parts together from a [`config::Root`].

mod answer;
mod around;
mod assemble;
pub mod config;
mod edge;
mod enforced;
mod estimate;
mod keep;
mod launcher;
mod metrics;
mod own;
mod purse;
mod webhook;

pub use around::{Policy, RecordTools};
pub use assemble::{
    Gateway, Sight, StartError, Surroundings, check_servers, missing_secrets, open_storage,
    policies, upstreams,
};
pub use doorward_mcp_broker::ServerStatus;
pub use doorward_sandbox::Layer;
pub use edge::{
    Connect, ConnectParts, Drained, Edge, EdgeLimits, EdgeMcp, EdgeParts, KeySignIn, ResponseBody,
    SignIn, SignedIn, is_loopback_host, serve, serve_connection,
};
pub use enforced::{Completion, Enforced};
pub use keep::{Keep, KeepError};
pub use launcher::{sandbox_layers, server_layers};
pub use metrics::Metrics;
pub use webhook::{Webhook, WebhookOptions};
