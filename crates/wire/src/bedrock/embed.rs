//! Embeddings on Bedrock: bodies of `InvokeModel`, in each model's own format. The model stands
//! in the address.

use bytes::{Bytes, BytesMut};
use doorward_core::{EmbedCall, EmbedInput, EmbedReply, RawCall};
use serde::Deserialize;

use super::ID;
use crate::cohere::embed::{self as cohere, Host};
use crate::emit;
use crate::json::{Count, Source, Text, Whole};
use crate::vectors::{self, Vector, counted};
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Amazon Titan Text Embeddings V2
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>).
///
/// A request holds **one** text: for several, ask once for each and put the vectors together.
/// Writing a call of several is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct TitanEmbeddings;

/// Every field the common form knows.
const KNOWN: &[&str] = &["inputText", "dimensions"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TitanAnswer {
    embedding: Vector,
    input_text_token_count: Option<Count>,
}

impl Embeddings for TitanEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(&body)?;
        let mut members = source.members()?;
        let text = source.read::<Text<'_>>(members.need("inputText", "a string")?)?;
        let dimensions = members.read::<Whole>("dimensions")?;
        let raw = RawCall { dialect: ID, body: body.clone(), model: 0..0, headers: Vec::new() };
        Ok(EmbedCall {
            input: vec![EmbedInput::Text(text.into_string())],
            dimensions: dimensions.and_then(|Whole(n)| u32::try_from(n).ok()),
            extra: members.rest(KNOWN)?,
            raw: Some(raw),
            ..EmbedCall::default()
        })
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let mut dropped = Vec::new();
        if let Some(body) = vectors::same_dialect(call, ID, to) {
            return Ok(Written { body, dropped });
        }
        let texts = vectors::texts(call)?;
        let &[text] = texts.as_slice() else {
            let reason = "Titan embeds one text a call: ask once for each";
            return Err(WriteError { path: "input".to_owned(), reason });
        };
        let own = vectors::drop_extra(call, ID, &mut dropped);
        for (given, path, reason) in [
            (call.purpose.is_some(), "input_type", "Titan embeds alike for every purpose"),
            (call.user.is_some(), "user", "Titan does not ask who the end user is"),
        ] {
            if given {
                dropped.push(Dropped { path: path.to_owned(), reason });
            }
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.str("inputText", text);
            body.opt("dimensions", call.dimensions);
            for (name, value) in call.extra.iter().filter(|_| own) {
                body.raw(name, value.get());
            }
        });
        Ok(Written { body: out.freeze(), dropped })
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let answer = Source::new(&body)?.whole::<TitanAnswer>()?;
        let usage = answer.input_text_token_count.map(|Count(n)| counted(n));
        Ok(vectors::reply(ID, String::new(), vec![answer.embedding], usage, body.clone()))
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let vector = call.reply.vectors.first().map(Vec::as_slice).unwrap_or_default();
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("embedding", |list| vectors::write(list, vector));
            let tokens = call.reply.usage.map(|usage| usage.input);
            body.value("inputTextTokenCount", tokens.unwrap_or_default());
        });
        out.freeze()
    }
}

/// Cohere's Embed models on Bedrock
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>). At most
/// 96 texts a call; usage is told in headers only (`x-amzn-bedrock-input-token-count`).
#[derive(Debug, Clone, Copy, Default)]
pub struct CohereOnBedrock;

const HOST: Host = Host { id: ID, names_model: false };

impl Embeddings for CohereOnBedrock {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        HOST.read_call(&body)
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        HOST.write_call(call, to)
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        HOST.read_reply(&body)
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        cohere::write_reply(call)
    }
}

/// Both: a model whose name says `cohere` is Cohere's, every other is Titan's, and answers tell
/// themselves apart.
///
/// ```
/// use doorward_core::{EmbedCall, EmbedInput};
/// use doorward_wire::{BedrockEmbeddings, Destination, Embeddings};
///
/// let input = vec![EmbedInput::Text("hi".into())];
/// let call = EmbedCall { input, dimensions: Some(256), ..EmbedCall::default() };
/// let to = Destination::new("amazon.titan-embed-text-v2:0");
/// let body = BedrockEmbeddings.write_call(&call, &to)?.body;
/// assert_eq!(body, r#"{"inputText":"hi","dimensions":256}"#);
///
/// let input = vec![EmbedInput::Text("a".into()), EmbedInput::Text("b".into())];
/// let two = EmbedCall { input, ..EmbedCall::default() };
/// assert!(BedrockEmbeddings.write_call(&two, &to).is_err(), "one text a call");
/// assert!(BedrockEmbeddings.write_call(&two, &Destination::new("cohere.embed-v4:0")).is_ok());
/// # Ok::<(), doorward_wire::WriteError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct BedrockEmbeddings;

impl BedrockEmbeddings {
    /// How many texts one request to this model may hold; the router asks in as many requests as
    /// that takes.
    pub fn most_texts(model: &str) -> usize {
        if model.contains("cohere") { 96 } else { 1 }
    }
}

impl Embeddings for BedrockEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let titan = Source::new(&body)?.members()?.find("inputText").is_some();
        if titan { TitanEmbeddings.read_call(body) } else { CohereOnBedrock.read_call(body) }
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        if to.model.contains("cohere") {
            CohereOnBedrock.write_call(call, to)
        } else {
            TitanEmbeddings.write_call(call, to)
        }
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let titan = Source::new(&body)?.members()?.find("embedding").is_some();
        if titan { TitanEmbeddings.read_reply(body) } else { CohereOnBedrock.read_reply(body) }
    }

    /// As the model's family does, by the name that the client asked for.
    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        if call.reply.vectors.len() == 1 && !call.model.contains("cohere") {
            TitanEmbeddings.write_reply(call)
        } else {
            CohereOnBedrock.write_reply(call)
        }
    }
}
