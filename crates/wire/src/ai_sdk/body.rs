//! One whole answer for a client, and what streams share with it.

use bytes::BytesMut;
use doorward_core::{Billed, Citation, Finish, Usage};

use super::compose::write_file;
use super::{finish_word, options};
use crate::WriterOptions;
use crate::answer::{Answer, Piece, told};
use crate::custom;
use crate::emit::{self, Object, escape};

pub(super) fn write(answer: &Answer, options: &WriterOptions, out: &mut BytesMut) {
    let choice = answer.choices.get(&0);
    let pieces = choice.map(|choice| choice.pieces.as_slice()).unwrap_or_default();
    emit::object(out, |body| {
        body.array("content", |content| {
            for piece in pieces {
                if !matches!(piece, Piece::Text(text) | Piece::Refusal(text) if text.is_empty()) {
                    content.object(|item| write_piece(item, piece, options));
                }
            }
            let citations = choice.map(|choice| choice.citations.as_slice()).unwrap_or_default();
            for (nth, citation) in citations.iter().enumerate() {
                content.object(|item| write_source(item, nth, citation));
            }
        });
        let any_call = pieces.iter().any(|piece| matches!(piece, Piece::Call { .. }));
        let finish = choice.and_then(|choice| choice.finish.as_ref());
        match finish {
            Some((reason, native)) => write_finish(body, *reason, native),
            None if any_call => write_finish(body, Finish::ToolCalls, ""),
            None => write_finish(body, Finish::Stop, ""),
        }
        write_usage(body, answer.usage.as_ref(), answer.billed.as_deref());
        body.array("warnings", |_| {});
        write_cost(body, answer.billed.as_deref());
        body.object("response", |response| {
            let (id, model) = told(options, &answer.id, &answer.model);
            write_response(response, id, model, answer.created.unwrap_or(options.created));
        });
    });
}

pub(super) fn write_response(item: &mut Object<'_>, id: &str, model: &str, created: i64) {
    item.opt_str("id", Some(id).filter(|id| !id.is_empty()));
    item.str("timestamp", &timestamp(created));
    item.str("modelId", model);
}

/// A time as JavaScript writes it (RFC 3339, UTC).
fn timestamp(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Days since 1 March of year 0, in eras of 400 years: leap days fall on an era's and a year's
    // end then.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

pub(super) fn write_finish(body: &mut Object<'_>, reason: Finish, native: &str) {
    body.object("finishReason", |finish| {
        finish.str("unified", finish_word(reason));
        finish.opt_str("raw", Some(native).filter(|native| !native.is_empty()));
    });
}

/// Counts that are not known are left out: none is made up.
pub(super) fn write_usage(body: &mut Object<'_>, usage: Option<&Usage>, bill: Option<&Billed>) {
    body.object("usage", |body| {
        body.object("inputTokens", |input| {
            let Some(usage) = usage else { return };
            let cached = usage.cache_read.saturating_add(usage.cache_write);
            input.value("total", usage.input);
            input.value("noCache", usage.input.saturating_sub(cached));
            input.value("cacheRead", usage.cache_read);
            input.value("cacheWrite", usage.cache_write);
        });
        body.object("outputTokens", |output| {
            let Some(usage) = usage else { return };
            output.value("total", usage.output);
            output.value("text", usage.output.saturating_sub(usage.reasoning));
            output.value("reasoning", usage.reasoning);
        });
        if let Some(raw) = bill.and_then(|bill| bill.raw.as_deref())
            && raw.starts_with('{')
        {
            body.raw("raw", raw);
        }
    });
}

/// What it cost, where Vercel's own gateway says it.
pub(super) fn write_cost(body: &mut Object<'_>, bill: Option<&Billed>) {
    if let Some(cost) = bill.and_then(|bill| bill.cost_usd) {
        body.object("providerMetadata", |metadata| {
            metadata.object("gateway", |gateway| gateway.str("cost", &cost.to_string()));
        });
    }
}

pub(super) fn write_source(item: &mut Object<'_>, nth: usize, citation: &Citation) {
    item.str("type", "source");
    let id = format!("source-{nth}");
    if let Some(url) = &citation.url {
        item.str("sourceType", "url");
        item.str("id", &id);
        item.str("url", url);
        item.opt_str("title", citation.title.as_deref());
    } else {
        item.str("sourceType", "document");
        item.str("id", &id);
        item.str("mediaType", "text/plain");
        let title = citation.title.as_deref().or(citation.text.as_deref());
        item.str("title", title.unwrap_or_default());
    }
}

/// Arguments as the client parses them: JSON, a free-form tool's text as a JSON string.
pub(super) fn input_of(name: &str, arguments: &str, options: &WriterOptions) -> String {
    if options.custom_tools.iter().any(|tool| tool == name) {
        return format!("\"{}\"", escape(&custom::unwrapped(arguments)));
    }
    if arguments.trim().is_empty() { "{}".to_owned() } else { arguments.to_owned() }
}

fn write_piece(item: &mut Object<'_>, piece: &Piece, writer: &WriterOptions) {
    match piece {
        Piece::Text(text) | Piece::Refusal(text) => {
            item.str("type", "text");
            item.str("text", text);
        }
        Piece::Reasoning { text, signature } => {
            item.str("type", "reasoning");
            item.str("text", text);
            if let Some(state) = signature {
                options::write(item, "providerMetadata", state, false);
            }
        }
        Piece::Redacted(state) => {
            item.str("type", "reasoning");
            item.str("text", "");
            options::write(item, "providerMetadata", state, true);
        }
        Piece::Media(media) => {
            item.str("type", "file");
            write_file(item, media);
        }
        Piece::Call { id, name, arguments, state } => {
            item.str("type", "tool-call");
            item.str("toolCallId", id);
            item.str("toolName", name);
            item.str("input", &input_of(name, arguments, writer));
            if let Some(state) = state {
                options::write(item, "providerMetadata", state, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_javascript_does() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(unix), expected);
        }
    }
}
