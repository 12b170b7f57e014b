//! What a tool gave back, weighed by its contract, and the shapes in which clients pass it on.

use std::borrow::Cow;

use doorward_core::{Body, Integrity, MediaSource, ToolResult};

use crate::contract::Contract;
use crate::json::Json;
use crate::literal;
use crate::pick::{Field, Records};
use crate::pointer::Step;
use crate::scope::{Kind, Scope};
use crate::turn_store::Mark;

/// The most values of one result that are remembered.
const MOST_LEAVES: usize = 4096;
/// How many wrappings are taken off a result.
const DEEPEST_WRAP: usize = 4;

/// What a text or a JSON value is worth under a contract.
#[derive(Debug, Default)]
pub(crate) struct Weighing {
    /// The worst of what is there; `None` where nothing is.
    pub(crate) worst: Option<Integrity>,
    /// The canonical forms of single values, with what each is worth.
    pub(crate) leaves: Vec<(String, Integrity)>,
    /// What is untrusted in it.
    pub(crate) untrusted: Vec<String>,
    /// The records in it, by names and values that are trusted.
    pub(crate) records: Records,
}

impl Weighing {
    fn note(&mut self, integrity: Integrity) {
        self.worst = Some(self.worst.map_or(integrity, |worst| worst.min(integrity)));
    }

    fn leaf(&mut self, forms: impl IntoIterator<Item = String>, integrity: Integrity) {
        for form in forms {
            if self.leaves.len() < MOST_LEAVES {
                self.leaves.push((form, integrity));
            }
        }
    }

    fn text(&mut self, text: &str, integrity: Integrity) {
        if text.trim().is_empty() {
            return;
        }
        self.note(integrity);
        if integrity == Integrity::Untrusted {
            self.untrusted.push(text.to_owned());
        }
    }

    /// Weighs a text: JSON by its places, anything else by the worst the contract knows.
    pub(crate) fn read_text(&mut self, contract: &Contract, text: &str) {
        match Json::parse_structure(text) {
            Some(json) => self.read_json(contract, &json, false),
            None => self.text(text, contract.worst_integrity()),
        }
    }

    /// Weighs a JSON value. `wrapped`: servers put a bare list into `{"result": …}` for
    /// `structuredContent`, so field rules hold below it too.
    pub(crate) fn read_json(&mut self, contract: &Contract, json: &Json<'_>, wrapped: bool) {
        let wrapped = wrapped
            && matches!(json, Json::Object(entries) if entries.len() == 1 && entries[0].0 == "result");
        // A list where the contract speaks of an object is not what its author looked at.
        let misfit = matches!(json, Json::Array(_)) && !contract.reaches_lists();
        let most = if misfit { contract.worst_integrity() } else { Integrity::System };
        let mut walk = Walk { contract, wrapped, most, path: Vec::new(), weighing: self };
        walk.value(json);
    }
}

struct Walk<'w, 'j> {
    contract: &'w Contract,
    wrapped: bool,
    most: Integrity,
    path: Vec<Step<'j>>,
    weighing: &'w mut Weighing,
}

impl<'j> Walk<'_, 'j> {
    fn integrity(&self) -> Integrity {
        self.worth(|path| self.contract.integrity_at(path))
    }

    fn integrity_of(&self, value: &str) -> Integrity {
        self.worth(|path| self.contract.integrity_of(path, value))
    }

    fn worth(&self, at: impl Fn(&[Step<'j>]) -> Integrity) -> Integrity {
        let mut integrity = at(&self.path).min(self.most);
        if self.wrapped && self.path.len() > 1 {
            integrity = integrity.min(at(&self.path[1..]));
        }
        integrity
    }

    fn spelled(&self) -> bool {
        self.contract.spells(&self.path)
            || self.wrapped && (self.path.len() == 1 || self.contract.spells(&self.path[1..]))
    }

    fn value(&mut self, json: &'j Json<'_>) {
        match json {
            Json::Null => {}
            Json::Bool(_) => self.weighing.note(self.integrity()),
            Json::Number(raw) => {
                let integrity = self.integrity_of(raw);
                self.weighing.note(integrity);
                self.weighing.leaf(literal::json_number(raw), integrity);
            }
            Json::String(text) => {
                let integrity = self.integrity_of(text);
                self.weighing.text(text, integrity);
                self.weighing.leaf(literal::forms(text), integrity);
            }
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(at));
                    self.value(item);
                    self.path.pop();
                }
            }
            Json::Object(entries) => {
                let mut fields = Vec::new();
                for (key, value) in entries {
                    self.path.push(Step::Key(key));
                    let scalar = match value {
                        Json::String(text) => Some(text.as_ref()),
                        Json::Number(raw) => Some(*raw),
                        _ => None,
                    };
                    if let Some(text) = scalar {
                        let integrity = self.integrity_of(text);
                        if integrity > Integrity::Untrusted {
                            fields.push(Field { key, value, integrity });
                        }
                    }
                    // A key that the contract does not spell out may be anybody's words too.
                    let integrity = self.integrity_of(key);
                    if integrity == Integrity::Untrusted && !self.spelled() {
                        self.weighing.text(key, integrity);
                    }
                    self.value(value);
                    self.path.pop();
                }
                self.weighing.records.add(&fields);
            }
        }
    }
}

/// One piece of a result, out of its wrapping.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Text(Cow<'a, str>),
    Structure(&'a Json<'a>),
    Media(&'a str),
}

impl Piece<'_> {
    pub(crate) fn mark(&self, scope: &Scope) -> Mark {
        match self {
            Self::Text(text) => scope.essence(text),
            Self::Structure(json) => scope.structure(json),
            Self::Media(data) => media_mark(scope, data),
        }
    }
}

/// The mark of media bytes, in base64.
pub(crate) fn media_mark(scope: &Scope, data: &str) -> Mark {
    scope.mark(Kind::Media, &[data.as_bytes()])
}

/// Takes off the shapes in which clients pass results on: a JSON string, MCP content blocks, a
/// whole `CallToolResult`, `{"type": "json", "value": …}`, `{"result": …}`. `None` where it is
/// none of these, or where a shape holds anything besides.
pub(crate) fn unwrap<'a>(json: &'a Json<'a>) -> Option<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    unwrap_into(json, 0, &mut pieces)?;
    (!pieces.is_empty()).then_some(pieces)
}

fn unwrap_into<'a>(json: &'a Json<'a>, depth: usize, pieces: &mut Vec<Piece<'a>>) -> Option<()> {
    if depth > DEEPEST_WRAP {
        return None;
    }
    match json {
        Json::String(text) => pieces.push(Piece::Text(Cow::Borrowed(text))),
        Json::Array(blocks) => {
            for block in blocks {
                unwrap_block(block, pieces)?;
            }
        }
        Json::Object(entries) => {
            if json.field("content").is_some() {
                only(json, &["content", "structuredContent", "isError"])?;
                unwrap_into(json.field("content")?, depth + 1, pieces)?;
                let structure = json.field("structuredContent").filter(|value| !value.is_empty());
                pieces.extend(structure.map(Piece::Structure));
            } else if let Some(kind) = json.field("type").and_then(Json::as_str) {
                match (kind, json.field("value")) {
                    ("json", Some(value)) => {
                        only(json, &["type", "value"])?;
                        pieces.push(Piece::Structure(value));
                    }
                    (_, Some(value)) => {
                        only(json, &["type", "value"])?;
                        unwrap_into(value, depth + 1, pieces)?;
                    }
                    _ => unwrap_block(json, pieces)?,
                }
            } else {
                let [(key, value)] = entries.as_slice() else { return None };
                if !matches!(key.as_ref(), "result" | "output") {
                    return None;
                }
                match value {
                    Json::String(_) => unwrap_into(value, depth + 1, pieces)?,
                    _ if unwrap_into(value, depth + 1, pieces).is_some() => {}
                    _ => pieces.push(Piece::Structure(value)),
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => return None,
    }
    Some(())
}

fn unwrap_block<'a>(block: &'a Json<'a>, pieces: &mut Vec<Piece<'a>>) -> Option<()> {
    match block.field("type")?.as_str()? {
        "text" => {
            only(block, &["type", "text"])?;
            pieces.push(Piece::Text(Cow::Borrowed(block.field("text")?.as_str()?)));
        }
        "image" | "audio" => {
            only(block, &["type", "data", "mimeType"])?;
            pieces.push(Piece::Media(block.field("data")?.as_str()?));
        }
        _ => return None,
    }
    Some(())
}

/// Whether nothing but these keys says anything.
fn only(json: &Json<'_>, keys: &[&str]) -> Option<()> {
    let Json::Object(entries) = json else { return None };
    let rest = entries.iter().all(|(key, value)| keys.contains(&key.as_ref()) || value.is_empty());
    rest.then_some(())
}

/// The ways in which a tool result of a request may be on file: in each way all marks must be.
pub(crate) fn candidates(scope: &Scope, result: &ToolResult) -> Vec<Vec<Mark>> {
    let mut parts = Vec::with_capacity(result.content.len());
    let mut only_text = true;
    for part in &result.content {
        match &part.body {
            Body::Text(text) if text.trim().is_empty() => {}
            Body::Text(text) => parts.push(scope.essence(text)),
            Body::Media(media) => {
                let MediaSource::Base64 { data, .. } = &media.source else { return Vec::new() };
                only_text = false;
                parts.push(media_mark(scope, data));
            }
            _ => return Vec::new(),
        }
    }
    let single = parts.len() == 1;
    let mut ways = vec![parts];
    if only_text {
        let text = result.text();
        if !single {
            ways.push(vec![scope.essence(&text)]);
        }
        if text.trim_start().starts_with(['{', '[', '"'])
            && let Some(json) = Json::parse(&text)
            && let Some(pieces) = unwrap(&json)
        {
            ways.push(pieces.iter().map(|piece| piece.mark(scope)).collect());
        }
    }
    ways.retain(|way| !way.is_empty());
    ways
}

/// Weighs a result of a client's own tool by its contract.
pub(crate) fn weigh_own(contract: &Contract, result: &ToolResult) -> Weighing {
    let mut weighing = Weighing::default();
    let all_text = result.content.iter().all(|part| matches!(part.body, Body::Text(_)));
    if !all_text {
        weighing.note(contract.worst_integrity());
    }
    let text = result.text();
    let json = Json::parse(&text);
    match json.as_ref().and_then(|json| unwrap(json)) {
        Some(pieces) => {
            if matches!(json, Some(Json::Object(_))) {
                // What looks like a wrapping may be the tool's own object: the worse holds.
                weighing.read_text(contract, &text);
            }
            for piece in &pieces {
                match piece {
                    Piece::Text(text) => weighing.read_text(contract, text),
                    Piece::Structure(json) => weighing.read_json(contract, json, true),
                    Piece::Media(_) => weighing.note(contract.worst_integrity()),
                }
            }
        }
        None => weighing.read_text(contract, &text),
    }
    weighing.note(weighing.worst.unwrap_or_else(|| contract.integrity_at(&[])));
    weighing
}

#[cfg(test)]
mod tests;
