//! What of a request only one dialect's provider can do.

use doorward_core::{DialectId, ModelCall};

use crate::WriteError;

/// Refuses a call that leans on what the provider of Responses keeps: an earlier answer that
/// nobody put in front, or a prompt template. Without them it would be another request.
pub(crate) fn check(call: &ModelCall, dialect: DialectId) -> Result<(), WriteError> {
    let from = call.raw.as_ref().map(|raw| raw.dialect);
    if dialect == DialectId::OPENAI_RESPONSES || from != Some(DialectId::OPENAI_RESPONSES) {
        return Ok(());
    }
    let refused = |path: &str, reason| Err(WriteError { path: path.to_owned(), reason });
    if call.previous.is_some() {
        return refused("previous_response_id", "the earlier answer is not at hand");
    }
    let prompt = |(name, value): &(String, Box<serde_json::value::RawValue>)| {
        name == "prompt" && value.get() != "null"
    };
    if call.extra.iter().any(prompt) {
        return refused("prompt", "prompt templates are kept by OpenAI only");
    }
    Ok(())
}
