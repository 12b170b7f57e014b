//! Price lists in the shape of `LiteLLM`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_core::Pattern;
use serde_json::{Map, Value};

use super::{Catalogue, Table, canonical};
use crate::{Above, Amount, Price, Tier};

/// The list, if it is one.
pub(super) fn read(text: &str) -> Option<Catalogue> {
    let entries: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut providers: BTreeMap<String, Table> = BTreeMap::new();
    let mut left_out = 0;
    for (key, value) in &entries {
        if key == "sample_spec" {
            continue;
        }
        let entry = value.as_object();
        let Some((provider, price)) = entry.and_then(|entry| entry_of(&Fields(entry))) else {
            left_out += 1;
            continue;
        };
        let table = providers.entry(canonical(provider).to_owned()).or_default();
        table.insert(Pattern::new(model(key, provider)), Arc::new(price));
    }
    Some(Catalogue { name: "litellm".into(), providers, left_out, ..Catalogue::default() })
}

/// The model's own name, without the provider's before it.
fn model<'a>(key: &'a str, provider: &str) -> &'a str {
    let Some((before, model)) = key.split_once('/') else { return key };
    if canonical(before) == canonical(provider) { model } else { key }
}

fn entry_of<'a>(entry: &Fields<'a>) -> Option<(&'a str, Price)> {
    let provider = entry.text("litellm_provider")?;
    let mode = entry.text("mode").unwrap_or("chat");
    if !["chat", "completion", "responses", "embedding"].contains(&mode) {
        return None;
    }
    let price = entry.price()?;
    let nothing = price.input == Amount::default() && price.output == Amount::default();
    (!nothing).then_some((provider, price))
}

/// One entry.
struct Fields<'a>(&'a Map<String, Value>);

/// What comes after a field's name: how long a prompt, and in which tier.
#[derive(Clone, Copy)]
struct Suffix<'a> {
    above: Option<u64>,
    tier: &'a str,
}

const TIERS: [(&str, &str); 3] =
    [("_flex", "flex"), ("_priority", "priority"), ("_batches", "batch")];

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.as_str()
    }

    /// A price for one, as a price for a million.
    fn amount(&self, name: &str) -> Option<Amount> {
        let one = match self.0.get(name)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        millionths(one * 1e12)
    }

    fn at(&self, name: &str, suffix: Suffix<'_>) -> Option<Amount> {
        let above = suffix.above.map(|tokens| format!("_above_{}k_tokens", tokens / 1_000));
        self.amount(&format!("{name}{}{}", above.unwrap_or_default(), suffix.tier))
    }

    /// A price of the cache; a zero there stands for one that is not told.
    fn cache(&self, name: &str, suffix: Suffix<'_>) -> Option<Amount> {
        self.at(name, suffix).filter(|price| *price > Amount::default())
    }

    /// The dearest of several that we do not tell apart.
    fn dearest(&self, names: &[&str], suffix: Suffix<'_>) -> Option<Amount> {
        let (first, others) = names.split_first()?;
        let first = self.at(first, suffix)?;
        Some(others.iter().filter_map(|name| self.at(name, suffix)).fold(first, Amount::max))
    }

    fn above(&self, suffix: Suffix<'_>) -> Above {
        Above {
            tokens: suffix.above.unwrap_or_default(),
            input: self.dearest(&["input_cost_per_token", "input_cost_per_image_token"], suffix),
            output: self.dearest(
                &[
                    "output_cost_per_token",
                    "output_cost_per_reasoning_token",
                    "output_cost_per_image_token",
                ],
                suffix,
            ),
            cache_read: self.cache("cache_read_input_token_cost", suffix),
            cache_write: self.cache("cache_creation_input_token_cost", suffix),
            cache_write_1h: self.cache("cache_creation_input_token_cost_above_1hr", suffix),
        }
    }

    fn price(&self) -> Option<Price> {
        let plain = Suffix { above: None, tier: "" };
        let base = self.above(plain);
        let steps = self.steps();
        let longer = |tier| {
            let at = |tokens: &u64| self.above(Suffix { above: Some(*tokens), tier });
            let told = |step: &Above| *step != Above { tokens: step.tokens, ..Above::default() };
            steps.iter().map(at).filter(told).collect::<Vec<_>>()
        };
        let tiers = TIERS.iter().filter_map(|(tier, name)| {
            let own = self.above(Suffix { above: None, tier });
            let above = longer(tier);
            let told = own != Above::default() || !above.is_empty();
            told.then(|| ((*name).to_owned(), tier_of(&own, above)))
        });
        Some(Price {
            input: base.input?,
            output: base.output.unwrap_or_default(),
            cache_read: base.cache_read,
            cache_write: base.cache_write,
            cache_write_1h: base.cache_write_1h,
            audio_input: self.amount("input_cost_per_audio_token"),
            audio_output: self.amount("output_cost_per_audio_token"),
            search: self.search(),
            request: self.amount("input_cost_per_request").map(thousandth),
            max_output: self.0.get("max_output_tokens").and_then(Value::as_u64),
            above: longer(""),
            tiers: tiers.collect(),
        })
    }

    /// The lengths of prompt from which on another price is told.
    fn steps(&self) -> BTreeSet<u64> {
        let length = |name: &String| {
            let (_, rest) = name.rsplit_once("_above_")?;
            let (thousands, _) = rest.split_once("k_tokens")?;
            thousands.parse::<u64>().ok()?.checked_mul(1_000)
        };
        self.0.keys().filter_map(length).collect()
    }

    fn search(&self) -> Option<Amount> {
        let prices = self.0.get("search_context_cost_per_query")?.as_object()?;
        let dearest = prices.values().filter_map(Value::as_f64).fold(0.0, f64::max);
        millionths(dearest * 1e9)
    }
}

fn tier_of(own: &Above, above: Vec<Above>) -> Tier {
    Tier {
        times: None,
        input: own.input,
        output: own.output,
        cache_read: own.cache_read,
        cache_write: own.cache_write,
        cache_write_1h: own.cache_write_1h,
        above,
    }
}

/// From a price for a million to one for a thousand.
fn thousandth(amount: Amount) -> Amount {
    Amount::from_millionths(amount.millionths().div_ceil(1_000))
}

/// So many millionths; a price that is smaller than one is still a price.
fn millionths(number: f64) -> Option<Amount> {
    let whole = number.round();
    // Beyond 2^53 a fraction is no longer exact, and a token costs no nine thousand dollars.
    if !(0.0..9e15).contains(&whole) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number in range"
    )]
    let whole = whole as u64;
    Some(Amount::from_millionths(if number > 0.0 { whole.max(1) } else { whole }))
}
