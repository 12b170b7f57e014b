//! From the name a client wrote to the targets to try, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_core::{Body, CallError, Code, Cx, MaxPrice, ModelCall, Preferences, Role, Route};

use crate::alias::Patience;
use crate::breaker::Standing;
use crate::candidate::{Candidate, Roster};
use crate::order::{Scales, Slot};
use crate::pins::Pin;
use crate::policy::Policy;
use crate::receipt::{Rank, Receipt};
use crate::when::Facts;
use crate::{Alias, Router, When};

/// An alias with its targets looked up.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) alias: Alias,
    slots: Vec<(Slot, When)>,
    rules: Vec<(When, Vec<(Slot, When)>)>,
}

/// How a target is asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Course {
    pub(crate) retries: Option<u32>,
    pub(crate) hedge: Option<Duration>,
    pub(crate) patience: Patience,
}

/// One target to try.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) course: Course,
    /// Why it is tried only when nothing else is left, if so.
    pub(crate) resort: Option<String>,
}

/// The targets to try, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: VecDeque<Step>,
    /// Under which key to remember who answered.
    pub(crate) sticky: Option<u64>,
    /// Whose state the call holds, or who answered its conversation before.
    pub(crate) home: Option<Pin>,
}

/// What a name stands for.
#[derive(Default)]
struct Found<'a> {
    entry: Option<&'a Entry>,
    direct: Option<Arc<Candidate>>,
}

impl Entry {
    pub(crate) fn new(alias: Alias, roster: &Roster) -> Self {
        let slots = |targets: &[crate::AliasTarget]| {
            let slot = |it: &crate::AliasTarget| {
                let candidate = roster.at(&it.target)?;
                let slot = Slot { candidate, weight: it.weight, tier: it.tier };
                Some((slot, it.when.clone()))
            };
            targets.iter().filter_map(slot).collect::<Vec<_>>()
        };
        let rules = alias.rules.iter().map(|rule| (rule.when.clone(), slots(&rule.targets)));
        Self { slots: slots(&alias.targets), rules: rules.collect(), alias }
    }

    fn slots(&self, cx: &Cx, facts: &Facts<'_>) -> &[(Slot, When)] {
        let rule = self.rules.iter().find(|(when, _)| when.misfit(cx, facts).is_none());
        rule.map_or(&self.slots, |(_, slots)| slots)
    }

    fn course(&self) -> Course {
        let Alias { retries, hedge, timeouts, .. } = self.alias;
        Course { retries, hedge: hedge.map(|span| span.0), patience: timeouts }
    }
}

impl Router {
    /// What a name stands for. Aliases go first, exact ones before patterns; then
    /// `upstream/model`; then the upstream that a bare name belongs to; then the only upstream
    /// there is.
    fn find(&self, model: &str) -> Found<'_> {
        let direct = |found| Found { entry: None, direct: found };
        if let Some(at) = self.exact.get(model) {
            return Found { entry: self.entries.get(*at), direct: None };
        }
        if let Some(candidate) = self.roster.named(model) {
            return direct(Some(candidate));
        }
        if let Some(entry) = self.entries.iter().find(|entry| entry.alias.name.matches(model)) {
            return Found { entry: Some(entry), direct: None };
        }
        let at = |name: &str| self.roster.named(&format!("{name}/{model}"));
        if let Some(upstream) = self.upstreams.iter().find(|upstream| upstream.serves(model)) {
            return direct(at(&upstream.name));
        }
        match &self.upstreams[..] {
            [only] if !model.is_empty() && !model.contains('/') => direct(at(&only.name)),
            _ => direct(None),
        }
    }

    /// The targets for a call, in the order to try them.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] where the name leads nowhere or nothing fits the call;
    /// [`Code::Forbidden`] with the rule `data-policy` where no upstream may have its data.
    pub(crate) fn plan(
        &self,
        cx: &Cx,
        model: &str,
        wishes: &Preferences,
        facts: &Facts<'_>,
        receipt: &mut Receipt,
    ) -> Result<Plan, CallError> {
        let now = self.clock.instant();
        let survey = Survey {
            router: self,
            cx,
            wishes,
            policy: Policy::new(cx, &self.teams, &wishes.require),
            scales: Scales { now, entropy: &*self.entropy, prices: self.prices.as_deref(), facts },
        };
        let mut plan = Plan { steps: VecDeque::new(), sticky: None, home: None };
        let (mut found, mut permitted) = (false, false);
        for (place, name) in std::iter::once(model).chain(names(wishes)).enumerate() {
            if place > 0 && !cx.principal.scopes.allows_model(name) {
                continue;
            }
            let group = survey.group(name, receipt);
            (found, permitted) = (found | group.found, permitted | group.permitted);
            if place == 0 {
                receipt.route.alias = group.entry.map(|entry| entry.alias.name.to_string());
                receipt.route.strategy = group.reason;
                plan.sticky = group
                    .entry
                    .filter(|entry| entry.alias.sticky)
                    .and(facts.call)
                    .map(|call| self.conversation(cx, call));
            }
            let course = group.entry.map_or(Course::default(), Entry::course);
            for slot in group.slots {
                if !plan.steps.iter().any(|step| Arc::ptr_eq(&step.candidate, &slot.candidate)) {
                    let patience = course.patience.or(slot.candidate.upstream.patience);
                    let course = Course { patience, ..course };
                    plan.steps.push_back(Step { candidate: slot.candidate, course, resort: None });
                }
            }
        }
        match (found, permitted) {
            (false, _) => {
                let public = format!("no model `{model}` here; GET /v1/models lists what there is");
                return Err(CallError::new(Code::NotFound, public));
            }
            (true, false) => return Err(survey.policy.refusal(model)),
            (true, true) => {}
        }
        self.go_home(&mut plan, facts.call, receipt);
        spare(&mut plan, now, receipt);
        Ok(plan)
    }

    /// The targets for a call that is no completion, in the order to try them, and the receipt so
    /// far. Data policy, wishes, conditions and health count as for completions.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    pub(crate) fn targets(
        &self,
        cx: &Cx,
        model: &str,
        wishes: &Preferences,
        input_tokens: u64,
    ) -> Result<(Vec<Arc<Candidate>>, Route), CallError> {
        let mut receipt = Receipt::new(model);
        match self.plan(cx, model, wishes, &Facts::plain(input_tokens), &mut receipt) {
            Ok(plan) if plan.steps.is_empty() => Err(receipt.into_error()),
            Ok(plan) => {
                let targets = plan.steps.into_iter().map(|step| step.candidate);
                Ok((targets.collect(), receipt.route))
            }
            Err(mut error) => {
                error.route = Some(Arc::new(receipt.route));
                Err(error)
            }
        }
    }

    /// Puts the target first that issued the state in the call's history, or else answered the
    /// conversation before: its provider has the prompt in its cache.
    fn go_home(&self, plan: &mut Plan, call: Option<&ModelCall>, receipt: &mut Receipt) {
        let pinned = call.and_then(|call| self.pins.issuer(call));
        let why = if pinned.is_some() { "issued the call's state" } else { "sticky" };
        let remembered = || plan.sticky.and_then(|key| self.sticky.find(key));
        let Some(home) = pinned.or_else(remembered) else { return };
        let Some(at) = plan.steps.iter().position(|step| step.candidate.name == home.target) else {
            return;
        };
        if let Some(step) = plan.steps.remove(at) {
            if at > 0 {
                let before = receipt.route.strategy.take().unwrap_or_default();
                receipt.route.strategy = Some(format!("{before}; {why}: {}", home.target));
            }
            plan.steps.push_front(step);
        }
        plan.home = Some(home);
    }

    /// What tells a conversation from others: its name, or how it begins, and whose it is.
    fn conversation(&self, cx: &Cx, call: &ModelCall) -> u64 {
        let whose = &*cx.principal.id;
        if let Some(hint) = cx.conversation_hint.as_deref() {
            return self.sticky.key((whose, hint));
        }
        let opening = |role: Role| {
            let of_role = move |it: Role| match role {
                Role::User => it == Role::User,
                _ => matches!(it, Role::System | Role::Developer),
            };
            let message = call.messages.iter().find(|message| of_role(message.role));
            message.into_iter().flat_map(|message| &message.parts).find_map(|part| {
                match &part.body {
                    Body::Text(text) => Some(text.as_str()),
                    _ => None,
                }
            })
        };
        self.sticky.key((whose, opening(Role::System), opening(Role::User)))
    }
}

/// The further names that a client wishes.
fn names(wishes: &Preferences) -> impl Iterator<Item = &str> {
    wishes.models.iter().map(String::as_str)
}

/// Puts targets whose breaker is open behind the others, and leaves out those that asked for a
/// wait. A breaker spares a caller the wait where there is another way; it never takes the last
/// way.
fn spare(plan: &mut Plan, now: Instant, receipt: &mut Receipt) {
    let mut resorts = Vec::new();
    plan.steps.retain_mut(|step| match step.candidate.vitals.standing(now) {
        Standing::Ready | Standing::Due => true,
        Standing::Open { left, told: Some(code) } => {
            receipt.exclude(&step.candidate, format!("asked to wait {} more", seconds(left)));
            let public = format!("`{}` asked to wait", step.candidate.name);
            receipt.failed(Rank::Shut, CallError::new(code, public).with_retry_after(left));
            false
        }
        Standing::Open { left, told: None } => {
            step.resort = Some(format!("breaker open for {} more", seconds(left)));
            resorts.push((left, step.clone()));
            false
        }
        Standing::Probing => {
            step.resort = Some("breaker half-open: another call probes it".to_owned());
            resorts.push((Duration::ZERO, step.clone()));
            false
        }
    });
    resorts.sort_by_key(|(left, _)| *left);
    plan.steps.extend(resorts.into_iter().map(|(_, step)| step));
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1000))
}

/// What one name of a call leads to.
struct Group<'a> {
    entry: Option<&'a Entry>,
    slots: Vec<Slot>,
    reason: Option<String>,
    /// Whether the name leads anywhere.
    found: bool,
    /// Whether any of its upstreams may have the call's data.
    permitted: bool,
}

/// What decides on targets, for all names of one call.
struct Survey<'a> {
    router: &'a Router,
    cx: &'a Cx,
    wishes: &'a Preferences,
    policy: Policy<'a>,
    scales: Scales<'a>,
}

impl<'a> Survey<'a> {
    fn group(&self, name: &str, receipt: &mut Receipt) -> Group<'a> {
        let Found { entry, direct } = self.router.find(name);
        let mut group =
            Group { entry, slots: Vec::new(), reason: None, found: false, permitted: false };
        if let Some(candidate) = direct {
            self.admit(candidate.into(), None, &mut group, receipt);
        }
        for (slot, when) in entry.map_or(&[][..], |entry| entry.slots(self.cx, self.scales.facts)) {
            self.admit(slot.clone(), Some(when), &mut group, receipt);
        }
        if let Some(entry) = entry {
            group.reason = Some(self.scales.arrange(entry.alias.strategy, &mut group.slots));
        }
        self.obey(&mut group);
        group
    }

    /// Takes a target, unless something speaks against it.
    fn admit(&self, slot: Slot, when: Option<&When>, group: &mut Group<'_>, receipt: &mut Receipt) {
        let candidate = &slot.candidate;
        group.found = true;
        if let Some(reason) = self.policy.misfit(&candidate.upstream) {
            return receipt.exclude(candidate, reason);
        }
        group.permitted = true;
        let misfit = when.and_then(|when| when.misfit(self.cx, self.scales.facts));
        if let Some(field) = misfit {
            return receipt.exclude(candidate, format!("when.{field} does not hold"));
        }
        if let Some(reason) = self.unwished(candidate) {
            return receipt.exclude(candidate, reason);
        }
        group.slots.push(slot);
    }

    /// Why the client does not want a target, if so.
    fn unwished(&self, candidate: &Candidate) -> Option<&'static str> {
        let Preferences { only, ignore, max_price, order, allow_fallbacks, .. } = self.wishes;
        let fixed = *allow_fallbacks == Some(false) && !order.is_empty();
        if !only.is_empty() && !is_among(candidate, only) {
            Some("not among the providers that the client allows")
        } else if is_among(candidate, ignore) {
            Some("a provider that the client does not want")
        } else if fixed && !is_among(candidate, order) {
            Some("not in the client's order, and no fallbacks are wanted")
        } else {
            max_price.as_ref().and_then(|most| self.too_dear(candidate, *most))
        }
    }

    fn too_dear(&self, candidate: &Candidate, most: MaxPrice) -> Option<&'static str> {
        let Some((input, output)) = self.scales.prices.and_then(|of| of(&candidate.name)) else {
            return Some("no price known, and the client sets a limit");
        };
        // Billionths a token are thousandths a million.
        #[expect(clippy::cast_precision_loss, reason = "prices are small")]
        let above =
            |most: Option<f64>, nanos: u64| most.is_some_and(|most| nanos as f64 / 1e3 > most);
        (above(most.input, input) || above(most.output, output))
            .then_some("dearer than the client allows")
    }

    /// Puts a group in the order that the client wishes.
    fn obey(&self, group: &mut Group<'_>) {
        if let Some(sort) = self.wishes.sort {
            group.reason = Some(self.scales.sort(sort, &mut group.slots));
        }
        if !self.wishes.order.is_empty() {
            let order = &self.wishes.order;
            let place = |slot: &Slot| {
                order.iter().position(|name| is_called(&slot.candidate, name)).unwrap_or(usize::MAX)
            };
            group.slots.sort_by_key(place);
            group.reason = Some("order, as wished".to_owned());
        } else if self.wishes.allow_fallbacks == Some(false) {
            group.slots.truncate(1);
        }
    }
}

fn is_among(candidate: &Candidate, names: &[String]) -> bool {
    names.iter().any(|name| is_called(candidate, name))
}

/// Whether a client's word means this target: its upstream or its provider.
fn is_called(candidate: &Candidate, name: &str) -> bool {
    let upstream = &candidate.upstream;
    upstream.name.eq_ignore_ascii_case(name) || upstream.provider.name.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use doorward_core::{Pattern, Principal, RequestId, TurnId};

    use super::*;
    use crate::transport::{Inbound, Outbound, Transport, TransportError};
    use crate::{BoxFuture, NoCredentials, Provider, Target, Upstream};

    #[derive(Debug)]
    struct Nowhere;

    impl Transport for Nowhere {
        fn send(&self, _: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
            Box::pin(async { Err(TransportError::Timeout("answer")) })
        }
    }

    fn router(upstreams: &[&str], aliases: &[(&str, &[&str])]) -> Router {
        let mut builder = Router::builder(Arc::new(Nowhere), Arc::new(NoCredentials));
        for name in upstreams {
            let provider = Provider::named(name).unwrap();
            builder =
                builder.upstream(Upstream::new(*name, provider, Some("http://u.test")).unwrap());
        }
        for (name, targets) in aliases {
            let targets = targets.iter().map(|target| target.parse::<Target>().unwrap());
            builder = builder.alias(Alias::new(Pattern::new(*name), targets));
        }
        builder.build().unwrap()
    }

    #[test]
    fn names_lead_to_targets() {
        let aliases: &[(&str, &[&str])] =
            &[("*", &["openai/catch"]), ("fast", &["openai/a", "anthropic/b"])];
        let both: &[&str] = &["openai", "anthropic"];
        let one: &[&str] = &["openai-compatible"];
        let cx = Cx {
            turn: TurnId::from_bytes([0; 16]),
            request: RequestId::from_bytes([0; 16]),
            principal: Arc::new(Principal::person("alice")),
            agent: None,
            conversation_hint: None,
            deadline: None,
            trace: None,
            source: None,
        };
        for (model, aliases, upstreams, expected) in [
            ("fast", aliases, both, "openai/a anthropic/b"),
            ("openai/gpt-5", aliases, both, "openai/gpt-5"),
            ("openai/ft:a/b", &[], both, "openai/ft:a/b"),
            ("claude-x", &[], both, "anthropic/claude-x"),
            ("gpt-5-mini", &[], both, "openai/gpt-5-mini"),
            ("unheard-of", aliases, both, "openai/catch"),
            ("unheard-of", &[], both, ""),
            ("unheard-of", &[], one, "openai-compatible/unheard-of"),
            ("nobody/unheard-of", &[], one, ""),
            ("", &[], both, ""),
            ("", &[], one, ""),
        ] {
            let found = router(upstreams, aliases).targets(&cx, model, &Preferences::default(), 0);
            let found = found.map(|(found, _)| found).unwrap_or_default();
            let names: Vec<&str> = found.iter().map(|it| &*it.name).collect();
            assert_eq!(names.join(" "), expected, "{model}");
        }
    }
}
