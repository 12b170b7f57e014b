//! Who is let in: virtual keys, and tokens of the configured issuers.

use std::sync::Arc;
use std::time::Duration;

use doorward_core::Authenticator;
use doorward_identity::jwt::{
    Algorithm, Allowance, Builder, Holds, Issuer, Jwt, Keys, Mapping, Name, Requirement,
};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use doorward_identity::{Authenticators, VirtualKeys};

use super::{StartError, Surroundings};
use crate::config::{AllowConfig, ClaimsOf, IssuerConfig, NameClaim, Root};

/// How often it is seen to that issuers' keys are fresh.
const ISSUER_REFRESH: Duration = Duration::from_secs(20);

/// The door for callers, and what keeps the issuers' keys fresh.
pub(super) struct Door {
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) tokens: Option<Arc<Jwt>>,
}

/// Opens the door to keys and to tokens of the configured issuers.
pub(super) fn door(
    root: &Root,
    keys: Arc<VirtualKeys>,
    around: &Surroundings,
) -> Result<Door, StartError> {
    let Some(tokens) = tokens(root, around)? else {
        return Ok(Door { authenticator: keys, tokens: None });
    };
    let authenticator = Authenticators::new(keys).with_tokens(tokens.clone());
    Ok(Door { authenticator: Arc::new(authenticator), tokens: Some(tokens) })
}

/// Whoever knows the tokens of the configured issuers, if there are any.
fn tokens(root: &Root, around: &Surroundings) -> Result<Option<Arc<Jwt>>, StartError> {
    if root.issuer.is_empty() {
        return Ok(None);
    }
    let http = |reach: Reach| HyperHttp::new(reach, None).map(Arc::new).map_err(unusable);
    let builder = Jwt::builder(http(Reach::default())?, around.clock.clone());
    let built = root.issuer.iter().try_fold(builder, |builder: Builder, config| {
        let issuer = issuer(config)?;
        Ok::<_, StartError>(if config.allow_private {
            let reach = Reach::default().with_private_networks();
            builder.issuer_within(issuer, http(reach.clone())?, reach)
        } else {
            builder.issuer(issuer)
        })
    })?;
    built.build().map(|jwt| Some(Arc::new(jwt))).map_err(unusable)
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    StartError::new("the issuers of tokens cannot be used", error)
}

/// The issuer that is configured so.
///
/// # Errors
///
/// Where its key set is in a file that cannot be read.
fn issuer(config: &IssuerConfig) -> Result<Issuer, StartError> {
    let keys = match (&config.metadata, &config.jwks_url, &config.jwks_file) {
        (Some(metadata), ..) => Keys::DiscoveredAt(metadata.clone()),
        (None, Some(url), _) => Keys::At(url.clone()),
        (None, None, Some(file)) => {
            let unread = |error| StartError::new(format!("{}: unreadable", file.display()), error);
            Keys::Inline(std::fs::read_to_string(file).map_err(unread)?)
        }
        (None, None, None) => Keys::Discovered,
    };
    let mut issuer = Issuer::new(config.url.as_str(), config.audiences.iter().cloned())
        .with_keys(keys)
        .with_tenants(config.tenants.iter().cloned())
        .with_mapping(mapping(config));
    if let Some(names) = &config.algorithms {
        let algorithms: Result<Vec<Algorithm>, _> = names.iter().map(|name| name.parse()).collect();
        issuer = issuer.with_algorithms(algorithms.map_err(unusable)?);
    }
    if let Some(clients) = &config.clients {
        issuer = issuer.with_clients(clients.iter().cloned());
    }
    if let Some(skew) = config.skew {
        issuer = issuer.with_skew(skew.0);
    }
    if let Some(oldest) = config.max_age {
        issuer = issuer.with_max_age(oldest.0);
    }
    for required in &config.require {
        let claim = required.claim.as_str();
        issuer = issuer.with_requirement(match required.any_of.as_slice() {
            [] => Requirement::present(claim),
            values => Requirement::any_of(claim, values.iter().cloned()),
        });
    }
    let mut only = |yes: bool, with: fn(Issuer) -> Issuer| {
        if yes {
            issuer = with(issuer.clone());
        }
    };
    only(config.access_tokens_only, Issuer::with_access_tokens_only);
    only(config.id_tokens, Issuer::with_id_tokens);
    only(config.dpop_only, Issuer::with_bound_tokens_only);
    Ok(issuer)
}

fn mapping(config: &IssuerConfig) -> Mapping {
    let mut mapping = match config.claims {
        ClaimsOf::Standard => Mapping::default(),
        ClaimsOf::Okta => Mapping::okta(),
        ClaimsOf::Entra => Mapping::entra(),
        ClaimsOf::Keycloak => Mapping::keycloak(),
    };
    if let Some(names) = &config.names {
        let name = |NameClaim { claim, unique }: &NameClaim| match unique {
            true => Name::unique(claim.as_str()),
            false => Name::within_issuer(claim.as_str()),
        };
        mapping = mapping.with_names(names.iter().map(name));
    }
    if let Some(claims) = &config.person_claims {
        mapping = mapping.with_person_claims(claims.iter().map(String::as_str));
    }
    if let Some(claim) = &config.team {
        mapping = mapping.with_team(claim.as_str());
    }
    if let Some(claim) = &config.groups {
        mapping = mapping.with_groups(claim.as_str());
    }
    if let Some(claims) = &config.roles {
        mapping = mapping.with_roles(claims.iter().map(String::as_str));
    }
    for (client, name) in &config.services {
        mapping = mapping.with_service(client.as_str(), name.as_str());
    }
    config.allow.iter().filter_map(allowance).fold(mapping, Mapping::with_allowance)
}

fn allowance(config: &AllowConfig) -> Option<Allowance> {
    let AllowConfig { group, role, scope, team, models, tools } = config;
    let named = |name: &Option<String>, holds: fn(Arc<str>) -> Holds| {
        name.as_deref().map(|name| holds(name.into()))
    };
    let holds = named(group, Holds::Group)
        .or_else(|| named(role, Holds::Role))
        .or_else(|| named(scope, Holds::Scope))?;
    let team = team.as_deref().map(Arc::from);
    Some(Allowance { holds, team, models: models.clone(), tools: tools.clone() })
}

/// Keeps the issuers' keys fresh, so that no call waits for them.
pub(super) async fn refresh(tokens: Option<Arc<Jwt>>) {
    let Some(tokens) = tokens else { return };
    let mut every = tokio::time::interval(ISSUER_REFRESH);
    loop {
        every.tick().await;
        tokens.refresh().await;
    }
}
