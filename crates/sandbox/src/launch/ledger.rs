//! Which layers hold, kept while they are put up.

use serde::{Deserialize, Serialize};

use crate::control::{Held, Refusal};

/// The layers put up so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Layers {
    held: Vec<Held>,
    weaken: bool,
}

impl Layers {
    pub(super) fn new(weaken: bool) -> Self {
        Self { held: Vec::new(), weaken }
    }

    /// Notes a layer that must hold; refuses where it does not, unless weakening is allowed.
    /// Gives whether it holds.
    pub(super) fn require(
        &mut self,
        name: &str,
        outcome: Result<String, String>,
    ) -> Result<bool, Refusal> {
        match outcome {
            Err(reason) if !self.weaken => Err(Refusal::Layer { layer: name.to_owned(), reason }),
            outcome => {
                self.note(name, outcome);
                Ok(self.held.last().is_some_and(|held| held.holds))
            }
        }
    }

    /// Notes a layer that is welcome but not needed.
    pub(super) fn note(&mut self, name: &str, outcome: Result<String, String>) {
        let holds = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|reason| reason);
        self.held.push(Held { name: name.to_owned(), holds, detail });
    }

    /// All layers in their usual order.
    pub(super) fn into_held(mut self) -> Vec<Held> {
        let place = |held: &Held| super::LAYERS.iter().position(|name| *name == held.name);
        self.held.sort_by_key(place);
        self.held
    }
}
