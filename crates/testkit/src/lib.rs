//! A scripted model provider, a test clock and conformance suites for the traits. For tests only.

pub mod chaos;
pub mod clock;
pub mod counters;
pub mod keys;
pub mod log;
#[cfg(feature = "oauth")]
pub mod oauth;
pub mod provider;
pub mod say;
pub mod shared_log;
pub mod sink;
pub mod turn_store;
