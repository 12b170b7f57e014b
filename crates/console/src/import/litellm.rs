//! `LiteLLM`'s `config.yaml` (<https://docs.litellm.ai/docs/proxy/configs>).

mod params;
mod settings;

use std::collections::BTreeMap;

use doorward_gateway::config::Syntax;
use serde_json::Value;

use self::params::Deployment;
use super::Imported;
use super::toml_text::Table;
use crate::Failure;

/// What was left behind, with its place.
#[derive(Debug, Default)]
struct Left(Vec<String>);

impl Left {
    fn tell(&mut self, place: &str, why: &str) {
        self.0.push(format!("{place}: {why}"));
    }
}

pub(super) fn import(yaml: &str) -> Result<Imported, Failure> {
    let whole: BTreeMap<String, Value> = Syntax::read_yaml(yaml)
        .map_err(|error| Failure::of("not a LiteLLM configuration", error))?;
    let Some(list) = whole.get("model_list").and_then(Value::as_array) else {
        return Err(Failure::new("not a LiteLLM configuration: no `model_list`"));
    };
    let mut left = Left::default();
    let mut upstreams = Upstreams::default();
    let mut groups: Vec<Group> = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let place = format!("model_list[{at}]");
        let Some(deployment) = params::read(entry, &place, &mut left) else { continue };
        let name = deployment.group.clone();
        let target = Target {
            name: format!("{}/{}", upstreams.name(&deployment), deployment.model),
            weight: deployment.weight,
            order: deployment.order,
            price: deployment.price,
        };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.targets.push(target),
            None => groups.push(Group { name, targets: vec![target] }),
        }
    }
    let settings = settings::read(&whole, &mut left);
    let mut config = String::new();
    upstreams.write(&mut config);
    for group in &groups {
        group.write(&settings, &groups, &mut config, &mut left);
    }
    prices(&groups, &mut config);
    settings.write_rest(&mut config);
    Ok(Imported { config, left: left.0 })
}

/// A model group: several deployments under one name.
struct Group {
    name: String,
    targets: Vec<Target>,
}

struct Target {
    name: String,
    weight: Option<f64>,
    order: Option<i64>,
    price: Option<(f64, f64)>,
}

impl Group {
    fn write(
        &self,
        settings: &settings::Settings,
        groups: &[Self],
        config: &mut String,
        left: &mut Left,
    ) {
        let mut sorted: Vec<&Target> = self.targets.iter().collect();
        sorted.sort_by_key(|target| target.order.unwrap_or(i64::MAX));
        let ordered = self.targets.iter().any(|target| target.order.is_some());
        let single = sorted.len() == 1;
        let strategy = if ordered || single { "fallback" } else { settings.strategy };
        let scale = scale(&self.targets);
        let weight = |target: &Target| match (strategy, target.weight) {
            ("weighted", Some(weight)) => {
                let (name, weight) = (super::toml_text::quoted(&target.name), weight * scale);
                format!("{{ target = {name}, weight = {weight:.0} }}")
            }
            _ => super::toml_text::quoted(&target.name),
        };
        let mut targets: Vec<String> = sorted.iter().map(|target| weight(target)).collect();
        for name in settings.fallbacks_of(&self.name) {
            match groups.iter().find(|group| group.name == *name) {
                Some(group) if strategy == "fallback" => {
                    targets.extend(group.targets.iter().map(weight));
                }
                Some(group) if strategy == "weighted" => {
                    let last = |target: &Target| {
                        let name = super::toml_text::quoted(&target.name);
                        format!("{{ target = {name}, weight = 0 }}")
                    };
                    targets.extend(group.targets.iter().map(last));
                }
                Some(_) => left.tell(
                    &format!("fallbacks of {}", self.name),
                    "with this routing strategy all targets of an alias are equals; put the \
                     fallback into an alias of its own",
                ),
                None => left.tell(&format!("fallbacks of {}", self.name), "no such model group"),
            }
        }
        let mut seen = Vec::new();
        targets.retain(|target| {
            let new = !seen.contains(target);
            seen.push(target.clone());
            new
        });
        let mut table = Table::of_list("alias");
        table.text("name", &self.name).text("strategy", strategy);
        table.raw("targets", format!("[{}]", targets.join(", ")));
        if let Some(retries) = settings.retries {
            table.raw("retries", retries.to_string());
        }
        table.write(config);
    }
}

/// What makes the weights whole numbers, as they are here: 1, or 100 for fractions.
fn scale(targets: &[Target]) -> f64 {
    let fraction = |target: &Target| target.weight.is_some_and(|weight| weight.fract() > 0.0);
    if targets.iter().any(fraction) { 100.0 } else { 1.0 }
}

/// The upstreams that the deployments need: one for each place and key.
#[derive(Default)]
struct Upstreams(Vec<(String, Deployment)>);

impl Upstreams {
    fn name(&mut self, deployment: &Deployment) -> String {
        let same = |other: &Deployment| other.upstream() == deployment.upstream();
        if let Some((name, known)) = self.0.iter_mut().find(|(_, known)| same(known)) {
            known.deployments.extend(deployment.deployments.clone());
            return name.clone();
        }
        let taken = |name: &str| self.0.iter().any(|(other, _)| other == name);
        let first = deployment.provider.replace('.', "-");
        let mut name = first.clone();
        let mut number = 2;
        while taken(&name) {
            name = format!("{first}-{number}");
            number += 1;
        }
        self.0.push((name.clone(), deployment.clone()));
        name
    }

    fn write(&self, config: &mut String) {
        for (name, deployment) in &self.0 {
            deployment.table(name).write(config);
        }
    }
}

/// Prices that were given with a deployment, for a million tokens instead of one.
fn prices(groups: &[Group], config: &mut String) {
    let mut told: Vec<&str> = Vec::new();
    for target in groups.iter().flat_map(|group| &group.targets) {
        let Some((input, output)) = target.price else { continue };
        if told.contains(&target.name.as_str()) {
            continue;
        }
        told.push(&target.name);
        let million = |price: f64| {
            let text = format!("{:.6}", price * 1e6);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let mut table = Table::of_list("price");
        table
            .text("model", &target.name)
            .raw("input", million(input))
            .raw("output", million(output));
        table.write(config);
    }
}

#[cfg(test)]
mod tests;
