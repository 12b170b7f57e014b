//! How many of a catalogue's tools somebody has described.

use std::fmt;

use crate::contract::{Contracts, EffectKind, Origin};

/// Where the contract of one tool comes from, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// The tool.
    pub tool: String,
    /// Who described it.
    pub origin: Origin,
    /// What it is taken to do.
    pub effect: EffectKind,
}

/// The tools of a catalogue, each with where its contract comes from.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// The tools, in the catalogue's order.
    pub tools: Vec<Covered>,
}

impl Coverage {
    /// Of these tools, under these contracts.
    pub fn of<'a>(contracts: &Contracts, tools: impl IntoIterator<Item = &'a str>) -> Self {
        let covered = |tool: &str| Covered {
            tool: tool.to_owned(),
            origin: contracts.origin(tool),
            effect: contracts.of(tool).effect(),
        };
        Self { tools: tools.into_iter().map(covered).collect() }
    }

    /// How many have a contract of this origin.
    pub fn count(&self, origin: Origin) -> usize {
        self.tools.iter().filter(|tool| tool.origin == origin).count()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} tools: {} declared, {} by pack, {} by annotation, {} by default",
            self.tools.len(),
            self.count(Origin::Declared),
            self.count(Origin::Pack),
            self.count(Origin::Annotation),
            self.count(Origin::Default),
        )
    }
}
