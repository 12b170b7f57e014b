//! What an answer looks like on the wire, whole or in events. Everything may be missing or null.

use doorward_core::{Billed, Citation, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::emit::Object;
use crate::json::{Count, Text, Word};

/// Any event; which fields it has follows from its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventIn<'a> {
    pub(super) content_block_index: Option<Count>,
    #[serde(borrow)]
    pub(super) start: Option<StartIn<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<DeltaIn<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Tier<'a>>,
}

/// A whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnswerIn<'a> {
    #[serde(borrow)]
    pub(super) output: Option<Output<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Tier<'a>>,
    #[serde(borrow, default)]
    pub(super) message: Word<'a>,
}

#[derive(Deserialize)]
pub(super) struct Output<'a> {
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Vec<BlockIn<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockIn<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<Called<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<Thought<'a>>,
    #[serde(borrow)]
    pub(super) citations_content: Option<Cited<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Cited<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Vec<Passage<'a>>>,
    #[serde(borrow)]
    pub(super) citations: Option<Vec<CitationIn<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct StartIn<'a> {
    #[serde(borrow, rename = "toolUse")]
    pub(super) tool_use: Option<Called<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Called<'a> {
    #[serde(borrow, default)]
    pub(super) tool_use_id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) name: Word<'a>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    /// Set for a tool that Bedrock runs itself.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Word<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeltaIn<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tool_use: Option<InputDelta<'a>>,
    #[serde(borrow)]
    pub(super) reasoning_content: Option<ThoughtDelta<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<CitationIn<'a>>,
}

#[derive(Deserialize)]
pub(super) struct InputDelta<'a> {
    #[serde(borrow)]
    pub(super) input: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThoughtDelta<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thought<'a> {
    #[serde(borrow)]
    pub(super) reasoning_text: Option<ThoughtDelta<'a>>,
    #[serde(borrow)]
    pub(super) redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CitationIn<'a> {
    #[serde(borrow, default)]
    title: Word<'a>,
    #[serde(borrow, default)]
    source: Word<'a>,
    #[serde(borrow)]
    source_content: Option<Vec<Passage<'a>>>,
    #[serde(borrow)]
    location: Option<Location<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Passage<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Location<'a> {
    #[serde(borrow)]
    web: Option<Web<'a>>,
}

#[derive(Deserialize)]
struct Web<'a> {
    #[serde(borrow, default)]
    url: Word<'a>,
}

impl CitationIn<'_> {
    /// In the common form. Where in the answer the cited text stands is not told.
    pub(super) fn citation(self) -> Citation {
        let given = |word: Word<'_>| (!word.0.is_empty()).then(|| word.0.into_owned());
        let passages = self.source_content.into_iter().flatten().filter_map(|it| it.text);
        let text: String = passages.map(Text::into_string).collect();
        Citation {
            url: self
                .location
                .and_then(|location| location.web)
                .and_then(|web| given(web.url))
                .or_else(|| given(self.source)),
            title: given(self.title),
            text: (!text.is_empty()).then_some(text),
            start: None,
            end: None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Tier<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageIn {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    cache_write_input_tokens: Option<Count>,
    #[serde(default)]
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    input_tokens: Option<Count>,
    ttl: Option<String>,
}

/// Usage in the common form, where input includes the cache: `inputTokens` is what was neither
/// read from it nor written to it. Nothing where nothing was counted.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let counted = serde_json::from_str::<UsageIn>(raw.get()).ok()?;
    let count = |count: Option<Count>| count.unwrap_or_default().0;
    if counted.input_tokens.is_none() && counted.output_tokens.is_none() {
        return None;
    }
    let cache_read = count(counted.cache_read_input_tokens);
    let cache_write = count(counted.cache_write_input_tokens);
    let details = counted.cache_details.unwrap_or_default();
    let hour = details.iter().filter(|detail| detail.ttl.as_deref() == Some("1h"));
    let hour = hour.fold(0_u64, |sum, detail| sum.saturating_add(count(detail.input_tokens)));
    let fresh = count(counted.input_tokens);
    Some(Usage {
        input: fresh.saturating_add(cache_read).saturating_add(cache_write),
        output: count(counted.output_tokens),
        cache_read,
        cache_write,
        cache_write_1h: hour.min(cache_write),
        ..Usage::default()
    })
}

/// What the service says of the bill.
pub(super) fn billed(usage: Option<&RawValue>, tier: Option<Tier<'_>>) -> Option<Box<Billed>> {
    let tier = tier.map(|tier| tier.kind.0.into_owned()).filter(|tier| !tier.is_empty());
    if usage.is_none() && tier.is_none() {
        return None;
    }
    let raw = usage.map(|usage| usage.get().to_owned());
    Some(Box::new(Billed { raw, tier, cost_usd: None }))
}

/// Writes usage; input here is without what the cache read and wrote.
pub(super) fn write_usage(body: &mut Object<'_>, usage: &Usage) {
    let fresh = usage.input.saturating_sub(usage.cache_read).saturating_sub(usage.cache_write);
    body.value("inputTokens", fresh);
    body.value("outputTokens", usage.output);
    body.value("totalTokens", usage.total());
    body.value("cacheReadInputTokens", usage.cache_read);
    body.value("cacheWriteInputTokens", usage.cache_write);
}
