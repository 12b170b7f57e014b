//! The sink before the log: room first, then the event, then whole batches on one thread.

mod queue;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use doorward_core::{BoxFuture, Clock, Sink, SinkError, Slot};

use crate::note::is_key_name;
use crate::proof::ProofError;
use crate::verify::agree;
use crate::{Chain, Fault, Log, LogError, Signer, Verifier};
use queue::{Need, Shared};

pub(crate) use writer::explain;

/// What becomes of calls while the log takes no records: the disk is full, the database is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// They get room while there is some; then they are refused. Their records wait in memory.
    Admit,
    /// They are refused.
    Refuse,
}

/// How a recorder works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whose log it is; stands in every checkpoint, and names its key. One word. Of several
    /// writers, each has a log and an origin of its own: `doorward/replica-1`.
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
    /// Calls whose record must be durable before they run, in an outage. Where they are admitted
    /// they wait for their receipts, and so for the log.
    pub awaited: Outage,
    /// Calls whose record need only be queued, in an outage. What is queued is lost with the
    /// process.
    pub queued: Outage,
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
            awaited: Outage::Refuse,
            queued: Outage::Admit,
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
    /// The log's tree cannot be computed.
    #[error("the audit log's tree cannot be computed")]
    Tree(#[source] ProofError),
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
/// [`Options::linger`]. When a write fails, nothing is dropped or moved: until a retry succeeds,
/// [`open`](Sink::open) refuses, and [`open_queued`](Sink::open_queued) gives what room there is.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use doorward_audit::{Memory, Options, Recorder, SigningKey};
/// use doorward_core::{Sink, SystemClock, SystemEntropy};
/// # use doorward_core::{Change, Decision, Event, EventId, Kind, Outcome, PrincipalKind, RequestId};
/// # use doorward_core::{Timestamp, TurnId, Who};
/// # let event = Event {
/// #     id: EventId::from_bytes([1; 16]), at: Timestamp::from_micros(0),
/// #     kind: Kind::Admin {
/// #         action: "key.create".into(), object: "ci".into(), change: Change::default(),
/// #     },
/// #     turn: TurnId::from_bytes([1; 16]), request: RequestId::from_bytes([1; 16]),
/// #     conversation: None,
/// #     who: Who {
/// #         id: "alice@example.com".into(), kind: PrincipalKind::Person, team: None, key: None,
/// #         key_name: None, actors: vec![], issuer: None, subject: None,
/// #     },
/// #     agent: None, decision: Decision::allow("key.tools", "on the key's list"),
/// #     checks: vec![], label: None,
/// #     outcome: Outcome::Completed, error: None, took_us: None, would: None, content: vec![],
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
    /// Where the log cannot be read, or does not end as its checkpoint, signed with this key for
    /// this origin, says: a cut or forged tail would be signed over otherwise. A log of version 1
    /// is verified from its start, since it is signed in another form from now on.
    pub fn start(
        log: impl Log + 'static,
        key: impl Signer + 'static,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StartError> {
        let mut log: Box<dyn Log> = Box::new(log);
        check(&options)?;
        let chain = take_up(&mut *log, &key, &options.origin)?;
        let shared = Arc::new(Shared::new(&options));
        let key: Box<dyn Signer> = Box::new(key);
        let writer = writer::Writer::new(log, key, clock, options, chain, Arc::clone(&shared));
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

/// The chain to go on with, once the log is known to end as it was signed.
fn take_up(log: &mut dyn Log, key: &dyn Signer, origin: &str) -> Result<Chain, StartError> {
    let verifier = Verifier::new(key.verifying_key()).origin(origin);
    let checkpoint = log.checkpoint()?;
    let mut linked = None;
    if let Some(checkpoint) = &checkpoint {
        verifier.checkpoint(checkpoint).map_err(StartError::Tail)?;
    } else {
        linked = log.linked()?;
        if linked.is_some() {
            verifier.log(log).map_err(StartError::Tail)?;
        }
    }
    let chain = Chain::resume(log).map_err(|error| match error {
        ProofError::Log(error) => StartError::Log(error),
        ProofError::NoRecord { seq } | ProofError::Pruned { seq } => {
            StartError::Tail(Fault::Missing { seq })
        }
        other => StartError::Tree(other),
    })?;
    agree(chain.head(), chain.tree_head(), checkpoint.as_ref(), linked.as_ref())
        .map_err(StartError::Tail)?;
    Ok(chain)
}

fn check(options: &Options) -> Result<(), StartError> {
    let wrong = |option, wrong| Err(StartError::Option { option, wrong });
    if !is_key_name(&options.origin) {
        return wrong("origin", "must be one word, without spaces and plus signs");
    }
    if options.capacity == 0 || options.capacity > tokio::sync::Semaphore::MAX_PERMITS {
        return wrong("capacity", "must be at least 1 and can be counted");
    }
    if options.batch == 0 {
        return wrong("batch", "must be at least 1");
    }
    Ok(())
}

impl Recorder {
    fn room(&self, need: Need) -> BoxFuture<'_, Result<Box<dyn Slot>, SinkError>> {
        if let Some(slot) = self.shared.open_now(need) {
            return Box::pin(std::future::ready(slot));
        }
        Box::pin(self.shared.open_later(need))
    }
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
        self.room(Need::Durable)
    }

    fn open_queued(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, SinkError>> {
        self.room(Need::Queued)
    }
}
