//! Taking keywords out of JSON Schemas.

use std::collections::BTreeSet;

use bytes::{BufMut, BytesMut};
use serde_json::value::RawValue;

use crate::emit;
use crate::json::Source;

/// A schema without these keywords, and which of them it had. `None` where it has none of them.
///
/// A name in `properties` is no keyword, whatever it is called, and nothing within `enum`,
/// `const`, `default` or `examples` is a schema.
pub(crate) fn without<'w>(
    schema: &RawValue,
    words: &'w [String],
) -> Option<(String, BTreeSet<&'w str>)> {
    let mut cut = Cut { words, found: BTreeSet::new(), out: BytesMut::new() };
    cut.schema(schema.get());
    if cut.found.is_empty() {
        return None;
    }
    Some((String::from_utf8_lossy(&cut.out).into_owned(), cut.found))
}

struct Cut<'w> {
    words: &'w [String],
    found: BTreeSet<&'w str>,
    out: BytesMut,
}

/// Keywords whose value is an object of schemas by name.
const BY_NAME: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Keywords whose value is no schema.
const PLAIN: [&str; 6] = ["enum", "const", "default", "examples", "example", "required"];

impl Cut<'_> {
    /// Depth is bounded: what is kept of a request was checked when it was read.
    fn schema(&mut self, text: &str) {
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, false),
            Some(b'[') => {
                let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                    return self.out.put_slice(text.as_bytes());
                };
                self.out.put_u8(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.out.put_u8(b',');
                    }
                    self.schema(item.get());
                }
                self.out.put_u8(b']');
            }
            _ => self.out.put_slice(text.as_bytes()),
        }
    }

    fn object(&mut self, text: &str, by_name: bool) {
        let members = Source::new(text.as_bytes()).and_then(|source| source.members());
        let Ok(members) = members else { return self.out.put_slice(text.as_bytes()) };
        self.out.put_u8(b'{');
        let mut first = true;
        for member in members.iter() {
            let name = &*member.name;
            if !by_name && let Some(word) = self.words.iter().find(|word| *word == name) {
                self.found.insert(word);
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.put_u8(b',');
            }
            emit::string(&mut self.out, name);
            self.out.put_u8(b':');
            let value = member.value.get();
            if by_name {
                self.schema(value);
            } else if BY_NAME.contains(&name) && value.starts_with('{') {
                self.object(value, true);
            } else if PLAIN.contains(&name) {
                self.out.put_slice(value.as_bytes());
            } else {
                self.schema(value);
            }
        }
        self.out.put_u8(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_43_refused_keywords_go_and_names_stay() {
        let words = ["additionalProperties", "$ref", "uniqueItems", "multipleOf"];
        let words = words.map(str::to_owned);
        let cut = |text: &str| without(&crate::json::raw(text.into()), &words);
        let schema = r#"{"type":"object","additionalProperties":false,
            "properties":{"$ref":{"type":"array","uniqueItems":true,"items":{"multipleOf":2}},
              "e":{"type":"object","properties":{}}},
            "enum":[{"$ref":1}],"anyOf":[{"$ref":"x","type":"string"},true],"required":["$ref"]}"#;
        let (text, found) = cut(schema).unwrap();
        let expected = r#"{"type":"object","properties":{"$ref":{"type":"array","items":{}},"e":{"type":"object","properties":{}}},"enum":[{"$ref":1}],"anyOf":[{"type":"string"},true],"required":["$ref"]}"#;
        assert_eq!(text, expected);
        let all = ["$ref", "additionalProperties", "multipleOf", "uniqueItems"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), all);
        assert!(cut(r#"{"type":"object"}"#).is_none() && cut("true").is_none());
    }
}
