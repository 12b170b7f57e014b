//! What differs between providers, one descriptor file each (`providers/*.toml`).

mod shipped;

use std::collections::BTreeMap;

use doorward_core::{DialectId, Pattern};
use doorward_wire::Quirks;
use serde::{Deserialize, Serialize};

use crate::address;

/// A provider's descriptor.
///
/// Addresses and paths may hold `{region}`, `{project}`, `{location}`, `{resource}`, `{account}`
/// and `{api_version}`, which the configuration gives, and paths `{model}` (or `{deployment}`,
/// which is the same: the model as the upstream calls it), which each call gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name used in config.
    pub name: String,
    /// Where it is, unless the config says otherwise.
    pub base_url: Option<String>,
    /// Where it is in regions or locations that do not follow the rule of `base_url`.
    #[serde(default)]
    pub base_urls: BTreeMap<String, String>,
    /// How the credential is shown.
    pub auth: Auth,
    /// Environment variables that vendors' tools read the key from, in order.
    #[serde(default)]
    pub key_env: Vec<String>,
    /// Environment variable that vendors' tools read the base URL from.
    pub base_url_env: Option<String>,
    /// Environment variables that vendors' tools read a setting from, in order, by its name.
    #[serde(default)]
    pub setting_env: BTreeMap<String, Vec<String>>,
    /// Settings that the configuration need not give.
    #[serde(default)]
    pub defaults: BTreeMap<String, String>,
    /// Model names that belong to this provider when a client writes no `provider/` before them.
    #[serde(default)]
    pub serves: Vec<Pattern>,
    /// Whether a stream may be asked to report usage (`stream_options.include_usage`).
    #[serde(default)]
    pub stream_usage: bool,
    /// Headers sent with every request, unless the client's own dialect headers replace them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The dialects it speaks, the preferred one first.
    #[serde(rename = "dialect")]
    pub(crate) spoken: Vec<Spoken>,
    /// Where it makes embeddings.
    #[serde(default)]
    pub(crate) embeddings: Vec<EmbedsAt>,
    /// Where it lists its models.
    pub(crate) models: Option<ListedAt>,
    /// What is relayed to it as it is.
    #[serde(default)]
    pub(crate) relay: Vec<RelayedUnder>,
}

/// A dialect that a provider speaks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spoken {
    /// The dialect's name.
    pub(crate) name: String,
    /// Its path under the base URL.
    pub(crate) path: String,
    /// The path for streams, where it is another.
    pub(crate) stream_path: Option<String>,
    /// The path where prompts are counted.
    pub(crate) count: Option<String>,
    /// The form of counts, where it is not the dialect's own.
    pub(crate) count_form: Option<String>,
    /// What counting does otherwise; the dialect's own quirks where nothing is said.
    pub(crate) count_quirks: Option<Quirks>,
    /// The only models it is spoken for; empty: all.
    #[serde(default)]
    pub(crate) only: Vec<Pattern>,
    /// The models it is not spoken for.
    #[serde(default)]
    pub(crate) except: Vec<Pattern>,
    /// Whether it is spoken only where the configuration names it.
    #[serde(default)]
    pub(crate) optional: bool,
    /// Whether the form that a call wants of its answer is ignored here without a word: such calls
    /// go over another of the provider's dialects, where one is spoken.
    #[serde(default)]
    pub(crate) formless: bool,
    /// What the provider does otherwise than the dialect says.
    #[serde(default)]
    pub(crate) quirks: Quirks,
}

/// Where a provider makes embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedsAt {
    /// A dialect's name, or one of those that only embeddings have.
    pub(crate) dialect: String,
    /// Its path under the base URL.
    pub(crate) path: String,
    /// How many inputs one request may hold; none: any number.
    pub(crate) batch: Option<std::num::NonZeroUsize>,
    /// The only models it is for; empty: all.
    #[serde(default)]
    pub(crate) only: Vec<Pattern>,
    /// What the provider does otherwise.
    #[serde(default)]
    pub(crate) quirks: Quirks,
}

/// Where a provider lists its models, and what the list looks like.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListedAt {
    /// Its path under the base URL.
    pub(crate) path: String,
    /// The member that holds the list; empty: the body is the list.
    #[serde(default = "data")]
    pub(crate) list: String,
    /// The member of an entry that names the model.
    #[serde(default = "id")]
    pub(crate) id: String,
    /// What stands before every name and is no part of it.
    #[serde(default)]
    pub(crate) strip: String,
}

fn data() -> String {
    "data".to_owned()
}

fn id() -> String {
    "id".to_owned()
}

/// Paths that are relayed as they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelayedUnder {
    /// The dialect whose family of routes they belong to.
    pub(crate) dialect: String,
    /// What stands between the base URL and the path.
    #[serde(default)]
    pub(crate) root: String,
    /// The first segments of the paths.
    pub(crate) paths: Vec<String>,
}

/// How a credential is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    Bearer,
    /// `x-api-key: …` (Anthropic).
    XApiKey,
    /// `api-key: …` (Azure).
    ApiKey,
    /// `x-goog-api-key: …` (Gemini).
    XGoogApiKey,
    /// A signature with AWS keys (Signature Version 4), or a Bedrock API key as bearer. Needs the
    /// feature `bedrock` for the former.
    #[serde(rename = "sigv4")]
    SigV4,
    /// An access token as bearer, got with a service account's key where the credential is one
    /// (RFC 7523). Needs the feature `vertex` for the latter.
    GoogleOauth,
    /// Not at all.
    None,
}

/// A descriptor is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It is no valid descriptor.
    #[error("not a provider descriptor")]
    Malformed(#[from] toml::de::Error),
    /// It names a dialect that there is none of.
    #[error("unknown dialect `{0}`")]
    Dialect(String),
    /// It would relay what a dialect must carry, past everything that judges calls.
    #[error("`{0}` is a dialect's own path and cannot be relayed")]
    Relay(String),
}

impl Provider {
    /// Reads a descriptor.
    ///
    /// # Errors
    ///
    /// Where it is malformed, names an unknown dialect, or would relay model calls.
    pub fn parse(text: &str) -> Result<Self, ProviderError> {
        let provider: Self = toml::from_str(text)?;
        let relayed = provider.relay.iter().map(|relay| &relay.dialect);
        let mut named = provider.spoken.iter().map(|spoken| &spoken.name).chain(relayed);
        if let Some(name) = named.find(|name| DialectId::named(name).is_none()) {
            return Err(ProviderError::Dialect(name.clone()));
        }
        for relay in &provider.relay {
            for path in &relay.paths {
                let whole = format!("{}{path}", relay.root);
                let own = |spoken: &Spoken| covers(&whole, &spoken.path);
                if !path.starts_with('/') || path == "/" || provider.spoken.iter().any(own) {
                    return Err(ProviderError::Relay(path.clone()));
                }
            }
        }
        Ok(provider)
    }

    /// A shipped descriptor.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = shipped::ALL.iter().find(|(shipped, _)| *shipped == name)?;
        Self::parse(text).ok()
    }

    /// The names of the shipped descriptors, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        shipped::ALL.iter().map(|(name, _)| *name)
    }

    /// The dialects it speaks, with their paths; the first is the preferred one.
    pub fn dialects(&self) -> impl Iterator<Item = (DialectId, &str)> {
        self.spoken
            .iter()
            .filter_map(|spoken| Some((DialectId::named(&spoken.name)?, spoken.path.as_str())))
    }

    /// The settings that it cannot do without and has no default for (`region`, `project`, …),
    /// sorted; `base_url` where it has no address.
    pub fn needs(&self) -> Vec<&str> {
        let Some(base) = &self.base_url else { return vec!["base_url"] };
        let mut needs: Vec<&str> = std::iter::once(base.as_str())
            .chain(self.spoken.iter().filter(|spoken| !spoken.optional).map(|s| s.path.as_str()))
            .flat_map(address::names)
            .filter(|name| !self.defaults.contains_key(*name))
            .collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

/// Whether `path` is `lead` or below it.
pub(crate) fn covers(lead: &str, path: &str) -> bool {
    path.strip_prefix(lead).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_descriptor_parses_under_its_own_name() {
        for (name, text) in shipped::ALL {
            let provider = Provider::parse(text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(provider.name, *name);
            assert!(provider.dialects().count() > 0, "{name} speaks something");
            assert!(!provider.spoken[0].optional, "{name} speaks something unasked");
        }
        assert!(shipped::ALL.is_sorted());
    }

    #[test]
    fn an_unknown_dialect_is_an_error() {
        let text = "name = 'x'\nauth = 'none'\n[[dialect]]\nname = 'esperanto'\npath = '/'";
        assert!(
            matches!(Provider::parse(text), Err(ProviderError::Dialect(d)) if d == "esperanto")
        );
    }

    #[test]
    fn model_calls_are_never_relayed() {
        for path in ["", "/", "/v1", "/v1/messages", "files"] {
            let text = format!(
                "name = 'x'\nauth = 'none'\n[[dialect]]\nname = 'anthropic-messages'\n\
                 path = '/v1/messages'\n[[relay]]\ndialect = 'anthropic-messages'\npaths = ['{path}']"
            );
            assert!(matches!(Provider::parse(&text), Err(ProviderError::Relay(_))), "{path}");
        }
    }

    #[test]
    fn what_must_be_configured_is_known() {
        for (name, needs) in [
            ("openai", &[][..]),
            ("openai-compatible", &["base_url"]),
            ("bedrock", &["region"]),
            ("vertex", &["project"]),
            ("azure", &["resource"]),
        ] {
            assert_eq!(Provider::named(name).unwrap().needs(), needs, "{name}");
        }
    }
}
