//! What the operator says about one MCP server, and what can be seen of it while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Pattern, Secret};
use serde::{Deserialize, Serialize};

use crate::pin::{Finding, PinPolicy};

/// One MCP server of the catalogue.
///
/// ```
/// use doorward_mcp_broker::Server;
/// use std::time::Duration;
/// let tracker = Server {
///     timeout: Duration::from_secs(20),
///     ..Server::stdio("tracker", ["npx", "-y", "tracker-mcp"])
/// };
/// assert!(tracker.prefix);
/// ```
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "settings that have nothing to do with each other"
)]
pub struct Server {
    /// The operator's short name; the prefix of its tools. `[A-Za-z0-9_-]`, at most 32
    /// characters, no `__` within and no `_` at the end, so that a federated name can be cut at
    /// its first `__`.
    pub name: String,
    /// How it is reached.
    pub kind: ServerKind,
    /// Whether its own route (`/mcp/{name}`) shows prefixed names too. `false` makes that route
    /// transparent: the server's own names, its definitions byte for byte.
    pub prefix: bool,
    /// Whether a list without this server's tools is an error instead of a list with a gap.
    pub required: bool,
    /// The longest a call may take without a sign of the server: progress starts the time anew,
    /// and while the client is asked something it stands still.
    pub timeout: Duration,
    /// The longest a call may take, whatever comes of it meanwhile.
    pub hard_timeout: Duration,
    /// The longest that starting it and shaking hands may take.
    pub connect_timeout: Duration,
    /// How long a list of its tools stays fresh. A server may say less (`ttlMs`), never more.
    pub list_ttl: Duration,
    /// The most calls running on it at once; more wait for their turn, up to 4,096.
    pub concurrency: usize,
    /// The largest result taken from it, in bytes.
    pub max_result: usize,
    /// How strictly its tools are held to what was approved of them.
    pub pins: PinPolicy,
    /// How strictly arguments and results are held against its tools' schemas.
    pub validate: Validation,
    /// Whether secrets are taken out of its results (keys, tokens, passwords in the formats that
    /// vendors print).
    pub redact: bool,
    /// Whether one process or session of it may serve several principals. Without, each has its
    /// own, so that nothing one does to the server's state is seen by another.
    pub shared: bool,
    /// After how long without a question a connection of it is ended. The next question starts it
    /// again.
    pub idle_after: Duration,
    /// The most connections (processes or sessions) of it at once. More principals wait for one
    /// to be idle.
    pub max_connections: usize,
}

impl Server {
    /// A server of this kind with the defaults: prefixed, not required, 60 s of silence a call and
    /// 15 minutes in all, 30 s to connect, lists fresh for 5 minutes, 32 calls at once, results up to 8 MiB,
    /// connections not shared, ended after 10 idle minutes, at most 64.
    pub fn new(name: impl Into<String>, kind: ServerKind) -> Self {
        Self {
            name: name.into(),
            kind,
            prefix: true,
            required: false,
            timeout: Duration::from_mins(1),
            hard_timeout: Duration::from_mins(15),
            connect_timeout: Duration::from_secs(30),
            list_ttl: Duration::from_mins(5),
            concurrency: 32,
            max_result: 8 << 20,
            pins: PinPolicy::default(),
            validate: Validation::default(),
            redact: false,
            shared: false,
            idle_after: Duration::from_mins(10),
            max_connections: 64,
        }
    }

    /// A server that is started as a child process.
    pub fn stdio<I>(name: impl Into<String>, command: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let command = command.into_iter().map(Into::into).collect();
        Self::new(name, ServerKind::Stdio { command, env: BTreeMap::new(), cwd: None })
    }

    /// A server that is reached by Streamable HTTP.
    pub fn http(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(name, ServerKind::Http { url: url.into() })
    }

    /// An HTTP API that this OpenAPI 3 document describes, all its operations.
    pub fn openapi(name: impl Into<String>, document: impl Into<Arc<str>>) -> Self {
        let (include, exclude) = (Vec::new(), Vec::new());
        let document = document.into();
        Self::new(name, ServerKind::OpenApi { document, base_url: None, include, exclude })
    }
}

/// How strictly a server's tools are held to their schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", default)]
pub struct Validation {
    /// Arguments against `inputSchema`, before a call.
    pub arguments: Strictness,
    /// `structuredContent` against `outputSchema`, after it.
    pub results: Strictness,
}

impl Default for Validation {
    /// Wrong arguments are refused, wrong results noted; nothing is checked where the crate is
    /// built without its `schema` feature.
    fn default() -> Self {
        if cfg!(feature = "schema") {
            Self { arguments: Strictness::Refuse, results: Strictness::Warn }
        } else {
            Self { arguments: Strictness::Off, results: Strictness::Off }
        }
    }
}

/// What becomes of what does not fit a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// It is not looked at.
    Off,
    /// It passes; it is logged, and a result says so in `_meta` under `doorward/invalid`.
    Warn,
    /// It is refused, with what is wrong told as the call's result.
    Refuse,
}

/// How a server is reached.
#[derive(Clone)]
pub enum ServerKind {
    /// A child process that speaks newline-delimited JSON-RPC on its standard streams.
    Stdio {
        /// The program and its arguments.
        command: Vec<String>,
        /// Its whole environment: nothing is inherited.
        env: BTreeMap<String, Secret>,
        /// Its working directory; the launcher's choice where `None`.
        cwd: Option<PathBuf>,
    },
    /// A Streamable HTTP endpoint; one of the HTTP+SSE pair of 2024-11-05 is found out by itself.
    Http {
        /// Its URL, `http` or `https`.
        url: String,
    },
    /// An HTTP API that an OpenAPI 3 document describes: each operation is a tool, called directly.
    OpenApi {
        /// The document, JSON or YAML.
        document: Arc<str>,
        /// Where the API is, instead of where the document says.
        base_url: Option<String>,
        /// Operations to take, by `operationId`, path, `METHOD path` or tag; all where empty.
        include: Vec<Pattern>,
        /// Operations to leave out, even where they are included.
        exclude: Vec<Pattern>,
    },
}

impl fmt::Debug for ServerKind {
    /// Leaves out arguments and the URL's query: operators put secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio { command, env, cwd } => f
                .debug_struct("Stdio")
                .field("program", &command.first())
                .field("env", &env.keys().collect::<Vec<_>>())
                .field("cwd", cwd)
                .finish_non_exhaustive(),
            Self::Http { url } => f
                .debug_struct("Http")
                .field("url", &url.split(['?', '#']).next())
                .finish_non_exhaustive(),
            Self::OpenApi { document, include, exclude, .. } => f
                .debug_struct("OpenApi")
                .field("bytes", &document.len())
                .field("include", include)
                .field("exclude", exclude)
                .finish_non_exhaustive(),
        }
    }
}

/// Which generation of the protocol a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// With a handshake: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Every request stands alone: 2026-07-28.
    Modern,
}

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not asked yet.
    Idle,
    /// Connected, or answered the last time it was asked.
    Up,
    /// Failed; the next call tries again once the back-off is over.
    Down,
}

/// What can be seen of one server while the broker runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// The server.
    pub name: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// The protocol generation it was found to speak.
    pub era: Option<Era>,
    /// How many tools it had when it was last listed.
    pub tools: usize,
    /// How many prompts.
    pub prompts: usize,
    /// How many resources.
    pub resources: usize,
    /// What speaks against some of its tools, those held back among them.
    pub doubts: Vec<Doubt>,
    /// How often it had to be started or connected again.
    pub restarts: u64,
    /// How many connections (processes or sessions) of it are open.
    pub connections: usize,
    /// Calls running on it now.
    pub in_flight: usize,
    /// Why it last failed, in our own words.
    pub last_failure: Option<String>,
}

/// What speaks against a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// The tool, by its own name.
    pub tool: Arc<str>,
    /// Whether it is held back: not listed, not called, until an operator approves it.
    pub held: bool,
    /// Why, in our own words.
    pub reason: String,
    /// What was found in its definition.
    pub findings: Vec<Finding>,
}
