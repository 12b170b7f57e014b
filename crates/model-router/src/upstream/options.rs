//! What a configuration may say of an upstream.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::Auth;

/// What a configuration says of an upstream, beside its name and provider. Everything has a
/// default; what a provider cannot do without is named when the
/// [`Upstream`](crate::Upstream) is made.
///
/// ```
/// use doorward_model_router::{Provider, Upstream, UpstreamError, UpstreamOptions};
///
/// let bedrock = || Provider::named("bedrock").ok_or("shipped");
/// let options = UpstreamOptions { region: Some("eu-central-1".into()), ..Default::default() };
/// assert!(Upstream::configured("aws", bedrock()?, options).is_ok());
///
/// let without = Upstream::configured("aws", bedrock()?, UpstreamOptions::default());
/// assert_eq!(without.unwrap_err().to_string(), "`region` is missing");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamOptions {
    /// Where it is, where the descriptor does not know or another place is meant.
    pub base_url: Option<String>,
    /// How the credential is shown, where other than the descriptor says (`bearer` for an Entra
    /// token at Azure).
    pub auth: Option<Auth>,
    /// The AWS region (`eu-central-1`).
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
    pub deployments: BTreeMap<String, String>,
    /// The dialects to speak with it, the preferred one first; empty: as the descriptor says.
    pub dialects: Vec<String>,
    /// Models to list. Where none are given, the provider is asked.
    pub models: Vec<String>,
    /// Whether its streams may be asked to report usage when a limit counts tokens.
    pub stream_usage: Option<bool>,
    /// Headers to send with every request. Their values are not printed.
    pub headers: BTreeMap<String, String>,
    /// What to add to the query of every address. No place for secrets: addresses are printed.
    pub query: BTreeMap<String, String>,
    /// What holds of it (`region = "eu"`, `training = "no"`), for routing by it.
    pub labels: BTreeMap<String, String>,
}

impl UpstreamOptions {
    /// A setting that may stand in an address, if it is given.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let value = match name {
            "region" => &self.region,
            "project" => &self.project,
            "location" => &self.location,
            "resource" => &self.resource,
            "account" => &self.account,
            "api_version" => &self.api_version,
            _ => return None,
        };
        value.as_deref()
    }

    /// Gives a setting by the name that an address has for it (`region`, `project`, …), as found
    /// under [`Provider::setting_env`](crate::Provider::setting_env). `false`: there is none of
    /// this name.
    pub fn set(&mut self, name: &str, value: String) -> bool {
        let place = match name {
            "base_url" => &mut self.base_url,
            "region" => &mut self.region,
            "project" => &mut self.project,
            "location" => &mut self.location,
            "resource" => &mut self.resource,
            "account" => &mut self.account,
            "api_version" => &mut self.api_version,
            _ => return false,
        };
        *place = Some(value);
        true
    }
}

impl fmt::Debug for UpstreamOptions {
    /// Everything but the values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamOptions")
            .field("base_url", &self.base_url)
            .field("auth", &self.auth)
            .field("region", &self.region)
            .field("project", &self.project)
            .field("location", &self.location)
            .field("resource", &self.resource)
            .field("account", &self.account)
            .field("api_version", &self.api_version)
            .field("deployments", &self.deployments)
            .field("dialects", &self.dialects)
            .field("models", &self.models)
            .field("stream_usage", &self.stream_usage)
            .field("headers", &self.headers.keys())
            .field("query", &self.query)
            .field("labels", &self.labels)
            .finish()
    }
}
