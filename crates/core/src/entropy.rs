//! Randomness as a parameter.

use std::fmt;

/// A source of random bytes fit for keys and identifiers.
///
/// ```
/// use doorward_core::{Entropy, SystemEntropy, TurnId};
/// assert_ne!(TurnId::random(&SystemEntropy), TurnId::random(&SystemEntropy));
/// ```
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    ///
    /// Where the operating system has no randomness to give; nothing safe can be done then.
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the one place that asks the system; without randomness no key may be made"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}
