//! A server that runs as a child process: started when first needed, started again when it dies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_core::{BoxFuture, Clock};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ear::Ear;
use super::pool::{Connection, Dial, Pool};
use super::turns::Manners;
use super::wire::{self, Hold, Wire, Wired};
use super::{Failure, Whose, handshake};
use crate::Server;
use crate::launch::{Command, Launched, Launcher, Process};

/// How long a process may take to end by itself once its input is closed.
const GRACE: Duration = Duration::from_secs(2);
/// How much is read from a process at once.
const READ: usize = 64 << 10;
/// How much of a process's chatter is logged.
const MOST_CHATTER: usize = 64 << 10;

/// Child processes as a server.
pub(crate) struct Child {
    name: Arc<str>,
    command: Command,
    launcher: Arc<dyn Launcher>,
    clock: Arc<dyn Clock>,
    max_result: usize,
    manners: Arc<Manners>,
    /// It did not survive being asked for its era the new way.
    legacy_only: AtomicBool,
}

/// Holds a process alive. Dropping it ends the process.
struct Life {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Child {
    /// The processes of one server.
    #[expect(clippy::new_ret_no_self, reason = "only the pool is of use")]
    pub(crate) fn new(
        server: &Server,
        command: Command,
        launcher: Arc<dyn Launcher>,
        clock: Arc<dyn Clock>,
        changes: Arc<AtomicU64>,
    ) -> Arc<Pool> {
        let child = Self {
            name: server.name.as_str().into(),
            command,
            launcher,
            clock,
            max_result: server.max_result,
            manners: Arc::default(),
            legacy_only: AtomicBool::new(false),
        };
        Arc::new(Pool::new(server, Box::new(child), changes))
    }

    async fn start(&self, ear: Arc<Ear>) -> Result<Wired, Failure> {
        if !self.legacy_only.load(Ordering::Relaxed) {
            let (wire, life) = self.launch(ear.clone()).await?;
            match handshake::shake(&wire).await {
                // Some old servers end on a request before `initialize`.
                Err(Failure::Gone) => {}
                hello => return Ok(Wired::new(wire, hello?, Box::new(life))),
            }
        }
        let (wire, life) = self.launch(ear).await?;
        // Should it not survive that either, both are tried the next time.
        self.legacy_only.store(false, Ordering::Relaxed);
        let hello = handshake::initialize(&wire).await?;
        self.legacy_only.store(true, Ordering::Relaxed);
        Ok(Wired::new(wire, hello, Box::new(life)))
    }

    async fn launch(&self, ear: Arc<Ear>) -> Result<(Arc<Wire>, Life), Failure> {
        let launched = self.launcher.launch(&self.name, &self.command).await?;
        let (wire, outbox) =
            Wire::new(self.name.clone(), self.max_result, ear, self.manners.clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(live(self.name.clone(), launched, wire.clone(), outbox, stopped));
        let (stop, task) = (Mutex::new(Some(stop)), Mutex::new(Some(task)));
        Ok((wire, Life { stop, task }))
    }
}

impl Dial for Child {
    fn rests(&self) -> Option<&dyn Clock> {
        Some(&*self.clock)
    }

    fn dial<'a>(
        &'a self,
        _whose: &'a Whose,
        ear: Arc<Ear>,
    ) -> BoxFuture<'a, Result<Box<dyn Connection>, Failure>> {
        Box::pin(async move {
            let wired: Box<dyn Connection> = Box::new(self.start(ear).await?);
            Ok(wired)
        })
    }
}

impl Hold for Life {
    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                task.await.ok();
            }
        })
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
