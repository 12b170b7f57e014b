//! The decision.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use cedar_policy::{Authorizer as Engine, Decision as Ruling, PolicyId, Response};
use doorward_core::{Action, Authorizer, Clock, Cx, Decision, Timestamp};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::explain::{self, Explanation};
use super::fault::{Fault, PolicyError};
use super::load::{self, Loaded, PolicySource, Written};
use super::question::{Meant, Question, Unaskable};
use crate::Rules;

/// What holds where no policy says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// Denied, as Cedar has it.
    #[default]
    Deny,
    /// What the key's scopes allow is allowed: only `forbid` policies matter.
    Allow,
}

/// How policies are asked.
#[derive(Debug, Clone)]
pub struct Options {
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    otherwise: Otherwise,
    rules: Rules,
}

/// There is no such time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone; expected a name such as `Europe/Paris`")]
pub struct ZoneError(String);

impl Options {
    /// With this clock, in UTC, denying what no policy permits.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (zone, otherwise) = (TimeZone::UTC, Otherwise::default());
        Self { clock, zone, otherwise, rules: Rules::default() }
    }

    /// What holds where no policy says anything.
    pub fn with_otherwise(self, otherwise: Otherwise) -> Self {
        Self { otherwise, ..self }
    }

    /// The time zone of `context.time`, by its IANA name.
    ///
    /// # Errors
    ///
    /// Where the time zone database has no such name.
    pub fn with_zone(self, name: &str) -> Result<Self, ZoneError> {
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| ZoneError(name.to_owned()))?;
        Ok(Self { zone, ..self })
    }

    /// The rules that stay the upper bound.
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }
}

/// Decides by policies, within the scopes of the key.
///
/// | rule | denies |
/// |---|---|
/// | those of [`Rules`] | what the key's scopes do not have |
/// | `policy.<id>` | what this policy forbids |
/// | `policy.default` | what no policy permits, under [`Otherwise::Deny`] |
/// | `policy.error` | where a policy could not be evaluated |
/// | `policy.groups` | where a policy asks for groups and they are not known |
/// | `policy.arguments` | arguments that are not what was declared |
pub struct Policies {
    loaded: Loaded,
    options: Options,
    engine: Engine,
    words: Words,
}

/// Rules' names, made once.
struct Words {
    default: Arc<str>,
    error: Arc<str>,
    groups: Arc<str>,
    arguments: Arc<str>,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("policies", &self.loaded.written.len())
            .field("otherwise", &self.options.otherwise)
            .finish_non_exhaustive()
    }
}

impl Policies {
    /// Reads and checks policies and declarations; `entities` tells who is in which groups, in
    /// Cedar's JSON entities format.
    ///
    /// # Errors
    ///
    /// All that is wrong with the texts, each with its place.
    pub fn load(
        sources: &[PolicySource],
        entities: Option<&PolicySource>,
        options: Options,
    ) -> Result<Self, PolicyError> {
        let mut loaded = load::load(sources, entities)?;
        if options.otherwise == Otherwise::Allow {
            let idle = loaded.written.values().filter(|one| !one.forbids()).map(|one| Fault {
                place: one.place.clone(),
                message: format!("`{}` changes nothing: the default is to allow", one.id),
            });
            let idle: Vec<Fault> = idle.collect();
            loaded.warnings.extend(idle);
        }
        loaded.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        let words = Words {
            default: "policy.default".into(),
            error: "policy.error".into(),
            groups: "policy.groups".into(),
            arguments: "policy.arguments".into(),
        };
        Ok(Self { loaded, options, engine: Engine::new(), words })
    }

    /// What looks wrong and is not surely so: confusable characters, permits that change nothing.
    pub fn warnings(&self) -> &[Fault] {
        &self.loaded.warnings
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.loaded.written.len()
    }

    /// Whether there is no policy.
    pub fn is_empty(&self) -> bool {
        self.loaded.written.is_empty()
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The decision at this time, whatever the clock says.
    pub fn authorize_at(&self, cx: &Cx, action: Action<'_>, now: Timestamp) -> Decision {
        let scoped = self.options.rules.authorize(cx, action);
        if !scoped.is_allowed() {
            return scoped;
        }
        match self.ask(cx, action, now) {
            Ok(question) => self.rule(&question).unwrap_or(scoped),
            Err(unaskable) => self.unaskable(unaskable),
        }
    }

    /// Why the decision is what it is: every policy that was considered, and what became of it.
    pub fn explain(&self, cx: &Cx, action: Action<'_>) -> Explanation {
        self.explain_at(cx, action, self.options.clock.now())
    }

    /// As [`explain`](Self::explain), at this time.
    pub fn explain_at(&self, cx: &Cx, action: Action<'_>, now: Timestamp) -> Explanation {
        let decision = self.authorize_at(cx, action, now);
        explain::explain(self, decision, self.ask(cx, action, now))
    }

    fn ask(&self, cx: &Cx, action: Action<'_>, now: Timestamp) -> Result<Question, Unaskable> {
        let meant = Meant::by(action, &self.loaded.vocabulary);
        Question::new(&self.loaded, cx, &meant, now, &self.options.zone)
    }

    /// The policies' decision; `None` where they have none.
    fn rule(&self, question: &Question) -> Option<Decision> {
        let bench = self.loaded.benches.get(&*question.verb)?;
        let (policies, groups) = if question.before {
            (&bench.before, &bench.groups_before)
        } else {
            (&bench.policies, &bench.groups)
        };
        if !question.groups_known && !groups.is_empty() {
            let might = self.engine.is_authorized(&question.request, groups, &question.entities);
            let errors = might.diagnostics().errors().map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
            });
            if let Some(one) = self.first(might.diagnostics().reason().chain(errors)) {
                let reason =
                    format!("policy `{}` asks for groups, and yours are not known", one.id);
                return Some(
                    Decision::deny(self.words.groups.clone(), reason)
                        .with_remedy("sign in again, so that the identity provider tells them"),
                );
            }
        }
        let response = self.engine.is_authorized(&question.request, policies, &question.entities);
        self.decision(&response)
    }

    fn decision(&self, response: &Response) -> Option<Decision> {
        let errors = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        if let Some(one) = self.first(errors) {
            let reason = format!("policy `{}` could not be evaluated", one.id);
            return Some(Decision::deny(self.words.error.clone(), reason));
        }
        let decider = self.first(response.diagnostics().reason());
        let told = |one: &Written, otherwise: &'static str| match &one.reason {
            Some(reason) => Cow::Owned(reason.to_string()),
            None => Cow::Borrowed(otherwise),
        };
        match (response.decision(), decider) {
            (Ruling::Deny, Some(one)) => {
                Some(Decision::deny(one.rule.clone(), told(one, "a policy forbids it")))
            }
            (Ruling::Allow, Some(one)) => {
                Some(Decision::allow(one.rule.clone(), told(one, "a policy permits it")))
            }
            (_, None) => match self.options.otherwise {
                Otherwise::Allow => None,
                Otherwise::Deny => {
                    let reason = "no policy permits it";
                    Some(Decision::deny(self.words.default.clone(), reason))
                }
            },
        }
    }

    /// The one that stands first, so that the same question is always answered by the same.
    fn first<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Option<&Written> {
        ids.filter_map(|id| self.loaded.written.get(id)).min_by(|a, b| a.place.cmp(&b.place))
    }

    fn unaskable(&self, unaskable: Unaskable) -> Decision {
        match unaskable {
            Unaskable::Arguments(text) => Decision::deny(self.words.arguments.clone(), text),
            Unaskable::Other(text) => Decision::deny(self.words.error.clone(), text),
        }
    }
}

impl Authorizer for Policies {
    fn authorize(&self, cx: &Cx, action: Action<'_>) -> Decision {
        self.authorize_at(cx, action, self.options.clock.now())
    }
}
