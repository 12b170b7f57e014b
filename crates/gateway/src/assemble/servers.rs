//! The MCP servers and the side towards MCP clients, as the configuration says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_core::{Credentials, Digest, Scope, Secret};
use doorward_mcp_broker::pin::{FirstUse, OnChange, PinPolicy};
use doorward_mcp_broker::{
    Broker, Builder, SealKey, SealKeys, Server, ServerKind, Strictness, Validation,
};
use sha2::{Digest as _, Sha256};

use super::{StartError, Storage, Surroundings};
use crate::config::{
    self, CheckArguments, CheckResults, Disclosure, EnvValue, Environment, PinsConfig, Root,
    SecretRef, SecretRefError, ServerConfig, Size, Span, ValidateConfig,
};
use crate::edge::EdgeMcp;
use crate::keep::Keep;
use crate::launcher::SandboxLauncher;
use crate::own::SignInTool;

pub(super) fn broker(
    root: &Root,
    credentials: &Arc<dyn Credentials>,
    storage: &Storage,
    around: &Surroundings,
) -> Result<Broker, StartError> {
    let mut hidden = vec![storage.keep.folder().to_owned(), storage.database.clone()];
    hidden.extend(around.config_file.clone());
    let builder = Broker::builder()
        .credentials(credentials.clone())
        .pins(Arc::new(storage.pins.clone()))
        .clock(around.clock.clone());
    build(builder, root, &hidden, around)
}

fn build(
    builder: Builder,
    root: &Root,
    hidden: &[PathBuf],
    around: &Surroundings,
) -> Result<Broker, StartError> {
    let launcher = SandboxLauncher::new(root, around.launcher.as_ref(), hidden);
    let mut builder = builder.launcher(launcher);
    for server in &root.server {
        builder = builder.server(mcp_server(server, &around.environment)?);
    }
    for profile in &root.profile {
        builder = builder.profile(&profile.name, profile.servers.clone(), profile.tools.clone());
    }
    builder.build().map_err(|error| StartError::new("the MCP servers are wrong", error))
}

/// Whether the MCP servers and the side towards clients can be put together, without starting or
/// opening anything: that documents can be read and keys are keys.
///
/// # Errors
///
/// The first thing that would keep a gateway from starting.
pub fn check_servers(root: &Root, around: &Surroundings) -> Result<(), StartError> {
    session_keys(root, &around.environment)?;
    super::oauth::TokenClients::new(root, &super::oauth::token_store(), around)?;
    build(Broker::builder(), root, &[], around).map(drop)
}

/// The keys for sessions that are configured.
fn session_keys(root: &Root, environment: &Environment) -> Result<Vec<SealKey>, StartError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        StartError::new("a key of `mcp.session_keys` cannot be used", error)
    };
    let key = |reference: &SecretRef| {
        let text = reference.resolve(environment).map_err(|error| wrong(error.into()))?;
        seal_key(&text).map_err(|error| wrong(error.into()))
    };
    root.mcp.session_keys.iter().map(key).collect()
}

/// What the side towards clients needs to know.
pub(super) fn edge(root: &Root, keep: &Keep, around: &Surroundings) -> Result<EdgeMcp, StartError> {
    let mut keys = session_keys(root, &around.environment)?;
    if keys.is_empty() {
        keys.push(numbered(keep.session_key(&*around.entropy)?));
    }
    let mut keys = keys.into_iter();
    let first = keys.next().map(SealKeys::new);
    let keys = first.map(|first| keys.fold(first, SealKeys::with_previous));
    Ok(EdgeMcp {
        keys: keys.unwrap_or_else(|| SealKeys::random(&*around.entropy)),
        epoch: epoch(root),
        session_for: root.mcp.session_ttl.0,
        page: root.mcp.page,
        search: searched(root),
    })
}

/// The tools by which people sign in at servers.
pub(super) fn sign_ins(root: &Root) -> Vec<SignInTool> {
    let asking = root.server.iter().filter(|server| server.asks_people());
    asking.map(|server| SignInTool::new(&server.name, server.prefix)).collect()
}

/// Where tools are searched for instead of listed.
pub(super) fn searched(root: &Root) -> Vec<Scope> {
    let all = (root.mcp.disclosure == Disclosure::Search).then_some(Scope::All);
    let profiles = root.profile.iter().filter(|profile| profile.disclosure == Disclosure::Search);
    all.into_iter()
        .chain(profiles.map(|profile| Scope::Profile(profile.name.as_str().into())))
        .collect()
}

/// A key from its 64 hexadecimal digits.
fn seal_key(text: &Secret) -> Result<SealKey, &'static str> {
    let digest: Result<Digest, _> = serde_json::from_value(text.expose().into());
    // What could not be read is not quoted.
    digest.map(|bytes| numbered(*bytes.as_bytes())).map_err(|_| "expected 64 hexadecimal digits")
}

/// The key under a number that follows from it, so that all replicas number it alike.
fn numbered(bytes: [u8; 32]) -> SealKey {
    let hash = Sha256::new().chain_update(b"doorward session key").chain_update(bytes).finalize();
    SealKey::new(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]), bytes)
}

/// Changes with what sessions were made for: the servers and the profiles.
fn epoch(root: &Root) -> u64 {
    let told = format!("{:?} {:?} {:?}", root.server, root.profile, root.mcp.disclosure);
    let hash = Sha256::digest(told);
    hash.iter().take(8).fold(0, |epoch, byte| epoch << 8 | u64::from(*byte))
}

fn mcp_server(server: &ServerConfig, environment: &Environment) -> Result<Server, StartError> {
    let kind = match (&server.command, &server.url) {
        (Some(command), _) => ServerKind::Stdio {
            command: command.clone(),
            env: server_environment(server, environment)?,
            cwd: server.cwd.clone(),
        },
        (None, Some(url)) => ServerKind::Http { url: url.clone() },
        (None, None) => described(server)?,
    };
    let usual = Server::new(server.name.as_str(), kind);
    let span = |given: Option<Span>, usual| given.map_or(usual, |given| given.0);
    Ok(Server {
        prefix: server.prefix,
        required: server.required,
        timeout: server.timeout.0,
        connect_timeout: span(server.connect_timeout, usual.connect_timeout),
        list_ttl: span(server.list_ttl, usual.list_ttl),
        concurrency: server.concurrency.unwrap_or(usual.concurrency),
        max_result: server.max_result.map_or(usual.max_result, Size::as_usize),
        shared: server.shared,
        idle_after: span(server.idle_after, usual.idle_after),
        max_connections: server.max_connections.unwrap_or(usual.max_connections),
        pins: pins(server.pins),
        validate: validation(server.validate),
        redact: server.redact,
        ..usual
    })
}

/// A server that an `OpenAPI` document describes.
fn described(server: &ServerConfig) -> Result<ServerKind, StartError> {
    let path = server.openapi.as_deref().unwrap_or_else(|| Path::new(""));
    let document = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("server `{}`: {} cannot be read", server.name, path.display());
        StartError::new(what, error)
    })?;
    Ok(ServerKind::OpenApi {
        document: document.into(),
        base_url: server.base_url.clone(),
        include: server.include.clone(),
        exclude: server.exclude.clone(),
    })
}

fn pins(given: PinsConfig) -> PinPolicy {
    PinPolicy {
        first_use: match given.first_use {
            config::FirstUse::Trust => FirstUse::Trust,
            config::FirstUse::Ask => FirstUse::Ask,
        },
        on_change: match given.on_change {
            config::OnChange::Hide => OnChange::Hide,
            config::OnChange::Warn => OnChange::Warn,
        },
        ..PinPolicy::default()
    }
}

fn validation(given: ValidateConfig) -> Validation {
    Validation {
        arguments: match given.arguments {
            CheckArguments::Refuse => Strictness::Refuse,
            CheckArguments::Off => Strictness::Off,
        },
        results: match given.results {
            CheckResults::Warn => Strictness::Warn,
            CheckResults::Refuse => Strictness::Refuse,
            CheckResults::Off => Strictness::Off,
        },
    }
}

fn server_environment(
    server: &ServerConfig,
    environment: &Environment,
) -> Result<BTreeMap<String, Secret>, StartError> {
    let resolve = |(name, value): (&String, &EnvValue)| {
        let value = secret_value(value, environment).map_err(|error| {
            StartError::new(format!("variable `{name}` of server `{}`", server.name), error)
        })?;
        Ok((name.clone(), value))
    };
    server.env.iter().map(resolve).collect()
}

/// A value that may be plain or a reference.
pub(super) fn secret_value(
    value: &EnvValue,
    environment: &Environment,
) -> Result<Secret, SecretRefError> {
    match value {
        EnvValue::Plain(text) => Ok(Secret::new(text.as_str())),
        EnvValue::Secret(reference) => reference.resolve(environment),
    }
}
