//! Many MCP servers as one catalogue.
//!
//! The [`Broker`] starts and reaches servers, lists their tools under one set of names, and runs
//! calls; the [`Front`] is the MCP server that clients see. Messages are relayed as they were
//! written: the envelope is read, a name or an id is exchanged, all other bytes stay.
//!
//! Here a server runs in this process, behind a [`Launcher`] that could as well be a sandbox. One
//! call succeeds; another names a tool that is not there and is refused before anything runs.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{
//!     BoxFuture, Code, Cx, Principal, RequestId, Scope, ToolCall, ToolReply, Tools, TurnId,
//! };
//! use doorward_mcp_broker::{
//!     Broker, Command, LaunchError, Launched, Launcher, Process, Serve, Server, ServerInfo,
//!     serve_stdio,
//! };
//! use serde_json::value::{RawValue, to_raw_value};
//!
//! struct Tracker;
//!
//! impl Serve for Tracker {
//!     fn info(&self) -> ServerInfo {
//!         ServerInfo::new("tracker", "1.0")
//!     }
//!     fn tools(&self) -> Vec<Box<RawValue>> {
//!         let tool = serde_json::json!({"name": "get_issue", "inputSchema": {"type": "object"}});
//!         to_raw_value(&tool).into_iter().collect()
//!     }
//!     fn call<'a>(&'a self, _: &'a str, arguments: &'a RawValue) -> BoxFuture<'a, ToolReply> {
//!         let result = to_raw_value(&serde_json::json!({"content": [], "issue": arguments}));
//!         let result = result.unwrap_or_default();
//!         Box::pin(async { ToolReply::complete(result, false) })
//!     }
//! }
//!
//! struct InProcess;
//! struct Task;
//!
//! impl Launcher for InProcess {
//!     fn launch<'a>(
//!         &'a self,
//!         _server: &'a str,
//!         _command: &'a Command,
//!     ) -> BoxFuture<'a, Result<Launched, LaunchError>> {
//!         let (stdin, server_in) = tokio::io::duplex(4096);
//!         let (server_out, stdout) = tokio::io::duplex(4096);
//!         tokio::spawn(serve_stdio(Tracker, server_in, server_out));
//!         let (stdin, stdout) = (Box::new(stdin), Box::new(stdout));
//!         let launched = Launched { stdin, stdout, stderr: None, process: Box::new(Task) };
//!         Box::pin(async { Ok(launched) })
//!     }
//! }
//!
//! impl Process for Task {
//!     fn kill(&mut self) -> BoxFuture<'_, ()> {
//!         Box::pin(async {})
//!     }
//!     fn wait(&mut self) -> BoxFuture<'_, std::io::Result<Option<i32>>> {
//!         Box::pin(std::future::pending())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder()
//!     .launcher(InProcess)
//!     .server(Server::stdio("tracker", ["tracker-mcp"]))
//!     .build()?;
//! let cx = Cx {
//!     turn: TurnId::from_bytes([1; 16]),
//!     request: RequestId::from_bytes([1; 16]),
//!     principal: Arc::new(Principal::person("ann@example.com")),
//!     agent: None,
//!     conversation_hint: None,
//!     deadline: None,
//!     trace: None,
//!     source: None,
//! };
//! let tool = broker.resolve(&cx, &Scope::All, "tracker__get_issue").await?;
//! let arguments = RawValue::from_string(r#"{"id":7.0}"#.into())?;
//! let reply = broker.call(&cx, ToolCall::new(tool, arguments)).await?;
//! assert!(reply.result.get().contains(r#"{"id":7.0}"#));
//!
//! let refused = broker.resolve(&cx, &Scope::All, "tracker__drop_all").await;
//! assert_eq!(refused.unwrap_err().code, Code::NotFound);
//! # Ok(())
//! # }
//! ```
//!
//! Both eras of the protocol are spoken on both sides, in any combination: 2024-11-05 to
//! 2025-11-25 with their handshake, 2026-07-28 without. A server that hangs or dies is a gap in
//! the list and harms no other. What a server writes, its error messages included, comes as a
//! [`ToolReply`](doorward_core::ToolReply), never as an error of ours, so that it is labelled like
//! any other result.

mod broker;
mod builder;
mod disclosure;
mod edit;
mod envelope;
mod front;
mod launch;
mod lines;
mod names;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod pin;
mod protocol;
#[cfg(feature = "redact")]
pub mod redact;
mod rewrite;
#[cfg(feature = "schema")]
pub mod schema;
mod seal;
mod search;
mod serve;
mod server;
mod shelf;
mod upstream;
mod uris;

pub use broker::Broker;
pub use builder::{BuildError, Builder};
pub use disclosure::{Disclosure, Witness};
pub use front::{Ended, EndedHere, Front, FrontBody, Limits, SessionKey};
#[cfg(feature = "stdio")]
pub use launch::Direct;
pub use launch::{Command, LaunchError, Launched, Launcher, Process};
pub use names::is_server_name;
pub use protocol::ServerInfo;
pub use seal::{Purpose, Seal, SealKey, SealKeys};
pub use search::Search;
pub use serve::{Serve, serve_stdio};
pub use server::{Doubt, Era, Server, ServerKind, ServerStatus, State, Strictness, Validation};
