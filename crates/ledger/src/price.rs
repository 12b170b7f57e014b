//! What tokens cost.

use std::collections::BTreeMap;

use doorward_core::Usage;
use serde::{Deserialize, Serialize};

use crate::Amount;

/// What a model costs, in US dollars: for a million tokens of each kind, for a thousand searches
/// and calls. A price that is not told is that of the next kind: writing to the cache for an hour
/// costs as writing to it, and that, as reading it and as sound, as other tokens.
///
/// ```
/// use doorward_core::Usage;
/// use doorward_ledger::{Above, Amount, Price, Tier};
/// let price = Price {
///     above: vec![Above { tokens: 200_000, input: Some(Amount::whole(4)), ..Above::default() }],
///     tiers: [("flex".into(), Tier { times: "0.5".parse().ok(), ..Tier::default() })].into(),
///     ..Price::new(Amount::whole(2), Amount::whole(10))
/// };
/// let usage = Usage { input: 1_000, output: 500, ..Usage::default() };
/// assert_eq!(price.cost(&usage, None), 7_000_000); // nano-dollars
/// assert_eq!(price.cost(&usage, Some("flex")), 3_500_000);
/// let long = Usage { input: 200_001, ..usage };
/// assert_eq!(price.cost(&long, None), 805_004_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Tokens written to the provider's cache for an hour; as `cache_write`, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// Tokens of the prompt that are sound; as `input`, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<Amount>,
    /// Tokens of the answer that are sound; as `output`, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<Amount>,
    /// A thousand web searches that the provider runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Amount>,
    /// A thousand calls, on top of their tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Amount>,
    /// The most tokens that one answer has: what is reserved for, where the client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// What differs for long prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
    /// What differs in other tiers of service, by their name on the wire: `flex`, `priority`,
    /// `batch`. A tier that is not here costs as the standard one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What all tokens of a call cost whose prompt is longer than so much. What is not told stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Above {
    /// A prompt of more tokens than this, those in the cache included.
    pub tokens: u64,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
}

/// What differs in a tier of service: every token price, `times` so much, or prices of its own.
/// Where it has some of its own and none for long prompts, those cost what is dearer, its own
/// price or the standard one for long prompts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// What the standard prices are multiplied by, where the tier does not tell its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// As in [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// What differs for long prompts, in this tier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
}

/// The most that a call may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound<'a> {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of all answers together.
    pub output: u64,
    /// The tier of service asked for.
    pub tier: Option<&'a str>,
    /// Whether it writes to the cache for an hour.
    pub cache_1h: bool,
}

/// Prices of one call, all decided: millionths of a US dollar for a million tokens, which is
/// billionths of a milli-dollar for one.
#[derive(Debug, Clone, Copy)]
struct Rates {
    input: u64,
    output: u64,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
}

impl Price {
    /// A price that is the same for all tokens of the prompt, and of the answer.
    pub fn new(input: Amount, output: Amount) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// What this cost, in nano-dollars, rounded up once. `tier` is the one that served it.
    ///
    /// Where the parts of the prompt come to more than all of it, each part is charged: such a
    /// usage was not [normalised](Usage), and then it is the total that is wrong.
    pub fn cost(&self, usage: &Usage, tier: Option<&str>) -> u64 {
        let rates = self.rates(usage.input, self.tier(tier));
        let for_an_hour = usage.cache_write_1h;
        let written = usage.cache_write.saturating_sub(for_an_hour);
        let parts = [usage.cache_read, written, for_an_hour, usage.audio_input];
        let rest = parts.iter().fold(usage.input, |rest, part| rest.saturating_sub(*part));
        let words = usage.output.saturating_sub(usage.audio_output);
        nanos([
            part(rest, rates.input),
            part(usage.cache_read, rates.cache_read()),
            part(written, rates.cache_write()),
            part(for_an_hour, rates.cache_write_1h()),
            part(usage.audio_input, rates.audio_input()),
            part(words, rates.output),
            part(usage.audio_output, rates.audio_output()),
            per_thousand(usage.searches, self.search),
            per_thousand(1, self.request),
        ])
    }

    /// The most that a call within these bounds can cost, in nano-dollars: the prompt at the
    /// dearest of its prices, in the tier asked for or the standard one, at any length up to
    /// this one. Searches cannot be foreseen, and are not in it.
    pub fn worst(&self, bound: &Bound<'_>) -> u64 {
        let asked = self.tier(bound.tier);
        let mut most = 0;
        for tier in [None, asked] {
            for input in self.lengths(bound.input, tier) {
                let rates = self.rates(input, tier);
                most = most.max(nanos([
                    part(bound.input, rates.dearest_input(bound.cache_1h)),
                    part(bound.output, rates.output.max(rates.audio_output())),
                    per_thousand(1, self.request),
                ]));
            }
        }
        most
    }

    /// What a token of the prompt and one of the answer cost, in nano-dollars, rounded up.
    pub fn per_token(&self) -> (u64, u64) {
        let nanos = |price: Amount| price.millionths().div_ceil(1_000);
        (nanos(self.input), nanos(self.output))
    }

    /// Whether the tier is the standard one, or has a price.
    pub fn knows_tier(&self, tier: Option<&str>) -> bool {
        let standard =
            ["", "auto", "default", "standard", "standard_only", "on_demand", "unspecified"];
        tier.is_none_or(|tier| {
            standard.iter().any(|known| known.eq_ignore_ascii_case(tier))
                || self.tier(Some(tier)).is_some()
        })
    }

    fn tier(&self, name: Option<&str>) -> Option<&Tier> {
        let name = name?;
        self.tiers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, tier)| tier)
    }

    /// One length of each price that a prompt of up to `input` tokens may have.
    fn lengths<'a>(&'a self, input: u64, tier: Option<&'a Tier>) -> impl Iterator<Item = u64> + 'a {
        let of_tier = tier.map_or(&[][..], |tier| &tier.above);
        let steps = self.above.iter().chain(of_tier).map(|step| step.tokens.saturating_add(1));
        std::iter::once(0).chain(steps.filter(move |length| *length <= input))
    }

    fn rates(&self, input: u64, tier: Option<&Tier>) -> Rates {
        let millionths = |amount: Option<Amount>| amount.map(Amount::millionths);
        let mut rates = Rates {
            input: self.input.millionths(),
            output: self.output.millionths(),
            cache_read: millionths(self.cache_read),
            cache_write: millionths(self.cache_write),
            cache_write_1h: millionths(self.cache_write_1h),
            audio_input: millionths(self.audio_input),
            audio_output: millionths(self.audio_output),
        };
        let step = reached(&self.above, input);
        if let Some(step) = step {
            rates = rates.with(*step);
        }
        let Some(tier) = tier else { return rates };
        let long = rates;
        if let Some(times) = tier.times {
            rates = rates.times(times);
        }
        rates = rates.with(tier.own());
        match reached(&tier.above, input) {
            Some(own) => rates.with(*own),
            None if step.is_some() && tier.has_own() => rates.dearer(long, &tier.own()),
            None => rates,
        }
    }
}

fn reached(steps: &[Above], input: u64) -> Option<&Above> {
    steps.iter().filter(|step| step.tokens < input).max_by_key(|step| step.tokens)
}

/// So many tokens at so much a million, in millionths of a micro-dollar.
fn part(tokens: u64, rate: u64) -> u128 {
    u128::from(tokens) * u128::from(rate)
}

fn per_thousand(count: u64, price: Option<Amount>) -> u128 {
    part(count, price.unwrap_or_default().millionths()).saturating_mul(1_000)
}

/// The sum, which is in millionths of a micro-dollar, in nano-dollars.
fn nanos<const N: usize>(parts: [u128; N]) -> u64 {
    let sum = parts.into_iter().fold(0, u128::saturating_add);
    u64::try_from(sum.div_ceil(1_000)).unwrap_or(u64::MAX)
}

impl Tier {
    fn own(&self) -> Above {
        Above {
            tokens: 0,
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
        }
    }

    fn has_own(&self) -> bool {
        self.own() != Above::default()
    }
}

impl Rates {
    fn cache_read(&self) -> u64 {
        self.cache_read.unwrap_or(self.input)
    }

    fn cache_write(&self) -> u64 {
        self.cache_write.unwrap_or(self.input)
    }

    fn cache_write_1h(&self) -> u64 {
        self.cache_write_1h.unwrap_or_else(|| self.cache_write())
    }

    fn audio_input(&self) -> u64 {
        self.audio_input.unwrap_or(self.input)
    }

    fn audio_output(&self) -> u64 {
        self.audio_output.unwrap_or(self.output)
    }

    fn dearest_input(&self, cache_1h: bool) -> u64 {
        let for_an_hour = if cache_1h { self.cache_write_1h() } else { 0 };
        let cached = self.cache_read().max(self.cache_write()).max(for_an_hour);
        self.input.max(cached).max(self.audio_input())
    }

    fn with(self, own: Above) -> Self {
        let or = |own: Option<Amount>, rate| own.map(Amount::millionths).or(rate);
        Self {
            input: own.input.map_or(self.input, Amount::millionths),
            output: own.output.map_or(self.output, Amount::millionths),
            cache_read: or(own.cache_read, self.cache_read),
            cache_write: or(own.cache_write, self.cache_write),
            cache_write_1h: or(own.cache_write_1h, self.cache_write_1h),
            ..self
        }
    }

    fn times(self, times: Amount) -> Self {
        let scaled = |rate: u64| {
            let scaled = u128::from(rate) * u128::from(times.millionths());
            u64::try_from(scaled.div_ceil(1_000_000)).unwrap_or(u64::MAX)
        };
        Self {
            input: scaled(self.input),
            output: scaled(self.output),
            cache_read: self.cache_read.map(scaled),
            cache_write: self.cache_write.map(scaled),
            cache_write_1h: self.cache_write_1h.map(scaled),
            audio_input: self.audio_input.map(scaled),
            audio_output: self.audio_output.map(scaled),
        }
    }

    /// Where a tier told its own price, no less than another's.
    fn dearer(self, long: Self, own: &Above) -> Self {
        let most = |own: Option<Amount>, rate: Option<u64>, long: Option<u64>| match own {
            Some(_) => rate.max(long),
            None => rate,
        };
        Self {
            input: most(own.input, Some(self.input), Some(long.input)).unwrap_or(self.input),
            output: most(own.output, Some(self.output), Some(long.output)).unwrap_or(self.output),
            cache_read: most(own.cache_read, self.cache_read, long.cache_read),
            cache_write: most(own.cache_write, self.cache_write, long.cache_write),
            cache_write_1h: most(own.cache_write_1h, self.cache_write_1h, long.cache_write_1h),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
