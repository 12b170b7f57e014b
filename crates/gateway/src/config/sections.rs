//! The sections of the configuration.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use doorward_core::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{SecretRef, Size, Span};

/// `[listen]`: where to listen and how much to take in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address of the data listener: models and tools.
    pub data: SocketAddr,
    /// Address of the admin listener: metrics and the admin API.
    pub admin: SocketAddr,
    /// Host names that requests may be addressed to, beside the loopback names. Empty: any, when
    /// listening on another address than loopback.
    pub hosts: Vec<String>,
    /// Browser origins that may call, `https://app.example.com` for instance.
    pub origins: Vec<String>,
    /// The largest request body.
    pub body_limit: Size,
    /// The most requests at once; more wait for nothing and get 503.
    pub max_in_flight: usize,
    /// How long a request may take in all.
    pub timeout: Span,
    /// How long running requests have to end after SIGTERM.
    pub drain: Span,
    /// Whether authenticated requests that no dialect has words for (files, images, audio,
    /// batches, moderations, rerank) are sent on to the upstream that serves them, as they are
    /// and on record.
    pub relay: bool,
    /// How much of finished Responses answers is kept in memory for `previous_response_id`, the
    /// oldest going first; 0: nothing.
    pub keep_responses: Size,
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: loopback(8787),
            admin: loopback(8788),
            hosts: vec![],
            origins: vec![],
            body_limit: Size(64 << 20),
            max_in_flight: 16_384,
            timeout: Span(Duration::from_mins(30)),
            drain: Span(Duration::from_secs(25)),
            relay: true,
            keep_responses: Size(64 << 20),
        }
    }
}

/// `[storage]`: where to keep state.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// `sqlite://` with a path. Keys for signing and hashing stand in files beside the database.
    pub url: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self { url: "sqlite://doorward-data/doorward.db".to_owned() }
    }
}

impl Storage {
    /// The database file, if the URL is one that this build can open.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let path =
            self.url.strip_prefix("sqlite://").or_else(|| self.url.strip_prefix("sqlite:"))?;
        (!path.is_empty()).then(|| PathBuf::from(path))
    }
}

/// `[[server]]`: an MCP server, by `command` (a child process in the sandbox) or by `url`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// What it is called here, and before the tools' names: `server__tool`.
    pub name: String,
    /// The program and its arguments.
    pub command: Option<Vec<String>>,
    /// Where it is, by Streamable HTTP.
    pub url: Option<String>,
    /// Environment variables for the command, beside a minimal set.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// The command's working folder.
    pub cwd: Option<PathBuf>,
    /// A header to send to `url`, `authorization` for instance.
    pub header: Option<Header>,
    /// Whether tools carry the server's name. Without, `/mcp/{server}` is a transparent route.
    #[serde(default = "yes")]
    pub prefix: bool,
    /// Whether a list without this server's tools is an error rather than a gap.
    #[serde(default)]
    pub required: bool,
    /// How long a call may take.
    #[serde(default = "a_minute")]
    pub timeout: Span,
    /// How the command is run.
    #[serde(default)]
    pub sandbox: SandboxMode,
    /// What of the network the command may reach.
    #[serde(default)]
    pub network: NetworkAccess,
    /// Further files and folders that the command may read.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// Files and folders that the command may change.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// The most memory the command's processes may each use.
    pub memory: Option<Size>,
}

const fn yes() -> bool {
    true
}

const fn a_minute() -> Span {
    Span(Duration::from_mins(1))
}

/// An environment variable's value: plain, or a secret by reference.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum EnvValue {
    /// Not secret.
    Plain(String),
    /// Secret.
    Secret(SecretRef),
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvValueVisitor)
    }
}

struct EnvValueVisitor;

impl<'de> serde::de::Visitor<'de> for EnvValueVisitor {
    type Value = EnvValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text, `{ env = \"NAME\" }` or `{ file = \"path\" }`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EnvValue, E> {
        Ok(EnvValue::Plain(text.to_owned()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
        let reference = serde::de::value::MapAccessDeserializer::new(map);
        SecretRef::deserialize(reference).map(EnvValue::Secret)
    }
}

/// A header with a secret value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// Where its value is.
    pub value: SecretRef,
}

/// How an MCP server's command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// In the native sandbox; where a layer of it is missing, not at all.
    #[default]
    Native,
    /// In the native sandbox, without the layers that this machine does not have.
    NativeWeakened,
    /// As an ordinary child process, with the gateway's own rights.
    None,
}

/// What of the network an MCP server's command may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkAccess {
    /// Nothing, not even this machine.
    #[default]
    None,
    /// Everything this machine reaches.
    Host,
}

/// `[[profile]]`: a selection of servers and tools at `/mcp/{name}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// The name in the path.
    pub name: String,
    /// The servers in it.
    pub servers: Vec<String>,
    /// The tools in it, by federated name; all of the servers' where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub tools: Vec<Pattern>,
}

/// `[guard]`: the guard.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Whether decisions are carried out.
    pub mode: GuardMode,
    /// How far text in the user role is trusted.
    pub user_role: UserRole,
}

/// Whether the guard's decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardMode {
    /// Tools are hidden and calls refused.
    #[default]
    Enforce,
    /// Nothing is hidden or refused; the record tells what would have been.
    Observe,
}

/// How far text in the user role is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserRole {
    /// A person types it.
    #[default]
    Trusted,
    /// Anyone may have written it (a public chat, an inbound e-mail).
    Untrusted,
}

/// `[audit]`: the record.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// When a tool call's record must be durable.
    pub tool_calls: RecordWhen,
}

/// When a record must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordWhen {
    /// Before the call runs.
    #[default]
    Before,
    /// Before its result is handed out.
    After,
}
