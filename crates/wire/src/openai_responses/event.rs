//! What an answer looks like on the wire, whole or in events. Everything may be missing or null.

use std::borrow::Cow;

use doorward_core::{Billed, Citation, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Count, Text, Word};

#[derive(Deserialize)]
pub(super) struct EventIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
    pub(super) output_index: Option<Count>,
    pub(super) content_index: Option<Count>,
    pub(super) summary_index: Option<Count>,
    #[serde(borrow, default)]
    pub(super) delta: Word<'a>,
    #[serde(borrow, default)]
    pub(super) text: Word<'a>,
    #[serde(borrow, default)]
    pub(super) refusal: Word<'a>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input: Word<'a>,
    #[serde(borrow)]
    pub(super) annotation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct ResponseIn<'a> {
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) model: Word<'a>,
    pub(super) created_at: Option<Count>,
    #[serde(borrow, default)]
    pub(super) status: Word<'a>,
    #[serde(borrow)]
    pub(super) output: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) incomplete_details: Option<IncompleteIn<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) service_tier: Word<'a>,
}

#[derive(Deserialize)]
pub(super) struct IncompleteIn<'a> {
    #[serde(borrow, default)]
    pub(super) reason: Word<'a>,
}

#[derive(Deserialize)]
pub(super) struct ItemIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) call_id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) name: Word<'a>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input: Word<'a>,
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) summary: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) encrypted_content: Word<'a>,
    /// The picture that a hosted tool made.
    #[serde(borrow, default)]
    pub(super) result: Word<'a>,
    #[serde(borrow, default)]
    pub(super) output_format: Word<'a>,
}

/// A piece of a message or of a thought.
#[derive(Deserialize)]
pub(super) struct PieceIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) text: Word<'a>,
    #[serde(borrow, default)]
    pub(super) refusal: Word<'a>,
    #[serde(borrow)]
    pub(super) annotations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
}

/// Pieces, where the value is a list of them.
pub(super) fn pieces(value: Option<&RawValue>) -> Vec<PieceIn<'_>> {
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// Arguments: JSON in a string, or (against the specification) as an object.
pub(super) fn arguments(value: Option<&RawValue>) -> Cow<'_, str> {
    match value.map(RawValue::get) {
        Some(text) if text.starts_with('"') => {
            serde_json::from_str::<Text<'_>>(text).map(|text| text.0).unwrap_or_default()
        }
        None | Some("null") => Cow::Borrowed(""),
        Some(text) => Cow::Borrowed(text),
    }
}

/// A list of log probabilities, where there is any in it.
pub(super) fn logprobs(value: Option<&RawValue>) -> Option<String> {
    let text = value?.get();
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    (!inner.trim().is_empty()).then(|| text.to_owned())
}

#[derive(Deserialize)]
struct AnnotationIn<'a> {
    #[serde(borrow, default)]
    url: Word<'a>,
    #[serde(borrow, default)]
    title: Word<'a>,
    #[serde(borrow, default)]
    filename: Word<'a>,
    #[serde(borrow, default)]
    quote: Word<'a>,
    start_index: Option<Count>,
    end_index: Option<Count>,
}

/// A source that a text names, on the web or in a file.
pub(super) fn citation(value: &RawValue) -> Option<Citation> {
    let read = serde_json::from_str::<AnnotationIn<'_>>(value.get()).ok()?;
    let given = |word: Word<'_>| Some(word.0.into_owned()).filter(|word| !word.is_empty());
    let title = given(read.title).or_else(|| given(read.filename));
    let url = given(read.url);
    (url.is_some() || title.is_some()).then(|| Citation {
        url,
        title,
        text: given(read.quote),
        start: read.start_index.map(|index| index.0),
        end: read.end_index.map(|index| index.0),
    })
}

#[derive(Deserialize, Default)]
struct UsageIn {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    total_tokens: Option<Count>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
    /// In US dollars (`OpenRouter`, Vercel).
    cost: Option<f64>,
}

#[derive(Deserialize, Default)]
#[expect(clippy::struct_field_names, reason = "they are the wire's")]
struct InputDetails {
    cached_tokens: Option<Count>,
    cache_write_tokens: Option<Count>,
    audio_tokens: Option<Count>,
}

#[derive(Deserialize, Default)]
struct OutputDetails {
    reasoning_tokens: Option<Count>,
    audio_tokens: Option<Count>,
}

/// What is told of tokens and money; nothing where nothing was counted.
pub(super) fn usage(value: &RawValue, searches: u64, outside: bool) -> Option<(Usage, Billed)> {
    let read = serde_json::from_str::<UsageIn>(value.get()).ok()?;
    if read.input_tokens.is_none() && read.output_tokens.is_none() {
        return None;
    }
    let count = |count: Option<Count>| count.unwrap_or_default().0;
    let prompt = read.input_tokens_details.unwrap_or_default();
    let answer = read.output_tokens_details.unwrap_or_default();
    let (input, mut output) = (count(read.input_tokens), count(read.output_tokens));
    let reasoning = count(answer.reasoning_tokens);
    let apart = input.saturating_add(output).saturating_add(reasoning);
    if reasoning > 0 && (outside || count(read.total_tokens) == apart) {
        // Told beside the answer's tokens; the total says so too.
        output = output.saturating_add(reasoning);
    }
    let usage = Usage {
        input,
        output,
        cache_read: count(prompt.cached_tokens),
        cache_write: count(prompt.cache_write_tokens),
        reasoning,
        audio_input: count(prompt.audio_tokens),
        audio_output: count(answer.audio_tokens),
        searches,
        ..Usage::default()
    };
    let billed = Billed { raw: Some(value.get().to_owned()), tier: None, cost_usd: read.cost };
    Some((usage, billed))
}
