//! The revisions of the protocol that clients speak.

use crate::protocol::{DATED, MODERN};

/// A revision, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Revision {
    Nov2024,
    Mar2025,
    Jun2025,
    Nov2025,
    Modern,
}

impl Revision {
    /// What is meant where nothing is said (2025-06-18 transports, "Protocol Version Header").
    pub(super) const UNSAID: Self = Self::Mar2025;

    /// The revision with a handshake of this name.
    pub(super) fn dated(name: &str) -> Option<Self> {
        let all = [Self::Nov2025, Self::Jun2025, Self::Mar2025, Self::Nov2024];
        all.into_iter().find(|revision| revision.name() == name)
    }

    /// What a handshake that asks for this revision agrees on: it, or the newest dated.
    pub(super) fn agreed(asked: &str) -> Self {
        Self::dated(asked).unwrap_or(Self::Nov2025)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nov2024 => DATED[3],
            Self::Mar2025 => DATED[2],
            Self::Jun2025 => DATED[1],
            Self::Nov2025 => DATED[0],
            Self::Modern => MODERN,
        }
    }

    pub(super) fn is_modern(self) -> bool {
        self == Self::Modern
    }
}
