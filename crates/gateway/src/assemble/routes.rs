//! The model plane, put together: upstreams, their credentials, routes, prices and limits.

use std::path::Path;
use std::sync::Arc;

use doorward_core::{Credential, Credentials, Ledger, Models, Secret};
use doorward_identity::StaticCredentials;
use doorward_ledger::{Catalogue, Limits, Prices};
use doorward_model_router::{
    CacheLimits, Cached, HttpTransport, Provider, ResponseCache, Router, Timeouts, TokioPause,
    Upstream, UpstreamOptions,
};

use super::servers::secret_value;
use super::{Any, StartError, Surroundings};
use crate::config::{
    AwsKeys, Environment, Root, SecretRef, SecretRefError, UpstreamConfig, UpstreamTimeouts,
};

/// The configured upstreams; where none is, those whose keys are in the environment under the
/// names that the vendors' own tools use.
pub fn upstreams(root: &Root, environment: &Environment) -> Vec<UpstreamConfig> {
    if !root.upstream.is_empty() {
        return root.upstream.clone();
    }
    let found = Provider::names().filter_map(|name| {
        let provider = Provider::named(name)?;
        provider.key_env.iter().find(|variable| environment.var(variable).is_some())?;
        let config = UpstreamConfig::named_after(name);
        // A provider that needs more than its key is found with all of it or not at all.
        let options = options(&config, &provider, environment);
        Upstream::configured(name, provider, options).is_ok().then_some(config)
    });
    found.collect()
}

/// What the configuration says of an upstream, and the environment where it says nothing.
fn options(
    upstream: &UpstreamConfig,
    provider: &Provider,
    environment: &Environment,
) -> UpstreamOptions {
    let mut options = upstream.options();
    if options.base_url.is_none() {
        let told = provider.base_url_env.as_deref().and_then(|name| environment.var(name));
        options.base_url = told.map(str::to_owned);
    }
    for (setting, variables) in &provider.setting_env {
        let value = variables.iter().find_map(|name| environment.var(name));
        if let (Some(value), None) = (value, options.setting(setting)) {
            options.set(setting, value.to_owned());
        }
    }
    options
}

pub(super) fn router(
    root: &Root,
    upstreams: &[UpstreamConfig],
    credentials: &Arc<dyn Credentials>,
    limits: &Arc<Limits>,
    around: &Surroundings,
) -> Result<Router, StartError> {
    let transport = HttpTransport::new(Timeouts::default())
        .map_err(|error| StartError::new("no transport to model providers", error))?;
    let prices = limits.clone();
    let mut builder = Router::builder(Arc::new(transport), credentials.clone())
        .clock(around.clock.clone())
        .entropy(around.entropy.clone())
        .pause(Arc::new(TokioPause))
        .prices(Arc::new(move |target: &str| prices.price(target)));
    for config in upstreams {
        builder = builder.upstream(upstream(config, &around.environment)?);
    }
    for alias in &root.alias {
        builder = builder.alias(alias.clone());
    }
    for team in &root.team {
        let require = team.require.iter().map(|(label, wanted)| (label.clone(), wanted.to_vec()));
        builder = builder.require_for_team(team.name.as_str(), require.collect());
    }
    builder.build().map_err(|error| StartError::new("the model routes are wrong", error))
}

fn upstream(config: &UpstreamConfig, environment: &Environment) -> Result<Upstream, StartError> {
    let wrong = |error: Box<Any>| StartError::new(format!("upstream `{}`", config.name), error);
    let provider = Provider::named(&config.provider)
        .ok_or_else(|| wrong(format!("unknown provider `{}`", config.provider).into()))?;
    let options = options(config, &provider, environment);
    let made = Upstream::configured(config.name.as_str(), provider, options)
        .map_err(|error| wrong(error.into()))?;
    let made = made.with_patience(config.timeouts.patience());
    // The transport's own times need not be told with every request.
    let UpstreamTimeouts { connect, idle, .. } = config.timeouts;
    if connect.is_none() && idle.is_none() {
        return Ok(made);
    }
    let defaults = Timeouts::default();
    Ok(made.with_timeouts(Timeouts {
        connect: connect.map_or(defaults.connect, |span| span.0),
        idle: idle.map_or(defaults.idle, |span| span.0),
        ..defaults
    }))
}

/// The answers that are given again, where that is configured.
pub(super) fn cached(root: &Root, router: &Arc<Router>, around: &Surroundings) -> Arc<dyn Models> {
    let Some(config) = &root.cache else { return router.clone() };
    let limits = CacheLimits {
        ttl: config.ttl.0,
        bytes: config.size.as_usize(),
        entry: config.entry.as_usize(),
    };
    let cache = ResponseCache::new(limits, around.clock.clone());
    Arc::new(Cached::new(router.clone(), Arc::new(cache)))
}

pub(super) fn credentials(
    root: &Root,
    upstreams: &[UpstreamConfig],
    environment: &Environment,
) -> Result<StaticCredentials, StartError> {
    let missing = |what: String| move |error: SecretRefError| StartError::new(what, error);
    let mut credentials = StaticCredentials::default();
    for upstream in upstreams {
        let name = upstream.name.as_str();
        let resolve = |what: &str, reference: &SecretRef| {
            let what = format!("the {what} of upstream `{name}`");
            reference.resolve(environment).map_err(missing(what))
        };
        let mut found = Vec::new();
        for reference in upstream.api_key.iter().chain(&upstream.api_keys) {
            found.push(Credential::Key(resolve("API key", reference)?));
        }
        if let Some(reference) = &upstream.service_account {
            found.push(Credential::ServiceAccount(resolve("service account", reference)?));
        }
        if let Some(keys) = &upstream.aws {
            found.push(aws(name, keys, environment)?);
        }
        if found.is_empty() {
            found.extend(vendor_credential(upstream, environment));
        }
        for credential in found {
            credentials = credentials.with_upstream(name, credential);
        }
    }
    for server in &root.server {
        if let Some(header) = &server.header {
            let what = format!("the header of server `{}`", server.name);
            let value = header.value.resolve(environment).map_err(missing(what))?;
            let name = header.name.as_str().into();
            credentials =
                credentials.with_server(server.name.as_str(), Credential::Header { name, value });
        }
    }
    Ok(credentials)
}

fn aws(name: &str, keys: &AwsKeys, environment: &Environment) -> Result<Credential, StartError> {
    let missing = |what: &str| {
        let what = format!("the {what} of upstream `{name}`");
        move |error: SecretRefError| StartError::new(what, error)
    };
    let id =
        secret_value(&keys.access_key_id, environment).map_err(missing("AWS access key id"))?;
    let secret = keys.secret_access_key.resolve(environment);
    let token = keys.session_token.as_ref().map(|token| token.resolve(environment)).transpose();
    Ok(Credential::Aws {
        access_key_id: id.expose().into(),
        secret_access_key: secret.map_err(missing("AWS secret access key"))?,
        session_token: token.map_err(missing("AWS session token"))?,
    })
}

/// The credential under the vendor's own names. Never for an upstream at an address of its own: a
/// vendor's key is for the vendor.
fn vendor_credential(upstream: &UpstreamConfig, environment: &Environment) -> Option<Credential> {
    if upstream.base_url.is_some() {
        return None;
    }
    let provider = Provider::named(&upstream.provider)?;
    let key = provider.key_env.iter().find_map(|name| environment.var(name));
    key.map(|key| Credential::Key(Secret::new(key)))
}

pub(super) fn ledger(
    root: &Root,
    upstreams: &[UpstreamConfig],
    around: &Surroundings,
) -> Result<Limits, StartError> {
    let prices = prices(root, upstreams)?;
    let counters = Arc::new(doorward_ledger::Memory::default());
    let limits = Limits::new(root.limit.clone(), prices, counters, around.clock.clone())
        .map_err(|error| StartError::new("a limit is wrong", error))?;
    Ok(match root.ledger.default_output {
        Some(tokens) => limits.with_default_output(tokens),
        None => limits,
    })
}

/// Every price that is known.
///
/// # Errors
///
/// Where the configured price list cannot be read.
pub(super) fn prices(root: &Root, upstreams: &[UpstreamConfig]) -> Result<Prices, StartError> {
    let mut prices = Prices::new(root.ledger.unpriced).with_catalogue(Catalogue::shipped());
    if let Some(file) = &root.ledger.catalogue {
        prices = prices.with_catalogue(catalogue(file)?);
    }
    for upstream in upstreams {
        prices = prices.with_upstream(upstream.name.as_str(), upstream.provider.as_str());
    }
    for price in &root.price {
        prices = prices.with_rule(price.clone());
    }
    Ok(match &root.ledger.fallback {
        Some(price) => prices.with_fallback(price.clone()),
        None => prices,
    })
}

fn catalogue(file: &Path) -> Result<Catalogue, StartError> {
    let wrong = |error: Box<Any>| {
        StartError::new(format!("the price list {} cannot be used", file.display()), error)
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.into()))?;
    Catalogue::parse(&text).map_err(|error| wrong(error.into()))
}
