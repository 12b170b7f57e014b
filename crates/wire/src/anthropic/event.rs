//! What an answer looks like on the wire, whole or in events. Everything may be missing or null.

use doorward_core::{Citation, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Count, Text, Word};

/// Any event; which fields it has follows from its type.
#[derive(Deserialize)]
pub(super) struct EventIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) index: Option<Count>,
    #[serde(borrow)]
    pub(super) message: Option<MessageIn<'a>>,
    #[serde(borrow)]
    pub(super) content_block: Option<BlockIn<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<DeltaIn<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

/// Just the types in an event.
#[derive(Deserialize)]
pub(super) struct Kinds<'a> {
    #[serde(borrow)]
    pub(super) content_block: Option<Kind<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Kind<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
}

/// A whole answer, or the head of a streamed one.
#[derive(Deserialize)]
pub(super) struct MessageIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) model: Word<'a>,
    #[serde(borrow)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct BlockIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) id: Word<'a>,
    #[serde(borrow, default)]
    pub(super) name: Word<'a>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct DeltaIn<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy)]
pub(super) struct UsageIn {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    output_tokens_details: Option<OutputDetails>,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerTools>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<Count>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy)]
struct ServerTools {
    web_search_requests: Option<Count>,
}

/// What usage says of the bill.
#[derive(Deserialize)]
pub(super) struct BillIn<'a> {
    #[serde(borrow, default)]
    pub(super) service_tier: Word<'a>,
    /// `OpenRouter` and Vercel, in US dollars.
    #[serde(borrow, default)]
    pub(super) cost: Word<'a>,
}

/// A source; which fields it has follows from its type.
#[derive(Deserialize)]
struct CitationIn<'a> {
    #[serde(borrow, default)]
    url: Word<'a>,
    /// Of search results that the client gave.
    #[serde(borrow, default)]
    source: Word<'a>,
    #[serde(borrow, default)]
    title: Word<'a>,
    #[serde(borrow, default)]
    document_title: Word<'a>,
    #[serde(borrow, default)]
    cited_text: Word<'a>,
}

/// Reads a citation of whatever type; `None` where it says nothing.
pub(super) fn citation(raw: &RawValue) -> Option<Citation> {
    let cited = serde_json::from_str::<CitationIn<'_>>(raw.get()).ok()?;
    let word = |word: Word<'_>| Some(word.0.into_owned()).filter(|text| !text.is_empty());
    let citation = Citation {
        url: word(cited.url).or_else(|| word(cited.source)),
        title: word(cited.title).or_else(|| word(cited.document_title)),
        text: word(cited.cited_text),
        ..Citation::default()
    };
    (citation != Citation::default()).then_some(citation)
}

#[derive(Debug, Deserialize, Default, Clone, Copy)]
struct OutputDetails {
    thinking_tokens: Option<Count>,
}

impl UsageIn {
    /// These counts, and the earlier ones for what they leave out.
    pub(super) fn over(self, before: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.or(before.input_tokens),
            output_tokens: self.output_tokens.or(before.output_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .or(before.cache_creation_input_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .or(before.cache_read_input_tokens),
            output_tokens_details: self.output_tokens_details.or(before.output_tokens_details),
            cache_creation: self.cache_creation.or(before.cache_creation),
            server_tool_use: self.server_tool_use.or(before.server_tool_use),
        }
    }

    /// In the common form, where input includes the cache.
    pub(super) fn usage(self) -> Option<Usage> {
        let count = |count: Option<Count>| count.unwrap_or_default().0;
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let cache_read = count(self.cache_read_input_tokens);
        let cache_write = count(self.cache_creation_input_tokens);
        let fresh = count(self.input_tokens);
        Some(Usage {
            input: fresh.saturating_add(cache_read).saturating_add(cache_write),
            output: count(self.output_tokens),
            cache_read,
            cache_write,
            reasoning: count(self.output_tokens_details.and_then(|it| it.thinking_tokens)),
            cache_write_1h: count(self.cache_creation.and_then(|it| it.ephemeral_1h_input_tokens)),
            searches: count(self.server_tool_use.and_then(|it| it.web_search_requests)),
            ..Usage::default()
        })
    }
}
