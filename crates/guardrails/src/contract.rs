//! Tool contracts: what a tool does, what its result is worth, and what its arguments need.

mod compile;
mod hints;
mod index;
#[cfg(feature = "packs")]
mod pack;
mod schema;
mod spec;

pub use compile::ContractError;
pub use hints::Hints;
pub use index::{Contracts, Origin};
#[cfg(feature = "packs")]
pub use pack::{PackError, pack, pack_names};
pub use schema::{Finding, FindingKind};
pub use spec::{
    ContractSpec, EffectKind, FieldSpec, Mode, Requires, ResultSpec, SinkKind, SinkSpec, Ungranted,
};

use doorward_core::{Integrity, Label, Readers};

use crate::literal;
use crate::pointer::{Pointer, Step};

/// A compiled contract.
#[derive(Debug, Clone)]
pub struct Contract {
    effect: EffectKind,
    declared: bool,
    result: Integrity,
    readers: Readers,
    fields: Vec<Field>,
    /// `None`: every argument that is not content. `Some([])`: the decision to call.
    control: Option<Vec<Pointer>>,
    sinks: Vec<Sink>,
    content: Vec<Pointer>,
    intent: Option<Vec<Box<str>>>,
    requires: Option<Requires>,
    mode: Mode,
    hide: bool,
    ungranted: Ungranted,
}

/// What one part of a result is worth.
#[derive(Debug, Clone)]
struct Field {
    pointer: Pointer,
    integrity: Integrity,
    /// Only where the value reads as this.
    kind: Option<SinkKind>,
}

/// A controlling argument whose kind of value is known.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    pointer: Pointer,
    pub(crate) kind: SinkKind,
    optional: bool,
    pub(crate) requires: Option<Requires>,
}

impl Contract {
    /// What holds for a tool without a contract: its result is untrusted, its call is egress and
    /// every argument controls.
    pub(crate) fn unlisted() -> Self {
        Self {
            effect: EffectKind::Egress,
            declared: false,
            result: Integrity::Untrusted,
            readers: Readers::Public,
            fields: Vec::new(),
            control: None,
            sinks: Vec::new(),
            content: Vec::new(),
            intent: None,
            requires: Some(Requires::default()),
            mode: Mode::Deny,
            hide: true,
            ungranted: Ungranted::Floor,
        }
    }

    /// What holds for resources, prompts and the like without a contract: asking for one does
    /// nothing, and what comes is untrusted.
    pub(crate) fn of_fetches() -> Self {
        Self { effect: EffectKind::Read, requires: None, ..Self::unlisted() }
    }

    /// The contract of the gateway's own tool that tells of refusals.
    pub(crate) fn of_denials() -> Self {
        Self {
            effect: EffectKind::Read,
            declared: true,
            result: Integrity::Trusted,
            requires: None,
            ..Self::unlisted()
        }
    }

    /// What a call does.
    pub fn effect(&self) -> EffectKind {
        self.effect
    }

    /// Whether an operator wrote it; `false` for the default of unlisted tools.
    pub fn is_declared(&self) -> bool {
        self.declared
    }

    /// What controlling arguments need; `None` where nothing is needed (a read).
    pub fn requires(&self) -> Option<Requires> {
        self.requires
    }

    /// What happens where that is not met.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What happens to a call that no model decision is known for.
    pub fn ungranted(&self) -> Ungranted {
        self.ungranted
    }

    /// Whether a value or context with this label may control a call.
    pub fn is_met_by(&self, label: &Label) -> bool {
        self.requires.is_none_or(|requires| requires.is_met_by(label))
    }

    /// The same, with what a server says of its own tool taken in where that is stricter: whoever
    /// calls its tool destructive is believed, whoever calls it harmless is not.
    #[must_use]
    pub(crate) fn tightened_by(&self, hints: Hints) -> Self {
        let mut tightened = self.clone();
        if hints.destructive == Some(true) && !hints.read_only.unwrap_or(false) {
            if tightened.effect == EffectKind::Read {
                tightened.control = None;
                tightened.hide = true;
            }
            if !matches!(tightened.effect, EffectKind::Commit | EffectKind::Admin) {
                tightened.effect = EffectKind::Destroy;
            }
            tightened.requires.get_or_insert_default();
        }
        if hints.open_world == Some(true) && hints.read_only == Some(true) {
            // What comes from anywhere is anybody's.
            tightened.result = Integrity::Untrusted;
            tightened.fields.clear();
        }
        tightened
    }

    /// Whether a context with this label may control a call, whatever its arguments.
    pub(crate) fn is_met_wholly_by(&self, label: &Label) -> bool {
        self.is_met_by(label)
            && self.sinks.iter().filter_map(|sink| sink.requires).all(|r| r.is_met_by(label))
    }

    /// The words one of which must ask for a call; `None` where none is needed.
    pub(crate) fn intent(&self) -> Option<&[Box<str>]> {
        self.intent.as_deref()
    }

    /// The words by which a person asks for such a call, where the contract names any.
    pub fn asking(&self) -> impl Iterator<Item = &str> {
        self.intent.iter().flatten().map(|word| &**word)
    }

    /// The sink that takes the value at `path`, the most exact one.
    pub(crate) fn sink_at(&self, path: &[Step<'_>]) -> Option<&Sink> {
        self.sinks
            .iter()
            .filter(|sink| sink.pointer.covers(path))
            .max_by_key(|sink| sink.pointer.rank())
    }

    /// Whether leaving out what a control pointer names is a choice of its own.
    pub(crate) fn misses(&self, pointer: &Pointer) -> bool {
        !self.sinks.iter().any(|sink| sink.optional && sink.pointer == *pointer)
    }

    /// Whether the tool is taken out of a model's sight under this label. Monotone: once hidden,
    /// a worse label does not bring it back.
    pub fn hides_under(&self, label: &Label) -> bool {
        self.effect != EffectKind::Read && self.hide && !self.is_met_by(label)
    }

    /// The integrity of a place in the result: the most exact field rule, the stricter of two.
    pub(crate) fn integrity_at(&self, path: &[Step<'_>]) -> Integrity {
        self.rule_at(path).map_or(self.result, |field| field.integrity)
    }

    /// The integrity of one value there.
    pub(crate) fn integrity_of(&self, path: &[Step<'_>], value: &str) -> Integrity {
        match self.rule_at(path) {
            Some(Field { integrity, kind: Some(kind), .. }) if !literal::reads_as(*kind, value) => {
                self.result.min(*integrity)
            }
            Some(field) => field.integrity,
            None => self.result,
        }
    }

    fn rule_at(&self, path: &[Step<'_>]) -> Option<&Field> {
        self.fields
            .iter()
            .filter(|field| field.pointer.covers(path))
            .max_by_key(|field| (field.pointer.rank(), std::cmp::Reverse(field.integrity)))
    }

    /// Whether the key at the end of `path` is written out in a field rule, so that the key itself
    /// tells nothing new.
    pub(crate) fn spells(&self, path: &[Step<'_>]) -> bool {
        self.fields.iter().any(|field| field.pointer.spells(path))
    }

    /// The worst integrity that any place of the result can have.
    pub(crate) fn worst_integrity(&self) -> Integrity {
        self.fields.iter().map(|field| field.integrity).fold(self.result, Integrity::min)
    }

    /// Whether some field rule can name a place of a list, or there is none to misfit.
    pub(crate) fn reaches_lists(&self) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|field| field.pointer.spells_no_key())
    }

    /// Who may see the result.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Whether the decision to call is itself what is controlled (`control = []`).
    pub(crate) fn controls_decision(&self) -> bool {
        self.control.as_ref().is_some_and(Vec::is_empty)
    }

    /// The pointers of controlling arguments, as written.
    pub(crate) fn control(&self) -> &[Pointer] {
        self.control.as_deref().unwrap_or_default()
    }

    /// The pointers of content arguments.
    pub(crate) fn content(&self) -> &[Pointer] {
        &self.content
    }

    /// Whether the argument at `path` is content only. Where both lists name it, the more exact
    /// pointer wins, and control wins a tie.
    pub(crate) fn is_content(&self, path: &[Step<'_>]) -> bool {
        let best = |pointers: &[Pointer]| {
            pointers.iter().filter(|pointer| pointer.covers(path)).map(Pointer::rank).max()
        };
        best(&self.content) > best(self.control())
    }

    /// The control pointer that names `path`, the most exact one.
    pub(crate) fn control_over(&self, path: &[Step<'_>]) -> Option<&Pointer> {
        self.control()
            .iter()
            .filter(|pointer| pointer.covers(path))
            .max_by_key(|pointer| pointer.rank())
    }
}

#[cfg(test)]
mod tests;
