//! State that only its issuer can read, and where it came from.
//!
//! A signature binds to the model that made it, an encrypted thought to the account it was made
//! under. A later call whose history holds such state goes back to its issuer where that is among
//! the candidates; for another target the state is taken out of the history, with a word in the
//! receipt, because the upstream would refuse it.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{Body, DialectId, Message, ModelCall, ModelEvent, Part};

use crate::candidate::Candidate;
use crate::recent::Recent;

/// How many pieces of state are remembered at least.
const MOST: usize = 1 << 16;

/// Who issued a piece of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// `upstream/model`.
    pub(crate) target: Arc<str>,
    /// Which credential was shown.
    pub(crate) key: u64,
}

/// Issuers of state seen lately.
#[derive(Debug)]
pub(crate) struct Pins(Recent<Pin>);

impl Default for Pins {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

impl Pins {
    /// Notes who issued the state in an event.
    pub(crate) fn note(&self, event: &ModelEvent, pin: &Pin) {
        let (ModelEvent::ReasoningSignature { state }
        | ModelEvent::RedactedReasoning { state }
        | ModelEvent::ToolStart { state: Some(state), .. }) = event
        else {
            return;
        };
        self.0.note(self.0.key(state.data.as_str()), pin.clone());
    }

    /// Who issued the latest state in the call's history, where that is known.
    pub(crate) fn issuer(&self, call: &ModelCall) -> Option<Pin> {
        let parts = call.messages.iter().rev().flat_map(|message| message.parts.iter().rev());
        parts.flat_map(states).find_map(|(_, data)| self.find(data))
    }

    fn find(&self, data: &str) -> Option<Pin> {
        self.0.find(self.0.key(data))
    }

    /// The call without the state that this target did not issue; `None` where there is none.
    pub(crate) fn stripped(
        &self,
        call: &ModelCall,
        dialect: DialectId,
        candidate: &Candidate,
        key: u64,
    ) -> Option<ModelCall> {
        let foreign = |issuer: DialectId, data: &str| {
            issuer == dialect
                && self.find(data).is_some_and(|pin| !reads(dialect, &pin, candidate, key))
        };
        strip(call, &foreign)
    }
}

/// Whether a target can read what was issued under a pin.
fn reads(dialect: DialectId, pin: &Pin, candidate: &Candidate, key: u64) -> bool {
    let (upstream, model) = pin.target.split_once('/').unwrap_or(("", &pin.target));
    let same_model = model == &*candidate.target.model;
    let same_account = upstream == &*candidate.target.upstream && pin.key == key;
    // Encrypted thought opens under its own account only; a signature names its model.
    same_model && (same_account || dialect != DialectId::OPENAI_RESPONSES)
}

/// The call without any state of this dialect; `None` where there is none.
pub(crate) fn without_state(call: &ModelCall, dialect: DialectId) -> Option<ModelCall> {
    strip(call, &|issuer, _| issuer == dialect)
}

/// The pieces of state in a part, with their issuers.
fn states(part: &Part) -> impl Iterator<Item = (DialectId, &str)> {
    let (issuer, texts) = match &part.body {
        Body::Reasoning(thought) => {
            (thought.issuer, [thought.signature.as_deref(), thought.redacted.as_deref()])
        }
        Body::ToolUse(call) => {
            let state = call.state.as_ref();
            (state.map(|it| it.issuer), [state.map(|it| it.data.as_str()), None])
        }
        _ => (None, [None, None]),
    };
    texts.into_iter().flatten().filter_map(move |text| Some((issuer?, text)))
}

type Foreign<'a> = dyn Fn(DialectId, &str) -> bool + 'a;

fn strip(call: &ModelCall, foreign: &Foreign<'_>) -> Option<ModelCall> {
    let of = |part: &Part| states(part).any(|(issuer, data)| foreign(issuer, data));
    if !call.messages.iter().flat_map(|message| &message.parts).any(of) {
        return None;
    }
    let mut call = call.clone();
    call.messages.iter_mut().for_each(|message| clean(message, foreign));
    call.messages.retain(|message| !message.parts.is_empty());
    if let Some(raw) = &mut call.raw {
        // The bytes hold the state still; the body is written anew.
        raw.body = Bytes::new();
    }
    Some(call)
}

/// Takes foreign state out. A visible thought stays as an unsigned one, for writers to judge.
fn clean(message: &mut Message, foreign: &Foreign<'_>) {
    message.parts.retain_mut(|part| {
        if !states(part).any(|(issuer, data)| foreign(issuer, data)) {
            return true;
        }
        match &mut part.body {
            Body::Reasoning(thought) => {
                (thought.signature, thought.redacted, thought.issuer) = (None, None, None);
                !thought.text.is_empty()
            }
            Body::ToolUse(call) => {
                call.state = None;
                true
            }
            _ => true,
        }
    });
}
