//! Times as Ollama writes them (RFC 3339).

use jiff::Timestamp;

/// Unix seconds of a time, with nanoseconds and any offset.
pub(super) fn read(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// A time in UTC. One that no calendar holds is the beginning of Unix time.
pub(super) fn write(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
