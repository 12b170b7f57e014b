//! Sessions of clients with a handshake: a sealed handle that every replica can read, and the
//! little that one replica keeps beside it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use doorward_core::{LogLevel, RpcFault, Scope, Timestamp};
use futures_util::future::AbortHandle;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Limits;
use super::revision::Revision;
use super::tape::Tape;

/// What tells sessions apart: 128 random bits.
pub type SessionKey = [u8; 16];

/// Remembers sessions that their clients have ended, until they would have expired.
///
/// A session's handle is valid on every replica that has the keys; only this makes its end known.
/// Asked for each request of a session, so an implementation over shared storage keeps a copy.
pub trait Ended: Send + Sync {
    /// The session is over. Nobody asks for it any more after `until`.
    fn end(&self, session: SessionKey, until: Timestamp, now: Timestamp);

    /// Whether it is over.
    fn is_ended(&self, session: &SessionKey) -> bool;
}

/// Sessions ended in this process, up to a number of them. Beyond it those go first that expire
/// first.
#[derive(Debug)]
pub struct EndedHere {
    most: usize,
    ended: Mutex<EndedSet>,
}

#[derive(Debug, Default)]
struct EndedSet {
    keys: HashMap<SessionKey, Timestamp>,
    order: BTreeSet<(Timestamp, SessionKey)>,
}

impl EndedHere {
    /// Remembers at most this many.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), ended: Mutex::default() }
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        lock(&self.ended).keys.len()
    }
}

impl Ended for EndedHere {
    fn end(&self, session: SessionKey, until: Timestamp, now: Timestamp) {
        let mut set = lock(&self.ended);
        if set.keys.insert(session, until).is_none() {
            set.order.insert((until, session));
        }
        while let Some((expiry, oldest)) = set.order.first().copied() {
            if expiry > now && set.order.len() <= self.most {
                break;
            }
            set.order.pop_first();
            set.keys.remove(&oldest);
        }
    }

    fn is_ended(&self, session: &SessionKey) -> bool {
        lock(&self.ended).keys.contains_key(session)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session id says, once opened.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) key: SessionKey,
    pub(super) principal: Arc<str>,
    pub(super) scope: Scope,
    /// `None`: of the HTTP+SSE endpoint pair, where the handshake comes later.
    pub(super) revision: Option<Revision>,
    pub(super) capabilities: Arc<RawValue>,
    pub(super) epoch: u64,
    pub(super) expires: Timestamp,
}

/// How a ticket is written before it is sealed.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    k: String,
    p: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v: Option<String>,
    #[serde(borrow)]
    c: &'a RawValue,
    e: u64,
    x: i64,
}

impl Ticket {
    pub(super) fn write(&self) -> Option<String> {
        let written = Written {
            k: URL_SAFE_NO_PAD.encode(self.key),
            p: self.principal.clone(),
            s: match &self.scope {
                Scope::All => None,
                Scope::Profile(name) => Some(name.clone()),
            },
            v: self.revision.map(|revision| revision.name().to_owned()),
            c: &self.capabilities,
            e: self.epoch,
            x: self.expires.as_micros(),
        };
        serde_json::to_string(&written).ok()
    }

    pub(super) fn read(plain: &[u8]) -> Option<Self> {
        let written: Written<'_> = serde_json::from_slice(plain).ok()?;
        let revision = match written.v {
            None => None,
            Some(name) => Some(Revision::dated(&name)?),
        };
        Some(Self {
            key: URL_SAFE_NO_PAD.decode(written.k).ok()?.try_into().ok()?,
            principal: written.p,
            scope: written.s.map_or(Scope::All, Scope::Profile),
            revision,
            capabilities: written.c.to_owned().into(),
            epoch: written.e,
            expires: Timestamp::from_micros(written.x),
        })
    }
}

/// What waits for a client's reply.
pub(super) type Answer = oneshot::Sender<Result<Box<RawValue>, RpcFault>>;

/// What one replica keeps of one session. Rebuilt when it is needed; the handle does not depend
/// on it.
pub(super) struct Session {
    pub(super) key: SessionKey,
    name: Arc<str>,
    used: AtomicI64,
    state: Mutex<State>,
    /// The stream of server news: a later one ends the earlier.
    pub(super) news: AtomicU64,
    /// Counts changes of what it subscribed to.
    edition: AtomicU64,
    pub(super) changed: Notify,
}

/// The state beside a handle.
#[derive(Default)]
pub(super) struct State {
    pub(super) level: Option<LogLevel>,
    pub(super) uris: BTreeSet<String>,
    pub(super) questions: HashMap<String, Answer>,
    pub(super) running: HashMap<String, (u64, AbortHandle)>,
    pub(super) tapes: HashMap<u64, Arc<Tape>>,
    /// How many streams of news or of the HTTP+SSE pair are open.
    pub(super) open: usize,
    pub(super) pipe: Option<Pipe>,
}

/// The stream of a client of the HTTP+SSE pair.
pub(super) struct Pipe {
    pub(super) messages: mpsc::Sender<Bytes>,
    /// What its handshake agreed on.
    pub(super) revision: Revision,
    pub(super) capabilities: Arc<RawValue>,
}

impl Session {
    fn new(key: SessionKey, now: Timestamp) -> Self {
        Self {
            key,
            name: format!("session:{}", URL_SAFE_NO_PAD.encode(key)).into(),
            used: AtomicI64::new(now.as_micros()),
            state: Mutex::default(),
            news: AtomicU64::new(0),
            edition: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// What it subscribed to changed.
    pub(super) fn revise(&self) {
        self.edition.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Changes with what it subscribed to.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What tells its client apart from others.
    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Ends what runs for it.
    fn end(&self) {
        let state = std::mem::take(&mut *self.state());
        for (_, handle) in state.running.into_values() {
            handle.abort();
        }
        for tape in state.tapes.into_values() {
            tape.abandon();
        }
        self.news.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn last_used(&self) -> i64 {
        self.used.load(Ordering::Relaxed)
    }

    fn is_idle(&self, before: Timestamp) -> bool {
        if self.last_used() > before.as_micros() {
            return false;
        }
        let state = self.state();
        state.open == 0
            && state.running.is_empty()
            && state.questions.is_empty()
            && state.tapes.is_empty()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The states of all sessions that this replica has seen lately.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: Mutex<HashMap<SessionKey, Arc<Session>>>,
    swept: AtomicI64,
}

impl Sessions {
    /// The state of a session, where there is one.
    pub(super) fn find(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Session>> {
        let known = lock(&self.known);
        let session = known.get(key)?;
        session.used.store(now.as_micros(), Ordering::Relaxed);
        Some(session.clone())
    }

    /// The state of a session, made where there is none. `None` where all room is taken by
    /// sessions with something running.
    pub(super) fn open(
        &self,
        key: SessionKey,
        now: Timestamp,
        limits: &Limits,
    ) -> Option<Arc<Session>> {
        self.sweep_at_times(now, limits.idle_after);
        let mut known = lock(&self.known);
        if let Some(session) = known.get(&key) {
            session.used.store(now.as_micros(), Ordering::Relaxed);
            return Some(session.clone());
        }
        if known.len() >= limits.sessions {
            // Whoever was silent longest makes room; for some at once, so that not every request
            // has to look at all.
            let idle = known.values().filter(|session| session.is_idle(now));
            let mut idle: Vec<_> = idle.map(|session| (session.last_used(), session.key)).collect();
            idle.sort_unstable();
            for (_, oldest) in idle.into_iter().take(1 + limits.sessions / 16) {
                known.remove(&oldest);
            }
            if known.len() >= limits.sessions {
                return None;
            }
        }
        let session = Arc::new(Session::new(key, now));
        known.insert(key, session.clone());
        Some(session)
    }

    /// Ends a session's state.
    pub(super) fn remove(&self, key: &SessionKey) {
        let removed = lock(&self.known).remove(key);
        if let Some(session) = removed {
            session.end();
        }
    }

    /// Forgets what has been idle for this long.
    pub(super) fn sweep(&self, now: Timestamp, idle_after: Duration) {
        self.swept.store(now.as_micros(), Ordering::Relaxed);
        let micros = i64::try_from(idle_after.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(now.as_micros().saturating_sub(micros));
        let mut known = lock(&self.known);
        known.retain(|_, session| !session.is_idle(before));
        if known.capacity() > 64 && known.capacity() / 4 > known.len() {
            known.shrink_to_fit();
        }
    }

    fn sweep_at_times(&self, now: Timestamp, idle_after: Duration) {
        let quarter = i64::try_from(idle_after.as_micros() / 4).unwrap_or(i64::MAX);
        if now.as_micros().saturating_sub(self.swept.load(Ordering::Relaxed)) >= quarter {
            self.sweep(now, idle_after);
        }
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.known).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_sessions_are_remembered_until_they_expire_and_up_to_a_number() {
        let ended = EndedHere::new(3);
        let at = Timestamp::from_micros;
        for n in 1..=5 {
            ended.end([n; 16], at(100 + i64::from(n)), at(0));
        }
        assert_eq!(ended.count(), 3);
        assert!(!ended.is_ended(&[2; 16]) && ended.is_ended(&[3; 16]) && ended.is_ended(&[5; 16]));
        ended.end([6; 16], at(200), at(104));
        assert_eq!(ended.count(), 2, "what has expired needs no memory");
    }
}
