//! The leaves of the configuration: secrets by reference, durations, sizes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use doorward_core::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The environment, read once by the binary and handed in.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The process's environment. Names and values that are no Unicode are left out.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(unicode).collect())
    }

    /// An environment made of these.
    pub fn of<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable's value, if it is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// Where a secret is: `{ env = "NAME" }` or `{ file = "path" }`, never both, never inline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file; white space around it does not count.
    File(PathBuf),
}

/// A secret is not where the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SecretRefError {
    /// The variable is not set, or empty.
    #[error("environment variable `{0}` is not set")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("secret file `{path}` cannot be read")]
    NoFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("secret file `{0}` is empty")]
    EmptyFile(PathBuf),
}

impl SecretRef {
    /// Fetches the secret.
    ///
    /// # Errors
    ///
    /// Where there is none. The error never holds a value.
    pub fn resolve(&self, environment: &Environment) -> Result<Secret, SecretRefError> {
        match self {
            Self::Env(name) => environment
                .var(name)
                .map(Secret::new)
                .ok_or_else(|| SecretRefError::NoVariable(name.clone())),
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretRefError::NoFile { path: path.clone(), source })?;
                match text.trim() {
                    "" => Err(SecretRefError::EmptyFile(path.clone())),
                    secret => Ok(Secret::new(secret)),
                }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRef {
    env: Option<String>,
    file: Option<PathBuf>,
}

const A_REFERENCE: &str = "expected `{ env = \"NAME\" }` or `{ file = \"path\" }`";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`{ env = \"NAME\" }` or `{ file = \"path\" }`")
    }

    /// A secret written inline must not be quoted by the error that refuses it.
    fn visit_str<E: serde::de::Error>(self, _inline: &str) -> Result<SecretRef, E> {
        Err(E::custom(format!("a secret must not be written here; {A_REFERENCE}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
        match WrittenRef::deserialize(MapAccessDeserializer::new(map))? {
            WrittenRef { env: Some(name), file: None } => Ok(SecretRef::Env(name)),
            WrittenRef { env: None, file: Some(path) } => Ok(SecretRef::File(path)),
            WrittenRef { env: Some(_), file: Some(_) } => {
                Err(A::Error::custom(format!("both env and file are given; {A_REFERENCE}")))
            }
            WrittenRef { env: None, file: None } => Err(A::Error::custom(A_REFERENCE)),
        }
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret is: in an environment variable or in a file.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": { "env": { "type": "string" } },
                    "required": ["env"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// A size in bytes, written as a number, alone or with `KiB`, `MiB`, `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: u64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        count.checked_mul(unit).map(Self)
    }

    /// The size as the machine counts; the largest there is where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a size such as \"32MiB\"")))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$" })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Span;

    #[derive(Debug, Deserialize)]
    struct One<T> {
        v: T,
    }

    #[test]
    fn durations_and_sizes() {
        for (text, millis) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("2 h", Some(7_200_000)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(text.parse().ok(), millis.map(|m| Span(Duration::from_millis(m))), "{text}");
        }
        for (text, bytes) in [
            ("7", Some(7)),
            ("2KiB", Some(2048)),
            ("1 GiB", Some(1 << 30)),
            ("1MB", None),
            ("", None),
        ] {
            assert_eq!(Size::parse(text), bytes.map(Size), "{text}");
        }
    }

    #[test]
    fn an_inline_secret_is_refused_without_being_quoted() {
        let error = toml::from_str::<One<SecretRef>>("v = \"sk-live-123\"").unwrap_err();
        assert!(!error.message().contains("sk-live-123"), "{}", error.message());
        assert!(error.message().contains("env"));
    }

    #[test]
    fn a_secret_has_one_place() {
        let read = |text: &str| toml::from_str::<One<SecretRef>>(text).map(|one| one.v);
        assert_eq!(read("v = { env = \"A\" }").unwrap(), SecretRef::Env("A".into()));
        assert!(read("v = { env = \"A\", file = \"b\" }").is_err());
        assert!(read("v = {}").is_err());
        assert!(read("v = { vault = \"x\" }").is_err());
    }

    #[test]
    fn a_missing_secret_is_named() {
        let none = Environment::default();
        let missing = SecretRef::Env("NOT_THERE".into()).resolve(&none).unwrap_err();
        assert_eq!(missing.to_string(), "environment variable `NOT_THERE` is not set");
        let set = Environment::of([("K", "value")]);
        assert_eq!(SecretRef::Env("K".into()).resolve(&set).unwrap().expose(), "value");
    }
}
