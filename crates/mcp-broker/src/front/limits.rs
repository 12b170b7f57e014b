//! How much a front keeps, and for how long.

use std::time::Duration;

/// Limits of a [`Front`](super::Front). Beyond them the newest is refused or goes without, but
/// where it says otherwise.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a session's handle is valid.
    pub session_for: Duration,
    /// After how long without a request the state beside a handle is forgotten.
    pub idle_after: Duration,
    /// The most sessions with a state. The one idle for longest makes room.
    pub sessions: usize,
    /// The most bytes of the capabilities that a client may declare in its handshake.
    pub capabilities: usize,
    /// How long a call waits for a client that is away with a question, and how long a request
    /// state is valid.
    pub parked_for: Duration,
    /// The most such calls, in all.
    pub parked: usize,
    /// The most such calls of one principal.
    pub parked_each: usize,
    /// The most streams of news open at once, in all.
    pub listens: usize,
    /// The most streams of news of one principal.
    pub listens_each: usize,
    /// The most resources or tasks that a session or a stream of news can name.
    pub subscriptions: usize,
    /// The most requests running at once in one session.
    pub running: usize,
    /// The most streams kept for clients that may come back, in all.
    pub streams: usize,
    /// The most such streams of one session.
    pub streams_each: usize,
    /// The bytes kept of such a stream. The oldest go first, the answer never.
    pub stream_bytes: usize,
    /// How long such a stream, and what runs for it, waits for its client.
    pub linger: Duration,
}

impl Default for Limits {
    /// A day a session, its state idle for 10 minutes; 10,000 sessions with state; 4 KiB of
    /// capabilities; 1,024 parked calls, 16 a principal, for 10 minutes; 10,000 streams of news,
    /// 64 a principal; 256 subscriptions; 256 requests at once; 4,096 streams to come back to, 32
    /// a session, 1 MiB each, for 2 minutes.
    fn default() -> Self {
        Self {
            session_for: Duration::from_hours(24),
            idle_after: Duration::from_mins(10),
            sessions: 10_000,
            capabilities: 4096,
            parked_for: Duration::from_mins(10),
            parked: 1024,
            parked_each: 16,
            listens: 10_000,
            listens_each: 64,
            subscriptions: 256,
            running: 256,
            streams: 4096,
            streams_each: 32,
            stream_bytes: 1 << 20,
            linger: Duration::from_mins(2),
        }
    }
}
