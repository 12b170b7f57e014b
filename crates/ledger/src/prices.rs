//! Which price holds for a target.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_core::Pattern;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Table, canonical};
use crate::{Above, Amount, Catalogue, Price, Tier};

/// What becomes of a call whose price nobody knows, under a limit on money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// It is refused.
    #[default]
    Deny,
    /// It is put down at the [fallback price](Prices::with_fallback), and marked as estimated;
    /// refused where there is none.
    Estimate,
    /// It goes through, and no cost is put down.
    Allow,
}

/// A target's price, as it stands in the configuration.
///
/// ```
/// use doorward_ledger::{Amount, PriceRule, Prices};
/// let rule: PriceRule = serde_json::from_str(
///     r#"{ "model": "azure/*-mini", "input": 0.25, "output": 2, "cache_read": "0.025" }"#,
/// )?;
/// let prices = Prices::default().with_rule(rule);
/// assert_eq!(prices.of("azure/our-mini").unwrap().output, Amount::whole(2));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PriceRule {
    /// The target, `upstream/model`, with `*`.
    pub model: String,
    /// As in [`Price`].
    pub input: Amount,
    /// As in [`Price`].
    pub output: Amount,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What targets cost. Looked up in this order: the prices set for a target, exact ones before
/// patterns; then the catalogues, the one added last first, by the upstream's provider.
///
/// ```
/// use doorward_ledger::{Amount, Catalogue, Price, Prices, Unpriced};
/// let prices = Prices::new(Unpriced::Deny)
///     .with_catalogue(Catalogue::shipped())
///     .with_upstream("main", "anthropic")
///     .with("local/*", Price::new(Amount::default(), Amount::default()));
/// assert!(prices.of("main/claude-opus-4-5").is_some());
/// assert!(prices.of("local/llama").is_some());
/// assert!(prices.of("elsewhere/claude-opus-4-5").is_none());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Prices {
    own: Table,
    catalogues: Vec<Catalogue>,
    upstreams: BTreeMap<String, String>,
    fallback: Option<Arc<Price>>,
    unpriced: Unpriced,
}

/// A target's price.
#[derive(Debug, Clone)]
pub(crate) struct Quote {
    pub(crate) price: Arc<Price>,
    /// Whether it is the one for what has none.
    pub(crate) is_fallback: bool,
}

impl Prices {
    /// No prices, and this for what has none.
    pub fn new(unpriced: Unpriced) -> Self {
        Self { unpriced, ..Self::default() }
    }

    /// Sets a target's price, by `upstream/model`, with `*`.
    #[must_use]
    pub fn with(mut self, target: &str, price: Price) -> Self {
        self.own.insert(Pattern::new(target), Arc::new(price));
        self
    }

    /// Sets a target's price as the configuration has it.
    #[must_use]
    pub fn with_rule(self, rule: PriceRule) -> Self {
        let price = Price {
            input: rule.input,
            output: rule.output,
            cache_read: rule.cache_read,
            cache_write: rule.cache_write,
            cache_write_1h: rule.cache_write_1h,
            audio_input: rule.audio_input,
            audio_output: rule.audio_output,
            search: rule.search,
            request: rule.request,
            max_output: rule.max_output,
            above: rule.above,
            tiers: rule.tiers,
        };
        self.with(&rule.model, price)
    }

    /// Adds a price list, which goes before those added earlier.
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogues.push(catalogue);
        self
    }

    /// Tells whose models an upstream has. One that was not told of is looked up by its own name.
    #[must_use]
    pub fn with_upstream(mut self, name: impl Into<String>, provider: impl Into<String>) -> Self {
        self.upstreams.insert(name.into(), provider.into());
        self
    }

    /// The price for what has none, under [`Unpriced::Estimate`].
    #[must_use]
    pub fn with_fallback(mut self, price: Price) -> Self {
        self.fallback = Some(Arc::new(price));
        self
    }

    /// What a target costs, `upstream/model`; `None` where nobody knows.
    pub fn of(&self, target: &str) -> Option<&Price> {
        self.find(target).map(|price| &**price)
    }

    fn find(&self, target: &str) -> Option<&Arc<Price>> {
        if let Some(own) = self.own.of(target) {
            return Some(own);
        }
        let (upstream, model) = target.split_once('/')?;
        let provider = self.upstreams.get(upstream).map_or(upstream, String::as_str);
        self.catalogues.iter().rev().find_map(|list| list.of(canonical(provider), model))
    }

    pub(crate) fn quote(&self, target: &str) -> Option<Quote> {
        if let Some(price) = self.find(target) {
            return Some(Quote { price: Arc::clone(price), is_fallback: false });
        }
        let estimate = self.unpriced == Unpriced::Estimate;
        let price = self.fallback.as_ref().filter(|_| estimate)?;
        Some(Quote { price: Arc::clone(price), is_fallback: true })
    }

    /// Whether a call without a price goes through.
    pub(crate) fn allows_unpriced(&self) -> bool {
        self.unpriced == Unpriced::Allow
    }

    /// Names these prices by what they are, so that a record tells which were used: the ids of
    /// the catalogues, then a hash over what was set beside them. The same prices have the same
    /// id in every process.
    pub fn id(&self) -> Arc<str> {
        let mut parts: Vec<String> = self.catalogues.iter().rev().map(Catalogue::id).collect();
        let own = (&self.own, &self.upstreams, &self.fallback, self.unpriced);
        // What is hashed is plain data: it cannot fail to be written.
        let text = serde_json::to_vec(&own).unwrap_or_default();
        parts.push(format!("own-{}", &blake3::hash(&text).to_hex()[..12]));
        parts.join("+").into()
    }
}

#[cfg(test)]
mod tests;
