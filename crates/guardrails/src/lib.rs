//! Labels, tool contracts, the tool engine and grants: deterministic guards for agents.
mod broker;
mod contract;
mod decide;
mod digest;
mod engine;
mod fingerprint;
mod fold;
mod history;
mod json;
mod literal;
mod memory;
mod pointer;
mod provenance;
mod result;
mod scope;
mod turn_store;
mod watch;
mod words;

pub use contract::{
    Contract, ContractError, ContractSpec, Contracts, EffectKind, FieldSpec, Finding, FindingKind,
    Mode, Requires, ResultSpec, Ungranted,
};
pub use digest::canonical_digest;
pub use engine::{Lifetimes, ToolEngine, ToolEngineBuilder, UserRole};
pub use memory::Memory;
pub use provenance::Provenance;
pub use turn_store::{
    Claim, Denial, FiledLeaf, FiledText, Filing, Grant, Mark, Standing, StoreError, Stored,
    TurnStore,
};
