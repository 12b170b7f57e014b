//! The guard, driven as a gateway drives it.

#![expect(
    clippy::assigning_clones,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::panic,
    clippy::print_stdout,
    clippy::similar_names,
    clippy::unwrap_used,
    reason = "a broken step fails the test, and figures are to be read"
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
