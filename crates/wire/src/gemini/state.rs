//! Carrying state of any issuer in `thoughtSignature`.
//!
//! The field is bytes: Google's clients decode it from base64 and encode it again, some of them
//! with the other alphabet. State of another issuer is therefore carried in base64 as well.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use doorward_core::IssuerState;

use super::ID;

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How state of another issuer begins: `doorward.` in base64.
pub(super) const FOREIGN: &str = "ZG9vcndhcmQu";

/// What a client carries.
pub(super) fn carried(state: &IssuerState) -> Cow<'_, str> {
    if state.issuer == ID {
        return Cow::Borrowed(&state.data);
    }
    Cow::Owned(ENGINE.encode(state.carried_by(ID).as_bytes()))
}

/// What a client carried.
pub(super) fn read(text: &str) -> IssuerState {
    let own = || IssuerState::read(text, ID);
    if !text.starts_with(FOREIGN) {
        return own();
    }
    let standard = text.replace('-', "+").replace('_', "/");
    let decoded = ENGINE.decode(standard).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map_or_else(own, |tagged| IssuerState::read(&tagged, ID))
}

/// State as Gemini issued it.
pub(super) fn issued(data: impl Into<String>) -> IssuerState {
    IssuerState { issuer: ID, data: data.into() }
}

#[cfg(test)]
mod tests {
    use doorward_core::DialectId;

    use super::*;

    #[test]
    fn state_comes_back_to_its_issuer_whatever_alphabet_the_client_uses() {
        let data = "a+b/c?~\u{fc}=".to_owned();
        let state = IssuerState { issuer: DialectId::ANTHROPIC_MESSAGES, data };
        let text = carried(&state);
        assert!(text.starts_with(FOREIGN), "{text}");
        assert_eq!(read(&text), state);
        let url_safe = text.replace('+', "-").replace('/', "_");
        assert_eq!(read(url_safe.trim_end_matches('=')), state);
        let own = issued("Eg==");
        assert_eq!((carried(&own).as_ref(), read("Eg==")), ("Eg==", own.clone()));
    }
}
