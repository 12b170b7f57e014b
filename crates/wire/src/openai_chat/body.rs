//! One whole answer for a client.

use bytes::{Bytes, BytesMut};
use doorward_core::{Citation, Finish, Media, MediaKind, MediaSource, ModelEvent, Usage};

use super::{finish_word, state};
use crate::WriterOptions;
use crate::answer::{Answer, Choice, Piece, told};
use crate::custom;
use crate::emit::{self, Object};
use crate::json::Source;
use crate::splice::Edits;
use crate::sse::Event;

/// Whether calls of free-form tools stand in these bytes as functions: the upstream does not know
/// such tools, the client does.
pub(super) fn misses_custom(events: &[ModelEvent], raw: &[u8], options: &WriterOptions) -> bool {
    !options.custom_tools.is_empty()
        && events.iter().any(|event| {
            matches!(event, ModelEvent::ToolStart { name, .. } if options.custom_tools.contains(name))
        })
        && memchr::memmem::find(raw, b"\"custom\"").is_none()
}

/// A body of this dialect as it may go to the client.
pub(super) fn amend(raw: &Bytes, answer: &Answer, options: &WriterOptions) -> Option<Bytes> {
    let pieces = answer.choices.values().flat_map(|choice| &choice.pieces);
    let free = |piece: &Piece| matches!(piece, Piece::Call { name, .. } if options.custom_tools.contains(name));
    let has_free = !options.custom_tools.is_empty() && pieces.into_iter().any(free);
    if has_free && memchr::memmem::find(raw, b"\"custom\"").is_none() {
        return None;
    }
    let cost = answer.billed.as_ref().and_then(|bill| bill.cost_usd);
    match cost.filter(|_| options.tell_cost) {
        Some(cost) => Some(cost_in(raw, raw, cost).unwrap_or_else(|| raw.clone())),
        None => Some(raw.clone()),
    }
}

/// A usage chunk with what the call cost; `None` where it says so already.
pub(super) fn with_cost(raw: &Bytes, cost: f64) -> Option<Bytes> {
    let data = Event::whole(raw.clone()).data()?.into_owned();
    let at = memchr::memmem::find(raw, data.as_bytes())?;
    let changed = cost_in(&Bytes::from(data.clone().into_bytes()), data.as_bytes(), cost)?;
    let mut out = BytesMut::with_capacity(raw.len() + 24);
    out.extend_from_slice(&raw[..at]);
    out.extend_from_slice(&changed);
    out.extend_from_slice(&raw[at + data.len()..]);
    Some(out.freeze())
}

fn cost_in(body: &Bytes, text: &[u8], cost: f64) -> Option<Bytes> {
    let source = Source::new(text).ok()?;
    let members = source.members().ok()?;
    let usage = members.find("usage")?.value;
    let inner = source.members_of(usage).ok()?;
    if inner.find("cost").is_some_and(|cost| cost.value.get() != "null") {
        return None;
    }
    let mut edits = Edits::default();
    if let Some(none) = inner.find("cost") {
        edits.replace(source.span(none.value.get()), cost.to_string());
    } else {
        let others = inner.iter().len() > 0;
        edits.add_member(&source.span(usage.get()), "cost", &cost.to_string(), others);
    }
    Some(edits.apply(body))
}

pub(super) fn write_usage(body: &mut Object<'_>, usage: &Usage, cost: Option<f64>) {
    body.value("prompt_tokens", usage.input);
    body.value("completion_tokens", usage.output);
    body.value("total_tokens", usage.total());
    body.object("prompt_tokens_details", |details| {
        details.value("cached_tokens", usage.cache_read);
        if usage.cache_write > 0 {
            details.value("cache_write_tokens", usage.cache_write);
        }
        if usage.audio_input > 0 {
            details.value("audio_tokens", usage.audio_input);
        }
    });
    body.object("completion_tokens_details", |details| {
        details.value("reasoning_tokens", usage.reasoning);
        if usage.audio_output > 0 {
            details.value("audio_tokens", usage.audio_output);
        }
    });
    body.opt("cost", cost);
}

pub(super) fn write(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let (id, model) = told(options, &answer.id, &answer.model);
    emit::object(out, |body| {
        body.str("id", id);
        body.str("object", "chat.completion");
        body.value("created", answer.created.unwrap_or(options.created));
        body.str("model", model);
        body.array("choices", |choices| {
            for (index, choice) in &answer.choices {
                choices.object(|item| {
                    item.value("index", index);
                    item.object("message", |message| write_message(message, choice, options));
                    if !choice.logprobs.is_empty() {
                        write_logprobs(item, &joined(&choice.logprobs));
                    }
                    item.str("finish_reason", word_of(choice));
                });
            }
        });
        if let Some(usage) = &answer.usage {
            let cost = answer.billed.as_ref().and_then(|bill| bill.cost_usd);
            let cost = cost.filter(|_| options.tell_cost);
            body.object("usage", |body| write_usage(body, usage, cost));
        }
    });
}

/// Several JSON lists as one.
fn joined(lists: &[String]) -> String {
    let inside = |list: &String| {
        list.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::to_owned)
    };
    let items: Vec<String> =
        lists.iter().filter_map(inside).filter(|items| !items.trim().is_empty()).collect();
    format!("[{}]", items.join(","))
}

pub(super) fn write_logprobs(item: &mut Object<'_>, content: &str) {
    item.object("logprobs", |logprobs| {
        logprobs.raw("content", content);
        logprobs.raw("refusal", "null");
    });
}

fn word_of(choice: &Choice) -> &'static str {
    let any_call = choice.pieces.iter().any(|piece| matches!(piece, Piece::Call { .. }));
    match &choice.finish {
        Some((reason, native)) => finish_word(*reason, native),
        None if any_call => finish_word(Finish::ToolCalls, ""),
        None => finish_word(Finish::Stop, ""),
    }
}

fn write_message(message: &mut Object<'_>, choice: &Choice, options: &WriterOptions) {
    let (mut text, mut refusal, mut thought) = (String::new(), String::new(), String::new());
    let (mut calls, mut state, mut media) = (false, false, Vec::new());
    for piece in &choice.pieces {
        match piece {
            Piece::Text(more) => text.push_str(more),
            Piece::Refusal(more) => refusal.push_str(more),
            Piece::Reasoning { text: more, signature } => {
                thought.push_str(more);
                state |= signature.is_some();
            }
            Piece::Redacted(_) => state = true,
            Piece::Call { .. } => calls = true,
            Piece::Media(made) => media.push(made),
        }
    }
    message.str("role", "assistant");
    if text.is_empty() && (calls || !refusal.is_empty()) {
        message.raw("content", "null");
    } else {
        message.str("content", &text);
    }
    match refusal.as_str() {
        "" => message.raw("refusal", "null"),
        refusal => message.str("refusal", refusal),
    }
    if !thought.is_empty() {
        message.str("reasoning_content", &thought);
    }
    if state {
        message.array("reasoning_details", |list| {
            for piece in &choice.pieces {
                match piece {
                    Piece::Reasoning { text, signature } => {
                        state::write_signed(list, text, signature.as_ref());
                    }
                    Piece::Redacted(sealed) => state::write_sealed(list, sealed),
                    _ => {}
                }
            }
        });
    }
    if !choice.citations.is_empty() {
        write_citations(message, &choice.citations);
    }
    write_media(message, media);
    if calls {
        write_calls(message, &choice.pieces, options);
    }
}

fn write_calls(message: &mut Object<'_>, pieces: &[Piece], options: &WriterOptions) {
    message.array("tool_calls", |list| {
        for piece in pieces {
            let Piece::Call { id, name, arguments, state } = piece else { continue };
            list.object(|item| {
                item.str("id", id);
                if options.custom_tools.contains(name) {
                    item.str("type", "custom");
                    item.object("custom", |custom| {
                        custom.str("name", name);
                        custom.str("input", &custom::unwrapped(arguments));
                    });
                } else {
                    item.str("type", "function");
                    item.object("function", |function| {
                        function.str("name", name);
                        function.str("arguments", arguments);
                    });
                }
                state::write_on_call(item, state.as_ref());
            });
        }
    });
}

/// Pictures that the model made, as `OpenRouter` shows them. This dialect has no place for other
/// media outside of its own spoken answers.
pub(super) fn write_media<'m>(
    message: &mut Object<'_>,
    media: impl IntoIterator<Item = &'m Media>,
) {
    let is_shown = |media: &&Media| {
        media.kind == MediaKind::Image && !matches!(media.source, MediaSource::FileId(_))
    };
    let mut images = media.into_iter().filter(is_shown).peekable();
    if images.peek().is_none() {
        return;
    }
    message.array("images", |list| {
        for (index, image) in images.enumerate() {
            list.object(|item| {
                item.str("type", "image_url");
                item.object("image_url", |url| match &image.source {
                    MediaSource::Base64 { media_type, data } => {
                        url.str("url", &format!("data:{media_type};base64,{data}"));
                    }
                    MediaSource::Url(address) | MediaSource::FileId(address) => {
                        url.str("url", address);
                    }
                });
                item.value("index", index);
            });
        }
    });
}

/// Sources with an address; this dialect has no others.
pub(super) fn write_citations<'c>(
    message: &mut Object<'_>,
    citations: impl IntoIterator<Item = &'c Citation>,
) {
    let addressed = |citation: &&Citation| citation.url.is_some();
    let mut citations = citations.into_iter().filter(addressed).peekable();
    if citations.peek().is_none() {
        return;
    }
    message.array("annotations", |list| {
        for citation in citations {
            list.object(|item| {
                item.str("type", "url_citation");
                item.object("url_citation", |cited| {
                    cited.value("start_index", citation.start.unwrap_or(0));
                    cited.value("end_index", citation.end.unwrap_or(0));
                    cited.str("title", citation.title.as_deref().unwrap_or_default());
                    cited.str("url", citation.url.as_deref().unwrap_or_default());
                    cited.opt_str("content", citation.text.as_deref());
                });
            });
        }
    });
}
