//! Embeddings of Vertex AI's text models, by `:predict`
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>).

use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, EmbedCall, EmbedInput, EmbedReply, RawCall, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::embed::{numbers, purpose_of, reply_of, task_of};
use super::section::{Extra, Section};
use crate::emit;
use crate::json::{Count, Source, Text, raw};
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Its bodies are no other dialect's.
const ID: DialectId = DialectId::new("vertex-predict");

/// Embeddings of Vertex AI, by the path `:predict`. The model stands in the address only.
///
/// `gemini-embedding-001` takes one instance at a time; the older text models take up to 250.
#[derive(Debug, Clone, Copy, Default)]
pub struct VertexEmbeddings;

impl Embeddings for VertexEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        let source = Source::new(&body)?;
        let mut top = Section::whole(source, source.members()?);
        let missing = || ReadError::field("instances", "missing, expected an array of instances");
        let list = top.take("instances")?.ok_or_else(missing)?;
        let mut call = EmbedCall::default();
        let mut manner = None;
        for (at, value) in source.read::<Vec<&RawValue>>(list)?.into_iter().enumerate() {
            let path = format!("instances[{at}]");
            let (text, one) = read_instance(Section::open(source, value, path.as_str())?, &path)?;
            if manner.as_ref().is_some_and(|manner| *manner != one) {
                return Err(source.wrong(value, "expected the same settings in all instances"));
            }
            manner = Some(one);
            call.input.push(EmbedInput::Text(text));
        }
        for (name, value) in manner.into_iter().flatten() {
            let task = (name == "taskType").then(|| serde_json::from_str::<Text<'_>>(&value).ok());
            let purpose = task.flatten().and_then(|task| purpose_of(task.as_str()));
            match purpose {
                Some(purpose) => call.purpose = Some(purpose.to_owned()),
                None => call.extra.push((format!("instances.{name}"), raw(value))),
            }
        }
        if let Some(value) = top.take("parameters")? {
            let mut parameters = Section::open(source, value, "parameters")?;
            call.dimensions = parameters.number("outputDimensionality")?;
            parameters.rest(&["outputDimensionality"], &mut call.extra)?;
        }
        top.rest(&["instances", "parameters"], &mut call.extra)?;
        call.raw = Some(RawCall { dialect: ID, model: 0..0, body, headers: Vec::new() });
        Ok(call)
    }

    fn write_call(&self, call: &EmbedCall, _to: &Destination<'_>) -> Result<Written, WriteError> {
        let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
        if let Some(raw) = own.filter(|raw| !raw.body.is_empty()) {
            return Ok(Written { body: raw.body.clone(), dropped: Vec::new() });
        }
        let mut dropped = Vec::new();
        let mut drop = |path: &str, reason| dropped.push(Dropped { path: path.to_owned(), reason });
        let task = call.purpose.as_deref().and_then(task_of);
        if call.purpose.is_some() && task.is_none() {
            drop("purpose", "no such task in Vertex AI");
        }
        if call.user.is_some() {
            drop("user", "Vertex AI takes no name of the user");
        }
        let own = own.is_some();
        if !own {
            call.extra.iter().for_each(|(name, _)| drop(name, "no such field in Vertex AI"));
        }
        let kept = |prefix: &'static str| {
            let own = call.extra.iter().filter(move |_| own);
            own.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
        };
        let mut out = BytesMut::new();
        let mut wrong = None;
        emit::object(&mut out, |body| {
            body.array("instances", |list| {
                for (at, input) in call.input.iter().enumerate() {
                    let EmbedInput::Text(text) = input else {
                        wrong = Some(at);
                        continue;
                    };
                    list.object(|item| {
                        item.str("content", text);
                        item.opt_str("task_type", task);
                        for (name, value) in kept("instances.") {
                            let name = if name == "taskType" { "task_type" } else { name };
                            item.raw(name, value.get());
                        }
                    });
                }
            });
            if call.dimensions.is_some() || kept("parameters.").next().is_some() {
                body.object("parameters", |item| {
                    item.opt("outputDimensionality", call.dimensions);
                    kept("parameters.").for_each(|(name, value)| item.raw(name, value.get()));
                });
            }
        });
        match wrong {
            Some(at) => {
                let reason = "Vertex AI embeds text, not tokens";
                Err(WriteError { path: format!("input[{at}]"), reason })
            }
            None => Ok(Written { body: out.freeze(), dropped }),
        }
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        let reply = Source::new(&body)?.whole::<ReplyIn>()?;
        let missing = || ReadError::field("predictions", "missing, expected an array");
        let mut tokens = None;
        let mut vectors = Vec::new();
        for prediction in reply.predictions.ok_or_else(missing)? {
            let told = prediction.embeddings.statistics.and_then(|it| it.token_count);
            tokens = told.map(|Count(count)| count + tokens.unwrap_or(0)).or(tokens);
            vectors.push(prediction.embeddings.values);
        }
        let usage = tokens.map(|input| Usage { input, ..Usage::default() });
        Ok(reply_of(ID, vectors, usage, body))
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let reply = call.reply;
        if let Some(raw) = reply.raw.as_ref().filter(|_| reply.dialect == ID) {
            return raw.clone();
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("predictions", |list| {
                for vector in &reply.vectors {
                    list.object(|item| {
                        item.object("embeddings", |item| item.raw("values", &numbers(vector)));
                    });
                }
            });
        });
        out.freeze()
    }
}

/// An instance's text, and its other members.
fn read_instance(
    mut section: Section<'_>,
    path: &str,
) -> Result<(String, Vec<(String, String)>), ReadError> {
    let missing = || ReadError::field(format!("{path}.content"), "missing, expected a string");
    let text = section.read::<Text<'_>>("content")?.ok_or_else(missing)?.into_string();
    let mut rest = Extra::new();
    section.rest(&["content"], &mut rest)?;
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    Ok((text, rest.iter().map(|(name, value)| (bare(name), value.get().to_owned())).collect()))
}

#[derive(Deserialize)]
struct ReplyIn {
    predictions: Option<Vec<PredictionIn>>,
}

#[derive(Deserialize)]
struct PredictionIn {
    embeddings: VectorIn,
}

#[derive(Deserialize)]
struct VectorIn {
    values: Vec<f32>,
    statistics: Option<StatisticsIn>,
}

#[derive(Deserialize)]
struct StatisticsIn {
    token_count: Option<Count>,
}
