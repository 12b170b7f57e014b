//! Names of our own for lists of targets, as they stand in a configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use doorward_core::Pattern;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Span, Target, TargetError, When};

/// A name of our own for a list of targets. The name may be a pattern: `*` catches what nothing
/// else knows.
///
/// ```
/// use doorward_model_router::{Alias, Strategy};
/// let alias: Alias = toml::from_str(r#"
///     name     = "fast"
///     strategy = "weighted"
///     sticky   = true
///     timeouts = { first_token = "20s" }
///     targets  = [
///         { target = "openai/gpt-5-mini", weight = 9 },
///         "anthropic/claude-haiku-4-5",
///     ]
///     rules    = [{ when = { min_input_tokens = 200_000 }, targets = ["google/gemini-pro"] }]
/// "#)?;
/// assert_eq!(alias.strategy, Strategy::Weighted);
/// assert_eq!(alias.targets[1].weight, 1);
///
/// let wrong = toml::from_str::<Alias>("name = \"a\"\ntargets = [\"gpt-5\"]").unwrap_err();
/// assert!(wrong.message().contains("expected `upstream/model`"));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The name clients write; may hold `*`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub name: Pattern,
    /// In which order the targets are tried.
    #[serde(default)]
    pub strategy: Strategy,
    /// The targets.
    pub targets: Vec<AliasTarget>,
    /// Whether a conversation goes back to the target that answered it before, while that target
    /// is healthy: its provider has the prompt in its cache.
    #[serde(default)]
    pub sticky: bool,
    /// How often one target is asked again, where it refused without a bill: 429, 503, 529, or no
    /// connection. Unless said: once where no other target is left, else not at all.
    #[serde(default)]
    pub retries: Option<u32>,
    /// After how long without a first word the next target is asked too. The first to speak
    /// answers, the other is cancelled; both may cost.
    #[serde(default)]
    pub hedge: Option<Span>,
    /// How long a target may take, where this differs from its upstream's.
    #[serde(default)]
    pub timeouts: Patience,
    /// Other targets for some calls; the first rule that fits counts.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl Alias {
    /// These targets, tried in this order.
    pub fn new(name: Pattern, targets: impl IntoIterator<Item = impl Into<AliasTarget>>) -> Self {
        Self {
            name,
            strategy: Strategy::default(),
            targets: targets.into_iter().map(Into::into).collect(),
            sticky: false,
            retries: None,
            hedge: None,
            timeouts: Patience::default(),
            rules: vec![],
        }
    }

    /// Puts the targets in order by a strategy.
    #[must_use]
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Every target that may answer, those of the rules too.
    pub fn all_targets(&self) -> impl Iterator<Item = &AliasTarget> {
        self.targets.iter().chain(self.rules.iter().flat_map(|rule| &rule.targets))
    }

    /// Whether it can only be kept by a router that waits ([`Pause`](crate::Pause)).
    pub(crate) fn waits(&self) -> bool {
        self.hedge.is_some()
            || self.retries.is_some_and(|retries| retries > 0)
            || self.timeouts != Patience::default()
    }
}

/// In which order an alias tries its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// As written, the next when one fails.
    #[default]
    Fallback,
    /// By lot, in proportion to the weights.
    Weighted,
    /// The quicker of two drawn by lot, by the time to the first word.
    Latency,
    /// The one with the fewest calls running.
    LeastBusy,
    /// The one whose price for this call is lowest; those without a price come last.
    Cheapest,
    /// By how hard the call looks, to the targets of that tier.
    Complexity,
}

impl Strategy {
    /// The name used in configurations and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Weighted => "weighted",
            Self::Latency => "latency",
            Self::LeastBusy => "least-busy",
            Self::Cheapest => "cheapest",
            Self::Complexity => "complexity",
        }
    }
}

/// How hard a call looks, and for which calls a target is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A short question.
    Simple,
    /// Some work.
    Medium,
    /// Long, with code, tools or reasoning.
    Complex,
}

impl Tier {
    /// The name used in configurations and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Medium => "medium",
            Self::Complex => "complex",
        }
    }
}

/// One target of an alias: `"upstream/model"`, or a table with that as `target`.
#[derive(Debug, Clone, PartialEq)]
pub struct AliasTarget {
    /// The model at its upstream.
    pub target: Target,
    /// Its share under [`Strategy::Weighted`]; 1 unless said, and 0 for a last resort.
    pub weight: u32,
    /// For which calls it may be used; unless said, for all.
    pub when: When,
    /// For which calls it is meant under [`Strategy::Complexity`].
    pub tier: Option<Tier>,
}

impl From<Target> for AliasTarget {
    fn from(target: Target) -> Self {
        Self { target, weight: 1, when: When::default(), tier: None }
    }
}

impl FromStr for AliasTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        text.parse::<Target>().map(Self::from)
    }
}

/// The long form of a target.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "AliasTargetTable"))]
#[serde(deny_unknown_fields)]
struct Table {
    /// `upstream/model`.
    target: Target,
    /// Its share under the strategy `weighted`.
    #[serde(default = "one")]
    weight: u32,
    /// For which calls it may be used.
    #[serde(default)]
    when: When,
    /// For which calls it is meant under the strategy `complexity`.
    tier: Option<Tier>,
}

const fn one() -> u32 {
    1
}

impl<'de> Deserialize<'de> for AliasTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AliasTargetVisitor)
    }
}

struct AliasTargetVisitor;

impl<'de> Visitor<'de> for AliasTargetVisitor {
    type Value = AliasTarget;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`upstream/model` or a table with `target`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AliasTarget, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AliasTarget, A::Error> {
        let Table { target, weight, when, tier } =
            Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(AliasTarget { target, weight, when, tier })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for AliasTarget {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AliasTarget".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = generator.subschema_for::<Target>();
        let table = generator.subschema_for::<Table>();
        schemars::json_schema!({ "anyOf": [text, table] })
    }
}

/// Other targets for some calls of an alias.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For which calls.
    pub when: When,
    /// The targets that take the place of the alias's own.
    pub targets: Vec<AliasTarget>,
}

/// How long a target may take before the next is tried, or the answer is given up. Nothing said:
/// as long as the transport allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Patience {
    /// From the request to the first event of a stream. After it the next target is tried.
    pub first_token: Option<Span>,
    /// Between two pieces of an answer that has begun.
    pub idle: Option<Span>,
    /// From the request to the end of the answer.
    pub total: Option<Span>,
}

impl Patience {
    /// This patience where it says something, else the other's.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            first_token: self.first_token.or(other.first_token),
            idle: self.idle.or(other.idle),
            total: self.total.or(other.total),
        }
    }

    /// How long the first event may take.
    pub(crate) fn opening(self, streaming: bool) -> Option<Duration> {
        let first = self.first_token.filter(|_| streaming);
        [first, self.total].into_iter().flatten().min().map(|span| span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_word_is_named() {
        for (text, part) in [
            ("name = 'a'\ntargets = []\nstrategie = 'x'", "strategie"),
            ("name = 'a'\ntargets = []\nstrategy = 'quickest'", "least-busy"),
            ("name = 'a'\ntargets = [{ target = 'a/b', wait = 1 }]", "wait"),
            ("name = 'a'\ntargets = [{ weight = 1 }]", "target"),
            ("name = 'a'\ntargets = [{ target = 'a/b', when = { tool = true } }]", "tools"),
            ("name = 'a'\ntargets = [1]", "upstream/model"),
            ("name = 'a'\ntargets = []\nhedge = 5", "string"),
            ("name = 'a'\ntargets = []\ntimeouts = { first = '1s' }", "first_token"),
            ("name = 'a'\ntargets = [{ target = 'a/b', tier = 'hard' }]", "complex"),
        ] {
            let error = toml::from_str::<Alias>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_alias_s_patience_goes_before_its_upstream_s() {
        let span = |seconds| Some(Span(Duration::from_secs(seconds)));
        let alias = Patience { first_token: span(1), ..Patience::default() };
        let upstream = Patience { first_token: span(2), idle: span(3), total: None };
        let both = alias.or(upstream);
        assert_eq!(both, Patience { first_token: span(1), idle: span(3), total: None });
        assert_eq!(both.opening(true), Some(Duration::from_secs(1)));
        assert_eq!(both.opening(false), None, "a whole answer has no first token");
    }

    #[cfg(feature = "schema")]
    #[test]
    fn the_schema_knows_both_forms_of_a_target() {
        let schema = serde_json::to_string(&schemars::schema_for!(Alias)).unwrap();
        for part in ["anyOf", "min_input_tokens", "least-busy", "first_token"] {
            assert!(schema.contains(part), "{part}: {schema}");
        }
    }
}
