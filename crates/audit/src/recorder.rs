//! The sink before the log: room first, then the event, then whole batches on one thread.

mod queue;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use doorward_core::{BoxFuture, Clock, Sink, SinkError, Slot};

use crate::verify::agree;
use crate::{Fault, Log, LogError, SigningKey};
use queue::Shared;

/// How a recorder works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whose log it is; stands in every checkpoint. Without line breaks.
    pub origin: String,
    /// How many records may be on their way to the log. When that many are, calls wait.
    pub capacity: usize,
    /// How many records go into one transaction at most.
    pub batch: usize,
    /// How long a record that nobody waits for may lie, so that others join its transaction. A
    /// transaction costs the writer some 0.3 ms of CPU, however many records are in it.
    pub linger: Duration,
    /// How long to wait after a first failed write; doubles with each further one.
    pub retry_first: Duration,
    /// The longest wait between two tries.
    pub retry_most: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origin: "doorward".into(),
            capacity: 8192,
            batch: 1024,
            linger: Duration::from_millis(20),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(5),
        }
    }
}

/// A recorder could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log could not be read.
    #[error("the audit log could not be read")]
    Log(#[from] LogError),
    /// The log does not end as it was signed. Going on would sign over what was done to it.
    #[error("the audit log does not end as it was signed; move it aside to start a new one")]
    Tail(#[source] Fault),
    /// An option makes no sense.
    #[error("audit option `{option}` {wrong}")]
    Option {
        /// Which.
        option: &'static str,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// No thread could be started.
    #[error("the recorder's thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// A recorder ended, but not everything is on record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{unwritten} records were not written and {open} calls had not ended: {reason}")]
pub struct CloseError {
    /// Records that the log did not take.
    pub unwritten: u64,
    /// Calls that had room but had not ended; their records are lost.
    pub open: usize,
    /// Why the log did not take them.
    pub reason: Arc<str>,
}

/// What a recorder has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records on their way to the log.
    pub queued: u64,
    /// Records made durable.
    pub recorded: u64,
    /// Transactions they took.
    pub batches: u64,
    /// Writes that failed and were tried again.
    pub failures: u64,
    /// Rooms given back without a record.
    pub abandoned: u64,
    /// Records that came after the end and are lost.
    pub lost: u64,
    /// Whether the last write failed, so that no calls are admitted.
    pub sick: bool,
}

/// Records events into a [`Log`].
///
/// Handing over an event costs its caller a lock and a push; JSON, hashes, signature and storage
/// are the writer thread's. A record that somebody waits for is written at once, others within
/// [`Options::linger`]. When a write fails, nothing is dropped or moved: no further calls are
/// admitted until a retry succeeds.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use doorward_audit::{Memory, Options, Recorder, SigningKey};
/// use doorward_core::{Sink, SystemClock, SystemEntropy};
/// # use doorward_core::{Decision, Event, EventId, Kind, Outcome, PrincipalKind, RequestId};
/// # use doorward_core::{Timestamp, TurnId, Who};
/// # let event = Event {
/// #     id: EventId::from_bytes([1; 16]), at: Timestamp::from_micros(0),
/// #     kind: Kind::Admin { action: "key.create".into(), object: "ci".into() },
/// #     turn: TurnId::from_bytes([1; 16]), request: RequestId::from_bytes([1; 16]),
/// #     conversation: None,
/// #     who: Who {
/// #         id: "alice@example.com".into(), kind: PrincipalKind::Person, team: None, key: None,
/// #         key_name: None, actors: vec![],
/// #     },
/// #     agent: None, decision: Decision::allow("key.tools", "on the key's list"), label: None,
/// #     outcome: Outcome::Completed, error: None, took_us: None,
/// # };
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let key = SigningKey::generate(&SystemEntropy);
/// let recorder =
///     Recorder::start(Memory::default(), key, Arc::new(SystemClock), Options::default())?;
///
/// let slot = recorder.open().await?; // before the call runs
/// let receipt = slot.commit(event); // when it ended
/// receipt.await?; // only where durability must be known
/// assert_eq!(recorder.stats().recorded, 1);
///
/// recorder.close(Duration::from_secs(1))?;
/// assert!(recorder.open().await.is_err(), "no call runs without a record");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    /// Goes on where the log ends.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read, or does not end as its checkpoint, signed with this key,
    /// says: a cut or forged tail would be signed over otherwise.
    pub fn start(
        log: impl Log + 'static,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StartError> {
        let mut log: Box<dyn Log> = Box::new(log);
        check(&options)?;
        let head = log.last()?;
        let checkpoint = log.checkpoint()?;
        if let Some(checkpoint) = &checkpoint
            && !key.verifying_key().accepts(checkpoint)
        {
            return Err(StartError::Tail(Fault::BadSignature { size: checkpoint.size }));
        }
        agree(head, checkpoint.as_ref()).map_err(StartError::Tail)?;
        let shared = Arc::new(Shared::new(options.capacity, options.batch));
        let writer = writer::Writer::new(log, key, clock, options, head, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("doorward-audit".into())
            .spawn(move || writer.run())
            .map_err(StartError::Thread)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Gives out no more room, waits up to `patience` for calls that have room to end, writes
    /// everything and ends. Blocks; a second call does nothing.
    ///
    /// # Errors
    ///
    /// Where something is not on record.
    pub fn close(&self, patience: Duration) -> Result<(), CloseError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        self.shared.drain();
        self.shared.stop_after(patience);
        // A panic in the log is told by the records it left unwritten.
        let _ = thread.join();
        self.shared.remains()
    }
}

fn check(options: &Options) -> Result<(), StartError> {
    let wrong = |option, wrong| Err(StartError::Option { option, wrong });
    if options.origin.chars().any(char::is_control) {
        return wrong("origin", "must be one line");
    }
    if options.capacity == 0 || options.capacity > tokio::sync::Semaphore::MAX_PERMITS {
        return wrong("capacity", "must be at least 1 and can be counted");
    }
    if options.batch == 0 {
        return wrong("batch", "must be at least 1");
    }
    Ok(())
}

impl Drop for Recorder {
    /// Without [`close`](Self::close), the thread still writes what was handed over.
    fn drop(&mut self) {
        self.shared.drain();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Sink for Recorder {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, SinkError>> {
        if let Some(slot) = self.shared.open_now() {
            return Box::pin(std::future::ready(slot));
        }
        Box::pin(self.shared.open_later())
    }
}
