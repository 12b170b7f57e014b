//! What no single key can tell: names that must be unique, references that must lead somewhere.

mod content;
mod issuers;
mod oauth;
mod servers;

use std::collections::HashSet;

use doorward_ledger::Unpriced;
use doorward_model_router::{AliasTarget, Provider, Target, Upstream, UpstreamError};

use super::Root;
use super::error::{nearest, quoted};
use super::locate::Step;

/// What is wrong, and at which key.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) trail: Vec<Step>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

fn fault(
    section: &str,
    index: usize,
    key: impl IntoIterator<Item = Step>,
    message: impl Into<String>,
) -> Fault {
    let mut trail = vec![Step::from(section), Step::from(index)];
    trail.extend(key);
    Fault { trail, message: message.into(), suggestion: None }
}

impl Fault {
    fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion;
        self
    }
}

/// Checks the whole.
pub(super) fn check(root: &Root) -> Result<(), Fault> {
    storage(root)?;
    upstreams(root)?;
    aliases(root)?;
    teams(root)?;
    servers(root)?;
    oauth::public(root)?;
    profiles(root)?;
    mcp(root)?;
    limits(root)?;
    issuers::issuers(root)?;
    policy(root)?;
    contracts(root)?;
    content::check(root)
}

fn storage(root: &Root) -> Result<(), Fault> {
    if root.storage.sqlite_path().is_some() {
        return Ok(());
    }
    Err(Fault {
        trail: vec!["storage".into(), "url".into()],
        message: format!("`{}` is not a storage this build has", root.storage.url),
        suggestion: Some("expected `sqlite://path/to/doorward.db`".to_owned()),
    })
}

/// A name that goes into tool and model names.
fn name(section: &str, index: usize, name: &str, seen: &mut HashSet<String>) -> Result<(), Fault> {
    let key = || [Step::from("name")];
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(legal) {
        let message = format!("`{name}` is no name");
        let expected = "expected letters, digits, `-`, `_` and `.`".to_owned();
        return Err(fault(section, index, key(), message).suggest(Some(expected)));
    }
    if !seen.insert(name.to_owned()) {
        return Err(fault(section, index, key(), format!("another {section} is called `{name}`")));
    }
    Ok(())
}

fn upstreams(root: &Root) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, upstream) in root.upstream.iter().enumerate() {
        name("upstream", index, &upstream.name, &mut seen)?;
        let Some(provider) = Provider::named(&upstream.provider) else {
            let known: Vec<&str> = Provider::names().collect();
            let suggestion = nearest(&upstream.provider, &known)
                .unwrap_or_else(|| format!("expected one of {}", quoted(&known)));
            let message = format!("unknown provider `{}`", upstream.provider);
            return Err(
                fault("upstream", index, ["provider".into()], message).suggest(Some(suggestion))
            );
        };
        let made = Upstream::configured(upstream.name.as_str(), provider, upstream.options());
        if let Err(error) = made {
            upstream_fault(index, &error)?;
        }
        if upstream.aws.is_some() && (upstream.api_key.is_some() || !upstream.api_keys.is_empty()) {
            return Err(fault("upstream", index, ["aws".into()], "both `aws` and a key are given"));
        }
    }
    Ok(())
}

/// What is wrong with an upstream. A setting that is missing may still be in the environment.
fn upstream_fault(index: usize, error: &UpstreamError) -> Result<(), Fault> {
    let key = match error {
        UpstreamError::Missing(_) => return Ok(()),
        UpstreamError::BadSetting(key) => key.as_str(),
        UpstreamError::NoSuchDialect { .. } => "dialects",
        UpstreamError::BadHeader(_) => "headers",
        _ => "base_url",
    };
    Err(fault("upstream", index, [key.into()], error.to_string()))
}

fn teams(root: &Root) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, team) in root.team.iter().enumerate() {
        if team.name.is_empty() || !seen.insert(&team.name) {
            let message = format!("`{}` is empty or another team", team.name);
            return Err(fault("team", index, ["name".into()], message));
        }
        let nothing = team.require.iter().find(|(_, wanted)| wanted.to_vec().is_empty());
        if let Some((label, _)) = nothing {
            let key = [Step::from("require"), Step::from(label.as_str())];
            return Err(fault("team", index, key, "no value would do: the list is empty"));
        }
    }
    Ok(())
}

fn aliases(root: &Root) -> Result<(), Fault> {
    let upstreams: Vec<&str> = root.upstream.iter().map(|u| u.name.as_str()).collect();
    let mut seen = HashSet::new();
    for (index, alias) in root.alias.iter().enumerate() {
        let name = alias.name.as_str();
        if name.is_empty() || !seen.insert(name) {
            let message = format!("`{name}` is empty or taken by another alias");
            return Err(fault("alias", index, ["name".into()], message));
        }
        if alias.targets.is_empty() {
            return Err(fault("alias", index, ["targets".into()], "no targets"));
        }
        let own = vec![Step::from("targets")];
        let rules = alias.rules.iter().enumerate();
        let rules = rules.map(|(at, rule)| {
            (vec![Step::from("rules"), Step::from(at), Step::from("targets")], &rule.targets)
        });
        for (trail, targets) in [(own, &alias.targets)].into_iter().chain(rules) {
            known_targets(index, &trail, targets, &upstreams)?;
        }
    }
    Ok(())
}

fn known_targets(
    index: usize,
    trail: &[Step],
    targets: &[AliasTarget],
    upstreams: &[&str],
) -> Result<(), Fault> {
    for (at, target) in targets.iter().enumerate() {
        let upstream = &target.target.upstream;
        if !upstreams.contains(&&**upstream) {
            let message = format!("no upstream is called `{upstream}`");
            let key = trail.iter().cloned().chain([Step::from(at)]);
            return Err(fault("alias", index, key, message).suggest(nearest(upstream, upstreams)));
        }
    }
    Ok(())
}

fn servers(root: &Root) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, server) in root.server.iter().enumerate() {
        name("server", index, &server.name, &mut seen)?;
        if !doorward_mcp_broker::is_server_name(&server.name) {
            let expected = "expected 1 to 32 letters, digits, `-` and `_`, without `__` and \
                            without `_` at the end, as tools are called server__tool";
            let message = format!("`{}` cannot stand before a tool's name", server.name);
            return Err(fault("server", index, [Step::from("name")], message)
                .suggest(Some(expected.to_owned())));
        }
        servers::check(index, server)?;
    }
    Ok(())
}

fn profiles(root: &Root) -> Result<(), Fault> {
    let servers: Vec<&str> = root.server.iter().map(|s| s.name.as_str()).collect();
    let mut seen: HashSet<String> = servers.iter().map(|&s| s.to_owned()).collect();
    for (index, profile) in root.profile.iter().enumerate() {
        name("profile", index, &profile.name, &mut seen)?;
        for (at, server) in profile.servers.iter().enumerate() {
            if !servers.contains(&server.as_str()) {
                let key = [Step::from("servers"), Step::from(at)];
                let message = format!("no server is called `{server}`");
                return Err(
                    fault("profile", index, key, message).suggest(nearest(server, &servers))
                );
            }
        }
    }
    Ok(())
}

fn mcp(root: &Root) -> Result<(), Fault> {
    let zero = [("page", root.mcp.page == 0), ("session_ttl", root.mcp.session_ttl.0.is_zero())];
    match zero.into_iter().find(|(_, zero)| *zero) {
        None => Ok(()),
        Some((key, _)) => Err(Fault {
            trail: vec!["mcp".into(), key.into()],
            message: "expected more than 0".to_owned(),
            suggestion: None,
        }),
    }
}

fn limits(root: &Root) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, limit) in root.limit.iter().enumerate() {
        name("limit", index, &limit.name, &mut seen)?;
        limit.check().map_err(|error| fault("limit", index, [], error.to_string()))?;
    }
    for (index, price) in root.price.iter().enumerate() {
        if let Err(error) = price.model.parse::<Target>() {
            return Err(fault("price", index, ["model".into()], error.to_string()));
        }
    }
    if root.ledger.unpriced == Unpriced::Estimate && root.ledger.fallback.is_none() {
        return Err(Fault {
            trail: vec!["ledger".into(), "unpriced".into()],
            message: "`estimate` needs a price to estimate with".to_owned(),
            suggestion: Some(
                "expected `fallback = { input = …, output = … }` beside it".to_owned(),
            ),
        });
    }
    Ok(())
}

fn policy(root: &Root) -> Result<(), Fault> {
    let Some(policy) = &root.policy else { return Ok(()) };
    if policy.files.is_empty() {
        return Err(Fault {
            trail: vec!["policy".into(), "files".into()],
            message: "no files: nothing would be decided by them".to_owned(),
            suggestion: Some("expected `files = [\"house.cedar\"]`".to_owned()),
        });
    }
    Ok(())
}

fn contracts(root: &Root) -> Result<(), Fault> {
    let contracts = doorward_guardrails::Contracts::compile(root.contract.clone())
        .map_err(|error| fault("contract", error.index, [], error.to_string()))?;
    contracts.with_packs(root.guard.packs.iter().map(String::as_str)).map_err(|error| Fault {
        trail: vec!["guard".into(), "packs".into()],
        message: error.to_string(),
        suggestion: None,
    })?;
    Ok(())
}
