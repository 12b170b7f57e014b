//! Arguments that a modern HTTP server wants to see in headers too (MCP 2026-07-28, "Streamable
//! HTTP": schema properties annotated with `x-mcp-header`).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::edit;

const MARK: &str = "x-mcp-header";
/// How deep schemas are searched.
const DEEPEST: usize = 32;

/// One argument and its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The header's name after `Mcp-Param-`.
    pub(crate) header: String,
    /// Where the argument stands: property names from the top.
    pub(crate) path: Vec<String>,
}

/// An annotation breaks its rules; the tool must not be used over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Mirror {
    /// All annotations of a tool's input schema.
    pub(crate) fn all(definition: &RawValue) -> Result<Vec<Self>, Invalid> {
        // Next to no tool has any; the quick look spares reading the schema.
        if !definition.get().contains(MARK) {
            return Ok(Vec::new());
        }
        let Some(schema) = edit::member(definition.get(), "inputSchema") else {
            return Ok(Vec::new());
        };
        let schema: Value = serde_json::from_str(schema).map_err(|_| Invalid)?;
        let mut mirrors = Vec::new();
        walk(&schema, &mut Vec::new(), &mut mirrors)?;
        // What stands anywhere else cannot be reached by properties alone.
        if mirrors.len() != marks(&schema, false, 0) {
            return Err(Invalid);
        }
        mirrors.sort_by_key(|mirror| mirror.header.to_ascii_lowercase());
        let twice =
            mirrors.windows(2).any(|two| two[0].header.eq_ignore_ascii_case(&two[1].header));
        if twice { Err(Invalid) } else { Ok(mirrors) }
    }

    /// The argument's value as a header shows it; `None` where it is absent or null.
    pub(crate) fn value(&self, arguments: &Value) -> Option<String> {
        let found = self.path.iter().try_fold(arguments, |value, name| value.get(name))?;
        match found {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(found.to_string()),
            _ => None,
        }
    }
}

fn walk(schema: &Value, path: &mut Vec<String>, mirrors: &mut Vec<Mirror>) -> Result<(), Invalid> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(()) };
    if path.len() >= DEEPEST {
        return Err(Invalid);
    }
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(header) = property.get(MARK) {
            let header = header.as_str().filter(|header| is_token(header)).ok_or(Invalid)?;
            let kind = property.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(Invalid);
            }
            mirrors.push(Mirror { header: header.to_owned(), path: path.clone() });
        }
        walk(property, path, mirrors)?;
        path.pop();
    }
    Ok(())
}

/// How many annotations there are anywhere. A property may itself be called `x-mcp-header`:
/// names of properties do not count.
fn marks(schema: &Value, names: bool, depth: usize) -> usize {
    if depth > 4 * DEEPEST {
        return usize::MAX / 2;
    }
    match schema {
        Value::Object(members) => members.iter().fold(0_usize, |sum, (name, value)| {
            let own = usize::from(!names && name == MARK);
            let inner = marks(value, !names && name == "properties", depth + 1);
            sum.saturating_add(own).saturating_add(inner)
        }),
        Value::Array(items) => items
            .iter()
            .fold(0_usize, |sum, item| sum.saturating_add(marks(item, false, depth + 1))),
        _ => 0,
    }
}

/// RFC 9110 §5.6.2 `token`.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(schema: &str) -> Result<Vec<Mirror>, Invalid> {
        let definition = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
        Mirror::all(&RawValue::from_string(definition).unwrap())
    }

    #[test]
    fn annotations_are_found_or_refused() {
        for (schema, count) in [
            (r#"{"type":"object"}"#, Ok(0)),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}"#, Ok(1)),
            (
                r#"{"properties":{"o":{"type":"object","properties":{"a":{"type":"integer","x-mcp-header":"A"}}}}}"#,
                Ok(1),
            ),
            (r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#, Ok(0)),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, Err(Invalid)),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}"#, Err(Invalid)),
            (r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#, Err(Invalid)),
            (r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, Err(Invalid)),
            (r#"{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}"#, Err(Invalid)),
            (
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
                Err(Invalid),
            ),
            (r#"{"x-mcp-header":"A"}"#, Err(Invalid)),
            (r#"{"items":{"x-mcp-header":"A"}}"#, Err(Invalid)),
            (
                r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
                Err(Invalid),
            ),
        ] {
            assert_eq!(all(schema).map(|mirrors| mirrors.len()), count, "{schema}");
        }
    }

    #[test]
    fn only_what_is_there_is_mirrored() {
        let mirror = Mirror { header: "A".into(), path: vec!["o".into(), "a".into()] };
        for (arguments, value) in [
            (r#"{"o":{"a":"x"}}"#, Some("x")),
            (r#"{"o":{"a":7}}"#, Some("7")),
            (r#"{"o":{"a":true}}"#, Some("true")),
            (r#"{"o":{"a":null}}"#, None),
            (r#"{"o":{}}"#, None),
            ("{}", None),
        ] {
            let arguments = serde_json::from_str(arguments).unwrap();
            assert_eq!(mirror.value(&arguments).as_deref(), value, "{arguments}");
        }
    }
}
