//! Limits as they stand in the configuration.

use doorward_core::{Cx, Pattern};
use serde::{Deserialize, Serialize};

use crate::Amount;
use crate::limits::LimitsError;
use crate::window::Window;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls, of models and tools alike.
    Requests,
    /// Tokens, prompt and answer together.
    Tokens,
    /// US dollars.
    Usd,
    /// Calls of tools.
    ToolCalls,
    /// Calls that run at once: of models, and of tools where `tools` is given. Has no window.
    Concurrency,
}

impl Unit {
    /// The words in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Usd => "US dollars",
            Self::ToolCalls => "tool calls",
            Self::Concurrency => "calls at once",
        }
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
    /// Each team; those without one share a count.
    Team,
    /// Each principal.
    Principal,
    /// Each virtual key; a caller without one counts by who they are.
    Key,
    /// Each agent of each principal, by the name it gives itself. That is a label, no proof: who
    /// wants more takes another name, so a limit on the key or the principal belongs beside it.
    Agent,
}

/// One limit. It concerns a caller that fits each list it has; a list that is not there fits
/// everybody, and an empty one nobody.
///
/// ```
/// use doorward_ledger::{Rule, Unit};
/// let json = r#"{ "name": "search", "teams": ["search*"], "what": "usd", "amount": 12.5,
///                 "window": "month", "time_zone": "Europe/Berlin", "per": "principal" }"#;
/// let rule: Rule = serde_json::from_str(json)?;
/// assert_eq!(rule.what, Unit::Usd);
/// assert!(rule.check().is_ok());
///
/// let typo = json.replace("teams", "team");
/// assert!(serde_json::from_str::<Rule>(&typo).is_err());
/// let nowhere = serde_json::from_str::<Rule>(&json.replace("Berlin", "Bärlin"))?;
/// assert!(nowhere.check().is_err());
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
    /// Names that agents give themselves, with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub agents: Option<Vec<Pattern>>,
    /// Models as clients write them, with `*`. With `tools` absent, tool calls do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub models: Option<Vec<Pattern>>,
    /// Where calls go, `upstream/model`, with `*`. Each attempt at such a target counts, in the
    /// place of the call; tool calls do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub targets: Option<Vec<Pattern>>,
    /// Tools by federated name, with `*`. With `models` absent, model calls do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<String>>"))]
    pub tools: Option<Vec<Pattern>>,
    /// Who shares one count; all together, unless said.
    #[serde(default)]
    pub per: Per,
    /// What is counted.
    pub what: Unit,
    /// How much there is in each window, or at once.
    pub amount: Amount,
    /// For how long is counted together. All but `concurrency` have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Whether the window ends now and moves on with the clock, rather than being the calendar's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolling: bool,
    /// Where a day, a week or a month begins at midnight, by its IANA name; UTC, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

impl Rule {
    /// A limit that concerns every call of everybody, together. `window` is a [`Window`], or
    /// `None` for [`Unit::Concurrency`].
    pub fn new(
        name: impl Into<String>,
        what: Unit,
        amount: Amount,
        window: impl Into<Option<Window>>,
    ) -> Self {
        Self {
            name: name.into(),
            keys: None,
            principals: None,
            teams: None,
            agents: None,
            models: None,
            targets: None,
            tools: None,
            per: Per::All,
            what,
            amount,
            window: window.into(),
            rolling: false,
            time_zone: None,
        }
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), LimitsError> {
        self.most()?;
        crate::window::Schedule::new(self).map(drop)?;
        let tools_only = self.what == Unit::ToolCalls;
        if tools_only && (self.models.is_some() || self.targets.is_some()) {
            return Err(LimitsError::Idle(self.name.clone(), "tool calls have no model"));
        }
        let models_only = matches!(self.what, Unit::Tokens | Unit::Usd);
        if models_only && self.tools.is_some() && self.models.is_none() && self.targets.is_none() {
            return Err(LimitsError::Idle(self.name.clone(), "tools take no tokens and no money"));
        }
        Ok(())
    }

    /// Whether it concerns this caller.
    pub(crate) fn concerns(&self, cx: &Cx) -> bool {
        let principal = &cx.principal;
        fits(self.keys.as_deref(), principal.key_name.as_deref())
            && fits(self.principals.as_deref(), Some(&principal.id))
            && fits(self.teams.as_deref(), principal.team.as_deref())
            && fits(self.agents.as_deref(), cx.agent.as_deref())
    }

    /// Whether it counts calls of this model, as against attempts at a target.
    pub(crate) fn concerns_model(&self, model: &str) -> bool {
        let counts = matches!(self.what, Unit::Requests | Unit::Concurrency);
        counts && self.targets.is_none() && self.fits_model(model)
    }

    /// Whether it counts an attempt at this target, for a call of this model.
    pub(crate) fn concerns_attempt(&self, model: &str, target: &str) -> bool {
        match self.what {
            Unit::ToolCalls => false,
            Unit::Requests | Unit::Concurrency if self.targets.is_none() => false,
            _ => fits(self.targets.as_deref(), Some(target)) && self.fits_model(model),
        }
    }

    /// Whether it concerns this tool.
    pub(crate) fn concerns_tool(&self, tool: &str) -> bool {
        let counts = match self.what {
            Unit::Requests | Unit::ToolCalls => true,
            Unit::Concurrency => self.tools.is_some(),
            // A tool has neither tokens nor a price.
            Unit::Tokens | Unit::Usd => false,
        };
        counts
            && match &self.tools {
                Some(tools) => fits(Some(tools), Some(tool)),
                None => self.models.is_none() && self.targets.is_none(),
            }
    }

    fn fits_model(&self, model: &str) -> bool {
        match &self.models {
            Some(models) => fits(Some(models), Some(model)),
            None => self.tools.is_none() || self.targets.is_some(),
        }
    }

    /// The amount in the unit's own whole number: calls, tokens or nano-dollars.
    pub(crate) fn most(&self) -> Result<u64, LimitsError> {
        match self.what {
            Unit::Usd => Ok(self.amount.billionths()),
            _ => self.amount.as_whole().ok_or_else(|| LimitsError::Fraction(self.name.clone())),
        }
    }
}

fn fits(list: Option<&[Pattern]>, name: Option<&str>) -> bool {
    list.is_none_or(|list| {
        name.is_some_and(|name| list.iter().any(|pattern| pattern.matches(name)))
    })
}
