//! What a failed attempt says: about the key, the target or the call, and about the bill.

use doorward_core::Code;

use crate::answer::{Refused, Stage};
use crate::keys::Trouble;

/// Where the fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In the key that was shown.
    Key(Trouble),
    /// In the call: wrong here is wrong anywhere, and the target did nothing wrong.
    Call,
    /// In issuer state of the call's history.
    State,
    /// The target does not know the model.
    Missing,
    /// The target has no room now, and did nothing.
    Busy,
    /// The target cannot be reached: nothing was sent.
    Unreached,
    /// The target broke, or spoke nonsense, with the work perhaps done.
    Broken,
    /// Here.
    Ours,
}

impl Fault {
    /// Whether the upstream may charge for the attempt all the same.
    pub(crate) fn may_be_billed(self) -> bool {
        self == Self::Broken
    }
}

/// Says where the fault of a failed attempt lies. A content filter is no fault of the target or
/// of the key: the call is refused, and nothing cools down.
pub(crate) fn classify(refused: &Refused) -> Fault {
    let error = &refused.error;
    match refused.stage {
        Stage::Unfit => return Fault::Call,
        Stage::Unmade => return Fault::Ours,
        Stage::Unreached => return Fault::Unreached,
        Stage::Sent => {}
    }
    match (refused.status, error.code) {
        (Some(401 | 407), _) => Fault::Key(Trouble::Refused),
        (Some(403), _) if is_about_content(refused) => Fault::Call,
        (Some(403), _) => Fault::Key(Trouble::Forbidden),
        (Some(402), _) | (_, Code::BudgetExhausted) => Fault::Key(Trouble::UsedUp),
        (_, Code::RateLimited) => Fault::Key(Trouble::TooMuch(error.retry_after)),
        (Some(503 | 529), _) | (_, Code::Overloaded) => Fault::Busy,
        (_, Code::NotFound) => Fault::Missing,
        (_, Code::InvalidRequest) if is_about_state(&error.public) => Fault::State,
        (_, Code::InvalidRequest | Code::TooLarge | Code::Cancelled) => Fault::Call,
        (_, Code::Internal) => Fault::Ours,
        (_, Code::Upstream | Code::Timeout | Code::Unauthenticated | Code::Forbidden) => {
            Fault::Broken
        }
    }
}

/// Whether a 403 is about what the call says and not about who calls: `OpenRouter` answers so
/// where moderation flags a prompt. Else anybody could put the key out of use with one prompt.
fn is_about_content(refused: &Refused) -> bool {
    const WORDS: [&str; 4] = ["moderation", "flagged", "content_policy", "content_filter"];
    let body = refused.error.relayed.as_ref().map(|relayed| &relayed.body[..]).unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]).to_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

/// Whether an upstream complains of state that it did not issue: Anthropic of an ``Invalid
/// `signature` in `thinking` block``, `OpenAI` of `invalid_encrypted_content` ("The encrypted
/// content … could not be verified"), Gemini of a "Thought signature" that "is not valid".
fn is_about_state(message: &str) -> bool {
    let message = message.to_lowercase();
    let about = |what: &str, why: &[&str]| {
        message.contains(what) && why.iter().any(|why| message.contains(why))
    };
    about("signature", &["invalid", "not valid", "thinking", "thought"])
        || about("encrypted content", &["could not be", "invalid"])
        || about("encrypted_content", &["could not be", "invalid"])
}

#[cfg(test)]
mod tests {
    use doorward_core::{CallError, DialectId};
    use doorward_wire::{Dialect, OpenAiChat};

    use super::*;

    fn answered(status: u16, body: &'static str) -> Refused {
        let error = OpenAiChat.read_error(status, body.into());
        Refused { error, status: Some(status), stage: Stage::Sent }
    }

    #[test]
    fn trap_56_57_62_faults_are_told_apart() {
        let quota = r#"{"error":{"code":"insufficient_quota","message":"m"}}"#;
        let filter = r#"{"error":{"code":"content_filter","message":"m"}}"#;
        let flagged = r#"{"error":{"message":"Your input was flagged"}}"#;
        let signature = r#"{"error":{"message":"messages.1.content.0: Invalid `signature` in `thinking` block"}}"#;
        for (status, body, fault, billed) in [
            (401, "{}", Fault::Key(Trouble::Refused), false),
            (402, "{}", Fault::Key(Trouble::UsedUp), false),
            (403, "{}", Fault::Key(Trouble::Forbidden), false),
            (403, flagged, Fault::Call, false),
            (429, "{}", Fault::Key(Trouble::TooMuch(None)), false),
            (429, quota, Fault::Key(Trouble::UsedUp), false),
            (400, filter, Fault::Call, false),
            (400, signature, Fault::State, false),
            (413, "{}", Fault::Call, false),
            (404, "{}", Fault::Missing, false),
            (503, "", Fault::Busy, false),
            (529, "", Fault::Busy, false),
            (500, "", Fault::Broken, true),
            (502, "", Fault::Broken, true),
            (504, "", Fault::Broken, true),
        ] {
            let found = classify(&answered(status, body));
            assert_eq!((found, found.may_be_billed()), (fault, billed), "{status} {body}");
        }
    }

    #[test]
    fn what_was_never_sent_is_never_billed() {
        for (stage, fault) in [
            (Stage::Unfit, Fault::Call),
            (Stage::Unmade, Fault::Ours),
            (Stage::Unreached, Fault::Unreached),
        ] {
            let error = CallError::new(Code::Upstream, "no");
            let found = classify(&Refused { error, status: None, stage });
            assert_eq!((found, found.may_be_billed()), (fault, false));
        }
    }

    #[test]
    fn a_prompt_that_is_flagged_is_told_from_a_key_in_any_dialect() {
        let error = doorward_wire::dialect(DialectId::ANTHROPIC_MESSAGES).unwrap().read_error(
            403,
            r#"{"error":{"code":403,"message":"x","metadata":{"reasons":["moderation"]}}}"#.into(),
        );
        let refused = Refused { error, status: Some(403), stage: Stage::Sent };
        assert_eq!(classify(&refused), Fault::Call);
    }
}
