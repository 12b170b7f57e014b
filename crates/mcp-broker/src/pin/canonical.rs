//! A tool's definition in one form only, and its hash.

use std::fmt;
use std::sync::Arc;

use doorward_core::Digest;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256};

/// The members that a model or a client acts on. Icons, `_meta` and `execution` are left out: they
/// change for harmless reasons and steer nobody.
const MEMBERS: [&str; 6] =
    ["annotations", "description", "inputSchema", "name", "outputSchema", "title"];

/// A tool definition in canonical form: the six members that steer (`name`, `title`,
/// `description`, `inputSchema`, `outputSchema`, `annotations`) as JSON after RFC 8785, without
/// spaces and with sorted names. Numbers are written by value, so `1.0` is `1`; unlike there,
/// integers beyond 2^53 keep all their digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Canonical {
    text: Arc<str>,
    name: Arc<str>,
    fingerprint: Digest,
}

/// Why a definition has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonError {
    /// It is no JSON, nested too deep, or a member stands twice in an object: two readers could
    /// see two different tools.
    #[error("the definition cannot be read in one way only: {0}")]
    Json(String),
    /// It is no object, or has no name.
    #[error("the definition has no name")]
    Nameless,
}

impl Canonical {
    /// The canonical form of a definition as the server wrote it, with its own name.
    ///
    /// # Errors
    ///
    /// Where two readers could see different things in it, or it has no name.
    pub fn of(definition: &RawValue) -> Result<Self, CanonError> {
        Self::read(definition.get())
    }

    /// From a stored text: it is read and written anew, so that a hash never covers what the
    /// text does not say.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn read(text: &str) -> Result<Self, CanonError> {
        let value = parse(text).map_err(|error| CanonError::Json(error.to_string()))?;
        let Value::Object(mut members) = value else { return Err(CanonError::Nameless) };
        members.retain(|name, _| MEMBERS.contains(&name.as_str()));
        let name: Arc<str> =
            members.get("name").and_then(Value::as_str).ok_or(CanonError::Nameless)?.into();
        let mut text = String::new();
        write(&Value::Object(members), &mut text);
        let fingerprint = Digest::from_bytes(Sha256::digest(text.as_bytes()).into());
        Ok(Self { text: text.into(), name, fingerprint })
    }

    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tool's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the canonical text.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The text, read.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canonical({} {})", self.name.escape_debug(), self.fingerprint)
    }
}

impl Serialize for Canonical {
    /// As its text.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Canonical {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::read(&text).map_err(D::Error::custom)
    }
}

/// Reads JSON in which no member stands twice. Depth is the parser's limit (128).
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Once.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Any value, its members unique.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                let name = name.escape_debug();
                return Err(A::Error::custom(format_args!("\"{name}\" stands twice")));
            }
            members.insert(name, map.next_value_seed(Self)?);
        }
        Ok(Value::Object(members))
    }
}

/// Writes a value in canonical form. Names are sorted here, whatever the map's own order is.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // RFC 8785 §3.2.3: by UTF-16 code units.
            sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push('{');
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&crate::edit::quote(name));
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::String(text) => out.push_str(&crate::edit::quote(text)),
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that fit are cast")]
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
            (float as i64).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        Canonical::read(json).unwrap().text().to_owned()
    }

    #[test]
    fn order_spaces_and_spelling_do_not_matter() {
        let one = r#"{"name":"t","inputSchema":{"b":1.0,"a":"é","c":[1e2,-0.0,0.5]}}"#;
        let two =
            "{ \"inputSchema\":{\"c\":[100,0,5e-1],\"a\":\"\\u00e9\",\"b\":1},\n\"name\":\"t\"}";
        assert_eq!(text(one), text(two));
        assert_eq!(text(one), r#"{"inputSchema":{"a":"é","b":1,"c":[100,0,0.5]},"name":"t"}"#);
    }

    #[test]
    fn only_what_steers_counts() {
        let plain = Canonical::read(r#"{"name":"t"}"#).unwrap();
        let more = r#"{"name":"t","icons":[],"_meta":{"a":1},"execution":{}}"#;
        assert_eq!(plain.fingerprint(), Canonical::read(more).unwrap().fingerprint());
        for member in ["title", "description", "inputSchema", "outputSchema", "annotations"] {
            let other = format!(r#"{{"name":"t","{member}":{{}}}}"#);
            let other = Canonical::read(&other).unwrap();
            assert_ne!(plain.fingerprint(), other.fingerprint(), "{member}");
        }
    }

    #[test]
    fn large_integers_keep_their_digits() {
        let one = r#"{"name":"t","inputSchema":{"maximum":9007199254740993}}"#;
        let two = r#"{"name":"t","inputSchema":{"maximum":9007199254740992}}"#;
        assert_ne!(text(one), text(two));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for json in [
            r#"{"name":"t","description":"a","description":"b"}"#,
            r#"{"name":"t","inputSchema":{"a":1,"\u0061":2}}"#,
            r#"{"name":"t"} {"name":"u"}"#,
            "{",
        ] {
            assert!(matches!(Canonical::read(json), Err(CanonError::Json(_))), "{json}");
        }
        assert!(Canonical::read(&["[".repeat(100_000), "]".repeat(100_000)].concat()).is_err());
        for json in ["[]", "{}", r#"{"name":7}"#] {
            assert_eq!(Canonical::read(json), Err(CanonError::Nameless), "{json}");
        }
    }

    #[test]
    fn the_hash_is_sha_256_of_the_text() {
        let pin = Canonical::read(r#"{"name":"t"}"#).unwrap();
        // printf '{"name":"t"}' | sha256sum
        let expected = "3647a67649228b62fe3d139c47f7a3c673c31ce57da824082b6654fc0b15751f";
        assert_eq!(pin.fingerprint().to_string(), expected);
    }

    #[test]
    fn a_stored_text_reads_back() {
        let pin = Canonical::read(r#"{"name":"t","description":"d"}"#).unwrap();
        let stored = serde_json::to_string(&pin).unwrap();
        assert_eq!(serde_json::from_str::<Canonical>(&stored).unwrap(), pin);
    }
}
