//! What the targets share: an input's first byte picks the dialect.

use doorward_core::DialectId;
use doorward_wire::{Dialect, dialect};

/// The dialects that are spoken, in the order of [`DialectId::ALL`].
pub fn spoken() -> Vec<&'static dyn Dialect> {
    DialectId::ALL.into_iter().filter_map(dialect).collect()
}

/// The dialect that a byte picks. The byte counts among all known names, so that a corpus stays
/// good when a dialect is added.
pub fn picked(byte: u8) -> Option<&'static dyn Dialect> {
    dialect(DialectId::ALL[usize::from(byte) % DialectId::ALL.len()])
}
