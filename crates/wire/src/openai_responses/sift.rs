//! Taking thoughts out of a request that the upstream could not read, and nothing else.

use bytes::Bytes;
use doorward_core::{Body, IssuerState, ModelCall, Part, Reasoning};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ID;
use crate::json::{Source, Text};
use crate::splice::Edits;
use crate::{Dropped, ReadError, WriteError, Written};

/// Why a thought does not go on.
pub(super) const FOREIGN: &str = "reasoning of another issuer";
/// Why a thought does not go on where nothing is kept.
pub(super) const UNSEALED: &str = "reasoning without its state, where nothing is stored";

#[derive(Deserialize)]
struct ItemIn<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    encrypted_content: Option<Text<'a>>,
}

/// Takes out of `body`, the client's own, the thoughts of other issuers and, where the client asks
/// that nothing be stored, those without their state (trap 35): the upstream refuses both.
pub(super) fn sift(call: &ModelCall, body: Bytes) -> Result<Written, WriteError> {
    let stored = is_stored(call);
    let mut dropped = Vec::new();
    for (at, message) in call.messages.iter().enumerate() {
        for (nth, part) in message.parts.iter().enumerate() {
            if let Some((field, reason)) = obstacle(part, stored) {
                let path = format!("messages[{at}].parts[{nth}]{field}");
                dropped.push(Dropped { path, reason });
            }
        }
    }
    if dropped.is_empty() {
        return Ok(Written { body, dropped });
    }
    match without(&body, stored) {
        Ok(body) => Ok(Written { body, dropped }),
        Err(_) => Err(WriteError { path: "input".into(), reason: "the kept body is not its own" }),
    }
}

/// Whether the client lets the provider keep the answer.
pub(super) fn is_stored(call: &ModelCall) -> bool {
    !call.extra.iter().any(|(name, value)| name == "store" && value.get() == "false")
}

/// The field of a part that does not go on, and why.
fn obstacle(part: &Part, stored: bool) -> Option<(&'static str, &'static str)> {
    match &part.body {
        Body::Reasoning(Reasoning { issuer: Some(issuer), .. }) => {
            (*issuer != ID).then_some(("", FOREIGN))
        }
        Body::Reasoning(_) => (!stored).then_some(("", UNSEALED)),
        Body::ToolUse(call) => call.state.as_ref().map(|_| (".state", FOREIGN)),
        _ => None,
    }
}

fn without(body: &Bytes, stored: bool) -> Result<Bytes, ReadError> {
    let source = Source::new(body)?;
    let members = source.members()?;
    let Some(input) = members.find("input") else { return Ok(body.clone()) };
    let items = source.read::<Vec<&RawValue>>(input.value)?;
    let mut gone = Vec::with_capacity(items.len());
    for &item in &items {
        gone.push(match serde_json::from_str::<ItemIn<'_>>(item.get()) {
            Ok(item) if item.kind.as_ref().is_some_and(|kind| kind.as_str() == "reasoning") => {
                match item.encrypted_content.filter(|text| !text.as_str().is_empty()) {
                    Some(carried) => IssuerState::read(carried.as_str(), ID).issuer != ID,
                    None => !stored,
                }
            }
            _ => false,
        });
    }
    let mut edits = Edits::default();
    edits.remove_items(source, &items, &gone);
    Ok(edits.apply(body))
}
