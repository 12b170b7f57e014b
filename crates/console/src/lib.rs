//! What an operator does: the command line's verbs and the admin listener, over what the rooms
//! already offer.
//!
//! ```
//! use doorward_console::story;
//! # use doorward_core::SystemEntropy;
//!
//! // A log without turns tells so, rather than telling nothing.
//! let mut text = Vec::new();
//! story::tell(&[], story::Paint::Plain, &mut text)?;
//! assert_eq!(String::from_utf8(text)?, "no turns on record\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod admin;
pub mod audit;
pub mod check;
pub mod import;
pub mod keys;
pub mod policy;
pub mod story;
pub mod tools;

mod failure;
mod time;

pub use failure::Failure;
