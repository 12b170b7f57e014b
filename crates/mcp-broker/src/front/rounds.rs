//! Rounds of 2026-07-28: answers that ask, and the retries that come back to them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Entropy, RpcFault, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::caller::{Asked, Caller};
use super::era::Refusal;
use super::run::{Job, Outcome};
use super::session::lock;
use super::{Front, Limits};
use crate::edit;
use crate::protocol::code;
use crate::seal::Purpose;

/// What a request state of ours says, once opened.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Round {
    /// For whom.
    p: Arc<str>,
    /// The digest of the request that it continues.
    d: String,
    /// When it is worth nothing any more, in microseconds.
    x: i64,
    /// What it continues.
    k: Kind,
}

/// What a retry continues.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    /// A round of the server itself, with its own state.
    #[serde(rename = "s")]
    Server(Option<Box<RawValue>>),
    /// A call that waits in one process: the process and the call.
    #[serde(rename = "p")]
    Parked(String, String),
    /// Nothing: the request is tried afresh after the user has been somewhere.
    #[serde(rename = "f")]
    Fresh,
}

/// A retry's state is not one that we would take.
fn stale() -> Refusal {
    Refusal::answered(code::INVALID_PARAMS, "requestState is not valid for this request")
}

impl Front {
    /// Seals what a retry will bring back.
    pub(super) fn seal_round(
        &self,
        principal: &Arc<str>,
        digest: &[u8; 32],
        kind: Kind,
    ) -> Option<String> {
        let settings = &self.settings;
        let expires = settings.clock.now().after(settings.limits.parked_for);
        let round = Round {
            p: principal.clone(),
            d: URL_SAFE_NO_PAD.encode(digest),
            x: expires.as_micros(),
            k: kind,
        };
        let plain = serde_json::to_vec(&round).ok()?;
        settings.seal.close(&*settings.entropy, Purpose::State, &plain)
    }

    /// Opens what a retry brought back: only what was made for this principal and this request,
    /// and not too long ago.
    pub(super) fn open_round(
        &self,
        principal: &str,
        digest: &[u8; 32],
        state: &RawValue,
    ) -> Result<Kind, Refusal> {
        let text: String = serde_json::from_str(state.get()).map_err(|_| stale())?;
        let plain = self.settings.seal.open(Purpose::State, &text).ok_or_else(stale)?;
        let round: Round = serde_json::from_slice(&plain).map_err(|_| stale())?;
        let ours = *round.p == *principal
            && round.d == URL_SAFE_NO_PAD.encode(digest)
            && Timestamp::from_micros(round.x) > self.settings.clock.now();
        if ours { Ok(round.k) } else { Err(stale()) }
    }
}

/// Calls whose client is away with questions. Bounded in number, in all and for each principal,
/// and in time.
pub(super) struct Parking {
    /// This process.
    instance: String,
    places: Arc<Mutex<HashMap<String, Place>>>,
}

struct Place {
    principal: Arc<str>,
    digest: [u8; 32],
    /// Asks the keeper for the job.
    recall: oneshot::Sender<oneshot::Sender<Back>>,
    caller: Arc<Caller>,
    asked: Vec<Asked>,
}

/// What comes back from a parked call.
enum Back {
    Running(Job),
    Done(Outcome),
}

impl Parking {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self { instance: random(entropy), places: Arc::default() }
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.places).len()
    }

    /// Puts a call aside. It goes on there, until its client is back or the time is up. Gives the
    /// call and its questions back where there is no room.
    pub(super) fn park(
        &self,
        entropy: &dyn Entropy,
        limits: &Limits,
        (principal, digest): (&Arc<str>, [u8; 32]),
        caller: Arc<Caller>,
        (job, asked): (Job, Vec<Asked>),
    ) -> Result<Kind, (Job, Vec<Asked>)> {
        let mut places = lock(&self.places);
        let own = places.values().filter(|place| place.principal == *principal).count();
        if places.len() >= limits.parked || own >= limits.parked_each {
            return Err((job, asked));
        }
        let key = random(entropy);
        let (recall, recalled) = oneshot::channel();
        let principal = principal.clone();
        places.insert(key.clone(), Place { principal, digest, recall, caller, asked });
        let keeper = keep(job, recalled, self.places.clone(), key.clone(), limits.parked_for);
        tokio::spawn(keeper);
        Ok(Kind::Parked(self.instance.clone(), key))
    }

    /// Takes a call back, once: its questions get these answers. What was not answered is asked
    /// again.
    pub(super) async fn resume(
        &self,
        principal: &str,
        digest: &[u8; 32],
        (instance, key): (&str, &str),
        responses: Option<&RawValue>,
    ) -> Result<(Job, Arc<Caller>), Refusal> {
        if instance != self.instance {
            return Err(stale());
        }
        let place = {
            let mut places = lock(&self.places);
            let ours = places
                .get(key)
                .is_some_and(|place| *place.principal == *principal && place.digest == *digest);
            if ours { places.remove(key) } else { None }
        };
        let Place { recall, caller, asked, .. } = place.ok_or_else(stale)?;
        let (back, came_back) = oneshot::channel();
        recall.send(back).map_err(|_| stale())?;
        let job = match came_back.await.map_err(|_| stale())? {
            Back::Running(job) => job,
            Back::Done(outcome) => Box::pin(std::future::ready(outcome)),
        };
        let unanswered = answer(asked, responses);
        if !unanswered.is_empty() {
            caller.ask_again(unanswered);
        }
        Ok((job, caller))
    }
}

/// Keeps a parked call going.
async fn keep(
    mut job: Job,
    recalled: oneshot::Receiver<oneshot::Sender<Back>>,
    places: Arc<Mutex<HashMap<String, Place>>>,
    key: String,
    longest: std::time::Duration,
) {
    let expiry = tokio::time::sleep(longest);
    tokio::pin!(expiry, recalled);
    let mut done = None;
    loop {
        tokio::select! {
            back = &mut recalled => {
                if let Ok(back) = back {
                    let _gone = back.send(match done {
                        Some(outcome) => Back::Done(outcome),
                        None => Back::Running(job),
                    });
                }
                return;
            }
            () = &mut expiry => {
                lock(&places).remove(&key);
                return;
            }
            outcome = &mut job, if done.is_none() => done = Some(outcome),
        }
    }
}

/// Hands answers to the questions that they are for; gives back the questions without one.
fn answer(asked: Vec<Asked>, responses: Option<&RawValue>) -> Vec<Asked> {
    let responses = responses.map_or("{}", RawValue::get);
    let mut left = Vec::new();
    for asked in asked {
        let response = edit::member(responses, &asked.key).filter(|text| text.starts_with('{'));
        match response.and_then(|text| RawValue::from_string(text.to_owned()).ok()) {
            Some(response) => {
                let _gone = asked.answer.send(Ok(response));
            }
            None => left.push(asked),
        }
    }
    left
}

/// Tells those who asked that nobody will answer.
pub(super) fn turn_down(asked: Vec<Asked>) {
    for asked in asked {
        let full = RpcFault::new(code::INTERNAL, "too many calls wait for their clients");
        let _gone = asked.answer.send(Err(full));
    }
}

/// The `inputRequests` of these questions.
pub(super) fn requests(asked: &[Asked]) -> String {
    let mut text = String::from("{");
    for (at, asked) in asked.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let (key, method) = (edit::quote(&asked.key), edit::quote(&asked.question.method));
        let params = asked.question.params.as_deref().map_or("{}", RawValue::get);
        let _ = write!(text, r#"{key}:{{"method":{method},"params":{params}}}"#);
    }
    text.push('}');
    text
}

pub(super) fn random(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
