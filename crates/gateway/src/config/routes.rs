//! The sections about models: where they are, who may use which, what they cost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use doorward_ledger::{Price, Unpriced};
use doorward_model_router::{Auth, Patience, UpstreamOptions};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{EnvValue, SecretRef, Size, Span};

/// `[[upstream]]`: a model provider.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// What it is called here, and before the slash in `provider/model`.
    pub name: String,
    /// A descriptor's name: `openai`, `anthropic`, `bedrock`, `openai-compatible`, …
    pub provider: String,
    /// Where it is, where the descriptor does not know or another place is meant.
    pub base_url: Option<String>,
    /// The key to show.
    pub api_key: Option<SecretRef>,
    /// Several keys to choose from: where one is refused or used up, the next is shown.
    #[serde(default)]
    pub api_keys: Vec<SecretRef>,
    /// Keys that requests are signed with (Amazon Bedrock).
    pub aws: Option<AwsKeys>,
    /// A Google service account's key file (Vertex).
    pub service_account: Option<SecretRef>,
    /// How the credential is shown, where other than the descriptor says (`bearer` for an Entra
    /// token at Azure).
    pub auth: Option<Auth>,
    /// The AWS region.
    pub region: Option<String>,
    /// The Google Cloud project.
    pub project: Option<String>,
    /// The Google Cloud location: a region, `global`, `us` or `eu`.
    pub location: Option<String>,
    /// The Azure resource's name.
    pub resource: Option<String>,
    /// The account's id.
    pub account: Option<String>,
    /// The version of the provider's API (Azure's classic deployments).
    pub api_version: Option<String>,
    /// What the upstream calls a model: Azure deployments, Bedrock inference profiles, by model.
    #[serde(default)]
    pub deployments: BTreeMap<String, String>,
    /// The dialects to speak with it, the preferred one first; as the descriptor says where left
    /// out.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// Models to list. Where none are given, the provider is asked.
    #[serde(default)]
    pub models: Vec<String>,
    /// Whether its streams may be asked to report usage where the client does not ask.
    pub stream_usage: Option<bool>,
    /// Headers to send with every request. No place for secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What holds of it (`region = "eu"`, `training = "no"`), for routing by it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
}

/// Keys that requests are signed with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsKeys {
    /// The access key's id; not secret, but may be kept with the secret.
    pub access_key_id: EnvValue,
    /// The secret access key.
    pub secret_access_key: SecretRef,
    /// The session token, for temporary keys.
    pub session_token: Option<SecretRef>,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeouts {
    /// To take the connection; 10 s where left out.
    pub connect: Option<Span>,
    /// From the request to the first event of a stream; after it the next target is tried. Ten
    /// minutes where left out.
    pub first_token: Option<Span>,
    /// Between two pieces of an answer; 5 minutes where left out.
    pub idle: Option<Span>,
    /// From the request to the end of the answer.
    pub total: Option<Span>,
}

impl UpstreamTimeouts {
    /// As the router counts them.
    pub(crate) fn patience(self) -> Patience {
        Patience { first_token: self.first_token, idle: self.idle, total: self.total }
    }
}

impl UpstreamConfig {
    /// A provider under its own name, with its descriptor's defaults.
    pub fn named_after(provider: &str) -> Self {
        Self {
            name: provider.to_owned(),
            provider: provider.to_owned(),
            base_url: None,
            api_key: None,
            api_keys: vec![],
            aws: None,
            service_account: None,
            auth: None,
            region: None,
            project: None,
            location: None,
            resource: None,
            account: None,
            api_version: None,
            deployments: BTreeMap::new(),
            dialects: vec![],
            models: vec![],
            stream_usage: None,
            headers: BTreeMap::new(),
            labels: BTreeMap::new(),
            timeouts: UpstreamTimeouts::default(),
        }
    }

    /// What the router is to know of it.
    pub fn options(&self) -> UpstreamOptions {
        UpstreamOptions {
            base_url: self.base_url.clone(),
            auth: self.auth,
            region: self.region.clone(),
            project: self.project.clone(),
            location: self.location.clone(),
            resource: self.resource.clone(),
            account: self.account.clone(),
            api_version: self.api_version.clone(),
            deployments: self.deployments.clone(),
            dialects: self.dialects.clone(),
            models: self.models.clone(),
            stream_usage: self.stream_usage,
            headers: self.headers.clone(),
            labels: self.labels.clone(),
            ..UpstreamOptions::default()
        }
    }

    /// Every secret it refers to, with what for.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretRef)> {
        let aws = self.aws.iter().flat_map(|aws| {
            let id = match &aws.access_key_id {
                EnvValue::Secret(reference) => Some(("AWS access key id", reference)),
                EnvValue::Plain(_) => None,
            };
            let secret = ("AWS secret access key", &aws.secret_access_key);
            let token = aws.session_token.as_ref().map(|token| ("AWS session token", token));
            id.into_iter().chain([secret]).chain(token)
        });
        let keys = self.api_key.iter().chain(&self.api_keys).map(|key| ("API key", key));
        let account = self.service_account.iter().map(|file| ("service account", file));
        keys.chain(account).chain(aws)
    }
}

/// `[[team]]`: what holds for a team's calls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamConfig {
    /// The team, as keys name it.
    pub name: String,
    /// Labels that a model's upstream must have: `{ region = "eu" }`, or one of several,
    /// `{ region = ["eu", "ch"] }`. Where none has them, the call is refused.
    pub require: BTreeMap<String, OneOrMore>,
}

/// A text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of them")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::More(list) => list.clone(),
        }
    }
}

/// `[ledger]`: money.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// What becomes of a call whose price nobody knows, under a limit on money.
    pub unpriced: Unpriced,
    /// The price of what has none, with `unpriced = "estimate"`.
    pub fallback: Option<Price>,
    /// A price list that goes before the shipped one: a file in our form or in `LiteLLM`'s
    /// (`model_prices_and_context_window.json`). It is read again when it changes.
    pub catalogue: Option<PathBuf>,
    /// Tokens reserved for an answer where the client does not say how long it may be.
    pub default_output: Option<u64>,
}

/// `[cache]`: answers given again to an equal request of the same key. Off where left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How long an answer is given again.
    pub ttl: Span,
    /// How much is kept in memory in all.
    pub size: Size,
    /// The largest answer that is kept.
    pub entry: Size,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { ttl: Span(Duration::from_mins(10)), size: Size(64 << 20), entry: Size(1 << 20) }
    }
}
