//! The codecs through their public surface.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod binary;
mod calls;
mod cases;
mod guarded;
mod hostile;
mod kept;
mod quirks;
mod responses;
mod splices;
mod splits;
mod traps;
mod vectors;
mod wishes;
