//! What makes two calls equal.

use std::collections::BTreeMap;

use blake3::Hasher;
use doorward_core::{DialectId, ModelCall};
use doorward_wire::Destination;
use serde_json::value::RawValue;

/// Members of a body that only say in which form the answer is to come, and the model, which
/// counts as the call has it.
const FORM: &[&str] = &["stream", "stream_options", "model"];

/// The call's key: its scope, its model, its wishes, and everything that would be asked, byte for
/// byte, but for the form of the answer. `None`: the call is not to be cached.
pub(super) fn of(call: &ModelCall) -> Option<[u8; 32]> {
    let scope = call.cache.as_deref()?;
    let mut hasher = Hasher::new_derive_key("doorward response cache 1");
    put(&mut hasher, scope.as_bytes());
    put(&mut hasher, call.model.as_bytes());
    // `Debug` shows every field, so a new one is never forgotten here.
    put(&mut hasher, format!("{:?}", call.preferences).as_bytes());
    put(&mut hasher, call.previous.as_deref().unwrap_or_default().as_bytes());
    for tool in call.tools.iter().filter(|tool| tool.hidden) {
        put(&mut hasher, tool.name.as_bytes());
    }
    put(&mut hasher, b"asked");
    if let Some(raw) = &call.raw {
        put(&mut hasher, raw.dialect.as_str().as_bytes());
        for (name, value) in &raw.headers {
            put(&mut hasher, name.as_bytes());
            put(&mut hasher, value.as_bytes());
        }
    }
    put(&mut hasher, b"body");
    match call.raw.as_ref().filter(|raw| !raw.body.is_empty()) {
        Some(raw) => body(&mut hasher, &raw.body)?,
        None => put(&mut hasher, &written(call)?),
    }
    Some(*hasher.finalize().as_bytes())
}

/// The length first, so that no two lists of texts look alike.
fn put(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// A client's own body, member by member. Their order does not matter, their bytes do.
fn body(hasher: &mut Hasher, body: &[u8]) -> Option<()> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(body).ok()?;
    for (name, value) in members.iter().filter(|(name, _)| !FORM.contains(name)) {
        put(hasher, name.as_bytes());
        put(hasher, value.get().as_bytes());
    }
    Some(())
}

/// A call that is written anew: as its own dialect says it, whole. What that dialect cannot say
/// could tell two calls apart, so such a call is not cached.
fn written(call: &ModelCall) -> Option<Vec<u8>> {
    let id = call.raw.as_ref().map_or(DialectId::OPENAI_CHAT, |raw| raw.dialect);
    let whole = ModelCall { stream: false, ask_usage: false, ..call.clone() };
    let written = doorward_wire::dialect(id)?.write_call(&whole, &Destination::new("")).ok()?;
    written.dropped.is_empty().then(|| written.body.to_vec())
}
