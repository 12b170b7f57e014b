//! Runs a child process that it does not trust.
