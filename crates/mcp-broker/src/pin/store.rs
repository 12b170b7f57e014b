//! Where pins are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::BoxFuture;

use super::Pin;

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the store of pins failed")]
pub struct PinError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps pins. Several gateways may share one.
///
/// ```
/// # use doorward_core::Timestamp;
/// use doorward_mcp_broker::pin::{Canonical, MemoryPins, PinPolicy, PinStore, judge};
/// # use serde_json::value::RawValue;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pins = MemoryPins::default();
/// let shown = Canonical::read(r#"{"name":"get_issue","inputSchema":{}}"#)?;
/// # let now = Timestamp::from_micros(0);
/// let pin = judge("tracker", None, &shown, &PinPolicy::default(), now).record.unwrap();
/// assert!(pins.put(pin.clone()).await?);
/// // The same write again comes too late: somebody else was first.
/// assert!(!pins.put(pin).await?);
/// # Ok(())
/// # }
/// ```
pub trait PinStore: Send + Sync {
    /// All pins of a server.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    fn pins<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Vec<Pin>, PinError>>;

    /// Stores a pin where it holds the revision just before, or none and the revision is 1.
    /// `false` where somebody else was first: read again and judge anew, lest an approval that
    /// was just given is overwritten.
    ///
    /// # Errors
    ///
    /// Where the store cannot be written.
    fn put(&self, pin: Pin) -> BoxFuture<'_, Result<bool, PinError>>;

    /// Forgets a tool; whether it was there.
    ///
    /// # Errors
    ///
    /// Where the store cannot be written.
    fn remove<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, PinError>>;
}

/// By server and tool.
type Held = BTreeMap<(Arc<str>, Arc<str>), Pin>;

/// Pins in memory: gone with the process, so every start is a first use again.
#[derive(Default)]
pub struct MemoryPins {
    pins: Mutex<Held>,
}

impl MemoryPins {
    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.pins.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for MemoryPins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPins").field("pins", &self.with(|pins| pins.len())).finish()
    }
}

impl PinStore for MemoryPins {
    fn pins<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Vec<Pin>, PinError>> {
        let of_server =
            |pins: &mut Held| pins.values().filter(|pin| *pin.server == *server).cloned().collect();
        let found = self.with(of_server);
        Box::pin(async { Ok(found) })
    }

    fn put(&self, pin: Pin) -> BoxFuture<'_, Result<bool, PinError>> {
        let stored = self.with(|pins| {
            let key = (pin.server.clone(), pin.tool.clone());
            let held = pins.get(&key).map_or(0, |held| held.revision);
            let fits = held.checked_add(1) == Some(pin.revision);
            if fits {
                pins.insert(key, pin);
            }
            fits
        });
        Box::pin(async move { Ok(stored) })
    }

    fn remove<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, PinError>> {
        let gone = self.with(|pins| pins.remove(&(server.into(), tool.into())).is_some());
        Box::pin(async move { Ok(gone) })
    }
}
