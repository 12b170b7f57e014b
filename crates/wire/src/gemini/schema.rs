//! JSON Schemas: Google's subset of `OpenAPI` into JSON Schema, and JSON Schema for Google.
//!
//! Requests go out with `parametersJsonSchema` and `responseJsonSchema`, which take JSON Schema
//! with `$ref`, `$defs`, `additionalProperties` and unions of types; the older `parameters` and
//! `responseSchema` refuse these (trap 43), and stripping them would loosen what the client
//! asked for. Only `const`, which Google does not read, is written as an `enum` of one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::section::camel;
use crate::emit::escape;
use crate::json::{Source, raw};

/// A schema in Google's subset of `OpenAPI` as JSON Schema: types in lower case, `nullable` as a
/// type. One that is JSON Schema already stays as it is written.
pub(super) fn from_openapi(schema: Box<RawValue>) -> Box<RawValue> {
    let mut walk = Walk { rules: Rules::FromOpenApi, changed: false, gone: BTreeSet::new() };
    let text = walk.schema(schema.get());
    if walk.changed { raw(text) } else { schema }
}

/// A schema for Google, without the keywords in `omit`; those found are put into `gone`.
pub(super) fn for_google<'s>(
    schema: &'s str,
    omit: &[String],
    gone: &mut BTreeSet<String>,
) -> Cow<'s, str> {
    let mut walk = Walk { rules: Rules::ForGoogle { omit }, changed: false, gone: BTreeSet::new() };
    let text = walk.schema(schema);
    gone.append(&mut walk.gone);
    if walk.changed { Cow::Owned(text) } else { Cow::Borrowed(schema) }
}

#[derive(Debug, Clone, Copy)]
enum Rules<'r> {
    FromOpenApi,
    ForGoogle { omit: &'r [String] },
}

/// A way through a schema. Where nothing changes its text is thrown away, so that the original
/// stays byte for byte.
struct Walk<'r> {
    rules: Rules<'r>,
    changed: bool,
    gone: BTreeSet<String>,
}

/// A member of a schema being written: name and JSON text.
type Member = (String, String);

impl Walk<'_> {
    fn schema(&mut self, text: &str) -> String {
        let members = Source::new(text.as_bytes()).and_then(|source| source.members());
        // `true`, `false`, and what is too large or no schema at all.
        let Ok(members) = members else { return text.to_owned() };
        let mut out: Vec<Member> = Vec::with_capacity(members.iter().len());
        let mut nullable = false;
        for member in members.iter() {
            let value = member.value.get();
            match self.rules {
                Rules::FromOpenApi => {
                    self.inbound(&member.name, value, &mut nullable, &mut out);
                }
                Rules::ForGoogle { omit } => self.outbound(&member.name, value, omit, &mut out),
            }
        }
        if nullable {
            allow_null(&mut out);
        }
        object(&out)
    }

    fn inbound(&mut self, name: &str, value: &str, nullable: &mut bool, out: &mut Vec<Member>) {
        let name = keyword(name);
        self.changed |= matches!(name, Cow::Owned(_));
        let number = matches!(
            &*name,
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties"
        );
        let value = match &*name {
            "nullable" => {
                self.changed = true;
                *nullable |= value == "true";
                return;
            }
            "type" if value == "\"TYPE_UNSPECIFIED\"" => {
                self.changed = true;
                return;
            }
            "type" if value.starts_with('"') => {
                let lower = value.to_ascii_lowercase();
                self.changed |= lower != value;
                lower
            }
            // Whole numbers of 64 bits are strings in protobuf's JSON.
            _ if number && value.trim_matches('"').parse::<u64>().is_ok() => {
                self.changed |= value.starts_with('"');
                value.trim_matches('"').to_owned()
            }
            _ => self.inner(&name, value),
        };
        out.push((name.into_owned(), value));
    }

    fn outbound(&mut self, name: &str, value: &str, omit: &[String], out: &mut Vec<Member>) {
        if omit.iter().any(|gone| gone == name) {
            self.changed = true;
            self.gone.insert(name.to_owned());
            return;
        }
        if name == "const" {
            self.changed = true;
            return out.push(("enum".to_owned(), format!("[{value}]")));
        }
        let value = self.inner(name, value);
        out.push((name.to_owned(), value));
    }

    /// A keyword's value, walked where it holds schemas.
    fn inner(&mut self, name: &str, value: &str) -> String {
        match name {
            "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                self.named(value)
            }
            "items"
            | "prefixItems"
            | "anyOf"
            | "oneOf"
            | "allOf"
            | "additionalProperties"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties"
                if value.starts_with('[') =>
            {
                self.listed(value)
            }
            "items"
            | "additionalProperties"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties" => self.schema(value),
            _ => value.to_owned(),
        }
    }

    fn named(&mut self, text: &str) -> String {
        let members = Source::new(text.as_bytes()).and_then(|source| source.members());
        let Ok(members) = members else { return text.to_owned() };
        let mut out = Vec::with_capacity(members.iter().len());
        for member in members.iter() {
            out.push((member.name.clone().into_owned(), self.schema(member.value.get())));
        }
        object(&out)
    }

    fn listed(&mut self, text: &str) -> String {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return text.to_owned();
        };
        let items: Vec<String> = items.into_iter().map(|item| self.schema(item.get())).collect();
        format!("[{}]", items.join(","))
    }
}

/// A keyword of the subset in camel case; anything else as it is.
fn keyword(name: &str) -> Cow<'_, str> {
    let known = [
        "anyOf",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "propertyOrdering",
        "additionalProperties",
        "prefixItems",
    ];
    match camel(name) {
        Cow::Owned(name) if known.contains(&name.as_str()) => Cow::Owned(name),
        _ => Cow::Borrowed(name),
    }
}

/// Lets a schema take `null` too.
fn allow_null(members: &mut [Member]) {
    for (name, value) in members.iter_mut() {
        match name.as_str() {
            "type" if value.starts_with('"') => {
                *value = format!("[{value},\"null\"]");
                break;
            }
            "anyOf" if value.ends_with(']') => {
                value.truncate(value.len() - 1);
                let comma = if value.trim_end().ends_with('[') { "" } else { "," };
                value.push_str(comma);
                value.push_str(r#"{"type":"null"}]"#);
                return;
            }
            _ => {}
        }
    }
    // An enumeration tells its values, and `null` must be one of them.
    let values = members.iter_mut().find(|(name, _)| name == "enum").map(|(_, value)| value);
    if let Some(values) = values.filter(|values| values.ends_with(']') && !values.contains("null"))
    {
        values.truncate(values.len() - 1);
        values.push_str(",null]");
    }
}

fn object(members: &[Member]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("\"{}\":{value}", escape(name))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(text: &str) -> String {
        from_openapi(raw(text.to_owned())).get().to_owned()
    }

    #[test]
    fn googles_subset_becomes_json_schema() {
        for (openapi, schema) in [
            (
                r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true},"n":{"type":"INTEGER"}},"required":["type"]}"#,
                r#"{"type":"object","properties":{"type":{"type":["string","null"]},"n":{"type":"integer"}},"required":["type"]}"#,
            ),
            (
                r#"{"type":"ARRAY","min_items":"2","items":{"any_of":[{"type":"NUMBER"},{"type":"BOOLEAN"}],"nullable":true}}"#,
                r#"{"type":"array","minItems":2,"items":{"anyOf":[{"type":"number"},{"type":"boolean"},{"type":"null"}]}}"#,
            ),
            (
                r#"{"type":"STRING","enum":["A","B"],"nullable":true}"#,
                r#"{"type":["string","null"],"enum":["A","B",null]}"#,
            ),
            // Words that are data stay as they are.
            (
                r#"{"type":"OBJECT","description":"STRING","properties":{"nullable":{"type":"BOOLEAN","example":"TRUE"}}}"#,
                r#"{"type":"object","description":"STRING","properties":{"nullable":{"type":"boolean","example":"TRUE"}}}"#,
            ),
        ] {
            assert_eq!(inbound(openapi), schema);
        }
    }

    #[test]
    fn what_is_no_number_stays_as_it_is_written() {
        let odd = r#"{"type":"array","maxItems":"3-","minItems":"2"}"#;
        assert_eq!(inbound(odd), r#"{"type":"array","maxItems":"3-","minItems":2}"#);
    }

    #[test]
    fn json_schema_keeps_its_bytes() {
        let text = r##"{ "type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {}} }"##;
        assert_eq!(inbound(text), text);
        let mut gone = BTreeSet::new();
        assert_eq!(for_google(text, &[], &mut gone), text);
        assert!(gone.is_empty());
    }

    #[test]
    fn trap_43_what_google_does_not_read_is_said_otherwise_or_reported() {
        let text = r#"{"type":"object","properties":{"const":{"const":"x"},"b":{"type":"string","format":"uri","pattern":"^h"}},"additionalProperties":false}"#;
        let mut gone = BTreeSet::new();
        let omit = ["pattern".to_owned(), "format".to_owned(), "b".to_owned()];
        let expected = r#"{"type":"object","properties":{"const":{"enum":["x"]},"b":{"type":"string"}},"additionalProperties":false}"#;
        assert_eq!(for_google(text, &omit, &mut gone), expected);
        assert_eq!(gone.into_iter().collect::<Vec<_>>(), ["format", "pattern"]);
    }

    #[test]
    fn an_empty_nested_object_stays() {
        let text = r#"{"type":"OBJECT","properties":{"a":{"type":"OBJECT","properties":{}}}}"#;
        let expected = r#"{"type":"object","properties":{"a":{"type":"object","properties":{}}}}"#;
        assert_eq!(inbound(text), expected);
    }
}
