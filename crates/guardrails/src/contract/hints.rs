//! What servers say of their own tools.

use serde_json::Value;

/// What a server says of a tool of its own (MCP 2025-11-25, `ToolAnnotations`). It may be a lie,
/// so it is believed only where that makes things stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// `readOnlyHint`.
    pub read_only: Option<bool>,
    /// `destructiveHint`.
    pub destructive: Option<bool>,
    /// `openWorldHint`.
    pub open_world: Option<bool>,
}

impl Hints {
    /// The hints in a tool's definition.
    pub fn of(definition: &Value) -> Self {
        let hint = |name: &str| definition.get("annotations")?.get(name)?.as_bool();
        Self {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            open_world: hint("openWorldHint"),
        }
    }

    /// Whether anything in them makes a tool's contract stricter.
    pub fn is_stricter(self) -> bool {
        let reads = self.read_only == Some(true);
        self.destructive == Some(true) && !reads || self.open_world == Some(true) && reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContractSpec, Contracts, EffectKind, Origin};

    #[test]
    fn hints_only_ever_tighten() {
        let hints =
            |read_only, destructive, open_world| Hints { read_only, destructive, open_world };
        let mut contracts =
            Contracts::compile(vec![ContractSpec::new("s__own", EffectKind::Read)]).unwrap();
        contracts.hint([
            ("s__own", hints(None, Some(true), None)),
            ("s__drop", hints(Some(false), Some(true), None)),
            ("s__look", hints(Some(true), Some(false), Some(false))),
        ]);
        for (tool, effect, origin) in [
            ("s__own", EffectKind::Read, Origin::Declared),
            ("s__drop", EffectKind::Destroy, Origin::Annotation),
            ("s__look", EffectKind::Egress, Origin::Default),
        ] {
            assert_eq!(
                (contracts.of(tool).effect(), contracts.origin(tool)),
                (effect, origin),
                "{tool}"
            );
        }
    }
}
