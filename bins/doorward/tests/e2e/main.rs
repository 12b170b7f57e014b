//! The real binary, driven from outside: real SDKs, real MCP servers, real sockets. Only the
//! model is scripted, by a server that speaks the vendors' wire.
//!
//! Tests that need the clients which `scripts/test` installs are marked as ignored; that script
//! runs them too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the real clock and environment"
)]

mod audit;
mod chaos;
mod clients;
mod completions;
mod demo;
mod egress;
mod fixture;
mod gateway;
mod guard;
mod identities;
mod idp;
mod lifecycle;
mod llama;
mod matrix;
mod offers;
mod openapi;
mod pins;
mod process;
mod questions;
mod search;
mod sessions;
mod settings;
mod tokens;
mod tools;
mod upstreams;
