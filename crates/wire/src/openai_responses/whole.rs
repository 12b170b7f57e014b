//! What an item tells that stands in an event or an answer as a whole.

use doorward_core::{IssuerState, Media, MediaKind, MediaSource, ModelEvent};

use super::ID;
use super::event::{ItemIn, arguments, citation, logprobs, pieces};

/// The arguments in an item, or its free text.
pub(super) fn given(item: &ItemIn<'_>, free: bool) -> String {
    if free { item.input.0.clone().into_owned() } else { arguments(item.arguments).into_owned() }
}

/// Tells what was not told yet of a message.
pub(super) fn tell_message(item: &ItemIn<'_>, told: &[u64], out: &mut Vec<ModelEvent>) {
    for (at, piece) in (0..).zip(pieces(item.content)) {
        if told.contains(&at) {
            continue;
        }
        match &*piece.kind.0 {
            "refusal" => {
                out.push(ModelEvent::Refusal { choice: 0, text: piece.refusal.0.into_owned() });
            }
            "output_text" | "text" => {
                if !piece.text.0.is_empty() {
                    out.push(ModelEvent::Text { choice: 0, text: piece.text.0.into_owned() });
                }
                let json = logprobs(piece.logprobs);
                out.extend(json.map(|json| ModelEvent::Logprobs { choice: 0, json }));
                let cited = piece.annotations.unwrap_or_default().into_iter().filter_map(citation);
                out.extend(cited.map(|citation| ModelEvent::Citation { choice: 0, citation }));
            }
            _ => {}
        }
    }
}

/// Tells what was not told yet of a thought, and its state: only the whole item has it all.
pub(super) fn tell_thought(item: &ItemIn<'_>, told: bool, out: &mut Vec<ModelEvent>) {
    let mut shown = told;
    if !told {
        let mut paragraphs = pieces(item.summary);
        if paragraphs.is_empty() {
            paragraphs = pieces(item.content);
        }
        for piece in paragraphs.into_iter().filter(|piece| !piece.text.0.is_empty()) {
            let joint = if shown { "\n\n" } else { "" };
            let text = format!("{joint}{}", piece.text.0);
            out.push(ModelEvent::Reasoning { choice: 0, text });
            shown = true;
        }
    }
    if !item.encrypted_content.0.is_empty() {
        let data = item.encrypted_content.0.clone().into_owned();
        let state = IssuerState { issuer: ID, data };
        out.push(if shown {
            ModelEvent::ReasoningSignature { state }
        } else {
            ModelEvent::RedactedReasoning { state }
        });
    }
}

/// The picture that a hosted tool made.
pub(super) fn picture(item: &ItemIn<'_>) -> Option<ModelEvent> {
    if item.kind.0 != "image_generation_call" || item.result.0.is_empty() {
        return None;
    }
    let format = if item.output_format.0.is_empty() { "png" } else { &item.output_format.0 };
    let source = MediaSource::Base64 {
        media_type: format!("image/{format}"),
        data: item.result.0.clone().into_owned(),
    };
    let media = Media { kind: MediaKind::Image, source, name: None, detail: None };
    Some(ModelEvent::Media { choice: 0, media })
}
