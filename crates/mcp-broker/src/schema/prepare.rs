//! A schema made safe to run: bounded, closed in itself, its references counted.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::{DEEPEST, SchemaError, options};

/// The keyword that counts steps.
pub(super) const STEP: &str = "x-doorward-step";
/// The longest chain of references and alternatives over one and the same value.
const LONGEST_CHAIN: usize = 32;

/// Keywords that apply schemas to the same value: one schema, a list of them, or one a name.
const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];
/// Keywords whose members are names, each with a schema.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// Keywords whose values are data.
const DATA: [&str; 5] = ["const", "enum", "default", "example", "examples"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A schema, ready to be compiled.
pub(super) struct Prepared {
    pub(super) schema: Value,
    pub(super) draft: Draft,
    /// How many JSON values it is made of.
    pub(super) parts: usize,
    /// How many schemas may apply to one value, one within the other.
    pub(super) chain: usize,
    /// Patterns that were left out.
    pub(super) unchecked: Vec<String>,
}

pub(super) fn prepare(mut schema: Value) -> Result<Prepared, SchemaError> {
    let (draft, is_oldest) = match &mut schema {
        Value::Bool(_) => (Draft::Draft202012, false),
        Value::Object(members) => draft(members),
        _ => return Err(SchemaError::NoSchema),
    };
    let mut walk = Walk {
        draft,
        is_oldest,
        root_id: schema
            .get("$id")
            .and_then(Value::as_str)
            .map(|id| id.trim_end_matches('#').to_owned()),
        parts: 0,
        edges: HashMap::new(),
        anchors: HashMap::new(),
        unchecked: Vec::new(),
    };
    if let Value::Object(members) = &mut schema {
        // Its own name is of no use inside, and may be one that no URI can be.
        members.remove("$id");
    }
    walk.schema(&mut schema, "", 1)?;
    let chain = walk.chain()?;
    Ok(Prepared { schema, draft, parts: walk.parts, chain, unchecked: walk.unchecked })
}

/// The draft that a schema names, and whether it is draft 4; the newest where it names none, or
/// one of its own. Drafts 4 and 6 are read as draft 7, which has the `if` that counts steps: 7
/// only adds to 6, and what is written otherwise in 4 is rewritten.
fn draft(members: &mut Map<String, Value>) -> (Draft, bool) {
    let named = members.remove("$schema");
    let named = named.as_ref().and_then(Value::as_str).unwrap_or_default();
    let is_oldest = named.contains("/draft-04/");
    if is_oldest && let Some(id) = members.remove("id") {
        members.entry("$id").or_insert(id);
    }
    let draft = if is_oldest || named.contains("/draft-06/") || named.contains("/draft-07/") {
        Draft::Draft7
    } else if named.contains("/2019-09/") {
        Draft::Draft201909
    } else {
        Draft::Draft202012
    };
    (draft, is_oldest)
}

struct Walk {
    draft: Draft,
    is_oldest: bool,
    root_id: Option<String>,
    parts: usize,
    /// Every schema by its pointer, with what applies to the same value.
    edges: HashMap<String, Vec<Edge>>,
    anchors: HashMap<String, String>,
    unchecked: Vec<String>,
}

enum Edge {
    Inside(String),
    Reference(String),
}

fn step_to(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Walk {
    /// One schema: its parts are counted, its references noted and guarded.
    fn schema(
        &mut self,
        schema: &mut Value,
        pointer: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        self.parts += 1;
        if depth > DEEPEST {
            return Err(SchemaError::TooLarge);
        }
        let mut edges = Vec::new();
        if let Value::Object(members) = schema {
            if self.is_oldest {
                modernise(members);
            }
            self.name(members, pointer)?;
            self.pattern(members, pointer)?;
            for (keyword, value) in members.iter_mut() {
                let place = step_to(pointer, keyword);
                if DATA.contains(&keyword.as_str()) {
                    self.parts += count(value);
                } else {
                    let in_place = IN_PLACE.contains(&keyword.as_str());
                    let named = NAMED.contains(&keyword.as_str());
                    let found = self.below(value, &place, named, depth)?;
                    if in_place {
                        edges.extend(found.into_iter().map(Edge::Inside));
                    }
                }
            }
            for keyword in REFERENCES {
                edges.extend(self.guard(members, keyword, pointer)?.map(Edge::Reference));
            }
        }
        self.edges.insert(pointer.to_owned(), edges);
        Ok(())
    }

    /// The schemas under a keyword, by their pointers. What keyword it is hardly matters: a
    /// reference may point into one that nobody knows.
    fn below(
        &mut self,
        value: &mut Value,
        place: &str,
        named: bool,
        depth: usize,
    ) -> Result<Vec<String>, SchemaError> {
        let mut found = Vec::new();
        match value {
            Value::Object(members) if named => {
                for (name, member) in members {
                    let place = step_to(place, name);
                    self.schema(member, &place, depth + 2)?;
                    found.push(place);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    let place = format!("{place}/{at}");
                    self.schema(item, &place, depth + 2)?;
                    found.push(place);
                }
            }
            Value::Object(_) | Value::Bool(_) => {
                self.schema(value, place, depth + 1)?;
                found.push(place.to_owned());
            }
            _ => self.parts += 1,
        }
        Ok(found)
    }

    /// The names it can be referred to by.
    fn name(&mut self, members: &Map<String, Value>, pointer: &str) -> Result<(), SchemaError> {
        for keyword in ["$anchor", "$dynamicAnchor", "$id"] {
            let Some(Value::String(name)) = members.get(keyword) else { continue };
            match (keyword, name.strip_prefix('#')) {
                ("$id", Some(anchor)) => self.anchors.insert(anchor.to_owned(), pointer.to_owned()),
                // From here on `#` would mean another document.
                ("$id", None) => return Err(SchemaError::Outside(step_to(pointer, keyword))),
                _ => self.anchors.insert(name.clone(), pointer.to_owned()),
            };
        }
        Ok(())
    }

    /// Leaves out a pattern that the linear-time engine does not have.
    fn pattern(
        &mut self,
        members: &mut Map<String, Value>,
        pointer: &str,
    ) -> Result<(), SchemaError> {
        if let Some(pattern @ Value::String(_)) = members.get("pattern")
            && !is_linear(pattern)
        {
            members.remove("pattern");
            self.unchecked.push(step_to(pointer, "pattern"));
        }
        if let Some(Value::Object(patterns)) = members.get("patternProperties") {
            // Left out, its names would fall to `additionalProperties`: another meaning.
            for pattern in patterns.keys() {
                if !is_linear(&Value::String(pattern.clone())) {
                    let place = step_to(&step_to(pointer, "patternProperties"), pattern);
                    return Err(SchemaError::Pattern(place));
                }
            }
        }
        Ok(())
    }

    /// Puts a step before a reference, at the end of `allOf` so that no pointer changes. Returns
    /// what it refers to.
    fn guard(
        &self,
        members: &mut Map<String, Value>,
        keyword: &str,
        pointer: &str,
    ) -> Result<Option<String>, SchemaError> {
        let Some(Value::String(target)) = members.get(keyword) else { return Ok(None) };
        let own = self.root_id.as_deref().filter(|id| !id.is_empty());
        let local = own.and_then(|id| target.strip_prefix(id)).unwrap_or(target);
        if !local.starts_with('#') {
            return Err(SchemaError::Outside(step_to(pointer, keyword)));
        }
        let local = local.to_owned();
        members.remove(keyword);
        if self.draft == Draft::Draft7 {
            // There, whatever stands beside a reference is ignored.
            members.retain(|name, _| matches!(name.as_str(), "definitions" | "$defs"));
        }
        let guarded = json!({ "if": { STEP: true }, "then": { keyword: local }, "else": false });
        match members.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(all) => all.push(guarded),
            _ => {
                return Err(SchemaError::Invalid {
                    pointer: step_to(pointer, "allOf"),
                    reason: "must be an array".into(),
                });
            }
        }
        Ok(Some(local))
    }

    /// The longest chain of schemas over one value, itself included.
    fn chain(&self) -> Result<usize, SchemaError> {
        let mut known = HashMap::new();
        let mut longest = 1;
        for pointer in self.edges.keys() {
            longest = longest.max(self.chain_from(pointer, &mut Vec::new(), &mut known)?);
        }
        Ok(longest)
    }

    fn chain_from<'a>(
        &'a self,
        pointer: &'a str,
        path: &mut Vec<&'a str>,
        known: &mut HashMap<&'a str, usize>,
    ) -> Result<usize, SchemaError> {
        if let Some(length) = known.get(pointer) {
            return Ok(*length);
        }
        if path.contains(&pointer) {
            return Err(SchemaError::Endless(pointer.to_owned()));
        }
        if path.len() >= LONGEST_CHAIN {
            return Err(SchemaError::TooLarge);
        }
        path.push(pointer);
        let mut longest = 0;
        for edge in self.edges.get(pointer).into_iter().flatten() {
            let next = match edge {
                Edge::Inside(next) => next.as_str(),
                Edge::Reference(target) => {
                    self.target(target).ok_or_else(|| SchemaError::Nowhere(pointer.to_owned()))?
                }
            };
            longest = longest.max(self.chain_from(next, path, known)?);
        }
        path.pop();
        known.insert(pointer, longest + 1);
        Ok(longest + 1)
    }

    /// The schema behind a fragment.
    fn target(&self, reference: &str) -> Option<&str> {
        let fragment = decoded(reference.strip_prefix('#')?)?;
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            &fragment
        } else {
            self.anchors.get(&fragment)?
        };
        self.edges.get_key_value(pointer).map(|(pointer, _)| pointer.as_str())
    }
}

/// Draft 4: bounds that say in another member whether they count themselves.
fn modernise(members: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match members.get(exclusive) {
            Some(Value::Bool(true)) => {
                match members.remove(bound) {
                    Some(limit) => members.insert(exclusive.to_owned(), limit),
                    None => members.remove(exclusive),
                };
            }
            Some(Value::Bool(false)) => {
                members.remove(exclusive);
            }
            _ => {}
        }
    }
}

/// Whether the linear-time engine has all that the pattern needs.
fn is_linear(pattern: &Value) -> bool {
    options(Draft::Draft202012).build(&json!({ "pattern": pattern })).is_ok()
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>() + 1,
        Value::Object(members) => members.values().map(count).sum::<usize>() + 1,
        _ => 1,
    }
}

/// Undoes percent-encoding; `None` where it is broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}
