//! Whether and how the model is to think.

use doorward_core::{Params, ToolChoice};

use super::compose::Compose;
use super::turns::Conversation;
use crate::emit::Object;
use crate::splice::shown;

/// The tokens to answer with where the client did not say: this dialect must.
const USUAL_TOKENS: u64 = 4096;

/// The least thinking budget.
const LEAST_BUDGET: u64 = 1024;

/// How the model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Nothing is said.
    Unsaid,
    Off,
    /// With this many tokens at most.
    Budget(u64),
    /// As much as it finds right, guided by an effort.
    Adaptive,
}

impl Thinking {
    pub(super) const fn is_on(self) -> bool {
        matches!(self, Self::Budget(_) | Self::Adaptive)
    }

    pub(super) fn write(self, body: &mut Object<'_>, params: &Params, own: bool) {
        let kind = match self {
            Self::Unsaid => return,
            Self::Off => "disabled",
            Self::Budget(_) => "enabled",
            Self::Adaptive => "adaptive",
        };
        body.object("thinking", |thinking| {
            thinking.str("type", kind);
            if let Self::Budget(budget) = self {
                thinking.value("budget_tokens", budget);
            }
            // Models that know only budgets need not know this.
            let shown = self == Self::Adaptive || own && self.is_on();
            match params.reasoning_summary.as_deref().filter(|_| shown) {
                None => {}
                Some("none") => thinking.str("display", "omitted"),
                Some(_) => thinking.str("display", "summarized"),
            }
        });
    }
}

impl Compose<'_> {
    /// How many tokens to answer with, and how to think.
    pub(super) fn limits(&mut self, conversation: &Conversation<'_>) -> (u64, Thinking) {
        let params = &self.call.params;
        let limit = params.max_tokens;
        let plain = limit.unwrap_or(USUAL_TOKENS);
        let effort = params.reasoning_effort.as_deref().filter(|_| !self.own);
        let adapts = adapts(self.model);
        if params.thinking == Some(false) || effort == Some("none") {
            // Older models do not think unless told to.
            let off = if self.own || adapts { Thinking::Off } else { Thinking::Unsaid };
            return (plain, off);
        }
        let budget = params.thinking_budget.or_else(|| effort.and_then(budget_of));
        if params.thinking == Some(true) && budget.is_none() && self.own {
            return (plain, Thinking::Adaptive);
        }
        let usual = || (params.thinking == Some(true)).then_some(8192);
        let Some(wanted) = budget.or_else(usual) else { return (plain, Thinking::Unsaid) };
        let wanted = wanted.max(LEAST_BUDGET);
        if adapts && !self.own {
            let on = self.thinks(conversation);
            let limit = limit.unwrap_or(USUAL_TOKENS.saturating_add(if on { wanted } else { 0 }));
            return (limit, if on { Thinking::Adaptive } else { Thinking::Unsaid });
        }
        let Some(limit) = limit else {
            let thinks = self.thinks(conversation);
            let limit = USUAL_TOKENS.saturating_add(if thinks { wanted } else { 0 });
            return (limit, if thinks { Thinking::Budget(wanted) } else { Thinking::Unsaid });
        };
        if limit <= LEAST_BUDGET {
            self.drop("thinking", "no room for it within the token limit");
            return (limit, Thinking::Unsaid);
        }
        // An effort leaves a quarter for the answer; a budget is the client's own word.
        let most = if params.thinking_budget.is_some() { limit - 1 } else { limit - limit / 4 };
        let budget = wanted.min(most).clamp(LEAST_BUDGET, limit - 1);
        let thinks = self.thinks(conversation);
        (limit, if thinks { Thinking::Budget(budget) } else { Thinking::Unsaid })
    }

    /// Whether thinking is possible in this call.
    fn thinks(&mut self, conversation: &Conversation<'_>) -> bool {
        let shown = shown(self.call);
        let forced = match &self.call.tool_choice {
            ToolChoice::Required => !shown.is_empty(),
            ToolChoice::Tool(name) => shown.contains(name.as_str()),
            _ => false,
        };
        if forced {
            self.drop("thinking", "not possible with a forced tool");
        } else if self.json_tool().is_some() {
            self.drop("thinking", "not possible with an answer of a given shape here");
        } else if !conversation.may_think() {
            self.drop("thinking", "not possible after a turn that was answered without it");
        } else {
            return true;
        }
        false
    }
}

/// The thinking budget that an effort stands for.
fn budget_of(effort: &str) -> Option<u64> {
    match effort {
        "low" => Some(2048),
        "medium" => Some(8192),
        "high" => Some(16_384),
        "xhigh" | "max" => Some(32_768),
        _ => None,
    }
}

/// The effort to guide an adaptive model by.
pub(super) fn effort_of(params: &Params) -> Option<&str> {
    match (&params.reasoning_effort, params.thinking_budget) {
        (Some(effort), _) if effort == "minimal" => Some("low"),
        (Some(effort), _) => Some(effort),
        (None, Some(0..=2048)) => Some("low"),
        (None, Some(2049..=8192)) => Some("medium"),
        (None, Some(8193..=16_384)) => Some("high"),
        (None, Some(_)) => Some("max"),
        (None, None) => None,
    }
}

/// Whether a model decides by itself how much to think: budgets are refused by the latest.
pub(super) fn adapts(model: &str) -> bool {
    version(model).is_some_and(|version| version >= (4, 6))
}

/// Whether a model refuses to have its sampling changed.
pub(super) fn refuses_sampling(model: &str) -> bool {
    version(model).is_some_and(|version| version >= (4, 7))
}

/// A Claude model's version, in whichever order and with whichever dots its name has it.
fn version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.rsplit_once("claude-")?;
    let words = name.split(['-', '.', '@', ':', '/']).filter(|word| word.len() <= 2);
    let mut numbers = words.filter_map(|word| word.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_version_is_read_from_its_name() {
        for (model, expected) in [
            ("claude-opus-4-7", Some((4, 7))),
            ("anthropic/claude-sonnet-4.6", Some((4, 6))),
            ("claude-haiku-4-5-20251001", Some((4, 5))),
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("us.anthropic.claude-opus-4-6-v1:0", Some((4, 6))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-opus-4@20250514", Some((4, 0))),
            ("claude-sonnet-5", Some((5, 0))),
            ("kimi-k2", None),
            ("claude-latest", None),
        ] {
            assert_eq!(version(model), expected, "{model}");
        }
        assert!(adapts("claude-opus-4-6") && !refuses_sampling("claude-opus-4-6"));
        assert!(refuses_sampling("claude-haiku-5-5") && !adapts("claude-haiku-4-5"));
    }
}
