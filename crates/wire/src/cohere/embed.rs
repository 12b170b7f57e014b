//! Embeddings of Cohere's: its own `v2/embed`, and the same models on Bedrock.

use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, EmbedCall, EmbedInput, EmbedReply, RawCall};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::{self, Object};
use crate::json::{Count, Members, Source, Text, Whole};
use crate::vectors::{self, Vector, counted};
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Cohere's `v2/embed` (<https://docs.cohere.com/reference/embed>).
///
/// What the vectors are for is its `input_type`, which must be given: where a call says nothing
/// it is `search_document`. Only vectors of floats are asked for.
///
/// ```
/// use doorward_core::{EmbedCall, EmbedInput};
/// use doorward_wire::{CohereEmbeddings, Destination, Embeddings};
///
/// let input = vec![EmbedInput::Text("hi".into())];
/// let call = EmbedCall { input, ..EmbedCall::default() };
/// let body = CohereEmbeddings.write_call(&call, &Destination::new("embed-v4.0"))?.body;
/// let expected = r#"{"model":"embed-v4.0","texts":["hi"],"input_type":"search_document","embedding_types":["float"]}"#;
/// assert_eq!(body, expected);
///
/// let tokens = vec![EmbedInput::Tokens(vec![7])];
/// let call = EmbedCall { input: tokens, ..EmbedCall::default() };
/// assert!(CohereEmbeddings.write_call(&call, &Destination::new("embed-v4.0")).is_err());
/// # Ok::<(), doorward_wire::WriteError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CohereEmbeddings;

const OWN: Host = Host { id: DialectId::COHERE_CHAT, names_model: true };

impl Embeddings for CohereEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        OWN.read_call(&body)
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        OWN.write_call(call, to)
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        OWN.read_reply(&body)
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        write_reply(call)
    }
}

/// Who serves Cohere's models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) id: DialectId,
    /// Whether the body names the model.
    pub(crate) names_model: bool,
}

/// Every field the common form knows.
const KNOWN: &[&str] = &["model", "texts", "input_type", "embedding_types", "output_dimension"];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: &'a RawValue,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct ByType {
    float: Vec<Vector>,
}

#[derive(Deserialize)]
struct Meta {
    billed_units: Option<Billed>,
}

#[derive(Deserialize)]
struct Billed {
    input_tokens: Option<Count>,
}

impl Host {
    pub(crate) fn read_call(self, body: &Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(body)?;
        let mut members = source.members()?;
        let (mut model, mut span) = (String::new(), 0..0);
        if self.names_model {
            let name = members.need("model", "a string")?;
            model = source.read::<Text<'_>>(name)?.into_string();
            span = source.span(name.get());
        }
        let texts = members.need("texts", "an array of texts; images are not read")?;
        let texts = source.read::<Vec<Text<'_>>>(texts)?;
        let input = texts.into_iter().map(|text| EmbedInput::Text(text.into_string())).collect();
        let purpose = members.read::<Text<'_>>("input_type")?.map(Text::into_string);
        let base64 = read_types(source, &mut members)?;
        let dimensions = members.read::<Whole>("output_dimension")?;
        Ok(EmbedCall {
            model,
            input,
            dimensions: dimensions.and_then(|Whole(n)| u32::try_from(n).ok()),
            base64,
            purpose,
            extra: members.rest(KNOWN)?,
            raw: Some(RawCall {
                dialect: self.id,
                body: body.clone(),
                model: span,
                headers: Vec::new(),
            }),
            ..EmbedCall::default()
        })
    }

    pub(crate) fn write_call(
        self,
        call: &EmbedCall,
        to: &Destination<'_>,
    ) -> Result<Written, WriteError> {
        let mut dropped = Vec::new();
        if let Some(body) = vectors::same_dialect(call, self.id, to) {
            return Ok(Written { body, dropped });
        }
        let texts = vectors::texts(call)?;
        let own = vectors::drop_extra(call, self.id, &mut dropped);
        if call.user.is_some() {
            let reason = "Cohere does not ask who the end user is";
            dropped.push(Dropped { path: "user".to_owned(), reason });
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            if self.names_model {
                body.str("model", to.model);
            }
            body.array("texts", |list| texts.iter().for_each(|text| list.str(text)));
            body.str("input_type", call.purpose.as_deref().unwrap_or("search_document"));
            body.array("embedding_types", |list| list.str("float"));
            body.opt("output_dimension", call.dimensions);
            for (name, value) in call.extra.iter().filter(|_| own) {
                body.raw(name, value.get());
            }
        });
        Ok(Written { body: out.freeze(), dropped })
    }

    pub(crate) fn read_reply(self, body: &Bytes) -> Result<EmbedReply, ReadError> {
        let source = Source::new(body)?;
        let answer = source.whole::<Answer<'_>>()?;
        let vectors = if answer.embeddings.get().starts_with('{') {
            source.read::<ByType>(answer.embeddings)?.float
        } else {
            source.read::<Vec<Vector>>(answer.embeddings)?
        };
        let billed = answer.meta.and_then(|meta| meta.billed_units);
        let usage = billed.and_then(|billed| billed.input_tokens).map(|Count(n)| counted(n));
        Ok(vectors::reply(self.id, String::new(), vectors, usage, body.clone()))
    }
}

/// Whether base64 is asked for. Doorward gives floats in one of two spellings.
fn read_types<'a>(source: Source<'a>, members: &mut Members<'a>) -> Result<bool, ReadError> {
    let Some(value) = members.take("embedding_types") else { return Ok(false) };
    let types = source.read::<Vec<Text<'a>>>(value)?;
    match types.iter().map(Text::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["float"] => Ok(false),
        ["base64"] => Ok(true),
        _ => Err(source.wrong(value, "expected `float` or `base64`, one of them")),
    }
}

/// Writes an answer for a client that asked as [`Host::read_call`] reads.
pub(crate) fn write_reply(call: &Embedded<'_>) -> Bytes {
    let mut out = BytesMut::new();
    emit::object(&mut out, |body| {
        body.str("id", "");
        body.object("embeddings", |types| write_vectors(types, call));
        body.array("texts", |_| {});
        body.object("meta", |meta| {
            meta.object("api_version", |version| version.str("version", "2"));
            if let Some(usage) = call.reply.usage {
                meta.object("billed_units", |units| units.value("input_tokens", usage.input));
            }
        });
        body.str("response_type", "embeddings_by_type");
    });
    out.freeze()
}

fn write_vectors(types: &mut Object<'_>, call: &Embedded<'_>) {
    let vectors = &call.reply.vectors;
    if call.base64 {
        types.array("base64", |list| {
            for vector in vectors {
                list.str(&vectors::base64(vector));
            }
        });
    } else {
        types.array("float", |list| {
            for vector in vectors {
                list.array(|list| vectors::write(list, vector));
            }
        });
    }
}
