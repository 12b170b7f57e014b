//! Policies that are exchanged while they are in use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use doorward_core::{Action, Authorizer, Cx, Decision};

use super::fault::PolicyError;
use super::load::PolicySource;
use super::policies::Policies;

/// Policies of which a new set takes over at once, or not at all: what is wrong leaves the last
/// good set in force.
pub struct Reloading {
    current: ArcSwap<Policies>,
    epoch: AtomicU64,
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("current", &self.current.load())
            .field("epoch", &self.epoch())
            .finish()
    }
}

impl Reloading {
    /// Starts with these.
    pub fn new(policies: Policies) -> Self {
        Self { current: ArcSwap::from_pointee(policies), epoch: AtomicU64::new(1) }
    }

    /// The set in force.
    pub fn current(&self) -> Arc<Policies> {
        self.current.load_full()
    }

    /// How many sets have been in force. Grows with every exchange.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Puts new texts in force, under the options of the set before. Returns the new epoch.
    ///
    /// # Errors
    ///
    /// All that is wrong with the texts; the last good set stays in force.
    pub fn reload(
        &self,
        sources: &[PolicySource],
        entities: Option<&PolicySource>,
    ) -> Result<u64, PolicyError> {
        let options = self.current.load().options().clone();
        let policies = Policies::load(sources, entities, options)?;
        self.current.store(Arc::new(policies));
        Ok(self.epoch.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl Authorizer for Reloading {
    fn authorize(&self, cx: &Cx, action: Action<'_>) -> Decision {
        self.current.load().authorize(cx, action)
    }
}
