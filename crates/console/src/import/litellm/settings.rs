//! What stands beside `model_list`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Left;
use crate::import::toml_text::Table;

/// The settings that have a counterpart here.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) strategy: &'static str,
    pub(super) retries: Option<u64>,
    fallbacks: BTreeMap<String, Vec<String>>,
    cache_seconds: Option<u64>,
}

impl Settings {
    pub(super) fn fallbacks_of(&self, group: &str) -> &[String] {
        let own = self.fallbacks.get(group).or_else(|| self.fallbacks.get("*"));
        own.map_or(&[], Vec::as_slice)
    }

    pub(super) fn write_rest(&self, config: &mut String) {
        let mut cache = Table::single("cache");
        if let Some(seconds) = self.cache_seconds {
            cache.text("ttl", &format!("{seconds}s"));
        }
        if !cache.is_empty() {
            cache.write(config);
        }
    }
}

pub(super) fn read(whole: &BTreeMap<String, Value>, left: &mut Left) -> Settings {
    let mut settings = Settings { strategy: "weighted", ..Settings::default() };
    for (section, value) in whole {
        match (section.as_str(), value.as_object()) {
            ("model_list", _) => {}
            ("router_settings", Some(keys)) => settings.router(keys, left),
            ("litellm_settings", Some(keys)) => settings.library(keys, left),
            ("general_settings", Some(keys)) => general(keys, left),
            ("environment_variables", _) => left
                .tell(section, "Doorward reads the process's environment; set the variables there"),
            ("mcp_servers", Some(servers)) => {
                for name in servers.keys() {
                    let why = "write it as a [[server]]";
                    left.tell(&format!("mcp_servers.{name}"), why);
                }
            }
            ("guardrails", _) => {
                left.tell(section, "Doorward guards by contracts, not by classifiers");
            }
            _ => left.tell(section, "not known here"),
        }
    }
    settings
}

impl Settings {
    fn router(&mut self, keys: &Map<String, Value>, left: &mut Left) {
        for (key, value) in keys {
            let place = format!("router_settings.{key}");
            match key.as_str() {
                "routing_strategy" => self.strategy(value, &place, left),
                "num_retries" => self.retries = value.as_u64(),
                "fallbacks" | "default_fallbacks" => self.fallbacks(value, &place, left),
                "allowed_fails" | "cooldown_time" | "disable_cooldowns" => {
                    left.tell(&place, "a target's health is judged by itself here");
                }
                "redis_host" | "redis_port" | "redis_password" | "redis_url" => {
                    left.tell(&place, "counts are shared through [storage]");
                }
                _ => left.tell(&place, "not known here"),
            }
        }
    }

    fn strategy(&mut self, value: &Value, place: &str, left: &mut Left) {
        self.strategy = match value.as_str().unwrap_or_default() {
            "simple-shuffle" => "weighted",
            "least-busy" => "least-busy",
            "latency-based-routing" => "latency",
            "cost-based-routing" => "cheapest",
            other => {
                left.tell(place, &format!("`{other}` is not known here; `weighted` stands in"));
                "weighted"
            }
        };
    }

    fn library(&mut self, keys: &Map<String, Value>, left: &mut Left) {
        for (key, value) in keys {
            let place = format!("litellm_settings.{key}");
            match key.as_str() {
                "num_retries" => self.retries = self.retries.or(value.as_u64()),
                "fallbacks" | "default_fallbacks" => self.fallbacks(value, &place, left),
                // What another dialect cannot carry is always left out, and on record.
                "drop_params" if value == &Value::Bool(true) => {}
                "cache" if value == &Value::Bool(false) => {}
                "cache" => self.cache_seconds = Some(self.cache_seconds.unwrap_or(600)),
                "cache_params" => {
                    let ttl = value.get("ttl").and_then(Value::as_u64);
                    self.cache_seconds = ttl.or(self.cache_seconds);
                    let kind = value.get("type").and_then(Value::as_str);
                    if let Some(kind) = kind.filter(|kind| *kind != "local") {
                        let why = format!("`{kind}`: answers are cached in memory here");
                        left.tell(&format!("{place}.type"), &why);
                    }
                }
                "callbacks" | "success_callback" | "failure_callback" => {
                    left.tell(&place, "the record and OpenTelemetry stand for these");
                }
                _ => left.tell(&place, "not known here"),
            }
        }
    }

    /// `[{from: [to, …]}, …]`, or a list of names for all.
    fn fallbacks(&mut self, value: &Value, place: &str, left: &mut Left) {
        for (at, entry) in value.as_array().into_iter().flatten().enumerate() {
            let names = |value: &Value| -> Vec<String> {
                let list = value.as_array().into_iter().flatten();
                list.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            match entry {
                Value::String(name) => {
                    self.fallbacks.entry("*".to_owned()).or_default().push(name.clone());
                }
                Value::Object(map) => {
                    for (from, to) in map {
                        self.fallbacks.entry(from.clone()).or_default().extend(names(to));
                    }
                }
                _ => left.tell(&format!("{place}[{at}]"), "expected `model: [models]`"),
            }
        }
    }
}

fn general(keys: &Map<String, Value>, left: &mut Left) {
    for key in keys.keys() {
        let why = match key.as_str() {
            "master_key" => "make keys with `doorward keys create`",
            "database_url" => "see [storage]",
            _ => "not known here",
        };
        left.tell(&format!("general_settings.{key}"), why);
    }
}
