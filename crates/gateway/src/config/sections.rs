//! The sections of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Size, Span};

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
    /// Where people reach the data listener: https, or http on this machine. Links to the
    /// gateway's pages begin so. Where left out: the data listener's own address, if that is
    /// loopback.
    pub public_url: Option<String>,
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
            public_url: None,
        }
    }
}

impl Listen {
    /// Where people reach the data listener, without a slash at its end; `None` where that is not
    /// known.
    pub fn public_url(&self) -> Option<String> {
        let own = || self.data.ip().is_loopback().then(|| format!("http://{}", self.data));
        let given = self.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        given.or_else(own)
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

/// `[guard]`: the guard.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Whether decisions are carried out.
    pub mode: GuardMode,
    /// How far text in the user role is trusted.
    pub user_role: UserRole,
    /// Shipped contracts, each for a server: `github`, or `github:gh` for one that is called `gh`.
    /// A `[[contract]]` holds before them.
    pub packs: Vec<String>,
    /// For whom, and with which tools, another mode holds; the first that fits.
    pub rollout: Vec<RolloutConfig>,
}

/// `[[guard.rollout]]`: another mode for some. What is left out does not narrow it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutConfig {
    /// Names of keys; `*` stands for any run of characters.
    #[serde(default)]
    pub key: Option<String>,
    /// Teams.
    #[serde(default)]
    pub team: Option<String>,
    /// Principals.
    #[serde(default)]
    pub principal: Option<String>,
    /// Tools, by their federated names or as clients declare them.
    #[serde(default)]
    pub tool: Option<String>,
    /// The mode.
    pub mode: GuardMode,
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// When a tool call's record must be durable.
    pub tool_calls: RecordWhen,
    /// What becomes of calls while no record can be written: the disk is full, the database is
    /// gone.
    pub outage: AuditOutage,
    /// How many records may wait for the log, in memory; then calls wait too.
    pub queue: usize,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { tool_calls: RecordWhen::default(), outage: AuditOutage::default(), queue: 8192 }
    }
}

/// What becomes of calls while no record can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutage {
    /// Tool calls are refused. Model calls go on while there is room in the queue.
    #[default]
    RefuseTools,
    /// All calls are refused.
    RefuseAll,
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
