//! The router through its own seam: everything real but the transport; and the transport over
//! real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache;
mod chaos;
mod counts;
mod credentials;
#[cfg(feature = "vertex")]
mod google;
#[cfg(feature = "http")]
mod http;
mod keys;
mod pins;
mod policy;
mod relay;
mod routing;
mod script;
mod stage;
mod strategies;
mod waiting;
