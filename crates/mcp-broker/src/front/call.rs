//! The methods themselves: what is to be done for a request.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{Client, Cx, Exchange, Fetch, FetchCall, ItemKind, Resume, Scope, ToolCall};
use http::HeaderMap;
use serde_json::value::RawValue;

use super::Front;
use super::caller::Caller;
use super::era::Refusal;
use super::mirrors::Shown;
use super::offers::TASKS;
use super::params::{Params, object};
use super::revision::Revision;
use super::rounds::Kind;
use super::run::{Job, Outcome};
use super::write::Shape;
use crate::edit;
use crate::protocol::code;

/// Where a request is answered from. Owned, so that the answer can go on anywhere.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) front: Front,
    pub(super) cx: Cx,
    pub(super) scope: Scope,
    pub(super) revision: Revision,
}

/// A request as it came.
pub(super) struct Asked<'a> {
    pub(super) id: &'a RawValue,
    pub(super) method: &'a str,
    pub(super) params: &'a Params<'a>,
    pub(super) headers: &'a HeaderMap,
    /// The whole request, where a retry of it may come; else empty.
    pub(super) request: &'a Bytes,
}

/// Who asked, and with what a reply has to begin.
pub(super) struct Origin {
    pub(super) place: Place,
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) request: Bytes,
}

/// What is to be done for a request.
pub(super) enum Plan {
    Do(Job),
    /// A parked call goes on, with the caller that it knows.
    GoOn(Job, Arc<Caller>),
}

fn wrong(what: &'static str) -> Refusal {
    Refusal::answered(code::INVALID_PARAMS, what)
}

impl Place {
    pub(super) fn new(front: &Front, cx: &Cx, scope: &Scope, revision: Revision) -> Self {
        Self { front: front.clone(), cx: cx.clone(), scope: scope.clone(), revision }
    }

    /// What is to be done for a request, or why nothing is.
    pub(super) async fn plan(
        self,
        asked: &Asked<'_>,
        caller: Option<&Arc<Caller>>,
    ) -> Result<Plan, Refusal> {
        let fetch = match (asked.method, self.revision) {
            ("tools/list", _) => return self.list(asked, None).map(Plan::Do),
            ("prompts/list", _) => return self.list(asked, Some(ItemKind::Prompts)).map(Plan::Do),
            ("resources/list", _) => {
                return self.list(asked, Some(ItemKind::Resources)).map(Plan::Do);
            }
            ("resources/templates/list", _) => {
                return self.list(asked, Some(ItemKind::Templates)).map(Plan::Do);
            }
            ("tools/call", _) => return self.call(asked, caller).await,
            ("server/discover", Revision::Modern) => {
                return Ok(Plan::Do(Box::pin(self.discovered())));
            }
            ("resources/read", _) => Fetch::Resource,
            ("prompts/get", _) => Fetch::Prompt,
            ("completion/complete", revision) if revision >= Revision::Mar2025 => Fetch::Completion,
            ("tasks/get", revision) if revision >= Revision::Nov2025 => Fetch::TaskGet,
            ("tasks/cancel", revision) if revision >= Revision::Nov2025 => Fetch::TaskCancel,
            ("tasks/result", Revision::Nov2025) => Fetch::TaskResult,
            ("tasks/update", Revision::Modern) => Fetch::TaskUpdate,
            _ => return Err(Refusal::no_method(self.revision)),
        };
        self.fetch(fetch, asked, caller).await
    }

    async fn call(self, asked: &Asked<'_>, caller: Option<&Arc<Caller>>) -> Result<Plan, Refusal> {
        let params = asked.params;
        let name = params.name().ok_or_else(|| wrong("the tool's name is missing"))?.to_owned();
        let arguments = match params.arguments {
            None => RawValue::from_string("{}".into()).unwrap_or_default(),
            Some(arguments) if arguments.get().starts_with('{') => arguments.to_owned(),
            Some(_) => return Err(wrong("arguments must be an object")),
        };
        let shown = match self.revision {
            Revision::Modern => Shown::read(asked.headers)?,
            _ => Shown::default(),
        };
        let mut exchange = match self.exchange(asked, caller).await? {
            Begun::New(exchange) => exchange,
            Begun::GoOn(job, caller) => return Ok(Plan::GoOn(job, caller)),
        };
        if self.revision == Revision::Nov2025 {
            exchange.task = object(params.task).map(ToOwned::to_owned);
        }
        let meta = params.raw_meta.map(ToOwned::to_owned);
        let origin = self.origin(asked, caller);
        Ok(Plan::Do(Box::pin(origin.call(name, arguments, meta, exchange, shown))))
    }

    async fn fetch(
        self,
        fetch: Fetch,
        asked: &Asked<'_>,
        caller: Option<&Arc<Caller>>,
    ) -> Result<Plan, Refusal> {
        let exchange = match fetch {
            Fetch::Resource | Fetch::Prompt => match self.exchange(asked, caller).await? {
                Begun::New(exchange) => exchange,
                Begun::GoOn(job, caller) => return Ok(Plan::GoOn(job, caller)),
            },
            Fetch::Completion => Exchange { client: client(caller), ..Exchange::default() },
            Fetch::TaskGet | Fetch::TaskResult | Fetch::TaskUpdate | Fetch::TaskCancel => {
                if self.revision.is_modern() {
                    extension(caller.map(|caller| &*caller.capabilities), TASKS)?;
                }
                Exchange { client: client(caller), ..Exchange::default() }
            }
        };
        let named = match fetch {
            Fetch::Resource => asked.params.uri().is_some(),
            Fetch::Prompt => asked.params.name().is_some(),
            Fetch::Completion => true,
            _ => asked.params.task_id().is_some(),
        };
        if !named {
            return Err(wrong("what it is about is missing"));
        }
        let gone: &[&str] = match fetch {
            Fetch::Resource | Fetch::Prompt => &["_meta", "inputResponses", "requestState"],
            _ => &["_meta"],
        };
        let params = asked.params.raw.map_or("{}", RawValue::get);
        let params = edit::without(params, gone).map(std::borrow::Cow::into_owned);
        let params = params.and_then(|params| RawValue::from_string(params).ok());
        let params = params.ok_or_else(|| wrong("parameters of the wrong kind"))?;
        let meta = asked.params.raw_meta.map(ToOwned::to_owned);
        let origin = self.origin(asked, caller);
        Ok(Plan::Do(Box::pin(origin.fetch(fetch, params, meta, exchange))))
    }

    fn origin(self, asked: &Asked<'_>, caller: Option<&Arc<Caller>>) -> Origin {
        Origin { place: self, caller: caller.cloned(), request: asked.request.clone() }
    }

    /// What a request brings, and what it continues.
    async fn exchange(
        &self,
        asked: &Asked<'_>,
        caller: Option<&Arc<Caller>>,
    ) -> Result<Begun, Refusal> {
        let mut exchange = Exchange { client: client(caller), ..Exchange::default() };
        if !self.revision.is_modern() {
            return Ok(Begun::New(exchange));
        }
        let responses = asked.params.responses;
        if responses.is_some() && object(responses).is_none() {
            return Err(wrong("inputResponses must be an object"));
        }
        let Some(state) = asked.params.state else {
            exchange.offered = responses.map(ToOwned::to_owned);
            return Ok(Begun::New(exchange));
        };
        let principal = &*self.cx.principal.id;
        let digest = asked.params.digest(asked.method);
        let digest = digest.ok_or_else(|| wrong("parameters of the wrong kind"))?;
        match self.front.open_round(principal, &digest, state)? {
            Kind::Fresh => {}
            Kind::Server(state) => {
                let responses = responses.map(ToOwned::to_owned);
                exchange.resume = Some(Resume { responses, state });
            }
            Kind::Parked(instance, key) => {
                let parking = &self.front.hall.parking;
                let place = (&*instance, &*key);
                let (job, caller) = parking.resume(principal, &digest, place, responses).await?;
                return Ok(Begun::GoOn(job, caller));
            }
        }
        Ok(Begun::New(exchange))
    }
}

/// A client has to declare an extension in each request that makes use of it.
pub(super) fn extension(capabilities: Option<&RawValue>, name: &str) -> Result<(), Refusal> {
    let all = capabilities.and_then(|all| edit::member(all.get(), "extensions"));
    if all.is_some_and(|all| edit::member(all, name).is_some()) {
        return Ok(());
    }
    Err(Refusal::capability(&format!(r#"{{"extensions":{{{}:{{}}}}}}"#, edit::quote(name))))
}

enum Begun {
    New(Exchange),
    GoOn(Job, Arc<Caller>),
}

fn client(caller: Option<&Arc<Caller>>) -> Option<Arc<dyn Client>> {
    let caller: Arc<dyn Client> = caller?.clone();
    Some(caller)
}

impl Origin {
    async fn call(
        self,
        name: String,
        arguments: Box<RawValue>,
        meta: Option<Box<RawValue>>,
        exchange: Exchange,
        shown: Shown,
    ) -> Outcome {
        if self.place.revision.is_modern() {
            self.place.check_mirrors(&name, &arguments, &shown).await?;
        }
        let Place { front, cx, scope, .. } = &self.place;
        let tools = &front.settings.tools;
        let reply = match tools.resolve(cx, scope, &name).await {
            Ok(tool) => {
                let scope = scope.clone();
                tools.call(cx, ToolCall { tool, arguments, meta, exchange, scope }).await
            }
            Err(error) => Err(error),
        };
        match reply {
            Ok(reply) => self.told(&reply, Shape::Call),
            Err(error) => self.refused(Subject::Tool(&name), &error),
        }
    }

    async fn fetch(
        self,
        fetch: Fetch,
        params: Box<RawValue>,
        meta: Option<Box<RawValue>>,
        exchange: Exchange,
    ) -> Outcome {
        match fetch {
            Fetch::Resource => self.place.need("resources", None).await?,
            Fetch::Prompt => self.place.need("prompts", None).await?,
            Fetch::Completion => self.place.need("completions", None).await?,
            _ => {}
        }
        let Place { front, cx, scope, .. } = &self.place;
        let tools = &front.settings.tools;
        let subject = params.clone();
        let reply = match tools.locate(cx, scope, fetch, &params).await {
            Ok(server) => {
                let call = FetchCall { fetch, server, params, meta, exchange };
                tools.fetch(cx, scope, call).await
            }
            Err(error) => Err(error),
        };
        let shape = match fetch {
            Fetch::Resource => Shape::Resource,
            Fetch::Prompt => Shape::Prompt,
            Fetch::TaskGet | Fetch::TaskCancel => Shape::Task,
            // The result of the call that became a task.
            Fetch::TaskResult => Shape::Call,
            Fetch::Completion | Fetch::TaskUpdate => Shape::Plain,
        };
        match reply {
            Ok(reply) => self.told(&reply, shape),
            Err(error) => self.refused(Subject::Fetch(fetch, &subject), &error),
        }
    }
}

/// What a request was about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Tool(&'a str),
    Fetch(Fetch, &'a RawValue),
}
