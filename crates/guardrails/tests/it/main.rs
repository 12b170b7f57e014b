//! The guard, driven as a gateway drives it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken step fails the test"
)]

#[cfg(feature = "checks")]
mod checks;
mod driver;
mod laundering;
mod laundering_dress;
mod monotone;
#[cfg(feature = "packs")]
mod over_blocking;
mod scenario;
mod streams;
mod timing;
mod ungranted;
#[cfg(feature = "packs")]
mod worst;
