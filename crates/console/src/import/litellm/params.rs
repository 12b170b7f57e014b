//! One deployment of `model_list`.

use std::collections::BTreeMap;

use doorward_model_router::Provider;
use serde_json::{Map, Value};

use super::Left;
use crate::import::toml_text::{Table, env, quoted};

/// One deployment, in our words.
#[derive(Debug, Clone, Default)]
pub(super) struct Deployment {
    pub(super) group: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) weight: Option<f64>,
    pub(super) order: Option<i64>,
    /// US dollars for a token of input and of output.
    pub(super) price: Option<(f64, f64)>,
    /// Azure: model to deployment.
    pub(super) deployments: BTreeMap<String, String>,
    /// Keys of the upstream's table, in order, as TOML.
    keys: Vec<(&'static str, String)>,
}

impl Deployment {
    /// What tells upstreams apart.
    pub(super) fn upstream(&self) -> (&str, &[(&'static str, String)]) {
        (&self.provider, &self.keys)
    }

    pub(super) fn table(&self, name: &str) -> Table {
        let mut table = Table::of_list("upstream");
        table.text("name", name).text("provider", &self.provider);
        for (key, value) in &self.keys {
            table.raw(key, value.clone());
        }
        if !self.deployments.is_empty() {
            let pairs: Vec<String> = self
                .deployments
                .iter()
                .map(|(model, there)| format!("{} = {}", quoted(model), quoted(there)))
                .collect();
            table.raw("deployments", format!("{{ {} }}", pairs.join(", ")));
        }
        table
    }
}

/// `LiteLLM`'s provider prefixes that are called otherwise here.
const PROVIDERS: [(&str, &str); 16] = [
    ("azure_ai", "azure"),
    ("bedrock_converse", "bedrock"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("gemini", "gemini"),
    ("google_ai_studio", "gemini"),
    ("together_ai", "together"),
    ("fireworks_ai", "fireworks"),
    ("hosted_vllm", "vllm"),
    ("ollama_chat", "ollama"),
    ("vercel_ai_gateway", "vercel"),
    ("cohere_chat", "cohere"),
    ("text-completion-openai", "openai"),
    ("custom_openai", "openai-compatible"),
    ("openai_like", "openai-compatible"),
    ("litellm_proxy", "openai-compatible"),
];

pub(super) fn read(entry: &Value, place: &str, left: &mut Left) -> Option<Deployment> {
    let Some(group) = entry.get("model_name").and_then(Value::as_str) else {
        left.tell(place, "no `model_name`");
        return None;
    };
    let Some(params) = entry.get("litellm_params").and_then(Value::as_object) else {
        left.tell(place, "no `litellm_params`");
        return None;
    };
    let Some(model) = params.get("model").and_then(Value::as_str) else {
        left.tell(&format!("{place}.litellm_params.model"), "no model");
        return None;
    };
    let (provider, model) = split(model, params);
    let Some(provider) = provider else {
        let why = format!("no provider of this name here: `{model}`");
        left.tell(&format!("{place}.litellm_params.model"), &why);
        return None;
    };
    if model.contains('*') || group.contains('*') {
        let why = "wildcards need no alias: write the model as `upstream/model`";
        left.tell(&format!("{place}.model_name"), why);
        return None;
    }
    let mut made = Deployment { group: group.to_owned(), provider, model, ..Deployment::default() };
    let within = format!("{place}.litellm_params");
    Params { told: params, place: &within, left }.carry(&mut made);
    if let Some(info) = entry.get("model_info").and_then(Value::as_object) {
        made.price = made.price.or_else(|| price(info));
        let informative = ["id", "mode", "base_model", "description", "input_cost_per_token"];
        for key in info.keys().filter(|key| !informative.contains(&key.as_str())) {
            if key != "output_cost_per_token" {
                left.tell(&format!("{place}.model_info.{key}"), "not known here");
            }
        }
    }
    Some(made)
}

/// The provider and its model's name.
fn split(model: &str, params: &Map<String, Value>) -> (Option<String>, String) {
    let named = params.get("custom_llm_provider").and_then(Value::as_str);
    let (prefix, rest) = match (named, model.split_once('/')) {
        (Some(named), _) => (named, model),
        (None, Some((prefix, rest))) => (prefix, rest),
        (None, None) if model.starts_with("claude") => ("anthropic", model),
        (None, None) => ("openai", model),
    };
    let ours = PROVIDERS.iter().find(|(theirs, _)| *theirs == prefix).map_or(prefix, |it| it.1);
    let rest = rest.strip_prefix("converse/").or(rest.strip_prefix("responses/")).unwrap_or(rest);
    let base = params.get("api_base").or(params.get("base_url")).is_some();
    let dated = params.get("api_version").and_then(Value::as_str);
    let dated = dated.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    if ours == "azure" && dated {
        // A version that is a date is of the classic API, where the deployment stands in the address.
        return (Some("azure-deployments".to_owned()), rest.to_owned());
    }
    if ours == "openai" && base {
        return (Some("openai-compatible".to_owned()), rest.to_owned());
    }
    if Provider::named(ours).is_some() {
        return (Some(ours.to_owned()), rest.to_owned());
    }
    if base {
        return (Some("openai-compatible".to_owned()), rest.to_owned());
    }
    (None, model.to_owned())
}

/// The parameters of a deployment on their way into ours.
struct Params<'a> {
    told: &'a Map<String, Value>,
    place: &'a str,
    left: &'a mut Left,
}

impl Params<'_> {
    fn carry(mut self, made: &mut Deployment) {
        let mut aws = BTreeMap::new();
        for (key, value) in self.told {
            let place = format!("{}.{key}", self.place);
            match key.as_str() {
                "model"
                | "custom_llm_provider"
                | "input_cost_per_token"
                | "output_cost_per_token" => {}
                "api_base" | "base_url" => self.plain(made, "base_url", value, &place),
                "api_version" => self.plain(made, "api_version", value, &place),
                "aws_region_name" => self.plain(made, "region", value, &place),
                "vertex_project" => self.plain(made, "project", value, &place),
                "vertex_location" => self.plain(made, "location", value, &place),
                "api_key" => self.secret(made, "api_key", value, &place),
                "vertex_credentials" => self.secret(made, "service_account", value, &place),
                "aws_access_key_id" | "aws_secret_access_key" | "aws_session_token" => {
                    let name = key.strip_prefix("aws_").unwrap_or(key);
                    if let Some(reference) = self.reference(value, &place) {
                        aws.insert(name.to_owned(), reference);
                    }
                }
                "weight" => made.weight = value.as_f64(),
                "order" => made.order = value.as_i64(),
                "rpm" | "tpm" | "max_parallel_requests" => self
                    .left
                    .tell(&place, "limits are for keys, teams and models here; see [[limit]]"),
                "timeout" | "stream_timeout" => {
                    self.left.tell(&place, "timeouts are the alias's or the upstream's here");
                }
                _ => self.left.tell(&place, "not known here"),
            }
        }
        if !aws.is_empty() {
            let pairs: Vec<String> = aws.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            made.keys.push(("aws", format!("{{ {} }}", pairs.join(", "))));
        }
        made.price = price(self.told);
        made.keys.sort();
    }

    fn plain(&mut self, made: &mut Deployment, key: &'static str, value: &Value, place: &str) {
        match value.as_str() {
            Some(text) if text.starts_with("os.environ/") => {
                self.left.tell(place, "only secrets are read from the environment here");
            }
            Some(text) => made.keys.push((key, quoted(text))),
            None => self.left.tell(place, "expected text"),
        }
    }

    fn secret(&mut self, made: &mut Deployment, key: &'static str, value: &Value, place: &str) {
        if let Some(reference) = self.reference(value, place) {
            made.keys.push((key, reference));
        }
    }

    /// Where a secret is. One that is written in the file is not copied: it is asked for under a
    /// variable's name.
    fn reference(&mut self, value: &Value, place: &str) -> Option<String> {
        let text = value.as_str().filter(|text| !text.is_empty());
        let Some(text) = text else {
            self.left.tell(place, "expected text");
            return None;
        };
        if let Some(name) = text.strip_prefix("os.environ/") {
            return Some(env(name));
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = place.chars().map(plain).collect();
        let name = format!("IMPORTED_{}", name.replace("__", "_"));
        let why = format!("secrets are not copied: set the environment variable {name}");
        self.left.tell(place, &why);
        Some(env(&name))
    }
}

fn price(of: &Map<String, Value>) -> Option<(f64, f64)> {
    let of = |key: &str| of.get(key).and_then(Value::as_f64);
    Some((of("input_cost_per_token")?, of("output_cost_per_token")?))
}
