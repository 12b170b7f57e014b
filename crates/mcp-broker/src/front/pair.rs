//! The HTTP+SSE endpoint pair of 2024-11-05, which later revisions replaced: a stream that names
//! an endpoint, and posts to that endpoint whose answers come on the stream.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{BoxStream, Cx, Scope};
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;

use super::body::{FrontBody, bare, streamed};
use super::call::{Asked, Place, Plan};
use super::era::{Accept, Refusal};
use super::listen::{Fed, Feed};
use super::params::Params;
use super::post::{Legacy, is_served, no_message, noted, replied};
use super::revision::Revision;
use super::run::{Job, event, message};
use super::session::{Pipe, Session};
use super::{Front, not_allowed};
use crate::envelope::{Message, NoMessage};
use crate::protocol::code;

/// How the session is named in the endpoint's query.
const QUERY: &str = "session_id";
/// The most messages that wait for a slow client.
const WAITING: usize = 64;

fn session_id<B>(request: &Request<B>) -> Option<&str> {
    let pairs = request.uri().query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == QUERY).map(|(_, id)| id)
}

/// Whether a request is a post to an endpoint of ours.
pub(super) fn is_of_pair<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && session_id(request).is_some()
}

impl Front {
    /// Serves the deprecated HTTP+SSE pair. A GET opens the stream; its first event names the
    /// endpoint: `endpoint_path` with the session in its query. Posts to the endpoint may come
    /// here or to [`exchange`](Front::exchange).
    ///
    /// The stream is in this process alone, so the endpoint has to lead back to it.
    pub async fn open_sse(
        &self,
        cx: &Cx,
        scope: &Scope,
        request: &Request<Bytes>,
        endpoint_path: &str,
    ) -> Response<FrontBody> {
        if is_of_pair(request) {
            return self.post_of_pair(cx, scope, request).await;
        }
        if request.method() != Method::GET {
            return not_allowed("GET");
        }
        let takes = Accept::read(request.headers());
        if request.headers().contains_key(http::header::ACCEPT)
            && !takes.is_some_and(|accept| accept.stream)
        {
            return bare(StatusCode::NOT_ACCEPTABLE);
        }
        let Some((key, id)) = self.mint(cx, scope, None, &self.hall.nothing) else {
            return bare(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let limits = &self.settings.limits;
        let Some(session) = self.hall.sessions.open(key, self.now(), limits) else {
            return bare(StatusCode::SERVICE_UNAVAILABLE);
        };
        let (messages, received) = mpsc::channel(WAITING);
        let capabilities = self.hall.nothing.clone();
        let pipe = Pipe { messages, revision: Revision::Nov2024, capabilities };
        session.state().pipe = Some(pipe);
        let place = Place::new(self, cx, scope, Revision::Nov2024);
        let Some(feed) = Feed::open(place, session.clone()) else {
            self.hall.sessions.remove(&key);
            return bare(StatusCode::TOO_MANY_REQUESTS);
        };
        let line = format!("event: endpoint\ndata: {endpoint_path}?{QUERY}={id}\n\n");
        let open = Open { front: self.clone(), session };
        streamed(events(line, received, feed, open))
    }

    /// Takes a message of a client of the pair. The answer comes on its stream.
    pub(super) async fn post_of_pair(
        &self,
        cx: &Cx,
        scope: &Scope,
        request: &Request<Bytes>,
    ) -> Response<FrontBody> {
        let id = session_id(request).unwrap_or_default();
        let session = self.admit(cx, scope, id).and_then(|ticket| {
            let found = self.hall.sessions.find(&ticket.key, self.now());
            found.filter(|_| ticket.revision.is_none()).ok_or_else(Refusal::no_session)
        });
        let session = match session {
            Ok(session) => session,
            Err(refusal) => return refusal.response(None),
        };
        let taken = match Message::read(request.body()) {
            Ok(Message::Request { id, method, params }) => match Params::read(params) {
                Some(params) => {
                    let (method, headers) = (&*method, request.headers());
                    let nothing = Bytes::new();
                    let params = &params;
                    let asked = Asked { id, method, params, headers, request: &nothing };
                    self.start(cx, scope, &session, &asked).await
                }
                None => Err(Refusal::bad(code::INVALID_PARAMS, "parameters of the wrong kind")),
            },
            Ok(Message::Notification { method, params }) => {
                noted(&session, &method, params);
                Ok(())
            }
            Ok(Message::Reply { id, outcome }) => {
                replied(&session, id, outcome);
                Ok(())
            }
            Err(NoMessage::Json) => Err(Refusal::bad(code::PARSE, "not JSON")),
            Err(NoMessage::Shape) => Err(no_message()),
        };
        match taken {
            Ok(()) => bare(StatusCode::ACCEPTED),
            Err(refusal) => refusal.response(None),
        }
    }

    /// Starts what a request asks for; the answer goes to the stream.
    async fn start(
        &self,
        cx: &Cx,
        scope: &Scope,
        session: &Arc<Session>,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let (out, revision, capabilities) = {
            let mut state = session.state();
            let pipe = state.pipe.as_mut().ok_or_else(Refusal::no_session)?;
            if asked.method == "initialize" {
                (pipe.revision, pipe.capabilities) = self.greeted(asked.params)?;
            }
            (pipe.messages.clone(), pipe.revision, pipe.capabilities.clone())
        };
        let place = Place::new(self, cx, scope, revision);
        if asked.method == "initialize" {
            send(out, asked, Ok(Box::pin(place.initialized())));
            return Ok(());
        }
        let legacy = Legacy { revision, capabilities, session: Some(session.clone()) };
        if let Some(outcome) = self.of_session_alone(&place, asked, &legacy).await {
            send(out, asked, Ok(Box::pin(std::future::ready(outcome))));
            return Ok(());
        }
        if !is_served(asked.method) {
            let job = match place.plan(asked, None).await {
                Ok(Plan::Do(job)) => Ok(job),
                Ok(Plan::GoOn(..)) => Err(no_message()),
                Err(refusal) => Err(refusal),
            };
            send(out, asked, job);
            return Ok(());
        }
        let accept = Accept { json: true, stream: true, rather_stream: false };
        match self.legacy_run(place, asked, legacy, accept).await {
            Ok(run) => {
                tokio::spawn(run.pipe(out));
            }
            Err(refusal) => send(out, asked, Err(refusal)),
        }
        Ok(())
    }
}

/// Does a job, and sends its outcome; not after the client has gone.
fn send(out: mpsc::Sender<Bytes>, asked: &Asked<'_>, job: Result<Job, Refusal>) {
    let id = asked.id.to_owned();
    tokio::spawn(async move {
        let outcome = match job {
            Ok(job) => tokio::select! {
                outcome = job => outcome,
                () = out.closed() => return,
            },
            Err(refusal) => Err(refusal),
        };
        let (_, message) = message(&outcome, &id);
        let _gone = out.send(event(&message)).await;
    });
}

/// An open stream of the pair: its session ends with it.
struct Open {
    front: Front,
    session: Arc<Session>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.front.hall.sessions.remove(&self.session.key);
    }
}

/// The endpoint, then answers and news as they come.
fn events(
    line: String,
    received: mpsc::Receiver<Bytes>,
    feed: Feed,
    open: Open,
) -> BoxStream<'static, Bytes> {
    let first = stream::once(async move { Bytes::from(line) });
    let rest =
        stream::unfold((received, feed, open), |(mut received, mut feed, open)| async move {
            let next = tokio::select! {
                biased;
                message = received.recv() => message?,
                news = feed.next() => match news {
                    Fed::Message(message) => event(&message),
                    Fed::Quiet => Bytes::from_static(b": working\n\n"),
                    Fed::End => return None,
                },
            };
            Some((next, (received, feed, open)))
        });
    Box::pin(first.chain(rest))
}
