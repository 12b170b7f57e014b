//! What an answer looks like on the wire, whole or in chunks. Everything may be missing or null.

use doorward_core::{Billed, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::partial::PartialArg;
use crate::json::{Count, Text, Word};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) response_id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) model_version: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<Count>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) finish_message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) grounding_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) citation_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    pub(super) thought: Option<bool>,
    #[serde(borrow)]
    pub(super) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) inline_data: Option<super::media::BlobIn<'a>>,
    #[serde(borrow)]
    pub(super) file_data: Option<super::media::FileIn<'a>>,
    #[serde(borrow)]
    pub(super) function_call: Option<Called<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Called<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    /// Vertex AI, where `streamFunctionCallArguments` was asked for.
    #[serde(borrow)]
    pub(super) partial_args: Option<Vec<PartialArg<'a>>>,
    pub(super) will_continue: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageIn<'a> {
    prompt_token_count: Option<Count>,
    candidates_token_count: Option<Count>,
    thoughts_token_count: Option<Count>,
    cached_content_token_count: Option<Count>,
    tool_use_prompt_token_count: Option<Count>,
    total_token_count: Option<Count>,
    prompt_tokens_details: Option<Vec<Modality<'a>>>,
    candidates_tokens_details: Option<Vec<Modality<'a>>>,
    #[serde(borrow)]
    service_tier: Option<Word<'a>>,
    #[serde(borrow)]
    traffic_type: Option<Word<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modality<'a> {
    #[serde(borrow, default)]
    modality: Word<'a>,
    token_count: Option<Count>,
}

impl UsageIn<'_> {
    /// In the common form; nothing where nothing was counted (trap 3). What tools of Google's
    /// brought into the prompt is told beside it, thought beside the answer (trap 52).
    pub(super) fn usage(&self, searches: u64) -> Option<Usage> {
        let count = |count: Option<Count>| count.unwrap_or_default().0;
        let counted = [
            self.prompt_token_count,
            self.candidates_token_count,
            self.thoughts_token_count,
            self.total_token_count,
        ];
        if counted.iter().all(Option::is_none) {
            return None;
        }
        let prompt = count(self.prompt_token_count);
        let input = prompt.saturating_add(count(self.tool_use_prompt_token_count));
        let (said, thought) =
            (count(self.candidates_token_count), count(self.thoughts_token_count));
        // Where the total says so, thought is told within the answer.
        let within = thought > 0
            && said >= thought
            && count(self.total_token_count) == input.saturating_add(said);
        let sound = |details: &Option<Vec<Modality<'_>>>| -> u64 {
            let of_sound = details.iter().flatten().filter(|it| it.modality.0 == "AUDIO");
            of_sound.map(|it| count(it.token_count)).sum()
        };
        Some(Usage {
            input,
            output: if within { said } else { said.saturating_add(thought) },
            cache_read: count(self.cached_content_token_count),
            reasoning: thought,
            audio_input: sound(&self.prompt_tokens_details),
            audio_output: sound(&self.candidates_tokens_details),
            searches,
            ..Usage::default()
        })
    }

    /// The bill in Google's words, and the tier in ours.
    pub(super) fn billed(&self, raw: &str) -> Billed {
        let word = |word: &Option<Word<'_>>| {
            word.as_ref().map(|word| word.0.to_ascii_lowercase()).unwrap_or_default()
        };
        let tier = match (word(&self.service_tier).as_str(), word(&self.traffic_type).as_str()) {
            ("standard", _) | ("", "on_demand") => Some("default"),
            ("flex", _) | ("", "on_demand_flex") => Some("flex"),
            ("priority", _) | ("", "on_demand_priority") => Some("priority"),
            _ => None,
        };
        Billed { raw: Some(raw.to_owned()), tier: tier.map(str::to_owned), cost_usd: None }
    }
}
