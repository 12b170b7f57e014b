//! Replies and refusals of the tool plane as the client reads them.

use std::borrow::Cow;

use doorward_core::{CallError, Code, Fetch, Stage, ToolReply};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::{Origin, Subject};
use super::caller::opens_urls;
use super::era::Refusal;
use super::params::text;
use super::revision::Revision;
use super::rounds::{Kind, random};
use super::run::{Outcome, digest};
use super::write::{self, Shape};
use crate::edit;
use crate::protocol::code;

/// A server's JSON-RPC error.
#[derive(Deserialize)]
struct Fault<'a> {
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A page that the user has to visit.
struct Visit {
    url: String,
    message: String,
}

impl Origin {
    fn revision(&self) -> Revision {
        self.place.revision
    }

    /// A reply, as far as it goes.
    pub(super) fn told(&self, reply: &ToolReply, shape: Shape) -> Outcome {
        let info = &self.place.front.settings.info;
        let (revision, result) = (self.revision(), reply.result.get());
        let failed = reply.is_error || reply.stage == Stage::Fault;
        if let Some(needed) = self.lacked().filter(|_| failed) {
            return Err(Refusal::capability(needed));
        }
        match reply.stage {
            Stage::Complete => Ok(write::whole(info, revision, shape, result)),
            Stage::Fault => self.fault(result, shape),
            Stage::InputRequired if revision.is_modern() && shape.may_ask() => {
                let state = edit::member(result, "requestState");
                let state = state.and_then(|state| RawValue::from_string(state.to_owned()).ok());
                let sealed = self.sealed(Kind::Server(state))?;
                Ok(write::asking_for(info, result, &sealed))
            }
            Stage::Task if revision >= Revision::Nov2025 => {
                Ok(write::created(info, revision, result))
            }
            Stage::InputRequired | Stage::Task => self.failed(
                shape,
                "the server wants to go on in a way that this client's protocol version lacks",
            ),
        }
    }

    /// What a server needed of a client of 2026-07-28 that has not declared it: where the request
    /// failed then, that is the answer (MCP 2026-07-28, "Missing Required Client Capability").
    fn lacked(&self) -> Option<&'static str> {
        let caller = self.caller.as_ref().filter(|_| self.revision().is_modern())?;
        caller.lacked()
    }

    /// A failure in our words: a tool's result, so that the model's turn goes on; an error for
    /// everything else.
    fn failed(&self, shape: Shape, message: &str) -> Outcome {
        if shape != Shape::Call {
            return Err(Refusal::answered(code::INTERNAL, message.to_owned()));
        }
        let info = &self.place.front.settings.info;
        let reply = ToolReply::error(message);
        Ok(write::whole(info, self.revision(), shape, reply.result.get()))
    }

    /// The state that a retry of this request brings back.
    fn sealed(&self, kind: Kind) -> Result<String, Refusal> {
        let lost = || Refusal::answered(code::INTERNAL, "internal error");
        let digest = digest(&self.request).ok_or_else(lost)?;
        let front = &self.place.front;
        front.seal_round(&self.place.cx.principal.id, &digest, kind).ok_or_else(lost)
    }

    /// A server's own refusal. Codes that the protocol keeps for itself are told only where they
    /// are its own.
    fn fault(&self, result: &str, shape: Shape) -> Outcome {
        let fault: Fault<'_> = edit::read(result.as_bytes()).unwrap_or(Fault {
            code: code::INTERNAL,
            message: "the server refused".into(),
            data: None,
        });
        let modern = self.revision().is_modern();
        let told = |code: i64| {
            let refusal = if code == code::MISSING_CAPABILITY {
                Refusal::bad(code, fault.message.clone().into_owned())
            } else {
                Refusal::answered(code, fault.message.clone().into_owned())
            };
            Err(match fault.data {
                Some(data) => refusal.with_data(data.get().to_owned()),
                None => refusal,
            })
        };
        match fault.code {
            code::URL_ELICITATION => {
                let visits = visits(fault.data);
                if visits.is_empty() {
                    return told(code::INTERNAL);
                }
                self.sent_to(&visits, &fault.message, shape)
            }
            code::NO_RESOURCE if modern => told(code::INVALID_PARAMS),
            code::MISSING_CAPABILITY if modern && names_capabilities(fault.data) => {
                told(code::MISSING_CAPABILITY)
            }
            code::MISSING_CAPABILITY => told(code::INVALID_PARAMS),
            -32099..=-32020 => told(code::INTERNAL),
            other => told(other),
        }
    }

    /// No reply came.
    pub(super) fn refused(&self, subject: Subject<'_>, error: &CallError) -> Outcome {
        let shape = match subject {
            Subject::Tool(_) => Shape::Call,
            Subject::Fetch(Fetch::Resource, _) => Shape::Resource,
            Subject::Fetch(Fetch::Prompt, _) => Shape::Prompt,
            Subject::Fetch(..) => Shape::Plain,
        };
        if let Some(url) = &error.consent {
            let visit = Visit { url: url.to_string(), message: error.public.to_string() };
            return self.sent_to(&[visit], &error.public, shape);
        }
        // What may not be used cannot be told from what is not there. A tool that is held back may
        // be used, once it is approved.
        let held = error.rule.as_deref() == Some(crate::pin::RULE);
        let absent = matches!(error.code, Code::NotFound | Code::Forbidden) && !held;
        match subject {
            Subject::Tool(name) if absent => {
                let shown: String = name.chars().take(128).collect();
                Err(Refusal::answered(code::INVALID_PARAMS, format!("Unknown tool: {shown}")))
            }
            Subject::Fetch(fetch, params) if absent => Err(self.absent(fetch, params)),
            Subject::Fetch(..) if error.code == Code::InvalidRequest => {
                Err(Refusal::answered(code::INVALID_PARAMS, error.public.clone()))
            }
            _ => self.failed(shape, &error.public),
        }
    }

    fn absent(&self, fetch: Fetch, params: &RawValue) -> Refusal {
        let of = |name: &str| {
            let value = edit::member(params.get(), name)?;
            let value: String = serde_json::from_str(value).ok()?;
            Some(value.chars().take(512).collect::<String>())
        };
        match fetch {
            Fetch::Resource => {
                let uri = of("uri").unwrap_or_default();
                let code = if self.revision().is_modern() {
                    code::INVALID_PARAMS
                } else {
                    code::NO_RESOURCE
                };
                let data = format!(r#"{{"uri":{}}}"#, edit::quote(&uri));
                Refusal::answered(code, "Resource not found").with_data(data)
            }
            Fetch::Prompt => {
                let name = of("name").unwrap_or_default();
                Refusal::answered(code::INVALID_PARAMS, format!("Unknown prompt: {name}"))
            }
            Fetch::Completion => {
                Refusal::answered(code::INVALID_PARAMS, "there is no such prompt or resource")
            }
            _ => Refusal::answered(code::INVALID_PARAMS, "Unknown task"),
        }
    }

    /// The user has to go somewhere first: told as each revision tells it, in words where it has
    /// no way to.
    fn sent_to(&self, visits: &[Visit], message: &str, shape: Shape) -> Outcome {
        let opens = self.caller.as_ref().is_some_and(|caller| opens_urls(&caller.capabilities));
        let front = &self.place.front;
        match self.revision() {
            Revision::Modern if opens && shape.may_ask() => {
                let inputs = visits.iter().enumerate().map(|(at, visit)| {
                    let params = visit.params(None);
                    format!(
                        r#""visit{}":{{"method":"elicitation/create","params":{params}}}"#,
                        at + 1
                    )
                });
                let inputs = format!("{{{}}}", inputs.collect::<Vec<_>>().join(","));
                let state = self.sealed(Kind::Fresh)?;
                Ok(write::asking(&front.settings.info, &inputs, &state))
            }
            Revision::Nov2025 if opens => {
                let all = visits
                    .iter()
                    .map(|visit| visit.params(Some(&random(&*front.settings.entropy))));
                let data = format!(r#"{{"elicitations":[{}]}}"#, all.collect::<Vec<_>>().join(","));
                let refusal = Refusal::answered(code::URL_ELICITATION, message.to_owned());
                Err(refusal.with_data(data))
            }
            _ => {
                let links: Vec<_> = visits.iter().map(|visit| visit.url.as_str()).collect();
                self.failed(shape, &format!("{message}: {}", links.join(" ")))
            }
        }
    }
}

impl Visit {
    /// The parameters of an elicitation by URL; with an id where the revision has them.
    fn params(&self, id: Option<&str>) -> String {
        let (url, message) = (edit::quote(&self.url), edit::quote(&self.message));
        let id = id.map(|id| format!(r#","elicitationId":{}"#, edit::quote(id)));
        let id = id.unwrap_or_default();
        format!(r#"{{"mode":"url","message":{message},"url":{url}{id}}}"#)
    }
}

fn names_capabilities(data: Option<&RawValue>) -> bool {
    let needed = data.and_then(|data| edit::member(data.get(), "requiredCapabilities"));
    needed.is_some_and(|needed| needed.starts_with('{'))
}

/// The visits that a `-32042` of 2025-11-25 wants. Only web addresses: others are not opened.
fn visits(data: Option<&RawValue>) -> Vec<Visit> {
    let all = data.and_then(|data| edit::member(data.get(), "elicitations"));
    let all: Vec<&RawValue> =
        all.and_then(|all| serde_json::from_str(all).ok()).unwrap_or_default();
    let visit = |one: &&RawValue| {
        let word = |name| {
            let value = edit::member(one.get(), name)?;
            let value = RawValue::from_string(value.to_owned()).ok()?;
            text(Some(&value)).map(Cow::into_owned)
        };
        let url =
            word("url").filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
        Some(Visit { url, message: word("message").unwrap_or_default() })
    };
    all.iter().take(16).filter_map(visit).collect()
}
