//! The broker through the seams its users call: real streams, real peers, only the process faked.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail loudly, as tests do")]

mod calls;
#[cfg(feature = "stdio")]
mod child;
#[cfg(all(feature = "http", feature = "stdio"))]
mod everything;
mod front;
#[cfg(feature = "http")]
mod http;
mod lists;
#[cfg(feature = "openapi")]
mod openapi;
mod peers;
mod real;
mod upstream;
#[cfg(feature = "http")]
mod upstream_http;
mod upstream_pool;
#[cfg(feature = "http")]
mod upstream_real;
