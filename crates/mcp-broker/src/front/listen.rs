//! News: `subscriptions/listen` since 2026-07-28, before it the stream that a GET opens and
//! `resources/subscribe`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use doorward_core::{BoxStream, Code, Cx, Fetch, Interest, News, Scope};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{FrontBody, bare, streamed};
use super::call::{Asked, Place, extension};
use super::era::{Accept, Refusal};
use super::offers::{TASKS, nowhere};
use super::post::with_meta;
use super::revision::Revision;
use super::run::{Outcome, event, read};
use super::session::{Session, lock};
use super::tape::Tape;
use super::write::task_fields;
use super::{Front, Limits};
use crate::protocol::code;
use crate::{edit, envelope};

const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The `notifications` of `subscriptions/listen`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tools_list_changed: Option<bool>,
    prompts_list_changed: Option<bool>,
    resources_list_changed: Option<bool>,
    resource_subscriptions: Option<Vec<String>>,
    task_ids: Option<Vec<String>>,
}

impl Filter {
    fn interest(self) -> Interest {
        Interest {
            tools: self.tools_list_changed.unwrap_or_default(),
            prompts: self.prompts_list_changed.unwrap_or_default(),
            resources: self.resources_list_changed.unwrap_or_default(),
            updates: self.resource_subscriptions.unwrap_or_default(),
            tasks: self.task_ids.unwrap_or_default(),
        }
    }
}

fn accepted(interest: &Interest) -> String {
    let mut pieces: Vec<Cow<'_, str>> = Vec::new();
    for (wanted, name) in [
        (interest.tools, "toolsListChanged"),
        (interest.prompts, "promptsListChanged"),
        (interest.resources, "resourcesListChanged"),
    ] {
        if wanted {
            pieces.push(format!(r#""{name}":true"#).into());
        }
    }
    for (names, name) in
        [(&interest.updates, "resourceSubscriptions"), (&interest.tasks, "taskIds")]
    {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| edit::quote(name)).collect();
            pieces.push(format!(r#""{name}":[{}]"#, names.join(",")).into());
        }
    }
    edit::object(pieces.into_iter())
}

/// Places at streams of news, in all and for each principal.
#[derive(Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<Arc<str>, usize>>>);

/// A place at a stream of news.
pub(super) struct Seat {
    taken: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    principal: Arc<str>,
}

impl Seats {
    pub(super) fn take(&self, principal: &Arc<str>, limits: &Limits) -> Option<Seat> {
        let mut taken = lock(&self.0);
        let own = taken.get(principal).copied().unwrap_or_default();
        if own >= limits.listens_each || taken.values().sum::<usize>() >= limits.listens {
            return None;
        }
        taken.insert(principal.clone(), own + 1);
        Some(Seat { taken: self.0.clone(), principal: principal.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match taken.get_mut(&self.principal) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.principal);
            }
        }
    }
}

impl Front {
    /// Answers `subscriptions/listen`: what is accepted first, then the news, at last the result.
    pub(super) async fn listen(
        &self,
        place: Place,
        asked: &Asked<'_>,
        accept: Accept,
    ) -> Result<Response<FrontBody>, Refusal> {
        if !accept.stream {
            return Ok(bare(StatusCode::NOT_ACCEPTABLE));
        }
        let wrong = || Refusal::answered(code::INVALID_PARAMS, "notifications of the wrong kind");
        let filter = asked.params.notifications.ok_or_else(wrong)?;
        let filter: Filter = edit::read(filter.get().as_bytes()).map_err(|_| wrong())?;
        let interest = filter.interest();
        let most = self.settings.limits.subscriptions;
        if interest.updates.len() + interest.tasks.len() > most {
            return Err(Refusal::answered(code::INVALID_PARAMS, "too many subscriptions"));
        }
        if !interest.tasks.is_empty() {
            extension(asked.params.declared(), TASKS)?;
        }
        let seat = self.hall.listens.take(&place.cx.principal.id, &self.settings.limits);
        let full = || Refusal::answered(code::INTERNAL, "too many streams of news");
        let seat = seat.ok_or_else(full)?;
        let tools = &self.settings.tools;
        let listened = tools.listen(&place.cx, &place.scope, interest).await;
        let (interest, news) = listened.map_err(|error| match error.code {
            Code::NotFound => nowhere(&error),
            _ => Refusal::answered(code::INTERNAL, error.public.clone()),
        })?;

        let tag = format!(r#""{META_SUBSCRIPTION}":{}"#, asked.id.get());
        let params = format!(r#"{{"notifications":{}}}"#, accepted(&interest));
        let params = with_meta(&params, &tag);
        let ack = envelope::notification("notifications/subscriptions/acknowledged", Some(&params));
        let result = format!(r#"{{"resultType":"complete","_meta":{{{tag}}}}}"#);
        let end = event(&envelope::reply(asked.id, &result));
        let ticking = Ticking { front: self.clone(), epoch: self.epoch_now(), news, _seat: seat };
        let told = stream::unfold(Some((ticking, tag, end)), |state| async move {
            let (mut ticking, tag, end) = state?;
            match ticking.next().await {
                Tick::News(news) => {
                    let message = told(&news, Revision::Modern, Some(&tag)).unwrap_or_default();
                    Some((event(&message), Some((ticking, tag, end))))
                }
                Tick::Quiet => {
                    Some((Bytes::from_static(b": working\n\n"), Some((ticking, tag, end))))
                }
                Tick::End => Some((end, None)),
            }
        });
        let ack = event(&ack);
        Ok(streamed(Box::pin(stream::once(async move { ack }).chain(told))))
    }

    fn epoch_now(&self) -> u64 {
        self.settings.epoch.load(Ordering::Acquire)
    }

    /// Answers a GET: a stream that its client comes back to, or the session's news.
    pub(super) fn get(&self, cx: &Cx, scope: &Scope, headers: &HeaderMap) -> Response<FrontBody> {
        let ticket = match self.of_session(cx, scope, headers) {
            Ok(ticket) => ticket,
            Err(response) => return response,
        };
        if !Accept::read(headers).is_some_and(|accept| accept.stream) {
            return bare(StatusCode::NOT_ACCEPTABLE);
        }
        let Some(revision) = ticket.revision else {
            return Refusal::no_session().response(None);
        };
        let limits = &self.settings.limits;
        let Some(session) = self.hall.sessions.open(ticket.key, self.now(), limits) else {
            return bare(StatusCode::SERVICE_UNAVAILABLE);
        };
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        if let Some((id, number)) = last.and_then(Tape::place) {
            let tape = session.state().tapes.get(&id).cloned();
            if let Some(tape) = tape {
                let reader = tape.attach();
                let next = number.saturating_add(1);
                return streamed(read(tape, reader, next, self.settings.keep_alive));
            }
        }
        let place = Place::new(self, cx, scope, revision);
        match Feed::open(place, session) {
            Some(feed) => streamed(feed.stream()),
            None => bare(StatusCode::TOO_MANY_REQUESTS),
        }
    }
}

/// News, and how long to wait for them.
struct Ticking {
    front: Front,
    epoch: u64,
    news: BoxStream<'static, News>,
    _seat: Seat,
}

enum Tick {
    News(News),
    Quiet,
    End,
}

impl Ticking {
    async fn next(&mut self) -> Tick {
        if self.front.epoch_now() != self.epoch {
            return Tick::End;
        }
        match tokio::time::timeout(self.front.settings.keep_alive, self.news.next()).await {
            Ok(Some(news)) => Tick::News(news),
            Ok(None) => Tick::End,
            Err(_) => Tick::Quiet,
        }
    }
}

/// News as a message of the revision; `None` where it has no such message.
fn told(news: &News, revision: Revision, tag: Option<&str>) -> Option<String> {
    let (method, params): (_, Cow<'_, str>) = match news {
        News::Tools => ("notifications/tools/list_changed", "{}".into()),
        News::Prompts => ("notifications/prompts/list_changed", "{}".into()),
        News::Resources => ("notifications/resources/list_changed", "{}".into()),
        News::Updated { params, .. } => ("notifications/resources/updated", params.get().into()),
        News::Task { params, .. } => match revision {
            Revision::Modern => ("notifications/tasks", task_fields(params.get(), revision)),
            Revision::Nov2025 => {
                ("notifications/tasks/status", task_fields(params.get(), revision))
            }
            _ => return None,
        },
    };
    let params = match tag {
        Some(tag) => with_meta(&params, tag).into(),
        None => params,
    };
    Some(envelope::notification(method, Some(&params)))
}

impl Place {
    /// Remembers a resource whose updates the session wants. They come on the stream of its GET.
    pub(super) async fn subscribe(&self, session: &Session, asked: &Asked<'_>) -> Outcome {
        let wrong = || Refusal::answered(code::INVALID_PARAMS, "the resource's uri is missing");
        let uri = asked.params.uri().ok_or_else(wrong)?;
        self.need("resources", Some("subscribe")).await?;
        let params = RawValue::from_string(format!(r#"{{"uri":{}}}"#, edit::quote(&uri)));
        let params = params.map_err(|_| wrong())?;
        let tools = &self.front.settings.tools;
        if tools.locate(&self.cx, &self.scope, Fetch::Resource, &params).await.is_err() {
            let data = params.get().to_owned();
            return Err(Refusal::answered(code::NO_RESOURCE, "Resource not found").with_data(data));
        }
        {
            let mut state = session.state();
            let full = state.uris.len() >= self.front.settings.limits.subscriptions;
            if full && !state.uris.contains(&*uri) {
                return Err(Refusal::answered(code::INTERNAL, "too many subscriptions"));
            }
            state.uris.insert(uri.into_owned());
        }
        session.revise();
        Ok("{}".into())
    }
}

/// Forgets a resource that the session wanted to hear of.
pub(super) fn unsubscribe(session: &Session, asked: &Asked<'_>) -> Outcome {
    let wrong = || Refusal::answered(code::INVALID_PARAMS, "the resource's uri is missing");
    let uri = asked.params.uri().ok_or_else(wrong)?;
    if session.state().uris.remove(&*uri) {
        session.revise();
    }
    Ok("{}".into())
}

/// The news of one session, on one stream: a later stream takes over.
pub(super) struct Feed {
    place: Place,
    session: Arc<Session>,
    number: u64,
    epoch: u64,
    /// What is listened to, and the edition of the subscriptions that it was asked for with.
    listening: Option<(u64, BoxStream<'static, News>)>,
    _seat: Seat,
}

/// What comes of a session's news.
pub(super) enum Fed {
    Message(String),
    Quiet,
    End,
}

impl Feed {
    pub(super) fn open(place: Place, session: Arc<Session>) -> Option<Self> {
        let front = &place.front;
        let seat = front.hall.listens.take(&place.cx.principal.id, &front.settings.limits)?;
        let number = session.news.fetch_add(1, Ordering::AcqRel) + 1;
        session.state().open += 1;
        session.changed.notify_waiters();
        let epoch = front.epoch_now();
        Some(Self { place, session, number, epoch, listening: None, _seat: seat })
    }

    /// What comes next. Taken up anew where the subscriptions changed.
    pub(super) async fn next(&mut self) -> Fed {
        let session = self.session.clone();
        let keep_alive = self.place.front.settings.keep_alive;
        loop {
            let changed = session.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.session.news.load(Ordering::Acquire) != self.number
                || self.place.front.epoch_now() != self.epoch
            {
                return Fed::End;
            }
            let edition = session.edition();
            if self.listening.as_ref().is_none_or(|(heard, _)| *heard != edition) {
                self.listening = Some((edition, heard(&self.place, &self.session).await));
            }
            let Some((_, news)) = &mut self.listening else { return Fed::End };
            tokio::select! {
                biased;
                () = &mut changed => {}
                one = news.next() => match one {
                    Some(one) => {
                        if let Some(message) = told(&one, self.place.revision, None) {
                            return Fed::Message(message);
                        }
                    }
                    // Nothing more to tell, yet the stream is the client's to close.
                    None => *news = Box::pin(stream::pending()),
                },
                () = tokio::time::sleep(keep_alive) => return Fed::Quiet,
            }
        }
    }

    fn stream(self) -> BoxStream<'static, Bytes> {
        let opened = Bytes::from_static(b": open\n\n");
        let fed = stream::unfold(self, |mut feed| async move {
            match feed.next().await {
                Fed::Message(message) => Some((event(&message), feed)),
                Fed::Quiet => Some((Bytes::from_static(b": working\n\n"), feed)),
                Fed::End => None,
            }
        });
        Box::pin(stream::once(async move { opened }).chain(fed))
    }
}

/// A session's news from now on: changes of the lists, and updates of what it subscribed to.
async fn heard(place: &Place, session: &Session) -> BoxStream<'static, News> {
    let updates = session.state().uris.iter().cloned().collect();
    let interest =
        Interest { tools: true, prompts: true, resources: true, updates, tasks: Vec::new() };
    let Place { front, cx, scope, .. } = place;
    match front.settings.tools.listen(cx, scope, interest).await {
        Ok((_, news)) => news,
        Err(_) => Box::pin(stream::pending()),
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.session.state();
        state.open = state.open.saturating_sub(1);
    }
}
