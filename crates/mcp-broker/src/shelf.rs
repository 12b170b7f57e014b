//! One server within the broker: its link, its room for calls, and its tools as each credential
//! sees them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::{CallError, Credential, ToolSpec};
use tokio::sync::Semaphore;

use crate::Server;
use crate::upstream::Link;
#[cfg(feature = "http")]
use crate::upstream::{mirror::Mirror, pages::Definition};

/// For how long a failure to list is not tried again.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// The most credentials whose lists are kept per server.
const MOST_SHELVES: usize = 1024;

/// One server within the broker.
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) server: Server,
    pub(crate) link: Box<dyn Link>,
    pub(crate) room: Semaphore,
    /// Goes up when the server's tools changed.
    pub(crate) changes: Arc<AtomicU64>,
    shelves: Mutex<HashMap<Holder, Arc<Shelf>>>,
    /// Of tools that want arguments in headers: which.
    #[cfg(feature = "http")]
    mirrors: Mutex<HashMap<String, Arc<[Mirror]>>>,
}

impl Member {
    pub(crate) fn new(server: Server, link: Box<dyn Link>, changes: Arc<AtomicU64>) -> Self {
        let name = server.name.as_str().into();
        let room = Semaphore::new(server.concurrency.min(Semaphore::MAX_PERMITS));
        Self {
            name,
            server,
            link,
            room,
            changes,
            shelves: Mutex::default(),
            #[cfg(feature = "http")]
            mirrors: Mutex::default(),
        }
    }

    /// Takes the tools of a list that can be called, and remembers what their calls need beside.
    #[cfg(feature = "http")]
    pub(crate) fn accept(&self, tools: &mut Vec<Definition>) {
        if !matches!(self.server.kind, crate::ServerKind::Http { .. }) {
            return;
        }
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        tools.retain(|tool| match Mirror::all(&tool.json) {
            Ok(wanted) if wanted.is_empty() => {
                mirrors.remove(&tool.own);
                true
            }
            Ok(wanted) => {
                mirrors.insert(tool.own.clone(), wanted.into());
                true
            }
            Err(_) => {
                tracing::warn!(server = %self.name, tool = tool.own, "tool with a wrong `x-mcp-header` is left out");
                false
            }
        });
    }

    /// Which arguments of a tool go into headers too.
    #[cfg(feature = "http")]
    pub(crate) fn mirrors(&self, own: &str) -> Arc<[Mirror]> {
        let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        mirrors.get(own).cloned().unwrap_or_default()
    }

    /// The shelf of whoever shows this credential.
    pub(crate) fn shelf(&self, credential: Option<&Credential>) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = Holder(credential.cloned());
        if shelves.len() >= MOST_SHELVES && !shelves.contains_key(&holder) {
            // A cache: what is thrown out is read again.
            shelves.clear();
        }
        shelves.entry(holder).or_default().clone()
    }

    /// How many tools the server has, at most, in anyone's eyes.
    pub(crate) fn count(&self) -> usize {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.values().filter_map(|shelf| shelf.count()).max().unwrap_or(0)
    }

    pub(crate) fn change(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

/// Whose eyes a list is seen with: another credential may see other tools.
#[derive(Clone)]
pub(crate) struct Holder(pub(crate) Option<Credential>);

impl Holder {
    fn parts(&self) -> Option<(Option<&str>, &str)> {
        match self.0.as_ref()? {
            Credential::Key(key) => Some((None, key.expose())),
            Credential::Header { name, value } => Some((Some(name), value.expose())),
            Credential::Aws { secret_access_key, .. } => {
                Some((Some("aws"), secret_access_key.expose()))
            }
            Credential::ServiceAccount(file) => Some((Some("google"), file.expose())),
        }
    }
}

impl PartialEq for Holder {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Holder {}

impl Hash for Holder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// A server's tools as one credential sees them.
#[derive(Default)]
pub(crate) struct Shelf {
    /// Held while the list is read, so that it is read once for all who wait.
    pub(crate) gate: tokio::sync::Mutex<()>,
    listing: Mutex<Option<Listing>>,
}

/// One tool of a list.
#[derive(Clone)]
pub(crate) struct Shelved {
    /// Under its federated name.
    pub(crate) spec: Arc<ToolSpec>,
    /// Under its own name, where the server has a transparent route.
    pub(crate) bare: Option<Arc<ToolSpec>>,
}

/// What reading a list brought: the tools, or why not.
pub(crate) type Stock = Result<Arc<[Shelved]>, Arc<CallError>>;

struct Listing {
    stock: Stock,
    at: Instant,
    ttl: Duration,
    change: u64,
}

impl Shelf {
    /// What is on the shelf, while it is fresh.
    pub(crate) fn fresh(&self, now: Instant, change: u64) -> Option<Stock> {
        let listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = listing.as_ref()?;
        let ttl = if listing.stock.is_ok() { listing.ttl } else { FAILURE_TTL };
        let fresh = listing.change == change && now.saturating_duration_since(listing.at) < ttl;
        fresh.then(|| listing.stock.clone())
    }

    pub(crate) fn put(&self, stock: Stock, at: Instant, ttl: Duration, change: u64) {
        let listing = Listing { stock, at, ttl, change };
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
    }

    fn count(&self) -> Option<usize> {
        let listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        Some(listing.as_ref()?.stock.as_ref().ok()?.len())
    }
}
