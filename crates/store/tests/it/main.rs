//! SQLite behind the traits: conformance, tampering with the file, a killed writer.

mod figures;
mod file;
mod killed;
