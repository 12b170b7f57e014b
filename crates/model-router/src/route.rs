//! From the name a client wrote to the targets to try, in order.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use doorward_core::Pattern;
use serde::{Deserialize, Serialize};

use crate::Upstream;

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

/// In which order an alias tries its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// As written, the next when one fails.
    #[default]
    Fallback,
}

/// A name of our own for a list of targets. The name may be a pattern: `*` catches what nothing
/// else knows.
#[derive(Debug, Clone)]
pub struct Alias {
    /// The name clients write.
    pub name: Pattern,
    /// How the targets are tried.
    pub strategy: Strategy,
    /// The targets.
    pub targets: Vec<Target>,
}

/// The targets for a model name, best first; empty where nothing fits. Aliases go first, exact
/// ones before patterns; then `upstream/model`; then the upstream that a bare name belongs to;
/// then the only upstream there is.
pub(crate) fn targets(model: &str, aliases: &[Alias], upstreams: &[Arc<Upstream>]) -> Vec<Target> {
    let exact = aliases.iter().find(|alias| alias.name.is_exact() && alias.name.matches(model));
    if let Some(alias) = exact {
        return alias.ordered();
    }
    if let Ok(target) = model.parse::<Target>()
        && upstreams.iter().any(|upstream| upstream.name == target.upstream)
    {
        return vec![target];
    }
    if let Some(alias) = aliases.iter().find(|alias| alias.name.matches(model)) {
        return alias.ordered();
    }
    let at =
        |upstream: &Arc<Upstream>| Target { upstream: upstream.name.clone(), model: model.into() };
    if let Some(upstream) = upstreams.iter().find(|upstream| upstream.serves(model)) {
        return vec![at(upstream)];
    }
    match upstreams {
        [only] if !model.contains('/') => vec![at(only)],
        _ => vec![],
    }
}

impl Alias {
    fn ordered(&self) -> Vec<Target> {
        match self.strategy {
            Strategy::Fallback => self.targets.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provider;

    fn upstreams(names: &[&str]) -> Vec<Arc<Upstream>> {
        let make = |name: &&str| {
            let provider = Provider::named(name).unwrap();
            Arc::new(Upstream::new(*name, provider, Some("http://u.test")).unwrap())
        };
        names.iter().map(make).collect()
    }

    fn alias(name: &str, targets: &[&str]) -> Alias {
        let targets = targets.iter().map(|t| t.parse().unwrap()).collect();
        Alias { name: Pattern::new(name), strategy: Strategy::Fallback, targets }
    }

    #[test]
    fn names_lead_to_targets() {
        let aliases = [alias("*", &["openai/catch"]), alias("fast", &["openai/a", "anthropic/b"])];
        let both = upstreams(&["openai", "anthropic"]);
        let one = upstreams(&["openai-compatible"]);
        for (model, aliases, upstreams, expected) in [
            ("fast", &aliases[..], &both, "openai/a anthropic/b"),
            ("openai/gpt-5", &aliases, &both, "openai/gpt-5"),
            ("openai/ft:a/b", &[], &both, "openai/ft:a/b"),
            ("claude-x", &[], &both, "anthropic/claude-x"),
            ("gpt-5-mini", &[], &both, "openai/gpt-5-mini"),
            ("unheard-of", &aliases, &both, "openai/catch"),
            ("unheard-of", &[], &both, ""),
            ("unheard-of", &[], &one, "openai-compatible/unheard-of"),
            ("nobody/unheard-of", &[], &one, ""),
            ("", &[], &both, ""),
        ] {
            let found = targets(model, aliases, upstreams);
            let found: Vec<String> = found.iter().map(Target::to_string).collect();
            assert_eq!(found.join(" "), expected, "{model}");
        }
    }
}
