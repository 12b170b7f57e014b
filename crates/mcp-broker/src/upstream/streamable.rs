//! Streamable HTTP: one POST a question, answered by JSON or by a stream that belongs to the
//! question; before 2026-07-28 within a session, with a stream beside for what belongs to none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use doorward_core::{BoxFuture, Client};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::address::Peer;
use super::ear::Ear;
use super::hearing::{self, Attended, Hearing};
use super::pool::Connection;
use super::reach::{self, Reach};
use super::sse::{Event, Events};
use super::turns::{Manners, Turns};
use super::watch::{self, Watch};
use super::{Ask, Failure, Hello, question};
use crate::envelope::{self, Message};
use crate::protocol::{self, RequestMeta, code};
use crate::{Era, edit};

/// What an envelope adds to a result, generously.
const ENVELOPE: usize = 4096;
/// How long small things may take that nobody waits for: cancelling, answering, ending.
const ASIDE: Duration = Duration::from_secs(5);
/// How long a call waits for the stream beside to be open, the first time.
const BESIDE: Duration = Duration::from_secs(1);
/// How many such things wait.
const QUEUE: usize = 64;
/// When a broken stream is asked for again, where the server does not say.
const RETRY: Duration = Duration::from_secs(1);
/// The longest that a server can make us wait.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often a stream may break without bringing anything.
const MOST_BREAKS: usize = 16;

/// A session, or in the modern era what stands for one.
pub(super) struct Streamable {
    line: Arc<Line>,
    hello: Arc<Hello>,
    logs: bool,
    watch: Watch,
}

/// What a session's tasks share.
struct Line {
    reach: Reach,
    peer: Peer,
    max_result: usize,
    next: AtomicU64,
    hearing: Arc<Hearing>,
    /// Where cancellations go; a modern server sees its stream closed instead.
    aside: Option<mpsc::Sender<String>>,
    /// The server forgot the session.
    lost: AtomicBool,
    /// The stream beside was opened, or refused.
    beside: tokio::sync::watch::Sender<bool>,
}

impl Streamable {
    pub(super) fn new(
        server: Arc<str>,
        reach: Reach,
        peer: Peer,
        hello: Hello,
        max_result: usize,
        ear: Arc<Ear>,
        manners: Arc<Manners>,
    ) -> Self {
        let logs = edit::member(hello.capabilities.get(), "logging").is_some();
        let aside = (hello.era == Era::Legacy).then(|| {
            let (aside, outbox) = mpsc::channel(QUEUE);
            tokio::spawn(post_aside(reach.clone(), peer.clone(), outbox));
            aside
        });
        let hearing = Hearing::new(server, ear, Turns::new(manners, false), aside.clone());
        let (next, lost) = (AtomicU64::new(1), AtomicBool::new(false));
        let beside = tokio::sync::watch::Sender::new(false);
        let line = Arc::new(Line { reach, peer, max_result, next, hearing, aside, lost, beside });
        Self { line, hello: Arc::new(hello), logs, watch: Watch::default() }
    }

    fn attend(&self, ask: &Ask<'_>) -> Option<Attended<'_>> {
        ask.exchange?;
        let hearing = &self.line.hearing;
        let turn = hearing.turns.join(ask.client(), &hearing::kind(ask.method, ask.name));
        Some(hearing.attend(turn))
    }

    /// Many servers ask on the stream beside, even while a call runs: for a client that can be
    /// asked it must be open first.
    async fn open_beside(&self, ask: &Ask<'_>) {
        let can = |client: &Arc<dyn Client>| question::can_be_asked(client.capabilities());
        if self.hello.era == Era::Modern || !ask.client().is_some_and(can) {
            return;
        }
        self.listen();
        let mut opened = self.line.beside.subscribe();
        tokio::time::timeout(BESIDE, opened.wait_for(|opened| *opened)).await.ok();
    }

    async fn tell_level(&self) {
        if !self.logs || self.hello.era == Era::Modern {
            return;
        }
        let Some(level) = self.line.hearing.turns.level() else { return };
        let level = serde_json::to_string(&level).unwrap_or_default();
        let params = format!(r#"{{"level":{level}}}"#);
        let id = self.line.next.fetch_add(1, Ordering::Relaxed);
        let message = envelope::request(id, "logging/setLevel", &params);
        let sent = self.line.reach.post(&self.line.peer, None, message);
        tokio::time::timeout(ASIDE, sent).await.ok();
    }

    fn watch_anew(&self) {
        let line = self.line.clone();
        if self.hello.era == Era::Legacy {
            return self.watch.run(async move { line.listen().await });
        }
        let Some(params) = self.watch.params(&self.hello.capabilities) else {
            return self.watch.stop();
        };
        let meta = protocol::request_meta(Era::Modern, &RequestMeta::default()).unwrap_or_default();
        let params = edit::with(&params, &format!(r#""_meta":{meta}"#)).unwrap_or_default();
        self.watch.run(watch::keep(move || {
            let (line, params) = (line.clone(), params.clone());
            async move {
                let whose = super::Whose { principal: Arc::default(), credential: None };
                let ask = Ask::new("subscriptions/listen", &whose);
                match line.exchange(&ask, &params, None).await {
                    // The stream broke: it is opened again.
                    Err(Failure::Gone) => Ok(()),
                    outcome => outcome.map(drop),
                }
            }
        }));
    }
}

impl Connection for Streamable {
    fn hello(&self) -> &Arc<Hello> {
        &self.hello
    }

    fn is_open(&self) -> bool {
        !self.line.lost.load(Ordering::Relaxed)
    }

    fn ear(&self) -> &Ear {
        &self.line.hearing.ear
    }

    fn ask<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Result<Box<RawValue>, Failure>> {
        Box::pin(async move {
            let attended = self.attend(ask);
            if attended.is_some() {
                self.open_beside(ask).await;
                self.tell_level().await;
            }
            let token = attended.as_ref().and_then(Attended::id);
            let params = ask.params(self.hello.era, token);
            let outcome = self.line.exchange(ask, &params, token).await;
            attended.into_iter().for_each(Attended::ended);
            outcome
        })
    }

    fn listen(&self) {
        if self.watch.want_lists() {
            self.watch_anew();
        }
    }

    fn follow<'a>(&'a self, uri: &'a str, on: bool) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            if self.hello.era == Era::Modern {
                if self.watch.want(uri, on) {
                    self.watch_anew();
                }
                return Ok(());
            }
            // Updates come on the stream beside.
            self.listen();
            let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
            let params = format!(r#"{{"uri":{}}}"#, edit::quote(uri));
            let whose = super::Whose { principal: Arc::default(), credential: None };
            self.line.exchange(&Ask::new(method, &whose), &params, None).await.map(drop)
        })
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.watch.stop();
            self.line.hearing.close();
            if matches!(&self.line.peer, Peer::Legacy(session) if session.id.is_some()) {
                let ended = self.line.reach.delete(&self.line.peer);
                tokio::time::timeout(ASIDE, ended).await.ok();
            }
        })
    }
}

impl Line {
    fn longest(&self) -> usize {
        self.max_result.saturating_add(ENVELOPE)
    }

    /// One question and its answer. `turn` is the call that it belongs to.
    async fn exchange(
        &self,
        ask: &Ask<'_>,
        params: &str,
        turn: Option<u64>,
    ) -> Result<Box<RawValue>, Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let message = envelope::request(id, ask.method, params);
        let mut flight = Flight { aside: self.aside.as_ref(), id };
        let outcome = match self.reach.post(&self.peer, Some(ask), message).await {
            Ok(response) => self.answer(response, id, turn).await,
            Err(failure) => Err(failure),
        };
        flight.aside = None;
        outcome.map_err(|failure| self.check(failure))
    }

    /// A refusal that means that nothing ran, because session or version are not known (any more).
    fn check(&self, failure: Failure) -> Failure {
        let forgotten = match (&failure, &self.peer) {
            (Failure::Status(404), Peer::Legacy(session)) => session.id.is_some(),
            (Failure::Rpc(error), Peer::Legacy(session)) => {
                session.id.is_some() && error.status == Some(404)
            }
            (Failure::Rpc(error), Peer::Modern) => error.code == code::VERSION_NOT_SERVED,
            _ => false,
        };
        if forgotten {
            self.lost.store(true, Ordering::Relaxed);
            return Failure::Lost;
        }
        failure
    }

    async fn answer(
        &self,
        response: Response<Incoming>,
        id: u64,
        turn: Option<u64>,
    ) -> Result<Box<RawValue>, Failure> {
        let (head, body) = response.into_parts();
        match &*reach::kind(&head.headers) {
            "application/json" => read_whole(body, id, self.max_result).await,
            "text/event-stream" => self.read_stream(body, id, turn).await,
            _ => Err(Failure::Nonsense("answered with a content type that is not MCP's")),
        }
    }

    /// Reads a call's own stream; one that ends before the answer is asked for again, where its
    /// events have ids (SEP-1699).
    async fn read_stream(
        &self,
        mut body: Incoming,
        id: u64,
        turn: Option<u64>,
    ) -> Result<Box<RawValue>, Failure> {
        let mut events = Events::new(self.longest());
        let mut breaks = 0;
        loop {
            let before = events.last_id.clone();
            let hear = |event: &Event| {
                let outcome = outcome(&event.data, id, self.max_result);
                if outcome.is_none() {
                    self.hear(&event.data, turn);
                }
                outcome
            };
            if let Some(outcome) = pump(&mut body, &mut events, self.max_result, hear).await {
                return outcome;
            }
            breaks = if events.last_id == before { breaks + 1 } else { 0 };
            let resumes = matches!(self.peer, Peer::Legacy(_)) && breaks < MOST_BREAKS;
            let (Some(after), true) = (events.last_id.clone(), resumes) else {
                return Err(Failure::Gone);
            };
            events.restart();
            tokio::time::sleep(events.retry.unwrap_or(RETRY).min(LONGEST_RETRY)).await;
            body = self.reach.stream(&self.peer, Some(&after)).await?.into_body();
        }
    }

    /// What a server says that is no answer.
    fn hear(&self, message: &[u8], turn: Option<u64>) {
        match Message::read(message) {
            Ok(Message::Request { id, method, params }) => {
                self.hearing.request(id, &method, params, turn);
            }
            Ok(Message::Notification { method, params }) => {
                self.hearing.notification(&method, params, turn);
            }
            _ => {}
        }
    }

    /// Reads the stream beside, for what belongs to no call, as long as the server offers it.
    async fn listen(&self) {
        let mut events = Events::new(self.longest());
        let mut breaks = 0;
        while breaks < MOST_BREAKS {
            let opened = self.reach.stream(&self.peer, events.last_id.clone().as_deref()).await;
            self.beside.send_replace(true);
            match opened {
                Ok(response) => {
                    let mut body = response.into_body();
                    events.restart();
                    let hear = |event: &Event| -> Option<Result<Box<RawValue>, Failure>> {
                        self.hear(&event.data, None);
                        breaks = 0;
                        None
                    };
                    pump(&mut body, &mut events, self.max_result, hear).await;
                }
                // It is not offered.
                Err(Failure::Status(405) | Failure::Nonsense(_) | Failure::Refused { .. }) => {
                    return;
                }
                Err(failure) => {
                    if matches!(self.check(failure), Failure::Lost) {
                        return;
                    }
                }
            }
            let pause = events.retry.unwrap_or(RETRY).max(RETRY / 10);
            tokio::time::sleep(pause.saturating_mul(1 << breaks.min(5)).min(LONGEST_RETRY)).await;
            breaks += 1;
        }
    }
}

type Outcome = Option<Result<Box<RawValue>, Failure>>;

/// Reads events until one is the answer or the stream ends.
async fn pump(
    body: &mut Incoming,
    events: &mut Events,
    max_result: usize,
    mut hear: impl FnMut(&Event) -> Outcome,
) -> Outcome {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(bytes) = frame.into_data() else { continue };
        let Ok(complete) = events.feed(&bytes) else {
            return Some(Err(Failure::TooLarge(max_result)));
        };
        for event in &complete {
            if let Some(outcome) = hear(event) {
                return Some(outcome);
            }
        }
    }
    None
}

/// The answer to a question, where nothing else matters: before there is a session.
pub(super) async fn only_answer(
    sent: Result<Response<Incoming>, Failure>,
    id: u64,
    max_result: usize,
) -> Result<(Box<RawValue>, HeaderMap), Failure> {
    let (head, mut body) = sent?.into_parts();
    let result = match &*reach::kind(&head.headers) {
        "application/json" => read_whole(body, id, max_result).await?,
        "text/event-stream" => {
            let mut events = Events::new(max_result.saturating_add(ENVELOPE));
            let answer = |event: &Event| outcome(&event.data, id, max_result);
            pump(&mut body, &mut events, max_result, answer).await.unwrap_or(Err(Failure::Gone))?
        }
        _ => return Err(Failure::Nonsense("answered with a content type that is not MCP's")),
    };
    Ok((result, head.headers))
}

async fn read_whole(body: Incoming, id: u64, max_result: usize) -> Result<Box<RawValue>, Failure> {
    let most = max_result.saturating_add(ENVELOPE);
    let body = reach::collect(body, most).await.map_err(|error| {
        if error.is::<LengthLimitError>() { Failure::TooLarge(max_result) } else { Failure::Gone }
    })?;
    let own = Failure::Nonsense("answered with something that is no answer to the question");
    outcome(&body, id, max_result).unwrap_or(Err(own))
}

/// The answer to question `id`, if the message is that.
fn outcome(message: &[u8], id: u64, max_result: usize) -> Outcome {
    let Ok(Message::Reply { id: of, outcome }) = Message::read(message) else { return None };
    match outcome {
        _ if of.is_some_and(|of| of.get() != id.to_string()) => None,
        Ok(_) if of.is_none() => None,
        Ok(result) if result.get().len() > max_result => Some(Err(Failure::TooLarge(max_result))),
        Ok(result) => Some(Ok(result.to_owned())),
        Err(error) => Some(Err(Failure::Rpc(error))),
    }
}

/// Posts what nobody waits for.
async fn post_aside(reach: Reach, peer: Peer, mut outbox: mpsc::Receiver<String>) {
    while let Some(message) = outbox.recv().await {
        let posted = tokio::time::timeout(ASIDE, reach.post(&peer, None, message)).await;
        if !matches!(posted, Ok(Ok(_))) {
            tracing::debug!("a server did not take an answer");
        }
    }
}

/// A question to a legacy server under way: dropped before the answer, the server is told.
struct Flight<'a> {
    aside: Option<&'a mpsc::Sender<String>>,
    id: u64,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some(aside) = self.aside else { return };
        let params = format!(r#"{{"requestId":{},"reason":"the caller went away"}}"#, self.id);
        aside.try_send(envelope::notification("notifications/cancelled", Some(&params))).ok();
    }
}
