//! Bringing a question to its end where server and client are of different eras: what the one
//! wants in rounds is asked of the other while the call runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use doorward_core::{Client, Exchange, Manner, Resume, RpcFault, ToolReply};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::pool::Pool;
use super::{Answer, Ask, Failure, question, tasks};
use crate::Era;
use crate::edit;
use crate::envelope::RpcError;
use crate::protocol::code;

/// The most rounds of one call.
const MOST_ROUNDS: usize = 8;
/// The most questions of one round.
const MOST_QUESTIONS: usize = 32;
/// The tools of one server that are remembered as tasks.
const MOST_TASKED: usize = 4096;

/// Why a call cannot go on. Told to the model as the tool's own failure.
const NOBODY: &str = "The server asks for further input (elicitation, sampling or roots), which \
    the client cannot give. The call did not complete.";
const TOO_MANY: &str =
    "The server asked for further input too many times. The call did not complete.";

/// Capabilities of a client as a modern server must know them: what can be asked of it, and
/// extensions. Whatever belongs to its own connection stays here.
pub(super) fn capabilities(client: Option<&dyn Client>, polled: bool) -> String {
    let text = client.map_or("{}", |client| client.capabilities().get());
    let mut pieces: Vec<Cow<'_, str>> = Vec::new();
    let mut extensions = None;
    for member in edit::members(text).unwrap_or_default() {
        match &*member.name {
            // Its `listChanged` is gone in this era.
            "roots" => pieces.push(Cow::Borrowed(r#""roots":{}"#)),
            "extensions" => extensions = Some(member.value),
            "tasks" => {}
            _ => pieces.push(edit::written(text, &member)),
        }
    }
    let mut extensions = extensions.map(Cow::Borrowed);
    if client.is_some_and(|client| client.manner() == Manner::Live) {
        // Tasks of this era are another thing than those that such a client may mean.
        let less = extensions.as_deref().and_then(|text| edit::without(text, &[tasks::EXTENSION]));
        extensions = less.map(|less| Cow::Owned(less.into_owned()));
    }
    // A client of this era says itself whether it takes tasks.
    if polled && !client.is_some_and(|client| client.manner() == Manner::Rounds) {
        let own = format!(r#""{}":{{}}"#, tasks::EXTENSION);
        extensions = edit::with(extensions.as_deref().unwrap_or("{}"), &own).map(Cow::Owned);
    }
    if let Some(extensions) = extensions {
        pieces.push(Cow::Owned(format!(r#""extensions":{extensions}"#)));
    }
    edit::object(pieces.into_iter())
}

/// Asks a server until the answer is one that the client can read.
pub(super) async fn run(pool: &Arc<Pool>, ask: Ask<'_>) -> Result<Answer, Failure> {
    let may_ask = matches!(ask.method, "tools/call" | "prompts/get" | "resources/read");
    if !may_ask {
        let answer = pool.once(&ask).await?;
        if ask.method == "tools/list" && edit::mentions(answer.result.get(), "\"taskSupport\"") {
            learn(pool, &answer);
        }
        return Ok(answer);
    }
    let mut resumed: Option<Exchange> = None;
    // A client that wants the task itself gets it.
    let own = ask.exchange.is_some_and(|exchange| exchange.task.is_some());
    let mut polled = !own && is_tasked(pool, &ask);
    for _ in 0..MOST_ROUNDS {
        let ask = Ask { exchange: resumed.as_ref().or(ask.exchange), polled, ..ask };
        let outcome = pool.once(&ask).await;
        match next(pool, &ask, outcome).await? {
            Next::Done(answer) => return Ok(answer),
            Next::Resume(resume) => {
                let client = ask.client().cloned();
                let task = ask.exchange.and_then(|exchange| exchange.task.clone());
                resumed = Some(Exchange { client, resume: Some(resume), task, offered: None });
            }
            Next::Again => {}
            Next::AsTask => {
                polled = true;
                remember(pool, &ask);
            }
        }
    }
    give_up(&ask, TOO_MANY)
}

/// What follows an answer.
enum Next {
    Done(Answer),
    /// Ask again with what the client said.
    Resume(Resume),
    /// Ask again as before.
    Again,
    /// Ask again; the server will make a task of it.
    AsTask,
}

async fn next(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    outcome: Result<Answer, Failure>,
) -> Result<Next, Failure> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(Failure::Rpc(error)) => return refused(pool, ask, error).await,
        Err(failure) => return Err(failure),
    };
    let is_call = ask.method == "tools/call";
    if is_call && ask.polled && answer.era == Era::Legacy {
        return tasks::legacy(pool, ask, answer).await.map(Next::Done);
    }
    if answer.era == Era::Legacy || !answer.mentions("\"resultType\"") {
        return Ok(Next::Done(answer));
    }
    if answer.mentions("\"input_required\"") && result_type(&answer) == Some("input_required") {
        return input(ask, answer).await;
    }
    let is_task = is_call && answer.mentions("\"task\"") && result_type(&answer) == Some("task");
    if is_task && !ask.client().is_some_and(|client| tasks::takes(&**client)) {
        return tasks::modern(pool, ask, answer).await.map(Next::Done);
    }
    Ok(Next::Done(answer))
}

fn result_type(answer: &Answer) -> Option<&str> {
    edit::member(answer.result.get(), "resultType").map(|text| text.trim_matches('"'))
}

/// A server's refusal that says what it wants instead.
async fn refused(pool: &Pool, ask: &Ask<'_>, error: RpcError) -> Result<Next, Failure> {
    let is_call = ask.method == "tools/call";
    let has_task = ask.polled || ask.exchange.is_some_and(|exchange| exchange.task.is_some());
    match error.code {
        // MCP 2025-11-25, "Tasks": a tool that runs as a task only.
        code::METHOD_NOT_FOUND if is_call && !has_task && pool.offers_tasks(ask.whose) => {
            Ok(Next::AsTask)
        }
        code::MISSING_CAPABILITY => {
            // A client of another era must not see this code.
            let live = ask.client().is_none_or(|client| client.manner() == Manner::Live);
            if live && is_call && !has_task && wants_tasks(&error) {
                return Ok(Next::AsTask);
            }
            if live { give_up(ask, NOBODY).map(Next::Done) } else { Err(Failure::Rpc(error)) }
        }
        code::URL_ELICITATION => visit(ask, error).await,
        _ => Err(Failure::Rpc(error)),
    }
}

fn wants_tasks(error: &RpcError) -> bool {
    error.data.as_deref().is_some_and(|data| edit::mentions(data.get(), tasks::EXTENSION))
}

/// What `input_required` holds.
#[derive(Deserialize)]
struct Wanted<'a> {
    #[serde(borrow, default, rename = "inputRequests")]
    requests: Option<BTreeMap<Cow<'a, str>, Request<'a>>>,
    #[serde(borrow, default, rename = "requestState")]
    state: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// The server wants something of the client first. A client that takes rounds is handed them.
async fn input(ask: &Ask<'_>, answer: Answer) -> Result<Next, Failure> {
    let client = match ask.client() {
        None => return give_up(ask, NOBODY).map(Next::Done),
        Some(client) if client.manner() == Manner::Rounds => return Ok(Next::Done(answer)),
        Some(client) => client,
    };
    let wanted: Wanted<'_> = edit::read(answer.result.get().as_bytes())
        .map_err(|_| Failure::Nonsense("asks for input in a way that cannot be read"))?;
    if wanted.requests.is_none() && wanted.state.is_none() {
        return Err(Failure::Nonsense("asks for input without saying which"));
    }
    let responses = match responses(client, wanted.requests.as_ref()).await {
        Ok(responses) => responses,
        Err(fault) => return give_up(ask, &told(&fault)).map(Next::Done),
    };
    let state = wanted.state.map(ToOwned::to_owned);
    Ok(Next::Resume(Resume { responses, state }))
}

/// Puts the questions of a round to the client, one after the other.
pub(super) async fn responses(
    client: &Arc<dyn Client>,
    requests: Option<&BTreeMap<Cow<'_, str>, Request<'_>>>,
) -> Result<Option<Box<RawValue>>, RpcFault> {
    let Some(requests) = requests else { return Ok(None) };
    if requests.len() > MOST_QUESTIONS {
        return Err(RpcFault::new(code::INVALID_PARAMS, "too many questions in one round"));
    }
    let mut pieces = Vec::with_capacity(requests.len());
    for (key, request) in requests {
        if !question::is_question(&request.method) {
            return Err(RpcFault::new(code::METHOD_NOT_FOUND, "no such question"));
        }
        let told = question::put(client, &request.method, request.params).await?;
        pieces.push(Cow::Owned([&edit::quote(key), ":", told.get()].concat()));
    }
    Ok(RawValue::from_string(edit::object(pieces.into_iter())).ok())
}

fn told(fault: &RpcFault) -> String {
    format!("{NOBODY} ({})", fault.message)
}

/// What comes with [`code::URL_ELICITATION`].
#[derive(Deserialize)]
struct Urls<'a> {
    #[serde(borrow, default)]
    elicitations: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Url<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
}

/// The server wants the person to visit URLs first (MCP 2025-11-25). A client of that revision
/// knows the error; one of rounds is asked; to any other the links are told as text.
async fn visit(ask: &Ask<'_>, error: RpcError) -> Result<Next, Failure> {
    let data = error.data.as_deref().map_or("{}", RawValue::get);
    let urls: Urls<'_> = edit::read(data.as_bytes()).unwrap_or(Urls { elicitations: Vec::new() });
    let able = ask.client().filter(|client| question::takes_urls(&***client));
    let client = match able {
        Some(client) if client.manner() == Manner::Rounds => client,
        Some(_) => return Err(Failure::Rpc(error)),
        None => return give_up(ask, &links(&urls)).map(Next::Done),
    };
    if urls.elicitations.is_empty() || urls.elicitations.len() > MOST_QUESTIONS {
        return Err(Failure::Nonsense("wants URLs visited without saying which"));
    }
    for params in urls.elicitations {
        let told = question::put(client, "elicitation/create", Some(params)).await;
        let accepted = told.as_ref().is_ok_and(|told| {
            edit::read::<Choice<'_>>(told.get().as_bytes()).is_ok_and(|c| c.action == "accept")
        });
        if !accepted {
            return give_up(
                ask,
                "A step outside this client was declined. The call did not complete.",
            )
            .map(Next::Done);
        }
    }
    Ok(Next::Again)
}

fn links(urls: &Urls<'_>) -> String {
    let mut text =
        "The server wants these pages visited first; then the call can be repeated.".to_owned();
    for url in &urls.elicitations {
        let Ok(Url { url, message }) = edit::read(url.get().as_bytes()) else { continue };
        // Never anything that a client might run.
        if url.starts_with("https://") || url.starts_with("http://") {
            let message = message.as_deref().unwrap_or("Open");
            text = format!("{text}\n- {message}: {url}");
        }
    }
    text
}

/// Ends a call in our own words: a tool's failure is a result, anything else's an error.
fn give_up(ask: &Ask<'_>, text: &str) -> Result<Answer, Failure> {
    if ask.method == "tools/call" {
        return Ok(Answer { result: ToolReply::error(text).result, era: Era::Legacy });
    }
    Err(Failure::Rpc(RpcError::own(code::INTERNAL, text)))
}

fn is_tasked(pool: &Pool, ask: &Ask<'_>) -> bool {
    let tasked = pool.tasked.lock().unwrap_or_else(PoisonError::into_inner);
    !tasked.is_empty() && ask.name.is_some_and(|name| tasked.contains(name))
}

/// A list of tools, as far as tasks go.
#[derive(Deserialize)]
struct Tools {
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    execution: Execution,
}

#[derive(Deserialize, Default)]
struct Execution {
    #[serde(default, rename = "taskSupport")]
    tasks: Option<String>,
}

/// Remembers which tools run as tasks only (MCP 2025-11-25, "Tasks"). Servers refuse calls that
/// are none in ways of their own, so it is not left to the refusal.
fn learn(pool: &Pool, answer: &Answer) {
    let Ok(list) = edit::read::<Tools>(answer.result.get().as_bytes()) else { return };
    let mut tasked = pool.tasked.lock().unwrap_or_else(PoisonError::into_inner);
    for tool in list.tools {
        if tool.execution.tasks.as_deref() != Some("required") {
            tasked.remove(&tool.name);
        } else if tasked.len() < MOST_TASKED {
            tasked.insert(tool.name);
        }
    }
}

fn remember(pool: &Pool, ask: &Ask<'_>) {
    let mut tasked = pool.tasked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = ask.name.filter(|_| tasked.len() < MOST_TASKED) {
        tasked.insert(name.to_owned());
    }
}
