//! The contracts of a gateway, found by tool.

use std::collections::HashMap;

use doorward_core::{CALL_TOOL, Fetch, Pattern, SEARCH_TOOLS};
use serde_json::value::RawValue;

use super::{Contract, ContractError, ContractSpec, Finding, compile, schema};

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
    unlisted: Contract,
    /// Of resources, prompts and the like, which are asked for and do nothing.
    fetched: Contract,
    /// Of the gateway's own tools for large catalogues: one tells definitions, the other is judged
    /// as the tool that it names.
    own: Contract,
}

impl Default for Contracts {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            globs: Vec::new(),
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

    /// The contract of a tool: the exact one, else the glob with the longest text before its
    /// first `*`, else the default of unlisted tools. Resources, prompts and the like go by names
    /// of their own (`server__resources.read`); unlisted, they read what is untrusted.
    pub fn of(&self, tool: &str) -> &Contract {
        if let Some(contract) = self.exact.get(tool) {
            return contract;
        }
        match self.globs.iter().find(|(pattern, _)| pattern.matches(tool)) {
            Some((_, contract)) => contract,
            None if matches!(tool, SEARCH_TOOLS | CALL_TOOL) => &self.own,
            None if Fetch::of_tool_name(tool).is_some() => &self.fetched,
            None => &self.unlisted,
        }
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
