//! What differs between providers, one descriptor file each (`providers/*.toml`).

use std::collections::BTreeMap;

use doorward_core::{DialectId, Pattern};
use doorward_wire::Quirks;
use serde::Deserialize;

/// A provider's descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name used in config.
    pub name: String,
    /// Where it is, unless the config says otherwise.
    pub base_url: Option<String>,
    /// How the credential is shown.
    pub auth: Auth,
    /// Environment variables that vendors' tools read the key from, in order.
    pub key_env: Vec<String>,
    /// Environment variable that vendors' tools read the base URL from.
    pub base_url_env: Option<String>,
    /// Model names that belong to this provider when a client writes no `provider/` before them.
    #[serde(default)]
    pub serves: Vec<Pattern>,
    /// Whether a stream may be asked to report usage (`stream_options.include_usage`).
    pub stream_usage: bool,
    /// Path of the model list under the base URL.
    pub models_path: String,
    /// The dialects it speaks, each with its path under the base URL.
    #[serde(rename = "dialects")]
    paths: BTreeMap<String, String>,
    /// Headers sent with every request, unless the client's own dialect headers replace them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What it does otherwise than its dialects say.
    #[serde(default)]
    pub quirks: Quirks,
}

/// How a credential is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    Bearer,
    /// `x-api-key: …`.
    XApiKey,
}

/// A descriptor is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It is no valid descriptor.
    #[error("not a provider descriptor")]
    Malformed(#[from] toml::de::Error),
    /// It names a dialect that the wire crate does not have.
    #[error("unknown dialect `{0}`")]
    Dialect(String),
}

const SHIPPED: &[(&str, &str)] = &[
    ("anthropic", include_str!("../providers/anthropic.toml")),
    ("cerebras", include_str!("../providers/cerebras.toml")),
    ("deepseek", include_str!("../providers/deepseek.toml")),
    ("fireworks", include_str!("../providers/fireworks.toml")),
    ("groq", include_str!("../providers/groq.toml")),
    ("mistral", include_str!("../providers/mistral.toml")),
    ("ollama", include_str!("../providers/ollama.toml")),
    ("openai", include_str!("../providers/openai.toml")),
    ("openai-compatible", include_str!("../providers/openai-compatible.toml")),
    ("openrouter", include_str!("../providers/openrouter.toml")),
    ("perplexity", include_str!("../providers/perplexity.toml")),
    ("together", include_str!("../providers/together.toml")),
    ("vercel", include_str!("../providers/vercel.toml")),
    ("vllm", include_str!("../providers/vllm.toml")),
    ("xai", include_str!("../providers/xai.toml")),
];

impl Provider {
    /// Reads a descriptor.
    ///
    /// # Errors
    ///
    /// Where it is malformed or names an unknown dialect.
    pub fn parse(text: &str) -> Result<Self, ProviderError> {
        let provider: Self = toml::from_str(text)?;
        match provider.paths.keys().find(|name| known(name).is_none()) {
            Some(name) => Err(ProviderError::Dialect(name.clone())),
            None => Ok(provider),
        }
    }

    /// A shipped descriptor.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
        Self::parse(text).ok()
    }

    /// The names of the shipped descriptors, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The dialects it speaks, with their paths; the first is the preferred one.
    pub fn dialects(&self) -> impl Iterator<Item = (DialectId, &str)> {
        self.paths.iter().filter_map(|(name, path)| Some((known(name)?, path.as_str())))
    }
}

fn known(name: &str) -> Option<DialectId> {
    DialectId::named(name).filter(|id| doorward_wire::dialect(*id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_descriptor_parses_under_its_own_name() {
        for (name, text) in SHIPPED {
            let provider = Provider::parse(text).unwrap();
            assert_eq!(provider.name, *name);
            assert!(provider.dialects().count() > 0, "{name} speaks something");
        }
    }

    #[test]
    fn an_unknown_dialect_is_an_error() {
        let text = SHIPPED[0].1.replace("anthropic-messages =", "esperanto =");
        assert!(
            matches!(Provider::parse(&text), Err(ProviderError::Dialect(d)) if d == "esperanto")
        );
    }
}
