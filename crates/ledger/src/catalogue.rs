//! Price lists.
//!
//! A list is JSON, in one of two shapes that are told apart by what is in them. Our own:
//!
//! ```json
//! { "name": "acme", "date": "2026-11-23", "prices": [
//!   { "provider": "openai", "models": ["gpt-5", "gpt-5-2025-*"], "date": "2026-11-01",
//!     "price": { "input": 1.25, "output": 10, "cache_read": 0.125,
//!                "tiers": { "flex": { "times": 0.5 } } } }
//! ] }
//! ```
//!
//! `price` is a [`Price`](crate::Price). And `LiteLLM`'s `model_prices_and_context_window.json`, an
//! object by model, read so:
//!
//! | there | here |
//! |---|---|
//! | `litellm_provider`; a key's `provider/` before the model | `provider`, by our name for it |
//! | `input_cost_per_token`, `output_cost_per_token` | `input`, `output` |
//! | `cache_read_input_token_cost` | `cache_read` |
//! | `cache_creation_input_token_cost`, `…_above_1hr` | `cache_write`, `cache_write_1h` |
//! | `input_cost_per_audio_token`, `output_cost_per_audio_token` | `audio_input`, `audio_output` |
//! | `…_above_NNNk_tokens` | `above`, at NNN thousand |
//! | `…_flex`, `…_priority`, `…_batches` | `tiers.flex`, `.priority`, `.batch` |
//! | `search_context_cost_per_query`, the dearest | `search` |
//! | `input_cost_per_request` | `request` |
//! | `max_output_tokens` | `max_output` |
//! | `output_cost_per_reasoning_token`, `…_image_token`, where dearer | `output`, `input` |
//!
//! Left out are entries that are no chat, completion, response or embedding model, and those
//! without a price or with a price of nothing: there a zero stands for what nobody knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_core::Pattern;
use serde::{Deserialize, Serialize};

use crate::Price;

mod litellm;

/// A list of what models cost, by provider.
///
/// ```
/// use doorward_ledger::Catalogue;
/// let shipped = Catalogue::shipped();
/// let price = shipped.of("anthropic", "claude-sonnet-4-5-20250929").expect("well known");
/// assert_eq!(price.input.to_string(), "3");
/// assert!(shipped.of("anthropic", "claude-next").is_none(), "unknown is unknown");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    name: String,
    date: String,
    hash: String,
    providers: BTreeMap<String, Table>,
    left_out: usize,
}

/// A text is no price list.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not JSON, or an entry of our own shape is wrong.
    #[error("the price list cannot be read")]
    Json(#[source] serde_json::Error),
    /// There is no price in it.
    #[error("there is no price in the list")]
    Empty,
}

/// The list in our own shape.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    name: String,
    date: String,
    #[serde(default, rename = "source")]
    _source: Option<String>,
    prices: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    provider: String,
    models: Vec<Pattern>,
    #[serde(default, rename = "date")]
    _date: Option<String>,
    price: Price,
}

impl Catalogue {
    /// The list that comes along: the vendors' list prices as of its [date](Self::date). A model
    /// that is not in it has no known price.
    pub fn shipped() -> Self {
        Self::parse(include_str!("../catalogue.json")).unwrap_or_default()
    }

    /// Reads a list; see the module for its shapes.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let hash = blake3::hash(text.as_bytes()).to_hex()[..12].to_owned();
        let mut read = match serde_json::from_str::<List>(text) {
            Ok(list) => Self::of_list(list),
            Err(own) => {
                let other = litellm::read(text).filter(|list| !list.providers.is_empty());
                other.ok_or(CatalogueError::Json(own))?
            }
        };
        if read.providers.is_empty() {
            return Err(CatalogueError::Empty);
        }
        read.hash = hash;
        Ok(read)
    }

    fn of_list(list: List) -> Self {
        let mut providers: BTreeMap<String, Table> = BTreeMap::new();
        for entry in list.prices {
            let price = Arc::new(entry.price);
            let table = providers.entry(entry.provider).or_default();
            for model in entry.models {
                table.insert(model, Arc::clone(&price));
            }
        }
        Self { name: list.name, date: list.date, providers, ..Self::default() }
    }

    /// Its name and what it holds: `name-date-hash`.
    pub fn id(&self) -> String {
        [self.name.as_str(), self.date.as_str(), self.hash.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-")
    }

    /// Of which day it is, where it tells.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// How many entries could not be read as a price.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many models and patterns have a price.
    pub fn len(&self) -> usize {
        self.providers.values().map(Table::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a provider's model costs.
    pub fn of(&self, provider: &str, model: &str) -> Option<&Arc<Price>> {
        self.providers.get(canonical(provider))?.of(model)
    }
}

/// Prices by name: exact ones first, then patterns, those that tell more before those that tell
/// less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Table {
    exact: BTreeMap<String, Arc<Price>>,
    patterns: Vec<(Pattern, Arc<Price>)>,
}

impl Table {
    pub(crate) fn insert(&mut self, name: Pattern, price: Arc<Price>) {
        if name.is_exact() {
            self.exact.insert(name.as_str().to_owned(), price);
            return;
        }
        self.patterns.retain(|(known, _)| *known != name);
        let length = |pattern: &Pattern| pattern.as_str().len();
        let place = self.patterns.partition_point(|(known, _)| length(known) >= length(&name));
        self.patterns.insert(place, (name, price));
    }

    pub(crate) fn of(&self, name: &str) -> Option<&Arc<Price>> {
        let pattern = || self.patterns.iter().find(|(pattern, _)| pattern.matches(name));
        self.exact.get(name).or_else(|| pattern().map(|(_, price)| price))
    }

    fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }
}

/// Our own name for a provider that has several.
pub(crate) fn canonical(provider: &str) -> &str {
    match provider {
        "google" | "google-ai-studio" | "ai-studio" => "gemini",
        "vertex-ai" | "vertex_ai" | "google-vertex" => "vertex",
        "aws" | "amazon" | "amazon-bedrock" | "aws-bedrock" | "bedrock_converse" => "bedrock",
        "x-ai" => "xai",
        "cohere_chat" => "cohere",
        "together_ai" | "togetherai" => "together",
        "fireworks_ai" | "fireworks-ai" => "fireworks",
        "mistralai" => "mistral",
        "vercel_ai_gateway" => "vercel",
        "voyageai" => "voyage",
        _ if provider.starts_with("vertex_ai-") => "vertex",
        _ => provider,
    }
}

#[cfg(test)]
mod tests;
