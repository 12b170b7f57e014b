//! The compact form of a signed token (RFC 7515 §3.1), read strictly and within bounds.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::refused::Refused;

/// The longest key id that is looked for.
const KID_MOST: usize = 256;

/// A token in its parts. Nothing in it is believed yet.
pub(crate) struct Compact<'a> {
    pub(crate) header: Header,
    pub(crate) claims: Map<String, Value>,
    /// What the signature is over.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
}

/// What a header says, as far as it is listened to.
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// A key that the token brings along. Worth something in a proof of possession only.
    pub(crate) jwk: Option<Value>,
}

impl<'a> Compact<'a> {
    /// The parts of a text of at most `longest` bytes.
    pub(crate) fn read(text: &'a str, longest: usize) -> Result<Self, Refused> {
        if text.len() > longest {
            return Err(Refused::Shape("too long"));
        }
        let shape = Refused::Shape("not three parts");
        let Some((signed, signature)) = text.rsplit_once('.') else { return Err(shape) };
        let Some((header, claims)) = signed.split_once('.') else { return Err(shape) };
        if claims.contains('.') {
            return Err(shape);
        }
        let header = Header::read(object(header)?)?;
        let claims = object(claims)?;
        let signature = decode(signature)?;
        Ok(Self { header, claims, signed, signature })
    }
}

impl Header {
    fn read(mut members: Map<String, Value>) -> Result<Self, Refused> {
        // A key must never come from where the token says (RFC 8725 §3.10), and what a token
        // calls critical is not known here (RFC 7515 §4.1.11).
        for refused in ["crit", "jku", "x5u", "b64", "zip", "enc"] {
            if members.contains_key(refused) {
                return Err(Refused::Header(refused));
            }
        }
        let mut text = |name: &'static str| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refused::Header(name)),
        };
        let algorithm = text("alg")?.ok_or(Refused::Algorithm)?;
        let algorithm = algorithm.parse().map_err(|_| Refused::Algorithm)?;
        let (kid, typ) = (text("kid")?, text("typ")?);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_MOST || kid.chars().any(char::is_control))
        {
            return Err(Refused::Header("kid"));
        }
        Ok(Self { algorithm, kid, typ, jwk: members.remove("jwk") })
    }

    /// Whether the token says that it is one of these; types may begin with `application/`
    /// (RFC 7515 §4.1.9) and case does not count.
    pub(crate) fn is_of(&self, types: &[&str]) -> bool {
        let Some(typ) = &self.typ else { return false };
        let typ = typ.to_ascii_lowercase();
        types.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Shape("not base64url"))
}

fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = decode(part)?;
    match strict(&bytes) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        _ => Err(Refused::Shape("not one JSON object with distinct members")),
    }
}

fn strict<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}

/// JSON in which no object has a member twice: two readers of such a token could see two people
/// (RFC 7519 §4, RFC 8725 §2.4).
pub(crate) struct Strict(pub(crate) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with distinct members")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let part = |text| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn what_is_not_exactly_a_token_is_refused() {
        let good = token(r#"{"alg":"ES256"}"#, r#"{"iss":"i"}"#);
        assert!(Compact::read(&good, 1000).is_ok());
        assert!(Compact::read(&good, good.len() - 1).is_err());
        let (head, _) = good.rsplit_once('.').unwrap();
        for text in [
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            head.into(),
            format!("{good}.x"),
            format!("{good}="),
            format!("{good} "),
            format!("{head}.a"),
            format!("{head}.+/=="),
            good.replacen("eyJ", "ayJ", 1),
            token("[]", "{}"),
            token(r#"{"alg":"ES256"}"#, "null"),
            token(r#"{"alg":"ES256"}"#, "{} {}"),
            token(r#"{"alg":"ES256"}"#, &"[".repeat(500)),
            token(r#"{"alg":"ES256","alg":"ES256"}"#, "{}"),
            token(r#"{"alg":"ES256"}"#, r#"{"sub":"a","sub":"b"}"#),
            token(r#"{"alg":"ES256"}"#, r#"{"sub":"a","\u0073ub":"b"}"#),
            token(r#"{"alg":"ES256"}"#, r#"{"x":{"a":[{"b":1,"b":2}]}}"#),
            token(r#"{"alg":["ES256"]}"#, "{}"),
            token(r#"{"kid":"a"}"#, "{}"),
            token(r#"{"alg":"ES256","kid":7}"#, "{}"),
            token(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257)), "{}"),
        ] {
            assert!(Compact::read(&text, 10_000).is_err(), "{text}");
        }
    }
}
