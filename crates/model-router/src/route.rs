//! One model at one upstream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One model at one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The model, as the upstream names it.
    pub model: Arc<str>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.model)
    }
}

/// A target is not written `upstream/model`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `upstream/model`, found `{0}`")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once('/') {
            Some((upstream, model)) if !upstream.is_empty() && !model.is_empty() => {
                Ok(Self { upstream: upstream.into(), model: model.into() })
            }
            _ => Err(TargetError(text.to_owned())),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A model at an upstream: `upstream/model`.",
            "type": "string",
            "pattern": "^[^/]+/.+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_an_upstream_and_a_model() {
        for (text, parts) in [
            ("openai/gpt-5", Some(("openai", "gpt-5"))),
            ("openai/ft:a/b", Some(("openai", "ft:a/b"))),
            ("gpt-5", None),
            ("/gpt-5", None),
            ("openai/", None),
            ("", None),
        ] {
            let target = text.parse::<Target>().ok();
            assert_eq!(target.as_ref().map(|it| (&*it.upstream, &*it.model)), parts, "{text}");
            assert_eq!(target.map(|it| it.to_string()), parts.map(|_| text.to_owned()));
        }
    }
}
