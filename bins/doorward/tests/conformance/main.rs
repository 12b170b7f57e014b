//! The official MCP conformance suite against the gateway, with a server of both eras behind it,
//! and against that server alone, which proves the server; and the suite's client mode, which
//! has a server for the gateway to reach.
//!
//! Needs what `scripts/test` installs, and the binary of `mcp-fixture`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the real clock and environment"
)]

mod client;
mod fixture;
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/gateway.rs"]
mod gateway;
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/process.rs"]
mod process;
mod proxy;
mod server;
mod suite;
