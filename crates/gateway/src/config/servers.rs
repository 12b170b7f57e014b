//! What the configuration says of MCP servers: how each is reached and run, what of it is shown,
//! and what is asked of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use doorward_core::Pattern;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{OAuthConfig, SecretRef, Size, Span};

/// `[[server]]`: an MCP server, by `command` (a child process in the sandbox), by `url`, or by an
/// `openapi` document, whose operations become tools.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct ServerConfig {
    /// What it is called here, and before the tools' names: `server__tool`.
    pub name: String,
    /// The program and its arguments.
    pub command: Option<Vec<String>>,
    /// Where it is, by Streamable HTTP or what came before it.
    pub url: Option<String>,
    /// A file with an `OpenAPI` 3 document, JSON or YAML: each operation becomes a tool.
    pub openapi: Option<PathBuf>,
    /// Where the API of `openapi` is; the document's first server where left out.
    pub base_url: Option<String>,
    /// Operations of `openapi` that become tools, by `operationId`, path, `METHOD path` or tag; all
    /// where left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub include: Vec<Pattern>,
    /// Operations of `openapi` that do not become tools, likewise.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub exclude: Vec<Pattern>,
    /// Environment variables for the command, beside a minimal set.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// The command's working folder.
    pub cwd: Option<PathBuf>,
    /// A header to send to `url` or to the API of `openapi`, `authorization` for instance.
    pub header: Option<Header>,
    /// How access tokens for `url` are got; `{}`: with the consent of each principal.
    pub oauth: Option<OAuthConfig>,
    /// Whether tools carry the server's name. Without, `/mcp/{server}` is a transparent route.
    #[serde(default = "yes")]
    pub prefix: bool,
    /// Whether a list without this server's tools is an error rather than a gap.
    #[serde(default)]
    pub required: bool,
    /// How long a call may take.
    #[serde(default = "a_minute")]
    pub timeout: Span,
    /// How long starting it and shaking hands may take.
    pub connect_timeout: Option<Span>,
    /// The most calls running on it at once.
    pub concurrency: Option<usize>,
    /// The largest result taken from it.
    pub max_result: Option<Size>,
    /// How long its lists stay fresh. It may say less, never more.
    pub list_ttl: Option<Span>,
    /// Whether one process or session of it may serve several principals.
    #[serde(default)]
    pub shared: bool,
    /// After how long without a question a process or session of it is ended.
    pub idle_after: Option<Span>,
    /// The most processes or sessions of it at once.
    pub max_connections: Option<usize>,
    /// What happens at the first sight of a tool, and when its definition changes.
    #[serde(default)]
    pub pins: PinsConfig,
    /// What is checked against its tools' schemas.
    #[serde(default)]
    pub validate: ValidateConfig,
    /// Whether well-known kinds of secrets in its results are replaced.
    #[serde(default)]
    pub redact: bool,
    /// How the command is run.
    #[serde(default)]
    pub sandbox: SandboxMode,
    /// What of the network the command may reach; `proxy` where `egress` is given.
    pub network: Option<NetworkAccess>,
    /// Where the command may go through the gateway's proxy.
    pub egress: Option<EgressConfig>,
    /// Further files and folders that the command may read.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// Files and folders that the command may change.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// The most memory the command's processes may each use; of a container, all together.
    pub memory: Option<Size>,
    /// Further limits on the command.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The container of `sandbox = "container"`.
    pub container: Option<ContainerConfig>,
    /// The pod of `sandbox = "kubernetes"`.
    pub kubernetes: Option<KubernetesConfig>,
    /// The limits of `sandbox = "wasm"`, where `command` names a component.
    pub wasm: Option<WasmConfig>,
}

const fn yes() -> bool {
    true
}

const fn a_minute() -> Span {
    Span(Duration::from_mins(1))
}

impl ServerConfig {
    /// Whether people are asked for their consent before the server is used in their name.
    pub fn asks_people(&self) -> bool {
        self.oauth.as_ref().is_some_and(OAuthConfig::asks_people)
    }

    /// What of the network the command may reach.
    pub fn network(&self) -> NetworkAccess {
        let implied =
            if self.egress.is_some() { NetworkAccess::Proxy } else { NetworkAccess::None };
        self.network.unwrap_or(implied)
    }
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
    /// In a container, by an OCI runtime's command line.
    Container,
    /// In a pod, by `kubectl`.
    Kubernetes,
    /// As a WebAssembly component.
    Wasm,
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
    /// The hosts of `egress`, through the gateway's proxy.
    Proxy,
    /// Everything this machine reaches.
    Host,
}

/// `egress`: where a command may go through the gateway's proxy.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressConfig {
    /// Hosts: `api.example.com`, `*.example.com`, an address; each with `:port`, or 443 and 80.
    pub hosts: Vec<String>,
    /// Networks in CIDR form that may be reached though they are private, loopback or link-local.
    #[serde(default)]
    pub private: Vec<String>,
}

/// `limits`: how much a command may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Processes and threads alive at one time (256).
    pub processes: Option<u64>,
    /// Open files of one process (1024).
    pub open_files: Option<u64>,
    /// The largest file that may be written (1 GiB).
    pub file_size: Option<Size>,
    /// What the private `/tmp` may hold (256 MiB).
    pub scratch: Option<Size>,
    /// Processor seconds of one process (no limit).
    pub cpu_seconds: Option<u64>,
}

/// `container`: what runs a command in a container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerConfig {
    /// The image, best by digest.
    pub image: String,
    /// Whose command line is spoken.
    #[serde(default)]
    pub runtime: RuntimeKind,
    /// The runtime's program, where it is not to be found under its usual name.
    pub program: Option<String>,
    /// Whether the image is fetched.
    #[serde(default)]
    pub pull: PullPolicy,
    /// Whether an image that is not named by digest is refused.
    #[serde(default)]
    pub require_digest: bool,
    /// The user and group inside, by number; 65532 where left out.
    pub user: Option<(u32, u32)>,
    /// Processors, 1 where left out; 0: no bound.
    pub cpus: Option<f64>,
    /// A network of the runtime's that leads nowhere but to a proxy, for `egress`.
    pub gate: Option<GateConfig>,
}

/// Whose command line runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// `docker`
    Docker,
    /// `podman`
    #[default]
    Podman,
    /// `nerdctl`
    Nerdctl,
}

/// Whether an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Never: it must be there.
    #[default]
    Never,
    /// Where it is not there yet.
    Missing,
    /// Each time.
    Always,
}

/// `gate`: a network that leads nowhere but to a proxy. Whoever names one vouches for both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// The network's name.
    pub network: String,
    /// The proxy as it is reached there, `http://10.89.0.1:3128`.
    pub proxy: String,
}

/// `kubernetes`: what runs a command in a pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The image, best by digest.
    pub image: String,
    /// The namespace.
    pub namespace: String,
    /// The context of the `kubectl` configuration; the current one where left out.
    pub context: Option<String>,
    /// The `kubectl` program, where it is not to be found under its usual name.
    pub program: Option<String>,
    /// Whether the cluster's network plugin keeps to network policies. It must, unless the network
    /// is `host`, which means the pod's own.
    #[serde(default)]
    pub enforces_policies: bool,
    /// The user and group inside, by number; 65532 where left out.
    pub user: Option<(u32, u32)>,
    /// Processors, 1 where left out; 0: no bound.
    pub cpus: Option<f64>,
    /// Where `read` and `write` are: paths, and the volume claims that stand there.
    #[serde(default)]
    pub claims: BTreeMap<PathBuf, String>,
    /// The secret that the image is fetched with.
    pub pull_secret: Option<String>,
}

/// `wasm`: how much a component may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WasmConfig {
    /// Fuel, about one unit an instruction; none: no limit of that kind.
    pub fuel: Option<u64>,
}

/// `pins`: what happens at the first sight of a tool, and when its definition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PinsConfig {
    /// At the first sight.
    pub first_use: FirstUse,
    /// When it changes.
    pub on_change: OnChange,
}

/// What happens at the first sight of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstUse {
    /// Its definition is approved as it is.
    #[default]
    Trust,
    /// It is held back until it is approved.
    Ask,
}

/// What happens when a tool's definition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// It is held back until the change is approved.
    #[default]
    Hide,
    /// It stays, and the change is told.
    Warn,
}

/// `validate`: what is checked against tools' schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateConfig {
    /// Arguments that do not fit.
    pub arguments: CheckArguments,
    /// Structured results that do not fit.
    pub results: CheckResults,
}

/// What happens with arguments that do not fit their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckArguments {
    /// The call is refused.
    #[default]
    Refuse,
    /// They are not looked at.
    Off,
}

/// What happens with structured results that do not fit their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResults {
    /// They go on, with a note.
    #[default]
    Warn,
    /// An error stands in their place.
    Refuse,
    /// They are not looked at.
    Off,
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
    /// How its tools are shown.
    #[serde(default)]
    pub disclosure: Disclosure,
}

/// How tools are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disclosure {
    /// All are listed.
    #[default]
    All,
    /// Only `search_tools` and `call_tool` are listed: for catalogues too large for a model.
    Search,
}

/// `[mcp]`: the MCP side towards clients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct McpConfig {
    /// How the tools at `/mcp` are shown.
    pub disclosure: Disclosure,
    /// Keys that sessions are sealed with, 64 hexadecimal digits each: the first seals, all open.
    /// The same on each replica. Where left out, one is kept in the data folder.
    pub session_keys: Vec<SecretRef>,
    /// How long a session may be used.
    pub session_ttl: Span,
    /// How many things a page of a list has.
    pub page: usize,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            disclosure: Disclosure::All,
            session_keys: Vec::new(),
            session_ttl: Span(Duration::from_hours(24)),
            page: 250,
        }
    }
}
