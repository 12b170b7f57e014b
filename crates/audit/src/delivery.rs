//! Records on their way out: to a file, a collector, a service; each at least once.

mod file;
mod http;
mod syslog;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::export::ExportError;
use crate::{Log, LogError, Sealed};

pub use file::FileDestination;
pub use http::{HttpDestination, Post, PostAnswer, PostError};
pub use syslog::{Syslog, SyslogTransport};

/// Records were not delivered. They are tried again.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The log could not be read, or the cursor not stored.
    #[error("the log could not be read")]
    Log(#[from] LogError),
    /// A record has no such form.
    #[error("a record could not be put into its form")]
    Format(#[from] ExportError),
    /// The destination failed.
    #[error("the destination could not be reached")]
    Io(#[from] std::io::Error),
    /// The destination failed.
    #[error("the destination could not be reached")]
    Post(#[from] PostError),
    /// The destination refused.
    #[error("the destination answered {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
}

/// Where records go. May block.
pub trait Destination: Send {
    /// Hands over records, in order. Where this fails, all of them come again: whoever receives
    /// them knows a record by its number.
    ///
    /// # Errors
    ///
    /// Where not all of them are known to have arrived.
    fn deliver(&mut self, records: &[Sealed]) -> Result<(), DeliveryError>;
}

/// A log that remembers how far each reader has come.
pub trait Outbox: Log {
    /// How far this reader has come: the number of its last record; 0 at first.
    fn cursor(&mut self, reader: &str) -> Result<u64, LogError>;

    /// Puts down durably how far it has come.
    fn advance(&mut self, reader: &str, to: u64) -> Result<(), LogError>;

    /// How far every reader has come, by name. Pruning leaves what one of them has yet to read.
    fn cursors(&mut self) -> Result<Vec<(String, u64)>, LogError>;
}

/// How a delivery works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// The reader's name: its cursor goes by it.
    pub reader: String,
    /// How many records are handed over at a time at most.
    pub batch: usize,
    /// How long to wait for more where there are none.
    pub poll: Duration,
    /// How long to wait after a first failure; doubles with each further one.
    pub retry_first: Duration,
    /// The longest wait between two tries.
    pub retry_most: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            reader: "default".into(),
            batch: 512,
            poll: Duration::from_secs(1),
            retry_first: Duration::from_millis(200),
            retry_most: Duration::from_mins(1),
        }
    }
}

/// Hands over the next records, if there are any, and then moves the cursor. Returns how many.
/// A crash in between delivers them again.
///
/// # Errors
///
/// Where they did not arrive; the cursor stays.
pub fn deliver(
    outbox: &mut dyn Outbox,
    destination: &mut dyn Destination,
    reader: &str,
    batch: usize,
) -> Result<usize, DeliveryError> {
    let at = outbox.cursor(reader)?;
    let page = outbox.read(at.saturating_add(1), batch.max(1))?;
    let Some(last) = page.last() else { return Ok(0) };
    destination.deliver(&page)?;
    outbox.advance(reader, last.seq)?;
    Ok(page.len())
}

/// What a delivery has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryStats {
    /// Records handed over, repeats counted once more.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Why the last try failed; `None` where it did not.
    pub trouble: Option<String>,
}

/// Delivers in the background until it is stopped.
pub struct Delivery {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    stats: DeliveryStats,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; `false` where it shall end.
    fn wait(&self, pause: Duration) -> bool {
        let going = |state: &mut State| !state.stopping;
        let waited = self.wake.wait_timeout_while(self.lock(), pause, going);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

impl Delivery {
    /// Starts delivering where the reader's cursor stands.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn start(
        mut outbox: impl Outbox + 'static,
        mut destination: impl Destination + 'static,
        options: DeliveryOptions,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("doorward-out".into())
            .spawn(move || run(&mut outbox, &mut destination, &options, &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What it has done so far.
    pub fn stats(&self) -> DeliveryStats {
        self.shared.lock().stats.clone()
    }

    /// Ends after the batch that is on its way. What is left is delivered after the next start.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in a destination ended it before.
            let _ = thread.join();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn run(
    outbox: &mut dyn Outbox,
    destination: &mut dyn Destination,
    options: &DeliveryOptions,
    shared: &Shared,
) {
    let mut pause = options.retry_first;
    loop {
        let wait = match deliver(outbox, destination, &options.reader, options.batch) {
            Ok(count) => {
                let mut state = shared.lock();
                state.stats.delivered += count as u64;
                if state.stats.trouble.take().is_some() {
                    tracing::info!(reader = %options.reader, "records are delivered again");
                }
                pause = options.retry_first;
                if count == 0 { options.poll } else { Duration::ZERO }
            }
            Err(error) => {
                let why = crate::recorder::explain(&error);
                let mut state = shared.lock();
                state.stats.failures += 1;
                if state.stats.trouble.replace(why.clone()).is_none() {
                    tracing::warn!(reader = %options.reader, error = %why, "records wait");
                }
                let wait = pause;
                pause = pause.saturating_mul(2).min(options.retry_most);
                wait
            }
        };
        if !shared.wait(wait) {
            return;
        }
    }
}
