//! Values that the user picked by naming their record.
//!
//! "Cancel the dental check-up" names an event, not its id. Where exactly one record that was
//! served goes by a name that stands in the user's words, the values of that record were chosen by
//! the user and by nobody else: another record cannot take its place without the name. Names and
//! values count only where they are trusted themselves, so that nobody plants a namesake.

use doorward_core::Integrity;

use crate::engine::Inner;
use crate::json::Json;
use crate::scope::{Kind, Scope};
use crate::seen;
use crate::turn_store::{FiledLeaf, Mark, StoreError};

/// The most words of a name.
pub(crate) const LONGEST: usize = 8;
/// The most runs of words that are looked up.
pub(crate) const MOST: usize = 4096;
/// The most pairs of a name and a value that are filed of one result.
const MOST_PAIRS: usize = 4096;
/// The most fields of a record that are looked at.
const MOST_FIELDS: usize = 48;

/// A record, by a name of its own that the user's words hold.
#[derive(Debug)]
pub(crate) struct Named {
    name: String,
    record: Mark,
}

/// One trusted field of a record.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a Json<'a>,
    pub(crate) integrity: Integrity,
}

/// A record's names and values, to be filed.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// By the name, the record.
    names: Vec<(String, Vec<u8>, Integrity)>,
    /// By name and value, the record.
    values: Vec<(String, String, Vec<u8>, Integrity)>,
}

impl Records {
    /// Takes in the trusted fields of one object.
    pub(crate) fn add(&mut self, fields: &[Field<'_>]) {
        let fields = &fields[..fields.len().min(MOST_FIELDS)];
        let names: Vec<(String, Integrity)> = fields
            .iter()
            .filter_map(|field| match field.value {
                Json::String(text) => Some((seen::phrase(text)?, field.integrity)),
                _ => None,
            })
            .collect();
        if names.is_empty() || self.values.len() >= MOST_PAIRS {
            return;
        }
        let identity = identity(fields);
        for (name, integrity) in names {
            self.names.push((name.clone(), identity.clone(), integrity));
            for field in fields {
                if self.values.len() >= MOST_PAIRS {
                    return;
                }
                let Some(value) = scalar(field.value) else { continue };
                let integrity = integrity.min(field.integrity);
                self.values.push((name.clone(), value, identity.clone(), integrity));
            }
        }
    }

    /// The marks to file.
    pub(crate) fn leaves(
        &self,
        scope: &Scope,
        ceiling: Integrity,
    ) -> impl Iterator<Item = (Mark, FiledLeaf)> {
        let record = |identity: &[u8]| scope.mark(Kind::Name, &[b"record", identity]);
        let names = self.names.iter().map(move |(name, identity, integrity)| {
            let mark = scope.mark(Kind::Name, &[name.as_bytes()]);
            (mark, FiledLeaf { result: record(identity), integrity: *integrity.min(&ceiling) })
        });
        let values = self.values.iter().map(move |(name, value, identity, integrity)| {
            let mark = value_mark(scope, name, value);
            (mark, FiledLeaf { result: record(identity), integrity: *integrity.min(&ceiling) })
        });
        names.chain(values)
    }
}

/// What tells a record from others: its id where it has one, else all that is trusted of it.
fn identity(fields: &[Field<'_>]) -> Vec<u8> {
    let mut identity = Vec::new();
    let is_id = |key: &str| {
        let key = key.to_ascii_lowercase();
        key == "id" || key == "key" || key == "uid" || key.ends_with("_id")
    };
    let own = fields.iter().find(|field| is_id(field.key) && scalar(field.value).is_some());
    for field in fields {
        if own.is_none_or(|own| std::ptr::eq(own, field)) {
            identity.extend_from_slice(field.key.as_bytes());
            identity.push(0);
            field.value.canonical(&mut identity);
            identity.push(0);
        }
    }
    identity
}

/// A value as it is compared: as written, without the space around it.
fn scalar(json: &Json<'_>) -> Option<String> {
    match json {
        Json::String(text) if !text.trim().is_empty() && text.len() <= 256 => {
            Some(text.trim().to_owned())
        }
        Json::Number(raw) => Some(crate::json::canonical_number(raw).into_owned()),
        _ => None,
    }
}

fn value_mark(scope: &Scope, name: &str, value: &str) -> Mark {
    scope.mark(Kind::Pick, &[name.as_bytes(), value.as_bytes()])
}

/// The records that exactly one of these names leads to.
pub(crate) async fn named(
    inner: &Inner,
    scope: &Scope,
    names: Vec<String>,
) -> Result<Vec<Named>, StoreError> {
    let marks: Vec<Mark> =
        names.iter().map(|name| scope.mark(Kind::Name, &[name.as_bytes()])).collect();
    let filed = inner.store.leaves(&marks, inner.now()).await?;
    let mut found: Vec<Named> = Vec::new();
    for (name, records) in names.into_iter().zip(filed) {
        let Some(first) = records.first() else { continue };
        let alone = records.iter().all(|one| one.result == first.result);
        if alone && !found.iter().any(|known| known.name == name) {
            found.push(Named { name, record: first.result });
        }
    }
    Ok(found)
}

/// How far a value is trusted that is of one of these records; `None` where it is of none.
pub(crate) async fn integrity(
    inner: &Inner,
    scope: &Scope,
    named: &[Named],
    value: &str,
) -> Result<Option<Integrity>, StoreError> {
    let text = value.trim();
    let number = serde_json::from_str::<serde_json::Number>(text).ok();
    let number = number.map(|_| crate::json::canonical_number(text).into_owned());
    let ways: Vec<&str> = number.as_deref().into_iter().chain([text]).collect();
    let mut marks = Vec::with_capacity(named.len() * ways.len());
    for way in &ways {
        marks.extend(named.iter().map(|one| value_mark(scope, &one.name, way)));
    }
    let filed = inner.store.leaves(&marks, inner.now()).await?;
    let of_record = filed.iter().enumerate().flat_map(|(at, leaves)| {
        let record = named.get(at % named.len().max(1)).map(|one| one.record);
        leaves.iter().filter(move |leaf| Some(leaf.result) == record)
    });
    Ok(of_record.map(|leaf| leaf.integrity).min())
}
