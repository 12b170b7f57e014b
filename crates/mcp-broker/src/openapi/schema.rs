//! OpenAPI schemas as JSON Schema 2020-12, complete in themselves.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::document::{At, Document, Refused};

/// How many schema members one tool may come to before references are kept instead of inlined.
const INLINED: usize = 1_500;
/// How deep references are inlined.
const INLINED_DEEP: usize = 24;
/// How many it may come to at all.
const MOST: usize = 20_000;
/// How deep schemas may nest, references included.
const DEEPEST: usize = 60;

/// Which way a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the server: what is `readOnly` is left out.
    Up,
    /// From the server: what is `writeOnly` is left out.
    Down,
}

/// Turns the schemas of one tool over. References are put in place; what refers to itself, and
/// what would grow too large, goes to `$defs`.
pub(super) struct Conversion<'d> {
    document: &'d Document,
    way: Way,
    size: usize,
    /// Definitions by the pointer they come from: their name.
    names: HashMap<String, String>,
    waiting: Vec<String>,
}

impl<'d> Conversion<'d> {
    pub(super) fn new(document: &'d Document, way: Way) -> Self {
        Self { document, way, size: 0, names: HashMap::new(), waiting: Vec::new() }
    }

    /// One schema.
    pub(super) fn convert(&mut self, schema: &At<'d>) -> Result<Value, Refused> {
        self.schema(schema, &mut Vec::new(), 0)
    }

    /// The definitions that the schemas converted so far refer to.
    pub(super) fn definitions(mut self) -> Result<Map<String, Value>, Refused> {
        let mut definitions = Map::new();
        while let Some(pointer) = self.waiting.pop() {
            let name = self.names.get(&pointer).cloned().unwrap_or_default();
            let Some(place) = self.document.at(&pointer) else { continue };
            let schema = self.schema(&place, &mut vec![pointer], 0)?;
            definitions.insert(name, schema);
        }
        Ok(definitions)
    }

    fn schema(
        &mut self,
        place: &At<'d>,
        stack: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, Refused> {
        if depth > DEEPEST {
            return Err(place.refuse("schemas nest too deep"));
        }
        let members = match place.value {
            Value::Object(members) => members,
            Value::Bool(all) => return Ok(Value::Bool(*all)),
            _ => return Err(place.refuse("expected a schema")),
        };
        self.size += members.len() + 1;
        if self.size > MOST {
            return Err(place.refuse("the schemas of this operation are too large"));
        }
        match members.get("$ref") {
            Some(Value::String(reference)) => self.reference(place, reference, stack, depth),
            _ => self.members(place, stack, depth),
        }
    }

    fn reference(
        &mut self,
        place: &At<'d>,
        reference: &str,
        stack: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, Refused> {
        let target = self.document.target(reference, &place.pointer)?;
        let is_kept =
            stack.contains(&target.pointer) || self.size > INLINED || depth > INLINED_DEEP;
        let mut schema = if is_kept {
            json!({ "$ref": format!("#/$defs/{}", self.name(&target.pointer)) })
        } else {
            stack.push(target.pointer.clone());
            let schema = self.schema(&target, stack, depth + 1)?;
            stack.pop();
            schema
        };
        // In 3.0 whatever stands beside a reference is ignored; in 3.1 it counts.
        let has_more = !self.document.is_older && place.members().any(|(name, _)| name != "$ref");
        if has_more {
            let beside = self.members(place, stack, depth + 1)?;
            let (Value::Object(beside), true) = (beside, schema.is_object()) else {
                return Ok(schema);
            };
            let is_note = |name: &String| {
                matches!(
                    name.as_str(),
                    "title" | "description" | "default" | "deprecated" | "examples"
                )
            };
            if beside.keys().all(is_note)
                && let Value::Object(members) = &mut schema
            {
                members.extend(beside);
            } else {
                let mut whole = beside;
                let all = whole.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(all) = all {
                    all.push(schema);
                }
                schema = Value::Object(whole);
            }
        }
        Ok(schema)
    }

    /// The name of a definition: the last step of where it stands.
    fn name(&mut self, pointer: &str) -> String {
        if let Some(name) = self.names.get(pointer) {
            return name.clone();
        }
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let plain: String = last
            .chars()
            .map(
                |c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' },
            )
            .collect();
        let mut name = if plain.is_empty() { "schema".to_owned() } else { plain.clone() };
        let mut count = 1;
        while self.names.values().any(|taken| *taken == name) {
            count += 1;
            name = format!("{plain}_{count}");
        }
        self.names.insert(pointer.to_owned(), name.clone());
        self.waiting.push(pointer.to_owned());
        name
    }

    fn members(
        &mut self,
        place: &At<'d>,
        stack: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, Refused> {
        let mut out = Map::new();
        for (name, member) in place.members() {
            match name {
                "$ref" | "$schema" | "$id" | "$anchor" | "$dynamicAnchor" | "$comment"
                | "$defs" | "definitions" | "discriminator" | "xml" | "externalDocs"
                | "nullable" | "readOnly" | "writeOnly" | "$vocabulary" => {}
                "$dynamicRef" | "$recursiveRef" => {
                    return Err(member.refuse("dynamic references are not followed"));
                }
                _ if name.starts_with("x-") => {}
                "properties" => {
                    let properties = self.properties(&member, stack, depth)?;
                    out.insert(name.to_owned(), properties);
                }
                "patternProperties" | "dependentSchemas" => {
                    let mut inner = Map::new();
                    for (name, member) in member.members() {
                        inner.insert(name.to_owned(), self.schema(&member, stack, depth + 1)?);
                    }
                    out.insert(name.to_owned(), Value::Object(inner));
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    let items: Vec<_> = member.items().collect();
                    let items = items.iter().map(|item| self.schema(item, stack, depth + 1));
                    out.insert(name.to_owned(), Value::Array(items.collect::<Result<_, _>>()?));
                }
                "items"
                | "additionalProperties"
                | "not"
                | "contains"
                | "propertyNames"
                | "if"
                | "then"
                | "else"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "contentSchema" => {
                    out.insert(name.to_owned(), self.schema(&member, stack, depth + 1)?);
                }
                "example" => {
                    out.entry("examples")
                        .or_insert_with(|| Value::Array(vec![member.value.clone()]));
                }
                _ => {
                    out.insert(name.to_owned(), member.value.clone());
                }
            }
        }
        self.require(place, &mut out);
        if self.document.is_older {
            modernise(place, &mut out);
        }
        encode(&mut out);
        Ok(Value::Object(out))
    }

    fn properties(
        &mut self,
        place: &At<'d>,
        stack: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, Refused> {
        let mut properties = Map::new();
        for (name, member) in place.members() {
            if !self.is_other_way(&member) {
                properties.insert(name.to_owned(), self.schema(&member, stack, depth + 1)?);
            }
        }
        Ok(Value::Object(properties))
    }

    /// Whether a property only goes the other way.
    fn is_other_way(&self, property: &At<'d>) -> bool {
        let word = match self.way {
            Way::Up => "readOnly",
            Way::Down => "writeOnly",
        };
        property.is(word)
            || self.document.resolve(property.clone()).is_ok_and(|property| property.is(word))
    }

    /// What goes the other way cannot be required.
    fn require(&self, place: &At<'d>, out: &mut Map<String, Value>) {
        let Some(properties) = place.member("properties") else { return };
        if let Some(Value::Array(required)) = out.get_mut("required") {
            required.retain(|name| {
                let property = name.as_str().and_then(|name| properties.member(name));
                !property.is_some_and(|property| self.is_other_way(&property))
            });
        }
    }
}

/// What 3.0 writes in its own way (OpenAPI 3.0.4 "Schema Object", JSON Schema draft 5).
fn modernise(place: &At<'_>, out: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match out.remove(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(limit) = out.remove(bound) {
                    out.insert(exclusive.to_owned(), limit);
                }
            }
            Some(Value::Bool(false)) | None => {}
            Some(other) => {
                out.insert(exclusive.to_owned(), other);
            }
        }
    }
    if !place.is("nullable") {
        return;
    }
    if let Some(Value::Array(options)) = out.get_mut("enum")
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
    let is_choice = ["allOf", "oneOf", "anyOf"].iter().any(|word| out.contains_key(*word));
    match out.get_mut("type") {
        Some(kind @ Value::String(_)) => *kind = json!([kind.take(), "null"]),
        // Without a type it has no effect there, yet writers mean it.
        None if is_choice => {
            let inner = std::mem::take(out);
            out.insert("anyOf".into(), json!([inner, { "type": "null" }]));
        }
        _ => {}
    }
}

/// Bytes travel as Base64 in JSON.
fn encode(out: &mut Map<String, Value>) {
    let format = out.get("format").and_then(Value::as_str);
    if matches!(format, Some("binary" | "byte")) && out.get("type").is_some_and(is_text) {
        out.remove("format");
        out.entry("contentEncoding").or_insert_with(|| "base64".into());
    }
}

fn is_text(kind: &Value) -> bool {
    *kind == "string"
        || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"))
}

/// The kind of a schema as it says itself, references followed.
pub(super) fn kind<'d>(document: &'d Document, schema: &At<'d>) -> Option<&'d str> {
    let schema = document.resolve(schema.clone()).ok()?;
    match schema.value.get("type") {
        Some(Value::String(kind)) => Some(kind),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
        }
        _ if schema.value.get("properties").is_some() => Some("object"),
        _ if schema.value.get("items").is_some() => Some("array"),
        _ => {
            let all = schema.member("allOf")?;
            all.items().find_map(|schema| kind_shallow(document, &schema))
        }
    }
}

/// The kind of a part of `allOf`, without looking into another `allOf`.
fn kind_shallow<'d>(document: &'d Document, schema: &At<'d>) -> Option<&'d str> {
    let schema = document.resolve(schema.clone()).ok()?;
    match schema.text("type") {
        Some(kind) => Some(kind),
        None => schema.value.get("properties").map(|_| "object"),
    }
}

/// Whether a property of a form holds bytes.
pub(super) fn is_binary(document: &Document, schema: &At<'_>) -> bool {
    let Ok(schema) = document.resolve(At { value: schema.value, pointer: schema.pointer.clone() })
    else {
        return false;
    };
    match kind(document, &schema) {
        Some("array") => schema
            .member("items")
            .and_then(|items| document.resolve(items).ok())
            .is_some_and(|items| has_bytes(&items)),
        _ => has_bytes(&schema),
    }
}

fn has_bytes(schema: &At<'_>) -> bool {
    let has_type = schema.value.get("type").is_some_and(is_text);
    matches!(schema.text("format"), Some("binary" | "byte"))
        || schema
            .text("contentEncoding")
            .is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64"))
        || (!has_type && schema.text("contentMediaType") == Some("application/octet-stream"))
}
