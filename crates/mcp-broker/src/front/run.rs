//! A request under way: driven without a task of its own until it has to become a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{BoxFuture, BoxStream, Principal};
use futures_util::stream;
use http::{Response, StatusCode};
use serde_json::value::RawValue;

use super::Front;
use super::body::{FrontBody, streamed, whole};
use super::caller::{Caller, Wants};
use super::era::{Accept, Refusal};
use super::params::Params;
use super::rounds::{requests, turn_down};
use super::session::Session;
use super::tape::{Piece, Tape};
use super::write;
use crate::edit;
use crate::envelope::{self, Message};

/// A request's result, or why there is none.
pub(super) type Outcome = Result<String, Refusal>;

/// An outcome in the making. Owns all it needs, so that it can go on anywhere.
pub(super) type Job = BoxFuture<'static, Outcome>;

/// How long one question waits for others to share its round.
const GATHER: Duration = Duration::from_millis(5);
/// Until something happens.
const LONG: Duration = Duration::from_hours(1);

/// The message that tells an outcome, and its HTTP status.
pub(super) fn message(outcome: &Outcome, id: &RawValue) -> (StatusCode, String) {
    match outcome {
        Ok(result) => (StatusCode::OK, envelope::reply(id, result)),
        Err(refusal) => (refusal.status(), refusal.message(Some(id))),
    }
}

/// A request under way, with its client.
pub(super) struct Run {
    pub(super) front: Front,
    pub(super) principal: Arc<Principal>,
    pub(super) job: Job,
    pub(super) caller: Arc<Caller>,
    pub(super) id: Box<RawValue>,
    /// The whole request: read again where it has to be continued by another.
    pub(super) request: Bytes,
}

/// What happened to a run.
enum Step {
    Done(Outcome),
    Said,
    Quiet,
}

impl Run {
    /// Goes on until something is to be told.
    async fn step(&mut self, wait: Duration) -> Step {
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                outcome = &mut self.job => return Step::Done(outcome),
                () = self.caller.signal.notified() => {
                    if self.caller.has_questions() {
                        if let Ok(outcome) = tokio::time::timeout(GATHER, &mut self.job).await {
                            return Step::Done(outcome);
                        }
                        if let Some(result) = self.park() {
                            return Step::Done(Ok(result));
                        }
                    } else if self.caller.has_told() {
                        return Step::Said;
                    }
                }
                () = &mut sleep => return Step::Quiet,
            }
        }
    }

    /// Puts the call aside, and makes the answer that asks. `None` where it goes on: nobody asks
    /// any more, or there is no room and those who ask were told so.
    fn park(&mut self) -> Option<String> {
        let asked = self.caller.open_questions();
        if asked.is_empty() {
            return None;
        }
        let Some(digest) = digest(&self.request) else {
            turn_down(asked);
            return None;
        };
        let inputs = requests(&asked);
        self.caller.wants(Wants::default());
        let settings = &self.front.settings;
        let gone: Job = Box::pin(std::future::pending());
        let job = std::mem::replace(&mut self.job, gone);
        let whose = (&self.principal.id, digest);
        let parking = &self.front.hall.parking;
        let parked = parking.park(
            &*settings.entropy,
            &settings.limits,
            whose,
            self.caller.clone(),
            (job, asked),
        );
        match parked {
            Ok(kind) => {
                let state = self.front.seal_round(&self.principal.id, &digest, kind);
                let state = state.unwrap_or_default();
                Some(write::asking(&settings.info, &inputs, &state))
            }
            Err((job, asked)) => {
                self.job = job;
                turn_down(asked);
                None
            }
        }
    }

    /// The answer to a request of which nothing outlives its connection.
    pub(super) async fn answer(mut self, accept: Accept) -> Response<FrontBody> {
        if !accept.stream {
            loop {
                if let Step::Done(outcome) = self.step(LONG).await {
                    let (status, message) = message(&outcome, &self.id);
                    return whole(status, message);
                }
                self.caller.told();
            }
        }
        match self.first(accept).await {
            Ok(response) => response,
            Err(pending) => streamed(self.stream(pending)),
        }
    }

    /// The answer, where it comes before anything else is to be told.
    async fn first(&mut self, accept: Accept) -> Result<Response<FrontBody>, Pending> {
        if !accept.json {
            return Err(Pending::default());
        }
        match self.step(self.front.settings.stream_after).await {
            Step::Done(outcome) => {
                let (status, message) = message(&outcome, &self.id);
                if !self.caller.has_told() && !accept.streams(status) {
                    return Ok(whole(status, message));
                }
                let mut pending = Pending::default();
                pending.finish(self, &outcome);
                Err(pending)
            }
            Step::Said => Err(Pending { told: self.caller.told(), ..Pending::default() }),
            Step::Quiet => Err(Pending { quiet: true, ..Pending::default() }),
        }
    }

    /// Messages as they come. Dropping the stream ends the run.
    fn stream(self, pending: Pending) -> BoxStream<'static, Bytes> {
        let keep_alive = self.front.settings.keep_alive;
        let start = Some((self, pending));
        Box::pin(stream::unfold(start, move |state| async move {
            let (mut run, mut pending) = state?;
            loop {
                if let Some(message) = pending.told.pop_front() {
                    let event = Bytes::from(["event: message\ndata: ", &message, "\n\n"].concat());
                    let over = pending.finished && pending.told.is_empty();
                    return Some((event, (!over).then_some((run, pending))));
                }
                if pending.finished {
                    return None;
                }
                // Proxies and clients want to see something soon.
                let wait =
                    if std::mem::take(&mut pending.quiet) { Duration::ZERO } else { keep_alive };
                match run.step(wait).await {
                    Step::Done(outcome) => pending.finish(&run, &outcome),
                    Step::Said => pending.told = run.caller.told(),
                    Step::Quiet => {
                        let event = Bytes::from_static(b": working\n\n");
                        return Some((event, Some((run, pending))));
                    }
                }
            }
        }))
    }

    /// The answer to a request of a session: once it is a stream its client may lose the
    /// connection and come back; the call goes on meanwhile.
    pub(super) async fn answer_in(
        mut self,
        session: Arc<Session>,
        accept: Accept,
    ) -> Response<FrontBody> {
        if !accept.stream {
            return self.answer(accept).await;
        }
        let pending = match self.first(accept).await {
            Ok(response) => return response,
            Err(pending) => pending,
        };
        let Some(tape) = self.tape(&session) else {
            return streamed(self.stream(pending));
        };
        let keep_alive = self.front.settings.keep_alive;
        let reader = tape.attach();
        for message in &pending.told {
            tape.add(message, false);
        }
        if pending.finished {
            tape.close();
        }
        let reel = read(tape.clone(), reader, 0, keep_alive);
        tokio::spawn(self.play(tape, session, pending.finished));
        streamed(reel)
    }

    /// A tape for this run, where there is room for one.
    fn tape(&self, session: &Session) -> Option<Arc<Tape>> {
        let settings = &self.front.settings;
        let tapes = &self.front.hall.tapes;
        if tapes.fetch_add(1, Ordering::AcqRel) >= settings.limits.streams {
            tapes.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut state = session.state();
        if state.tapes.len() >= settings.limits.streams_each {
            tapes.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut id = [0; 8];
        settings.entropy.fill(&mut id);
        let tape = Arc::new(Tape::new(u64::from_be_bytes(id), settings.limits.stream_bytes));
        // Older clients take an event without data for a broken message.
        if self.caller.revision >= super::revision::Revision::Nov2025 {
            tape.prime(settings.retry);
        }
        state.tapes.insert(tape.id, tape.clone());
        Some(tape)
    }

    /// Runs to the end, or until nobody has been listening for too long. Then keeps the end for
    /// a client that comes back.
    async fn play(mut self, tape: Arc<Tape>, session: Arc<Session>, mut finished: bool) {
        let linger = self.front.settings.limits.linger;
        let hall = self.front.hall.clone();
        while !finished {
            let alone = tape.alone_since().map(|since| linger.saturating_sub(since.elapsed()));
            let moved = tape.moved.notified();
            tokio::select! {
                step = self.step(alone.unwrap_or(LONG)) => match step {
                    Step::Done(outcome) => {
                        for message in self.caller.told() {
                            tape.add(&message, false);
                        }
                        if matches!(&outcome, Err(refusal) if refusal.is_cancelled()) {
                            tape.close();
                        } else {
                            let (_, message) = message(&outcome, &self.id);
                            tape.add(&edit::one_line(&message), true);
                        }
                        finished = true;
                    }
                    Step::Said => {
                        for message in self.caller.told() {
                            tape.add(&message, false);
                        }
                    }
                    Step::Quiet => {
                        if tape.alone_since().is_some_and(|since| since.elapsed() >= linger) {
                            tape.abandon();
                            finished = true;
                        }
                    }
                },
                () = moved => {}
            }
        }
        drop(self);
        loop {
            let moved = tape.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if tape.is_spent() {
                break;
            }
            let alone = tape.alone_since().map(|since| linger.saturating_sub(since.elapsed()));
            if alone.is_some_and(|left| left.is_zero()) {
                break;
            }
            let _moved = tokio::time::timeout(alone.unwrap_or(LONG), moved).await;
        }
        tape.abandon();
        session.state().tapes.remove(&tape.id);
        hall.tapes.fetch_sub(1, Ordering::AcqRel);
    }

    /// Messages into the stream of a client of the HTTP+SSE pair.
    pub(super) async fn pipe(mut self, out: tokio::sync::mpsc::Sender<Bytes>) {
        loop {
            let step = tokio::select! {
                step = self.step(LONG) => step,
                () = out.closed() => return,
            };
            let finished = match &step {
                Step::Done(outcome) => Some(message(outcome, &self.id).1),
                Step::Said | Step::Quiet => None,
            };
            let over = finished.is_some();
            let silent = matches!(&step, Step::Done(Err(refusal)) if refusal.is_cancelled());
            for message in self.caller.told().into_iter().chain(finished.filter(|_| !silent)) {
                if out.send(event(&message)).await.is_err() {
                    return;
                }
            }
            if over {
                return;
            }
        }
    }
}

/// A message as an event.
pub(super) fn event(message: &str) -> Bytes {
    Bytes::from(["event: message\ndata: ", &edit::one_line(message), "\n\n"].concat())
}

/// What is to be told in a stream before the run goes on.
#[derive(Default)]
struct Pending {
    told: VecDeque<String>,
    finished: bool,
    /// Nothing was there to tell.
    quiet: bool,
}

impl Pending {
    /// All that was told, then the end. The client of a parked call has gone.
    fn finish(&mut self, run: &Run, outcome: &Outcome) {
        self.told.append(&mut run.caller.told());
        let (_, message) = message(outcome, &run.id);
        self.told.push_back(edit::one_line(&message).into_owned());
        self.finished = true;
    }
}

/// The digest that a retry of this request will have.
pub(super) fn digest(request: &[u8]) -> Option<[u8; 32]> {
    let Ok(Message::Request { method, params, .. }) = Message::read(request) else { return None };
    Params::read(params)?.digest(&method)
}

/// A tape as a stream: from this event on, with signs of life.
pub(super) fn read(
    tape: Arc<Tape>,
    reader: u64,
    next: u64,
    keep_alive: Duration,
) -> BoxStream<'static, Bytes> {
    struct Reader {
        tape: Arc<Tape>,
        number: u64,
        next: u64,
    }
    impl Drop for Reader {
        fn drop(&mut self) {
            self.tape.detach(self.number);
        }
    }
    let reader = Reader { tape, number: reader, next };
    Box::pin(stream::unfold(reader, move |mut reader| async move {
        loop {
            let tape = reader.tape.clone();
            let moved = tape.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match tape.read(reader.number, &mut reader.next) {
                Piece::Event(event) => return Some((event, reader)),
                Piece::End => return None,
                Piece::Wait => {
                    if tokio::time::timeout(keep_alive, moved).await.is_err() {
                        return Some((Bytes::from_static(b": working\n\n"), reader));
                    }
                }
            }
        }
    }))
}
