//! Tasks that the client takes no part in: polled here to their end, so that the client sees an
//! ordinary result.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Client, Manner, ToolReply};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::pool::Pool;
use super::rounds::{self, Request};
use super::{Answer, Ask, Failure, Whose};
use crate::envelope::RpcError;
use crate::protocol::code;
use crate::{Era, edit};

/// The extension of MCP 2026-07-28 (SEP-2663).
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Between these the server's own word on how often to ask is taken.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(10);
/// How often it is asked where it does not say.
const USUAL: Duration = Duration::from_secs(1);
/// How long taking a task back may take.
const ASIDE: Duration = Duration::from_secs(5);

const WRONG: Failure = Failure::Nonsense("answered with something that is no task");

/// Whether a client takes tasks of the modern era.
pub(super) fn takes(client: &dyn Client) -> bool {
    let text = client.capabilities().get();
    client.manner() == Manner::Rounds
        && edit::mentions(text, EXTENSION)
        && edit::member(text, "extensions")
            .is_some_and(|extensions| edit::member(extensions, EXTENSION).is_some())
}

/// A task's state, in either era's words.
#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow, rename = "taskId")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default, alias = "pollIntervalMs", rename = "pollInterval")]
    interval: Option<u64>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputRequests")]
    requests: Option<BTreeMap<Cow<'a, str>, Request<'a>>>,
}

impl State<'_> {
    fn pause(&self) -> Duration {
        self.interval.map_or(USUAL, Duration::from_millis).clamp(OFTEN, SELDOM)
    }
}

#[derive(Deserialize)]
struct Created<'a> {
    #[serde(borrow)]
    task: &'a RawValue,
}

fn read(text: &RawValue) -> Result<State<'_>, Failure> {
    edit::read(text.get().as_bytes()).map_err(|_| WRONG)
}

/// Waits for a task of MCP 2025-11-25.
pub(super) async fn legacy(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    answer: Answer,
) -> Result<Answer, Failure> {
    // A server that ignores the wish for a task answers as ever.
    let Ok(created) = edit::read::<Created<'_>>(answer.result.get().as_bytes()) else {
        return Ok(answer);
    };
    let mut state = created.task.to_owned();
    let id = read(&state)?.id.into_owned();
    let guard = Guard::new(pool, ask.whose, &id);
    loop {
        let known = read(&state)?;
        if known.status != "working" {
            // Whatever the end was, and whatever it wants to ask first, comes with the result.
            let result = about(pool, ask, "tasks/result", &id, None).await;
            guard.over();
            return result;
        }
        tokio::time::sleep(known.pause()).await;
        state = about(pool, ask, "tasks/get", &id, None).await?.result;
    }
}

/// Waits for a task of MCP 2026-07-28.
pub(super) async fn modern(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    answer: Answer,
) -> Result<Answer, Failure> {
    let mut state = answer.result;
    let id = read(&state)?.id.into_owned();
    let guard = Guard::new(pool, ask.whose, &id);
    loop {
        let known = read(&state)?;
        let own = |text| Err(Failure::Rpc(RpcError::own(code::INTERNAL, text)));
        let over = match &*known.status {
            "working" => None,
            "completed" => {
                let result = known.result.ok_or(WRONG)?.to_owned();
                Some(Ok(Answer { result, era: Era::Modern }))
            }
            "failed" => {
                let error = known.error.ok_or(WRONG)?;
                Some(Err(Failure::Rpc(edit::read(error.get().as_bytes()).map_err(|_| WRONG)?)))
            }
            "cancelled" => Some(own("the server cancelled the task")),
            "input_required" => match update(pool, ask, &id, &known).await? {
                None => None,
                Some(text) => {
                    let result = ToolReply::error(&text).result;
                    // Dropping the guard takes the task back.
                    return Ok(Answer { result, era: Era::Legacy });
                }
            },
            _ => return Err(WRONG),
        };
        if let Some(outcome) = over {
            guard.over();
            return outcome;
        }
        tokio::time::sleep(known.pause()).await;
        state = about(pool, ask, "tasks/get", &id, None).await?.result;
    }
}

/// Answers what a task asks; why not, where the client cannot.
async fn update(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    id: &str,
    state: &State<'_>,
) -> Result<Option<String>, Failure> {
    let Some(client) = ask.client() else {
        return Ok(Some("The task asks for input that nobody can give.".into()));
    };
    match rounds::responses(client, state.requests.as_ref()).await {
        Ok(responses) => {
            about(pool, ask, "tasks/update", id, responses.as_deref()).await?;
            Ok(None)
        }
        Err(fault) => Ok(Some(format!("The task asks for input: {}", fault.message))),
    }
}

async fn about(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    method: &str,
    id: &str,
    responses: Option<&RawValue>,
) -> Result<Answer, Failure> {
    let mut params = format!(r#"{{"taskId":{}}}"#, edit::quote(id));
    if let Some(responses) = responses {
        let added = format!(r#""inputResponses":{responses}"#);
        params = edit::with(&params, &added).unwrap_or(params);
    }
    let params = RawValue::from_string(params).map_err(|_| WRONG)?;
    // Without what belongs to the call itself: its task, its round.
    let exchange = doorward_core::Exchange { client: ask.client().cloned(), ..Default::default() };
    let ask = Ask {
        name: Some(id),
        params: Some(&params),
        trace: ask.trace,
        exchange: Some(&exchange),
        polled: true,
        ..Ask::new(method, ask.whose)
    };
    pool.once(&ask).await
}

/// Takes a task back when nobody waits for it any more.
struct Guard {
    left: Option<(Arc<Pool>, Whose, String)>,
}

impl Guard {
    fn new(pool: &Arc<Pool>, whose: &Whose, id: &str) -> Self {
        Self { left: Some((pool.clone(), whose.clone(), id.to_owned())) }
    }

    fn over(mut self) {
        self.left = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some((pool, whose, id)) = self.left.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let params = format!(r#"{{"taskId":{}}}"#, edit::quote(&id));
            let Ok(params) = RawValue::from_string(params) else { return };
            let ask = Ask {
                name: Some(&id),
                params: Some(&params),
                polled: true,
                ..Ask::new("tasks/cancel", &whose)
            };
            tokio::time::timeout(ASIDE, pool.once(&ask)).await.ok();
        });
    }
}
