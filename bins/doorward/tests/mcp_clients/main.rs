//! MCP clients before the gateway: real ones of every SDK over real servers of both eras, fifty at
//! once that must not see each other, and ten thousand sessions that come and go.
//!
//! Needs what `scripts/test` installs, and the binary of `mcp-fixture`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the real clock and environment"
)]

#[path = "../conformance/fixture.rs"]
mod fixture;
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/gateway.rs"]
mod gateway;
mod isolation;
mod matrix;
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/process.rs"]
mod process;
mod servers;
mod sign_in;
mod soak;
mod wire;
