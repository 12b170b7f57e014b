//! Answers that are kept for a while, so that a client can go on from one by its id
//! (Responses `previous_response_id`), see it again or delete it.
//!
//! They are kept in memory, up to so many bytes, the oldest going first, each for the principal
//! it was made for. A conversation that goes on from a kept answer is put together here, before
//! the guard looks at it: no provider holds history that Doorward did not judge.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use doorward_core::{CallError, Code, Cx, DialectId};
use doorward_wire::responses;
use http::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::ResponseBody;
use super::models::json;
use super::path::KeptPart;
use super::{Edge, failure};

/// Whose answer, and its id.
type Key = (Arc<str>, String);

/// One kept answer.
struct Kept {
    /// The answer as the client saw it.
    body: Bytes,
    /// What was asked: earlier turns first.
    input: Vec<Box<RawValue>>,
    /// The ids of what was answered.
    items: Vec<String>,
    size: usize,
}

/// The answers kept in memory.
pub(super) struct KeptAnswers {
    most: usize,
    shelves: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    of: HashMap<Key, Arc<Kept>>,
    /// Which answer an item is of.
    items: HashMap<Key, Key>,
    /// The oldest first.
    order: VecDeque<Key>,
    size: usize,
}

impl fmt::Debug for KeptAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswers").field("most", &self.most).finish_non_exhaustive()
    }
}

impl KeptAnswers {
    /// Keeps so many bytes at most; 0: none.
    pub(super) fn new(most: usize) -> Self {
        Self { most, shelves: Mutex::default() }
    }

    fn put(&self, principal: &Arc<str>, id: &str, body: Bytes, input: Vec<Box<RawValue>>) {
        let items: usize = input.iter().map(|item| item.get().len()).sum();
        let size = body.len() + items;
        if size > self.most / 4 {
            // One answer must not push out all others.
            return;
        }
        let key = (principal.clone(), id.to_owned());
        let answered = responses::output_items(&body).unwrap_or_default();
        let items: Vec<String> = answered.iter().filter_map(|item| name(item)).collect();
        let mut held = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&key);
        held.size += size;
        held.order.push_back(key.clone());
        for item in &items {
            held.items.insert((principal.clone(), item.clone()), key.clone());
        }
        held.of.insert(key, Arc::new(Kept { body, input, items, size }));
        while held.size > self.most {
            let Some(oldest) = held.order.front().cloned() else { break };
            held.remove(&oldest);
        }
    }

    fn find(&self, principal: &Arc<str>, id: &str) -> Option<Arc<Kept>> {
        let held = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        held.of.get(&(principal.clone(), id.to_owned())).cloned()
    }

    /// An item of one of the principal's kept answers.
    fn item(&self, principal: &Arc<str>, id: &str) -> Option<Box<RawValue>> {
        let held = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let key = held.items.get(&(principal.clone(), id.to_owned()))?;
        let kept = held.of.get(key)?.clone();
        drop(held);
        let items = responses::output_items(&kept.body).ok()?;
        items.into_iter().find(|item| name(item).is_some_and(|named| named == id))
    }

    fn remove(&self, principal: &Arc<str>, id: &str) -> bool {
        let mut held = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&(principal.clone(), id.to_owned()))
    }
}

impl Shelf {
    fn remove(&mut self, key: &Key) -> bool {
        let Some(kept) = self.of.remove(key) else { return false };
        self.size = self.size.saturating_sub(kept.size);
        for item in &kept.items {
            self.items.remove(&(key.0.clone(), item.clone()));
        }
        self.order.retain(|other| other != key);
        true
    }
}

/// Watches an answer on its way to the client, to keep it when it is complete.
pub(super) struct Keeper {
    edge: Arc<Edge>,
    principal: Arc<str>,
    input: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Asked {
    store: Option<bool>,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    response: &'a RawValue,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Keeper {
    /// A keeper for the answer to this request, if it is to be kept: what a client does not
    /// forbid (`"store": false`).
    pub(super) fn of(edge: &Arc<Edge>, cx: &Cx, dialect: DialectId, body: &Bytes) -> Option<Self> {
        if dialect != DialectId::OPENAI_RESPONSES || edge.kept.most == 0 {
            return None;
        }
        let asked: Asked = serde_json::from_slice(body).ok()?;
        let input = responses::items_of(body).ok().filter(|_| asked.store != Some(false))?;
        Some(Self { edge: edge.clone(), principal: cx.principal.id.clone(), input })
    }

    /// Looks at what goes to the client: keeps the answer that ends in it.
    pub(super) fn look(&self, events: &[u8]) {
        const ENDS: [&[u8]; 2] = [b"response.completed", b"response.incomplete"];
        if !ENDS.iter().any(|end| memchr::memmem::find(events, end).is_some()) {
            return;
        }
        let Ok(text) = std::str::from_utf8(events) else { return };
        for line in text.lines().filter_map(|line| line.strip_prefix("data:")) {
            let whole = serde_json::from_str::<Ended<'_>>(line.trim_start());
            if let Ok(Ended { response }) = whole
                && ENDS.iter().any(|end| memchr::memmem::find(line.as_bytes(), end).is_some())
            {
                self.keep(Bytes::copy_from_slice(response.get().as_bytes()));
            }
        }
    }

    /// Keeps a whole answer.
    pub(super) fn keep(&self, body: Bytes) {
        if let Ok(Named { id }) = serde_json::from_slice(&body) {
            self.edge.kept.put(&self.principal, &id, body, self.input.clone());
        }
    }
}

impl Edge {
    /// Puts the conversation that a request goes on from in front of it.
    pub(super) fn continued(
        &self,
        cx: &Cx,
        previous: &str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let kept = self.kept.find(&cx.principal.id, previous).ok_or_else(|| gone(previous))?;
        let mut earlier = kept.input.clone();
        earlier.extend(responses::output_items(&kept.body).map_err(CallError::internal)?);
        responses::continue_from(body, &earlier).map_err(doorward_wire::ReadError::in_request)
    }

    /// A request with the items that it only names (`item_reference`) put in their places, where
    /// they are kept.
    pub(super) fn resolved(&self, cx: &Cx, body: Bytes) -> Result<Bytes, CallError> {
        if memchr::memmem::find(&body, b"item_reference").is_none() {
            return Ok(body);
        }
        let find = |id: &str| self.kept.item(&cx.principal.id, id);
        responses::resolve_references(body, find).map_err(doorward_wire::ReadError::in_request)
    }

    /// A kept answer, what it was an answer to, or its end.
    pub(super) fn kept_answer(&self, cx: &Cx, id: &str, part: KeptPart) -> Response<ResponseBody> {
        let found = self.kept.find(&cx.principal.id, id);
        let Some(kept) = found else {
            let dialect = doorward_wire::dialect(DialectId::OPENAI_RESPONSES);
            return failure(dialect.unwrap_or(&doorward_wire::OpenAiChat), &gone(id), cx.request);
        };
        match part {
            KeptPart::Whole => json(kept.body.clone()),
            KeptPart::Input => json(listed(&kept.input)),
            KeptPart::Delete => {
                self.kept.remove(&cx.principal.id, id);
                let told = serde_json::json!({"id": id, "object": "response", "deleted": true});
                json(Bytes::from(told.to_string()))
            }
        }
    }
}

/// An item's id.
fn name(item: &RawValue) -> Option<String> {
    serde_json::from_str::<Named>(item.get()).ok().map(|named| named.id)
}

fn gone(id: &str) -> CallError {
    CallError::new(Code::NotFound, format!("Previous response with id '{id}' not found."))
        .with_rule("previous_response_not_found")
}

/// Items in the shape of the API's lists.
fn listed(items: &[Box<RawValue>]) -> Bytes {
    let mut out = BytesMut::from(&br#"{"object":"list","data":["#[..]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        out.extend_from_slice(item.get().as_bytes());
    }
    out.extend_from_slice(br#"],"has_more":false}"#);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Box<RawValue> {
        RawValue::from_string(format!("\"{text}\"")).unwrap()
    }

    #[test]
    fn an_answer_is_kept_for_its_own_principal_and_the_oldest_goes_first() {
        let kept = KeptAnswers::new(400);
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        for id in ["a", "b", "c", "d", "e"] {
            kept.put(&alice, id, Bytes::from(vec![b' '; 90]), vec![item("12345678")]);
        }
        assert!(kept.find(&alice, "a").is_none(), "pushed out");
        assert!(kept.find(&alice, "e").is_some());
        assert!(kept.find(&bob, "e").is_none(), "not bob's");
        assert!(kept.remove(&alice, "e") && !kept.remove(&alice, "e"));
        kept.put(&alice, "huge", Bytes::from(vec![b' '; 300]), vec![]);
        assert!(kept.find(&alice, "huge").is_none(), "would push out all others");
    }
}
