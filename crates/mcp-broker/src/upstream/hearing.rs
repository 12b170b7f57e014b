//! What a server says beside its answers: questions, remarks, news.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use doorward_core::{Client, LogLevel, Remark, RpcFault};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::ear::Ear;
use super::turns::{Turn, Turns};
use super::{Rumour, question};
use crate::edit;
use crate::envelope;
use crate::protocol::code;

/// The most questions of one connection that wait for their clients.
const MOST_QUESTIONS: usize = 64;

/// The hearing end of one connection.
#[derive(Debug)]
pub(super) struct Hearing {
    server: Arc<str>,
    pub(super) ear: Arc<Ear>,
    pub(super) turns: Turns,
    /// Where answers go; a server of the modern era takes none.
    out: Option<mpsc::Sender<String>>,
    /// Questions under way, by the id that the server gave them.
    asked: Mutex<HashMap<String, Asked>>,
}

#[derive(Debug)]
struct Asked {
    turn: u64,
    task: AbortHandle,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, rename = "progressToken")]
    token: &'a RawValue,
}

#[derive(Deserialize)]
struct Log {
    level: LogLevel,
}

#[derive(Deserialize)]
struct Cancelled<'a> {
    #[serde(borrow, rename = "requestId")]
    id: &'a RawValue,
}

fn read<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Option<T> {
    edit::read(params?.get().as_bytes()).ok()
}

impl Hearing {
    pub(super) fn new(
        server: Arc<str>,
        ear: Arc<Ear>,
        turns: Turns,
        out: Option<mpsc::Sender<String>>,
    ) -> Arc<Self> {
        Arc::new(Self { server, ear, turns, out, asked: Mutex::default() })
    }

    fn with_asked<T>(&self, act: impl FnOnce(&mut HashMap<String, Asked>) -> T) -> T {
        act(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A server's request. `of` is the call on whose own stream it came.
    pub(super) fn request(
        self: &Arc<Self>,
        id: &RawValue,
        method: &str,
        params: Option<&RawValue>,
        of: Option<u64>,
    ) {
        let Some(out) = &self.out else { return };
        // Not waited for: a server that floods us with questions must not stop its own answers
        // from being read.
        let say = |message| drop(out.try_send(message));
        if method == "ping" {
            return say(envelope::reply(id, "{}"));
        }
        let refuse = |code, text| say(envelope::refusal(Some(id), code, text, None));
        if !question::is_question(method) {
            return refuse(code::METHOD_NOT_FOUND, "method not found");
        }
        if self.with_asked(|asked| asked.len() >= MOST_QUESTIONS) {
            return refuse(code::INTERNAL, "too many questions at once");
        }
        let asker = match of {
            Some(turn) => self.turns.asks(turn).map(|client| (turn, client)),
            None => self.turns.asker(),
        };
        let Some((turn, client)) = asker else {
            tracing::debug!(server = %self.server, method, "a question that is nobody's");
            return refuse(code::METHOD_NOT_FOUND, "there is no client that can be asked this");
        };
        self.put(id, method, params, turn, client);
    }

    fn put(
        self: &Arc<Self>,
        id: &RawValue,
        method: &str,
        params: Option<&RawValue>,
        turn: u64,
        client: Arc<dyn Client>,
    ) {
        let (hearing, id) = (self.clone(), id.to_owned());
        let (method, params) = (method.to_owned(), params.map(ToOwned::to_owned));
        self.with_asked(|asked| {
            let key = id.get().to_owned();
            let task = tokio::spawn(async move {
                let told = question::put(&client, &method, params.as_deref()).await;
                hearing.with_asked(|asked| asked.remove(id.get()));
                hearing.turns.answered(turn);
                if let Some(out) = &hearing.out {
                    out.send(answer(&id, told)).await.ok();
                }
            });
            let before = asked.insert(key, Asked { turn, task: task.abort_handle() });
            if let Some(before) = before {
                // An id that is used twice: the later question counts.
                before.task.abort();
                self.turns.answered(before.turn);
            }
        });
    }

    /// A server's notification. `of` is the call on whose own stream it came.
    pub(super) fn notification(&self, method: &str, params: Option<&RawValue>, of: Option<u64>) {
        match method {
            "notifications/progress" => self.progress(params),
            "notifications/message" => {
                let client = match of {
                    Some(turn) => self.turns.client(turn),
                    None => self.turns.only_client(),
                };
                let log = client.zip(read::<Log>(params)).zip(params);
                if let Some(((client, Log { level }), params)) = log
                    && client.log_level().is_some_and(|wanted| level >= wanted)
                {
                    client.tell(Remark::Log(level, params.to_owned()));
                }
            }
            "notifications/tools/list_changed" => self.ear.hear(Rumour::Tools),
            "notifications/prompts/list_changed" => self.ear.hear(Rumour::Prompts),
            "notifications/resources/list_changed" => self.ear.hear(Rumour::Resources),
            "notifications/resources/updated" => {
                if let Some(params) = params {
                    self.ear.hear(Rumour::Updated(Arc::from(params.to_owned())));
                }
            }
            "notifications/tasks/status" | "notifications/tasks" => {
                if let Some(params) = params {
                    self.ear.hear(Rumour::Task(Arc::from(params.to_owned())));
                }
            }
            "notifications/cancelled" => {
                let taken = read::<Cancelled<'_>>(params)
                    .and_then(|cancelled| self.with_asked(|a| a.remove(cancelled.id.get())));
                if let Some(asked) = taken {
                    asked.task.abort();
                    self.turns.answered(asked.turn);
                }
            }
            _ => {}
        }
    }

    fn progress(&self, params: Option<&RawValue>) {
        let token = read::<Progress<'_>>(params).and_then(|told| told.token.get().parse().ok());
        let client = token.and_then(|token| self.turns.client(token));
        let Some((client, params)) = client.zip(params) else { return };
        if client.wants_progress()
            && let Some(plain) = edit::without(params.get(), &["progressToken"])
            && let Ok(plain) = RawValue::from_string(plain.into_owned())
        {
            client.tell(Remark::Progress(plain));
        }
    }

    /// A call's share of the hearing: dropped, its open questions are taken back.
    pub(super) fn attend<'a>(&'a self, turn: Turn<'a>) -> Attended<'a> {
        Attended { hearing: self, turn: Some(turn) }
    }

    /// Takes all questions back: the connection is gone.
    pub(super) fn close(&self) {
        self.with_asked(|asked| asked.drain().for_each(|(_, asked)| asked.task.abort()));
    }
}

fn answer(id: &RawValue, told: Result<Box<RawValue>, RpcFault>) -> String {
    match told {
        Ok(result) => envelope::reply(id, &edit::one_line(result.get())),
        Err(fault) => {
            let data = fault.data.as_deref().map(|data| edit::one_line(data.get()));
            envelope::refusal(Some(id), fault.code, &fault.message, data.as_deref())
        }
    }
}

/// A call that runs, as far as the server's questions go.
pub(super) struct Attended<'a> {
    hearing: &'a Hearing,
    turn: Option<Turn<'a>>,
}

impl Attended<'_> {
    /// The call's number, which is its progress token too.
    pub(super) fn id(&self) -> Option<u64> {
        self.turn.as_ref().map(|turn| turn.id)
    }

    /// The call came to its end.
    pub(super) fn ended(mut self) {
        self.take_back();
        if let Some(turn) = self.turn.take() {
            turn.ended();
        }
    }

    fn take_back(&self) {
        let Some(turn) = self.id() else { return };
        self.hearing.with_asked(|asked| {
            asked.retain(|_, question| {
                if question.turn == turn {
                    question.task.abort();
                }
                question.turn != turn
            });
        });
    }
}

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// The name under which calls of one kind are counted.
pub(super) fn kind(method: &str, name: Option<&str>) -> Cow<'static, str> {
    match (method, name) {
        ("tools/call", Some(name)) => Cow::Owned(name.to_owned()),
        _ => Cow::Owned(method.to_owned()),
    }
}
