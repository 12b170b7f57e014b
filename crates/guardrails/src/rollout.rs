//! Whether decisions are carried out: for all, and for some before the others.

use doorward_core::{Decision, Effect, Pattern, Principal};

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stance {
    /// Tools are hidden and calls refused.
    #[default]
    Enforce,
    /// Nothing is hidden or refused; what would have been is told by decisions whose rule begins
    /// with `would.`. For finding out what contracts a team needs before they bind anyone.
    Observe,
}

/// A stance for some: whoever it names, with whichever tool it names. What it does not name does
/// not narrow it.
///
/// ```
/// use doorward_core::{Pattern, Principal};
/// use doorward_guardrails::{Rollout, Stance, StanceRule};
/// // All is observed but for mail, and nothing is observed for the team that went first.
/// let rollout = Rollout::new(Stance::Observe)
///     .with(StanceRule { team: Some(Pattern::new("sales")), ..StanceRule::new(Stance::Enforce) })
///     .with(StanceRule { tool: Some(Pattern::new("mail__*")), ..StanceRule::new(Stance::Enforce) });
/// let alice = Principal::person("alice@corp.com");
/// assert_eq!(rollout.of(&alice, "mail__send"), Stance::Enforce);
/// assert_eq!(rollout.of(&alice, "crm__update"), Stance::Observe);
/// ```
#[derive(Debug, Clone)]
pub struct StanceRule {
    /// The names of keys that it is for.
    pub key: Option<Pattern>,
    /// The teams.
    pub team: Option<Pattern>,
    /// The principals.
    pub principal: Option<Pattern>,
    /// The tools, by their federated names or as clients declare them.
    pub tool: Option<Pattern>,
    /// The stance.
    pub stance: Stance,
}

impl StanceRule {
    /// For everybody and everything.
    pub fn new(stance: Stance) -> Self {
        Self { key: None, team: None, principal: None, tool: None, stance }
    }

    fn fits(&self, principal: &Principal, tool: &str) -> bool {
        let named = |pattern: &Option<Pattern>, name: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| name.is_some_and(|name| pattern.matches(name)))
        };
        named(&self.key, principal.key_name.as_deref())
            && named(&self.team, principal.team.as_deref())
            && named(&self.principal, Some(&principal.id))
            && named(&self.tool, Some(tool))
    }
}

/// Who is bound already: the first rule that fits, else the stance of all.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    stance: Stance,
    rules: Vec<StanceRule>,
}

impl Rollout {
    /// One stance for all.
    pub fn new(stance: Stance) -> Self {
        Self { stance, rules: Vec::new() }
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn with(mut self, rule: StanceRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The stance towards a principal's use of a tool.
    pub fn of(&self, principal: &Principal, tool: &str) -> Stance {
        let rule = self.rules.iter().find(|rule| rule.fits(principal, tool));
        rule.map_or(self.stance, |rule| rule.stance)
    }

    /// A decision as it is carried out.
    pub(crate) fn carried_out(
        &self,
        principal: &Principal,
        tool: &str,
        decision: Decision,
    ) -> Decision {
        if decision.is_allowed() || self.of(principal, tool) == Stance::Enforce {
            return decision;
        }
        let rule = format!("would.{}", decision.rule);
        Decision { effect: Effect::Allow, rule: rule.into(), ..decision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_holds() {
        let pattern = |text: &str| Some(Pattern::new(text));
        let rollout = Rollout::new(Stance::Enforce)
            .with(StanceRule { tool: pattern("bank__*"), ..StanceRule::new(Stance::Enforce) })
            .with(StanceRule {
                key: pattern("ci"),
                tool: pattern("*"),
                ..StanceRule::new(Stance::Observe)
            })
            .with(StanceRule { team: pattern("lab*"), ..StanceRule::new(Stance::Observe) });
        let mut ci = Principal::service("robot");
        ci.key_name = Some("ci".into());
        let mut lab = Principal::person("ann");
        lab.team = Some("lab-2".into());
        for (who, tool, stance) in [
            (&ci, "bank__pay", Stance::Enforce),
            (&ci, "mail__send", Stance::Observe),
            (&lab, "mail__send", Stance::Observe),
            (&lab, "bank__pay", Stance::Enforce),
            (&Principal::person("bob"), "mail__send", Stance::Enforce),
        ] {
            assert_eq!(rollout.of(who, tool), stance, "{} {tool}", who.id);
        }
        let told = rollout.carried_out(&ci, "mail__send", Decision::deny("contract.control", "no"));
        assert!(told.is_allowed() && &*told.rule == "would.contract.control");
    }
}
