//! Connections to one server, kept warm and bounded: one for each identity, ended when idle.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_core::{BoxFuture, Clock};
use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};

use self::seat::{Busy, Key, Now, Place, Seat};
use super::ear::Ear;
use super::past::Past;
use super::{Answer, Ask, Condition, Failure, Hello, Link, Rumour, Whose, rounds};
use crate::shelf::Holder;
use crate::{Era, Server, State};

/// The principal in whose name the gateway itself reads lists. Nothing that it does touches a
/// server's state, so the first real principal may take its connection over.
pub(super) const GATEWAY: &str = "doorward";
/// Into so many ticks the idle time is cut.
const TICKS: u32 = 4;
/// How often it is looked after a connection that somebody listens to.
const CHECK: Duration = Duration::from_secs(1);
/// The longest that it is left alone while it fails.
const LONGEST_CHECK: Duration = Duration::from_secs(30);

mod seat;

/// How connections to one server are opened.
pub(super) trait Dial: Send + Sync {
    /// The clock by which failures to open are followed by growing rests; `None`: no rests.
    fn rests(&self) -> Option<&dyn Clock>;

    /// Opens one.
    fn dial<'a>(
        &'a self,
        whose: &'a Whose,
        ear: Arc<Ear>,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, Failure>>;
}

/// One connection, in one name.
pub(super) trait Connection: Send + Sync {
    fn hello(&self) -> &Arc<Hello>;

    /// Whether the other side is still there.
    fn is_open(&self) -> bool;

    fn ear(&self) -> &Ear;

    /// Asks. Dropping the future cancels the request.
    fn ask<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Result<Box<RawValue>, Failure>>;

    /// From now on somebody wants to hear of changed lists.
    fn listen(&self);

    fn follow<'a>(&'a self, uri: &'a str, on: bool) -> BoxFuture<'a, Result<(), Failure>>;

    fn end(&self) -> BoxFuture<'_, ()>;
}

/// The connections to one server.
pub(crate) struct Pool {
    name: Arc<str>,
    dial: Box<dyn Dial>,
    shared: bool,
    idle_after: Duration,
    /// How long it is waited for a connection to spare.
    patience: Duration,
    changes: Arc<AtomicU64>,
    room: Arc<Semaphore>,
    /// Told when a connection becomes idle.
    freed: Arc<Notify>,
    places: Mutex<HashMap<Key, Arc<Place>>>,
    gateway: broadcast::Sender<Rumour>,
    condition: Mutex<Condition>,
    uses: AtomicU64,
    reaping: AtomicBool,
    closed: watch::Sender<bool>,
    /// Tools whose calls must be tasks.
    pub(super) tasked: Mutex<HashSet<String>>,
}

impl Pool {
    pub(super) fn new(server: &Server, dial: Box<dyn Dial>, changes: Arc<AtomicU64>) -> Self {
        Self {
            name: server.name.as_str().into(),
            dial,
            shared: server.shared,
            idle_after: server.idle_after,
            patience: server.connect_timeout,
            changes,
            room: Arc::new(Semaphore::new(server.max_connections.clamp(1, Semaphore::MAX_PERMITS))),
            freed: Arc::default(),
            places: Mutex::default(),
            gateway: broadcast::Sender::new(seat::RUMOURS),
            condition: Mutex::default(),
            uses: AtomicU64::new(0),
            reaping: AtomicBool::new(false),
            closed: watch::Sender::new(false),
            tasked: Mutex::default(),
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Key, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_condition<T>(&self, act: impl FnOnce(&mut Condition) -> T) -> T {
        act(&mut self.condition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn key(&self, whose: &Whose) -> Key {
        let principal = (!self.shared).then(|| whose.principal.clone());
        Key { principal, holder: Holder(whose.credential.clone()) }
    }

    fn place(&self, key: &Key) -> Arc<Place> {
        let mut places = self.places();
        if let Some(place) = places.get(key) {
            return place.clone();
        }
        places.entry(key.clone()).or_insert_with(Place::new).clone()
    }

    fn sit(&self, place: &Place, touch: bool) -> Option<Busy> {
        place.sit(touch, self.uses.fetch_add(1, Ordering::Relaxed), &self.freed)
    }

    /// The identity's connection, opened where there is none. Opening runs on its own: a caller
    /// who goes away does not undo it for the next.
    async fn busy(self: &Arc<Self>, whose: &Whose, ask: Opening) -> Result<Busy, Failure> {
        if *self.closed.borrow() {
            return Err(Failure::Closed);
        }
        let key = self.key(whose);
        let place = self.place(&key);
        if let Some(busy) = self.sit(&place, ask.touches) {
            return Ok(busy);
        }
        let (pool, whose) = (self.clone(), whose.clone());
        let open = tokio::spawn(async move {
            let mut past = place.past.lock().await;
            if let Some(busy) = pool.sit(&place, ask.touches) {
                return Ok(busy);
            }
            if ask.patient
                && pool.adopt(&key, &place, &mut past).await
                && let Some(busy) = pool.sit(&place, ask.touches)
            {
                return Ok(busy);
            }
            pool.open(&place, &mut past, &whose, ask.patient).await?;
            pool.sit(&place, ask.touches).ok_or(Failure::Gone)
        });
        open.await.unwrap_or(Err(Failure::Gone))
    }

    /// Takes the gateway's own connection over, if it was used for lists only.
    async fn adopt(&self, key: &Key, place: &Place, past: &mut Past) -> bool {
        let Some(principal) = &key.principal else { return false };
        if **principal == *GATEWAY || past.starts > 0 {
            return false;
        }
        let theirs = Key { principal: Some(GATEWAY.into()), holder: key.holder.clone() };
        let Some(gateway) = self.places().get(&theirs).cloned() else { return false };
        // One that is just being opened is waited for.
        let mut their_past = gateway.past.lock().await;
        let seat = {
            let mut now = gateway.now();
            if now.touched || !now.followed.is_empty() {
                return false;
            }
            now.seat.take()
        };
        let Some(seat) = seat else { return false };
        seat.connection.ear().hand_to(place.news.clone());
        *past = std::mem::take(&mut *their_past);
        place.now().seat = Some(seat);
        true
    }

    async fn open(
        self: &Arc<Self>,
        place: &Arc<Place>,
        past: &mut Past,
        whose: &Whose,
        patient: bool,
    ) -> Result<(), Failure> {
        let lost = place.now().seat.take().is_some();
        if let Some(clock) = self.dial.rests() {
            if past.mourn(clock) {
                tracing::warn!(server = %self.name, "server's process ended");
            }
            past.rest(clock).await?;
        }
        let room = self.room(patient).await?;
        let mut closed = self.closed.subscribe();
        let ear = Ear::new(place.news.clone(), self.gateway.clone(), self.changes.clone());
        past.starts += 1;
        if past.starts > 1 || lost {
            self.with_condition(|condition| condition.restarts += 1);
        }
        let dialed = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(Failure::Closed),
            dialed = tokio::time::timeout(self.patience, self.dial.dial(whose, ear)) => {
                dialed.unwrap_or(Err(Failure::Slow))
            }
        };
        let connection = match dialed {
            Ok(connection) => connection,
            Err(failure) => {
                if let Some(clock) = self.dial.rests() {
                    past.note(clock);
                    tracing::warn!(server = %self.name, error = %failure, "server did not start");
                }
                return Err(failure);
            }
        };
        past.begin(self.dial.rests());
        let era = connection.hello().era;
        self.with_condition(|condition| {
            (condition.state, condition.era) = (State::Up, Some(era));
        });
        self.seat(place, connection, room).await;
        if past.starts > 1 {
            self.renew(place);
        }
        Ok(())
    }

    /// It may be another version by now: all lists count as changed.
    fn renew(&self, place: &Place) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        for rumour in [Rumour::Tools, Rumour::Prompts, Rumour::Resources] {
            place.news.send(rumour.clone()).ok();
            self.gateway.send(rumour).ok();
        }
    }

    async fn seat(
        self: &Arc<Self>,
        place: &Arc<Place>,
        connection: Box<dyn Connection>,
        room: OwnedSemaphorePermit,
    ) {
        if connection.ear().is_wanted() {
            connection.listen();
        }
        let seat = Arc::new(Seat::new(connection, room));
        let followed: Vec<_> = place.now().followed.keys().cloned().collect();
        for uri in followed {
            seat.follow(&uri, true).await.ok();
        }
        place.now().seat = Some(seat);
        if !self.reaping.swap(true, Ordering::AcqRel) {
            let pool = Arc::downgrade(self);
            let tick = (self.idle_after / TICKS).max(Duration::from_millis(5));
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(tick).await;
                    let Some(pool) = pool.upgrade().filter(|pool| !*pool.closed.borrow()) else {
                        return;
                    };
                    pool.reap();
                }
            });
        }
    }

    /// Leave to open one more connection: the longest idle one makes room where there is none.
    async fn room(&self, patient: bool) -> Result<OwnedSemaphorePermit, Failure> {
        let spare = || self.room.clone().try_acquire_owned().ok();
        if !patient {
            return spare().ok_or(Failure::Full);
        }
        let wait = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(room) = spare() {
                    return Ok(room);
                }
                self.evict();
                tokio::select! {
                    room = self.room.clone().acquire_owned() => {
                        return room.map_err(|_| Failure::Closed);
                    }
                    () = freed => {}
                }
            }
        };
        tokio::time::timeout(self.patience, wait).await.unwrap_or(Err(Failure::Full))
    }

    /// Ends the connection that was idle for longest; one that is listened to only where there is
    /// no other.
    fn evict(&self) {
        let places: Vec<_> = self.places().values().cloned().collect();
        let idle = places.iter().filter_map(|place| {
            let now = place.now();
            let seat = now.seat.as_ref()?;
            let dead = !seat.connection.is_open();
            if seat.busy.load(Ordering::Acquire) > 0 && !dead {
                return None;
            }
            let order = (!dead, place.is_listened_to(&now), seat.used.load(Ordering::Relaxed));
            Some((order, place))
        });
        let Some((_, place)) = idle.min_by_key(|(order, _)| *order) else { return };
        self.dismiss(place, |_, _| true);
    }

    /// Ends connections that were idle for their time, and forgets places that hold nothing.
    fn reap(&self) {
        let places: Vec<_> = self.places().values().cloned().collect();
        for place in &places {
            self.dismiss(place, |seat, now| {
                if place.is_listened_to(now) {
                    return false;
                }
                seat.idle_ticks.fetch_add(1, Ordering::Relaxed) >= TICKS
            });
        }
        drop(places);
        self.places().retain(|_, place| {
            let now = place.now();
            // Somebody else who holds the place is about to use it.
            let used = Arc::strong_count(place) > 1 || now.seat.is_some();
            let rests = self.dial.rests().is_some_and(|clock| {
                place.past.try_lock().map_or(true, |past| past.is_resting(clock))
            });
            used || rests || place.is_listened_to(&now)
        });
    }

    fn dismiss(&self, place: &Arc<Place>, fits: impl FnOnce(&Seat, &Now) -> bool) {
        let Some(seat) = place.vacate(fits) else { return };
        // Where it is just being opened again, its past is in use and goes on.
        if let Ok(mut past) = place.past.try_lock() {
            past.forget();
        }
        if !self.is_up() {
            self.with_condition(|condition| condition.state = State::Idle);
        }
        tokio::spawn(async move { seat.connection.end().await });
    }

    fn is_up(&self) -> bool {
        let places: Vec<_> = self.places().values().cloned().collect();
        places.iter().any(|place| place.seat().is_some())
    }

    /// One question to the server itself. A connection that it forgot is opened anew, once.
    pub(super) async fn once(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut again = true;
        loop {
            let opening = Opening { patient: true, touches: !ask.method.ends_with("/list") };
            let busy = self.busy(ask.whose, opening).await?;
            let era = busy.seat.connection.hello().era;
            let outcome = busy.seat.connection.ask(ask).await;
            match outcome {
                Err(Failure::Lost) if std::mem::take(&mut again) => {}
                outcome => return outcome.map(|result| Answer { result, era }),
            }
        }
    }

    /// Whether the server, as this identity sees it, makes tasks of calls (MCP 2025-11-25).
    pub(super) fn offers_tasks(&self, whose: &Whose) -> bool {
        let seat = self.places().get(&self.key(whose)).and_then(|place| place.seat());
        seat.is_some_and(|seat| {
            let hello = seat.connection.hello();
            hello.era == Era::Legacy
                && crate::edit::member(hello.capabilities.get(), "tasks").is_some()
        })
    }

    /// Keeps a connection while somebody listens to it.
    fn keep(self: &Arc<Self>, whose: &Whose, place: &Arc<Place>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if place.kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, place, whose) = (Arc::downgrade(self), place.clone(), whose.clone());
        runtime.spawn(async move {
            let mut pause = CHECK;
            loop {
                let Some(pool) = pool.upgrade().filter(|pool| !*pool.closed.borrow()) else {
                    break;
                };
                if place.news.receiver_count() == 0 {
                    break;
                }
                let opening = Opening { patient: false, touches: true };
                pause = match pool.busy(&whose, opening).await {
                    Ok(busy) => {
                        busy.seat.connection.listen();
                        CHECK
                    }
                    Err(_) => pause.saturating_mul(2).min(LONGEST_CHECK),
                };
                drop(pool);
                tokio::time::sleep(pause).await;
            }
            // A listener that came meanwhile finds the flag down the next time it asks.
            place.kept.store(false, Ordering::Release);
        });
    }

    fn note<T>(&self, outcome: &Result<T, Failure>) {
        self.with_condition(|condition| match outcome {
            Ok(_) | Err(Failure::Rpc(_) | Failure::TooLarge(_)) => condition.state = State::Up,
            Err(Failure::Closed | Failure::Resting(_) | Failure::Full) => {}
            Err(failure) => {
                condition.state = State::Down;
                condition.last_failure = Some(failure.to_string());
            }
        });
    }
}

/// How a connection is wanted.
#[derive(Clone, Copy)]
struct Opening {
    /// It may wait for another to end.
    patient: bool,
    /// It is used for more than lists.
    touches: bool,
}

impl Link for Arc<Pool> {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let outcome = rounds::run(self, ask).await;
            self.note(&outcome);
            outcome
        })
    }

    fn hello<'a>(&'a self, whose: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>> {
        Box::pin(async move {
            let opening = Opening { patient: true, touches: false };
            let busy = self.busy(whose, opening).await;
            self.note(&busy);
            Ok(busy?.seat.connection.hello().clone())
        })
    }

    fn rumours(&self, whose: &Whose) -> broadcast::Receiver<Rumour> {
        if *whose.principal == *GATEWAY && !self.shared {
            let news = self.gateway.subscribe();
            let places: Vec<_> = self.places().values().cloned().collect();
            places.iter().filter_map(|place| place.seat()).for_each(|s| s.connection.listen());
            return news;
        }
        let place = self.place(&self.key(whose));
        let news = place.news.subscribe();
        self.keep(whose, &place);
        news
    }

    fn follow<'a>(
        &'a self,
        whose: &'a Whose,
        uri: &'a str,
        on: bool,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let place = self.place(&self.key(whose));
            let turn = {
                let mut now = place.now();
                let count = now.followed.entry(uri.to_owned()).or_default();
                *count = if on { *count + 1 } else { count.saturating_sub(1) };
                let count = *count;
                if count == 0 {
                    now.followed.remove(uri);
                }
                if on { count == 1 } else { count == 0 }
            };
            if !turn {
                return Ok(());
            }
            if !on {
                let seat = place.seat();
                return match seat {
                    Some(seat) => seat.follow(uri, false).await,
                    None => Ok(()),
                };
            }
            let opening = Opening { patient: true, touches: true };
            let followed = match self.busy(whose, opening).await {
                Ok(busy) => busy.seat.follow(uri, true).await,
                Err(failure) => Err(failure),
            };
            if followed.is_err() {
                place.now().followed.remove(uri);
            }
            followed
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closed.send_replace(true);
            self.room.close();
            let places: Vec<_> = self.places().drain().map(|(_, place)| place).collect();
            join_all(places.into_iter().map(|place| async move {
                // An opening under way sees the flag or is ended here once it is through.
                let _past = place.past.lock().await;
                let seat = place.now().seat.take();
                if let Some(seat) = seat {
                    seat.connection.end().await;
                }
            }))
            .await;
        })
    }

    fn condition(&self) -> Condition {
        let mut condition = self.with_condition(|condition| condition.clone());
        let places: Vec<_> = self.places().values().cloned().collect();
        condition.connections = places.iter().filter(|place| place.seat().is_some()).count();
        if condition.state == State::Up && condition.connections == 0 {
            condition.state = State::Down;
        }
        condition
    }
}

impl Answer {
    /// Whether it may hold something that must be bridged: a quick look before a reading.
    pub(super) fn mentions(&self, words: &str) -> bool {
        self.era == Era::Modern && crate::edit::mentions(self.result.get(), words)
    }
}
