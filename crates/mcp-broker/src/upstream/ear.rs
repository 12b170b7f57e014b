//! Where a connection's news go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use super::Rumour;

/// Takes what a server tells by itself on one connection, to whoever the connection belongs to.
/// That lists changed, the gateway itself hears too.
#[derive(Debug)]
pub(crate) struct Ear {
    owner: Mutex<broadcast::Sender<Rumour>>,
    gateway: broadcast::Sender<Rumour>,
    /// Goes up when the server says that its tools changed.
    changes: Arc<AtomicU64>,
}

impl Ear {
    pub(super) fn new(
        owner: broadcast::Sender<Rumour>,
        gateway: broadcast::Sender<Rumour>,
        changes: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Arc::new(Self { owner: Mutex::new(owner), gateway, changes })
    }

    /// Takes a rumour.
    pub(super) fn hear(&self, rumour: Rumour) {
        if matches!(rumour, Rumour::Tools) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(rumour, Rumour::Tools | Rumour::Prompts | Rumour::Resources) {
            self.gateway.send(rumour.clone()).ok();
        }
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).send(rumour).ok();
    }

    /// The connection belongs to somebody else from now on.
    pub(super) fn hand_to(&self, owner: broadcast::Sender<Rumour>) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner;
    }

    /// Whether anybody listens.
    pub(super) fn is_wanted(&self) -> bool {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        owner.receiver_count() + self.gateway.receiver_count() > 0
    }
}
