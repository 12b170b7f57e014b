//! Content checks: what a text holds, on its way to a model, to a tool or back.
//!
//! A [`Check`] looks for one kind of thing ([secrets](Check::secrets), [personal
//! data](Check::personal), [own patterns](Check::patterns), [links](Check::links), [invisible
//! characters](Check::invisible)), at sizes, at the [shape](Check::shape) of an answer, or asks
//! [somebody else](Check::verdicts). It says where it looks, for whom, what it does, and what holds
//! where it cannot look. [`Checks`] puts a list of them, in order, around a
//! [`Guard`]:
//!
//! ```
//! use doorward_guardrails::checks::{Action, Check, Checks, Stage};
//!
//! let checks = Checks::compile(vec![
//!     Check::invisible(),
//!     Check::secrets().action(Action::Deny).at([Stage::Request, Stage::Arguments]),
//!     Check::personal().rules(["iban", "credit_card"]).at([Stage::Answer]),
//! ])?;
//! let told = checks.text(Stage::Answer, "Pay to DE89 3704 0044 0532 0130 00, please.")?;
//! assert_eq!(told.text, "Pay to [redacted:iban], please.");
//! assert_eq!(&*told.found[0].rule, "check.pii.iban");
//!
//! let refused = checks.text(Stage::Request, "my key: AKIAIOSFODNN7EXAMPLE").unwrap_err();
//! assert_eq!(refused.rule.as_deref(), Some("check.secrets.aws_access_key"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where it stands
//!
//! The inner guard sees what the client sees: requests as they came, answers and results as they
//! go out. So conversations are recognised and arguments traced to the person's own words, while
//! the model and the tool get what the checks let through.
//!
//! # Streams
//!
//! Text flows on at once, but for what could still become a match: at most
//! 2048 bytes are kept back, mostly none. However a text is cut into pieces, what goes out is
//! what a check of the whole would let out. Calls are kept back until they are whole.
//!
//! # What it does not see
//!
//! Images, sound and files; what is encoded, encrypted or spelled out; a value that is spread over
//! several texts. A model that wants to leak can: contracts are what holds against that.

mod apply;
mod guard;
mod held;
mod invisible;
mod links;
mod matcher;
mod proof;
mod rules;
mod scan;
mod streams;
mod tree;
mod verdict;
mod visit;
mod watch;
mod window;

use std::fmt;
use std::sync::Arc;

use doorward_core::{CallError, Cx, Decision, Guard, Names, Pattern};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Stance;
use matcher::{Matcher, Rule};
use scan::{Scans, Stop, Tally};

pub use guard::CheckedGuard;
pub use verdict::{Content, Opinion, Question, ToolAsked, VerdictError, Verdicts};

/// Where a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What a client sends to a model: messages, tool definitions, texts to be embedded.
    Request,
    /// What a model answers.
    Answer,
    /// The arguments of tool calls: as a model asks for them, and at the broker.
    Arguments,
    /// What a tool behind the broker gives back.
    Result,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Request, Self::Answer, Self::Arguments, Self::Result];

    /// The word used in configuration and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Arguments => "arguments",
            Self::Result => "result",
        }
    }
}

/// What a check does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The call is refused.
    Deny,
    /// A placeholder takes its place: `[redacted:iban]`.
    Redact,
    /// All letters and digits but the last four become `*`.
    Mask,
    /// It stays, and is on record.
    Observe,
}

/// What holds where a check cannot look: its webhook does not answer, a schema cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The call is refused.
    #[default]
    Deny,
    /// The call goes on, and the failure is on record.
    Pass,
}

/// For whom a check looks. An empty list means everybody, or everything.
#[derive(Debug, Clone, Default)]
pub struct Applies {
    /// Principals, by id.
    pub principals: Vec<Pattern>,
    /// Teams. Somebody without a team is in none of them.
    pub teams: Vec<Pattern>,
    /// Models, by the name the client writes. Not asked about at the broker.
    pub models: Vec<Pattern>,
    /// Tools: by their federated name at the broker, as declared in a model's call. Asked about
    /// for arguments and results only.
    pub tools: Vec<Pattern>,
}

impl Applies {
    fn to(&self, cx: &Cx, model: Option<&str>) -> bool {
        let fits = |list: &[Pattern], name: Option<&str>| {
            list.is_empty() || name.is_some_and(|name| list.iter().any(|it| it.matches(name)))
        };
        fits(&self.principals, Some(&cx.principal.id))
            && fits(&self.teams, cx.principal.team.as_deref())
            && (model.is_none() || fits(&self.models, model))
    }

    fn to_tool(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|pattern| pattern.matches(tool))
    }
}

/// The most of something; `None`: any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of text in all.
    pub bytes: Option<usize>,
    /// Messages of a request.
    pub messages: Option<usize>,
    /// Tools declared in a request.
    pub tools: Option<usize>,
}

/// Whether JSON fits a JSON Schema. Implementations bound the work: schemas come from clients.
pub trait Shapes: Send + Sync {
    /// Checks a value.
    ///
    /// # Errors
    ///
    /// What does not fit, or that it cannot be said.
    fn check(&self, schema: &RawValue, value: &RawValue) -> Result<(), Misfit>;
}

/// Why JSON does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It does not fit: where and why, without quoting it.
    Value(String),
    /// The schema cannot be checked against.
    Schema(String),
}

/// One check, to be [compiled](Checks::compile).
#[derive(Clone)]
pub struct Check {
    what: What,
    name: Option<Arc<str>>,
    stages: Option<Vec<Stage>>,
    action: Option<Action>,
    on_failure: OnFailure,
    applies: Applies,
    only: Vec<String>,
    except: Vec<String>,
    allow: Vec<Pattern>,
    verify: bool,
}

#[derive(Clone)]
enum What {
    Secrets,
    Personal,
    Patterns(Vec<(String, String)>),
    Links { images_only: bool },
    Invisible,
    Size(Sizes),
    Shape(Arc<dyn Shapes>),
    Verdicts(Arc<dyn Verdicts>),
}

impl What {
    const fn family(&self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Personal => "pii",
            Self::Patterns(_) => "patterns",
            Self::Links { .. } => "links",
            Self::Invisible => "invisible",
            Self::Size(_) => "size",
            Self::Shape(_) => "schema",
            Self::Verdicts(_) => "webhook",
        }
    }

    /// Where it looks unless told otherwise.
    fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Links { .. } | Self::Shape(_) => vec![Stage::Answer],
            Self::Size(_) => vec![Stage::Request],
            _ => Stage::ALL.to_vec(),
        }
    }

    const fn action(&self) -> Action {
        match self {
            Self::Size(_) | Self::Shape(_) | Self::Verdicts(_) => Action::Deny,
            _ => Action::Redact,
        }
    }

    const fn can(&self, action: Action) -> bool {
        matches!(
            (self, action),
            (_, Action::Deny | Action::Observe)
                | (Self::Secrets | Self::Personal | Self::Patterns(_), _)
                | (Self::Links { .. } | Self::Invisible, Action::Redact)
        )
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("what", &self.what.family())
            .field("name", &self.name)
            .field("stages", &self.stages)
            .field("action", &self.action)
            .field("on_failure", &self.on_failure)
            .finish_non_exhaustive()
    }
}

impl Check {
    fn new(what: What) -> Self {
        Self {
            what,
            name: None,
            stages: None,
            action: None,
            on_failure: OnFailure::default(),
            applies: Applies::default(),
            only: vec![],
            except: vec![],
            allow: vec![],
            verify: false,
        }
    }

    /// Credentials: keys of clouds, code hosts, services and model providers, tokens, private
    /// keys, passwords in addresses. Redacts unless told otherwise.
    pub fn secrets() -> Self {
        Self::new(What::Secrets)
    }

    /// Personal data: e-mail addresses, telephone and account numbers, network addresses, national
    /// identifiers. Redacts unless told otherwise.
    pub fn personal() -> Self {
        Self::new(What::Personal)
    }

    /// What these regular expressions describe, each with a name. Classes are those of ASCII, and
    /// a match has at most 2048 bytes. Redacts unless told otherwise.
    pub fn patterns(patterns: Vec<(String, String)>) -> Self {
        Self::new(What::Patterns(patterns))
    }

    /// Addresses that lead to hosts which are not [allowed](Self::allow), turned into words.
    /// Answers only, unless told otherwise.
    pub fn links() -> Self {
        Self::new(What::Links { images_only: false })
    }

    /// The same for what is fetched without a click: images, and what styles refer to.
    pub fn images() -> Self {
        Self::new(What::Links { images_only: true })
    }

    /// Characters that nobody sees and a model reads. Taken out unless told otherwise.
    pub fn invisible() -> Self {
        Self::new(What::Invisible)
    }

    /// What is larger than this. Requests only, unless told otherwise; refuses.
    pub fn size(most: Sizes) -> Self {
        Self::new(What::Size(most))
    }

    /// Whether an answer has the form that its request asked for. The answer is kept back until
    /// it is whole.
    pub fn shape(shapes: Arc<dyn Shapes>) -> Self {
        Self::new(What::Shape(shapes))
    }

    /// What somebody else says. An answer is kept back until it is whole.
    pub fn verdicts(verdicts: Arc<dyn Verdicts>) -> Self {
        Self::new(What::Verdicts(verdicts))
    }

    /// What it is called in records, where there are several of a kind.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where it looks.
    #[must_use]
    pub fn at(mut self, stages: impl Into<Vec<Stage>>) -> Self {
        self.stages = Some(stages.into());
        self
    }

    /// What it does.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// What holds where it cannot look. A refusal unless told otherwise.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// For whom.
    #[must_use]
    pub fn applies(mut self, applies: Applies) -> Self {
        self.applies = applies;
        self
    }

    /// Only these rules. Guesses (`assigned`, `random`) are in force only where named here.
    #[must_use]
    pub fn rules<S: Into<String>>(mut self, rules: impl IntoIterator<Item = S>) -> Self {
        self.only = rules.into_iter().map(Into::into).collect();
        self
    }

    /// All rules but these.
    #[must_use]
    pub fn except<S: Into<String>>(mut self, rules: impl IntoIterator<Item = S>) -> Self {
        self.except = rules.into_iter().map(Into::into).collect();
        self
    }

    /// What is no finding, `*@example.com` for instance; for links, the hosts that may stay.
    #[must_use]
    pub fn allow(mut self, allow: Vec<Pattern>) -> Self {
        self.allow = allow;
        self
    }

    /// Whether tokens with a checksum count only where it holds: no example keys then.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// The names of all rules of its kind.
    pub fn rule_names(&self) -> Vec<String> {
        self.all_rules().iter().map(|rule| rule.id.clone().into_owned()).collect()
    }

    fn all_rules(&self) -> Vec<Rule> {
        match &self.what {
            What::Secrets => rules::secrets().into_iter().chain(rules::guesses()).collect(),
            What::Personal => rules::personal(),
            What::Links { images_only } => links::rules(*images_only),
            What::Patterns(patterns) => patterns.iter().map(own_rule).collect(),
            _ => vec![],
        }
    }
}

fn own_rule((name, regex): &(String, String)) -> Rule {
    let rule = Rule::new("", "", 4);
    Rule { id: name.clone().into(), regex: regex.clone().into(), ..rule }
}

/// A check cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CheckError {
    /// Which one, from 0.
    pub index: usize,
    /// Which of its settings.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What else was found in a list: its place there.
    pub at: Option<usize>,
}

/// Checks in force.
#[derive(Clone)]
pub struct Checks {
    list: Arc<[Compiled]>,
    stance: Stance,
    names: Option<Arc<dyn Names>>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|check| &check.title)).finish()
    }
}

/// One check in force.
struct Compiled {
    kind: Kind,
    family: &'static str,
    /// How it is called in words.
    title: Arc<str>,
    stages: Vec<Stage>,
    action: Action,
    on_failure: OnFailure,
    applies: Applies,
}

enum Kind {
    Match(Box<Matcher>),
    Unseen,
    Size(Sizes),
    Shape(Arc<dyn Shapes>),
    Verdicts(Arc<dyn Verdicts>),
}

impl Compiled {
    /// Whether it looks at texts as they come.
    fn scans(&self) -> bool {
        matches!(self.kind, Kind::Match(_) | Kind::Unseen)
    }
}

/// A text that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    /// The text, as it may go on.
    pub text: String,
    /// What was found.
    pub found: Vec<Decision>,
}

impl Checks {
    /// Makes checks ready, in this order.
    ///
    /// # Errors
    ///
    /// Where a rule is not known or not one, or a check cannot do what it is to do.
    pub fn compile(checks: Vec<Check>) -> Result<Self, CheckError> {
        let compiled = checks.into_iter().enumerate();
        let list =
            compiled.map(|(index, check)| compile(index, check)).collect::<Result<_, _>>()?;
        Ok(Self { list, stance: Stance::Enforce, names: None })
    }

    /// Whether they are carried out; where they are only observed, what they would have done is
    /// told under rules that begin with `would.`.
    #[must_use]
    pub fn stance(mut self, stance: Stance) -> Self {
        self.stance = stance;
        self
    }

    /// Which tools run through the broker: webhooks are asked about their calls there, once.
    #[must_use]
    pub fn names(mut self, names: Arc<dyn Names>) -> Self {
        self.names = Some(names);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts them around a guard.
    pub fn around(self, inner: Arc<dyn Guard>) -> CheckedGuard {
        CheckedGuard::new(self, inner)
    }

    /// Looks at a single text, with the checks that apply to everybody and need nobody's answer.
    ///
    /// # Errors
    ///
    /// Where a check refuses.
    pub fn text(&self, stage: Stage, text: &str) -> Result<Screened, CallError> {
        let mut tally = Tally::new(stage);
        let everybody = |check: &Compiled| {
            let Applies { principals, teams, models, tools } = &check.applies;
            principals.is_empty() && teams.is_empty() && models.is_empty() && tools.is_empty()
        };
        let fit =
            |check: &&Compiled| check.scans() && check.stages.contains(&stage) && everybody(check);
        let mut text = text.to_owned();
        for check in self.list.iter().filter(fit) {
            let changed = Scans::whole(self, check, &text, &mut tally);
            if let Some(changed) = changed.map_err(Stop::into_error)? {
                text = changed;
            }
        }
        Ok(Screened { text, found: tally.decisions(self) })
    }

    /// The checks that look there, for this caller and model.
    fn chosen(&self, stage: Stage, cx: &Cx, model: Option<&str>) -> Vec<usize> {
        let fits = |check: &Compiled| check.stages.contains(&stage) && check.applies.to(cx, model);
        self.list.iter().enumerate().filter(|(_, check)| fits(check)).map(|(at, _)| at).collect()
    }

    /// What a check does, as far as it is carried out.
    fn action(&self, check: &Compiled) -> Action {
        if self.stance == Stance::Observe { Action::Observe } else { check.action }
    }
}

fn compile(index: usize, check: Check) -> Result<Compiled, CheckError> {
    let fail = |key, message: String| CheckError { index, key, message, at: None };
    let family = check.what.family();
    let action = check.action.unwrap_or(check.what.action());
    if !check.what.can(action) {
        let message = format!("a check of {family} cannot do this");
        return Err(fail("action", message));
    }
    let stages = check.stages.clone().unwrap_or_else(|| check.what.stages());
    if stages.is_empty() {
        return Err(fail("stages", "it would look nowhere: the list is empty".to_owned()));
    }
    let fits = |stage: &Stage| match &check.what {
        What::Shape(_) => *stage == Stage::Answer,
        _ => true,
    };
    if let Some(at) = stages.iter().position(|stage| !fits(stage)) {
        let message = "only answers have a form that was asked for".to_owned();
        return Err(CheckError { at: Some(at), ..fail("stages", message) });
    }
    let rules = chosen_rules(index, &check)?;
    let kind = match check.what {
        What::Secrets | What::Personal | What::Patterns(_) | What::Links { .. } => {
            let own = matches!(check.what, What::Patterns(_));
            let matcher = Matcher::new(rules, check.allow.clone(), check.verify);
            Kind::Match(matcher.map(Box::new).map_err(|unfit| CheckError {
                at: unfit.rule.filter(|_| own),
                ..fail(if own { "patterns" } else { "rules" }, unfit.why)
            })?)
        }
        What::Invisible => Kind::Unseen,
        What::Size(sizes) if sizes == Sizes::default() => {
            return Err(fail("max_bytes", "nothing is limited".to_owned()));
        }
        What::Size(sizes) => Kind::Size(sizes),
        What::Shape(shapes) => Kind::Shape(shapes),
        What::Verdicts(verdicts) => Kind::Verdicts(verdicts),
    };
    let title = check.name.unwrap_or_else(|| family.into());
    let Check { on_failure, applies, .. } = check;
    Ok(Compiled { kind, family, title, stages, action, on_failure, applies })
}

fn chosen_rules(index: usize, check: &Check) -> Result<Vec<Rule>, CheckError> {
    let fail = |key, at: Option<usize>, message: String| CheckError { index, key, message, at };
    let all = check.all_rules();
    for (key, names) in [("rules", &check.only), ("except", &check.except)] {
        let unknown = names.iter().position(|name| !all.iter().any(|rule| rule.id == *name));
        if let Some(at) = unknown {
            let name = names.get(at).map_or("", String::as_str);
            return Err(fail(key, Some(at), format!("there is no rule `{name}`")));
        }
    }
    if matches!(&check.what, What::Patterns(_)) {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        for (at, rule) in all.iter().enumerate() {
            let first = all.iter().position(|other| other.id == rule.id) == Some(at);
            if rule.id.is_empty() || !rule.id.chars().all(legal) || !first {
                let message = format!("`{}` is no name, or another's", rule.id);
                return Err(fail("patterns", Some(at), message));
            }
        }
        if all.is_empty() {
            return Err(fail("patterns", None, "there are none".to_owned()));
        }
    }
    let guesses = rules::guesses();
    let named = |rule: &Rule| check.only.iter().any(|name| rule.id == *name);
    let guess = |rule: &Rule| {
        matches!(check.what, What::Secrets) && guesses.iter().any(|guess| guess.id == rule.id)
    };
    let chosen = |rule: &Rule| {
        let listed = if check.only.is_empty() { !guess(rule) } else { named(rule) };
        listed && !check.except.iter().any(|name| rule.id == *name)
    };
    let rules: Vec<Rule> = all.into_iter().filter(chosen).collect();
    let looks = matches!(
        check.what,
        What::Secrets | What::Personal | What::Patterns(_) | What::Links { .. }
    );
    if looks && rules.is_empty() {
        return Err(fail("rules", None, "no rule is left".to_owned()));
    }
    Ok(rules)
}
