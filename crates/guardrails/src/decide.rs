//! Whether a call meets its contract.
//!
//! Pure: first it is seen what can be said from the context label alone, else which values
//! control the call; when their labels are known, they decide.

use std::borrow::Cow;

use doorward_core::{Decision, Integrity, Label};

use crate::contract::{Contract, EffectKind, Mode, Requires, SinkKind};
use crate::json::Json;
use crate::pointer::Step;
use crate::suggest;
use crate::words;

/// A call of a model, to be decided on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    /// The tool, as it may be named to a reader.
    pub(crate) tool: &'a str,
    pub(crate) contract: &'a Contract,
    pub(crate) arguments: &'a Json<'a>,
    /// All that the model was told, at its worst.
    pub(crate) context: &'a Label,
    /// Whether values that a good context could use freely are looked at all the same: they may
    /// stand in untrusted text of another conversation.
    pub(crate) watchful: bool,
}

/// A value that controls a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf<'a> {
    /// How the argument is named to a reader.
    pub(crate) pointer: Cow<'a, str>,
    /// The last name on the way to it.
    pub(crate) argument: &'a str,
    /// What kind of value is taken there, where that is declared.
    pub(crate) kind: Option<SinkKind>,
    pub(crate) requires: Requires,
    /// Whether it is content of a call that nothing controls.
    pub(crate) carried: bool,
    pub(crate) value: Value<'a>,
}

/// What can be looked up of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(&'a str),
    /// A yes or no, or an emptiness that matters: always the model's own choice.
    Choice,
}

/// What the first look gives.
#[derive(Debug)]
pub(crate) enum Look<'a> {
    Settled(Decision),
    /// These values decide.
    Trace(Vec<Leaf<'a>>),
}

impl<'a> Case<'a> {
    /// Decides, or says which values' labels decide.
    pub(crate) fn look(&self) -> Look<'a> {
        if self.contract.requires().is_none() {
            return Look::Settled(Decision::allow("contract.read", "it only reads"));
        }
        let met = self.is_met();
        if met && !self.watchful {
            return Look::Settled(Self::allow_by_context());
        }
        let leaves =
            if self.contract.controls_decision() { Vec::new() } else { self.controlling() };
        Look::Settled(match (leaves.is_empty(), met) {
            (true, true) => Self::allow_by_context(),
            (true, false) => {
                let carried = self.carried();
                if !carried.is_empty() {
                    return Look::Trace(carried);
                }
                self.refuse_decision()
            }
            (false, _) => return Look::Trace(leaves),
        })
    }

    /// Whether the context alone meets the contract.
    pub(crate) fn is_met(&self) -> bool {
        self.contract.is_met_wholly_by(self.context)
    }

    fn allow_by_context() -> Decision {
        Decision::allow("contract.context", "nothing the model was told forbids it")
    }

    /// Decides by the labels of the values that [`look`](Self::look) asked for, in order.
    /// `intended`: whether the user asked for such a call in words that the contract names.
    pub(crate) fn settle(&self, leaves: &[Leaf<'_>], labels: &[Label], intended: bool) -> Decision {
        for (at, leaf) in leaves.iter().enumerate() {
            // A label that is missing for whatever reason is the worst.
            let worst = Label::default();
            let label = labels.get(at).unwrap_or(&worst);
            if !leaf.requires.is_met_by(label) {
                if leaf.carried {
                    return self.refuse_decision();
                }
                return self.refuse_leaf(leaf, label, intended);
            }
        }
        if self.is_met() {
            return Self::allow_by_context();
        }
        if !intended {
            return self.refuse_intent();
        }
        Decision::allow(
            "contract.provenance",
            "every controlling argument comes from the user or \
            a source that the contract accepts",
        )
    }

    /// The values that control the call: all that are not content. Keys that the contract does
    /// not spell out are values too. What says no more than leaving it out controls nothing,
    /// except where something is destroyed, bound or administered: there an empty filter may
    /// mean everything, so a control argument left empty or out is the model's choice.
    fn controlling(&self) -> Vec<Leaf<'a>> {
        let mut gather = self.gather();
        gather.value(self.arguments);
        if gather.empties_count {
            let missing = self.contract.control().iter().zip(&gather.met);
            let requires = self.contract.requires().unwrap_or_default();
            let missing = missing.filter(|(pointer, met)| !**met && self.contract.misses(pointer));
            let missing = missing.map(|(pointer, _)| Leaf {
                pointer: Cow::Borrowed(pointer.as_str()),
                argument: "",
                kind: None,
                requires,
                carried: false,
                value: Value::Choice,
            });
            gather.leaves.extend(missing);
        }
        gather.leaves
    }

    fn gather(&self) -> Gather<'a, 'a> {
        Gather {
            contract: self.contract,
            empties_count: matches!(
                self.contract.effect(),
                EffectKind::Destroy | EffectKind::Commit | EffectKind::Admin
            ),
            empty_text_counts: self.contract.effect() != EffectKind::Egress,
            carried: false,
            path: Vec::new(),
            met: vec![false; self.contract.control().len()],
            leaves: Vec::new(),
        }
    }

    /// All values of a call that none controls: where each of them is the user's own, so is the
    /// decision to call. Not where something is destroyed, bound or administered.
    fn carried(&self) -> Vec<Leaf<'a>> {
        let effect = self.contract.effect();
        if !matches!(effect, EffectKind::Write | EffectKind::Egress) || !self.contract.is_declared()
        {
            return Vec::new();
        }
        let mut gather = self.gather();
        gather.carried = true;
        gather.value(self.arguments);
        gather.leaves
    }

    fn refuse_decision(&self) -> Decision {
        let Self { tool, context, .. } = self;
        let reason = format!(
            "`{tool}` was not called: no argument of the user's directs it, and the decision to \
             call it was made after reading {}.",
            words::sources(context)
        );
        let mut decision = self.refuse("contract.decision", reason);
        let worded = matches!(self.contract.effect(), EffectKind::Write | EffectKind::Egress);
        if worded && self.contract.is_declared() {
            decision = decision
                .with_remedy("ask for it in your own message, with each of its values in it");
        }
        decision.with_remedy(words::FRESH_START).with_remedy(self.operator())
    }

    fn refuse_intent(&self) -> Decision {
        let tool = self.tool;
        let reason = format!(
            "`{tool}` was not called: your own words name its arguments but do not ask for this, \
             and the model has read {}.",
            words::sources(self.context)
        );
        self.refuse("contract.intent", reason)
            .with_remedy(self.saying())
            .with_remedy(words::FRESH_START)
            .with_remedy(self.operator())
    }

    /// The remedy for a call that the user's words do not ask for.
    fn saying(&self) -> String {
        let words = match self.contract.intent() {
            Some(words) => words.first().map_or_else(String::new, ToString::to_string),
            None => suggest::words_for(self.tool).called(),
        };
        format!("ask for it in your own message, in words such as `{words}`")
    }

    fn refuse_leaf(&self, leaf: &Leaf<'_>, label: &Label, intended: bool) -> Decision {
        let (tool, pointer) = (self.tool, &leaf.pointer);
        let by_control = label.integrity < leaf.requires.control;
        let (rule, what) = if by_control {
            ("contract.control", "its value does not come from")
        } else {
            ("contract.choice", "its value was not chosen by")
        };
        let needed = if by_control { leaf.requires.control } else { leaf.requires.choice };
        let who = match needed {
            Integrity::Trusted => "a trusted source",
            _ => "the user",
        };
        // In a conversation that has read nothing of the kind, the value itself was met elsewhere.
        let elsewhere = self.is_met();
        let reason = if elsewhere {
            format!(
                "`{tool}` was not called: for its argument `{pointer}`, {what} {who}: it stands in \
                 {}, which was read in another conversation.",
                words::sources(label)
            )
        } else {
            format!(
                "`{tool}` was not called: for its argument `{pointer}`, {what} {who}, and the \
                 model has read {}.",
                words::sources(self.context)
            )
        };
        let mut decision = self
            .refuse(rule, reason)
            .with_remedy(format!("name the value of `{pointer}` in your own message"));
        if !intended && !elsewhere {
            decision = decision.with_remedy(self.saying());
        }
        if !elsewhere {
            decision = decision.with_remedy(words::FRESH_START);
        }
        decision.with_remedy(self.operator())
    }

    /// A refusal in the contract's mode. Neither an approver nor a quarantine is connected, so
    /// the other modes refuse as well, and say so.
    fn refuse(&self, rule: &str, mut reason: String) -> Decision {
        let suffix = match self.contract.mode() {
            Mode::Deny => "",
            Mode::Ask => {
                reason.push_str(" Its contract would ask a person, but no approver is connected.");
                ".ask"
            }
            Mode::Quarantine => {
                reason.push_str(
                    " Its contract would use a quarantined model, but none is connected.",
                );
                ".quarantine"
            }
        };
        Decision::deny(format!("{rule}{suffix}"), reason)
    }

    fn operator(&self) -> String {
        let tool = self.tool;
        if self.contract.is_declared() {
            format!("ask an operator whether the contract of `{tool}` should accept this")
        } else {
            format!("ask an operator for a contract of `{tool}`: it has none")
        }
    }
}

struct Gather<'c, 'a> {
    contract: &'c Contract,
    empties_count: bool,
    empty_text_counts: bool,
    /// Whether content is gathered as well, for nothing else is there.
    carried: bool,
    path: Vec<Step<'a>>,
    /// Which control pointers met a value that says something.
    met: Vec<bool>,
    leaves: Vec<Leaf<'c>>,
}

impl<'c, 'a: 'c> Gather<'c, 'a> {
    fn value(&mut self, json: &'a Json<'a>) {
        let content = !self.carried && self.contract.is_content(&self.path);
        if !self.path.is_empty() && content && !self.passes() {
            return;
        }
        match json {
            Json::Null => {}
            Json::String(text) if text.is_empty() && !self.empty_text_counts => {}
            Json::String(text) if text.is_empty() => self.push(Value::Choice),
            Json::String(text) => self.push(Value::Text(text)),
            Json::Number(raw) => self.push(Value::Number(raw)),
            Json::Bool(_) => self.push(Value::Choice),
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(at));
                    self.value(item);
                    self.path.pop();
                }
            }
            Json::Object(entries) => {
                for (key, value) in entries {
                    self.path.push(Step::Key(key));
                    if self.path.len() > 1 && !self.is_name() {
                        self.push(Value::Text(key));
                    }
                    self.value(value);
                    self.path.pop();
                }
            }
        }
    }

    /// Whether a control pointer names a place below.
    fn passes(&self) -> bool {
        self.contract.control().iter().any(|pointer| pointer.passes(&self.path))
    }

    /// Whether the last key is a name that the contract spells out, or content.
    fn is_name(&self) -> bool {
        let lists = self.contract.control().iter().chain(self.contract.content());
        self.contract.is_content(&self.path) || lists.into_iter().any(|p| p.spells(&self.path))
    }

    fn push(&mut self, value: Value<'c>) {
        if !self.carried && self.contract.is_content(&self.path) {
            return;
        }
        for (at, pointer) in self.contract.control().iter().enumerate() {
            self.met[at] |= pointer.covers(&self.path);
        }
        let pointer = match (self.contract.control_over(&self.path), self.path.first()) {
            (Some(pointer), _) => Cow::Owned(pointer.as_str().to_owned()),
            (None, Some(Step::Key(name))) => Cow::Owned(format!("/{}", words::plain(name))),
            (None, _) => Cow::Borrowed("/"),
        };
        let sink = self.contract.sink_at(&self.path);
        let own = self.contract.requires().unwrap_or_default();
        let argument = self.path.iter().rev().find_map(|step| match step {
            Step::Key(name) => Some(*name),
            Step::Index(_) => None,
        });
        self.leaves.push(Leaf {
            pointer,
            argument: argument.unwrap_or_default(),
            kind: sink.map(|sink| sink.kind),
            requires: if self.carried {
                Requires { control: Integrity::User, choice: Integrity::User }
            } else {
                sink.and_then(|sink| sink.requires).unwrap_or(own)
            },
            carried: self.carried,
            value,
        });
    }
}

#[cfg(test)]
mod tests;
