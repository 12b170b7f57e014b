//! Targeted edits of raw JSON objects: one member changes, every other byte stays.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One member of an object: its name and where its value stands.
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: &'a str,
    span: Range<usize>,
}

/// The members of a JSON object in their order, duplicates included. `None` where `json` is no
/// object.
pub(crate) fn members(json: &str) -> Option<Vec<Member<'_>>> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Name(name)) = map.next_key()? {
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Err(E::custom("null"))
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Object).ok()?;
    let base = json.as_ptr() as usize;
    let members = found.into_iter().map(|(name, value)| {
        let start = value.get().as_ptr() as usize - base;
        Member { name, value: value.get(), span: start..start + value.get().len() }
    });
    Some(members.collect())
}

/// A member's name, borrowed where it holds no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, v: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(v)))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

/// The object with this member's value replaced. `None` where it is no object, or has the member
/// not exactly once: a reader of the first and a reader of the last would disagree.
pub(crate) fn replace(text: &str, name: &str, value: &str) -> Option<String> {
    let members = members(text)?;
    let mut of_that_name = members.iter().filter(|member| member.name == name);
    let span = of_that_name.next()?.span.clone();
    if of_that_name.next().is_some() {
        return None;
    }
    Some([&text[..span.start], value, &text[span.end..]].concat())
}

/// The object without the members of these names. The rest keeps its bytes; only the commas
/// around what went are set anew.
pub(crate) fn without<'a>(text: &'a str, names: &[&str]) -> Option<Cow<'a, str>> {
    let members = members(text)?;
    if !members.iter().any(|member| names.contains(&&*member.name)) {
        return Some(Cow::Borrowed(text));
    }
    let kept = members.iter().filter(|member| !names.contains(&&*member.name));
    let pieces = kept.map(|member| written(text, member));
    Some(Cow::Owned(object(pieces)))
}

/// The object with members added at its front; `added` is written JSON (`"a":1,"b":2`).
pub(crate) fn with(text: &str, added: &str) -> Option<String> {
    let inner = text.trim_ascii().strip_prefix('{')?;
    let comma =
        if inner.trim_ascii_start().starts_with('}') || added.is_empty() { "" } else { "," };
    Some(["{", added, comma, inner].concat())
}

/// What stands between an object's braces; `None` where it is empty or no object.
pub(crate) fn inner(text: &str) -> Option<&str> {
    let inner = text.trim_ascii().strip_prefix('{')?.strip_suffix('}')?.trim_ascii();
    (!inner.is_empty()).then_some(inner)
}

/// The value of a top-level member, where it is there exactly once.
pub(crate) fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let members = members(text)?;
    let mut of_that_name = members.iter().filter(|member| member.name == name);
    let value = of_that_name.next()?.value;
    of_that_name.next().is_none().then_some(value)
}

/// A member as written, from its name's quote to its value's end.
pub(crate) fn written<'a>(text: &'a str, member: &Member<'_>) -> Cow<'a, str> {
    let value = &text[member.span.clone()];
    let name = serde_json::to_string(&member.name).unwrap_or_default();
    Cow::Owned([&name, ":", value].concat())
}

/// An object of written members.
pub(crate) fn object<'a>(pieces: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut text = String::from("{");
    for (at, piece) in pieces.enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&piece);
    }
    text.push('}');
    text
}

/// Reads an object into a struct. Derived readers take arrays for structs too; here they do not,
/// lest two readers disagree on what a message says.
pub(crate) fn read<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        // Not an object: say whether it is JSON at all.
        serde_json::from_slice::<serde::de::IgnoredAny>(json)?;
        return Err(serde_json::Error::custom("expected an object"));
    }
    serde_json::from_slice(json)
}

/// Whether the text holds these words anywhere: a quick look before a reading.
pub(crate) fn mentions(text: &str, words: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), words.as_bytes()).is_some()
}

/// A text as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".into())
}

/// The same JSON on one line. Raw line breaks are legal between tokens only (RFC 8259 §7), so a
/// space means the same; left in, they would let a client write whole lines of its own into a
/// server's input.
pub(crate) fn one_line(json: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_leaves_every_other_byte() {
        let json = "{ \"b\" : 1e2,\n\"name\":  \"old\" ,\"x\":{\"name\":\"deep\"}, \"n\\u0061\":0}";
        let edited = replace(json, "name", "\"new\"").unwrap();
        assert_eq!(edited, json.replace("\"old\"", "\"new\""));
    }

    #[test]
    fn what_stands_twice_is_not_edited() {
        assert!(replace(r#"{"name":"a","n\u0061me":"b"}"#, "name", "\"c\"").is_none());
        assert!(replace("[1]", "name", "1").is_none());
        assert!(replace("{}", "name", "1").is_none());
    }

    #[test]
    fn members_go_and_come() {
        for (json, gone) in [
            (r#"{"a":1,"resultType":"complete","z":[1.0]}"#, r#"{"a":1,"z":[1.0]}"#),
            (r#"{"resultType":"complete"}"#, "{}"),
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
        ] {
            assert_eq!(without(json, &["resultType"]).unwrap(), gone);
        }
        assert_eq!(with("{ }", "\"a\":1").unwrap(), "{\"a\":1 }");
        assert_eq!(with(r#"{"b":2}"#, "\"a\":1").unwrap(), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn raw_line_breaks_become_spaces() {
        assert_eq!(one_line("{\n\"a\":\r\n\"\\n\"}"), "{ \"a\":  \"\\n\"}");
    }
}
