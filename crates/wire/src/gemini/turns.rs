//! Messages as Gemini wants them: system text apart, turns in alternation, and after a turn with
//! calls exactly one response for each, in their order (trap 22).

mod written;

use std::borrow::Cow;
use std::collections::HashMap;

use doorward_core::{
    Body, Media, MediaSource, Message, ModelCall, Part, Reasoning, Role, ToolResult, ToolUse,
};

use super::media::{self, Obstacle};
use super::model::Traits;
use super::{ID, args_of};
use crate::{Dropped, WriteError};

/// What a call of another issuer's history carries for its signature
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>, FAQ).
const SKIP: &str = "skip_thought_signature_validator";

/// What a call without a result is answered with.
const NO_RESULT: &str = "no result";

/// How a conversation is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether the call came in this dialect.
    pub(super) own: bool,
    /// Whether the upstream takes media as bytes only.
    pub(super) inline: bool,
    pub(super) traits: Traits,
}

/// A conversation cut into system text and turns.
#[derive(Debug)]
pub(super) struct Conversation<'c> {
    manner: Manner,
    system: Vec<&'c str>,
    turns: Vec<Turn<'c>>,
    /// Names of all calls so far, by id.
    names: HashMap<&'c str, &'c str>,
    /// Calls of the last turn of the model, and where they stand; `None` once answered.
    open: Vec<Option<(&'c ToolUse, Place)>>,
    /// A signature that belongs to the call that follows it.
    pending: Option<&'c str>,
}

/// What one side says before the other does.
#[derive(Debug)]
struct Turn<'c> {
    model: bool,
    /// Responses, by the place of the call they answer.
    responses: Vec<(usize, Response<'c>)>,
    pieces: Vec<Piece<'c>>,
    calls: usize,
}

#[derive(Debug)]
struct Response<'c> {
    id: &'c str,
    name: &'c str,
    content: Cow<'c, str>,
    is_error: bool,
    media: Vec<&'c Media>,
}

#[derive(Debug)]
struct Piece<'c> {
    kind: Kind<'c>,
    signature: Option<&'c str>,
}

#[derive(Debug)]
enum Kind<'c> {
    Text(Cow<'c, str>),
    Thought(&'c str),
    Media(&'c Media),
    Call(&'c ToolUse, Cow<'c, str>),
    Raw(&'c str),
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    nth: usize,
}

impl Place {
    fn path(self) -> String {
        format!("messages[{}].parts[{}]", self.at, self.nth)
    }
}

impl<'c> Conversation<'c> {
    pub(super) fn of(
        call: &'c ModelCall,
        manner: Manner,
        dropped: &mut Vec<Dropped>,
    ) -> Result<Self, WriteError> {
        let mut conversation = Self {
            manner,
            system: Vec::new(),
            turns: Vec::new(),
            names: HashMap::new(),
            open: Vec::new(),
            pending: None,
        };
        for (at, message) in call.messages.iter().enumerate() {
            conversation.message(at, message, dropped)?;
        }
        conversation.settle(dropped);
        conversation.place_system(dropped);
        Ok(conversation)
    }

    fn message(
        &mut self,
        at: usize,
        message: &'c Message,
        dropped: &mut Vec<Dropped>,
    ) -> Result<(), WriteError> {
        if message.name.is_some() {
            let path = format!("messages[{at}].name");
            dropped.push(Dropped { path, reason: "participants have no names" });
        }
        if matches!(message.role, Role::System | Role::Developer) {
            if !self.turns.is_empty() {
                let path = format!("messages[{at}].role");
                let reason = "system text after the first turn goes to the system instruction";
                dropped.push(Dropped { path, reason });
            }
            for (nth, part) in message.parts.iter().enumerate() {
                if part.cache_control.is_some() {
                    drop_mark(dropped);
                }
                match &part.body {
                    Body::Text(text) if text.is_empty() => {}
                    Body::Text(text) => self.system.push(text),
                    _ => drop_at(dropped, Place { at, nth }, "system text only"),
                }
            }
            return Ok(());
        }
        for (nth, part) in message.parts.iter().enumerate() {
            let place = Place { at, nth };
            if part.cache_control.is_some() {
                drop_mark(dropped);
            }
            match message.role {
                Role::Assistant => self.said(place, part, dropped)?,
                _ => self.heard(place, part, dropped)?,
            }
        }
        self.flush();
        Ok(())
    }

    /// System text where it can stand: apart, or in front of what the user says first.
    fn place_system(&mut self, dropped: &mut Vec<Dropped>) {
        let alone = self.turns.is_empty();
        if self.system.is_empty() || !alone && !self.manner.traits.no_system {
            return;
        }
        if !alone {
            let path = "messages[0].role".to_owned();
            let reason = "this model takes system text only before the user's";
            dropped.push(Dropped { path, reason });
        }
        let joined = self.system.join("\n\n");
        self.system.clear();
        let piece = Piece { kind: Kind::Text(Cow::Owned(joined)), signature: None };
        if let Some(turn) = self.turns.first_mut().filter(|turn| !turn.model) {
            turn.pieces.insert(0, piece);
        } else {
            self.turns.insert(0, Turn { pieces: vec![piece], ..Turn::of(false) });
        }
    }

    /// The turn of this side, begun if the other side spoke last.
    fn turn(&mut self, model: bool, dropped: &mut Vec<Dropped>) -> &mut Turn<'c> {
        let begins = self.turns.last().is_none_or(|turn| turn.model != model);
        if begins {
            if model {
                self.settle(dropped);
            }
            self.turns.push(Turn::of(model));
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    fn push(&mut self, model: bool, kind: Kind<'c>, dropped: &mut Vec<Dropped>) {
        self.turn(model, dropped).pieces.push(Piece { kind, signature: None });
    }

    /// What the model said.
    fn said(
        &mut self,
        place: Place,
        part: &'c Part,
        dropped: &mut Vec<Dropped>,
    ) -> Result<(), WriteError> {
        match &part.body {
            Body::ToolUse(call) => {
                self.call(place, call, dropped);
                return Ok(());
            }
            Body::Reasoning(thought) => {
                self.thought(place, thought, dropped);
                return Ok(());
            }
            _ => self.flush(),
        }
        match &part.body {
            Body::Text(text) | Body::Refusal(text) if !text.is_empty() => {
                self.push(true, Kind::Text(Cow::Borrowed(text)), dropped);
            }
            Body::Media(media) => self.media(true, place, media, dropped)?,
            Body::Opaque { dialect, raw } if *dialect == ID => {
                self.push(true, Kind::Raw(raw.get()), dropped);
            }
            Body::Opaque { .. } => drop_at(dropped, place, "only its own dialect knows this part"),
            Body::ToolResult(_) => drop_at(dropped, place, "the model gives no tool results"),
            _ => {}
        }
        Ok(())
    }

    /// What the user and their tools said.
    fn heard(
        &mut self,
        place: Place,
        part: &'c Part,
        dropped: &mut Vec<Dropped>,
    ) -> Result<(), WriteError> {
        match &part.body {
            Body::Text(text) | Body::Refusal(text) => {
                if !text.is_empty() {
                    self.push(false, Kind::Text(Cow::Borrowed(text)), dropped);
                }
            }
            Body::Media(media) => self.media(false, place, media, dropped)?,
            Body::ToolResult(result) => self.result(place, result, dropped)?,
            Body::Opaque { dialect, raw } if *dialect == ID => {
                if self.manner.inline && is_addressed(raw.get()) {
                    let reason = "this upstream takes media as bytes only";
                    return Err(WriteError { path: place.path(), reason });
                }
                self.push(false, Kind::Raw(raw.get()), dropped);
            }
            Body::Opaque { .. } => drop_at(dropped, place, "only its own dialect knows this part"),
            Body::ToolUse(_) => drop_at(dropped, place, "only the model calls tools"),
            Body::Reasoning(_) => drop_at(dropped, place, "only the model thinks"),
        }
        Ok(())
    }

    fn media(
        &mut self,
        model: bool,
        place: Place,
        media: &'c Media,
        dropped: &mut Vec<Dropped>,
    ) -> Result<(), WriteError> {
        if self.takes(&place.path(), media, dropped)? {
            self.push(model, Kind::Media(media), dropped);
        }
        Ok(())
    }

    /// Whether media can be sent; what of it cannot is reported.
    fn takes(
        &self,
        path: &str,
        media: &Media,
        dropped: &mut Vec<Dropped>,
    ) -> Result<bool, WriteError> {
        let Manner { own, inline, .. } = self.manner;
        match media::obstacle(media, own, inline) {
            Some(Obstacle::Refuse(reason)) => {
                return Err(WriteError { path: path.to_owned(), reason });
            }
            Some(Obstacle::Leave(reason)) => {
                dropped.push(Dropped { path: path.to_owned(), reason });
                return Ok(false);
            }
            None => {}
        }
        if !own && media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            let reason = "not every model of the dialect takes it";
            dropped.push(Dropped { path: format!("{path}.detail"), reason });
        }
        if media.name.is_some() {
            let path = format!("{path}.name");
            dropped.push(Dropped { path, reason: "files have no names in Gemini" });
        }
        Ok(true)
    }

    /// Thought goes back to its issuer only, and its signature to the part it came with.
    fn thought(&mut self, place: Place, thought: &'c Reasoning, dropped: &mut Vec<Dropped>) {
        self.flush();
        if thought.issuer != Some(ID) {
            let reason = match thought.issuer {
                Some(_) => "reasoning of another issuer",
                None => "reasoning without a signature",
            };
            return drop_at(dropped, place, reason);
        }
        if let Some(state) = &thought.redacted {
            // It came alone. A client that has no place for a call's own state carries it so,
            // right before the call.
            self.turn(true, dropped);
            self.pending = Some(state);
            return;
        }
        let signature = thought.signature.as_deref();
        let turn = self.turn(true, dropped);
        let last = turn.pieces.last_mut().filter(|last| {
            thought.text.is_empty()
                && last.signature.is_none()
                && matches!(last.kind, Kind::Text(_) | Kind::Media(_))
        });
        match last {
            Some(last) => last.signature = signature,
            None => turn.pieces.push(Piece { kind: Kind::Thought(&thought.text), signature }),
        }
    }

    /// A signature that no call followed stands in a part of its own.
    fn flush(&mut self) {
        let Some(state) = self.pending.take() else { return };
        if let Some(turn) = self.turns.last_mut().filter(|turn| turn.model) {
            let kind = Kind::Text(Cow::Borrowed(""));
            turn.pieces.push(Piece { kind, signature: Some(state) });
        }
    }

    fn call(&mut self, place: Place, call: &'c ToolUse, dropped: &mut Vec<Dropped>) {
        let (args, is_object) = args_of(&call.arguments);
        if !is_object {
            let path = format!("{}.arguments", place.path());
            let reason = "arguments that are no JSON object were wrapped in one";
            dropped.push(Dropped { path, reason });
        }
        let state = call.state.as_ref();
        if state.is_some_and(|state| state.issuer != ID) {
            let path = format!("{}.state", place.path());
            dropped.push(Dropped { path, reason: "state of another issuer" });
        }
        let own = state.filter(|state| state.issuer == ID).map(|state| state.data.as_str());
        let third = self.manner.traits.third;
        if own.is_some() {
            self.flush();
        }
        let pending = self.pending.take();
        let turn = self.turn(true, dropped);
        let first = turn.calls == 0;
        turn.calls += 1;
        let signature = own.or(pending).or((first && third).then_some(SKIP));
        turn.pieces.push(Piece { kind: Kind::Call(call, args), signature });
        self.names.insert(&call.id, &call.name);
        self.open.push(Some((call, place)));
    }

    fn result(
        &mut self,
        place: Place,
        result: &'c ToolResult,
        dropped: &mut Vec<Dropped>,
    ) -> Result<(), WriteError> {
        let mut media = Vec::new();
        let mut texts = Vec::new();
        for (nth, part) in result.content.iter().enumerate() {
            let path = format!("{}.content[{nth}]", place.path());
            match &part.body {
                Body::Text(text) => texts.push(text.as_str()),
                Body::Media(item) => {
                    if self.takes(&path, item, dropped)? {
                        media.push(item);
                    }
                }
                _ => dropped.push(Dropped { path, reason: "no part of a tool result" }),
            }
        }
        let content = match texts.as_slice() {
            [text] => Cow::Borrowed(*text),
            texts => Cow::Owned(texts.concat()),
        };
        let is_it = |open: Option<(&ToolUse, _)>| open.is_some_and(|(it, _)| it.id == result.id);
        let Some(nth) = self.open.iter().position(|open| is_it(*open)) else {
            // Gemini refuses a response without its call.
            drop_at(dropped, place, "a result without its call goes as text");
            self.push(false, Kind::Text(content), dropped);
            for item in media {
                self.push(false, Kind::Media(item), dropped);
            }
            return Ok(());
        };
        let name = self.names.get(result.id.as_str()).copied().unwrap_or_default();
        self.open[nth] = None;
        let (id, is_error) = (result.id.as_str(), result.is_error);
        let beside = self.beside(&mut media);
        let turn = self.turn(false, dropped);
        turn.responses.push((nth, Response { id, name, content, is_error, media }));
        let pieces =
            beside.into_iter().map(|item| Piece { kind: Kind::Media(item), signature: None });
        turn.pieces.extend(pieces);
        Ok(())
    }

    /// Takes out the media that cannot stand within a response: generation 3 takes bytes there,
    /// older models nothing.
    fn beside(&self, media: &mut Vec<&'c Media>) -> Vec<&'c Media> {
        let third = self.manner.traits.third;
        let within = |item: &&Media| third && matches!(item.source, MediaSource::Base64 { .. });
        let (inside, outside) = media.drain(..).partition(within);
        *media = inside;
        outside
    }

    /// Answers the calls that nobody answered: Gemini refuses a history with fewer responses than
    /// calls.
    fn settle(&mut self, dropped: &mut Vec<Dropped>) {
        let open = std::mem::take(&mut self.open);
        if open.iter().all(Option::is_none) {
            return;
        }
        // A user's turn follows, if it does not stand already.
        if self.turns.last().is_some_and(|turn| turn.model) {
            self.turns.push(Turn::of(false));
        }
        let Some(turn) = self.turns.last_mut() else { return };
        for (nth, call) in open.into_iter().enumerate() {
            let Some((call, place)) = call else { continue };
            drop_at(dropped, place, "a call without a result is answered for it");
            let (id, name, content) = (&*call.id, &*call.name, Cow::Borrowed(NO_RESULT));
            let response = Response { id, name, content, is_error: true, media: Vec::new() };
            turn.responses.push((nth, response));
        }
    }
}

impl Turn<'_> {
    fn of(model: bool) -> Self {
        Self { model, responses: Vec::new(), pieces: Vec::new(), calls: 0 }
    }

    fn is_empty(&self) -> bool {
        self.responses.is_empty() && self.pieces.is_empty()
    }
}

/// Whether a part that only Gemini knows points to a file.
fn is_addressed(raw: &str) -> bool {
    raw.contains("\"fileUri\"") || raw.contains("\"file_uri\"")
}

fn drop_at(dropped: &mut Vec<Dropped>, place: Place, reason: &'static str) {
    dropped.push(Dropped { path: place.path(), reason });
}

fn drop_mark(dropped: &mut Vec<Dropped>) {
    if !dropped.iter().any(|dropped| dropped.path == "cache_control") {
        let reason = "Gemini caches without being told";
        dropped.push(Dropped { path: "cache_control".to_owned(), reason });
    }
}
