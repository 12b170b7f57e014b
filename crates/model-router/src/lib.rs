//! Picks a target for a model call, retries, fails over and sends it.
