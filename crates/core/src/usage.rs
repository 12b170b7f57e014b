//! Tokens.

use serde::{Deserialize, Serialize};

/// Tokens of one model call, in one normal form: `input` **includes** what was read from and
/// written to the provider's cache (as `OpenAI` counts; Anthropic's `input_tokens` excludes them),
/// `output` **includes** reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens of the prompt.
    pub input: u64,
    /// All tokens of the answer.
    pub output: u64,
    /// Part of `input` that was read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_read: u64,
    /// Part of `input` that was written to the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Part of `output` that was reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Part of `cache_write` that is kept for an hour (Anthropic `ephemeral_1h_input_tokens`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Part of `input` that is sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audio_input: u64,
    /// Part of `output` that is sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audio_output: u64,
    /// Web searches that the provider ran.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub searches: u64,
}

/// What a provider says of the bill, beside the tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Billed {
    /// The usage object as the provider wrote it: JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The price tier that served it (`service_tier`: `default`, `flex`, `priority`, `batch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What the provider says it cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Input and output together.
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
