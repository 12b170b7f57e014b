//! A rule, with what is looked up once.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Ask, CallError, Code, Cx, Timestamp};

use super::LimitsError;
use crate::window::Schedule;
use crate::{Claim, Count, CounterKey, Full, Per, Rule, Span, Subject, Unit, Window};

/// When it is worth trying again where a call that runs must end first: nobody knows.
const SOON: Duration = Duration::from_secs(1);

pub(super) struct Limit {
    pub(super) rule: Rule,
    pub(super) name: Arc<str>,
    /// How much there is, in the unit's own whole number.
    pub(super) most: u64,
    schedule: Schedule,
}

impl Limit {
    pub(super) fn new(rule: Rule) -> Result<Self, LimitsError> {
        rule.check()?;
        Ok(Self {
            name: rule.name.as_str().into(),
            most: rule.most()?,
            schedule: Schedule::new(&rule)?,
            rule,
        })
    }

    pub(super) fn concerns(&self, cx: &Cx, ask: &Ask<'_>) -> bool {
        let plane = match ask {
            Ask::Model { model } => self.rule.concerns_model(model),
            Ask::Attempt(it) => self.rule.concerns_attempt(it.model, it.target),
            Ask::Tool(tool) => self.rule.concerns_tool(tool.as_str()),
        };
        plane && self.rule.concerns(cx)
    }

    /// Where it counts for this caller.
    pub(super) fn count(&self, cx: &Cx, now: Timestamp) -> Count {
        let key = CounterKey { rule: Arc::clone(&self.name), subject: self.subject(cx) };
        Count { key, span: self.schedule.span(now) }
    }

    fn subject(&self, cx: &Cx) -> Subject {
        let principal = &cx.principal;
        let name = || Subject::Name(Arc::clone(&principal.id));
        match self.rule.per {
            Per::All => Subject::All,
            Per::Team => principal.team.clone().map_or(Subject::All, Subject::Name),
            Per::Principal => name(),
            Per::Key => principal.key.map_or_else(name, Subject::Key),
            Per::Agent => cx.agent.clone().map_or_else(name, |agent| Subject::Agent {
                principal: Arc::clone(&principal.id),
                agent,
            }),
        }
    }

    fn code(&self) -> Code {
        let long = matches!(self.rule.window, Some(Window::Week | Window::Month));
        match self.rule.what {
            Unit::Usd | Unit::ToolCalls => Code::BudgetExhausted,
            Unit::Tokens if long => Code::BudgetExhausted,
            Unit::Requests | Unit::Tokens | Unit::Concurrency => Code::RateLimited,
        }
    }

    /// What it allows, in words.
    fn allows(&self) -> String {
        let Rule { amount, what, window, rolling, .. } = &self.rule;
        let unit = what.as_str();
        match window {
            None => format!("{amount} {unit}"),
            Some(window) if *rolling => format!("{amount} {unit} in any {}", window.as_str()),
            Some(window) => format!("{amount} {unit} a {}", window.as_str()),
        }
    }

    pub(super) fn refusal(&self, claim: &Claim, full: Full, now: Timestamp) -> CallError {
        let (name, allows) = (&self.rule.name, self.allows());
        let error = |public| CallError::new(self.code(), public).with_rule(name.clone());
        if claim.amount > claim.most {
            return error(format!("this call may take more than limit `{name}` has: {allows}"));
        }
        let used_up = format!("limit `{name}` is used up: {allows}");
        if claim.count.span == Span::Held {
            return error(used_up).with_retry_after(SOON);
        }
        match full.room_at {
            Some(at) => {
                let again = error(format!("{used_up}; room again at {}", shown(at)));
                let micros = at.as_micros().saturating_sub(now.as_micros()).max(1);
                again.with_retry_after(Duration::from_micros(micros.unsigned_abs()))
            }
            None => error(used_up),
        }
    }

    pub(super) fn unpriced(&self) -> CallError {
        let name = &self.rule.name;
        let public = format!("limit `{name}` counts money, and this model has no price");
        CallError::new(self.code(), public).with_rule(name.clone())
    }
}

/// The time as RFC 3339 writes it, to the next whole second.
fn shown(at: Timestamp) -> String {
    let second = at.as_micros().saturating_add(999_999).div_euclid(1_000_000);
    match jiff::Timestamp::from_second(second) {
        Ok(time) => time.to_string(),
        Err(_) => "the end of time".into(),
    }
}
