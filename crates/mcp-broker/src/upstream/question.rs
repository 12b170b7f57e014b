//! Putting a server's question to the client that caused it, if that client takes such questions.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_core::{Client, Manner, Question, RpcFault};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::edit;
use crate::protocol::code;

/// What of a client's capabilities is about questions.
#[derive(Deserialize, Default)]
struct Capabilities<'a> {
    #[serde(borrow, default)]
    sampling: Option<Sampling<'a>>,
    #[serde(borrow, default)]
    elicitation: Option<Elicitation<'a>>,
    #[serde(borrow, default)]
    roots: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Sampling<'a> {
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Elicitation<'a> {
    #[serde(borrow, default)]
    form: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
}

/// What of a question's parameters matters.
#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "elicitationId")]
    elicitation_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
}

fn read(capabilities: &RawValue) -> Capabilities<'_> {
    edit::read(capabilities.get().as_bytes()).unwrap_or_default()
}

/// Whether a client with these capabilities can be asked anything.
pub(crate) fn can_be_asked(capabilities: &RawValue) -> bool {
    let can = read(capabilities);
    can.sampling.is_some() || can.elicitation.is_some() || can.roots.is_some()
}

/// Whether a client takes questions that send its person to a URL.
pub(crate) fn takes_urls(client: &dyn Client) -> bool {
    read(client.capabilities()).elicitation.is_some_and(|elicitation| elicitation.url.is_some())
}

/// Whether the method is a question to the client.
pub(crate) fn is_question(method: &str) -> bool {
    matches!(method, "sampling/createMessage" | "elicitation/create" | "roots/list")
}

/// What the client has not declared and this question needs, and how the server is refused for
/// it: MCP 2025-11-25, "Elicitation" and "Sampling".
fn lacking(
    client: &dyn Client,
    method: &str,
    params: &Params<'_>,
) -> Option<(&'static str, RpcFault)> {
    let can = read(client.capabilities());
    let unknown = || RpcFault::new(code::METHOD_NOT_FOUND, "the client does not offer this");
    let wrong = |text: &str| RpcFault::new(code::INVALID_PARAMS, text);
    match (method, can.sampling, can.elicitation) {
        ("sampling/createMessage", None, _) => Some((r#"{"sampling":{}}"#, unknown())),
        ("sampling/createMessage", Some(sampling), _) => {
            let less = params.tools.is_some() && sampling.tools.is_none();
            let refusal = || wrong("the client does not sample with tools");
            less.then(|| (r#"{"sampling":{"tools":{}}}"#, refusal()))
        }
        ("elicitation/create", _, elicitation) => {
            let (needed, takes) = match (params.mode.as_deref(), &elicitation) {
                (Some("url"), has) => {
                    let has = has.as_ref().is_some_and(|has| has.url.is_some());
                    (r#"{"elicitation":{"url":{}}}"#, has)
                }
                // An empty capability means forms, which were all there was once.
                (None | Some("form"), Some(has)) => {
                    (r#"{"elicitation":{"form":{}}}"#, has.form.is_some() || has.url.is_none())
                }
                _ => (r#"{"elicitation":{}}"#, false),
            };
            let refusal = || match elicitation {
                Some(_) => wrong("the client does not take elicitation of this mode"),
                None => unknown(),
            };
            (!takes).then(|| (needed, refusal()))
        }
        _ => can.roots.is_none().then(|| (r#"{"roots":{}}"#, unknown())),
    }
}

/// Asks the client, in the words of its own era.
pub(crate) async fn put(
    client: &Arc<dyn Client>,
    method: &str,
    params: Option<&RawValue>,
) -> Result<Box<RawValue>, RpcFault> {
    let text = params.map_or("{}", RawValue::get);
    let wrong = |_| RpcFault::new(code::INVALID_PARAMS, "the parameters are no object");
    let known: Params<'_> = edit::read(text.as_bytes()).map_err(wrong)?;
    if let Some((needed, refusal)) = lacking(&**client, method, &known) {
        client.lacks(needed);
        return Err(refusal);
    }
    let is_url = method == "elicitation/create" && known.mode.as_deref() == Some("url");
    let told = match client.manner() {
        Manner::Rounds if is_url && known.elicitation_id.is_some() => {
            edit::without(text, &["elicitationId"]).map(Cow::into_owned)
        }
        Manner::Live if is_url && known.elicitation_id.is_none() => edit::with(text, &minted()),
        _ => None,
    };
    let params = match told {
        Some(told) => RawValue::from_string(told).ok(),
        None => params.map(ToOwned::to_owned),
    };
    client.ask(Question { method: method.to_owned(), params }).await
}

/// An id for a URL elicitation of a server that knows none (before 2026-07-28 it is required).
/// It names, it does not vouch: a number will do.
fn minted() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!(r#""elicitationId":"doorward-{}""#, NEXT.fetch_add(1, Ordering::Relaxed))
}
