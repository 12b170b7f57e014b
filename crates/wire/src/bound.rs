//! What of a request only one dialect's provider can do.

use doorward_core::{Body, DialectId, Media, MediaSource, ModelCall};

use crate::{Dropped, WriteError};

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

/// Reports the state of calls that goes to nobody but its issuer.
pub(crate) fn report_states(call: &ModelCall, dropped: &mut Vec<Dropped>) {
    for (at, message) in call.messages.iter().enumerate() {
        for (nth, part) in message.parts.iter().enumerate() {
            if matches!(&part.body, Body::ToolUse(call) if call.state.is_some()) {
                let path = format!("messages[{at}].parts[{nth}].state");
                dropped.push(Dropped { path, reason: "reasoning of another issuer" });
            }
        }
    }
}

/// Reports the cache marks of tools, unless marks were reported already.
pub(crate) fn report_marks(call: &ModelCall, reason: &'static str, dropped: &mut Vec<Dropped>) {
    let marked = call.tools.iter().any(|tool| tool.cache_control.is_some() && !tool.hidden);
    if marked && !dropped.iter().any(|dropped| dropped.path == "cache_control") {
        dropped.push(Dropped { path: "cache_control".to_owned(), reason });
    }
}

/// Whether media lies with another provider than `speaks` names: an id says something to its
/// own only. One whose client is not known is taken for good.
pub(crate) fn is_foreign_file(call: &ModelCall, body: &Body, speaks: &[DialectId]) -> bool {
    matches!(body, Body::Media(Media { source: MediaSource::FileId(_), .. }))
        && call.raw.as_ref().is_some_and(|raw| !speaks.contains(&raw.dialect))
}

/// Why such a file goes nowhere.
pub(crate) const FOREIGN_FILE: &str = "a file that lies with another provider";

/// A name for a file that has none, with the ending that its type has.
pub(crate) const fn file_name(media: &Media) -> &'static str {
    match &media.source {
        MediaSource::Base64 { media_type, .. } => match media_type.as_bytes() {
            b"application/pdf" => "file.pdf",
            b"text/plain" => "file.txt",
            b"text/markdown" => "file.md",
            b"text/csv" => "file.csv",
            b"application/json" => "file.json",
            _ => "file",
        },
        _ => "file",
    }
}
