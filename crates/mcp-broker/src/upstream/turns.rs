//! Whose calls run on a connection. Before 2026-07-28 a server's question on a shared stream does
//! not say which call it belongs to; it may reach only a client that surely caused it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_core::{Client, LogLevel};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::question;

/// How long after a call's end a message of it may still come.
const STRAGGLING: Duration = Duration::from_secs(2);
/// The most clients whose calls' ends are remembered.
const MOST_ENDED: usize = 64;

/// So many calls of a tool without a question, and it counts as one that asks nothing.
const QUIET_AFTER: u32 = 8;
/// The most tools whose quietness is remembered.
const MOST_TOOLS: usize = 4096;
/// After so many calls a log level that is wider than anyone wants is narrowed.
const LEVEL_KEPT: u32 = 32;

/// How often each tool of a server ended without asking anything.
#[derive(Debug, Default)]
pub(crate) struct Manners(Mutex<HashMap<String, u32>>);

impl Manners {
    fn is_quiet(&self, tool: &str) -> bool {
        self.with(|tools| tools.get(tool).is_some_and(|ended| *ended >= QUIET_AFTER))
    }

    fn ended(&self, tool: &str, asked: bool) {
        self.with(|tools| {
            if asked {
                tools.remove(tool);
            } else if let Some(ended) = tools.get_mut(tool) {
                *ended = ended.saturating_add(1);
            } else if tools.len() < MOST_TOOLS {
                tools.insert(tool.to_owned(), 1);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, u32>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The calls that run on one connection, and those that wait for their turn.
pub(crate) struct Turns {
    manners: Arc<Manners>,
    /// Whether all that the server says comes in the order in which it says it.
    in_order: bool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, Running>,
    queue: VecDeque<u64>,
    /// Whose calls ran since the last time that none did; `None` where several clients' did.
    alone: Option<String>,
    /// Whose calls ended lately, and when, the last at the end.
    ended: VecDeque<(String, Instant)>,
    /// The log level that the server was told, and the calls since then.
    level: Option<(LogLevel, u32)>,
}

struct Running {
    client: Option<Arc<dyn Client>>,
    tool: String,
    /// It may ask, and its client can be asked.
    loud: bool,
    /// It asked, or may have.
    asked: bool,
    /// Questions that its client has not answered yet.
    open: usize,
}

impl Running {
    fn who(&self) -> &str {
        self.client.as_ref().map_or("", |client| client.id())
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Turns")
            .field("running", &state.running.len())
            .field("waiting", &state.queue.len())
            .finish_non_exhaustive()
    }
}

impl Turns {
    pub(crate) fn new(manners: Arc<Manners>, in_order: bool) -> Self {
        Self { manners, in_order, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn at once, on connections that say which call a question belongs to.
    pub(crate) fn join(&self, client: Option<&Arc<dyn Client>>, tool: &str) -> Turn<'_> {
        let running = self.running(client, tool);
        let id = self.state().start(running);
        Turn { turns: self, id, whole: false }
    }

    /// A turn in which a question is surely its client's. Calls that may ask, of clients that can
    /// be asked, run while no other client's do; all others run beside each other, and beside
    /// those whose client is busy with a question.
    pub(crate) async fn wait(&self, client: Option<&Arc<dyn Client>>, tool: &str) -> Turn<'_> {
        let mut running = Some(self.running(client, tool));
        let mut ticket: Option<Ticket<'_>> = None;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state();
                let at = ticket.as_ref().map(|ticket| ticket.id);
                if let Some(started) = running.take_if(|running| state.may_start(running, at)) {
                    let id = state.start(started);
                    drop(state);
                    drop(ticket);
                    return Turn { turns: self, id, whole: false };
                }
                if ticket.is_none() {
                    state.next += 1;
                    let id = state.next;
                    state.queue.push_back(id);
                    ticket = Some(Ticket { turns: self, id });
                }
            }
            changed.await;
        }
    }

    fn running(&self, client: Option<&Arc<dyn Client>>, tool: &str) -> Running {
        let can = client.is_some_and(|client| question::can_be_asked(client.capabilities()));
        let loud = can && !self.manners.is_quiet(tool);
        Running { client: client.cloned(), tool: tool.to_owned(), loud, asked: false, open: 0 }
    }

    /// The call that a question without a name must belong to: the latest of the one client whose
    /// calls run. Where several clients' do, nobody's, and any of their tools may have asked.
    pub(crate) fn asker(&self) -> Option<(u64, Arc<dyn Client>)> {
        let mut state = self.state();
        if state.lone().is_none() {
            state.running.values_mut().for_each(|running| running.asked = true);
        }
        let id = state.lone()?;
        drop(state);
        Some((id, self.asks(id)?))
    }

    /// The client of the call that asks something.
    pub(crate) fn asks(&self, turn: u64) -> Option<Arc<dyn Client>> {
        let mut state = self.state();
        let running = state.running.get_mut(&turn)?;
        running.asked = true;
        let client = running.client.clone()?;
        running.open += 1;
        drop(state);
        self.changed.notify_waiters();
        Some(client)
    }

    /// A question was answered or taken back.
    pub(crate) fn answered(&self, turn: u64) {
        if let Some(running) = self.state().running.get_mut(&turn) {
            running.open = running.open.saturating_sub(1);
        }
    }

    /// The client of a call.
    pub(crate) fn client(&self, turn: u64) -> Option<Arc<dyn Client>> {
        self.state().running.get(&turn)?.client.clone()
    }

    /// The client that a message which names no call is surely for: the only one whose calls ran
    /// since none did. Where what a server says does not come in its order, a message may come
    /// after its call ended: no other client's call may have ended lately.
    pub(crate) fn only_client(&self) -> Option<Arc<dyn Client>> {
        let mut state = self.state();
        let alone = state.alone.clone()?;
        if !self.in_order {
            state.forget_ended();
            if state.ended.iter().any(|(who, _)| *who != alone) {
                return None;
            }
        }
        let id = state.lone()?;
        state.running.get(&id)?.client.clone()
    }

    /// The level that the server must be told, where the widest that clients want changed.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        let mut state = self.state();
        let wanted = state.running.values().filter_map(|call| call.client.as_ref()?.log_level());
        let widest = wanted.min()?;
        let told = match &mut state.level {
            Some((level, _)) if widest < *level => false,
            Some((level, calls)) if widest > *level && *calls >= LEVEL_KEPT => false,
            Some((_, calls)) => {
                *calls = calls.saturating_add(1);
                true
            }
            None => false,
        };
        if told {
            return None;
        }
        state.level = Some((widest, 0));
        Some(widest)
    }
}

impl State {
    fn start(&mut self, running: Running) -> u64 {
        let who = running.who();
        if self.running.is_empty() {
            self.alone = Some(who.to_owned());
        } else if self.alone.as_deref() != Some(who) {
            self.alone = None;
        }
        self.next += 1;
        self.running.insert(self.next, running);
        self.next
    }

    fn end(&mut self, id: u64, in_order: bool) -> Option<Running> {
        let call = self.running.remove(&id)?;
        if in_order {
            return Some(call);
        }
        self.forget_ended();
        // Of a crowd it is enough to know that it was one.
        if self.ended.len() >= MOST_ENDED {
            self.ended.pop_front();
        }
        let who = call.who();
        // One entry for each client is enough: the last.
        self.ended.retain(|(other, _)| other != who);
        self.ended.push_back((who.to_owned(), Instant::now()));
        Some(call)
    }

    fn forget_ended(&mut self) {
        while self.ended.front().is_some_and(|(_, at)| at.elapsed() >= STRAGGLING) {
            self.ended.pop_front();
        }
    }

    /// Whether a call may start now; `ticket` is its place in the queue.
    fn may_start(&self, call: &Running, ticket: Option<u64>) -> bool {
        let own = |other: &Running| other.who() == call.who();
        // Who is busy with a question may need this very call to answer it.
        let urgent = self.running.values().any(|other| own(other) && other.open > 0);
        let first = self.queue.front().is_none_or(|front| Some(*front) == ticket);
        let mut others = self.running.values().filter(|other| !own(other));
        let clear = if call.loud {
            others.next().is_none()
        } else {
            others.all(|other| !other.loud || other.open > 0)
        };
        clear && (first || urgent)
    }

    /// The latest call, if all are of one client.
    fn lone(&self) -> Option<u64> {
        let (id, latest) = self.running.last_key_value()?;
        self.running.values().all(|other| other.who() == latest.who()).then_some(*id)
    }
}

/// A place in the queue.
struct Ticket<'a> {
    turns: &'a Turns,
    id: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.turns.state().queue.retain(|id| *id != self.id);
        self.turns.changed.notify_waiters();
    }
}

/// A call that runs. Its number is its progress token too.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    pub(crate) id: u64,
    whole: bool,
}

impl Turn<'_> {
    /// The call came to its end; what it did not ask counts.
    pub(crate) fn ended(mut self) {
        self.whole = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let ended = self.turns.state().end(self.id, self.turns.in_order);
        if let Some(call) = ended.filter(|call| call.asked || (self.whole && call.loud)) {
            self.turns.manners.ended(&call.tool, call.asked);
        }
        self.turns.changed.notify_waiters();
    }
}
