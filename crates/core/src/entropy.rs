//! Randomness as a parameter.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroize;

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

/// The operating system's generator, asked for a page at a time: identifiers are drawn several
/// times a call, and each question to the system costs. Bytes handed out are wiped.
///
/// ```
/// use doorward_core::{Entropy, PooledEntropy, RequestId};
/// let pool = PooledEntropy::default();
/// assert_ne!(RequestId::random(&pool), RequestId::random(&pool));
/// ```
pub struct PooledEntropy(Mutex<Pool>);

struct Pool {
    page: [u8; 1024],
    used: usize,
}

impl Default for PooledEntropy {
    fn default() -> Self {
        Self(Mutex::new(Pool { page: [0; 1024], used: 1024 }))
    }
}

impl fmt::Debug for PooledEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledEntropy")
    }
}

impl Drop for PooledEntropy {
    fn drop(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).page.zeroize();
    }
}

impl Entropy for PooledEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() > pool.page.len() / 4 {
            return SystemEntropy.fill(buffer);
        }
        if pool.page.len() - pool.used < buffer.len() {
            SystemEntropy.fill(&mut pool.page);
            pool.used = 0;
        }
        let used = pool.used;
        let taken = &mut pool.page[used..used + buffer.len()];
        buffer.copy_from_slice(taken);
        taken.zeroize();
        pool.used = used + buffer.len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_pool_never_gives_the_same_bytes_twice() {
        let pool = PooledEntropy::default();
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let mut bytes = [0; 16];
            pool.fill(&mut bytes);
            assert!(seen.insert(bytes));
        }
        let mut long = [0; 4096];
        pool.fill(&mut long);
        assert!(long.iter().any(|byte| *byte != 0));
    }
}
