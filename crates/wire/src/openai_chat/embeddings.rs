//! Embeddings (<https://platform.openai.com/docs/api-reference/embeddings>).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use doorward_core::{EmbedCall, EmbedInput, EmbedReply, RawCall, Route, Usage};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ID;
use crate::emit::{self, Object};
use crate::json::{Count, Source, Text, Whole, Word};
use crate::quirks::mend::{Request, mend};
use crate::splice::{Edits, rename};
use crate::{
    Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written, preferences,
};

/// Every field the common form knows.
const KNOWN: &[&str] = &["model", "input", "dimensions", "encoding_format", "user"];

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EmbeddingsV1;

impl Embeddings for EmbeddingsV1 {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(&body)?;
        let mut members = source.members()?;
        let name = members.need("model", "a string")?;
        let mut model = source.read::<Text<'_>>(name)?.into_string();
        let span = source.span(name.get());
        let preferences = preferences::read(source, &members, &mut model)?;
        let input = members.need("input", "a string or an array")?;
        let input = read_input(source, input)?;
        let dimensions = members.read::<Whole>("dimensions")?.map(|Whole(n)| u32::try_from(n));
        let dimensions =
            dimensions.transpose().map_err(|_| ReadError::field("dimensions", "too large"))?;
        let base64 = match members.take("encoding_format") {
            None => false,
            Some(value) => match source.read::<Text<'_>>(value)?.as_str() {
                "float" => false,
                "base64" => true,
                _ => return Err(source.wrong(value, "expected `float` or `base64`")),
            },
        };
        let user = members.read::<Text<'_>>("user")?.map(Text::into_string);
        let extra = members.rest(KNOWN)?;
        let raw = RawCall { dialect: ID, model: span, body: body.clone(), headers: Vec::new() };
        Ok(EmbedCall {
            model,
            input,
            dimensions,
            base64,
            user,
            extra,
            raw: Some(raw),
            preferences,
            ..EmbedCall::default()
        })
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
        let extra = if own.is_some() { call.extra.as_slice() } else { &[] };
        let request = Request { quirks: to.quirks, extra, headers: &[] };
        let written = match own.filter(|raw| !raw.body.is_empty()) {
            Some(raw) => Written { body: renamed(raw, to)?, dropped: Vec::new() },
            None => compose(call, own.is_some(), to),
        };
        mend(written, &request, false, |_| Ok(()))
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let answer: AnswerIn<'_> = Source::new(&body)?.whole()?;
        let mut data = answer.data;
        data.sort_by_key(|item| item.index);
        let vectors = data.into_iter().map(|item| item.embedding.0).collect();
        let usage = answer.usage.map(|usage| Usage {
            input: usage.prompt_tokens.or(usage.total_tokens).unwrap_or_default().0,
            ..Usage::default()
        });
        let model = answer.model.0.into_owned();
        Ok(EmbedReply {
            dialect: ID,
            route: Arc::new(Route::default()),
            headers: Vec::new(),
            model,
            vectors,
            usage,
            raw: Some(body),
            hold: None,
        })
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let reply = call.reply;
        if let Some(raw) = reply.raw.as_ref().filter(|_| reply.dialect == ID) {
            return raw.clone();
        }
        let mut out = BytesMut::with_capacity(reply.vectors.len() * 4096);
        emit::object(&mut out, |body| {
            body.str("object", "list");
            body.array("data", |list| {
                for (index, vector) in reply.vectors.iter().enumerate() {
                    list.object(|item| {
                        item.str("object", "embedding");
                        item.value("index", index);
                        write_vector(item, vector, call.base64);
                    });
                }
            });
            body.str("model", if call.model.is_empty() { &reply.model } else { call.model });
            if let Some(usage) = &reply.usage {
                body.object("usage", |body| {
                    body.value("prompt_tokens", usage.input);
                    body.value("total_tokens", usage.total());
                });
            }
        });
        out.freeze()
    }
}

/// The body as it came, but for the model's name.
fn renamed(raw: &RawCall, to: &Destination<'_>) -> Result<Bytes, WriteError> {
    let mut edits = Edits::default();
    rename(raw, to.model, &mut edits)?;
    Ok(edits.apply(&raw.body))
}

fn compose(call: &EmbedCall, own: bool, to: &Destination<'_>) -> Written {
    let (mut out, mut dropped) = (BytesMut::with_capacity(256), Vec::new());
    emit::object(&mut out, |body| {
        body.str("model", to.model);
        body.array("input", |list| {
            for input in &call.input {
                match input {
                    EmbedInput::Text(text) => list.str(text),
                    EmbedInput::Tokens(tokens) => {
                        let tokens: Vec<String> = tokens.iter().map(u32::to_string).collect();
                        list.raw(&format!("[{}]", tokens.join(",")));
                    }
                }
            }
        });
        body.opt("dimensions", call.dimensions);
        // Some refuse the field, so the usual format goes unsaid. What a client of another
        // dialect gets is written here anyway.
        if own && call.base64 {
            body.str("encoding_format", "base64");
        }
        body.opt_str("user", call.user.as_deref());
        if call.purpose.is_some() {
            let (path, reason) = ("purpose".to_owned(), "OpenAI embeddings have no purpose");
            dropped.push(Dropped { path, reason });
        }
        for (name, value) in &call.extra {
            if own || to.quirks.extends(name) {
                body.raw(name, value.get());
            } else {
                let reason = "no such field in OpenAI embeddings";
                dropped.extend(preferences::lost(name, value, reason));
            }
        }
    });
    Written { body: out.freeze(), dropped }
}

fn write_vector(item: &mut Object<'_>, vector: &[f32], base64: bool) {
    if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        return item.str("embedding", &STANDARD.encode(bytes));
    }
    item.array("embedding", |list| {
        for number in vector {
            // JSON has no words for what is no number.
            list.raw(&if number.is_finite() { number.to_string() } else { "0".to_owned() });
        }
    });
}

/// Reads a text, texts, tokens, or lists of tokens.
fn read_input(source: Source<'_>, value: &RawValue) -> Result<Vec<EmbedInput>, ReadError> {
    let first = |text: &str| text[1..].trim_start().bytes().next();
    let text = value.get();
    if text.starts_with('"') {
        let text: String = serde_json::from_str(text)
            .map_err(|_| source.wrong(value, "expected a string or an array"))?;
        return Ok(vec![EmbedInput::Text(text)]);
    }
    let wrong = |_| source.wrong(value, "expected strings, or token ids, or lists of token ids");
    match (text.starts_with('['), first(text)) {
        (true, Some(b'"')) => {
            let texts: Vec<String> = serde_json::from_str(text).map_err(wrong)?;
            Ok(texts.into_iter().map(EmbedInput::Text).collect())
        }
        (true, Some(b'[')) => {
            let lists: Vec<Vec<u32>> = serde_json::from_str(text).map_err(wrong)?;
            Ok(lists.into_iter().map(EmbedInput::Tokens).collect())
        }
        (true, Some(b']')) => Err(source.wrong(value, "nothing to embed")),
        (true, _) => {
            let tokens: Vec<u32> = serde_json::from_str(text).map_err(wrong)?;
            Ok(vec![EmbedInput::Tokens(tokens)])
        }
        (false, _) => Err(source.wrong(value, "expected a string or an array")),
    }
}

#[derive(Deserialize)]
struct AnswerIn<'a> {
    data: Vec<ItemIn>,
    #[serde(borrow, default)]
    model: Word<'a>,
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct UsageIn {
    prompt_tokens: Option<Count>,
    total_tokens: Option<Count>,
}

#[derive(Deserialize)]
struct ItemIn {
    #[serde(default)]
    index: Count,
    embedding: VectorIn,
}

/// Numbers, or base64 of little-endian `f32`.
struct VectorIn(Vec<f32>);

impl<'de> Deserialize<'de> for VectorIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with('"') {
            return serde_json::from_str(raw).map(Self).map_err(Error::custom);
        }
        let text: Text<'_> = serde_json::from_str(raw).map_err(Error::custom)?;
        let bytes = STANDARD.decode(text.as_str()).map_err(|_| Error::custom("no base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Error::custom("no list of 32-bit numbers"));
        }
        Ok(Self(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<EmbedCall, ReadError> {
        EmbeddingsV1.read_call(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn every_kind_of_input_is_read() {
        let text = |text: &str| EmbedInput::Text(text.into());
        for (input, expected) in [
            (r#""a""#, vec![text("a")]),
            (r#"["a","b"]"#, vec![text("a"), text("b")]),
            ("[1, 2]", vec![EmbedInput::Tokens(vec![1, 2])]),
            ("[[1],[2,3]]", vec![EmbedInput::Tokens(vec![1]), EmbedInput::Tokens(vec![2, 3])]),
        ] {
            let call = read(&format!(r#"{{"model":"m","input":{input}}}"#)).unwrap();
            assert_eq!(call.input, expected, "{input}");
        }
        for (input, problem) in [
            ("[]", "input: nothing to embed"),
            ("5", "input: expected a string or an array"),
            (r#"["a",1]"#, "input: expected strings, or token ids, or lists of token ids"),
        ] {
            let error = read(&format!(r#"{{"model":"m","input":{input}}}"#)).unwrap_err();
            assert_eq!(error.to_string(), problem);
        }
    }

    #[test]
    fn trap_41_what_is_not_said_is_not_written() {
        let body =
            r#"{"model":"fast","input":"a", "encoding_format":"base64","provider":{"only":["x"]}}"#;
        let mut call = read(body).unwrap();
        assert!(call.base64 && call.preferences.only == ["x"]);
        let written =
            |call: &EmbedCall| EmbeddingsV1.write_call(call, &Destination::new("m")).unwrap().body;
        assert_eq!(written(&call), r#"{"model":"m","input":"a", "encoding_format":"base64"}"#);
        call.raw = None;
        assert_eq!(written(&call), r#"{"model":"m","input":["a"]}"#);
    }

    #[test]
    fn vectors_are_read_and_written_in_both_forms() {
        let numbers = r#"{"object":"list","data":[{"index":1,"embedding":[3]},{"index":0,"embedding":[0.1,-2.5]}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        let mut reply = EmbeddingsV1.read_reply(Bytes::from(numbers)).unwrap();
        assert_eq!(reply.vectors, [vec![0.1, -2.5], vec![3.0]]);
        let told = |reply: &EmbedReply, base64| {
            EmbeddingsV1.write_reply(&Embedded { reply, model: "fast", base64 })
        };
        assert_eq!(told(&reply, false), numbers, "its own bytes");
        reply.raw = None;
        let expected = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2.5]},{"object":"embedding","index":1,"embedding":[3]}],"model":"fast","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        assert_eq!(told(&reply, false), expected);
        let again = EmbeddingsV1.read_reply(told(&reply, true)).unwrap();
        assert_eq!(again.vectors, reply.vectors);
        assert!(
            EmbeddingsV1.read_reply(Bytes::from(r#"{"data":[{"embedding":"AAA="}]}"#)).is_err()
        );
    }
}
