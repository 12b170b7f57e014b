//! A tamper-evident record of every call: hash chain, signed checkpoints, verification.
