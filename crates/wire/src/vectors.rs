//! What embeddings have in common in every wire format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, EmbedCall, EmbedInput, EmbedReply, Route, Usage};
use serde::de::{self, Deserialize, Deserializer};

use crate::emit::{Array, string};
use crate::{Destination, Dropped, WriteError};

/// A vector of finite numbers.
#[derive(Debug)]
pub(crate) struct Vector(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let vector = Vec::<f32>::deserialize(deserializer)?;
        if vector.iter().all(|n| n.is_finite()) {
            Ok(Self(vector))
        } else {
            Err(de::Error::custom("expected numbers that fit 32 bits"))
        }
    }
}

/// A reply as it came; the router fills in the rest.
pub(crate) fn reply(
    dialect: DialectId,
    model: String,
    vectors: Vec<Vector>,
    usage: Option<Usage>,
    raw: Bytes,
) -> EmbedReply {
    EmbedReply {
        dialect,
        route: Route::default().into(),
        headers: Vec::new(),
        model,
        vectors: vectors.into_iter().map(|Vector(vector)| vector).collect(),
        usage,
        raw: Some(raw),
        hold: None,
    }
}

/// Tokens of a prompt that has no answer.
pub(crate) fn counted(input: u64) -> Usage {
    Usage { input, ..Usage::default() }
}

/// The texts to embed.
pub(crate) fn texts(call: &EmbedCall) -> Result<Vec<&str>, WriteError> {
    let mut texts = Vec::with_capacity(call.input.len());
    for (nth, input) in call.input.iter().enumerate() {
        match input {
            EmbedInput::Text(text) => texts.push(text.as_str()),
            EmbedInput::Tokens(_) => {
                let reason = "this upstream takes texts and no token ids";
                return Err(WriteError { path: format!("input[{nth}]"), reason });
            }
        }
    }
    Ok(texts)
}

/// The body of a call that came in this dialect, with the model's name replaced where it stands
/// in it; `None` where it is to be written anew.
pub(crate) fn same_dialect(call: &EmbedCall, id: DialectId, to: &Destination<'_>) -> Option<Bytes> {
    let raw = call.raw.as_ref().filter(|raw| raw.dialect == id && !raw.body.is_empty())?;
    if raw.model.is_empty() || call.model == to.model {
        return Some(raw.body.clone());
    }
    let (head, tail) = (raw.body.get(..raw.model.start)?, raw.body.get(raw.model.end..)?);
    let mut out = BytesMut::with_capacity(raw.body.len() + to.model.len());
    out.extend_from_slice(head);
    string(&mut out, to.model);
    out.extend_from_slice(tail);
    Some(out.freeze())
}

/// Reports the fields of another dialect.
pub(crate) fn drop_extra(call: &EmbedCall, id: DialectId, dropped: &mut Vec<Dropped>) -> bool {
    let own = call.raw.as_ref().is_some_and(|raw| raw.dialect == id);
    if !own {
        for (name, _) in &call.extra {
            dropped.push(Dropped { path: name.clone(), reason: "no such field in this dialect" });
        }
    }
    own
}

/// Writes one vector.
pub(crate) fn write(list: &mut Array<'_>, vector: &[f32]) {
    for number in vector {
        list.value(number);
    }
}

/// A vector as base64 of little-endian `f32`.
pub(crate) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
