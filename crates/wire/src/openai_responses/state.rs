//! Issuers' state on its way through a client of this dialect.
//!
//! A reasoning item has one field for it, `encrypted_content`. State of other issuers goes under
//! [`IssuerState::carried_by`]'s tag, and a signature without a shown thought is marked besides:
//! without its text it would look like a thought that only its issuer can read, and the two are
//! not the same to Anthropic.

use std::borrow::Cow;

use doorward_core::{DialectId, IssuerState};

use super::ID;

/// Before the data of a signature whose thought is not shown. No base64 has a colon.
const SIGNATURE: &str = "sig:";

/// What `encrypted_content` was made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    Signature(String),
    Redacted(String),
}

/// Reads the data of state that stands beside a summary.
pub(super) fn read(data: String, issuer: DialectId, summary: &str) -> Sealed {
    if issuer != ID
        && let Some(signature) = data.strip_prefix(SIGNATURE)
    {
        return Sealed::Signature(signature.to_owned());
    }
    if summary.is_empty() { Sealed::Redacted(data) } else { Sealed::Signature(data) }
}

/// The text for a client to carry a signature. Gemini's needs no mark: it knows nothing else.
pub(super) fn signature<'s>(state: &'s IssuerState, summary: &str) -> Cow<'s, str> {
    if state.issuer == ID || state.issuer == DialectId::GEMINI || !summary.is_empty() {
        return state.carried_by(ID);
    }
    let data = format!("{SIGNATURE}{}", state.data);
    let marked = IssuerState { issuer: state.issuer, data };
    Cow::Owned(marked.carried_by(ID).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_31_a_signature_without_text_stays_one() {
        let issuer = DialectId::ANTHROPIC_MESSAGES;
        let state = IssuerState { issuer, data: "S==".into() };
        for summary in ["", "thought"] {
            let carried = signature(&state, summary);
            let back = IssuerState::read(&carried, ID);
            assert_eq!(back.issuer, issuer);
            assert_eq!(read(back.data, issuer, summary), Sealed::Signature("S==".into()));
        }
        let redacted = IssuerState::read(&state.carried_by(ID), ID);
        assert_eq!(read(redacted.data, issuer, ""), Sealed::Redacted("S==".into()));
        let own = IssuerState { issuer: ID, data: "sig:x".into() };
        assert_eq!(signature(&own, ""), "sig:x");
        assert_eq!(read("sig:x".into(), ID, ""), Sealed::Redacted("sig:x".into()));
    }
}
