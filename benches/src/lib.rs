//! Criterion benches of what Doorward adds to a call.
