//! The client behind a request: what a server may ask it and tell it while the request runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{BoxFuture, Client, Entropy, LogLevel, Manner, Question, Remark, RpcFault};
use serde_json::value::RawValue;
use tokio::sync::{Notify, oneshot};

use super::revision::Revision;
use super::session::{Answer, Session, lock};
use crate::protocol::code;
use crate::{edit, envelope};

/// The most messages that wait for a slow client, and their bytes.
const MOST_TOLD: usize = 256;
const MOST_TOLD_BYTES: usize = 1 << 20;
/// The most questions open at once in one request, or in one session.
const MOST_QUESTIONS: usize = 64;
/// The longest that a question waits for its answer.
const LONGEST_QUESTION: Duration = Duration::from_mins(10);

/// The client behind one request.
pub(super) struct Caller {
    pub(super) id: Arc<str>,
    pub(super) capabilities: Arc<RawValue>,
    pub(super) revision: Revision,
    /// Where its replies come in; without, it cannot be asked while a call runs.
    pub(super) session: Option<Arc<Session>>,
    entropy: Arc<dyn Entropy>,
    /// A capability that a server asked for in vain, the first.
    lacked: OnceLock<&'static str>,
    desk: Mutex<Desk>,
    /// Something was told or asked.
    pub(super) signal: Notify,
}

/// What the client wants to hear, and what waits for it.
#[derive(Default)]
pub(super) struct Wants {
    /// Whether it takes a stream.
    pub(super) stream: bool,
    pub(super) level: Option<LogLevel>,
    pub(super) token: Option<Box<RawValue>>,
}

struct Desk {
    wants: Wants,
    /// The progress told last.
    progress: f64,
    told: VecDeque<String>,
    bytes: usize,
    questions: Vec<Asked>,
    /// How many questions there have been.
    count: u64,
}

/// A question that waits for its round.
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) question: Question,
    pub(super) answer: Answer,
}

impl Caller {
    pub(super) fn new(
        id: Arc<str>,
        capabilities: Arc<RawValue>,
        revision: Revision,
        session: Option<Arc<Session>>,
        entropy: Arc<dyn Entropy>,
        wants: Wants,
    ) -> Self {
        let desk = Desk {
            wants,
            progress: f64::NEG_INFINITY,
            told: VecDeque::new(),
            bytes: 0,
            questions: Vec::new(),
            count: 0,
        };
        let (desk, signal) = (Mutex::new(desk), Notify::new());
        let lacked = OnceLock::new();
        Self { id, capabilities, revision, session, entropy, lacked, desk, signal }
    }

    /// What the client would have had to declare for a server's question.
    pub(super) fn lacked(&self) -> Option<&'static str> {
        self.lacked.get().copied()
    }

    /// What was told since the last time, each message on one line.
    pub(super) fn told(&self) -> VecDeque<String> {
        let mut desk = lock(&self.desk);
        desk.bytes = 0;
        std::mem::take(&mut desk.told)
    }

    pub(super) fn has_told(&self) -> bool {
        !lock(&self.desk).told.is_empty()
    }

    /// The questions that somebody still waits for.
    pub(super) fn open_questions(&self) -> Vec<Asked> {
        let mut asked = std::mem::take(&mut lock(&self.desk).questions);
        asked.retain(|asked| !asked.answer.is_closed());
        asked
    }

    pub(super) fn has_questions(&self) -> bool {
        lock(&self.desk).questions.iter().any(|asked| !asked.answer.is_closed())
    }

    /// Puts questions back that got no answer this time.
    pub(super) fn ask_again(&self, asked: Vec<Asked>) {
        let mut desk = lock(&self.desk);
        let later = std::mem::replace(&mut desk.questions, asked);
        desk.questions.extend(later);
        drop(desk);
        self.signal.notify_one();
    }

    /// The client is away, or back with other wishes.
    pub(super) fn wants(&self, wants: Wants) {
        lock(&self.desk).wants = wants;
    }

    /// Leaves a message for the client. Nothing is kept for one that takes no stream.
    fn leave(&self, desk: &mut Desk, message: &str, must: bool) -> bool {
        let room = desk.told.len() < MOST_TOLD && desk.bytes + message.len() <= MOST_TOLD_BYTES;
        if !desk.wants.stream || !(room || must) {
            return false;
        }
        desk.bytes += message.len();
        desk.told.push_back(edit::one_line(message).into_owned());
        self.signal.notify_one();
        true
    }

    async fn ask_live(&self, question: Question) -> Result<Box<RawValue>, RpcFault> {
        let away = || RpcFault::new(code::INTERNAL, "the client cannot be asked on this request");
        let session = self.session.as_ref().ok_or_else(away)?;
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        let id = format!("dw-{}", URL_SAFE_NO_PAD.encode(random));
        let (answer, answered) = oneshot::channel();
        {
            let mut state = session.state();
            if state.questions.len() >= MOST_QUESTIONS {
                return Err(RpcFault::new(code::INTERNAL, "too many questions to the client"));
            }
            state.questions.insert(id.clone(), answer);
        }
        let open = OpenQuestion { caller: self, session, id };
        let params = self.params(&question, &open.id);
        let (asked, method) = (edit::quote(&open.id), edit::quote(&question.method));
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":{method},"params":{params}}}"#);
        let left = self.leave(&mut lock(&self.desk), &message, true);
        if !left {
            return Err(away());
        }
        match tokio::time::timeout(LONGEST_QUESTION, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(away()),
            Err(_) => Err(RpcFault::new(code::INTERNAL, "the client did not answer in time")),
        }
    }

    /// A question's parameters as the client's revision wants them: 2025-11-25 has ids for visits
    /// to a URL, 2026-07-28 has not.
    fn params<'a>(&self, question: &'a Question, id: &str) -> std::borrow::Cow<'a, str> {
        let params = question.params.as_deref().map_or("{}", RawValue::get);
        if question.method != "elicitation/create" || !is_url_mode(params) {
            return params.into();
        }
        let has = edit::member(params, "elicitationId").is_some();
        match self.revision {
            Revision::Modern if has => {
                edit::without(params, &["elicitationId"]).unwrap_or_else(|| params.into())
            }
            Revision::Nov2025 if !has => {
                let id = format!(r#""elicitationId":{}"#, edit::quote(id));
                edit::with(params, &id).map_or_else(|| params.into(), Into::into)
            }
            _ => params.into(),
        }
    }

    async fn ask_in_a_round(&self, mut question: Question) -> Result<Box<RawValue>, RpcFault> {
        let params = self.params(&question, "").into_owned();
        question.params = RawValue::from_string(params).ok();
        let (answer, answered) = oneshot::channel();
        {
            let mut desk = lock(&self.desk);
            if desk.questions.len() >= MOST_QUESTIONS {
                return Err(RpcFault::new(code::INTERNAL, "too many questions to the client"));
            }
            desk.count += 1;
            let key = format!("q{}", desk.count);
            desk.questions.push(Asked { key, question, answer });
        }
        self.signal.notify_one();
        let away = |_| RpcFault::new(code::INTERNAL, "the client did not come back");
        answered.await.map_err(away)?
    }
}

/// Takes a question back when nobody waits for its answer any more.
struct OpenQuestion<'a> {
    caller: &'a Caller,
    session: &'a Session,
    id: String,
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        if self.session.state().questions.remove(&self.id).is_some() {
            let params = format!(r#"{{"requestId":{}}}"#, edit::quote(&self.id));
            let message = envelope::notification("notifications/cancelled", Some(&params));
            self.caller.leave(&mut lock(&self.caller.desk), &message, false);
        }
    }
}

fn is_url_mode(params: &str) -> bool {
    edit::member(params, "mode") == Some("\"url\"")
}

/// The capability that a question needs and the client has not declared, as a `ClientCapabilities`
/// object.
fn missing(capabilities: &RawValue, question: &Question) -> Option<&'static str> {
    let of = |name| edit::member(capabilities.get(), name).filter(|value| value.starts_with('{'));
    match question.method.as_str() {
        "sampling/createMessage" => of("sampling").is_none().then_some(r#"{"sampling":{}}"#),
        "roots/list" => of("roots").is_none().then_some(r#"{"roots":{}}"#),
        _ => {
            let params = question.params.as_deref().map_or("{}", RawValue::get);
            let modes = of("elicitation");
            let has = |mode| modes.is_some_and(|modes| edit::member(modes, mode).is_some());
            if is_url_mode(params) {
                (!has("url")).then_some(r#"{"elicitation":{"url":{}}}"#)
            } else {
                // An empty object means the form.
                let form = modes.is_some() && (has("form") || !has("url"));
                (!form).then_some(r#"{"elicitation":{}}"#)
            }
        }
    }
}

/// Whether the client can be sent to a URL.
pub(super) fn opens_urls(capabilities: &RawValue) -> bool {
    let modes = edit::member(capabilities.get(), "elicitation");
    modes.is_some_and(|modes| edit::member(modes, "url").is_some())
}

impl Client for Caller {
    fn id(&self) -> &str {
        &self.id
    }

    fn capabilities(&self) -> &RawValue {
        &self.capabilities
    }

    fn manner(&self) -> Manner {
        if self.revision.is_modern() { Manner::Rounds } else { Manner::Live }
    }

    fn log_level(&self) -> Option<LogLevel> {
        let desk = lock(&self.desk);
        desk.wants.level.filter(|_| desk.wants.stream)
    }

    fn wants_progress(&self) -> bool {
        let desk = lock(&self.desk);
        desk.wants.stream && desk.wants.token.is_some()
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Box<RawValue>, RpcFault>> {
        Box::pin(async move {
            let known = ["sampling/createMessage", "elicitation/create", "roots/list"];
            if !known.contains(&question.method.as_str()) {
                return Err(RpcFault::new(code::METHOD_NOT_FOUND, "method not found"));
            }
            if let Some(missing) = missing(&self.capabilities, &question) {
                self.lacks(missing);
                let data = format!(r#"{{"requiredCapabilities":{missing}}}"#);
                return Err(RpcFault {
                    data: RawValue::from_string(data).ok(),
                    ..RpcFault::new(code::MISSING_CAPABILITY, "the client cannot do that")
                });
            }
            if self.revision.is_modern() {
                self.ask_in_a_round(question).await
            } else {
                self.ask_live(question).await
            }
        })
    }

    fn lacks(&self, needed: &'static str) {
        // One is enough to say why.
        let _later = self.lacked.set(needed);
    }

    fn tell(&self, remark: Remark) {
        let mut desk = lock(&self.desk);
        let message = match remark {
            Remark::Progress(params) => {
                let Some(token) = &desk.wants.token else { return };
                let progress = edit::member(params.get(), "progress");
                let Some(progress) = progress.and_then(|number| number.parse::<f64>().ok()) else {
                    return;
                };
                // It only ever grows (MCP basic, "Progress").
                if progress <= desk.progress {
                    return;
                }
                let token = format!(r#""progressToken":{}"#, token.get());
                let Some(bare) = edit::without(params.get(), &["progressToken"]) else { return };
                let Some(params) = edit::with(&bare, &token) else { return };
                desk.progress = progress;
                envelope::notification("notifications/progress", Some(&params))
            }
            Remark::Log(level, params) => {
                if desk.wants.level.is_none_or(|least| level < least) {
                    return;
                }
                envelope::notification("notifications/message", Some(params.get()))
            }
        };
        self.leave(&mut desk, &message, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_its_capability() {
        let form = r#"{"message":"m"}"#;
        let url = r#"{"mode":"url"}"#;
        for (capabilities, method, params, missing_one) in [
            ("{}", "roots/list", "{}", Some(r#"{"roots":{}}"#)),
            (r#"{"roots":{}}"#, "roots/list", "{}", None),
            (r#"{"roots":true}"#, "roots/list", "{}", Some(r#"{"roots":{}}"#)),
            ("{}", "sampling/createMessage", "{}", Some(r#"{"sampling":{}}"#)),
            (r#"{"sampling":{}}"#, "sampling/createMessage", "{}", None),
            ("{}", "elicitation/create", form, Some(r#"{"elicitation":{}}"#)),
            (r#"{"elicitation":{}}"#, "elicitation/create", form, None),
            (r#"{"elicitation":{"form":{}}}"#, "elicitation/create", form, None),
            (
                r#"{"elicitation":{"url":{}}}"#,
                "elicitation/create",
                form,
                Some(r#"{"elicitation":{}}"#),
            ),
            (r#"{"elicitation":{"url":{}}}"#, "elicitation/create", url, None),
            (
                r#"{"elicitation":{}}"#,
                "elicitation/create",
                url,
                Some(r#"{"elicitation":{"url":{}}}"#),
            ),
        ] {
            let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
            let question = Question { method: method.into(), params: Some(raw(params)) };
            assert_eq!(missing(&raw(capabilities), &question), missing_one, "{capabilities}");
        }
    }
}
