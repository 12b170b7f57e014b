//! Putting a broker together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_core::{Clock, Credentials, Pattern, SystemClock};
use tokio::sync::broadcast;

use crate::broker::{Broker, Inner, Profile};
use crate::launch::{Command, Launcher};
use crate::names::{Register, is_server_name};
use crate::pin::{MemoryPins, PinStore};
#[cfg(feature = "redact")]
use crate::redact::Redaction;
#[cfg(feature = "schema")]
use crate::schema::SchemaCache;
use crate::server::Strictness;
use crate::shelf::Member;
use crate::upstream::{Link, child::Child};
use crate::uris::Slugs;
use crate::{Server, ServerKind};

/// How many changes of lists are kept for a listener that is slow to hear of them.
const NEWS: usize = 256;
/// How many schemas are kept compiled.
#[cfg(feature = "schema")]
const SCHEMAS: usize = 4096;

/// Puts a [`Broker`] together. Nothing is started or connected before [`Broker::start`] or the
/// first question.
#[derive(Clone)]
pub struct Builder {
    servers: Vec<Server>,
    profiles: BTreeMap<String, (Vec<String>, Vec<Pattern>)>,
    twice: Option<String>,
    launcher: Option<Arc<dyn Launcher>>,
    credentials: Option<Arc<dyn Credentials>>,
    pins: Arc<dyn PinStore>,
    clock: Arc<dyn Clock>,
    list_wait: Duration,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("servers", &self.servers)
            .field("profiles", &self.profiles)
            .finish_non_exhaustive()
    }
}

/// A broker could not be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A server's name cannot be a prefix.
    #[error(
        "server name `{0}`: use 1 to 32 of A-Z a-z 0-9 _ -, without `__` and without `_` at the end"
    )]
    ServerName(String),
    /// Two servers, two profiles, or a server and a profile have the same name.
    #[error("the name `{0}` is given twice")]
    Twice(String),
    /// A profile names a server that is not there.
    #[error("profile `{profile}`: no server `{server}`")]
    UnknownServer {
        /// The profile.
        profile: String,
        /// The server it names.
        server: String,
    },
    /// A child process without a program.
    #[error("server `{0}`: the command is empty")]
    EmptyCommand(String),
    /// There are child processes to start and nothing that starts them.
    #[error("server `{0}` is a child process and there is no launcher")]
    NoLauncher(String),
    /// A URL that is no `http` or `https` URL.
    #[error("server `{0}`: the URL is not an absolute http or https URL")]
    Url(String),
    /// The crate was built without its `http` feature.
    #[error("server `{0}` is reached by HTTP, which this build leaves out")]
    NoHttp(String),
    /// The crate was built without a feature that a server needs.
    #[error("server `{server}` wants its {what}, which this build leaves out")]
    Left {
        /// The server.
        server: String,
        /// What: `results redacted`, `schemas checked` or `OpenAPI document read`.
        what: &'static str,
    },
    /// An OpenAPI document that cannot be used.
    #[error("server `{server}`: {reason}")]
    OpenApi {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// The machine's certificates could not be loaded.
    #[error("server `{server}`: no TLS: {reason}")]
    Tls {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// A number that must not be nought.
    #[error("server `{server}`: {field} must be more than 0")]
    Zero {
        /// The server.
        server: String,
        /// The field.
        field: &'static str,
    },
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            profiles: BTreeMap::new(),
            twice: None,
            launcher: None,
            credentials: None,
            pins: Arc::new(MemoryPins::default()),
            clock: Arc::new(SystemClock),
            list_wait: Duration::from_secs(5),
        }
    }
}

impl Builder {
    /// Adds a server.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// Adds a profile: a part of the catalogue under a name of its own (`/mcp/{profile}`). An
    /// empty list means no limit: all servers, all they have. Patterns are over federated names
    /// of tools and prompts; resources are there where one takes `server__resources.read`, all
    /// prompts of a server where one takes `server__prompts.get`.
    #[must_use]
    pub fn profile(
        mut self,
        name: impl Into<String>,
        servers: Vec<String>,
        tools: Vec<Pattern>,
    ) -> Self {
        let name = name.into();
        if self.profiles.insert(name.clone(), (servers, tools)).is_some() {
            self.twice = Some(name);
        }
        self
    }

    /// What starts child processes. There is no default: whether a sandbox stands between a
    /// server and the host is the caller's decision.
    #[must_use]
    pub fn launcher(mut self, launcher: impl Launcher + 'static) -> Self {
        self.launcher = Some(Arc::new(launcher));
        self
    }

    /// Where credentials for HTTP servers come from; they are asked for with each call. Without,
    /// none is shown.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Where pins are kept; in memory by default, where every start is a first use again.
    #[must_use]
    pub fn pins(mut self, pins: Arc<dyn PinStore>) -> Self {
        self.pins = pins;
        self
    }

    /// The clock; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a list waits for one server before it goes without (5 s by default). The server
    /// is waited for in the background, so that the next list has it.
    #[must_use]
    pub fn list_wait(mut self, wait: Duration) -> Self {
        self.list_wait = wait;
        self
    }

    /// The broker.
    ///
    /// # Errors
    ///
    /// Where the parts do not fit together; the error says which.
    pub fn build(self) -> Result<Broker, BuildError> {
        let link = |server: &Server, changes| self.link(server, changes);
        self.clone().build_over(link)
    }

    /// The broker over these links.
    pub(crate) fn build_over(
        self,
        link: impl Fn(&Server, Arc<AtomicU64>) -> Result<Box<dyn Link>, BuildError>,
    ) -> Result<Broker, BuildError> {
        if let Some(name) = self.twice {
            return Err(BuildError::Twice(name));
        }
        let mut by_name = HashMap::new();
        for (at, server) in self.servers.iter().enumerate() {
            check(server)?;
            if by_name.insert(Arc::from(server.name.as_str()), at).is_some() {
                return Err(BuildError::Twice(server.name.clone()));
            }
        }
        let order = order(&self.servers);
        let profiles = profiles(&self.profiles, &by_name, &order)?;
        let mut members = Vec::with_capacity(self.servers.len());
        for server in &self.servers {
            let changes = Arc::new(AtomicU64::new(0));
            let link = link(server, changes.clone())?;
            members.push(Arc::new(Member::new(server.clone(), link, changes)));
        }
        let names =
            || Register::new(self.servers.iter().map(|s| (s.name.as_str().into(), !s.prefix)));
        Ok(Broker::new(Inner {
            order,
            slugs: Slugs::of(self.servers.iter().map(|server| server.name.as_str())),
            tool_names: names(),
            prompt_names: names(),
            members,
            by_name,
            profiles,
            news: broadcast::Sender::new(NEWS),
            pins: self.pins,
            shadowed: ArcSwap::default(),
            unlooked: AtomicBool::new(false),
            #[cfg(feature = "schema")]
            schemas: SchemaCache::new(SCHEMAS),
            #[cfg(feature = "redact")]
            redaction: redaction(&self.servers),
            credentials: self.credentials,
            clock: self.clock,
            list_wait: self.list_wait,
        }))
    }

    fn link(&self, server: &Server, changes: Arc<AtomicU64>) -> Result<Box<dyn Link>, BuildError> {
        match &server.kind {
            ServerKind::Stdio { command, env, cwd } => {
                let name = || server.name.clone();
                let (program, args) =
                    command.split_first().ok_or_else(|| BuildError::EmptyCommand(name()))?;
                let command = Command {
                    program: program.clone(),
                    args: args.to_vec(),
                    env: env.clone(),
                    cwd: cwd.clone(),
                };
                let launcher =
                    self.launcher.clone().ok_or_else(|| BuildError::NoLauncher(name()))?;
                Ok(Box::new(Child::new(server, command, launcher, self.clock.clone(), changes)))
            }
            #[cfg(feature = "http")]
            ServerKind::Http { url } => {
                let origin = crate::upstream::origin::Origin::new(server, url, changes)?;
                Ok(Box::new(Arc::new(origin)))
            }
            #[cfg(not(feature = "http"))]
            ServerKind::Http { .. } => Err(BuildError::NoHttp(server.name.clone())),
            #[cfg(feature = "openapi")]
            ServerKind::OpenApi { .. } => {
                let described = crate::upstream::described::Described::new(server)?;
                Ok(Box::new(described))
            }
            #[cfg(not(feature = "openapi"))]
            ServerKind::OpenApi { .. } => {
                let what = "OpenAPI document read";
                Err(BuildError::Left { server: server.name.clone(), what })
            }
        }
    }
}

/// The rules for secrets, where a server wants them. Our own table always compiles.
#[cfg(feature = "redact")]
fn redaction(servers: &[Server]) -> Option<Redaction> {
    let wanted = servers.iter().any(|server| server.redact);
    wanted.then(|| Redaction::new([]).ok()).flatten()
}

fn check(server: &Server) -> Result<(), BuildError> {
    if !is_server_name(&server.name) {
        return Err(BuildError::ServerName(server.name.clone()));
    }
    let zero = [
        (server.timeout.is_zero(), "timeout"),
        (server.hard_timeout.is_zero(), "hard_timeout"),
        (server.connect_timeout.is_zero(), "connect_timeout"),
        (server.concurrency == 0, "concurrency"),
        (server.max_result == 0, "max_result"),
    ];
    let checks = server.validate.arguments.max(server.validate.results) != Strictness::Off;
    let left = [
        (checks && !cfg!(feature = "schema"), "schemas checked"),
        (server.redact && !cfg!(feature = "redact"), "results redacted"),
    ];
    if let Some((_, what)) = left.into_iter().find(|(is_left, _)| *is_left) {
        return Err(BuildError::Left { server: server.name.clone(), what });
    }
    match zero.into_iter().find(|(is_zero, _)| *is_zero) {
        Some((_, field)) => Err(BuildError::Zero { server: server.name.clone(), field }),
        None => Ok(()),
    }
}

/// The servers by the order of their names in a list: that of `name__`, as tools begin with it.
fn order(servers: &[Server]) -> Vec<usize> {
    let mut order: Vec<_> = (0..servers.len()).collect();
    order.sort_by_key(|&at| [servers[at].name.as_str(), "__"].concat());
    order
}

fn profiles(
    given: &BTreeMap<String, (Vec<String>, Vec<Pattern>)>,
    by_name: &HashMap<Arc<str>, usize>,
    order: &[usize],
) -> Result<HashMap<Arc<str>, Profile>, BuildError> {
    let mut profiles = HashMap::new();
    for (name, (servers, patterns)) in given {
        if by_name.contains_key(name.as_str()) {
            return Err(BuildError::Twice(name.clone()));
        }
        let known = |server: &String| {
            by_name.get(server.as_str()).copied().ok_or_else(|| BuildError::UnknownServer {
                profile: name.clone(),
                server: server.clone(),
            })
        };
        let named = servers.iter().map(known).collect::<Result<HashSet<_>, _>>()?;
        let has = |at: &usize| named.is_empty() || named.contains(at);
        let servers = order.iter().copied().filter(has).collect();
        profiles.insert(name.as_str().into(), Profile { servers, patterns: patterns.clone() });
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests;
