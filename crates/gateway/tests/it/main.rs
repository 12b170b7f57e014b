//! The whole gateway with only its sockets faked: real router, broker, guard, keys, limits and
//! recorder behind a real edge, driven by HTTP over streams in memory.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail loudly, as tests do")]

mod beside;
mod checks;
mod client;
mod connect;
mod edges;
mod faults;
mod planes;
mod policies;
mod records;
mod secrets;
mod stack;
mod time;
mod tracker;
mod upstream;
