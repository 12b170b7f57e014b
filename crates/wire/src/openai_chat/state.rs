//! Thought that goes back to its issuer, in `OpenRouter`'s `reasoning_details`
//! (<https://openrouter.ai/docs/use-cases/reasoning-tokens>).
//!
//! `format` names the issuer, whose state stands there as the issuer gave it. State of an issuer
//! without a format is tagged; an item of a format nobody here knows is kept whole.

use doorward_core::{Body, DialectId, IssuerState, Part, Reasoning};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::emit::{Array, Object};
use crate::json::Text;

/// The format of state that nobody has a name for.
const UNKNOWN: &str = "unknown";

const FORMATS: [(&str, DialectId); 3] = [
    ("anthropic-claude-v1", DialectId::ANTHROPIC_MESSAGES),
    ("google-gemini-v1", DialectId::GEMINI),
    ("openai-responses-v1", DialectId::OPENAI_RESPONSES),
];

fn issuer_of(format: &str) -> Option<DialectId> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, issuer)| *issuer)
}

/// The format of an issuer's state, where it has one.
pub(super) fn format_of(issuer: DialectId) -> Option<&'static str> {
    FORMATS.iter().find(|(_, dialect)| *dialect == issuer).map(|(name, _)| *name)
}

/// One item of `reasoning_details`.
#[derive(Deserialize, Default)]
pub(super) struct DetailIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<Text<'a>>,
}

/// What one item says.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// What is shown.
    pub(super) text: String,
    /// State of whatever kind.
    pub(super) state: Option<IssuerState>,
    /// Whether the state is a thought of its own, that only the issuer reads.
    pub(super) sealed: bool,
    /// Whose thought it is, where the format says so.
    issuer: Option<DialectId>,
}

/// Reads one item; `None` where it is none.
pub(super) fn read(item: &RawValue) -> Option<Detail> {
    let detail: DetailIn<'_> = serde_json::from_str(item.get()).ok()?;
    let sealed = detail.kind.is_some_and(|kind| kind.as_str() == "reasoning.encrypted");
    let text = detail.text.or(detail.summary).map(Text::into_string).unwrap_or_default();
    let state = if sealed { detail.data } else { detail.signature };
    let state = state.filter(|state| !state.as_str().is_empty());
    let format = detail.format.unwrap_or_default();
    let issuer = issuer_of(format.as_str());
    let state = state.map(|state| match issuer {
        Some(issuer) => IssuerState { issuer, data: state.into_string() },
        None => match IssuerState::read(state.as_str(), ID) {
            // It goes back whole: there is more in it than the common form has words for.
            own if own.issuer == ID => IssuerState { issuer: ID, data: item.get().to_owned() },
            tagged => tagged,
        },
    });
    Some(Detail { text, state, sealed, issuer })
}

/// What a client sends back of the model's thought.
pub(super) fn thoughts(items: &[&RawValue]) -> Vec<Part> {
    let mut thoughts: Vec<Reasoning> = Vec::new();
    for detail in items.iter().filter_map(|item| read(item)) {
        let Detail { text, state, sealed, issuer } = detail;
        let Some(state) = state else {
            let issuer = Some(issuer.unwrap_or(ID));
            thoughts.push(Reasoning { text, issuer, ..Reasoning::default() });
            continue;
        };
        let (owner, data) = (Some(state.issuer), Some(state.data));
        // Anthropic seals whole thoughts; with others the seal belongs to what is shown.
        let apart = sealed && state.issuer == DialectId::ANTHROPIC_MESSAGES || state.issuer == ID;
        match thoughts.last_mut() {
            _ if apart => {
                let redacted = data;
                thoughts.push(Reasoning { text, redacted, issuer: owner, signature: None });
            }
            Some(Reasoning { signature: signature @ None, redacted: None, issuer, .. })
                if sealed && *issuer == owner =>
            {
                *signature = data;
            }
            _ if sealed && state.issuer == DialectId::OPENAI_RESPONSES => {
                let redacted = data;
                thoughts.push(Reasoning { text, redacted, issuer: owner, signature: None });
            }
            _ => thoughts.push(Reasoning { text, signature: data, redacted: None, issuer: owner }),
        }
    }
    thoughts.into_iter().map(|thought| Body::Reasoning(thought).into()).collect()
}

/// Writes a thought with the state that belongs to it.
pub(super) fn write_signed(list: &mut Array<'_>, text: &str, state: Option<&IssuerState>) {
    let format = state.and_then(|state| format_of(state.issuer));
    let shown = |item: &mut Object<'_>, format: Option<&str>| {
        if state.is_some_and(|state| state.issuer == DialectId::OPENAI_RESPONSES) {
            item.str("type", "reasoning.summary");
            item.str("summary", text);
        } else {
            item.str("type", "reasoning.text");
            item.str("text", text);
        }
        item.opt_str("format", format);
    };
    match state {
        None => list.object(|item| shown(item, None)),
        Some(state) if is_whole(state) => list.raw(&state.data),
        Some(state) => match format {
            Some("google-gemini-v1" | "openai-responses-v1") => {
                if !text.is_empty() {
                    list.object(|item| shown(item, format));
                }
                write_sealed(list, state);
            }
            format => list.object(|item| {
                item.str("type", "reasoning.text");
                item.str("text", text);
                item.str("signature", &carried(state));
                item.str("format", format.unwrap_or(UNKNOWN));
            }),
        },
    }
}

/// Writes state that is a thought of its own.
pub(super) fn write_sealed(list: &mut Array<'_>, state: &IssuerState) {
    if is_whole(state) {
        return list.raw(&state.data);
    }
    list.object(|item| {
        item.str("type", "reasoning.encrypted");
        item.str("data", &carried(state));
        item.str("format", format_of(state.issuer).unwrap_or(UNKNOWN));
    });
}

/// Whether it is an item that was kept whole.
fn is_whole(state: &IssuerState) -> bool {
    state.issuer == ID
        && state.data.starts_with('{')
        && serde_json::from_str::<&RawValue>(&state.data).is_ok()
}

fn carried(state: &IssuerState) -> String {
    match format_of(state.issuer) {
        Some(_) => state.data.clone(),
        None => state.carried_by(ID).into_owned(),
    }
}

/// The thought of a message, as events or a client's history have it: with its state.
pub(super) fn write_thought(list: &mut Array<'_>, thought: &Reasoning) {
    let issuer = thought.issuer.unwrap_or(ID);
    let state = |data: &String| IssuerState { issuer, data: data.clone() };
    match (&thought.redacted, &thought.signature) {
        (Some(data), _) => write_sealed(list, &state(data)),
        (None, Some(data)) => write_signed(list, &thought.text, Some(&state(data))),
        (None, None) => write_signed(list, &thought.text, None),
    }
}

/// State that stands on a tool call, as Google writes it in this dialect
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
#[derive(Deserialize, Default)]
pub(super) struct ExtraIn<'a> {
    #[serde(borrow)]
    google: Option<GoogleIn<'a>>,
}

#[derive(Deserialize)]
struct GoogleIn<'a> {
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

impl ExtraIn<'_> {
    /// Google's state, or another's under its tag.
    pub(super) fn state(self) -> Option<IssuerState> {
        let signature = self.google?.thought_signature?;
        Some(IssuerState::read(signature.as_str(), DialectId::GEMINI))
    }
}

/// Reads a call's `extra_content`; what is not known in it is left alone.
pub(super) fn on_call(extra: Option<&RawValue>) -> Option<IssuerState> {
    serde_json::from_str::<ExtraIn<'_>>(extra?.get()).ok()?.state()
}

/// Writes the state of a call.
pub(super) fn write_on_call(item: &mut Object<'_>, state: Option<&IssuerState>) {
    let Some(state) = state else { return };
    item.object("extra_content", |extra| {
        extra.object("google", |google| {
            google.str("thought_signature", &state.carried_by(DialectId::GEMINI));
        });
    });
}
