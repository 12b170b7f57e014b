//! `doorward keys`: makes, lists and revokes virtual keys.

use std::io::Write;

use doorward_core::{PrincipalKind, Secret};
use doorward_gateway::config::Root;
use doorward_gateway::{Surroundings, open_storage};
use doorward_identity::{KeyRecord, KeyStore, NewKey, Pepper, mint};

use crate::{Failure, time};

/// Makes a key and returns its text, which is shown this once.
///
/// # Errors
///
/// Where storage fails or the request makes no sense.
pub fn create(root: &Root, around: &Surroundings, wanted: NewKey) -> Result<Secret, Failure> {
    let (keep, sqlite, _) = open_storage(root)?;
    let pepper = keep
        .pepper(&*around.entropy)
        .map_err(|error| Failure::of("the data folder is not usable", error))?;
    let pepper = Pepper::from_bytes(pepper);
    let (text, record) = mint(&*around.entropy, &*around.clock, &pepper, wanted)
        .map_err(|error| Failure::new(error.to_string()))?;
    let store = sqlite.keys().map_err(|error| Failure::of("the keys cannot be opened", error))?;
    store.insert(&record).map_err(|error| Failure::of("the key was not stored", error))?;
    Ok(text)
}

/// Lists the keys; never their texts, which are not known.
///
/// # Errors
///
/// Where storage or output fails.
pub fn list(root: &Root, around: &Surroundings, out: &mut dyn Write) -> Result<(), Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    let store = sqlite.keys().map_err(|error| Failure::of("the keys cannot be opened", error))?;
    let keys = store.keys().map_err(|error| Failure::of("the keys cannot be read", error))?;
    if keys.is_empty() {
        writeln!(out, "no keys; `doorward keys create --name NAME` makes one")?;
        return Ok(());
    }
    let now = around.clock.now();
    for key in &keys {
        let state = match (key.revoked, key.expires) {
            (Some(at), _) => format!("revoked {}", time::shown(at)),
            (None, Some(end)) if !key.is_valid(now) => format!("expired {}", time::shown(end)),
            (None, Some(end)) => format!("valid until {}", time::shown(end)),
            (None, None) => "valid".to_owned(),
        };
        writeln!(out, "{}  {}  {}  {state}{}", key.id, key.name, owner(key), scopes(key))?;
    }
    Ok(())
}

fn owner(key: &KeyRecord) -> String {
    let kind = match key.owner_kind {
        PrincipalKind::Person => "person",
        PrincipalKind::Service => "service",
    };
    let team = key.team.as_ref().map(|team| format!(", team {team}")).unwrap_or_default();
    format!("{kind} {}{team}", key.owner)
}

fn scopes(key: &KeyRecord) -> String {
    let mut text = String::new();
    for (what, list) in [("models", &key.scopes.models), ("tools", &key.scopes.tools)] {
        if let Some(list) = list {
            let names: Vec<&str> = list.iter().map(doorward_core::Pattern::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            text = format!("{text}  {what}: {names}");
        }
    }
    for (label, values) in &key.scopes.require {
        text = format!("{text}  requires {label}: {}", values.join(" or "));
    }
    text
}

/// Revokes keys by id or by name.
///
/// # Errors
///
/// Where there is no such key, or storage fails.
pub fn revoke(root: &Root, around: &Surroundings, which: &str) -> Result<usize, Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    let store = sqlite.keys().map_err(|error| Failure::of("the keys cannot be opened", error))?;
    let keys = store.keys().map_err(|error| Failure::of("the keys cannot be read", error))?;
    let named = |key: &&KeyRecord| {
        key.revoked.is_none() && (key.id.to_string() == which || &*key.name == which)
    };
    let found: Vec<&KeyRecord> = keys.iter().filter(named).collect();
    if found.is_empty() {
        return Err(Failure::new(format!("no valid key is called `{which}`")));
    }
    for key in &found {
        store
            .revoke(key.id, around.clock.now())
            .map_err(|error| Failure::of("the key was not revoked", error))?;
    }
    Ok(found.len())
}

/// Whether there is no key at all, valid or not.
///
/// # Errors
///
/// Where storage fails.
pub fn none(root: &Root) -> Result<bool, Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    let store = sqlite.keys().map_err(|error| Failure::of("the keys cannot be opened", error))?;
    let keys = store.keys().map_err(|error| Failure::of("the keys cannot be read", error))?;
    Ok(keys.is_empty())
}
