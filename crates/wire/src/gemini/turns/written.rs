//! A conversation's JSON.

use std::borrow::Cow;

use super::super::{args_of, media};
use super::{Conversation, Kind, Piece, Response};
use crate::emit::{self, Array, Object};

impl Conversation<'_> {
    pub(in crate::gemini) fn write_system(&self, content: &mut Object<'_>) {
        content.array("parts", |list| {
            for text in &self.system {
                list.object(|part| part.str("text", text));
            }
        });
    }

    pub(in crate::gemini) fn has_system(&self) -> bool {
        !self.system.is_empty()
    }

    pub(in crate::gemini) fn write_turns(&mut self, list: &mut Array<'_>) {
        for turn in &mut self.turns {
            turn.responses.sort_by_key(|(nth, _)| *nth);
        }
        for turn in self.turns.iter().filter(|turn| !turn.is_empty()) {
            list.object(|content| {
                content.str("role", if turn.model { "model" } else { "user" });
                content.array("parts", |list| {
                    for (_, response) in &turn.responses {
                        list.object(|part| self.response(part, response));
                    }
                    for piece in &turn.pieces {
                        self.piece(list, piece);
                    }
                });
            });
        }
    }

    fn piece(&self, list: &mut Array<'_>, piece: &Piece<'_>) {
        if let Kind::Raw(raw) = piece.kind {
            return list.raw(raw);
        }
        list.object(|part| {
            match &piece.kind {
                Kind::Text(text) => part.str("text", text),
                Kind::Thought(text) => {
                    part.str("text", text);
                    part.value("thought", true);
                }
                Kind::Media(item) => {
                    media::write(part, item);
                    let level = item.detail.as_deref().filter(|_| self.manner.own);
                    if let Some(level) = level.and_then(media::level_of) {
                        part.object("mediaResolution", |it| it.str("level", level));
                    }
                }
                Kind::Call(call, args) => part.object("functionCall", |body| {
                    self.id(body, &call.id);
                    body.str("name", &call.name);
                    body.raw("args", args);
                }),
                Kind::Raw(_) => {}
            }
            part.opt_str("thoughtSignature", piece.signature);
        });
    }

    /// Older models, and Vertex AI for these, refuse ids; they match by name and order.
    fn id(&self, body: &mut Object<'_>, id: &str) {
        if self.manner.traits.third {
            body.str("id", id);
        }
    }

    fn response(&self, part: &mut Object<'_>, response: &Response<'_>) {
        part.object("functionResponse", |body| {
            self.id(body, response.id);
            body.str("name", response.name);
            body.raw("response", &output(&response.content, response.is_error));
            if !response.media.is_empty() {
                body.array("parts", |list| {
                    for item in &response.media {
                        list.object(|part| media::write(part, item));
                    }
                });
            }
        });
    }
}

/// A result as the object that `response` must be: as it is where it is one, else as `output`
/// or `error`, the names with a meaning.
fn output(text: &str, is_error: bool) -> Cow<'_, str> {
    let (args, is_object) = args_of(text);
    let object = is_object && text.trim_start().starts_with('{');
    match (object, is_error) {
        (true, false) => args,
        (true, true) => Cow::Owned(format!(r#"{{"error":{args}}}"#)),
        (false, failed) => {
            let name = if failed { "error" } else { "output" };
            Cow::Owned(format!(r#"{{"{name}":"{}"}}"#, emit::escape(text)))
        }
    }
}
