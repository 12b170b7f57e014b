//! What an answer looks like on the wire, whole or in events. Everything may be missing or null.

use doorward_core::Usage;
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
    pub(super) usage: Option<UsageIn>,
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
    pub(super) usage: Option<UsageIn>,
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
    pub(super) stop_reason: Option<Text<'a>>,
}

#[derive(Debug, Deserialize, Default, Clone, Copy)]
pub(super) struct UsageIn {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    output_tokens_details: Option<OutputDetails>,
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
            ..Usage::default()
        })
    }
}
