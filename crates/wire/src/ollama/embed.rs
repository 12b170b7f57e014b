//! Ollama's embeddings.

use bytes::{Bytes, BytesMut};
use doorward_core::{EmbedCall, EmbedInput, EmbedReply, RawCall};
use serde::Deserialize;

use super::ID;
use crate::emit;
use crate::json::{Count, Source, Text, Whole, Word, texts};
use crate::vectors::{self, Vector, counted};
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Ollama's `/api/embed` (<https://github.com/ollama/ollama/blob/main/docs/api.md>).
///
/// ```
/// use bytes::Bytes;
/// use doorward_wire::{Destination, Embeddings, OllamaEmbeddings};
///
/// let body = r#"{"model":"here","input":["a","b"], "keep_alive":"5m"}"#;
/// let call = OllamaEmbeddings.read_call(Bytes::from_static(body.as_bytes()))?;
/// assert_eq!(call.input.len(), 2);
/// let same = OllamaEmbeddings.write_call(&call, &Destination::new("nomic"))?;
/// assert_eq!(same.body, body.replace("here", "nomic"));
///
/// let huge = Bytes::from_static(br#"{"model":"m","embeddings":[[1e99]]}"#);
/// assert!(OllamaEmbeddings.read_reply(huge).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OllamaEmbeddings;

/// Every field the common form knows.
const KNOWN: &[&str] = &["model", "input", "dimensions"];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Word<'a>,
    embeddings: Vec<Vector>,
    prompt_eval_count: Option<Count>,
}

impl Embeddings for OllamaEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(&body)?;
        let mut members = source.members()?;
        let name = members.need("model", "a string")?;
        let input = texts(source, members.need("input", "a text or an array of texts")?)?;
        let dimensions = members.read::<Whole>("dimensions")?;
        let model = source.span(name.get());
        Ok(EmbedCall {
            model: source.read::<Text<'_>>(name)?.into_string(),
            input: input.into_iter().map(EmbedInput::Text).collect(),
            dimensions: dimensions.and_then(|Whole(n)| u32::try_from(n).ok()),
            extra: members.rest(KNOWN)?,
            raw: Some(RawCall { dialect: ID, body: body.clone(), model, headers: Vec::new() }),
            ..EmbedCall::default()
        })
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let mut dropped = Vec::new();
        if let Some(body) = vectors::same_dialect(call, ID, to) {
            return Ok(Written { body, dropped });
        }
        let texts = vectors::texts(call)?;
        let own = vectors::drop_extra(call, ID, &mut dropped);
        for (given, path) in [(call.purpose.is_some(), "input_type"), (call.user.is_some(), "user")]
        {
            if given {
                let reason = "no such field in Ollama's embeddings";
                dropped.push(Dropped { path: path.to_owned(), reason });
            }
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.str("model", to.model);
            body.array("input", |list| texts.iter().for_each(|text| list.str(text)));
            body.opt("dimensions", call.dimensions);
            for (name, value) in call.extra.iter().filter(|_| own) {
                body.raw(name, value.get());
            }
        });
        Ok(Written { body: out.freeze(), dropped })
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let answer = Source::new(&body)?.whole::<Answer<'_>>()?;
        let usage = answer.prompt_eval_count.map(|Count(n)| counted(n));
        let model = answer.model.0.into_owned();
        Ok(vectors::reply(ID, model, answer.embeddings, usage, body.clone()))
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.str("model", call.model);
            body.array("embeddings", |list| {
                for vector in &call.reply.vectors {
                    list.array(|list| vectors::write(list, vector));
                }
            });
            if let Some(usage) = call.reply.usage {
                body.value("prompt_eval_count", usage.input);
            }
        });
        out.freeze()
    }
}
