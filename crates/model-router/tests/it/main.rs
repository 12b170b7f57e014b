//! The router through its own seam: everything real but the transport; and the transport over
//! real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "http")]
mod http;
mod routing;
mod script;
