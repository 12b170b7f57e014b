//! Embeddings: `embedContent` and `batchEmbedContents` (<https://ai.google.dev/api/embeddings>).

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use doorward_core::{DialectId, EmbedCall, EmbedInput, EmbedReply, RawCall, Route, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::section::{Extra, Section};
use super::{ID, model};
use crate::emit::{self, Array, Object};
use crate::json::{Count, Source, Text, raw};
use crate::splice::Edits;
use crate::{Destination, Dropped, Embedded, Embeddings, ReadError, WriteError, Written};

/// Embeddings of the Gemini API.
///
/// An upstream is always asked by `:batchEmbedContents`, for one text too, so that one path does
/// for all; that is the path the router must use. Both kinds of request are read. The answer for
/// a client is that of `batchEmbedContents`; for a client of `:embedContent` the edge takes
/// [`GeminiEmbedContent`].
#[derive(Debug, Clone, Copy, Default)]
pub struct GeminiEmbeddings;

/// As [`GeminiEmbeddings`], but the answer is the one `embedding` that `embedContent` gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct GeminiEmbedContent;

impl Embeddings for GeminiEmbeddings {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        read_call(&body)
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        write_call(call, to)
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        read_reply(body)
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let reply = call.reply;
        let same = reply.raw.as_ref().filter(|_| reply.dialect == ID);
        if let Some(raw) = same.filter(|raw| is_batch(raw)) {
            return raw.clone();
        }
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            body.array("embeddings", |list| {
                for vector in &reply.vectors {
                    list.object(|item| write_vector(item, vector));
                }
            });
            write_usage(body, reply.usage.as_ref());
        });
        out.freeze()
    }
}

impl Embeddings for GeminiEmbedContent {
    fn read_call(&self, body: Bytes) -> Result<EmbedCall, ReadError> {
        read_call(&body)
    }

    fn write_call(&self, call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        write_call(call, to)
    }

    fn read_reply(&self, body: Bytes) -> Result<EmbedReply, ReadError> {
        read_reply(body)
    }

    fn write_reply(&self, call: &Embedded<'_>) -> Bytes {
        let reply = call.reply;
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| {
            let vector = reply.vectors.first().map(Vec::as_slice).unwrap_or_default();
            body.object("embedding", |item| write_vector(item, vector));
            write_usage(body, reply.usage.as_ref());
        });
        out.freeze()
    }
}

fn write_usage(body: &mut Object<'_>, usage: Option<&Usage>) {
    if let Some(usage) = usage {
        body.object("usageMetadata", |body| body.value("promptTokenCount", usage.input));
    }
}

fn write_vector(item: &mut Object<'_>, vector: &[f32]) {
    item.raw("values", &numbers(vector));
}

/// A list of numbers; JSON has no word for what is none.
pub(super) fn numbers(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12 + 2);
    text.push('[');
    for (at, number) in vector.iter().enumerate() {
        let number = if number.is_finite() { *number } else { 0.0 };
        // A `String` grows, so nothing can fail here.
        let _ = write!(text, "{}{number}", if at == 0 { "" } else { "," });
    }
    text.push(']');
    text
}

/// What vectors are for: Google's word, and Cohere's.
const PURPOSES: [(&str, &str); 4] = [
    ("RETRIEVAL_QUERY", "search_query"),
    ("RETRIEVAL_DOCUMENT", "search_document"),
    ("CLASSIFICATION", "classification"),
    ("CLUSTERING", "clustering"),
];

/// Google's word for a purpose.
pub(super) fn task_of(purpose: &str) -> Option<&'static str> {
    PURPOSES.iter().find(|(_, word)| *word == purpose).map(|(task, _)| *task)
}

/// Cohere's word for a task.
pub(super) fn purpose_of(task: &str) -> Option<&'static str> {
    PURPOSES.iter().find(|(word, _)| *word == task).map(|(_, purpose)| *purpose)
}

#[derive(Deserialize)]
struct ContentIn<'a> {
    #[serde(borrow)]
    parts: Option<Vec<PartIn<'a>>>,
}

#[derive(Deserialize)]
struct PartIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// What is the same in every request of a batch.
#[derive(Debug, PartialEq, Eq, Default)]
struct Manner {
    model: String,
    task: Option<String>,
    dimensions: Option<u32>,
    rest: Vec<(String, String)>,
}

fn read_call(body: &Bytes) -> Result<EmbedCall, ReadError> {
    let source = Source::new(body)?;
    let mut top = Section::whole(source, source.members()?);
    let mut call = EmbedCall::default();
    let mut manner = Manner::default();
    if let Some(list) = top.take("requests")? {
        let list = source.read::<Vec<&RawValue>>(list)?;
        for (at, value) in list.into_iter().enumerate() {
            let path = format!("requests[{at}]");
            let (text, one) = read_one(Section::open(source, value, path.as_str())?, &path)?;
            if at > 0 && one != manner {
                return Err(source.wrong(value, "expected the same settings in all requests"));
            }
            manner = one;
            call.input.push(EmbedInput::Text(text));
        }
        top.rest(&["requests"], &mut call.extra)?;
    } else {
        let (text, one) = read_one(top, "")?;
        manner = one;
        call.input.push(EmbedInput::Text(text));
    }
    call.model = manner.model;
    call.dimensions = manner.dimensions;
    match manner.task.as_deref().map(|task| (purpose_of(task), task)) {
        Some((Some(purpose), _)) => call.purpose = Some(purpose.to_owned()),
        Some((None, task)) => {
            let task = raw(format!("\"{}\"", emit::escape(task)));
            call.extra.push(("taskType".to_owned(), task));
        }
        None => {}
    }
    call.extra.extend(manner.rest.into_iter().map(|(name, value)| (name, raw(value))));
    call.raw = Some(RawCall { dialect: ID, model: 0..0, body: body.clone(), headers: Vec::new() });
    Ok(call)
}

fn read_one(mut section: Section<'_>, path: &str) -> Result<(String, Manner), ReadError> {
    let source = section.source;
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let missing = || ReadError::field(at("content"), "missing, expected an object");
    let value = section.take("content")?.ok_or_else(missing)?;
    let content = source.read::<ContentIn<'_>>(value)?;
    let mut text = String::new();
    for part in content.parts.unwrap_or_default() {
        let part =
            part.text.ok_or_else(|| source.wrong(value, "only text can be embedded here"))?;
        text.push_str(part.as_str());
    }
    let name = section.read::<Text<'_>>("model")?.unwrap_or_default();
    let task = section.read::<Text<'_>>("taskType")?.map(Text::into_string);
    let dimensions = section.number("outputDimensionality")?;
    let mut rest = Extra::new();
    section.rest(&["content", "model", "taskType", "outputDimensionality"], &mut rest)?;
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let bare = |name: String| name.strip_prefix(&prefix).map(str::to_owned).unwrap_or(name);
    let rest = rest.into_iter().map(|(name, value)| (bare(name), value.get().to_owned())).collect();
    let model = model::bare(name.as_str()).to_owned();
    let task = task.filter(|task| task != "TASK_TYPE_UNSPECIFIED");
    Ok((text, Manner { model, task, dimensions, rest }))
}

fn write_call(call: &EmbedCall, to: &Destination<'_>) -> Result<Written, WriteError> {
    let own = call.raw.as_ref().filter(|raw| raw.dialect == ID);
    let name = format!("models/{}", model::bare(to.model));
    if let Some(body) = own.and_then(|raw| forward(&raw.body, &name)) {
        return Ok(Written { body, dropped: Vec::new() });
    }
    let mut dropped = Vec::new();
    let settings = settings(call, own.is_some(), &mut dropped);
    let mut out = BytesMut::new();
    let mut result = Ok(());
    emit::object(&mut out, |body| {
        body.array("requests", |list| {
            result = call
                .input
                .iter()
                .enumerate()
                .try_for_each(|(at, input)| write_one(list, at, input, &name, &settings));
        });
    });
    result.map(|()| Written { body: out.freeze(), dropped })
}

/// The members that every request of a batch repeats, as JSON text.
fn settings(call: &EmbedCall, own: bool, dropped: &mut Vec<Dropped>) -> Vec<(String, String)> {
    let mut drop = |path: &str, reason| dropped.push(Dropped { path: path.to_owned(), reason });
    let mut settings = Vec::new();
    if let Some(purpose) = &call.purpose {
        match task_of(purpose) {
            Some(task) => settings.push(("taskType".to_owned(), format!("\"{task}\""))),
            None => drop("purpose", "no such task in Gemini"),
        }
    }
    if let Some(dimensions) = call.dimensions {
        settings.push(("outputDimensionality".to_owned(), dimensions.to_string()));
    }
    if call.user.is_some() {
        drop("user", "Gemini takes no name of the user");
    }
    for (name, value) in &call.extra {
        if own {
            settings.push((name.clone(), value.get().to_owned()));
        } else {
            drop(name, "no such field in Gemini");
        }
    }
    settings
}

fn write_one(
    list: &mut Array<'_>,
    at: usize,
    input: &EmbedInput,
    model: &str,
    settings: &[(String, String)],
) -> Result<(), WriteError> {
    let EmbedInput::Text(text) = input else {
        let reason = "Gemini embeds text, not tokens";
        return Err(WriteError { path: format!("input[{at}]"), reason });
    };
    list.object(|item| {
        item.str("model", model);
        item.object("content", |content| {
            content.array("parts", |list| list.object(|part| part.str("text", text)));
        });
        for (name, value) in settings {
            item.raw(name, value);
        }
    });
    Ok(())
}

/// A batch as it came, with the model's name replaced in each request.
fn forward(body: &Bytes, model: &str) -> Option<Bytes> {
    let source = Source::new(body).ok()?;
    let members = source.members().ok()?;
    let list = source.read::<Vec<&RawValue>>(members.find("requests")?.value).ok()?;
    let mut edits = Edits::default();
    for value in list {
        let members = Source::new(value.get().as_bytes()).ok()?.members().ok()?;
        let name = members.find("model")?.value;
        edits.replace(source.span(name.get()), format!("\"{}\"", emit::escape(model)));
    }
    Some(edits.apply(body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyIn {
    embedding: Option<VectorIn>,
    embeddings: Option<Vec<VectorIn>>,
    usage_metadata: Option<UsageIn>,
}

#[derive(Deserialize)]
struct VectorIn {
    values: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageIn {
    prompt_token_count: Option<Count>,
}

/// Whether a reply has the shape of a batch.
fn is_batch(body: &[u8]) -> bool {
    let members = Source::new(body).and_then(|source| source.members());
    members.is_ok_and(|members| members.find("embeddings").is_some())
}

fn read_reply(body: Bytes) -> Result<EmbedReply, ReadError> {
    let reply = Source::new(&body)?.whole::<ReplyIn>()?;
    let missing = || ReadError::field("embeddings", "missing, expected an array of vectors");
    let list = reply.embeddings.or(reply.embedding.map(|one| vec![one])).ok_or_else(missing)?;
    let vectors = list.into_iter().map(|it| it.values.unwrap_or_default()).collect();
    let tokens = reply.usage_metadata.and_then(|usage| usage.prompt_token_count);
    let usage = tokens.map(|Count(input)| Usage { input, ..Usage::default() });
    Ok(reply_of(ID, vectors, usage, body))
}

/// A reply whose route and hold the router fills in.
pub(super) fn reply_of(
    dialect: DialectId,
    vectors: Vec<Vec<f32>>,
    usage: Option<Usage>,
    body: Bytes,
) -> EmbedReply {
    EmbedReply {
        dialect,
        route: std::sync::Arc::new(Route::default()),
        headers: Vec::new(),
        model: String::new(),
        vectors,
        usage,
        raw: Some(body),
        hold: None,
    }
}
