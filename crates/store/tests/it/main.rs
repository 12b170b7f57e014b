//! SQLite behind the traits: conformance, tampering with the file, a killed writer.

#[cfg(test)]
mod figures;
#[cfg(test)]
mod file;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod tree;
