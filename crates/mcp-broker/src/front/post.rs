//! What clients post: requests, notifications, replies, and batches of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use doorward_core::{Cx, LogLevel, Scope};
use futures_util::future::{AbortHandle, Abortable};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use serde_json::value::RawValue;

use super::body::{FrontBody, bare, streamed, whole};
use super::call::{Asked, Place, Plan};
use super::caller::{Caller, Wants};
use super::era::{self, Accept, Refusal};
use super::listen::unsubscribe;
use super::params::{Params, object};
use super::revision::Revision;
use super::run::{Job, Outcome, Run, event, message};
use super::session::{Session, Ticket};
use super::{Front, SESSION};
use crate::edit;
use crate::envelope::{Message, NoMessage, RpcError};
use crate::protocol::code;

/// The most messages of one batch.
const MOST_BATCHED: usize = 64;

/// What of a client older than 2026-07-28 is known.
pub(super) struct Legacy {
    pub(super) revision: Revision,
    pub(super) capabilities: Arc<RawValue>,
    pub(super) session: Option<Arc<Session>>,
}

pub(super) fn no_message() -> Refusal {
    Refusal::bad(code::INVALID_REQUEST, "not one JSON-RPC message")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// Whether a method's server may ask and tell while it runs.
pub(super) fn is_served(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read" | "completion/complete")
        || method.starts_with("tasks/")
}

impl Front {
    pub(super) async fn post(
        &self,
        cx: &Cx,
        scope: &Scope,
        request: Request<Bytes>,
    ) -> Response<FrontBody> {
        let (head, body) = request.into_parts();
        let headers = &head.headers;
        if !is_json(headers) {
            return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let Some(accept) = Accept::read(headers) else {
            return bare(StatusCode::NOT_ACCEPTABLE);
        };
        if body.trim_ascii_start().first() == Some(&b'[') {
            return self.batch(cx, scope, headers, &body).await;
        }
        let answered = match Message::read(&body) {
            Ok(Message::Request { id, method, params }) => {
                let Some(params) = Params::read(params) else {
                    let refusal =
                        Refusal::bad(code::INVALID_PARAMS, "parameters of the wrong kind");
                    return refusal.response(Some(id));
                };
                let (method, params) = (&*method, &params);
                let asked = Asked { id, method, params, headers, request: &body };
                self.request(cx, scope, &asked, accept).await
            }
            Ok(Message::Notification { method, params }) => {
                self.aside(cx, scope, headers, |session| noted(session, &method, params))
            }
            Ok(Message::Reply { id, outcome }) => {
                self.aside(cx, scope, headers, |session| replied(session, id, outcome))
            }
            Err(NoMessage::Json) => Err(Refusal::bad(code::PARSE, "not JSON")),
            Err(NoMessage::Shape) => Err(no_message()),
        };
        answered.unwrap_or_else(|refusal| {
            let id = match Message::read(&body) {
                Ok(Message::Request { id, .. }) => Some(id),
                _ => None,
            };
            refusal.response(id)
        })
    }

    async fn request(
        &self,
        cx: &Cx,
        scope: &Scope,
        asked: &Asked<'_>,
        accept: Accept,
    ) -> Result<Response<FrontBody>, Refusal> {
        let revision = era::classify(asked.headers, asked.method, asked.params)?;
        if revision.is_modern() {
            return self.modern(cx, scope, asked, accept).await;
        }
        if asked.method == "initialize" {
            return self.initialize(cx, scope, asked, accept).await;
        }
        let legacy = match self.ticket(cx, scope, asked.headers)? {
            Some(ticket) => self.legacy(&ticket)?,
            None => Legacy { revision, capabilities: self.hall.nothing.clone(), session: None },
        };
        let place = Place::new(self, cx, scope, legacy.revision);
        if let Some(outcome) = self.of_session_alone(&place, asked, &legacy).await {
            return Ok(told(&outcome, asked.id, accept));
        }
        if !is_served(asked.method) {
            let Plan::Do(job) = place.plan(asked, None).await? else {
                return Err(Refusal::no_method(legacy.revision));
            };
            return Ok(told(&job.await, asked.id, accept));
        }
        let session = legacy.session.clone();
        let run = self.legacy_run(place, asked, legacy, accept).await?;
        Ok(match session {
            Some(session) => run.answer_in(session, accept).await,
            None => run.answer(accept).await,
        })
    }

    async fn modern(
        &self,
        cx: &Cx,
        scope: &Scope,
        asked: &Asked<'_>,
        accept: Accept,
    ) -> Result<Response<FrontBody>, Refusal> {
        let place = Place::new(self, cx, scope, Revision::Modern);
        if asked.method == "subscriptions/listen" {
            return self.listen(place, asked, accept).await;
        }
        if !is_served(asked.method) {
            let Plan::Do(job) = place.plan(asked, None).await? else {
                return Err(Refusal::no_method(Revision::Modern));
            };
            return Ok(told(&job.await, asked.id, accept));
        }
        let caller = Arc::new(self.modern_caller(cx, asked.params, accept.stream));
        let (job, caller) = match place.plan(asked, Some(&caller)).await? {
            Plan::Do(job) => (job, caller),
            Plan::GoOn(job, known) => {
                known.wants(wants(asked.params, accept.stream, asked.params.wanted_level()));
                (job, known)
            }
        };
        Ok(self.run(cx, asked, job, caller).answer(accept).await)
    }

    fn modern_caller(&self, cx: &Cx, params: &Params<'_>, stream: bool) -> Caller {
        let declared = params.declared().map(|declared| Arc::from(declared.to_owned()));
        Caller::new(
            cx.principal.id.clone(),
            declared.unwrap_or_else(|| self.hall.nothing.clone()),
            Revision::Modern,
            None,
            self.settings.entropy.clone(),
            wants(params, stream, params.wanted_level()),
        )
    }

    fn run(&self, cx: &Cx, asked: &Asked<'_>, job: Job, caller: Arc<Caller>) -> Run {
        Run {
            front: self.clone(),
            principal: cx.principal.clone(),
            job,
            caller,
            id: asked.id.to_owned(),
            request: asked.request.clone(),
        }
    }

    /// A request of a client with a handshake whose server may ask and tell.
    pub(super) async fn legacy_run(
        &self,
        place: Place,
        asked: &Asked<'_>,
        legacy: Legacy,
        accept: Accept,
    ) -> Result<Run, Refusal> {
        let Legacy { revision, capabilities, session } = legacy;
        let level = session.as_ref().and_then(|session| session.state().level);
        let level = Some(level.unwrap_or(LogLevel::Info));
        let id = match &session {
            Some(session) => session.name(),
            None => place.cx.principal.id.clone(),
        };
        let wants = wants(asked.params, accept.stream, level);
        let entropy = self.settings.entropy.clone();
        let caller = Caller::new(id, capabilities, revision, session.clone(), entropy, wants);
        let caller = Arc::new(caller);
        let cx = place.cx.clone();
        let Plan::Do(job) = place.plan(asked, Some(&caller)).await? else {
            return Err(Refusal::no_method(revision));
        };
        let job = match session {
            Some(session) => self.cancellable(session, asked.id, job)?,
            None => job,
        };
        Ok(self.run(&cx, asked, job, caller))
    }

    /// The job, until the client takes its request back.
    fn cancellable(&self, session: Arc<Session>, id: &RawValue, job: Job) -> Result<Job, Refusal> {
        let serial = self.hall.serial.fetch_add(1, Ordering::Relaxed);
        let (handle, registration) = AbortHandle::new_pair();
        {
            let mut state = session.state();
            if state.running.len() >= self.settings.limits.running {
                return Err(Refusal::answered(code::INTERNAL, "too many requests at once"));
            }
            state.running.insert(id.get().to_owned(), (serial, handle));
        }
        let running = Running { session, id: id.get().to_owned(), serial };
        Ok(Box::pin(async move {
            let _running = running;
            let outcome = Abortable::new(job, registration).await;
            outcome.unwrap_or_else(|_| Err(Refusal::cancelled()))
        }))
    }

    /// What a session's handle says, with the state beside it.
    fn legacy(&self, ticket: &Ticket) -> Result<Legacy, Refusal> {
        let revision = ticket.revision.ok_or_else(Refusal::no_session)?;
        let capabilities = ticket.capabilities.clone();
        let limits = &self.settings.limits;
        let session = self.hall.sessions.open(ticket.key, self.now(), limits);
        Ok(Legacy { revision, capabilities, session })
    }

    /// The methods that are about the session itself, or about nothing.
    pub(super) async fn of_session_alone(
        &self,
        place: &Place,
        asked: &Asked<'_>,
        legacy: &Legacy,
    ) -> Option<Outcome> {
        let done = || Ok("{}".to_owned());
        let alone = || {
            let message = "this needs a session";
            Err(Refusal::answered(code::INVALID_REQUEST, message))
        };
        Some(match (asked.method, &legacy.session) {
            ("ping", _) => done(),
            ("logging/setLevel", session) => match (asked.params.level(), session) {
                (None, _) => Err(Refusal::answered(code::INVALID_PARAMS, "unknown level")),
                (Some(level), Some(session)) => {
                    session.state().level = Some(level);
                    done()
                }
                (Some(_), None) => done(),
            },
            ("resources/subscribe", Some(session)) => place.subscribe(session, asked).await,
            ("resources/unsubscribe", Some(session)) => unsubscribe(session, asked),
            ("resources/subscribe" | "resources/unsubscribe", None) => alone(),
            _ => return None,
        })
    }

    /// The handshake: a session's handle, and nothing kept.
    async fn initialize(
        &self,
        cx: &Cx,
        scope: &Scope,
        asked: &Asked<'_>,
        accept: Accept,
    ) -> Result<Response<FrontBody>, Refusal> {
        let (revision, capabilities) = self.greeted(asked.params)?;
        let result = Place::new(self, cx, scope, revision).initialized().await?;
        let mut response = told(&Ok(result), asked.id, accept);
        let minted = self.mint(cx, scope, Some(revision), &capabilities);
        if let Some(id) = minted.and_then(|(_, id)| HeaderValue::try_from(id).ok()) {
            response.headers_mut().insert(SESSION, id);
        }
        Ok(response)
    }

    /// What a handshake agrees on, and what the client says it can do.
    pub(super) fn greeted(
        &self,
        params: &Params<'_>,
    ) -> Result<(Revision, Arc<RawValue>), Refusal> {
        let revision = Revision::agreed(&params.protocol_version());
        let capabilities = match object(params.capabilities) {
            Some(all) if all.get().len() > self.settings.limits.capabilities => {
                let message = "the client's capabilities are too large";
                return Err(Refusal::answered(code::INVALID_PARAMS, message));
            }
            Some(all) => Arc::from(all.to_owned()),
            None => self.hall.nothing.clone(),
        };
        Ok((revision, capabilities))
    }

    /// A notification or a reply: taken, where its session is.
    fn aside(
        &self,
        cx: &Cx,
        scope: &Scope,
        headers: &HeaderMap,
        take: impl FnOnce(&Session),
    ) -> Result<Response<FrontBody>, Refusal> {
        if era::named(headers)? != Some(Revision::Modern)
            && let Some(ticket) = self.ticket(cx, scope, headers)?
            && let Some(session) = self.hall.sessions.find(&ticket.key, self.now())
        {
            take(&session);
        }
        Ok(bare(StatusCode::ACCEPTED))
    }

    /// A batch, which servers of 2025-03-26 must take and all others must not.
    async fn batch(
        &self,
        cx: &Cx,
        scope: &Scope,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<FrontBody> {
        let admitted = era::named(headers).and_then(|named| {
            let ticket = match named {
                Some(Revision::Modern) => None,
                _ => self.ticket(cx, scope, headers)?,
            };
            let agreed = ticket.and_then(|ticket| ticket.revision);
            match agreed.or(named) {
                None | Some(Revision::UNSAID) => Ok(()),
                Some(_) => Err(no_message()),
            }
        });
        if let Err(refusal) = admitted {
            return refusal.response(None);
        }
        let messages: Vec<&RawValue> = match serde_json::from_slice(body) {
            Ok(messages) => messages,
            Err(_) => return Refusal::bad(code::PARSE, "not JSON").response(None),
        };
        if messages.is_empty() || messages.len() > MOST_BATCHED {
            return no_message().response(None);
        }
        let all = messages.into_iter().map(|one| self.batched(cx, scope, headers, one));
        let answers: Vec<_> = futures_util::future::join_all(all).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        if answers.is_empty() {
            return bare(StatusCode::ACCEPTED);
        }
        whole(StatusCode::OK, format!("[{}]", answers.join(",")))
    }

    /// One message of a batch. Its server can neither ask nor tell.
    async fn batched(
        &self,
        cx: &Cx,
        scope: &Scope,
        headers: &HeaderMap,
        one: &RawValue,
    ) -> Option<String> {
        let (id, method, params) = match Message::read(one.get().as_bytes()) {
            Ok(Message::Request { id, method, params }) => (id, method, params),
            Ok(Message::Notification { method, params }) => {
                self.aside(cx, scope, headers, |session| noted(session, &method, params)).ok();
                return None;
            }
            Ok(Message::Reply { id, outcome }) => {
                self.aside(cx, scope, headers, |session| replied(session, id, outcome)).ok();
                return None;
            }
            Err(_) => return Some(no_message().message(None)),
        };
        let params = Params::read(params).filter(|params| params.version().is_none());
        let Some(params) = params.filter(|_| method != "initialize") else {
            return Some(no_message().message(Some(id)));
        };
        let request = Bytes::new();
        let asked = Asked { id, method: &method, params: &params, headers, request: &request };
        let legacy = Legacy {
            revision: Revision::UNSAID,
            capabilities: self.hall.nothing.clone(),
            session: None,
        };
        let place = Place::new(self, cx, scope, legacy.revision);
        let outcome = match self.of_session_alone(&place, &asked, &legacy).await {
            Some(outcome) => outcome,
            None => match place.plan(&asked, None).await {
                Ok(Plan::Do(job)) => job.await,
                Ok(Plan::GoOn(..)) => Err(no_message()),
                Err(refusal) => Err(refusal),
            },
        };
        Some(message(&outcome, id).1)
    }
}

/// A request's place in its session.
struct Running {
    session: Arc<Session>,
    id: String,
    serial: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.session.state();
        if state.running.get(&self.id).is_some_and(|(serial, _)| *serial == self.serial) {
            state.running.remove(&self.id);
        }
    }
}

fn wants(params: &Params<'_>, stream: bool, level: Option<LogLevel>) -> Wants {
    Wants { stream, level, token: params.token().map(ToOwned::to_owned) }
}

/// An answer that comes by itself.
fn told(outcome: &Outcome, id: &RawValue, accept: Accept) -> Response<FrontBody> {
    let (status, message) = message(outcome, id);
    if !accept.streams(status) {
        return whole(status, message);
    }
    let event = event(&message);
    streamed(Box::pin(futures_util::stream::once(async move { event })))
}

/// A client's notification. What it tells of its own progress and roots, nobody here asked for.
pub(super) fn noted(session: &Session, method: &str, params: Option<&RawValue>) {
    if method != "notifications/cancelled" {
        return;
    }
    let id = Params::read(params).and_then(|params| params.request_id);
    let Some(id) = id else { return };
    let running = session.state().running.remove(id.get());
    if let Some((_, handle)) = running {
        handle.abort();
    }
}

/// A client's reply to a question of its session.
pub(super) fn replied(
    session: &Session,
    id: Option<&RawValue>,
    outcome: Result<&RawValue, RpcError>,
) {
    let Some(id) = super::params::text(id) else { return };
    let Some(answer) = session.state().questions.remove(&*id) else { return };
    let outcome = outcome.map(ToOwned::to_owned).map_err(|error| doorward_core::RpcFault {
        code: error.code,
        message: error.message,
        data: error.data,
    });
    let _gone = answer.send(outcome);
}

/// A message's `_meta`, with a written member more.
pub(super) fn with_meta(params: &str, member: &str) -> String {
    let meta = edit::member(params, "_meta").filter(|meta| meta.starts_with('{'));
    let edited = match meta {
        Some(meta) => {
            edit::with(meta, member).and_then(|meta| edit::replace(params, "_meta", &meta))
        }
        None => edit::with(params, &format!(r#""_meta":{{{member}}}"#)),
    };
    edited.unwrap_or_else(|| format!(r#"{{"_meta":{{{member}}}}}"#))
}
