//! What tokens cost.

use std::collections::BTreeMap;

use doorward_core::Usage;
use serde::{Deserialize, Serialize};

use crate::Amount;

/// What a model costs: US dollars for a million tokens of each kind.
///
/// ```
/// use doorward_core::Usage;
/// use doorward_ledger::{Amount, Price};
/// let price = Price::new(Amount::whole(2), Amount::whole(10));
/// let usage = Usage { input: 1_000, output: 500, ..Usage::default() };
/// assert_eq!(price.cost(&usage), 7_000); // micro-dollars
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the prompt that the cache had no part in.
    pub input: Amount,
    /// Tokens of the answer, reasoning included.
    pub output: Amount,
    /// Tokens read from the provider's cache; as `input`, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// Tokens written to the provider's cache; as `input`, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
}

impl Price {
    /// A price without cache.
    pub const fn new(input: Amount, output: Amount) -> Self {
        Self { input, output, cache_read: None, cache_write: None }
    }

    /// What these tokens cost, in micro-dollars, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let cached = usage.cache_read.saturating_add(usage.cache_write);
        let part = |tokens: u64, price: Amount| u128::from(tokens) * u128::from(price.millionths());
        // In millionths of a micro-dollar: the price is for a million tokens.
        let cost = part(usage.input.saturating_sub(cached), self.input)
            .saturating_add(part(usage.cache_read, self.cache_read.unwrap_or(self.input)))
            .saturating_add(part(usage.cache_write, self.cache_write.unwrap_or(self.input)))
            .saturating_add(part(usage.output, self.output));
        u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// The most a call can cost that reads and writes so many tokens: all input at its dearest.
    pub fn worst(&self, input: u64, output: u64) -> u64 {
        let dearest = self.input.max(self.cache_read.unwrap_or_default());
        let dearest = dearest.max(self.cache_write.unwrap_or_default());
        Self::new(dearest, self.output).cost(&Usage { input, output, ..Usage::default() })
    }
}

/// What becomes of a call whose price nobody knows, under a limit on money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// It is refused.
    #[default]
    Deny,
    /// It goes through and costs nothing.
    Allow,
}

/// What models cost, by the names they are asked for and routed to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    known: BTreeMap<String, Price>,
    aliases: BTreeMap<String, Vec<String>>,
    pub(crate) unpriced: Unpriced,
}

impl Prices {
    /// No prices, and this for what has none.
    pub fn new(unpriced: Unpriced) -> Self {
        Self { unpriced, ..Self::default() }
    }

    /// Adds a target's price, by `upstream/model`.
    #[must_use]
    pub fn with(mut self, target: impl Into<String>, price: Price) -> Self {
        self.known.insert(target.into(), price);
        self
    }

    /// Tells which targets may answer to a name. The dearest of them is reserved for.
    #[must_use]
    pub fn with_alias(mut self, name: impl Into<String>, targets: Vec<String>) -> Self {
        self.aliases.insert(name.into(), targets);
        self
    }

    /// What a target costs.
    pub fn of(&self, target: &str) -> Option<&Price> {
        self.known.get(target)
    }

    /// The most that a call to this name can cost, in micro-dollars; `None` where a target has no
    /// price.
    pub fn worst(&self, name: &str, input: u64, output: u64) -> Option<u64> {
        match self.aliases.get(name) {
            Some(targets) => targets.iter().try_fold(0, |most, target| {
                self.of(target).map(|price| price.worst(input, output).max(most))
            }),
            None => self.of(name).map(|price| price.worst(input, output)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_has_its_own_price() {
        let price = Price {
            cache_read: Some("0.5".parse().unwrap()),
            cache_write: Some(Amount::whole(4)),
            ..Price::new(Amount::whole(2), Amount::whole(10))
        };
        let usage = Usage {
            input: 1_000_000,
            cache_read: 400_000,
            cache_write: 100_000,
            output: 100_000,
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), 1_000_000 + 200_000 + 400_000 + 1_000_000);
        assert!(price.worst(usage.input, usage.output) >= price.cost(&usage));
    }

    #[test]
    fn costs_are_rounded_up_and_never_wrap() {
        let price = Price::new(Amount::from_millionths(1), Amount::whole(1));
        assert_eq!(price.cost(&Usage { input: 1, ..Usage::default() }), 1);
        let most = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        let dear = Amount::from_millionths(u64::MAX);
        assert_eq!(Price::new(dear, dear).cost(&most), u64::MAX);
    }

    #[test]
    fn an_alias_costs_as_its_dearest_target_and_none_if_one_is_unknown() {
        let prices = Prices::default()
            .with("a/x", Price::new(Amount::whole(1), Amount::whole(1)))
            .with("b/y", Price::new(Amount::whole(3), Amount::whole(1)))
            .with_alias("fast", vec!["a/x".into(), "b/y".into()])
            .with_alias("odd", vec!["a/x".into(), "c/z".into()]);
        assert_eq!(prices.worst("fast", 10, 0), Some(30));
        assert_eq!(prices.worst("odd", 10, 0), None);
        assert_eq!(prices.worst("c/z", 10, 0), None);
    }
}
