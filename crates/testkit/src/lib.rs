//! A scripted model provider, a test clock and conformance suites for the traits. For tests only.

pub mod clock;
pub mod keys;
pub mod log;
pub mod provider;
pub mod say;
