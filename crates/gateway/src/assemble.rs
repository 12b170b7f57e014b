//! Puts the shipped parts together as the configuration says.

mod callers;
mod checks;
mod oauth;
mod policies;
mod routes;
mod servers;
mod tasks;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::{Outage, Recorder, SigningKey};
use doorward_core::{
    Clock, Credentials, Entropy, Integrity, Names, Pattern, PooledEntropy, SystemClock, Tools,
};
use doorward_guardrails::{
    ContractSpec, Contracts, EffectKind, ResultSpec, Rollout, Stance, StanceRule, ToolEngine,
};
use doorward_identity::{Guesses, Pepper, VirtualKeys};
use doorward_mcp_broker::{Broker, ServerStatus};
use doorward_store::{Sqlite, SqlitePins};
use tokio::task::JoinHandle;

use crate::around::{Policy, RecordTools};
use crate::config::{
    AuditOutage, EnvValue, Environment, GuardMode, RecordWhen, Root, SecretRefError, UserRole,
};
use crate::edge::{Edge, EdgeLimits, EdgeParts};
use crate::enforced::Enforced;
use crate::keep::{Keep, KeepError};
use crate::metrics::Metrics;
use crate::own::{OwnTools, SignInTool};

pub(crate) use checks::compiles as check_compiles;
pub use policies::policies;
pub use routes::upstreams;
pub use servers::check_servers;

/// The principal that the gateway asks as in its own name.
const OWN: &str = "doorward";

/// Keys are believed for so long while their storage cannot be asked.
const KEYS_STALE: Duration = Duration::from_secs(30);

/// What surrounds a gateway: everything that is not in the configuration.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The environment.
    pub environment: Environment,
    /// The configuration file, so that no MCP server sees it.
    pub config_file: Option<PathBuf>,
    /// The program that acts as the sandbox's launcher; this program where `None`.
    pub launcher: Option<PathBuf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl Surroundings {
    /// This machine, this process.
    pub fn of_process(environment: Environment, config_file: Option<PathBuf>) -> Self {
        Self {
            environment,
            config_file,
            launcher: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(PooledEntropy::default()),
        }
    }
}

/// A gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StartError {
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StartError {
    fn new(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl From<KeepError> for StartError {
    fn from(error: KeepError) -> Self {
        Self::new("the data folder is not usable", error)
    }
}

/// All parts of a running gateway. Bind its [`edge`](Self::edge) to a listener with
/// [`serve`](crate::serve), then [`close`](Self::close) it.
pub struct Gateway {
    edge: Arc<Edge>,
    recorder: Arc<Recorder>,
    sight: Sight,
    tasks: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("sight", &self.sight).finish_non_exhaustive()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Gateway {
    /// Puts a gateway together and starts what runs beside the requests. Call it inside a Tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// Where a part cannot be had: storage, a secret, a contract.
    pub fn start(root: &Root, around: &Surroundings) -> Result<Self, StartError> {
        let storage = Storage::open(root, around)?;
        let upstreams = upstreams(root, &around.environment);
        let credentials = routes::credentials(root, &upstreams, &around.environment)?;
        let tokens = oauth::TokenClients::new(root, &oauth::token_store(), around)?;
        let credentials = oauth::EveryCredential::new(credentials, tokens.clone());
        let credentials: Arc<dyn Credentials> = Arc::new(credentials);
        let limits = Arc::new(routes::ledger(root, &upstreams, around)?);
        let router = routes::router(root, &upstreams, &credentials, &limits, around)?;
        let router = Arc::new(router);
        let broker = Arc::new(servers::broker(root, &credentials, &storage, around)?);
        let own = OwnTools::new(broker.clone(), servers::sign_ins(root));
        let searched = !servers::searched(root).is_empty();
        let names: Arc<dyn Names> = Arc::new(own.names(searched));
        let contracts = contracts(root)?;
        let guard_key = storage.keep.guard_key(&*around.entropy)?;
        let guard = guard(root, names.clone(), contracts.clone(), guard_key, around);
        let tools: Arc<dyn Tools> = Arc::new(own);
        let guard = checks::around(root, Arc::new(guard), names, &tools, around)?;
        let metrics = Arc::new(Metrics::default());
        let (authorizer, in_force) = policies::authorizer(root, &around.clock)?;
        let policy = Policy {
            authorizer,
            guard,
            ledger: limits.clone(),
            sink: storage.recorder.clone(),
            clock: around.clock.clone(),
            entropy: around.entropy.clone(),
            metrics: metrics.clone(),
            record_tools: match root.audit.tool_calls {
                RecordWhen::Before => RecordTools::Before,
                RecordWhen::After => RecordTools::After,
            },
        };
        let models = routes::cached(root, &router, around);
        let upstream_names: Arc<[String]> =
            upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let mcp = servers::edge(root, &storage.keep, around)?;
        let connect = tokens.pages(root, &mcp.keys, &storage.keys, around);
        let door = callers::door(root, storage.keys.clone(), around)?;
        let parts = EdgeParts {
            authenticator: door.authenticator,
            clock: around.clock.clone(),
            entropy: around.entropy.clone(),
            metrics: metrics.clone(),
            upstreams: upstream_names.clone(),
            limits: edge_limits(root),
            mcp,
            connect,
        };
        let edge =
            Edge::new(Enforced::new(models, policy.clone()), Enforced::new(tools, policy), parts);
        let tasks = vec![
            tokio::spawn(tasks::refresh_keys(storage.keys)),
            tokio::spawn(callers::refresh(door.tokens)),
            tokio::spawn(policies::refresh(in_force)),
            tokio::spawn(tasks::refresh_models(router, around.entropy.clone())),
            tokio::spawn(tasks::refresh_prices(limits, Arc::new(root.clone()), upstreams.clone())),
            tokio::spawn(tasks::refresh_pins(storage.pins, broker.clone())),
            tokio::spawn(tasks::start_servers(broker.clone(), contracts, around.entropy.clone())),
        ];
        let sight = Sight { broker, metrics, upstreams: upstream_names };
        Ok(Self { edge, recorder: storage.recorder, sight, tasks })
    }

    /// The data listener's edge.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// What can be seen of it while it runs.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Ends the MCP servers and writes the last records. The listener must be closed before.
    ///
    /// # Errors
    ///
    /// Where records could not be written.
    pub async fn close(self) -> Result<(), doorward_audit::CloseError> {
        self.sight.broker.close().await;
        let recorder = self.recorder.clone();
        let closed = tokio::task::spawn_blocking(move || recorder.close(Duration::from_secs(2)));
        closed.await.unwrap_or(Ok(()))
    }
}

/// What can be seen of a running gateway.
#[derive(Clone)]
pub struct Sight {
    broker: Arc<Broker>,
    metrics: Arc<Metrics>,
    upstreams: Arc<[String]>,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sight").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}

impl Sight {
    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The names of the model upstreams.
    pub fn upstreams(&self) -> &[String] {
        &self.upstreams
    }

    /// How the MCP servers are.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.broker.status()
    }
}

/// What the database and the data folder hold.
struct Storage {
    keep: Keep,
    keys: Arc<VirtualKeys>,
    recorder: Arc<Recorder>,
    pins: SqlitePins,
    database: PathBuf,
}

impl Storage {
    fn open(root: &Root, around: &Surroundings) -> Result<Self, StartError> {
        let (keep, sqlite, database) = open_storage(root)?;
        let pepper = Pepper::from_bytes(keep.pepper(&*around.entropy)?);
        let unread = |error| StartError::new("the keys cannot be read", error);
        let store = Arc::new(sqlite.keys().map_err(unread)?);
        let keys = VirtualKeys::new(store, pepper, around.clock.clone(), Guesses::default())
            .map_err(unread)?
            .with_stale_after(KEYS_STALE);
        let signing = SigningKey::from_bytes(&keep.audit_seed(&*around.entropy)?);
        keep.publish_audit_key(&signing.verifying_key().to_string())?;
        let log = sqlite
            .log()
            .map_err(|error| StartError::new("the audit log cannot be opened", error))?;
        let options = doorward_audit::Options {
            capacity: root.audit.queue,
            queued: match root.audit.outage {
                AuditOutage::RefuseTools => Outage::Admit,
                AuditOutage::RefuseAll => Outage::Refuse,
            },
            ..doorward_audit::Options::default()
        };
        let recorder = Recorder::start(log, signing, around.clock.clone(), options)
            .map_err(|error| StartError::new("the audit log cannot be continued", error))?;
        let pins = sqlite
            .pins()
            .map_err(|error| StartError::new("the pins of tools cannot be read", error))?;
        Ok(Self { keep, keys: Arc::new(keys), recorder: Arc::new(recorder), pins, database })
    }
}

type Any = dyn std::error::Error + Send + Sync;

/// Opens the data folder and the database in it.
///
/// # Errors
///
/// Where either is not usable.
pub fn open_storage(root: &Root) -> Result<(Keep, Sqlite, PathBuf), StartError> {
    let database = root.storage.sqlite_path().ok_or_else(|| StartError {
        what: format!("`{}` is not a storage this build has", root.storage.url),
        source: None,
    })?;
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => std::path::Path::new("."),
    };
    let keep = Keep::open(folder)?;
    let sqlite = Sqlite::open(&database).map_err(|error| {
        StartError::new(format!("{}: cannot be opened", database.display()), error)
    })?;
    Ok((keep, sqlite, database))
}

/// The secrets that the configuration refers to and that are not there: what for, and what is
/// missing.
pub fn missing_secrets(root: &Root, environment: &Environment) -> Vec<(String, SecretRefError)> {
    let keys = root.upstream.iter().flat_map(|upstream| {
        let named =
            |(what, reference)| (format!("the {what} of upstream `{}`", upstream.name), reference);
        upstream.secrets().map(named)
    });
    let headers = root.server.iter().filter_map(|server| {
        let what = format!("the header of server `{}`", server.name);
        Some((what, &server.header.as_ref()?.value))
    });
    let variables = root.server.iter().flat_map(|server| {
        server.env.iter().filter_map(|(name, value)| match value {
            EnvValue::Plain(_) => None,
            EnvValue::Secret(reference) => {
                Some((format!("variable `{name}` of server `{}`", server.name), reference))
            }
        })
    });
    let clients = root.server.iter().filter_map(|server| {
        let oauth = server.oauth.as_ref()?;
        let own = [&oauth.client_secret, &oauth.private_key, &oauth.assertion];
        let vouching = oauth.identity_provider.iter();
        let vouching = vouching.flat_map(|own| [&own.client_secret, &own.private_key]);
        let what = format!("the OAuth client of server `{}`", server.name);
        Some(
            own.into_iter()
                .chain(vouching)
                .flatten()
                .map(move |reference| (what.clone(), reference)),
        )
    });
    let clients = clients.flatten();
    let webhooks = root.check.iter().filter_map(|check| check.webhook.as_ref());
    let webhooks = webhooks.flat_map(|webhook| webhook.secret.iter().chain(&webhook.token));
    let webhooks = webhooks.map(|reference| ("the webhook of a check".to_owned(), reference));
    let sessions = root.mcp.session_keys.iter();
    let sessions = sessions.map(|reference| ("a key of `mcp.session_keys`".to_owned(), reference));
    keys.chain(headers)
        .chain(clients)
        .chain(sessions)
        .chain(webhooks)
        .chain(variables)
        .filter_map(|(what, reference)| Some((what, reference.resolve(environment).err()?)))
        .collect()
}

fn contracts(root: &Root) -> Result<Contracts, StartError> {
    let mut specs = root.contract.clone();
    let asking = root.server.iter().filter(|server| server.asks_people());
    for tool in asking.map(|server| SignInTool::new(&server.name, true)) {
        let name = tool.name().as_str();
        if !specs.iter().any(|spec| spec.tool.as_str() == name) {
            // It changes nothing, and what it says is our own.
            let mut sign_in = ContractSpec::new(name, EffectKind::Read);
            sign_in.result = Some(ResultSpec { integrity: Integrity::Trusted, readers: None });
            specs.push(sign_in);
        }
    }
    Contracts::compile(specs)
        .map_err(|error| StartError::new("a contract is wrong", error))?
        .with_packs(root.guard.packs.iter().map(String::as_str))
        .map_err(|error| StartError::new("a contract pack is wrong", error))
}

fn rollout(root: &Root) -> Rollout {
    let stance = |mode| match mode {
        GuardMode::Enforce => Stance::Enforce,
        GuardMode::Observe => Stance::Observe,
    };
    let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
    root.guard.rollout.iter().fold(Rollout::new(stance(root.guard.mode)), |rollout, rule| {
        rollout.with(StanceRule {
            key: pattern(&rule.key),
            team: pattern(&rule.team),
            principal: pattern(&rule.principal),
            tool: pattern(&rule.tool),
            stance: stance(rule.mode),
        })
    })
}

fn guard(
    root: &Root,
    names: Arc<dyn Names>,
    contracts: Contracts,
    key: [u8; 32],
    around: &Surroundings,
) -> ToolEngine {
    ToolEngine::builder()
        .contracts(contracts)
        .names(names)
        .clock(around.clock.clone())
        .entropy(around.entropy.clone())
        .key(key)
        .rollout(rollout(root))
        .user_role(match root.guard.user_role {
            UserRole::Trusted => doorward_guardrails::UserRole::Trusted,
            UserRole::Untrusted => doorward_guardrails::UserRole::Untrusted,
        })
        .build()
}

fn edge_limits(root: &Root) -> EdgeLimits {
    let listen = &root.listen;
    let any_host = listen.hosts.is_empty() && !listen.data.ip().is_loopback();
    let public_url = listen.public_url.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    let public_host = public_url.as_ref().and_then(http::Uri::host).map(str::to_owned);
    let hosts = || listen.hosts.iter().cloned().chain(public_host).collect();
    EdgeLimits {
        body: listen.body_limit.as_usize(),
        in_flight: listen.max_in_flight,
        timeout: listen.timeout.0,
        hosts: (!any_host).then(hosts),
        origins: listen.origins.clone(),
        relay: listen.relay,
        kept: listen.keep_responses.as_usize(),
    }
}
