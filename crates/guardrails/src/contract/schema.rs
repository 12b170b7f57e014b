//! Contracts held against the JSON Schema of a tool's arguments.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Contract, EffectKind};
use crate::pointer::{Pointer, Step};

/// How deep references and combinations are followed.
const DEEPEST: usize = 16;

/// Something that does not fit between a contract and a tool's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The tool.
    pub tool: String,
    /// The pointer in question.
    pub pointer: String,
    /// What about it.
    pub kind: FindingKind,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// A `control` pointer names no argument: the rule never fires.
    UnknownControl,
    /// A `content` pointer names no argument: the rule never fires.
    UnknownContent,
    /// No pointer names the argument, so it counts as controlling.
    Unlisted,
    /// The schema cannot be read.
    Unreadable,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, pointer, kind } = self;
        match kind {
            FindingKind::UnknownControl => {
                write!(f, "`{tool}`: `control` names `{pointer}`, which the tool does not take")
            }
            FindingKind::UnknownContent => {
                write!(f, "`{tool}`: `content` names `{pointer}`, which the tool does not take")
            }
            FindingKind::Unlisted => {
                write!(f, "`{tool}`: no list names `{pointer}`, so it counts as controlling")
            }
            FindingKind::Unreadable => write!(f, "`{tool}`: its input schema is no JSON object"),
        }
    }
}

pub(super) fn check(tool: &str, contract: &Contract, schema: &RawValue) -> Vec<Finding> {
    let finding =
        |pointer: &str, kind| Finding { tool: tool.into(), pointer: pointer.into(), kind };
    let Ok(schema @ Value::Object(_)) = serde_json::from_str::<Value>(schema.get()) else {
        return vec![finding("", FindingKind::Unreadable)];
    };
    if contract.effect() == EffectKind::Read {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lists = [
        (contract.control(), FindingKind::UnknownControl),
        (contract.content(), FindingKind::UnknownContent),
    ];
    for (pointers, kind) in lists {
        for pointer in pointers.iter().filter(|pointer| !names_something(&schema, pointer)) {
            findings.push(finding(pointer.as_str(), kind));
        }
    }
    for name in argument_names(&schema) {
        let path = [Step::Key(name)];
        let listed = contract
            .control()
            .iter()
            .chain(contract.content())
            .any(|pointer| pointer.covers(&path) || pointer.passes(&path));
        if !listed {
            findings.push(finding(&format!("/{name}"), FindingKind::Unlisted));
        }
    }
    findings
}

fn argument_names(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect()
}

fn names_something(schema: &Value, pointer: &Pointer) -> bool {
    let segments: Vec<Option<&str>> = pointer.names().collect();
    reaches(schema, schema, &segments, 0)
}

/// Whether a value that fits `schema` may have the place; a schema that says nothing may.
fn reaches(root: &Value, schema: &Value, segments: &[Option<&str>], depth: usize) -> bool {
    let Some((segment, rest)) = segments.split_first() else { return true };
    let Some(map) = schema.as_object() else { return schema.as_bool() != Some(false) };
    if depth > DEEPEST {
        return true;
    }
    let go = |child: &Value, segments| reaches(root, child, segments, depth + 1);
    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.is_none_or(|target| go(target, segments));
    }
    let branches = ["anyOf", "oneOf", "allOf"]
        .iter()
        .filter_map(|word| map.get(*word).and_then(Value::as_array))
        .flatten();
    let mut told = false;
    for branch in branches {
        told = true;
        if go(branch, segments) {
            return true;
        }
    }
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        told = true;
        let hit = match segment {
            Some(name) => properties.get(*name).is_some_and(|child| go(child, rest)),
            None => properties.values().any(|child| go(child, rest)),
        };
        if hit {
            return true;
        }
    }
    for word in ["items", "additionalProperties"] {
        let child = map.get(word).filter(|child| child.is_object());
        if let Some(child) = child {
            told = true;
            let index = word == "items";
            let fits = segment.is_none_or(|name| !index || name.parse::<usize>().is_ok());
            if fits && go(child, rest) {
                return true;
            }
        }
    }
    let scalar = map
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| matches!(kind, "string" | "number" | "integer" | "boolean" | "null"));
    !told && !scalar
}
