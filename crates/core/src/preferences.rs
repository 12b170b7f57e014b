//! What a client wishes of the routing, whatever dialect it says it in.

use std::collections::BTreeMap;

/// Wishes of one request (`OpenRouter` `provider` and `models`, Vercel `providerOptions.gateway`).
/// They narrow and order what the configuration allows, and never widen it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preferences {
    /// Models to try after the first one, in order.
    pub models: Vec<String>,
    /// Upstreams or providers to try first, in order.
    pub order: Vec<String>,
    /// The only upstreams or providers to use; empty: any.
    pub only: Vec<String>,
    /// Upstreams or providers not to use.
    pub ignore: Vec<String>,
    /// Whether another target may be tried when the first fails; `None`: yes.
    pub allow_fallbacks: Option<bool>,
    /// How to order the targets.
    pub sort: Option<Sort>,
    /// The most a target may cost, in US dollars for a million tokens of prompt and of answer.
    pub max_price: Option<MaxPrice>,
    /// Labels that the upstream must have, each one of the values
    /// (`data_collection: "deny"` is `training = ["no"]`, `zdr` is `retention = ["none"]`).
    pub require: BTreeMap<String, Vec<String>>,
    /// Whether only targets may answer that carry everything the request says.
    pub require_parameters: bool,
    /// Whether the client wants to be told what the call cost (`usage: {"include": true}`).
    pub tell_cost: bool,
}

impl Preferences {
    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a client wants targets ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The cheapest first (`:floor`).
    Price,
    /// The most tokens a second first (`:nitro`).
    Throughput,
    /// The quickest first word first.
    Latency,
}

/// The most a target may cost, in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MaxPrice {
    /// Of the prompt.
    pub input: Option<f64>,
    /// Of the answer.
    pub output: Option<f64>,
}
