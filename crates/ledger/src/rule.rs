//! Limits as they stand in the configuration.

use std::time::Duration;

use doorward_core::{Pattern, Principal, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Amount;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls, of models and tools alike.
    Requests,
    /// Tokens, prompt and answer together.
    Tokens,
    /// US dollars.
    Usd,
}

impl Unit {
    /// The word in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Usd => "US dollars",
        }
    }
}

/// For how long is counted together. All in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A minute of the clock.
    Minute,
    /// An hour of the clock.
    Hour,
    /// A day.
    Day,
}

impl Window {
    const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// The word in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Which window a time lies in, counted from 1970.
    pub fn number(self, now: Timestamp) -> i64 {
        now.as_secs().div_euclid(self.seconds().into())
    }

    /// How long until the next one begins; at least a microsecond.
    pub fn left(self, now: Timestamp) -> Duration {
        let length = i64::from(self.seconds()) * 1_000_000;
        let gone = now.as_micros().rem_euclid(length);
        Duration::from_micros((length - gone).unsigned_abs())
    }
}

/// Who shares one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// All that the rule concerns, together.
    #[default]
    All,
    /// Each virtual key; a caller without one counts by who they are.
    Key,
    /// Each principal.
    Principal,
    /// Each team; those without one share a count.
    Team,
}

/// One limit. It concerns a caller that fits each list it has; a list that is not there fits
/// everybody, and an empty one nobody.
///
/// ```
/// use doorward_ledger::{Rule, Unit};
/// let json = r#"{ "name": "search", "teams": ["search*"], "what": "usd", "amount": 12.5,
///                 "window": "day", "per": "principal" }"#;
/// let rule: Rule = serde_json::from_str(json)?;
/// assert_eq!(rule.what, Unit::Usd);
///
/// let typo = json.replace("teams", "team");
/// assert!(serde_json::from_str::<Rule>(&typo).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, as refusals tell it.
    pub name: String,
    /// Names of virtual keys, with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub keys: Option<Vec<Pattern>>,
    /// Ids of principals, with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub principals: Option<Vec<Pattern>>,
    /// Names of teams, with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub teams: Option<Vec<Pattern>>,
    /// Models as clients write them, with `*`. With `tools` absent, tool calls do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub models: Option<Vec<Pattern>>,
    /// Tools by federated name, with `*`. With `models` absent, model calls do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub tools: Option<Vec<Pattern>>,
    /// Who shares one count; all together, unless said.
    #[serde(default)]
    pub per: Per,
    /// What is counted.
    pub what: Unit,
    /// How much there is in each window.
    pub amount: Amount,
    /// For how long is counted together.
    pub window: Window,
}

impl Rule {
    /// A limit that concerns every call of everybody, together.
    pub fn new(name: impl Into<String>, what: Unit, amount: Amount, window: Window) -> Self {
        Self {
            name: name.into(),
            keys: None,
            principals: None,
            teams: None,
            models: None,
            tools: None,
            per: Per::All,
            what,
            amount,
            window,
        }
    }

    /// Whether it concerns this caller.
    pub(crate) fn concerns(&self, principal: &Principal) -> bool {
        fits(self.keys.as_deref(), principal.key_name.as_deref())
            && fits(self.principals.as_deref(), Some(&principal.id))
            && fits(self.teams.as_deref(), principal.team.as_deref())
    }

    /// Whether it concerns this model.
    pub(crate) fn concerns_model(&self, model: &str) -> bool {
        match &self.models {
            Some(models) => fits(Some(models), Some(model)),
            None => self.tools.is_none(),
        }
    }

    /// Whether it concerns this tool.
    pub(crate) fn concerns_tool(&self, tool: &str) -> bool {
        match &self.tools {
            Some(tools) => fits(Some(tools), Some(tool)),
            None => self.models.is_none(),
        }
    }

    /// The amount in the unit's own whole number: calls, tokens or micro-dollars.
    pub(crate) fn most(&self) -> Option<u64> {
        match self.what {
            Unit::Requests | Unit::Tokens => self.amount.as_whole(),
            Unit::Usd => Some(self.amount.millionths()),
        }
    }
}

fn fits(list: Option<&[Pattern]>, name: Option<&str>) -> bool {
    list.is_none_or(|list| {
        name.is_some_and(|name| list.iter().any(|pattern| pattern.matches(name)))
    })
}
