//! Embeddings: `POST /embedding-model`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use doorward_core::{EmbedCall, EmbedInput, EmbedReply, Preferences, RawCall, Route, Usage};
use serde::Deserialize;

use super::{ID, options};
use crate::emit;
use crate::json::{Count, Source, Text, Whole};
use crate::preferences::lost;
use crate::quirks::mend::{Request, mend};
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Every field the common form knows.
const KNOWN: &[&str] = &["values", "dimensions", "providerOptions"];

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EmbeddingModel;

impl Embeddings for EmbeddingModel {
    /// The model stands in a header: the edge fills it in.
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(&body)?;
        let mut members = source.members()?;
        let values = members.need("values", "an array of strings")?;
        let values = source.read::<Vec<Text<'_>>>(values)?;
        if values.is_empty() {
            return Err(ReadError::field("values", "nothing to embed"));
        }
        let input = values.into_iter().map(|text| EmbedInput::Text(text.into_string())).collect();
        let dimensions = members.read::<Whole>("dimensions")?.map(|Whole(n)| u32::try_from(n));
        let dimensions =
            dimensions.transpose().map_err(|_| ReadError::field("dimensions", "too large"))?;
        let (mut preferences, mut extra) = (Preferences::default(), Vec::new());
        let mut params = doorward_core::Params::default();
        if let Some(given) = members.take("providerOptions")
            && let Some(left) = options::call_options(source, given, &mut preferences, &mut params)?
        {
            extra.push(("providerOptions".to_owned(), left));
        }
        extra.extend(members.rest(KNOWN)?);
        let raw = RawCall { dialect: ID, model: 0..0, body: body.clone(), headers: Vec::new() };
        let user = params.user;
        let raw = Some(raw);
        Ok(EmbedCall { input, dimensions, user, extra, raw, preferences, ..EmbedCall::default() })
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
        let request = Request { quirks: to.quirks, extra: &[], headers: &[] };
        let written = match own.filter(|raw| !raw.body.is_empty()) {
            Some(raw) => Written { body: raw.body.clone(), dropped: Vec::new() },
            None => compose(call, own.is_some())?,
        };
        mend(written, &request, false, |_| Ok(()))
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        #[derive(Deserialize)]
        struct AnswerIn {
            embeddings: Vec<Vec<f32>>,
            usage: Option<TokensIn>,
        }
        #[derive(Deserialize)]
        struct TokensIn {
            tokens: Count,
        }
        let answer: AnswerIn = Source::new(&body)?.whole()?;
        let usage = answer.usage.map(|usage| Usage { input: usage.tokens.0, ..Usage::default() });
        Ok(EmbedReply {
            dialect: ID,
            route: Arc::new(Route::default()),
            headers: Vec::new(),
            model: String::new(),
            vectors: answer.embeddings,
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
            body.array("embeddings", |list| {
                for vector in &reply.vectors {
                    let finite = |number: &f32| if number.is_finite() { *number } else { 0.0 };
                    let numbers: Vec<String> =
                        vector.iter().map(|number| finite(number).to_string()).collect();
                    list.raw(&format!("[{}]", numbers.join(",")));
                }
            });
            if let Some(usage) = &reply.usage {
                body.object("usage", |body| body.value("tokens", usage.input));
            }
        });
        out.freeze()
    }
}

fn compose(call: &EmbedCall, own: bool) -> Result<Written, WriteError> {
    let mut values = Vec::with_capacity(call.input.len());
    for (at, input) in call.input.iter().enumerate() {
        match input {
            EmbedInput::Text(text) => values.push(text),
            EmbedInput::Tokens(_) => {
                let reason = "the gateway protocol embeds texts only";
                return Err(WriteError { path: format!("input[{at}]"), reason });
            }
        }
    }
    let (mut out, mut dropped) = (BytesMut::with_capacity(256), Vec::new());
    let reason = "no such field in the gateway protocol";
    emit::object(&mut out, |body| {
        body.array("values", |list| values.iter().for_each(|text| list.str(text)));
        body.opt("dimensions", call.dimensions);
        for (name, value) in &call.extra {
            if own {
                body.raw(name, value.get());
            } else {
                dropped.extend(lost(name, value, reason));
            }
        }
    });
    let unsaid = [("purpose", call.purpose.is_some()), ("user", call.user.is_some() && !own)];
    for (path, _) in unsaid.into_iter().filter(|(_, given)| *given) {
        dropped.push(Dropped { path: path.to_owned(), reason });
    }
    Ok(Written { body: out.freeze(), dropped })
}
