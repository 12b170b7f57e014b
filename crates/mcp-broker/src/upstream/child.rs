//! A server that runs as a child process: started when first needed, started again when it dies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use doorward_core::{BoxFuture, Clock};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::wire::{self, Wire};
use super::{Answer, Ask, Condition, Failure, Hello, Link, Rumour, Whose, handshake};
use crate::launch::{Command, Launched, Launcher, Process};
use crate::{Era, Server, State};

/// The first pause after a failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// A pause that a caller sits out instead of being sent away.
const SHORT_REST: Duration = Duration::from_secs(2);
/// A process that lived this long had no trouble starting.
const HEALTHY: Duration = Duration::from_secs(30);
/// How long a process may take to end by itself once its input is closed.
const GRACE: Duration = Duration::from_secs(2);
/// How much is read from a process at once.
const READ: usize = 64 << 10;
/// How much of a process's chatter is logged.
const MOST_CHATTER: usize = 64 << 10;

/// A child process as a server.
pub(crate) struct Child {
    name: Arc<str>,
    command: Command,
    launcher: Arc<dyn Launcher>,
    clock: Arc<dyn Clock>,
    connect_timeout: Duration,
    max_result: usize,
    changes: Arc<AtomicU64>,
    session: ArcSwapOption<Session>,
    past: tokio::sync::Mutex<Past>,
    condition: Mutex<Condition>,
    closed: watch::Sender<bool>,
}

/// What the next start must know of those before.
#[derive(Default)]
struct Past {
    failures: u32,
    /// When the last session began.
    began: Option<Instant>,
    rest_until: Option<Instant>,
    /// It did not survive being asked for its era the new way.
    legacy_only: bool,
    starts: u64,
}

/// One life of the process. Dropping it ends the process.
struct Session {
    wire: Arc<Wire>,
    era: Era,
    life: Life,
}

/// Holds a process alive.
struct Life {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Child {
    pub(crate) fn new(
        server: &Server,
        command: Command,
        launcher: Arc<dyn Launcher>,
        clock: Arc<dyn Clock>,
        changes: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: server.name.as_str().into(),
            command,
            launcher,
            clock,
            connect_timeout: server.connect_timeout,
            max_result: server.max_result,
            changes,
            session: ArcSwapOption::empty(),
            past: tokio::sync::Mutex::default(),
            condition: Mutex::default(),
            closed: watch::Sender::new(false),
        })
    }

    fn live(&self) -> Option<Arc<Session>> {
        self.session.load_full().filter(|session| session.wire.is_open())
    }

    /// The running session, started where there is none. The start runs on its own: a caller who
    /// goes away does not undo it for the next.
    async fn session(self: &Arc<Self>) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.live() {
            return Ok(session);
        }
        let child = self.clone();
        let start = tokio::spawn(async move {
            let mut past = child.past.lock().await;
            match child.live() {
                Some(session) => Ok(session),
                None => child.restart(&mut past).await,
            }
        });
        start.await.unwrap_or(Err(Failure::Gone))
    }

    async fn restart(&self, past: &mut Past) -> Result<Arc<Session>, Failure> {
        self.mourn(past);
        self.rest(past).await?;
        let mut closed = self.closed.subscribe();
        past.starts += 1;
        let started = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(Failure::Closed),
            started = self.start(past) => started,
        };
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        condition.restarts = past.starts - 1;
        match started {
            Ok(session) => {
                past.began = Some(self.clock.instant());
                (condition.state, condition.era) = (State::Up, Some(session.era));
                let session = Arc::new(session);
                self.session.store(Some(session.clone()));
                if past.starts > 1 {
                    // It may be another version by now.
                    self.changes.fetch_add(1, Ordering::Relaxed);
                }
                Ok(session)
            }
            Err(failure) => {
                self.note(past);
                tracing::warn!(server = %self.name, error = %failure, "server did not start");
                condition.state = State::Down;
                condition.last_failure = Some(failure.to_string());
                Err(failure)
            }
        }
    }

    /// Counts the last session's end as a failure, and one that came early as a further one.
    fn mourn(&self, past: &mut Past) {
        self.session.store(None);
        let Some(began) = past.began.take() else { return };
        if self.clock.instant().saturating_duration_since(began) >= HEALTHY {
            past.failures = 0;
        }
        self.note(past);
        tracing::warn!(server = %self.name, "server's process ended");
    }

    fn note(&self, past: &mut Past) {
        let rest = FIRST_REST.saturating_mul(1 << past.failures.min(10)).min(LONGEST_REST);
        past.failures = past.failures.saturating_add(1);
        past.rest_until = self.clock.instant().checked_add(rest);
    }

    async fn rest(&self, past: &Past) -> Result<(), Failure> {
        let Some(until) = past.rest_until else { return Ok(()) };
        let left = until.saturating_duration_since(self.clock.instant());
        if left > SHORT_REST {
            return Err(Failure::Resting(left));
        }
        tokio::time::sleep(left).await;
        Ok(())
    }

    async fn start(&self, past: &mut Past) -> Result<Session, Failure> {
        let start = async {
            if !past.legacy_only {
                let (wire, life) = self.launch().await?;
                match handshake::shake(&wire).await {
                    // Some old servers end on a request before `initialize`.
                    Err(Failure::Gone) => {}
                    era => return Ok(Session { era: era?, wire, life }),
                }
            }
            let (wire, life) = self.launch().await?;
            let era = handshake::initialize(&wire).await?;
            past.legacy_only = true;
            Ok(Session { wire, era, life })
        };
        tokio::time::timeout(self.connect_timeout, start).await.unwrap_or(Err(Failure::Slow))
    }

    async fn launch(&self) -> Result<(Arc<Wire>, Life), Failure> {
        let launched = self.launcher.launch(&self.name, &self.command).await?;
        let (wire, outbox) = Wire::new(self.name.clone(), self.max_result, self.changes.clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(live(self.name.clone(), launched, wire.clone(), outbox, stopped));
        let (stop, task) = (Mutex::new(Some(stop)), Mutex::new(Some(task)));
        Ok((wire, Life { stop, task }))
    }
}

/// One process's life: messages both ways until it ends or is told to.
async fn live(
    server: Arc<str>,
    launched: Launched,
    wire: Arc<Wire>,
    outbox: mpsc::Receiver<String>,
    stopped: oneshot::Receiver<()>,
) {
    let Launched { stdin, stdout, stderr, mut process } = launched;
    let chatter = stderr.map(|stderr| tokio::spawn(drain(server.clone(), stderr)));
    {
        let mut read = std::pin::pin!(wire.read(BufReader::with_capacity(READ, stdout)));
        let write = wire::write(outbox, stdin);
        tokio::select! {
            () = &mut read => {}
            _ = write => {}
            // Dropped or told: the same.
            _ = stopped => {}
            ended = process.wait() => {
                tracing::debug!(%server, ?ended, "process ended");
                // Its last words may still be in the pipe; its own children may hold it open.
                tokio::time::timeout(Duration::from_secs(1), read).await.ok();
            }
        }
    }
    // The streams are closed by now: a well-behaved server ends.
    wire.close();
    end(process.as_mut()).await;
    if let Some(chatter) = chatter {
        chatter.abort();
    }
}

async fn end(process: &mut dyn Process) {
    if tokio::time::timeout(GRACE, process.wait()).await.is_err() {
        process.kill().await;
    }
}

/// Reads what a process prints beside its messages, so that it never blocks on it. It may hold
/// anything, so it is logged at debug only, and only so much.
async fn drain(server: Arc<str>, mut stderr: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 4096];
    let mut left = MOST_CHATTER;
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let logged = read.min(left);
        left -= logged;
        if logged > 0 {
            let text = String::from_utf8_lossy(&buffer[..logged]);
            tracing::debug!(%server, text = text.trim_end(), "server's standard error");
        }
    }
}

impl Link for Arc<Child> {
    fn ask<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            if *self.closed.borrow() {
                return Err(Failure::Closed);
            }
            let session = self.session().await?;
            let era = session.era;
            let outcome = session.wire.request(ask.method, &ask.params(era)).await;
            if matches!(outcome, Err(Failure::Gone)) {
                let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
                condition.state = State::Down;
                condition.last_failure = Some(Failure::Gone.to_string());
            }
            Ok(Answer { result: outcome?, era })
        })
    }

    fn hello<'a>(&'a self, _whose: &'a Whose) -> BoxFuture<'a, Result<Arc<Hello>, Failure>> {
        Box::pin(async { Err(Failure::Nonsense("has not introduced itself")) })
    }

    fn rumours(&self, _whose: &Whose) -> tokio::sync::broadcast::Receiver<Rumour> {
        tokio::sync::broadcast::channel(1).1
    }

    fn follow<'a>(
        &'a self,
        _whose: &'a Whose,
        _uri: &'a str,
        _on: bool,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Err(Failure::Nonsense("cannot be followed")) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closed.send_replace(true);
            // A start under way sees the flag or is ended here once it is through.
            let _past = self.past.lock().await;
            let Some(session) = self.session.swap(None) else { return };
            let take = |task: &Mutex<Option<JoinHandle<()>>>| {
                task.lock().unwrap_or_else(PoisonError::into_inner).take()
            };
            session.life.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = take(&session.life.task) {
                task.await.ok();
            }
        })
    }

    fn condition(&self) -> Condition {
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if condition.state == State::Up && self.live().is_none() {
            condition.state = State::Down;
        }
        condition
    }
}
