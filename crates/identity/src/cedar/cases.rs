//! `doorward policy test`: what is expected of policies, as a table in TOML.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::SystemClock;
//! use doorward_identity::cedar::{Options, Policies, PolicySource, cases};
//!
//! let text = r#"@id("readers") permit(principal in Group::"staff", action, resource);"#;
//! let sources = [PolicySource::new("house.cedar", text)];
//! let policies = Policies::load(&sources, None, Options::new(Arc::new(SystemClock)))?;
//! let results = cases::run(&policies, r#"
//!     [[case]]
//!     name   = "staff may read"
//!     user   = "alice@corp.example"
//!     groups = ["staff"]
//!     tool   = "tracker__get_issue"
//!     expect = "allow"
//!     policy = "readers"
//!
//!     [[case]]
//!     name    = "services may not"
//!     service = "ci"
//!     tool    = "tracker__get_issue"
//!     expect  = "deny"
//! "#)?;
//! assert!(results.iter().all(|result| result.failure.is_none()));
//! assert_eq!(results[1].line, 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use doorward_core::{
    Action, Actor, Cx, Decision, Fetch, Identity, Integrity, KeyId, Label, Principal, RequestId,
    Sources, Timestamp, ToolName, TurnId,
};
use serde::Deserialize;
use toml::Spanned;

use super::explain::Explanation;
use super::fault::Place;
use super::policies::Policies;

/// What became of one case.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// What the case is called.
    pub name: String,
    /// The line it starts at, from 1.
    pub line: usize,
    /// The decision.
    pub decision: Decision,
    /// How it is not what was expected; `None` where it is.
    pub failure: Option<String>,
}

/// A file of cases cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct CasesError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Spanned<toml::Table>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Allow,
    Deny,
}

/// A question, as a table has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asking {
    /// A person's id; or
    pub user: Option<String>,
    /// a service's.
    pub service: Option<String>,
    /// Their groups, as an identity provider tells them; where left out, nobody told.
    pub groups: Option<Vec<Arc<str>>>,
    /// Their roles.
    pub roles: Vec<Arc<str>>,
    /// Their team.
    pub team: Option<Arc<str>>,
    /// Who acts for them, nearest first.
    pub actors: Vec<Arc<str>>,
    /// The provider that vouches for them.
    pub issuer: Option<Arc<str>>,
    /// The client that the token was issued to.
    pub client: Option<Arc<str>>,
    /// The name of the key they show.
    pub key: Option<Arc<str>>,
    /// The agent's name.
    pub agent: Option<Arc<str>>,
    /// The conversation's name.
    pub conversation: Option<Arc<str>>,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// When, in RFC 3339; now where left out.
    pub time: Option<String>,
    /// The model to call; or
    pub model: Option<String>,
    /// the tool to call; or
    pub tool: Option<String>,
    /// the server whose resource is read (`arguments.uri`); or
    pub resource_of: Option<String>,
    /// the server whose prompt is got (`arguments.name`); or
    pub prompt_of: Option<String>,
    /// the route that is relayed, `files` for instance.
    pub route: Option<String>,
    /// The arguments; where left out, the question is whether the tool may be seen.
    pub arguments: Option<serde_json::Value>,
    /// The context's label: `system`, `user` (where left out), `trusted` or `untrusted`.
    pub label: Option<Integrity>,
    /// Who chose, where that is less trusted than the label.
    pub choice: Option<Integrity>,
    /// The label's sources.
    pub sources: Vec<Arc<str>>,
}

impl Asking {
    /// Answers it, with every policy that was considered. `now` is the time where none is given.
    ///
    /// # Errors
    ///
    /// Where it is not clear who asks for what.
    pub fn explain(&self, policies: &Policies, now: Timestamp) -> Result<Explanation, String> {
        self.put(now, |cx, action, at| policies.explain_at(cx, action, at))
    }

    fn decide(&self, policies: &Policies, now: Timestamp) -> Result<Decision, String> {
        self.put(now, |cx, action, at| policies.authorize_at(cx, action, at))
    }

    fn put<T>(
        &self,
        now: Timestamp,
        ask: impl FnOnce(&Cx, Action<'_>, Timestamp) -> T,
    ) -> Result<T, String> {
        let at = match &self.time {
            Some(text) => {
                let read = text.parse::<jiff::Timestamp>();
                let read = read.map_err(|_| format!("`{text}` is not a time (RFC 3339)"))?;
                Timestamp::from_micros(read.as_microsecond())
            }
            None => now,
        };
        let cx = Cx {
            turn: TurnId::from_bytes([0; 16]),
            request: RequestId::from_bytes([0; 16]),
            principal: Arc::new(self.principal()?),
            agent: self.agent.clone(),
            conversation_hint: self.conversation.clone(),
            deadline: None,
            trace: None,
            source: self.source,
        };
        let tool = match (&self.model, &self.tool, &self.resource_of, &self.prompt_of, &self.route)
        {
            (Some(model), None, None, None, None) => return Ok(ask(&cx, Action::Model(model), at)),
            (None, None, None, None, Some(route)) => {
                return Ok(ask(&cx, Action::Model(&format!("relay/{route}")), at));
            }
            (None, Some(tool), None, None, None) => ToolName::new(tool.as_str()),
            (None, None, Some(server), None, None) => Fetch::Resource.tool_name(server),
            (None, None, None, Some(server), None) => Fetch::Prompt.tool_name(server),
            _ => {
                return Err("expected one of `model`, `tool`, `resource_of`, `prompt_of` and \
                            `route`"
                    .into());
            }
        };
        let Some(arguments) = &self.arguments else {
            return Ok(ask(&cx, Action::Tool(&tool), at));
        };
        let arguments =
            serde_json::value::to_raw_value(arguments).map_err(|error| error.to_string())?;
        let integrity = self.label.unwrap_or(Integrity::User);
        let mut label =
            Label { integrity, choice: self.choice.unwrap_or(integrity), ..Label::default() };
        for source in &self.sources {
            let of_it = Label { sources: Sources::one(source.clone()), ..label.clone() };
            label.absorb(&of_it);
        }
        let action = Action::Call { tool: &tool, arguments: &arguments, label: &label };
        Ok(ask(&cx, action, at))
    }

    fn principal(&self) -> Result<Principal, String> {
        let mut principal = match (&self.user, &self.service) {
            (Some(user), None) => Principal::person(user.as_str()),
            (None, Some(service)) => Principal::service(service.as_str()),
            _ => return Err("expected one of `user` and `service`".into()),
        };
        principal.team.clone_from(&self.team);
        principal.actors = self.actors.iter().map(|id| Actor { id: id.clone() }).collect();
        if let Some(name) = &self.key {
            principal.key = Some(KeyId::from_bytes([0; 16]));
            principal.key_name = Some(name.clone());
        }
        let told = self.groups.is_some()
            || !self.roles.is_empty()
            || self.issuer.is_some()
            || self.client.is_some();
        principal.identity = told.then(|| {
            let issuer = self.issuer.clone().unwrap_or_else(|| "https://idp.example".into());
            let mut identity = Identity::new(issuer, principal.id.clone());
            identity.groups.clone_from(&self.groups);
            identity.roles.clone_from(&self.roles);
            identity.client.clone_from(&self.client);
            Arc::new(identity)
        });
        Ok(principal)
    }
}

/// Runs all cases of a text. Cases without a time are asked at 1970-01-01T00:00:00Z, so that they
/// end the same on any day.
///
/// # Errors
///
/// Where the text cannot be read.
pub fn run(policies: &Policies, text: &str) -> Result<Vec<CaseResult>, CasesError> {
    let wrong = |byte: usize, message: String| {
        let place = Place::at(&"".into(), text, byte);
        CasesError { line: place.line, column: place.column, message }
    };
    let file: File = toml::from_str(text).map_err(|error| {
        wrong(error.span().map_or(0, |span| span.start), error.message().to_owned())
    })?;
    let mut results = Vec::with_capacity(file.case.len());
    for (number, row) in file.case.into_iter().enumerate() {
        let byte = row.span().start;
        let case = Case::read(row.into_inner()).map_err(|message| wrong(byte, message))?;
        let decision = case.asking.decide(policies, Timestamp::from_micros(0));
        let decision = decision.map_err(|message| wrong(byte, message))?;
        results.push(CaseResult {
            name: case.name.clone().unwrap_or_else(|| format!("case {}", number + 1)),
            line: Place::at(&"".into(), text, byte).line,
            failure: case.failure(&decision),
            decision,
        });
    }
    Ok(results)
}

struct Case {
    name: Option<String>,
    expect: Expected,
    policy: Option<String>,
    asking: Asking,
}

impl Case {
    /// A row: what is expected, and the rest of it is the question.
    fn read(mut row: toml::Table) -> Result<Self, String> {
        fn take<T: serde::de::DeserializeOwned>(
            row: &mut toml::Table,
            key: &str,
        ) -> Result<Option<T>, String> {
            let value = row.remove(key).map(T::deserialize).transpose();
            value.map_err(|error| format!("{key}: {}", error.message()))
        }
        let (name, policy) = (take(&mut row, "name")?, take(&mut row, "policy")?);
        let expect =
            take(&mut row, "expect")?.ok_or("expected `expect = \"allow\"` or `\"deny\"`")?;
        let asking = Asking::deserialize(row).map_err(|error| error.message().to_owned())?;
        Ok(Self { name, expect, policy, asking })
    }

    fn failure(&self, decision: &Decision) -> Option<String> {
        let expected = matches!(self.expect, Expected::Allow);
        let word = |allowed| if allowed { "allow" } else { "deny" };
        if decision.is_allowed() != expected {
            return Some(format!(
                "expected {}, got {} by `{}`: {}",
                word(expected),
                word(decision.is_allowed()),
                decision.rule,
                decision.reason
            ));
        }
        let wanted = self.policy.as_deref()?;
        let rule = &*decision.rule;
        // A policy by its own name, or any rule by its whole name.
        let met = rule == wanted || rule.strip_prefix("policy.") == Some(wanted);
        (!met).then(|| format!("expected `{wanted}` to decide, `{rule}` did"))
    }
}
