//! Configuration: `doorward.toml`, or the same in YAML by file ending.
//!
//! ```
//! use doorward_gateway::config::{Root, Syntax};
//!
//! let root = Root::parse("[listen]\ndata = \"127.0.0.1:9000\"\n", Syntax::Toml, "doorward.toml")?;
//! assert_eq!(root.listen.data.port(), 9000);
//!
//! let error = Root::parse("[listen]\ndatta = \"127.0.0.1:9000\"\n", Syntax::Toml, "doorward.toml");
//! let error = error.unwrap_err().to_string();
//! assert!(error.starts_with("doorward.toml:2:1: listen.datta: unknown key"), "{error}");
//! assert!(error.contains("did you mean `data`?"));
//! # Ok::<(), doorward_gateway::config::ConfigError>(())
//! ```

mod check;
mod checks;
mod error;
mod issuers;
mod leaf;
mod locate;
mod oauth;
mod policy;
mod routes;
mod sections;
mod servers;

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

pub use checks::{
    CheckConfig, CheckKind, CheckPattern, WebhookConfig, WebhookField, WebhookProtocol,
};
pub use doorward_model_router::Span;
pub use error::ConfigError;
pub use issuers::{AllowConfig, ClaimsOf, IssuerConfig, NameClaim, RequiredClaim};
pub use leaf::{Environment, SecretRef, SecretRefError, Size};
pub use oauth::{ConnectConfig, IdentityProviderConfig, OAuthConfig, OAuthGrant};
pub use policy::{PolicyConfig, PolicyDefault};
pub use routes::{
    AwsKeys, CacheConfig, LedgerConfig, OneOrMore, TeamConfig, UpstreamConfig, UpstreamTimeouts,
};
pub use sections::{
    AuditConfig, AuditOutage, GuardConfig, GuardMode, Listen, RecordWhen, RolloutConfig, Storage,
    UserRole,
};
pub use servers::{
    CheckArguments, CheckResults, ContainerConfig, Disclosure, EgressConfig, EnvValue, FirstUse,
    GateConfig, Header, KubernetesConfig, LimitsConfig, McpConfig, NetworkAccess, OnChange,
    PinsConfig, ProfileConfig, PullPolicy, RuntimeKind, SandboxMode, ServerConfig, ValidateConfig,
    WasmConfig,
};

/// The whole configuration. Every key is optional; unknown keys are errors.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Doorward configuration")]
pub struct Root {
    /// Where to listen and how much to take in.
    pub listen: Listen,
    /// Where to keep state.
    pub storage: Storage,
    /// Model providers.
    pub upstream: Vec<UpstreamConfig>,
    /// Names of our own for lists of targets.
    pub alias: Vec<doorward_model_router::Alias>,
    /// What holds for teams.
    pub team: Vec<TeamConfig>,
    /// Answers given again.
    pub cache: Option<CacheConfig>,
    /// MCP servers.
    pub server: Vec<ServerConfig>,
    /// The MCP side towards clients.
    pub mcp: McpConfig,
    /// People sign in at tools.
    pub connect: ConnectConfig,
    /// Selections of servers and tools, each at `/mcp/{name}`.
    pub profile: Vec<ProfileConfig>,
    /// What tools do and how far their results are trusted.
    pub contract: Vec<doorward_guardrails::ContractSpec>,
    /// What texts hold, on their way to a model, to a tool or back.
    pub check: Vec<CheckConfig>,
    /// Limits on requests, tokens and money.
    pub limit: Vec<doorward_ledger::Rule>,
    /// Prices, for limits on money.
    pub price: Vec<doorward_ledger::PriceRule>,
    /// Money.
    pub ledger: LedgerConfig,
    /// Identity providers whose tokens callers may show.
    pub issuer: Vec<IssuerConfig>,
    /// Who may use what with what.
    pub policy: Option<PolicyConfig>,
    /// The guard.
    pub guard: GuardConfig,
    /// The record.
    pub audit: AuditConfig,
}

/// The syntax of a configuration text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2.
    Yaml,
}

impl Syntax {
    /// By the file's ending; TOML unless it says YAML.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Toml,
        }
    }

    /// Reads any YAML text, with the same parser that reads a configuration.
    ///
    /// # Errors
    ///
    /// Where it is no YAML, or of another shape.
    pub fn read_yaml<T: serde::de::DeserializeOwned>(
        text: &str,
    ) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
        Ok(serde_saphyr::from_str(text)?)
    }
}

impl Root {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or says something that is not understood or not possible: the
    /// error names file, line, key and what was expected.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::unreadable(&name, &error))?;
        Self::parse(&text, Syntax::of(path), &name)
    }

    /// Reads and checks a text; `name` stands for the file in errors.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(text: &str, syntax: Syntax, name: &str) -> Result<Self, ConfigError> {
        let root: Self = match syntax {
            Syntax::Toml => {
                toml::from_str(text).map_err(|error| ConfigError::toml(name, text, &error))?
            }
            Syntax::Yaml => {
                serde_saphyr::from_str(text).map_err(|error| ConfigError::yaml(name, &error))?
            }
        };
        match check::check(&root) {
            Ok(()) => Ok(root),
            Err(fault) => Err(fault.locate(name, text, syntax)),
        }
    }

    /// The JSON Schema (2020-12) of the configuration, as `doorward schema` prints it.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}
