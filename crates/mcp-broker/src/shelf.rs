//! One server within the broker: its link, its room for calls, and what it lists as each
//! credential sees it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_core::{CallError, Credential, Item, ItemKind, ToolSpec};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Semaphore, broadcast};

use crate::Server;
#[cfg(feature = "schema")]
use crate::broker::checks::Checks;
use crate::rewrite::Lettering;
use crate::server::Doubt;
#[cfg(feature = "http")]
use crate::upstream::mirror::Mirror;
use crate::upstream::pages::Kind;
use crate::upstream::{Hello, Link, Rumour, Whose};

/// For how long a failure to list is not tried again.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// The most credentials whose lists are kept per server.
const MOST_HOLDERS: usize = 1024;

/// One server within the broker.
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) server: Server,
    pub(crate) link: Box<dyn Link>,
    pub(crate) lettering: Lettering,
    pub(crate) room: Semaphore,
    /// Calls that wait for room.
    pub(crate) waiting: AtomicUsize,
    /// Goes up when the link hears that the server's tools changed.
    changes: Arc<AtomicU64>,
    /// Go up when it is heard that tools, prompts or resources changed.
    heard: [AtomicU64; 3],
    /// What is heard of the server on any of its connections; `None` where one connection serves
    /// all and would be kept for this alone.
    gossip: Mutex<Option<broadcast::Receiver<Rumour>>>,
    holders: Mutex<HashMap<Holder, Arc<Shelves>>>,
    /// What the server says is the same for everybody.
    pub(crate) public: Arc<Shelves>,
    doubts: Mutex<Vec<Doubt>>,
}

impl Member {
    pub(crate) fn new(server: Server, link: Box<dyn Link>, changes: Arc<AtomicU64>) -> Self {
        let name: Arc<str> = server.name.as_str().into();
        let room = Semaphore::new(server.concurrency.min(Semaphore::MAX_PERMITS));
        let gossip = (!server.shared).then(|| link.rumours(&Whose::gateway()));
        Self {
            gossip: Mutex::new(gossip),
            lettering: Lettering::new(name.clone()),
            name,
            server,
            link,
            room,
            waiting: AtomicUsize::new(0),
            changes,
            heard: Default::default(),
            holders: Mutex::default(),
            public: Arc::default(),
            doubts: Mutex::default(),
        }
    }

    /// What speaks against some of its tools.
    pub(crate) fn doubts(&self) -> Vec<Doubt> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_doubts(&self, doubts: Vec<Doubt>) {
        *self.doubts.lock().unwrap_or_else(PoisonError::into_inner) = doubts;
    }

    pub(crate) fn add_doubt(&self, doubt: Doubt) {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }

    /// Its tools in somebody's eyes, for what concerns all.
    pub(crate) fn any_tools(&self) -> Option<Arc<ToolStock>> {
        let own = self.everyone(|shelves| shelves.tools.last());
        own.into_iter().flatten().max_by_key(|stock| stock.tools.len())
    }

    /// The shelves of whoever shows this credential.
    pub(crate) fn shelves(&self, credential: Option<&Credential>) -> Arc<Shelves> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = Holder(credential.cloned());
        if let Some(shelves) = holders.get(&holder) {
            return shelves.clone();
        }
        if holders.len() >= MOST_HOLDERS {
            // A cache: what is thrown out is read again.
            holders.clear();
        }
        holders.entry(holder).or_default().clone()
    }

    /// How many things of a kind the server has, at most, in anyone's eyes.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.everyone(|shelves| shelves.count(kind)).into_iter().max().unwrap_or(0)
    }

    /// What there is on everyone's shelves.
    pub(crate) fn everyone<T>(&self, look: impl Fn(&Shelves) -> T) -> Vec<T> {
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.values().chain([&self.public]).map(|shelves| look(shelves)).collect()
    }

    /// A number that goes up when the server's things of this kind changed.
    pub(crate) fn change(&self, kind: Kind) -> u64 {
        self.catch_up();
        let heard = self.heard[place(kind)].load(Ordering::Relaxed);
        self.changes.load(Ordering::Relaxed).wrapping_add(heard)
    }

    /// Takes what was heard since it was last asked.
    fn catch_up(&self) {
        let mut gossip = self.gossip.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gossip) = gossip.as_mut() else { return };
        loop {
            match gossip.try_recv() {
                Ok(Rumour::Tools) => self.changed(Kind::Tools),
                Ok(Rumour::Prompts) => self.changed(Kind::Items(ItemKind::Prompts)),
                Ok(Rumour::Resources) => self.changed(Kind::Items(ItemKind::Resources)),
                Ok(Rumour::Updated(_) | Rumour::Task(_)) => {}
                Err(TryRecvError::Lagged(_)) => {
                    self.heard.iter().for_each(|heard| {
                        heard.fetch_add(1, Ordering::Relaxed);
                    });
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Somebody heard that the server's things of this kind changed.
    pub(crate) fn changed(&self, kind: Kind) {
        self.heard[place(kind)].fetch_add(1, Ordering::Relaxed);
    }
}

const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Tools => 0,
        Kind::Items(ItemKind::Prompts) => 1,
        // One notification tells of both.
        Kind::Items(ItemKind::Resources | ItemKind::Templates) => 2,
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

/// What one credential sees of a server.
#[derive(Default)]
pub(crate) struct Shelves {
    pub(crate) hello: Shelf<Hello>,
    pub(crate) tools: Shelf<ToolStock>,
    items: [Shelf<ItemStock>; 3],
}

impl Shelves {
    pub(crate) fn items(&self, kind: ItemKind) -> &Shelf<ItemStock> {
        match kind {
            ItemKind::Prompts => &self.items[0],
            ItemKind::Resources => &self.items[1],
            ItemKind::Templates => &self.items[2],
        }
    }

    fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Tools => self.tools.last().map_or(0, |stock| stock.tools.len()),
            Kind::Items(kind) => self.items(kind).last().map_or(0, |stock| stock.items.len()),
        }
    }
}

/// A server's tools, by their federated names.
#[derive(Default)]
pub(crate) struct ToolStock {
    pub(crate) tools: Vec<Shelved>,
    by_own: HashMap<Arc<str>, usize>,
    /// By their own names: tools that are there and held back, and why.
    pub(crate) held: HashMap<Arc<str>, String>,
    /// Of the list as it came and the pins that it was judged by.
    pub(crate) fingerprint: [u8; 32],
}

impl ToolStock {
    /// Of these tools, put in order.
    pub(crate) fn new(
        mut tools: Vec<Shelved>,
        held: HashMap<Arc<str>, String>,
        fingerprint: [u8; 32],
    ) -> Self {
        tools.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let by_own = tools.iter().enumerate().map(|(at, tool)| (tool.own.clone(), at)).collect();
        Self { tools, by_own, held, fingerprint }
    }

    /// The tool of this own name.
    pub(crate) fn tool(&self, own: &str) -> Option<&Shelved> {
        self.tools.get(*self.by_own.get(own)?)
    }
}

/// One tool of a list.
#[derive(Clone)]
pub(crate) struct Shelved {
    /// Its own name.
    pub(crate) own: Arc<str>,
    /// Under its federated name.
    pub(crate) spec: Arc<ToolSpec>,
    /// Under its own name, where the server has a transparent route.
    pub(crate) bare: Option<Arc<ToolSpec>>,
    /// Whether an operator approved it as it is.
    pub(crate) vouched: bool,
    #[cfg(feature = "schema")]
    pub(crate) checks: Arc<Checks>,
    /// Which arguments go into headers too.
    #[cfg(feature = "http")]
    pub(crate) mirrors: Arc<[Mirror]>,
}

/// A server's prompts, resources or templates, by their keys.
#[derive(Default)]
pub(crate) struct ItemStock {
    pub(crate) items: Vec<ShelvedItem>,
}

/// One thing of a list.
#[derive(Clone)]
pub(crate) struct ShelvedItem {
    /// Under its federated name or URI.
    pub(crate) item: Arc<Item>,
    /// Under its own, where the server has a transparent route.
    pub(crate) bare: Option<Arc<Item>>,
}

/// What reading brought, or why not.
pub(crate) type Stock<T> = Result<Arc<T>, Arc<CallError>>;

/// What was read once, for all who have the same eyes.
pub(crate) struct Shelf<T> {
    /// Held while it is read, so that it is read once for all who wait.
    pub(crate) gate: tokio::sync::Mutex<()>,
    state: Mutex<State<T>>,
}

struct State<T> {
    listing: Option<Listing<T>>,
    /// What was read last, whatever came after.
    last: Option<Arc<T>>,
    /// Since when it is being read.
    reading: Option<Instant>,
}

struct Listing<T> {
    stock: Stock<T>,
    at: Instant,
    ttl: Duration,
    change: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let state = State { listing: None, last: None, reading: None };
        Self { gate: tokio::sync::Mutex::default(), state: Mutex::new(state) }
    }
}

/// How old what is on a shelf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// Nothing was ever read.
    Unread,
    /// The server changed since.
    Outdated,
    /// Read so long ago.
    Since(Duration),
}

/// Whether two readings brought the same.
pub(crate) trait Same {
    fn same(&self, other: &Self) -> bool;
}

impl Same for Hello {
    fn same(&self, _: &Self) -> bool {
        true
    }
}

impl Same for ToolStock {
    /// What is vouched for counts too: it decides on shadows.
    fn same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Shelved, &Shelved)| {
            a.spec.definition.get() == b.spec.definition.get() && a.vouched == b.vouched
        };
        self.tools.len() == other.tools.len() && self.tools.iter().zip(&other.tools).all(same)
    }
}

impl Same for ItemStock {
    fn same(&self, other: &Self) -> bool {
        let pairs = || self.items.iter().zip(&other.items);
        self.items.len() == other.items.len()
            && pairs().all(|(a, b)| a.item.definition.get() == b.item.definition.get())
    }
}

/// What putting something on a shelf came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    /// It is not what was there.
    pub(crate) differs: bool,
    /// It is something else than what was there although nobody had said so.
    pub(crate) untold: bool,
}

impl<T: Same> Shelf<T> {
    /// Puts what was read on the shelf.
    pub(crate) fn put(&self, stock: Stock<T>, at: Instant, ttl: Duration, change: u64) -> Put {
        self.with(|state| {
            state.reading = None;
            let silent = state.listing.as_ref().is_some_and(|before| before.change == change);
            let (mut differs, mut is_first) = (false, false);
            if let Ok(stock) = &stock {
                let last = state.last.replace(stock.clone());
                is_first = last.is_none();
                differs = last.is_none_or(|last| !Arc::ptr_eq(&last, stock) && !last.same(stock));
            }
            state.listing = Some(Listing { stock, at, ttl, change });
            Put { differs, untold: silent && differs && !is_first }
        })
    }
}

impl<T> Shelf<T> {
    fn with<R>(&self, act: impl FnOnce(&mut State<T>) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is on the shelf, while it is fresh.
    pub(crate) fn fresh(&self, now: Instant, change: u64) -> Option<Stock<T>> {
        self.with(|state| {
            let listing = state.listing.as_ref()?;
            let ttl = if listing.stock.is_ok() { listing.ttl } else { FAILURE_TTL };
            let young = now.saturating_duration_since(listing.at) < ttl;
            (young && listing.change == change).then(|| listing.stock.clone())
        })
    }

    /// What was read last, however old.
    pub(crate) fn last(&self) -> Option<Arc<T>> {
        self.with(|state| state.last.clone())
    }

    /// How old the last reading is, failures included.
    pub(crate) fn age(&self, now: Instant, change: u64) -> Age {
        self.with(|state| match &state.listing {
            _ if state.last.is_none() => Age::Unread,
            None => Age::Unread,
            Some(listing) if listing.change != change => Age::Outdated,
            Some(listing) => Age::Since(now.saturating_duration_since(listing.at)),
        })
    }

    /// Reading brought nothing for this shelf.
    pub(crate) fn give_up(&self) {
        self.with(|state| state.reading = None);
    }

    /// Somebody begins to read; since when somebody does.
    pub(crate) fn begin(&self, now: Instant) -> Instant {
        self.with(|state| *state.reading.get_or_insert(now))
    }
}
