//! The pieces of an answer.

use std::iter::Peekable;
use std::slice::Iter;

use bytes::BytesMut;
use doorward_core::{Finish, IssuerState, Media, Usage};

use super::super::grounding::{self, Said};
use super::super::{ID, args_of, media, state};
use super::finish_word;
use crate::WriterOptions;
use crate::answer::{Answer, Choice, Piece, told};
use crate::emit::{self, Array, Object};

pub(super) fn text_part(
    part: &mut Object<'_>,
    text: &str,
    thought: bool,
    signature: Option<&IssuerState>,
) {
    part.str("text", text);
    if thought {
        part.value("thought", true);
    }
    sign(part, signature);
}

pub(super) fn media_part(part: &mut Object<'_>, item: &Media, signature: Option<&IssuerState>) {
    media::write(part, item);
    sign(part, signature);
}

pub(super) fn call_part(
    part: &mut Object<'_>,
    id: &str,
    name: &str,
    arguments: &str,
    signature: Option<&IssuerState>,
) {
    let (args, _) = args_of(arguments);
    part.object("functionCall", |call| {
        call.str("id", id);
        call.str("name", name);
        call.raw("args", &args);
    });
    sign(part, signature);
}

fn sign(part: &mut Object<'_>, signature: Option<&IssuerState>) {
    if let Some(signature) = signature {
        part.str("thoughtSignature", &state::carried(signature));
    }
}

/// The word for why an answer ended. A refusal in words is no plain end.
pub(super) fn reason(finish: Option<&(Finish, String)>, refused: bool) -> &str {
    match finish {
        Some((Finish::Stop, _)) if refused => finish_word(Finish::ContentFilter, ""),
        Some((reason, native)) => finish_word(*reason, native),
        None => finish_word(Finish::Stop, ""),
    }
}

pub(super) fn write_usage(body: &mut Object<'_>, usage: &Usage) {
    let some = |count: u64| (count > 0).then_some(count);
    body.value("promptTokenCount", usage.input);
    body.value("candidatesTokenCount", usage.output.saturating_sub(usage.reasoning));
    body.value("totalTokenCount", usage.total());
    body.opt("cachedContentTokenCount", some(usage.cache_read));
    body.opt("thoughtsTokenCount", some(usage.reasoning));
}

pub(super) fn write_answer(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (id, model) = told(options, &answer.id, &answer.model);
    emit::object(out, |body| {
        body.array("candidates", |list| {
            for (index, choice) in &answer.choices {
                list.object(|candidate| write_candidate(candidate, *index, choice));
            }
        });
        if let Some(usage) = &answer.usage {
            body.object("usageMetadata", |body| write_usage(body, usage));
        }
        body.str("modelVersion", model);
        body.str("responseId", id);
    });
}

fn write_candidate(candidate: &mut Object<'_>, index: u32, choice: &Choice) {
    let mut said = Said::default();
    candidate.object("content", |content| {
        content.array("parts", |list| {
            let mut pieces = choice.pieces.iter().peekable();
            while let Some(piece) = pieces.next() {
                if let Piece::Text(text) | Piece::Refusal(text) = piece {
                    said.push(text);
                }
                write_piece(list, piece, &mut pieces);
            }
        });
        content.str("role", "model");
    });
    let refused = choice.pieces.iter().any(|piece| matches!(piece, Piece::Refusal(_)));
    candidate.str("finishReason", reason(choice.finish.as_ref(), refused));
    grounding::write(candidate, &choice.citations, &said);
    grounding::write_logprobs(candidate, &choice.logprobs);
    candidate.value("index", index);
}

fn write_piece(list: &mut Array<'_>, piece: &Piece, rest: &mut Peekable<Iter<'_, Piece>>) {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => {
            let signature = following(rest);
            if !text.is_empty() || signature.is_some() {
                list.object(|part| text_part(part, text, false, signature));
            }
        }
        Piece::Media(item) => {
            let signature = following(rest);
            list.object(|part| media_part(part, item, signature));
        }
        Piece::Reasoning { text, signature } => {
            list.object(|part| text_part(part, text, true, signature.as_ref()));
        }
        Piece::Redacted(state) => list.object(|part| text_part(part, "", false, Some(state))),
        Piece::Call { id, name, arguments, state } => {
            list.object(|part| call_part(part, id, name, arguments, state.as_ref()));
        }
    }
}

/// Gemini's own signature right after text or media belongs to it.
fn following<'p>(rest: &mut Peekable<Iter<'p, Piece>>) -> Option<&'p IssuerState> {
    let belongs = |piece: &&Piece| {
        matches!(
            piece,
            Piece::Reasoning { text, signature: Some(state) } if text.is_empty() && state.issuer == ID
        )
    };
    match rest.next_if(belongs) {
        Some(Piece::Reasoning { signature, .. }) => signature.as_ref(),
        _ => None,
    }
}
