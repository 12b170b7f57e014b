//! State that only its issuer can read, and where it came from.
//!
//! A signature binds to the model that made it, an encrypted thought to the account it was made
//! under. A later call whose history holds such state goes back to its issuer where that is among
//! the candidates; for another target the state is taken out of the history, with a word in the
//! receipt, because the upstream would refuse it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub(crate) struct Pins {
    recent: Recent<Pin>,
    /// Whether anything was noted: many upstreams issue no state, and their calls need no search.
    any: AtomicBool,
}

impl Default for Pins {
    fn default() -> Self {
        Self { recent: Recent::new(MOST), any: AtomicBool::new(false) }
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
        self.recent.note(self.recent.key(state.data.as_str()), pin.clone());
        self.any.store(true, Ordering::Relaxed);
    }

    /// Who issued the latest state in the call's history, where that is known.
    pub(crate) fn issuer(&self, call: &ModelCall) -> Option<Pin> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let parts = call.messages.iter().rev().flat_map(|message| message.parts.iter().rev());
        parts.flat_map(states).find_map(|(_, data)| self.find(data))
    }

    fn find(&self, data: &str) -> Option<Pin> {
        self.recent.find(self.recent.key(data))
    }

    /// The call without the state that this target did not issue; `None` where there is none.
    pub(crate) fn stripped(
        &self,
        call: &ModelCall,
        dialect: DialectId,
        candidate: &Candidate,
        key: u64,
    ) -> Option<ModelCall> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use doorward_core::{IssuerState, Reasoning, Role, ToolUse};

    use super::*;
    use crate::candidate::Roster;
    use crate::{Provider, Upstream};

    fn roster() -> Roster {
        let upstream = |name: &str| {
            let provider = Provider::named("openai").unwrap();
            Arc::new(Upstream::new(name, provider, None).unwrap())
        };
        Roster::new(&[upstream("one"), upstream("two")])
    }

    fn call(issuer: DialectId) -> ModelCall {
        let state = || IssuerState { issuer, data: "s".into() };
        let thought =
            Reasoning { redacted: Some("s".into()), issuer: Some(issuer), ..Reasoning::default() };
        let tool = ToolUse { id: "c".into(), state: Some(state()), ..ToolUse::default() };
        let parts = vec![Body::Reasoning(thought).into(), Body::ToolUse(tool).into()];
        let message = Message { role: Role::Assistant, parts, name: None };
        ModelCall { messages: vec![message], ..ModelCall::default() }
    }

    #[test]
    fn trap_35_encrypted_thought_opens_under_its_own_account_only() {
        let (roster, pins) = (roster(), Pins::default());
        let (responses, gemini) = (DialectId::OPENAI_RESPONSES, DialectId::GEMINI);
        let pin = Pin { target: "one/m".into(), key: 7 };
        let state = IssuerState { issuer: responses, data: "s".into() };
        pins.note(&ModelEvent::RedactedReasoning { state }, &pin);
        assert_eq!(pins.issuer(&call(responses)), Some(pin));
        for (dialect, target, key, kept) in [
            (responses, "one/m", 7, true),
            (responses, "one/m", 8, false),
            (responses, "two/m", 7, false),
            (responses, "one/n", 7, false),
            (gemini, "one/m", 8, true),
            (gemini, "two/m", 7, true),
            (gemini, "one/n", 7, false),
        ] {
            let candidate = roster.named(target).unwrap();
            let stripped = pins.stripped(&call(dialect), dialect, &candidate, key);
            assert_eq!(stripped.is_none(), kept, "{dialect:?} {target} {key}");
            if let Some(call) = stripped {
                let parts = &call.messages[0].parts;
                assert!(
                    matches!(&parts[..], [Part { body: Body::ToolUse(it), .. }] if it.state.is_none())
                );
            }
        }
        let other = pins.stripped(&call(gemini), responses, &roster.named("two/n").unwrap(), 0);
        assert!(other.is_none(), "state of another dialect is its writer's to leave out");
    }

    #[test]
    fn state_that_nobody_knows_is_left_alone() {
        let (roster, pins) = (roster(), Pins::default());
        let candidate = roster.named("one/m").unwrap();
        let gemini = DialectId::GEMINI;
        assert!(pins.issuer(&call(gemini)).is_none());
        assert!(pins.stripped(&call(gemini), gemini, &candidate, 0).is_none());
        assert!(without_state(&call(gemini), gemini).is_some());
    }
}
