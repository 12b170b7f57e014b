//! The contracts of a gateway, found by tool.

use std::collections::HashMap;

use doorward_core::{CALL_TOOL, Fetch, Pattern, SEARCH_TOOLS};
use serde_json::value::RawValue;

use super::{Contract, ContractError, ContractSpec, Finding, Hints, compile, schema};
#[cfg(feature = "packs")]
use super::{PackError, pack};

/// The compiled contracts of a gateway.
///
/// ```
/// use doorward_guardrails::{ContractSpec, Contracts, EffectKind};
/// let contracts = Contracts::compile(vec![ContractSpec::new("tracker__*", EffectKind::Read)])?;
/// assert_eq!(contracts.of("tracker__get_issue").effect(), EffectKind::Read);
/// // A tool that nobody wrote a contract for is a way out, and all of its arguments matter.
/// assert_eq!(contracts.of("shell__run").effect(), EffectKind::Egress);
/// # Ok::<(), doorward_guardrails::ContractError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Contracts {
    exact: HashMap<Box<str>, Contract>,
    /// The most specific first.
    globs: Vec<(Pattern, Contract)>,
    /// Of shipped packs: only where the operator wrote none.
    packed: HashMap<Box<str>, Contract>,
    /// Of what nobody described but its server, only ever stricter than the default.
    hinted: HashMap<Box<str>, Contract>,
    unlisted: Contract,
    /// Of resources, prompts and the like, which are asked for and do nothing.
    fetched: Contract,
    /// Of the gateway's own tools for large catalogues: one tells definitions, the other is judged
    /// as the tool that it names.
    own: Contract,
}

/// Where the contract of a tool comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator's own words.
    Declared,
    /// A shipped pack.
    Pack,
    /// What its server says of it, taken in where stricter than the default.
    Annotation,
    /// The default of unlisted tools.
    Default,
}

impl Origin {
    /// The word used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Pack => "pack",
            Self::Annotation => "annotation",
            Self::Default => "default",
        }
    }
}

impl Default for Contracts {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            globs: Vec::new(),
            packed: HashMap::new(),
            hinted: HashMap::new(),
            unlisted: Contract::unlisted(),
            fetched: Contract::of_fetches(),
            own: Contract::of_denials(),
        }
    }
}

impl Contracts {
    /// Compiles and checks.
    ///
    /// # Errors
    ///
    /// The first contract that contradicts itself or another one.
    pub fn compile(specs: Vec<ContractSpec>) -> Result<Self, ContractError> {
        let mut contracts = Self::default();
        for (pattern, contract) in compile::compile(specs)? {
            if pattern.is_exact() {
                contracts.exact.insert(pattern.as_str().into(), contract);
            } else {
                contracts.globs.push((pattern, contract));
            }
        }
        contracts
            .globs
            .sort_by_key(|(pattern, _)| std::cmp::Reverse(compile::specificity(pattern)));
        Ok(contracts)
    }

    /// Adds the contracts of shipped packs, each for a server: `github` for a server of that name,
    /// `github:gh` for one that is called `gh`. The packs of clients (`claude-code`, `codex`) are for
    /// tools that have no server. What the operator wrote holds before them.
    ///
    /// ```
    /// use doorward_guardrails::{Contracts, EffectKind, Origin};
    /// let contracts = Contracts::default().with_packs(["github", "filesystem:files"])?;
    /// assert_eq!(contracts.of("github__merge_pull_request").effect(), EffectKind::Commit);
    /// assert_eq!(contracts.origin("files__read_file"), Origin::Pack);
    /// assert!(Contracts::default().with_packs(["gitthub"]).is_err());
    /// # Ok::<(), doorward_guardrails::PackError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A pack that is not shipped.
    #[cfg(feature = "packs")]
    pub fn with_packs<'a>(
        mut self,
        packs: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PackError> {
        for named in packs {
            let (name, server) = named.split_once(':').unwrap_or((named, named));
            for (tool, contract) in pack::compiled(name, server)? {
                self.packed.insert(tool.into(), contract);
            }
        }
        Ok(self)
    }

    /// Takes in what servers say of their tools (MCP `annotations`), only where that is stricter:
    /// of a tool that the operator described it changes nothing.
    pub fn hint<'a>(&mut self, hints: impl IntoIterator<Item = (&'a str, Hints)>) {
        for (tool, hints) in hints {
            let (before, origin) = self.found(tool);
            if origin == Origin::Declared {
                continue;
            }
            let tightened = before.tightened_by(hints);
            if tightened.effect() != before.effect() || hints.is_stricter() {
                let packed = origin == Origin::Pack;
                let into = if packed { &mut self.packed } else { &mut self.hinted };
                into.insert(tool.into(), tightened);
            }
        }
    }

    /// Where the contract of a tool comes from.
    pub fn origin(&self, tool: &str) -> Origin {
        self.found(tool).1
    }

    /// The contract of a tool: the exact one, else the glob with the longest text before its
    /// first `*`, else that of a pack, else what its server's annotations make of the
    /// default, else the default of unlisted tools. Resources, prompts and the like go by names
    /// of their own (`server__resources.read`); unlisted, they read what is untrusted.
    pub fn of(&self, tool: &str) -> &Contract {
        self.found(tool).0
    }

    fn found(&self, tool: &str) -> (&Contract, Origin) {
        if let Some(contract) = self.exact.get(tool) {
            return (contract, Origin::Declared);
        }
        if let Some((_, contract)) = self.globs.iter().find(|(pattern, _)| pattern.matches(tool)) {
            return (contract, Origin::Declared);
        }
        if let Some(contract) = self.packed.get(tool) {
            return (contract, Origin::Pack);
        }
        if let Some(contract) = self.hinted.get(tool) {
            return (contract, Origin::Annotation);
        }
        let contract = match tool {
            SEARCH_TOOLS | CALL_TOOL => &self.own,
            _ if Fetch::of_tool_name(tool).is_some() => &self.fetched,
            _ => &self.unlisted,
        };
        (contract, Origin::Default)
    }

    /// Compares a tool's contract with the JSON Schema of its arguments: pointers that name
    /// nothing, and arguments that no pointer names. Empty for a tool without contract.
    pub fn check_against(&self, tool: &str, input_schema: &RawValue) -> Vec<Finding> {
        let contract = self.of(tool);
        if !contract.is_declared() {
            return Vec::new();
        }
        schema::check(tool, contract, input_schema)
    }
}
